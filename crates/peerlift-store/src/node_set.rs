//! Which parents of a hash tree are known.

use peerlift_content::Tree;
use peerlift_model::{GroupIndex, GroupRange, GroupSet};

/// A set of parents by their number in pre-order.
///
/// Parents are numbered as groups are, with 32 bits, and come in runs as they do: the set of
/// groups serves, inside this type, for parents.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeSet(GroupSet);

impl NodeSet {
    /// The parents that prove `groups`.
    pub(crate) fn above(tree: Tree, groups: &GroupSet) -> Self {
        let mut nodes = Self::default();
        for groups in groups.runs() {
            for run in tree.node_runs_for(*groups) {
                nodes.insert(run);
            }
        }
        nodes
    }

    pub(crate) fn contains(&self, node: u32) -> bool {
        self.0.contains(GroupIndex(node))
    }

    pub(crate) fn insert(&mut self, (start, end): (u32, u32)) {
        self.0.insert(GroupRange::new(start, end));
    }

    /// The runs of parents in a run that are not known.
    pub(crate) fn missing_in(&self, (start, end): (u32, u32)) -> Vec<(u32, u32)> {
        let gaps = self.0.gaps_in(GroupRange::new(start, end));
        gaps.map(|gap| (gap.start(), gap.end())).collect()
    }
}
