//! What is asked of the edge: how much, and in which portions.
//!
//! The edge is always right and always costs money. What a goal wants of it is a rate ([`Want`]),
//! and a [`Valve`] turns that into bytes that may be asked for. The rate follows the shortfall in
//! proportion: with peers as fast as the goal wants it is zero, without them it is everything,
//! and between them the edge delivers just the rest, which leaves the downlink to the peers.

use std::time::Duration;

use peerlift_model::{GROUP_BYTES, Rate, Timestamp};

use crate::Goal;
use crate::twin::Twin;

/// Within what time a shortfall is to be made up. About as long as one request to the edge.
const HORIZON: Duration = Duration::from_secs(1);

/// A thrifty download may lag its twin by one such part of the object. It is spent on finding out
/// what peers can do when the edge leaves them the downlink.
const LATENESS: u64 = 800;

/// What a goal wants of the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// All it can deliver.
    Everything,
    /// So much; and, when `inject`, whatever no peer has beside it.
    Rate { rate: Rate, inject: bool },
}

/// Where the download stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stand {
    /// Bytes that are here or on their way from the edge.
    pub(crate) coming: u64,
    /// Bytes in all.
    pub(crate) size: u64,
    /// What peers deliver together.
    pub(crate) peers: Rate,
}

impl Want {
    /// What the goal wants at `now`.
    pub(crate) fn of(goal: Goal, twin: &Twin, stand: Stand, now: Timestamp) -> Self {
        let wanted = match goal {
            Goal::Fastest | Goal::InOrder => return Self::Everything,
            Goal::Thrifty => {
                let Some(rate) = twin.rate().filter(|_| !twin.leaves_it_to_the_edge()) else {
                    return Self::Everything;
                };
                // The rate may be a stranger's word.
                let due = twin.progress().saturating_add(rate.bytes_in(HORIZON));
                Rate::of(
                    due.saturating_sub(stand.size / LATENESS + stand.coming),
                    HORIZON,
                )
            }
            Goal::Floor(rate) => rate,
            Goal::Deadline(at) => {
                // A tenth of the time is kept for what goes wrong at the end.
                let left = at.since(now) * 9 / 10;
                if left < HORIZON {
                    return Self::Everything;
                }
                Rate::of(stand.size.saturating_sub(stand.coming), left)
            }
        };
        let short = wanted
            .bytes_per_s()
            .saturating_sub(stand.peers.bytes_per_s());
        Self::Rate {
            rate: Rate::from_bytes_per_s(short),
            inject: goal == Goal::Thrifty,
        }
    }
}

/// Lets so many bytes be asked of the edge.
#[derive(Debug)]
pub(crate) struct Valve {
    want: Want,
    credit: u64,
    seen: Timestamp,
}

impl Valve {
    /// An open valve.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            want: Want::Everything,
            credit: 0,
            seen: now,
        }
    }

    /// Pays in what the last want has earned, and goes on with another. No more is saved up than
    /// one horizon's worth, or one portion.
    pub(crate) fn set(&mut self, want: Want, now: Timestamp) {
        let passed = now.since(self.seen);
        self.seen = now;
        if let Want::Rate { rate, .. } = want {
            let credit = self.credit.saturating_add(rate.bytes_in(passed));
            let most = rate.bytes_in(HORIZON).max(Portion::LEAST);
            let short = rate > Rate::default();
            self.credit = if short { credit.min(most) } else { 0 };
        }
        self.want = want;
    }

    /// Whether whatever no peer has may be asked for.
    pub(crate) fn injects(&self) -> bool {
        match self.want {
            Want::Everything => true,
            Want::Rate { inject, .. } => inject,
        }
    }

    /// How many groups may be asked for that peers have; 0 or a portion that is worth a request.
    pub(crate) fn fill_groups(&self) -> u32 {
        match self.want {
            Want::Everything => u32::MAX,
            Want::Rate { .. } if self.credit < Portion::LEAST => 0,
            Want::Rate { .. } => u32::try_from(self.credit / GROUP_BYTES).unwrap_or(u32::MAX),
        }
    }

    /// Takes what was asked for out of the credit.
    pub(crate) fn spend(&mut self, bytes: u64) {
        self.credit = self.credit.saturating_sub(bytes);
    }

    /// Whether the edge is wanted for what peers have.
    pub(crate) fn fills(&self) -> bool {
        match self.want {
            Want::Everything => true,
            Want::Rate { rate, .. } => rate > Rate::default(),
        }
    }
}

/// How large the next request to an edge lane should be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Portion {
    /// What the edge delivers over all lanes; `None` before the first bytes.
    pub(crate) rate: Option<Rate>,
    /// How many requests it answers at a time.
    pub(crate) lanes: u8,
    /// How long a request should take.
    pub(crate) time: Duration,
    /// How long it took until the last answer began.
    pub(crate) answered_in: Duration,
    /// Groups still to be asked of anybody.
    pub(crate) open_groups: u64,
    /// The smallest request, unless less is left.
    pub(crate) bytes_min: u64,
    /// The largest.
    pub(crate) bytes_max: u64,
}

impl Portion {
    /// A request when there is nobody to share with: every request costs a lane one round trip.
    pub(crate) const TIME_ALONE: Duration = Duration::from_secs(2);
    /// A request among peers: what a lane has claimed, others do not fetch meanwhile.
    pub(crate) const TIME_SHARED: Duration = Duration::from_secs(1);
    /// A request of a stream: the first of them is waited for.
    pub(crate) const TIME_STREAM: Duration = Duration::from_millis(500);
    /// The least, unless less is left: the headers are 1 % of it. So much, too, before the rate is known.
    pub(crate) const LEAST: u64 = 64 * 1024;

    /// The least of a new download on a full downlink.
    pub(crate) const LEAST_MEETING: u64 = 32 * 1024;

    /// How long a request should take while an edge at such a distance is listened to. Too little, and
    /// lanes idle for the round trip between two requests, which would be taken for a slower edge.
    pub(crate) fn time_listening(latency: Duration) -> Duration {
        (latency * 5).clamp(Duration::from_millis(150), Self::TIME_SHARED)
    }

    /// The same while the first peers are met. What lanes have asked for beyond the round trip waits before
    /// our own downlink, and so do, behind it, the handshakes; and when these are done, it is more than was
    /// needed. On a `full` downlink less keeps it so.
    pub(crate) fn time_meeting(latency: Duration, full: bool) -> Duration {
        let (round_trips, least) = if full { (3, 60) } else { (4, 100) };
        (latency * round_trips).clamp(Duration::from_millis(least), Self::TIME_SHARED)
    }

    /// The size in groups. Towards the end requests get smaller, so that lanes end together, but not smaller
    /// than what a lane brings in two round trips: it idles for one of them.
    pub(crate) fn groups(self) -> u32 {
        self.groups_from(self.bytes_min)
    }

    /// The same in the last moment, when the least that is worth a request must not leave lanes idle.
    pub(crate) fn groups_closing(self) -> u32 {
        let part = self.per_lane(self.rest()).next_multiple_of(GROUP_BYTES);
        self.groups_from(self.bytes_min.min(part.max(GROUP_BYTES)))
    }

    fn groups_from(self, bytes_min: u64) -> u32 {
        let rate = self.rate.filter(|rate| *rate > Rate::default());
        let in_time = |time| rate.map(|rate| self.per_lane(rate.bytes_in(time)));
        let by_rate = in_time(self.time).unwrap_or(bytes_min);
        let travels = in_time(self.answered_in * 2).unwrap_or_default();
        let by_rest = (self.per_lane(self.rest()) / 2).max(travels.min(self.rest()));
        let bytes = by_rate.min(by_rest).min(self.bytes_max).max(bytes_min);
        u32::try_from(self.with_scrap(bytes, bytes_min) / GROUP_BYTES).unwrap_or(u32::MAX)
    }

    /// With what would be left, when that is not worth a request: at the end of a download a lane would make a
    /// round trip for it while the others have nothing to do.
    fn with_scrap(self, bytes: u64, bytes_min: u64) -> u64 {
        let left = self.rest().saturating_sub(bytes);
        if left * 2 <= bytes_min && self.rest() <= self.bytes_max {
            self.rest().max(bytes)
        } else {
            bytes
        }
    }

    /// Bytes still to be asked of anybody.
    fn rest(self) -> u64 {
        self.open_groups * GROUP_BYTES
    }

    fn per_lane(self, bytes: u64) -> u64 {
        bytes / u64::from(self.lanes.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twin::Sight;

    const MIB: u64 = 1 << 20;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    /// A twin at 1 MiB/s that has got 10 MiB of 100, at 10 s.
    fn twin() -> Twin {
        let mut twin = Twin::new(100 * MIB, at(0));
        twin.begin(0, at(0));
        for tick in 1..=40 {
            let sight = Sight {
                done: tick * MIB / 4,
                edge_bytes: tick * MIB / 4,
                edge: Rate::from_bytes_per_s(MIB),
                peers: Rate::default(),
                sum: Rate::from_bytes_per_s(MIB),
                edge_driven: true,
                drivers: 0,
                seeded: false,
            };
            twin.observe(sight, at(tick * 250));
        }
        assert_eq!(twin.progress(), 10 * MIB);
        twin
    }

    /// In KiB/s.
    fn want(goal: Goal, peers: u64, coming: u64) -> Option<u64> {
        let stand = Stand {
            coming,
            size: 100 * MIB,
            peers: Rate::from_bytes_per_s(peers),
        };
        match Want::of(goal, &twin(), stand, at(10_000)) {
            Want::Everything => None,
            Want::Rate { rate, .. } => Some(rate.bytes_per_s() / 1024),
        }
    }

    #[test]
    fn thrift_wants_what_peers_fall_short_of_the_twin() {
        let level = 10 * MIB - 100 * MIB / LATENESS;
        assert_eq!(want(Goal::Thrifty, 0, level), Some(1024));
        assert_eq!(want(Goal::Thrifty, MIB / 4, level), Some(768));
        assert_eq!(want(Goal::Thrifty, MIB, level), Some(0));
        assert_eq!(want(Goal::Thrifty, 0, level + MIB), Some(0), "ahead");
        assert_eq!(
            want(Goal::Thrifty, 0, level - 4 * MIB),
            Some(5 * 1024),
            "catches up"
        );
    }

    #[test]
    fn floors_and_deadlines_want_the_rest_of_a_rate() {
        let floor = Goal::Floor(Rate::from_bytes_per_s(MIB));
        assert_eq!(want(floor, MIB / 4, 0), Some(768));
        let deadline = |secs: u64| Goal::Deadline(at(secs * 1000));
        assert_eq!(want(deadline(110), 0, 10 * MIB), Some(1024));
        assert_eq!(want(deadline(110), MIB, 10 * MIB), Some(0));
        assert_eq!(want(deadline(11), 0, 10 * MIB), None, "no time to lose");
        assert_eq!(want(deadline(1), 0, 10 * MIB), None, "too late");
    }

    #[test]
    fn speed_has_no_price() {
        assert_eq!(want(Goal::Fastest, 100 * MIB, 99 * MIB), None);
        assert_eq!(want(Goal::InOrder, 100 * MIB, 99 * MIB), None);
    }

    #[test]
    fn a_valve_lets_the_wanted_rate_through() {
        let rate = |rate: u64| Want::Rate {
            rate: Rate::from_bytes_per_s(rate),
            inject: true,
        };
        let mut valve = Valve::new(at(0));
        assert_eq!(valve.fill_groups(), u32::MAX);
        let mut asked = 0;
        for tick in 1..=40 {
            valve.set(rate(MIB), at(tick * 250));
            let bytes = u64::from(valve.fill_groups()) * GROUP_BYTES;
            valve.spend(bytes);
            asked += bytes;
        }
        assert_eq!(asked, 10 * MIB);
        valve.set(rate(MIB), at(100_000));
        assert_eq!(
            u64::from(valve.fill_groups()) * GROUP_BYTES,
            MIB,
            "no more is saved up"
        );
        valve.set(rate(0), at(100_250));
        assert!(valve.fill_groups() == 0 && valve.injects() && !valve.fills());
        valve.set(rate(MIB / 32), at(101_250));
        assert_eq!(valve.fill_groups(), 0, "not worth a request yet");
        valve.set(rate(MIB / 32), at(102_250));
        assert_eq!(valve.fill_groups(), 4);
    }

    #[test]
    fn early_requests_are_short_unless_the_edge_is_far() {
        let times = |time: fn(Duration) -> Duration| {
            [0, 20, 100, 400].map(|millis| time(Duration::from_millis(millis)).as_millis())
        };
        let meeting = |latency| Portion::time_meeting(latency, false);
        assert_eq!(times(Portion::time_listening), [150, 150, 500, 1000]);
        assert_eq!(times(meeting), [100, 100, 400, 1000]);
        let full = |latency| Portion::time_meeting(latency, true);
        assert_eq!(times(full), [60, 60, 300, 1000]);
    }

    #[test]
    fn portions_follow_the_rate_and_shrink_towards_the_end() {
        let portion = Portion {
            rate: None,
            lanes: 4,
            answered_in: Duration::ZERO,
            time: Portion::TIME_ALONE,
            open_groups: 1 << 20,
            bytes_min: Portion::LEAST,
            bytes_max: 16 * MIB,
        };
        let mib = |portion: Portion| u64::from(portion.groups()) * GROUP_BYTES / (MIB / 16);
        assert_eq!(mib(portion), 1);
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

    #[test]
    fn towards_the_end_a_lane_does_not_idle_for_its_answers() {
        let portion = Portion {
            rate: Some(Rate::from_bytes_per_s(64 * 10 * GROUP_BYTES)),
            lanes: 4,
            answered_in: Duration::from_millis(100),
            time: Portion::TIME_ALONE,
            open_groups: 100,
            bytes_min: Portion::LEAST,
            bytes_max: 16 * MIB,
        };
        let groups = |open_groups, answered_in| {
            let answered_in = Duration::from_millis(answered_in);
            Portion {
                open_groups,
                answered_in,
                ..portion
            }
            .groups()
        };
        assert_eq!(groups(100, 0), 12, "half of its part");
        assert_eq!(groups(100, 100), 32, "two round trips of its pace");
        assert_eq!(groups(20, 100), 20, "not more than there is");
        assert_eq!(groups(1000, 100), 125);
        let ends = [5, 6, 7].map(|open_groups| groups(open_groups, 0));
        assert_eq!(ends, [5, 6, 4], "half of the least is not left over");
    }

    #[test]
    fn in_the_last_moment_the_least_is_divided_among_the_lanes() {
        let groups = |rate, open_groups| {
            let portion = Portion {
                rate: Some(Rate::from_bytes_per_s(rate * GROUP_BYTES)),
                lanes: 4,
                answered_in: Duration::from_millis(100),
                time: Portion::TIME_SHARED,
                open_groups,
                bytes_min: Portion::LEAST,
                bytes_max: 16 * MIB,
            };
            (portion.groups(), portion.groups_closing())
        };
        assert_eq!(groups(10, 100), (4, 4), "no difference while much is left");
        assert_eq!(
            [1, 4, 5, 8, 20].map(|open| groups(10, open).1),
            [1, 1, 2, 2, 4]
        );
        assert_eq!(groups(10, 8).0, 4);
        assert_eq!(groups(1000, 8).1, 8, "a fast lane takes it all");
    }
}
