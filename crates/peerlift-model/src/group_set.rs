//! A set of chunk groups, kept as the runs it is made of.

use std::fmt;

use crate::{GroupIndex, GroupRange};

/// A set of chunk groups: sorted, disjoint, non-touching runs.
///
/// Memory follows the number of runs, not of groups: a complete 1 TiB object is one run. Look-ups
/// are a binary search, changes move the runs behind them, set operations merge both lists once.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct GroupSet {
    runs: Vec<GroupRange>,
}

impl GroupSet {
    /// The empty set.
    #[must_use]
    pub const fn new() -> Self {
        Self { runs: Vec::new() }
    }

    /// The runs in order: none empty, none touching the next.
    #[must_use]
    pub fn runs(&self) -> &[GroupRange] {
        &self.runs
    }

    /// Whether there is no group in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many groups are in it.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.runs.iter().map(|run| u64::from(run.len())).sum()
    }

    /// Whether the group is in it.
    #[must_use]
    pub fn contains(&self, group: GroupIndex) -> bool {
        self.contains_all(GroupRange::one(group))
    }

    /// Whether every group of the range is in it. True of an empty range.
    #[must_use]
    pub fn contains_all(&self, range: GroupRange) -> bool {
        let at = self.first_ending_after(range.start());
        range.is_empty()
            || self
                .runs
                .get(at)
                .is_some_and(|run| run.start() <= range.start() && range.end() <= run.end())
    }

    /// How many groups of the range are in it.
    #[must_use]
    pub fn count_in(&self, range: GroupRange) -> u32 {
        self.runs_in(range).map(GroupRange::len).sum()
    }

    /// The runs within the range, cut at its ends.
    pub fn runs_in(&self, range: GroupRange) -> impl Iterator<Item = GroupRange> {
        self.runs[self.first_ending_after(range.start())..]
            .iter()
            .map(move |run| run.intersection(range))
            .take_while(|run| !run.is_empty())
    }

    /// The runs of the range that are *not* in the set.
    pub fn gaps_in(&self, range: GroupRange) -> impl Iterator<Item = GroupRange> {
        let mut at = range.start();
        let closing = GroupRange::new(range.end(), range.end());
        self.runs_in(range)
            .chain(std::iter::once(closing))
            .filter_map(move |run| {
                let gap = GroupRange::new(at, run.start());
                at = run.end();
                (!gap.is_empty()).then_some(gap)
            })
    }

    /// Adds the groups of the range; says how many were new.
    pub fn insert(&mut self, range: GroupRange) -> u32 {
        if range.is_empty() {
            return 0;
        }
        let added = range.len() - self.count_in(range);
        let first = self.runs.partition_point(|run| run.end() < range.start());
        let past = self.runs.partition_point(|run| run.start() <= range.end());
        let merged = match self.runs[first..past] {
            [] => range,
            [one] => hull(range, one),
            [head, .., tail] => hull(hull(range, head), tail),
        };
        self.runs.splice(first..past, [merged]);
        added
    }

    /// Takes the groups of the range out; says how many were in.
    pub fn remove(&mut self, range: GroupRange) -> u32 {
        let removed = self.count_in(range);
        if removed == 0 {
            return 0;
        }
        let first = self.first_ending_after(range.start());
        let past = self.runs.partition_point(|run| run.start() < range.end());
        let head = GroupRange::new(self.runs[first].start(), range.start());
        let tail = GroupRange::new(range.end(), self.runs[past - 1].end());
        self.runs.splice(
            first..past,
            [head, tail].into_iter().filter(|run| !run.is_empty()),
        );
        removed
    }

    /// The groups in this set and not in the other.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let runs = self
            .runs
            .iter()
            .flat_map(|run| other.gaps_in(*run))
            .collect();
        Self { runs }
    }

    /// The groups in both sets.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let runs = self
            .runs
            .iter()
            .flat_map(|run| other.runs_in(*run))
            .collect();
        Self { runs }
    }

    fn first_ending_after(&self, group: u32) -> usize {
        self.runs.partition_point(|run| run.end() <= group)
    }
}

fn hull(a: GroupRange, b: GroupRange) -> GroupRange {
    GroupRange::new(a.start().min(b.start()), a.end().max(b.end()))
}

impl From<GroupRange> for GroupSet {
    fn from(range: GroupRange) -> Self {
        Self::from_iter([range])
    }
}

impl FromIterator<GroupRange> for GroupSet {
    fn from_iter<I: IntoIterator<Item = GroupRange>>(ranges: I) -> Self {
        let mut set = Self::new();
        set.extend(ranges);
        set
    }
}

impl Extend<GroupRange> for GroupSet {
    fn extend<I: IntoIterator<Item = GroupRange>>(&mut self, ranges: I) {
        for range in ranges {
            self.insert(range);
        }
    }
}

impl fmt::Debug for GroupSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&self.runs).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// The slow, obvious model: one entry a group.
    type Model = BTreeSet<u32>;

    fn range() -> impl Strategy<Value = GroupRange> {
        (0u32..64, 0u32..20).prop_map(|(start, len)| GroupRange::new(start, start + len))
    }

    fn expand(set: &GroupSet) -> Model {
        set.runs()
            .iter()
            .flat_map(|run| run.start()..run.end())
            .collect()
    }

    fn build(steps: &[(bool, GroupRange)]) -> (GroupSet, Model) {
        let (mut set, mut model) = (GroupSet::new(), Model::new());
        for (add, range) in steps {
            let groups = range.start()..range.end();
            let (got, want) = if *add {
                (
                    set.insert(*range),
                    groups.filter(|g| model.insert(*g)).count(),
                )
            } else {
                (
                    set.remove(*range),
                    groups.filter(|g| model.remove(g)).count(),
                )
            };
            assert_eq!(got as usize, want);
        }
        (set, model)
    }

    fn steps() -> impl Strategy<Value = Vec<(bool, GroupRange)>> {
        proptest::collection::vec((any::<bool>(), range()), 0..24)
    }

    proptest! {
        #[test]
        fn equals_a_set_of_single_groups(steps in steps(), probe in range()) {
            let (set, model) = build(&steps);
            prop_assert_eq!(expand(&set), model.clone());
            prop_assert!(set.runs().windows(2).all(|w| w[0].end() < w[1].start()));
            prop_assert!(set.runs().iter().all(|run| !run.is_empty()));

            let probed: Model = (probe.start()..probe.end()).collect();
            let inside: Model = model.intersection(&probed).copied().collect();
            let outside: Model = probed.difference(&model).copied().collect();
            prop_assert_eq!(set.count_in(probe) as usize, inside.len());
            prop_assert_eq!(set.contains_all(probe), outside.is_empty());
            prop_assert_eq!(expand(&set.runs_in(probe).collect()), inside);
            prop_assert_eq!(expand(&set.gaps_in(probe).collect()), outside);
        }

        #[test]
        fn set_operations_equal_the_model(a in steps(), b in steps()) {
            let ((a, model_a), (b, model_b)) = (build(&a), build(&b));
            let both: Model = model_a.intersection(&model_b).copied().collect();
            let only_a: Model = model_a.difference(&model_b).copied().collect();
            prop_assert_eq!(expand(&a.intersection(&b)), both);
            prop_assert_eq!(expand(&a.difference(&b)), only_a);
            prop_assert_eq!(usize::try_from(a.len()), Ok(model_a.len()));
        }
    }
}
