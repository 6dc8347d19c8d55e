//! The last moment of a download that has no time to give away.
//!
//! Forty peers that are far or slow answer one after the other, and the download ends with the last of
//! them: a twentieth of a second later than the edge alone would have brought the same bytes, which is
//! 3 % of a download of a second and a half. And what many sources take from here and there leaves
//! scraps, each of which costs one of the edge's lanes a round trip. Who is level with the edge-only
//! twin asks peers then for no more than comes in time, and for the scraps; and the edge, with all
//! lanes, for the rest in long runs.

use std::time::Duration;

use crate::Goal;

/// How near the end is, for who must not fall behind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Closing {
    ends_in: Duration,
    is_now: bool,
}

impl Closing {
    /// How long before the end it begins: an answer from far away takes two thirds of that.
    const MOMENT: Duration = Duration::from_millis(400);
    /// The same for who has nothing to save: the edge alone is as fast as everybody together.
    const MOMENT_FASTEST: Duration = Duration::from_millis(1600);

    /// Everything will be here in `ends_in`; `level` says whether the twin would have it by then, or
    /// nearly.
    pub(crate) fn new(goal: Goal, ends_in: Duration, level: impl FnOnce() -> bool) -> Self {
        let moment = match goal {
            Goal::Thrifty => Self::MOMENT,
            Goal::Fastest => Self::MOMENT_FASTEST,
            Goal::Floor(_) | Goal::Deadline(_) | Goal::InOrder => Duration::ZERO,
        };
        let is_now = ends_in < moment && level();
        Self { ends_in, is_now }
    }

    /// When everything will be here, from now.
    pub(crate) fn ends_in(self) -> Duration {
        self.ends_in
    }

    /// Whether the edge brings whatever peers do not.
    pub(crate) fn is_now(self) -> bool {
        self.is_now
    }

    /// Whether an answer that is expected in so long would be what everybody waits for.
    pub(crate) fn is_late(self, answer_in: Duration) -> bool {
        self.is_now && answer_in > self.ends_in
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closing(goal: Goal, millis: u64, level: bool) -> Closing {
        Closing::new(goal, Duration::from_millis(millis), || level)
    }

    #[test]
    fn near_the_end_the_slow_are_not_asked() {
        let millis = Duration::from_millis;
        let near = closing(Goal::Thrifty, 100, true);
        assert!(near.is_now() && near.is_late(millis(101)) && !near.is_late(millis(100)));
        assert!(near.is_late(Duration::MAX));
        let early = closing(Goal::Thrifty, 400, true);
        assert!(!early.is_now() && !early.is_late(Duration::MAX));
        let unknown = Closing::new(Goal::Thrifty, Duration::MAX, || true);
        assert!(!unknown.is_now() && !unknown.is_late(Duration::MAX));
    }

    #[test]
    fn speed_begins_earlier_and_a_promise_never() {
        let is_now = |goal, millis| closing(goal, millis, true).is_now();
        assert!(is_now(Goal::Fastest, 1599) && !is_now(Goal::Fastest, 1600));
        let floor = Goal::Floor(peerlift_model::Rate::from_bytes_per_s(1));
        assert!(!is_now(floor, 0) && !is_now(Goal::InOrder, 0));
    }

    #[test]
    fn who_is_ahead_of_the_twin_has_time() {
        let ahead = closing(Goal::Thrifty, 0, false);
        assert!(!ahead.is_now() && !ahead.is_late(Duration::MAX));
    }
}
