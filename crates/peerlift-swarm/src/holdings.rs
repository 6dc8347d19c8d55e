//! What one source can deliver.

use peerlift_model::{GroupRange, GroupSet};

/// The groups that a source has. "All" costs nothing to keep, and most sources of an old object
/// have all.
#[derive(Clone, Debug)]
pub(crate) enum Holdings {
    /// Every group.
    All,
    /// These groups.
    Some(GroupSet),
}

impl Holdings {
    /// The parts of the range that the source has.
    pub(crate) fn runs_in(&self, range: GroupRange) -> Vec<GroupRange> {
        match self {
            Self::All if range.is_empty() => Vec::new(),
            Self::All => vec![range],
            Self::Some(groups) => groups.runs_in(range).collect(),
        }
    }

    /// The first run of the range that is in `of` and that the source has.
    pub(crate) fn first_run(&self, of: &GroupSet, range: GroupRange) -> Option<GroupRange> {
        match self {
            Self::All => of.runs_in(range).next(),
            Self::Some(groups) => groups
                .runs_in(range)
                .find_map(|held| of.runs_in(held).next()),
        }
    }

    /// How many groups.
    pub(crate) fn len(&self, all: GroupRange) -> u64 {
        match self {
            Self::All => u64::from(all.len()),
            Self::Some(groups) => groups.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_common_run_is_found() {
        let range = GroupRange::new;
        let open = GroupSet::from_iter([range(2, 4), range(8, 20)]);
        let some = Holdings::Some(GroupSet::from_iter([range(0, 2), range(10, 12)]));
        assert_eq!(some.first_run(&open, range(0, 30)), Some(range(10, 12)));
        assert_eq!(some.first_run(&open, range(12, 30)), None);
        assert_eq!(
            Holdings::All.first_run(&open, range(3, 9)),
            Some(range(3, 4))
        );
        assert_eq!(some.runs_in(range(1, 11)), [range(1, 2), range(10, 11)]);
        assert_eq!(Holdings::All.runs_in(range(5, 5)), []);
        assert_eq!(some.len(range(0, 30)), 4);
    }
}
