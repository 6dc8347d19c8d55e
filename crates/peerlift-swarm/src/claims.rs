//! Who may still fetch what: the groups that are here, asked for, asked for twice, or open.
//!
//! Every group is in exactly one of four states. A request takes open groups to *asked*; the
//! end-game takes asked groups to *doubled*, never further: that bounds what can arrive in vain.

use peerlift_model::{GroupRange, GroupSet};

/// The state of every group of the object.
#[derive(Debug)]
pub(crate) struct Claims {
    have: GroupSet,
    open: GroupSet,
    /// How many groups these are: asked for with every request, when they may be many runs.
    open_groups: u64,
    doubled: GroupSet,
}

impl Claims {
    /// All groups that are not here are open.
    pub(crate) fn new(all: GroupRange, have: GroupSet) -> Self {
        let open: GroupSet = have.gaps_in(all).collect();
        Self {
            open_groups: open.len(),
            open,
            have,
            doubled: GroupSet::new(),
        }
    }

    /// What is here.
    pub(crate) fn have(&self) -> &GroupSet {
        &self.have
    }

    /// What is missing and asked of nobody.
    pub(crate) fn open(&self) -> &GroupSet {
        &self.open
    }

    /// How many groups are missing and asked of nobody.
    pub(crate) fn open_groups(&self) -> u64 {
        self.open_groups
    }

    /// What is missing and asked of two sources.
    pub(crate) fn doubled(&self) -> &GroupSet {
        &self.doubled
    }

    /// Asks for open groups.
    pub(crate) fn claim(&mut self, groups: GroupRange) {
        let taken = self.open.remove(groups);
        self.open_groups -= u64::from(taken);
        debug_assert_eq!(taken, groups.len(), "only open groups are claimed");
    }

    /// Asks a second time for asked groups.
    pub(crate) fn double(&mut self, groups: GroupRange) {
        let added = self.doubled.insert(groups);
        debug_assert_eq!(added, groups.len(), "no group is asked for three times");
    }

    /// Takes back one request for those of the groups that are still missing; says whether some
    /// are open again.
    pub(crate) fn release(&mut self, groups: GroupRange) -> bool {
        let missing: Vec<GroupRange> = self.have.gaps_in(groups).collect();
        let mut opened = false;
        for run in missing {
            let single: Vec<GroupRange> = self.doubled.gaps_in(run).collect();
            self.doubled.remove(run);
            opened |= !single.is_empty();
            for run in single {
                self.open_groups += u64::from(self.open.insert(run));
            }
        }
        opened
    }

    /// Notes groups as here; says which of them are new.
    pub(crate) fn arrive(&mut self, groups: GroupRange) -> Vec<GroupRange> {
        let new: Vec<GroupRange> = self.have.gaps_in(groups).collect();
        self.have.insert(groups);
        self.open_groups -= u64::from(self.open.remove(groups));
        self.doubled.remove(groups);
        new
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GROUPS: u32 = 24;

    /// The slow, obvious model: how often each group is asked for; `None` when it is here.
    type Model = Vec<Option<u32>>;

    fn asked(model: &Model, want: u32) -> GroupSet {
        (0..GROUPS)
            .filter(|g| model[*g as usize] == Some(want))
            .map(|g| GroupRange::new(g, g + 1))
            .collect()
    }

    /// The longest run from `at` of groups asked for `times` times.
    fn run(model: &Model, at: u32, len: u32, times: u32) -> GroupRange {
        let end = (at..GROUPS.min(at + len))
            .find(|g| model[*g as usize] != Some(times))
            .unwrap_or(GROUPS.min(at + len));
        GroupRange::new(at, end)
    }

    proptest! {
        #[test]
        fn equals_a_count_a_group(steps in proptest::collection::vec((0u8..4, 0..GROUPS, 1u32..8, any::<prop::sample::Index>()), 0..60)) {
            let mut claims = Claims::new(GroupRange::new(0, GROUPS), GroupSet::new());
            let mut model: Model = vec![Some(0); GROUPS as usize];
            let mut requests: Vec<GroupRange> = Vec::new();
            for (step, at, len, pick) in steps {
                match step {
                    0 | 1 => {
                        let groups = run(&model, at, len, u32::from(step));
                        if groups.is_empty() { continue; }
                        if step == 0 { claims.claim(groups) } else { claims.double(groups) }
                        groups.iter().for_each(|g| model[g.0 as usize] = Some(u32::from(step) + 1));
                        requests.push(groups);
                    }
                    2 if !requests.is_empty() => {
                        let groups = requests.remove(pick.index(requests.len()));
                        claims.release(groups);
                        for g in groups.iter() {
                            model[g.0 as usize] = model[g.0 as usize].map(|times| times - 1);
                        }
                    }
                    _ => {
                        let groups = GroupRange::new(at, GROUPS.min(at + len));
                        let new: u32 = claims.arrive(groups).iter().map(|run| run.len()).sum();
                        let want = groups.iter().filter(|g| model[g.0 as usize].is_some()).count();
                        prop_assert_eq!(new as usize, want);
                        groups.iter().for_each(|g| model[g.0 as usize] = None);
                    }
                }
                prop_assert_eq!(claims.open(), &asked(&model, 0));
                prop_assert_eq!(claims.open_groups(), claims.open().len());
                prop_assert_eq!(claims.doubled(), &asked(&model, 2));
            }
        }
    }
}
