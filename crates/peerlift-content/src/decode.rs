//! Takes the encoding of a range of groups apart and verifies it, one hash at a time.
//!
//! Sans-IO: the caller asks [`RangeDecoder::next_len`], reads as many bytes, and hands them to
//! [`RangeDecoder::accept`]. Nothing is returned that has not been proven from the root, or from
//! hashes that were proven before ([`Footing`]), so a sender can waste at most one group (16 KiB) of
//! traffic before it is found out.

use peerlift_model::{ByteRange, GroupIndex, GroupRange, Layout, ObjectId};

use crate::footing::Footing;
use crate::hash::{self, Hash};
use crate::tree::{NODE_BYTES, Subtree};

/// Something proven: it belongs to the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item {
    /// A parent of the hash tree.
    #[non_exhaustive]
    Parent {
        /// Where it lies in the outboard.
        outboard_offset: u64,
        /// Its bytes: the two children's hashes.
        pair: [u8; 64],
    },
    /// A group; its bytes are those just handed in.
    #[non_exhaustive]
    Group {
        /// Which.
        group: GroupIndex,
    },
}

/// Bytes that do not belong to the object: whoever sent them lied or is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Corrupt {
    /// The bytes are not those of the group.
    #[error("group {} does not match the object's hash", .0.0)]
    Group(GroupIndex),
    /// The bytes are not that parent of the hash tree.
    #[error("the hash tree node at byte {outboard_offset} does not match the object's hash")]
    Node {
        /// Where the parent belongs in the outboard.
        outboard_offset: u64,
    },
}

/// The verifying end of an encoded range.
#[derive(Clone, Debug)]
pub struct RangeDecoder {
    layout: Layout,
    groups: GroupRange,
    /// Subtrees still to come with their hashes, next on top: those of the footing, and at most one
    /// a level.
    stack: Vec<(Subtree, Hash)>,
}

impl RangeDecoder {
    /// Expects the encoding of `groups`, cut at the end of the object, with all of its proof.
    #[must_use]
    pub fn new(root: ObjectId, layout: Layout, groups: GroupRange) -> Self {
        Self::on(Footing::root(root, layout, groups))
    }

    /// Expects the encoding of the groups of `footing`, without the parents above its height.
    #[must_use]
    pub fn on(footing: Footing) -> Self {
        let Footing {
            layout,
            groups,
            mut tops,
            ..
        } = footing;
        tops.reverse();
        Self {
            layout,
            groups,
            stack: tops,
        }
    }

    /// How many bytes [`Self::accept`] wants next: 64 for a parent, up to 16 KiB for a group.
    /// `None`: the range is complete.
    #[must_use]
    pub fn next_len(&self) -> Option<usize> {
        let (subtree, _) = self.stack.last()?;
        let len = if subtree.leaf().is_some() {
            self.leaf_bytes(*subtree).len()
        } else {
            NODE_BYTES
        };
        usize::try_from(len).ok()
    }

    /// Whether every group has been accepted.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.stack.is_empty()
    }

    /// Verifies the next `bytes` of the encoding and says what they are.
    ///
    /// # Errors
    ///
    /// [`Corrupt`] when they are not what the hash tree proves, in number or content. The decoder
    /// still waits for the right ones, but the sender of wrong ones deserves no second chance.
    pub fn accept(&mut self, bytes: &[u8]) -> Result<Item, Corrupt> {
        let Some((subtree, expected)) = self.stack.last().copied() else {
            return Err(Corrupt::Group(GroupIndex(self.groups.end())));
        };
        match (subtree.leaf(), subtree.children()) {
            (None, Some(children)) => self.accept_parent(subtree, children, &expected, bytes),
            (leaf, _) => {
                let group = leaf.unwrap_or(GroupIndex(subtree.groups().start()));
                self.accept_group(subtree, group, &expected, bytes)
            }
        }
    }

    fn accept_parent(
        &mut self,
        subtree: Subtree,
        (left, right): (Subtree, Subtree),
        expected: &Hash,
        bytes: &[u8],
    ) -> Result<Item, Corrupt> {
        let outboard_offset = subtree.outboard_offset();
        let pair: [u8; 64] = bytes
            .try_into()
            .map_err(|_| Corrupt::Node { outboard_offset })?;
        if hash::parent(&pair, subtree.is_root()) != *expected {
            return Err(Corrupt::Node { outboard_offset });
        }
        self.stack.pop();
        let (left_hash, right_hash) = hash::split(&pair);
        for child in [(right, right_hash), (left, left_hash)] {
            if !child.0.groups().intersection(self.groups).is_empty() {
                self.stack.push(child);
            }
        }
        Ok(Item::Parent {
            outboard_offset,
            pair,
        })
    }

    fn accept_group(
        &mut self,
        leaf: Subtree,
        group: GroupIndex,
        expected: &Hash,
        bytes: &[u8],
    ) -> Result<Item, Corrupt> {
        if bytes.len() as u64 != self.leaf_bytes(leaf).len()
            || !hash::matches_group(leaf, bytes, expected)
        {
            return Err(Corrupt::Group(group));
        }
        self.stack.pop();
        Ok(Item::Group { group })
    }

    fn leaf_bytes(&self, leaf: Subtree) -> ByteRange {
        self.layout.bytes_of(leaf.groups())
    }
}

/// Feeds arbitrary bytes to a decoder: the entry of the fuzz target, and of the test that replays
/// its corpus. The first bytes choose the object and the range.
pub fn fuzz_decode(data: &[u8]) {
    let Some((head, mut stream)) = data.split_at_checked(44) else {
        return;
    };
    let number = |at: usize| {
        head[at..at + 4]
            .iter()
            .fold(0u32, |number, byte| number << 8 | u32::from(*byte))
    };
    let (root, layout) = (
        ObjectId::try_from(&head[..32]),
        Layout::new(u64::from(number(32))),
    );
    let (Ok(root), Some(layout)) = (root, layout) else {
        return;
    };
    let groups = GroupRange::new(number(36) >> 14, number(40) >> 14);
    let mut decoder = RangeDecoder::new(root, layout, groups);
    while let Some(len) = decoder.next_len() {
        let Some((next, rest)) = stream.split_at_checked(len) else {
            return;
        };
        if decoder.accept(next).is_err() {
            return;
        }
        stream = rest;
    }
}
