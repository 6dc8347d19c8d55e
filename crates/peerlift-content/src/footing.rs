//! What of a proof is known already, so that nobody has to send it again.
//!
//! Whoever has verified some groups knows the parents above them, and most of the parents above
//! their neighbours. A footing is the lowest height from which on nothing above is missing, with the
//! hashes of the subtrees of that height: on them stands the rest of the proof, and a
//! [`crate::RangeDecoder`].

use std::io;

use peerlift_model::{GroupRange, Height, Layout, ObjectId};

use crate::hash::{self, Hash};
use crate::nodes::Nodes;
use crate::read_at::ReadAt;
use crate::tree::{Subtree, Tree};

/// Hashes that are known to be the object's, and below which a range of groups lies.
#[derive(Clone, Debug)]
pub struct Footing {
    pub(crate) layout: Layout,
    pub(crate) groups: GroupRange,
    height: Height,
    /// In the order of the outboard; at most as many as there are groups.
    pub(crate) tops: Vec<(Subtree, Hash)>,
}

impl Footing {
    /// Nothing but the root is known.
    #[must_use]
    pub fn root(root: ObjectId, layout: Layout, groups: GroupRange) -> Self {
        let groups = groups.intersection(layout.all_groups());
        let top = Tree::new(layout).root().filter(|_| !groups.is_empty());
        Self {
            layout,
            groups,
            height: Height::MAX,
            tops: top.map(|top| (top, *root.as_bytes())).into_iter().collect(),
        }
    }

    /// Finds what can be left out of a proof of `groups`, cut at the end of the object, when
    /// `outboard` holds the parents whose numbers are `known`.
    ///
    /// They are verified once more: a disk that rots must not make liars of honest peers. When they
    /// are not what they were, only the root is known.
    ///
    /// # Errors
    ///
    /// What the system says when the outboard cannot be read.
    pub fn find(
        root: ObjectId,
        layout: Layout,
        groups: GroupRange,
        outboard: &(impl ReadAt + ?Sized),
        known: impl Fn(u32) -> bool,
    ) -> io::Result<Self> {
        let tree = Tree::new(layout);
        let whole = Self::root(root, layout, groups);
        let height = tree.unknown_height(whole.groups, |subtree| known(subtree.node()));
        if tree.root().is_none_or(|top| top.height() <= height) {
            return Ok(whole);
        }
        let above = tree.walk(whole.groups);
        let above = above.filter(|subtree| subtree.height() > height);
        let nodes = Nodes::read(runs(above.map(Subtree::node)), outboard)?;
        let Some(tops) = descend(&whole, height, &nodes) else {
            return Ok(whole);
        };
        Ok(Self {
            height,
            tops,
            ..whole
        })
    }

    /// The groups of the range.
    #[must_use]
    pub fn groups(&self) -> GroupRange {
        self.groups
    }

    /// Parents above it need not be sent. [`Height::MAX`]: all have to be.
    #[must_use]
    pub fn height(&self) -> Height {
        self.height
    }
}

/// Walks down to the subtrees of a height, verifying; `None` when a parent is not the object's.
fn descend(whole: &Footing, height: Height, nodes: &Nodes) -> Option<Vec<(Subtree, Hash)>> {
    let mut tops = Vec::new();
    let mut stack = whole.tops.clone();
    while let Some((subtree, expected)) = stack.pop() {
        if subtree.groups().intersection(whole.groups).is_empty() {
            continue;
        }
        let Some((left, right)) = subtree.children().filter(|_| subtree.height() > height) else {
            tops.push((subtree, expected));
            continue;
        };
        let pair = nodes.pair(subtree.node());
        if hash::parent(pair, subtree.is_root()) != expected {
            return None;
        }
        let (left_hash, right_hash) = hash::split(pair);
        stack.extend([(right, right_hash), (left, left_hash)]);
    }
    Some(tops)
}

/// Sorted numbers as runs: start, and one past the end.
fn runs(numbers: impl Iterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some(last) if last.1 == number => last.1 += 1,
            Some(_) | None => runs.push((number, number + 1)),
        }
    }
    runs
}
