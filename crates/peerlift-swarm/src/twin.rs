//! The edge-only twin: the same download as it would go without peers.
//!
//! "Never slower than the edge alone" needs somebody to be compared with. The twin's rate is what
//! the edge delivers while nothing else could have slowed it; its progress is that rate summed
//! up since the edge was first asked. What peers take of a full downlink must not be mistaken for
//! a slow edge, and an edge that slows because a crowd has come must not be held to its best hour:
//!
//! * a faster edge is believed at once;
//! * a slower edge is believed when peers bring next to nothing, or when the sum of all sources is
//!   clearly below the best sum seen, so that the downlink cannot be what holds the edge back.

use std::time::Duration;

use peerlift_model::{Rate, Timestamp};

/// What the twin is told about the real download.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sight {
    /// Bytes that are here.
    pub(crate) done: u64,
    /// What the edges deliver together.
    pub(crate) edge: Rate,
    /// What peers deliver together.
    pub(crate) peers: Rate,
    /// Whether every lane of every edge has been at work for a whole meter's span.
    pub(crate) edge_driven: bool,
}

/// The imagined edge-only download.
#[derive(Debug)]
pub(crate) struct Twin {
    rate: Option<Rate>,
    progress: u64,
    best_sum: Rate,
    seen: Timestamp,
}

impl Twin {
    /// A twin that begins at `now` with what is here.
    pub(crate) fn new(done: u64, now: Timestamp) -> Self {
        Self {
            rate: None,
            progress: done,
            best_sum: Rate::default(),
            seen: now,
        }
    }

    /// Moves the twin on to `now`.
    pub(crate) fn observe(&mut self, sight: Sight, now: Timestamp) {
        let passed = now.since(self.seen);
        self.seen = now;
        if sight.edge_driven {
            self.learn(sight);
        }
        match self.rate {
            Some(rate) => self.progress = self.progress.saturating_add(rate.bytes_in(passed)),
            None => self.progress = sight.done,
        }
        let sum = sight
            .edge
            .bytes_per_s()
            .saturating_add(sight.peers.bytes_per_s());
        let faded = fade(self.best_sum.bytes_per_s(), passed);
        self.best_sum = Rate::from_bytes_per_s(faded.max(sum));
    }

    /// The edge's rate without peers; `None` until it was driven for a while.
    pub(crate) fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// Bytes the twin would have now; it runs on past the end of the object.
    pub(crate) fn progress(&self) -> u64 {
        self.progress
    }

    fn learn(&mut self, sight: Sight) {
        let (edge, peers) = (sight.edge.bytes_per_s(), sight.peers.bytes_per_s());
        let believed = self.rate.map_or(0, Rate::bytes_per_s);
        let alone = peers < edge / 16;
        let downlink_has_room = edge + peers < self.best_sum.bytes_per_s() / 100 * 85;
        if edge > believed {
            self.rate = Some(sight.edge);
        } else if alone || downlink_has_room {
            self.rate = Some(Rate::from_bytes_per_s(believed - (believed - edge) / 4));
        }
    }
}

/// 2 % less every second: a downlink that got slower is believed within half a minute.
fn fade(rate: u64, passed: Duration) -> u64 {
    let lost = Rate::from_bytes_per_s(rate / 50).bytes_in(passed);
    rate.saturating_sub(lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(edge: u64, peers: u64) -> Sight {
        Sight {
            done: 0,
            edge: Rate::from_bytes_per_s(edge),
            peers: Rate::from_bytes_per_s(peers),
            edge_driven: true,
        }
    }

    /// Lets so many quarter seconds pass under each sight.
    fn live(steps: &[(u64, Sight)]) -> Twin {
        let mut twin = Twin::new(0, Timestamp::ZERO);
        let mut now = Timestamp::ZERO;
        for (times, sight) in steps {
            for _ in 0..*times {
                now = now + Duration::from_millis(250);
                twin.observe(*sight, now);
            }
        }
        twin
    }

    fn rate(twin: &Twin) -> u64 {
        twin.rate().unwrap().bytes_per_s()
    }

    #[test]
    fn it_runs_at_the_edges_rate() {
        let twin = live(&[(40, sight(1_000_000, 0))]);
        assert_eq!((rate(&twin), twin.progress()), (1_000_000, 10_000_000));
    }

    #[test]
    fn peers_on_a_full_downlink_do_not_make_it_slower() {
        let twin = live(&[(8, sight(1_000_000, 0)), (40, sight(400_000, 600_000))]);
        assert_eq!(rate(&twin), 1_000_000);
    }

    #[test]
    fn a_crowd_at_the_edge_makes_it_slower() {
        let twin = live(&[(8, sight(1_000_000, 0)), (40, sight(100_000, 300_000))]);
        assert!(rate(&twin) < 110_000, "{}", rate(&twin));
    }

    #[test]
    fn an_edge_at_rest_teaches_nothing() {
        let idle = Sight {
            edge_driven: false,
            ..sight(0, 900_000)
        };
        let twin = live(&[(8, sight(1_000_000, 0)), (40, idle)]);
        assert_eq!((rate(&twin), twin.progress()), (1_000_000, 12_000_000));
    }

    #[test]
    fn it_stays_beside_us_until_the_edge_is_known() {
        let young = Sight {
            edge_driven: false,
            done: 77,
            ..sight(5, 0)
        };
        let twin = live(&[(3, young)]);
        assert_eq!((twin.rate(), twin.progress()), (None, 77));
    }
}
