//! Verifies parts against the parents that are already known: what a partial object needs.
//!
//! [`verify_nodes`] proves parents top-down as they arrive, [`GroupHashes`] holds what groups must
//! hash to. Both read known parents from an outboard that was proven before it was written, and
//! trust it.

use std::io;

use peerlift_model::{ByteRange, GroupIndex, GroupRange, Layout, ObjectId};

use crate::decode::Corrupt;
use crate::hash::{self, Hash};
use crate::read_at::{ReadAt, buffer_len};
use crate::tree::{NODE_BYTES, NODE_LEN, Tree, node_bytes};

/// What the groups of a range must hash to.
#[derive(Clone, Debug)]
pub struct GroupHashes {
    layout: Layout,
    groups: GroupRange,
    hashes: Vec<Hash>,
}

impl GroupHashes {
    /// Reads the hashes of `groups` from the parents right above them, which must be in
    /// `outboard`. Groups beyond the end of the object are left out.
    ///
    /// # Errors
    ///
    /// What the system says when the outboard cannot be read.
    pub fn read(
        root: ObjectId,
        layout: Layout,
        groups: GroupRange,
        outboard: &(impl ReadAt + ?Sized),
    ) -> io::Result<Self> {
        let groups = groups.intersection(layout.all_groups());
        let mut hashes = vec![*root.as_bytes(); groups.len() as usize];
        let wanted = Wanted::all(Tree::new(layout), groups);
        for near in wanted.chunk_by(|a, b| b.node - a.node <= GAP_NODES) {
            let (first, last) = (near[0].node, near[near.len() - 1].node);
            let bytes = node_bytes(first, last + 1);
            let mut buf = vec![0; buffer_len(bytes.len())];
            outboard.fill_at(&mut buf, bytes.start())?;
            for wanted in near {
                let at = (wanted.node - first) as usize * NODE_LEN + wanted.half;
                let group = (wanted.group.0 - groups.start()) as usize;
                hashes[group].copy_from_slice(&buf[at..at + 32]);
            }
        }
        Ok(Self {
            layout,
            groups,
            hashes,
        })
    }

    /// The groups whose hashes these are.
    #[must_use]
    pub fn groups(&self) -> GroupRange {
        self.groups
    }

    /// Verifies the bytes of all groups, one after another.
    ///
    /// # Errors
    ///
    /// The first group whose bytes are wrong, or not there.
    pub fn verify(&self, data: &[u8]) -> Result<(), Corrupt> {
        let is_root = self.layout.group_count() == 1;
        let mut rest = data;
        for (group, expected) in self.groups.iter().zip(&self.hashes) {
            let len = usize::try_from(self.layout.bytes_of(GroupRange::one(group)).len());
            let split = len.ok().and_then(|len| rest.split_at_checked(len));
            let (bytes, after) = split.ok_or(Corrupt::Group(group))?;
            if hash::group(group, bytes, is_root) != *expected {
                return Err(Corrupt::Group(group));
            }
            rest = after;
        }
        let beyond = || Err(Corrupt::Group(GroupIndex(self.groups.end())));
        if rest.is_empty() { Ok(()) } else { beyond() }
    }
}

/// Where a group's hash lies: in which parent, and from which byte of it on.
struct Wanted {
    node: u32,
    half: usize,
    group: GroupIndex,
}

impl Wanted {
    /// Those of `groups`, by parent.
    fn all(tree: Tree, groups: GroupRange) -> Vec<Self> {
        let mut wanted = Vec::with_capacity(groups.len() as usize);
        for subtree in tree.walk(groups) {
            let Some((left, right)) = subtree.children() else {
                continue;
            };
            for (leaf, half) in [(left, 0), (right, 32)] {
                if let Some(group) = leaf.leaf().filter(|group| groups.contains(*group)) {
                    wanted.push(Self {
                        node: subtree.node(),
                        half,
                        group,
                    });
                }
            }
        }
        wanted
    }
}

/// Parents closer than this are read with one system call: reading 4 KiB too much costs less.
const GAP_NODES: u32 = 64;

/// Why parents were not proven.
#[derive(Debug, thiserror::Error)]
pub enum NodesError {
    /// They are not the object's: whoever sent them lied or is damaged.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// They came before a parent of theirs; the caller should have asked for that one first.
    #[error("the hash tree node at byte {outboard_offset} is needed first")]
    Orphan {
        /// Where the missing parent belongs.
        outboard_offset: u64,
    },
    /// The range is not made of whole parents within the outboard, or the bytes do not fill it.
    #[error("{range:?} of the outboard are no whole parents")]
    Misfit {
        /// The range.
        range: ByteRange,
    },
    /// A known parent cannot be read.
    #[error("cannot read the stored hash tree")]
    Io(#[source] io::Error),
}

/// Proves the parents in `bytes`, which are those at `range` of the outboard, from the root on.
/// Returns their numbers: the first, and one past the last.
///
/// `known` gives parents outside of the range that were proven before. In pre-order only
/// ancestors of the first parent are ever needed: any stretch of the outboard can be proven whose
/// first parent hangs on what is known.
///
/// # Errors
///
/// [`NodesError`]; nothing in `bytes` is then to be kept.
pub fn verify_nodes(
    root: ObjectId,
    layout: Layout,
    range: ByteRange,
    bytes: &[u8],
    known: impl Fn(u32) -> io::Result<Option<[u8; 64]>>,
) -> Result<(u32, u32), NodesError> {
    let tree = Tree::new(layout);
    let (start, end) = whole_nodes(tree, range, bytes).ok_or(NodesError::Misfit { range })?;
    let mut stack: Vec<_> = tree
        .root()
        .map(|top| (top, *root.as_bytes()))
        .into_iter()
        .collect();
    while let Some((subtree, expected)) = stack.pop() {
        let (first, past) = subtree.nodes();
        let Some((left, right)) = subtree.children() else {
            continue;
        };
        if past <= start || end <= first {
            continue;
        }
        let outboard_offset = subtree.outboard_offset();
        let pair = if first < start {
            known(first)
                .map_err(NodesError::Io)?
                .ok_or(NodesError::Orphan { outboard_offset })?
        } else {
            let at = (first - start) as usize * NODE_LEN;
            let pair = bytes[at..]
                .first_chunk()
                .copied()
                .ok_or(NodesError::Misfit { range })?;
            if hash::parent(&pair, subtree.is_root()) != expected {
                return Err(Corrupt::Node { outboard_offset }.into());
            }
            pair
        };
        let (left_hash, right_hash) = hash::split(&pair);
        stack.extend([(right, right_hash), (left, left_hash)]);
    }
    Ok((start, end))
}

/// The parents in a range of the outboard, when it is made of whole ones.
fn whole_nodes(tree: Tree, range: ByteRange, bytes: &[u8]) -> Option<(u32, u32)> {
    let fits = range.start().is_multiple_of(NODE_BYTES)
        && range.len().is_multiple_of(NODE_BYTES)
        && range.end() <= tree.outboard_len()
        && range.len() == bytes.len() as u64;
    let number = |offset: u64| u32::try_from(offset / NODE_BYTES).ok();
    fits.then_some((number(range.start())?, number(range.end())?))
}
