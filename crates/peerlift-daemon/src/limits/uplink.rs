//! How fast this machine can send, and how much of it we use. Pure.
//!
//! Nobody knows an uplink's speed beforehand, and a cap hides it. So the first seconds of sending in
//! a day go uncapped, and the best whole second of them is the measure. The cap is a share of it.

use std::time::Duration;

use peerlift_model::{Rate, Timestamp};

/// Seconds of real sending that make a measurement.
const SAMPLES: u32 = 10;

/// How long a measurement holds: networks change when people move.
const HOLDS: Duration = Duration::from_secs(24 * 3600);

/// Below this a second was not spent sending: it says nothing about the line.
const BUSY: Rate = Rate::from_bytes_per_s(16 * 1024);

/// A cap below this would make a peer of no use to anybody: 128 kbit/s.
const CAP_MIN: Rate = Rate::from_bytes_per_s(16 * 1024);

/// Measures the uplink by what goes out.
#[derive(Clone, Debug, Default)]
pub struct Uplink {
    best: Rate,
    samples: u32,
    measured: Option<(Rate, Timestamp)>,
}

impl Uplink {
    /// Notes the bytes sent in a second that ended `now`.
    pub fn sent_in_a_second(&mut self, bytes: u64, now: Timestamp) {
        if self.measured.is_some_and(|(_, at)| now.since(at) >= HOLDS) {
            *self = Self::default();
        }
        let rate = Rate::from_bytes_per_s(bytes);
        if self.measured.is_some() || rate < BUSY {
            return;
        }
        self.best = self.best.max(rate);
        self.samples += 1;
        if self.samples >= SAMPLES {
            self.measured = Some((self.best, now));
        }
    }

    /// What was measured; `None`: not yet.
    #[must_use]
    pub fn measured(&self) -> Option<Rate> {
        self.measured.map(|(rate, _)| rate)
    }

    /// The cap that leaves the rest of the line to others; `None` while it is being measured.
    ///
    /// `percent` is of the measured uplink. 100 and more are no cap: the measure is what peers
    /// happened to ask for in the first seconds, and may be far below what the line can carry.
    #[must_use]
    pub fn cap(&self, percent: u8) -> Option<Rate> {
        if percent >= 100 {
            return None;
        }
        let rate = self.measured()?.bytes_per_s();
        let share = rate / 100 * u64::from(percent);
        Some(Rate::from_bytes_per_s(share).max(CAP_MIN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn the_best_second_is_the_measure() {
        let mut uplink = Uplink::default();
        for second in 0..9 {
            uplink.sent_in_a_second(100_000 + second * 1000, at(second));
            uplink.sent_in_a_second(10, at(second));
            assert_eq!(uplink.cap(50), None);
        }
        uplink.sent_in_a_second(90_000, at(9));
        assert_eq!(uplink.measured(), Some(Rate::from_bytes_per_s(108_000)));
        assert_eq!(uplink.cap(50), Some(Rate::from_bytes_per_s(54_000)));
        // Under the cap nothing is learnt.
        uplink.sent_in_a_second(54_000, at(10));
        assert_eq!(uplink.cap(50), Some(Rate::from_bytes_per_s(54_000)));
    }

    #[test]
    fn all_of_the_line_is_no_cap() {
        let mut uplink = Uplink::default();
        (0..10).for_each(|second| uplink.sent_in_a_second(100_000, at(second)));
        assert_eq!(uplink.cap(99), Some(Rate::from_bytes_per_s(99_000)));
        assert_eq!(uplink.cap(100), None);
    }

    #[test]
    fn a_measurement_holds_for_a_day() {
        let mut uplink = Uplink::default();
        (0..10).for_each(|second| uplink.sent_in_a_second(100_000, at(second)));
        uplink.sent_in_a_second(0, at(86_000));
        assert!(uplink.measured().is_some());
        uplink.sent_in_a_second(0, at(90_000));
        assert_eq!(uplink.measured(), None);
    }
}
