//! Asks a second source for what the first will not deliver soon.
//!
//! When every missing group is asked of somebody, a source with nothing to do takes over the tail
//! of the request that will end last, as much of it as makes both end at the same time. Groups under
//! way twice are a small, bounded part of an object ([`Budget`]), and none is under way a third time:
//! before somebody else is asked, one of the two is relieved of it.

use std::time::Duration;

use peerlift_model::{GROUP_BYTES, GroupRange, Rate};

/// A request that is not over, seen by a source that could help.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Straggler {
    /// Groups at its end that are missing, asked for once, and that the helper has.
    pub(crate) tail: GroupRange,
    /// When it will end, from now.
    pub(crate) ends_in: Duration,
    /// What its source delivers.
    pub(crate) rate: Rate,
}

/// A source with nothing to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Helper {
    /// How long until the first byte of a request would arrive.
    pub(crate) latency: Duration,
    /// What it delivers.
    pub(crate) rate: Rate,
    /// When everything would be here, from now.
    pub(crate) until: Duration,
    /// What ends sooner is not waited for: [`late_from`].
    pub(crate) late_from: Duration,
}

/// From when on a request is waited for where everything would be here in `until`. Many sources on a full downlink wait for
/// one another: each is slow by itself, and all that they owe comes by the end.
pub(crate) fn late_from(until: Duration) -> Duration {
    /// What ends within so many times the time that is left is not late,
    const TIMES: u32 = 5;
    /// unless it takes so long.
    const LATE: Duration = Duration::from_secs(1);
    until.saturating_mul(TIMES).min(LATE)
}

impl Helper {
    /// Who answers within such a part of the time that is left helps; who takes longer would be waited
    /// for in turn, and an edge that is asked instead has nothing but its round trip to wait for.
    const PART: u32 = 2;
    /// Nobody takes long who answers so soon.
    const SOON: Duration = Duration::from_millis(100);

    /// Whether a peer answers soon enough to be of help where an edge could help, too.
    pub(crate) fn is_quick(self) -> bool {
        self.brings_in(1) <= (self.until / Self::PART).max(Self::SOON)
    }

    /// One of the lanes of an edge, for what it brings in the time that its answer takes anyhow.
    pub(crate) fn lane(self, lanes: u8) -> Self {
        let rate = self.rate.bytes_per_s() / u64::from(lanes.max(1));
        Self {
            rate: Rate::from_bytes_per_s(rate),
            until: Duration::ZERO,
            ..self
        }
    }

    /// How many groups it brings until everything would be here, or in the time that its answer takes
    /// anyhow; one at least.
    fn in_time(self) -> u32 {
        let groups = self.rate.bytes_in(self.until.max(self.latency)) / GROUP_BYTES;
        u32::try_from(groups).unwrap_or(u32::MAX).max(1)
    }

    /// Whether so many groups would be here clearly before a request that ends in so long.
    fn is_sooner(self, groups: u32, ends_in: Duration) -> bool {
        self.brings_in(groups) < ends_in - ends_in / GAIN
    }

    /// How long so many groups would take.
    fn brings_in(self, groups: u32) -> Duration {
        let takes = self.rate.time_for(bytes(groups));
        self.latency.saturating_add(takes)
    }
}

/// What the helper should ask for: the end of the tail that will be last, when that is late and it would be
/// clearly sooner. No more than it brings until everything would be here, or in the time that its answer
/// takes anyhow: a slow helper would be waited for in turn, and the next one takes a part, too.
pub(crate) fn rescue(stragglers: &[Straggler], helper: Helper) -> Option<GroupRange> {
    let slowest = stragglers
        .iter()
        .max_by_key(|one| (one.ends_in, one.tail.start()))?;
    let groups = shared(slowest, helper).min(helper.in_time());
    let start = slowest.tail.end() - groups.min(slowest.tail.len());
    let run = GroupRange::new(start, slowest.tail.end());
    let late = slowest.ends_in > helper.late_from;
    let pays = late && helper.is_sooner(run.len(), slowest.ends_in);
    (!run.is_empty() && pays).then_some(run)
}

/// What else the helper takes along: the tails beside `run`, when all of it would still be clearly sooner. Every request
/// costs a lane one round trip, and while it makes that for one group it could for several.
pub(crate) fn with_neighbours(
    mut run: GroupRange,
    stragglers: &[Straggler],
    helper: Helper,
) -> GroupRange {
    let most = helper.in_time();
    let joined = |run: GroupRange, one: &Straggler| {
        let touches = one.tail.end() == run.start() || one.tail.start() == run.end();
        let groups = run.len() + one.tail.len();
        let fits = groups <= most && helper.is_sooner(groups, one.ends_in);
        let start = run.start().min(one.tail.start());
        (touches && fits).then(|| GroupRange::new(start, start + groups))
    };
    while let Some(more) = stragglers.iter().find_map(|one| joined(run, one)) {
        run = more;
    }
    run
}

/// One in so many parts of the wait must be saved, or a second request does not pay for its waste:
/// with 2 % of a download's time at stake, 1 % of its bytes asked for twice is half of that.
const GAIN: u32 = 3;

/// How many groups the helper delivers until the straggler, relieved of them, ends too.
fn shared(straggler: &Straggler, helper: Helper) -> u32 {
    let head_start = straggler.ends_in.saturating_sub(helper.latency);
    let both = Rate::from_bytes_per_s(
        (straggler
            .rate
            .bytes_per_s()
            .saturating_mul(helper.rate.bytes_per_s()))
        .checked_div(
            straggler
                .rate
                .bytes_per_s()
                .saturating_add(helper.rate.bytes_per_s()),
        )
        .unwrap_or(0),
    );
    let together = if straggler.rate == Rate::default() {
        helper.rate
    } else {
        both
    };
    let groups = together.bytes_in(head_start) / GROUP_BYTES;
    u32::try_from(groups).unwrap_or(u32::MAX).max(1)
}

fn bytes(groups: u32) -> u64 {
    u64::from(groups) * GROUP_BYTES
}

/// What may still be asked for twice: a part of the object, less what is under way twice and what
/// came twice.
#[derive(Debug)]
pub(crate) struct Budget {
    most: u64,
    groups: u64,
}

impl Budget {
    /// One in so many groups of an object may be under way twice: 2 % at most are wasted, and
    /// that only when no cancel is in time.
    const SHARE: u64 = 50;
    /// Enough for the end-game of a small object.
    const LEAST: u64 = 32;

    /// The budget of an object of so many groups.
    pub(crate) fn new(groups: u32) -> Self {
        let most = (u64::from(groups) / Self::SHARE).max(Self::LEAST);
        Self { most, groups: most }
    }

    /// Cuts a run to what is left, at its front, and pays for it.
    pub(crate) fn spend(&mut self, run: GroupRange) -> Option<GroupRange> {
        let groups = u32::try_from(self.groups)
            .unwrap_or(u32::MAX)
            .min(run.len());
        self.groups -= u64::from(groups);
        (groups > 0).then(|| GroupRange::new(run.end() - groups, run.end()))
    }

    /// Gives back what is not under way twice any more, and did not arrive twice.
    pub(crate) fn refund(&mut self, groups: u64) {
        self.groups = (self.groups + groups).min(self.most);
    }

    /// Pays for what arrived twice all the same.
    pub(crate) fn charge(&mut self, groups: u64) {
        self.groups = self.groups.saturating_sub(groups);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn straggler(start: u32, end: u32, ends_in: Duration, rate: u64) -> Straggler {
        Straggler {
            tail: GroupRange::new(start, end),
            ends_in,
            rate: Rate::from_bytes_per_s(rate),
        }
    }

    fn helper(rate: u64) -> Helper {
        Helper {
            latency: Duration::from_millis(50),
            rate: Rate::from_bytes_per_s(rate),
            until: SECOND * 2,
            late_from: Duration::ZERO,
        }
    }

    #[test]
    fn a_slow_helper_takes_what_it_brings_in_time() {
        let dead = [straggler(10, 20, SECOND * 8, 0)];
        let groups = |rate: u64, until, latency| {
            let helper = Helper {
                latency,
                rate: Rate::from_bytes_per_s(rate * GROUP_BYTES),
                until,
                ..helper(0)
            };
            rescue(&dead, helper).map_or(0, GroupRange::len)
        };
        let millis = Duration::from_millis;
        assert_eq!(groups(10, millis(500), millis(50)), 5);
        assert_eq!(
            groups(10, Duration::ZERO, millis(300)),
            3,
            "it takes that long anyhow"
        );
        assert_eq!(groups(1, millis(100), millis(50)), 1, "one at least");
        assert_eq!(
            groups(10, Duration::MAX, millis(50)),
            10,
            "no pace, no hurry"
        );
    }

    #[test]
    fn who_answers_after_half_of_the_time_is_not_asked() {
        let is_quick = |latency, until| {
            let millis = Duration::from_millis;
            let (latency, until) = (millis(latency), millis(until));
            let rate = Rate::from_bytes_per_s(GROUP_BYTES * 100);
            Helper {
                latency,
                rate,
                until,
                ..helper(0)
            }
            .is_quick()
        };
        assert!(is_quick(190, 400) && !is_quick(191, 400), "and one group");
        assert!(is_quick(90, 0) && !is_quick(91, 0));
        assert!(!helper(0).is_quick(), "nothing is known of it");
    }

    #[test]
    fn equals_share_the_rest_of_the_last() {
        let rate = 10 * GROUP_BYTES;
        let stragglers = [
            straggler(0, 5, SECOND / 2, rate),
            straggler(10, 20, SECOND, rate),
        ];
        let run = rescue(&stragglers, helper(rate)).unwrap();
        assert_eq!((run.end(), run.len()), (20, 4));
    }

    #[test]
    fn a_lane_takes_the_neighbours_along_that_are_late_as_well() {
        let late = SECOND;
        let in_time = Duration::from_millis(60);
        let stragglers = [
            straggler(0, 2, late, 0),
            straggler(2, 4, late, 0),
            straggler(6, 8, late, 0),
            straggler(8, 9, in_time, 0),
            straggler(11, 12, late, 0),
        ];
        let run = |lanes| {
            let lane = helper(400 * GROUP_BYTES).lane(lanes);
            let run = with_neighbours(GroupRange::new(4, 6), &stragglers, lane);
            (run.start(), run.end())
        };
        assert_eq!(
            run(1),
            (0, 8),
            "not what comes in time, nor what is not beside it"
        );
        assert_eq!(run(5), (2, 6), "four groups in a round trip");
        assert_eq!(run(20), (4, 6));
    }

    #[test]
    fn a_dead_source_is_relieved_of_everything() {
        let run = rescue(
            &[straggler(10, 20, SECOND * 8, 0)],
            helper(10 * GROUP_BYTES),
        );
        assert_eq!(run, Some(GroupRange::new(10, 20)));
    }

    #[test]
    fn nothing_is_asked_twice_that_would_not_come_sooner() {
        let soon = straggler(0, 1, Duration::from_millis(60), GROUP_BYTES * 20);
        assert_eq!(rescue(&[soon], helper(1 << 30)), None);
        assert_eq!(
            rescue(&[straggler(0, 9, SECOND, GROUP_BYTES)], helper(0)),
            None
        );
        assert_eq!(rescue(&[], helper(1 << 20)), None);
    }

    #[test]
    fn what_comes_within_a_few_times_the_rest_is_not_asked_twice() {
        let millis = Duration::from_millis;
        assert_eq!(late_from(millis(100)), millis(500));
        assert_eq!(late_from(Duration::MAX), SECOND, "that is long");
        let helper = Helper {
            late_from: millis(500),
            ..helper(100 * GROUP_BYTES)
        };
        let helped = |ends_in| rescue(&[straggler(0, 1, millis(ends_in), 0)], helper).is_some();
        assert!(!helped(500) && helped(501));
    }

    #[test]
    fn the_budget_ends_and_unused_parts_come_back() {
        let mut budget = Budget::new(100);
        assert_eq!(
            budget.spend(GroupRange::new(0, 30)),
            Some(GroupRange::new(0, 30))
        );
        assert_eq!(
            budget.spend(GroupRange::new(0, 30)),
            Some(GroupRange::new(28, 30))
        );
        assert_eq!(budget.spend(GroupRange::new(0, 30)), None);
        budget.refund(1);
        assert_eq!(
            budget.spend(GroupRange::new(0, 30)),
            Some(GroupRange::new(29, 30))
        );
        budget.refund(9);
        budget.charge(7);
        assert_eq!(budget.spend(GroupRange::new(0, 30)).unwrap().len(), 2);
        budget.refund(1000);
        assert_eq!(budget.spend(GroupRange::new(0, 99)).unwrap().len(), 32);
    }
}
