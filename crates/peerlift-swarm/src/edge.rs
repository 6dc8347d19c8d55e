//! What is asked of the edge: how much, and in which portions.
//!
//! The edge is always right and always costs money. How much of it a goal allows is one number,
//! the bytes that may be put to it in the coming [`HORIZON`] beyond what no peer has
//! ([`Allowance`]). It follows the shortfall in proportion: with peers as fast as the goal wants
//! it is zero, without them it is everything, and between them the edge delivers just the rest,
//! which leaves the downlink to the peers.

use std::time::Duration;

use peerlift_model::{GROUP_BYTES, Rate, Timestamp};

use crate::Goal;
use crate::twin::Twin;

/// How far ahead the edge is planned. Requests to the edge are about as long.
pub(crate) const HORIZON: Duration = Duration::from_secs(1);

/// What a goal allows to ask of the edge now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// Groups that no connected peer has may be asked for without limit.
    pub(crate) inject: bool,
    /// Other groups, up to so many bytes under way.
    pub(crate) fill_bytes: u64,
}

impl Allowance {
    /// Everything.
    pub(crate) const FULL: Self = Self {
        inject: true,
        fill_bytes: u64::MAX,
    };

    /// What the goal allows while peers deliver at the rate `peers`.
    pub(crate) fn of(
        goal: Goal,
        twin: &Twin,
        peers: Rate,
        done: u64,
        size: u64,
        now: Timestamp,
    ) -> Self {
        let want = match goal {
            Goal::Fastest | Goal::InOrder => return Self::FULL,
            Goal::Thrifty => {
                let Some(rate) = twin.rate() else {
                    return Self::FULL;
                };
                let due = twin.progress() + rate.bytes_in(HORIZON);
                due.saturating_sub(size / LATENESS + done)
            }
            Goal::Floor(rate) => rate.bytes_in(HORIZON),
            Goal::Deadline(at) => {
                // A tenth of the time is kept for what goes wrong at the end.
                let left = at.since(now) * 9 / 10;
                if left < HORIZON {
                    return Self::FULL;
                }
                Rate::of(size.saturating_sub(done), left).bytes_in(HORIZON)
            }
        };
        Self {
            inject: goal == Goal::Thrifty,
            fill_bytes: want.saturating_sub(peers.bytes_in(HORIZON)),
        }
    }
}

/// A thrifty download may lag its twin by one such part of the object. It is spent on finding out
/// what peers can do when the edge leaves them the downlink.
const LATENESS: u64 = 100;

/// How large the next request to an edge lane should be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portion {
    /// What the edge delivers over all lanes; `None` before the first bytes.
    pub(crate) rate: Option<Rate>,
    /// How many requests it answers at a time.
    pub(crate) lanes: u8,
    /// How long a request should take.
    pub(crate) time: Duration,
    /// Groups still to be asked of anybody.
    pub(crate) open_groups: u64,
    /// The largest request.
    pub(crate) bytes_max: u64,
}

impl Portion {
    /// A request when there is nobody to share with: every request costs a lane one round trip.
    pub(crate) const TIME_ALONE: Duration = Duration::from_secs(2);
    /// A request among peers: what a lane has claimed, others do not fetch meanwhile.
    pub(crate) const TIME_SHARED: Duration = Duration::from_secs(1);
    /// A request of a stream: the first of them is waited for.
    pub(crate) const TIME_STREAM: Duration = Duration::from_millis(500);
    /// The first requests, before the rate is known: 1 Gbit/s for a lane over 2 ms.
    const START: u64 = 256 * 1024;
    /// The least, unless less is left: the headers are 1 % of it.
    const LEAST: u64 = 64 * 1024;

    /// The size in groups. Towards the end requests get smaller, so that lanes end together.
    pub(crate) fn groups(self) -> u32 {
        let lanes = u64::from(self.lanes.max(1));
        let by_rate = match self.rate {
            Some(rate) if rate > Rate::default() => rate.bytes_in(self.time) / lanes,
            Some(_) | None => Self::START,
        };
        let by_rest = self.open_groups * GROUP_BYTES / (2 * lanes);
        let bytes = by_rate.min(by_rest).min(self.bytes_max).max(Self::LEAST);
        u32::try_from(bytes / GROUP_BYTES).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twin::Sight;

    const MIB: u64 = 1 << 20;

    /// A twin at 1 MiB/s that has got 10 MiB of 100.
    fn twin() -> Twin {
        let mut twin = Twin::new(0, Timestamp::ZERO);
        let sight = Sight {
            done: 0,
            edge: Rate::from_bytes_per_s(MIB),
            peers: Rate::default(),
            edge_driven: true,
        };
        twin.observe(sight, Timestamp::from_micros(10_000_000));
        twin
    }

    fn fill(goal: Goal, peers: u64, done: u64) -> u64 {
        let now = Timestamp::from_micros(10_000_000);
        let peers = Rate::from_bytes_per_s(peers);
        Allowance::of(goal, &twin(), peers, done, 100 * MIB, now).fill_bytes
    }

    #[test]
    fn thrift_fills_what_peers_fall_short_of_the_twin() {
        assert_eq!(fill(Goal::Thrifty, 0, 9 * MIB), MIB);
        assert_eq!(fill(Goal::Thrifty, MIB / 4, 9 * MIB), MIB * 3 / 4);
        assert_eq!(fill(Goal::Thrifty, MIB, 9 * MIB), 0);
        assert_eq!(
            fill(Goal::Thrifty, 0, 10 * MIB),
            0,
            "ahead by the lateness allowed"
        );
        assert_eq!(fill(Goal::Thrifty, 0, 5 * MIB), 5 * MIB, "catches up");
    }

    #[test]
    fn floors_and_deadlines_fill_up_to_a_rate() {
        assert_eq!(
            fill(Goal::Floor(Rate::from_bytes_per_s(MIB)), MIB / 4, 0),
            MIB * 3 / 4
        );
        let deadline = |secs: u64| Goal::Deadline(Timestamp::from_micros(secs * 1_000_000));
        assert_eq!(fill(deadline(110), 0, 10 * MIB), MIB);
        assert_eq!(fill(deadline(110), MIB, 10 * MIB), 0);
        assert_eq!(fill(deadline(11), 0, 10 * MIB), u64::MAX, "no time to lose");
        assert_eq!(fill(deadline(1), 0, 10 * MIB), u64::MAX, "too late");
    }

    #[test]
    fn speed_has_no_price() {
        assert_eq!(fill(Goal::Fastest, 100 * MIB, 99 * MIB), u64::MAX);
        assert_eq!(fill(Goal::InOrder, 100 * MIB, 99 * MIB), u64::MAX);
    }

    #[test]
    fn portions_follow_the_rate_and_shrink_towards_the_end() {
        let portion = Portion {
            rate: None,
            lanes: 4,
            time: Portion::TIME_ALONE,
            open_groups: 1 << 20,
            bytes_max: 16 * MIB,
        };
        let mib = |portion: Portion| u64::from(portion.groups()) * GROUP_BYTES / (MIB / 16);
        assert_eq!(mib(portion), 4);
        let rate = |mib| Some(Rate::from_bytes_per_s(mib * MIB));
        assert_eq!(
            mib(Portion {
                rate: rate(3),
                ..portion
            }),
            24
        );
        assert_eq!(
            mib(Portion {
                rate: rate(1000),
                ..portion
            }),
            256
        );
        assert_eq!(
            mib(Portion {
                rate: rate(1000),
                open_groups: 512,
                ..portion
            }),
            16
        );
        assert_eq!(
            mib(Portion {
                rate: rate(1000),
                open_groups: 3,
                ..portion
            }),
            1
        );
    }
}
