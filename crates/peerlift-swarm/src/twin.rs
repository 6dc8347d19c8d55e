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
    /// Bytes that edges have delivered.
    pub(crate) edge_bytes: u64,
    /// What the edges deliver together.
    pub(crate) edge: Rate,
    /// What peers deliver together.
    pub(crate) peers: Rate,
    /// Whether every lane of every edge has been at work for a while.
    pub(crate) edge_driven: bool,
}

/// The imagined edge-only download.
#[derive(Debug)]
pub(crate) struct Twin {
    knowledge: Knowledge,
    progress: u64,
    best_sum: Rate,
    seen: Timestamp,
}

#[derive(Debug)]
enum Knowledge {
    /// The edge is listened to: its first byte, and what it had delivered at the last four looks.
    Young {
        began: Timestamp,
        first_byte: Option<Timestamp>,
        before: [(Timestamp, u64); 4],
    },
    /// What the edge delivers alone.
    Rate(Rate),
}

impl Twin {
    /// How long the edge is listened to after its first byte: the last second of it, after the
    /// slow start of its connections, is its rate. Half a second is too short: what a few lanes
    /// have of unfinished groups is 3 % of it at 25 Mbit/s.
    const LISTEN: Duration = Duration::from_millis(1250);
    /// How long its first byte is waited for.
    const FIRST_BYTE_MAX: Duration = Duration::from_secs(1);

    /// A twin that begins at `now` with what is here.
    pub(crate) fn new(done: u64, now: Timestamp) -> Self {
        Self {
            knowledge: Knowledge::Young {
                began: now,
                first_byte: None,
                before: [(now, 0); 4],
            },
            progress: done,
            best_sum: Rate::default(),
            seen: now,
        }
    }

    /// Moves the twin on to `now`.
    pub(crate) fn observe(&mut self, sight: Sight, now: Timestamp) {
        let passed = now.since(self.seen);
        self.seen = now;
        match &mut self.knowledge {
            Knowledge::Young {
                began,
                first_byte,
                before,
            } => {
                self.progress = sight.done;
                if sight.edge_bytes > 0 {
                    first_byte.get_or_insert(now);
                }
                let (at, bytes) = before[0];
                let heard = first_byte.is_some_and(|first| now.since(first) >= Self::LISTEN);
                let deaf = first_byte.is_none() && now.since(*began) >= Self::FIRST_BYTE_MAX;
                before.rotate_left(1);
                before[3] = (now, sight.edge_bytes);
                if heard || deaf {
                    let rate = Rate::of(sight.edge_bytes - bytes, now.since(at));
                    self.knowledge = Knowledge::Rate(rate);
                }
            }
            Knowledge::Rate(rate) => {
                if sight.edge_driven {
                    *rate = learn(*rate, sight, self.best_sum);
                }
                self.progress = self.progress.saturating_add(rate.bytes_in(passed));
            }
        }
        let sum = sight
            .edge
            .bytes_per_s()
            .saturating_add(sight.peers.bytes_per_s());
        let faded = fade(self.best_sum.bytes_per_s(), passed);
        self.best_sum = Rate::from_bytes_per_s(faded.max(sum));
    }

    /// The edge's rate without peers; `None` while it is listened to, which is for two seconds
    /// and a quarter at most. Peers would drown what is to be heard.
    pub(crate) fn rate(&self) -> Option<Rate> {
        match self.knowledge {
            Knowledge::Young { .. } => None,
            Knowledge::Rate(rate) => Some(rate),
        }
    }

    /// Bytes the twin would have now; it runs on past the end of the object.
    pub(crate) fn progress(&self) -> u64 {
        self.progress
    }
}

fn learn(believed: Rate, sight: Sight, best_sum: Rate) -> Rate {
    let (edge, peers) = (sight.edge.bytes_per_s(), sight.peers.bytes_per_s());
    let alone = peers < edge / 16;
    let downlink_has_room = edge + peers < best_sum.bytes_per_s() / 100 * 85;
    if sight.edge > believed {
        sight.edge
    } else if alone || downlink_has_room {
        let believed = believed.bytes_per_s();
        Rate::from_bytes_per_s(believed - (believed - edge) / 4)
    } else {
        believed
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
            edge_bytes: 0,
            edge: Rate::from_bytes_per_s(edge),
            peers: Rate::from_bytes_per_s(peers),
            edge_driven: true,
        }
    }

    /// Lets so many quarter seconds pass under each sight, after one in which the edge began.
    fn live(steps: &[(u64, Sight)]) -> Twin {
        let mut twin = Twin::new(0, Timestamp::ZERO);
        let (mut now, mut edge_bytes) = (Timestamp::ZERO, 0);
        for (times, sight) in steps {
            for _ in 0..*times {
                now = now + Duration::from_millis(250);
                edge_bytes += sight.edge.bytes_per_s() / 4;
                twin.observe(
                    Sight {
                        edge_bytes,
                        ..*sight
                    },
                    now,
                );
            }
        }
        twin
    }

    fn rate(twin: &Twin) -> u64 {
        twin.rate().unwrap().bytes_per_s()
    }

    #[test]
    fn it_listens_and_then_runs_at_the_edges_rate() {
        let slow_start = sight(200_000, 0);
        let young = live(&[(2, slow_start), (3, sight(1_000_000, 0))]);
        assert_eq!(young.rate(), None);
        let twin = live(&[(2, slow_start), (22, sight(1_000_000, 0))]);
        assert_eq!((rate(&twin), twin.progress()), (1_000_000, 4_500_000));
    }

    #[test]
    fn a_silent_edge_is_not_waited_for() {
        let twin = live(&[(4, sight(0, 0))]);
        assert_eq!(rate(&twin), 0);
        assert_eq!(rate(&live(&[(4, sight(0, 0)), (1, sight(9, 0))])), 9);
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
        assert_eq!(rate(&twin), 1_000_000);
    }
}
