//! The last moment of a download that has no time to give away.
//!
//! Forty peers that are far or slow answer one after the other, and the download ends with the last of
//! them: a twentieth of a second later than the edge alone would have brought the same bytes, which is
//! 3 % of a download of a second and a half. Who is level with the edge-only twin asks peers then for no
//! more than comes in time, and the edge for the rest.

use std::time::Duration;

/// How near the end is, for who must not fall behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closing {
    ends_in: Duration,
    level: bool,
}

impl Closing {
    /// How long before the end it begins: an answer from far away takes two thirds of that.
    const MOMENT: Duration = Duration::from_millis(400);
    /// An answer that is expected after so many times the time that is left comes too late. What is
    /// expected counts the waiting at a peer's that others have since stopped causing.
    const LATE: u32 = 2;

    /// Everything will be here in `ends_in`; `level` says whether the twin would have it by then, or
    /// nearly.
    pub(crate) fn new(ends_in: Duration, level: bool) -> Self {
        Self { ends_in, level }
    }

    /// Whether the edge brings whatever peers do not.
    pub(crate) fn is_now(self) -> bool {
        self.level && self.ends_in < Self::MOMENT
    }

    /// Whether an answer that is expected in so long is not worth asking for.
    pub(crate) fn is_late(self, answer_in: Duration) -> bool {
        self.is_now() && answer_in > self.ends_in * Self::LATE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_the_end_the_slow_are_not_asked() {
        let millis = Duration::from_millis;
        let closing = Closing::new(millis(100), true);
        assert!(closing.is_now() && closing.is_late(millis(201)) && !closing.is_late(millis(200)));
        assert!(closing.is_late(Duration::MAX));
        let early = Closing::new(millis(400), true);
        assert!(!early.is_now() && !early.is_late(Duration::MAX));
        let unknown = Closing::new(Duration::MAX, true);
        assert!(!unknown.is_now() && !unknown.is_late(Duration::MAX));
    }

    #[test]
    fn who_is_ahead_of_the_twin_has_time() {
        let ahead = Closing::new(Duration::ZERO, false);
        assert!(!ahead.is_now() && !ahead.is_late(Duration::MAX));
    }
}
