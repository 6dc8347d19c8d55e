//! How fast the edge is when it is left alone once more.

use std::time::Duration;

use peerlift_model::{Rate, Timestamp};

/// The edge is asked alone, since a moment.
#[derive(Debug)]
pub(super) struct Listening {
    since: Timestamp,
    /// The most that has arrived over a second of that.
    most: Rate,
}

impl Listening {
    /// How long it takes: until the requests put to peers have come in, and then for a second.
    pub(super) const TIME: Duration = Duration::from_millis(2250);
    /// From when on a look back over a second shows the edge nearly alone.
    const ALONE: Duration = Duration::from_millis(1250);

    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            since: now,
            most: Rate::default(),
        }
    }

    /// So much arrived over the last second. Says what the edge brings when that is known: the most,
    /// as one look may fall between two bursts.
    pub(super) fn hear(&mut self, sum: Rate, now: Timestamp) -> Option<Rate> {
        let passed = now.since(self.since);
        if passed >= Self::ALONE {
            self.most = self.most.max(sum);
        }
        (passed >= Self::TIME).then_some(self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_of_the_last_looks_is_what_the_edge_brings() {
        let at = |quarter: u64| Timestamp::from_micros(quarter * 250_000);
        let mut listening = Listening::new(at(0));
        let sums = [900, 900, 900, 900, 500, 600, 700, 550];
        for (quarter, sum) in (1..).zip(sums) {
            assert_eq!(
                listening.hear(Rate::from_bytes_per_s(sum), at(quarter)),
                None
            );
        }
        let known = listening.hear(Rate::from_bytes_per_s(400), at(9));
        assert_eq!(known, Some(Rate::from_bytes_per_s(700)));
    }
}
