//! The shape of an object's hash tree: which parents exist, where each lies in the outboard, and
//! which of them prove a range of groups. Pure geometry, no hash is computed here.
//!
//! A subtree over `n` groups has `n - 1` parents. Its left child covers the largest power of two
//! *below* `n` groups, the rest is right (BLAKE3 §2.1, with groups of 16 chunks as the leaves).
//! The outboard stores every parent as the pair of its children's chaining values, in pre-order:
//!
//! ```text
//!            0                 node 0 covers groups 0..5
//!          /   \               its left child comes next: node 1
//!         1     group 4        its right child comes after the left subtree: node 0 + 4
//!       /   \
//!      2     3                 (a right child that is one group has no node)
//!     / \   / \
//!    g0 g1 g2 g3
//! ```

use peerlift_model::{ByteRange, GroupIndex, GroupRange, Height, Layout};

/// Bytes of one parent in the outboard: two chaining values.
pub const NODE_BYTES: u64 = NODE_LEN as u64;

/// [`NODE_BYTES`], as slices count.
pub(crate) const NODE_LEN: usize = 64;

/// A node of the tree with everything below it: a parent, or a single group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subtree {
    node: u32,
    groups: GroupRange,
    root: bool,
}

impl Subtree {
    /// The groups below it; never empty.
    #[must_use]
    pub fn groups(self) -> GroupRange {
        self.groups
    }

    /// The group, when the subtree is a leaf.
    #[must_use]
    pub fn leaf(self) -> Option<GroupIndex> {
        (self.groups.len() == 1).then(|| GroupIndex(self.groups.start()))
    }

    /// How high it is.
    #[must_use]
    pub fn height(self) -> Height {
        Height::of(self.groups.len())
    }

    /// Whether it is the whole object.
    #[must_use]
    pub fn is_root(self) -> bool {
        self.root
    }

    /// The number of its top parent in pre-order. Of a leaf: where a parent would be.
    #[must_use]
    pub fn node(self) -> u32 {
        self.node
    }

    /// The numbers of all its parents: as a leaf has none, an empty range.
    #[must_use]
    pub fn nodes(self) -> (u32, u32) {
        (self.node, self.node + (self.groups.len() - 1))
    }

    /// Where its top parent lies in the outboard.
    #[must_use]
    pub fn outboard_offset(self) -> u64 {
        u64::from(self.node) * NODE_BYTES
    }

    /// Its two children; `None` of a leaf.
    #[must_use]
    pub fn children(self) -> Option<(Self, Self)> {
        let count = self.groups.len();
        if count < 2 {
            return None;
        }
        let left = 1 << (count - 1).ilog2();
        let middle = self.groups.start() + left;
        Some((
            Self {
                node: self.node + 1,
                groups: GroupRange::new(self.groups.start(), middle),
                root: false,
            },
            Self {
                node: self.node + left,
                groups: GroupRange::new(middle, self.groups.end()),
                root: false,
            },
        ))
    }

    fn overlaps(self, range: GroupRange) -> bool {
        !self.groups.intersection(range).is_empty()
    }

    fn is_within(self, range: GroupRange) -> bool {
        self.groups.intersection(range) == self.groups
    }
}

/// The hash tree of an object of a given layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tree {
    layout: Layout,
}

impl Tree {
    /// The tree over the groups of `layout`.
    #[must_use]
    pub const fn new(layout: Layout) -> Self {
        Self { layout }
    }

    /// The cut of the object.
    #[must_use]
    pub fn layout(self) -> Layout {
        self.layout
    }

    /// The whole object; `None` of an empty one.
    #[must_use]
    pub fn root(self) -> Option<Subtree> {
        let groups = self.layout.all_groups();
        (!groups.is_empty()).then_some(Subtree {
            node: 0,
            groups,
            root: true,
        })
    }

    /// The subtree over exactly these groups, when there is one.
    #[must_use]
    pub fn find(self, groups: GroupRange) -> Option<Subtree> {
        let mut at = self.root()?;
        while at.groups() != groups {
            let (left, right) = at.children()?;
            at = if groups.start() < right.groups().start() {
                left
            } else {
                right
            };
        }
        Some(at)
    }

    /// How many parents there are.
    #[must_use]
    pub fn node_count(self) -> u32 {
        self.layout.group_count().saturating_sub(1)
    }

    /// The size of the outboard in bytes: 64 a parent, 0.39 % of a large object.
    #[must_use]
    pub fn outboard_len(self) -> u64 {
        u64::from(self.node_count()) * NODE_BYTES
    }

    /// The parents that prove `groups` from the root, as sorted runs of node numbers
    /// (start, one past the end) that do not touch.
    #[must_use]
    pub fn node_runs_for(self, groups: GroupRange) -> Vec<(u32, u32)> {
        let mut runs: Vec<(u32, u32)> = Vec::new();
        let mut stack: Vec<Subtree> = self.root().into_iter().collect();
        while let Some(subtree) = stack.pop() {
            if !subtree.overlaps(groups) {
                continue;
            }
            let (start, mut end) = subtree.nodes();
            if !subtree.is_within(groups)
                && let Some((left, right)) = subtree.children()
            {
                end = start + 1;
                stack.extend([right, left]);
            }
            match runs.last_mut() {
                Some(last) if last.1 == start => last.1 = end,
                Some(_) | None if start == end => {}
                Some(_) | None => runs.push((start, end)),
            }
        }
        runs
    }

    /// The bytes of the outboard that hold the parents that prove `groups` from the root:
    /// sorted, not touching.
    #[must_use]
    pub fn nodes_for(self, groups: GroupRange) -> Vec<ByteRange> {
        let runs = self.node_runs_for(groups);
        runs.into_iter()
            .map(|(start, end)| node_bytes(start, end))
            .collect()
    }

    /// The subtrees that overlap `groups`, parents before children, left before right: the order
    /// of the outboard and of an encoded range.
    #[must_use]
    pub fn walk(self, groups: GroupRange) -> Walk {
        Walk {
            groups,
            stack: self.root().into_iter().collect(),
        }
    }

    /// The height of the highest parent that proves some of `groups` and is not `known`; that of a
    /// group when all are known. A parent beneath an unknown one is not asked after.
    #[must_use]
    pub fn unknown_height(self, groups: GroupRange, known: impl Fn(Subtree) -> bool) -> Height {
        let mut height = Height::GROUP;
        let mut stack: Vec<Subtree> = self.root().into_iter().collect();
        while let Some(subtree) = stack.pop() {
            let Some((left, right)) = subtree.children() else {
                continue;
            };
            if !subtree.overlaps(groups) || subtree.height() <= height {
                continue;
            }
            if known(subtree) {
                stack.extend([right, left]);
            } else {
                height = subtree.height();
            }
        }
        height
    }

    /// How many parents no higher than `from` prove `groups`.
    #[must_use]
    pub fn parents_beneath(self, from: Height, groups: GroupRange) -> u64 {
        let mut count = 0;
        let mut stack: Vec<Subtree> = self.root().into_iter().collect();
        while let Some(subtree) = stack.pop() {
            let Some((left, right)) = subtree.children() else {
                continue;
            };
            let sent = subtree.height() <= from;
            if sent && subtree.is_within(groups) {
                count += u64::from(subtree.groups().len()) - 1;
            } else if subtree.overlaps(groups) {
                count += u64::from(sent);
                stack.extend([right, left]);
            }
        }
        count
    }

    /// The length in bytes of the encoding of `groups`, when parents above `from` are left out.
    #[must_use]
    pub fn encoded_len(self, groups: GroupRange, from: Height) -> u64 {
        let groups = groups.intersection(self.layout.all_groups());
        NODE_BYTES * self.parents_beneath(from, groups) + self.layout.bytes_of(groups).len()
    }
}

/// The bytes of the outboard that hold the parents `start..end`.
#[must_use]
pub fn node_bytes(start: u32, end: u32) -> ByteRange {
    ByteRange::new(u64::from(start) * NODE_BYTES, u64::from(end) * NODE_BYTES)
}

/// See [`Tree::walk`].
#[derive(Clone, Debug)]
pub struct Walk {
    groups: GroupRange,
    /// At most one pending right child a level: 32 levels.
    stack: Vec<Subtree>,
}

impl Iterator for Walk {
    type Item = Subtree;

    fn next(&mut self) -> Option<Subtree> {
        loop {
            let subtree = self.stack.pop()?;
            if subtree.overlaps(self.groups) {
                if let Some((left, right)) = subtree.children() {
                    self.stack.extend([right, left]);
                }
                return Some(subtree);
            }
        }
    }
}
