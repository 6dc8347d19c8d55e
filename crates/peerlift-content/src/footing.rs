//! What of a proof is known already, so that nobody has to send it again.
//!
//! Whoever has verified some groups knows the parents above them, and most of the parents above
//! their neighbours. A footing is the lowest height from which on nothing above is missing, with the
//! hashes of the subtrees of that height: on them stands the rest of the proof, and a
//! [`crate::RangeDecoder`].

use std::io;

use peerlift_model::{GROUP_BYTES, GroupIndex, GroupRange, Height, Layout, ObjectId};

use crate::decode::Item;
use crate::encode::Nodes;
use crate::hash::{self, Hash};
use crate::read_at::{ReadAt, buffer_len};
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

/// Lets arbitrary bytes choose an object, what of its hash tree is known, how that is damaged, and
/// what is sent: the entry of the fuzz target, and of the test that replays its corpus.
///
/// # Panics
///
/// When something gets through that is not the object's.
pub fn fuzz_footing(data: &[u8]) {
    let Some((head, mut stream)) = data.split_first_chunk::<6>() else {
        return;
    };
    let [count, known, start, end, at, damage] = *head;
    let object = SmallObject::of(u32::from(count % 9));
    let mut outboard = object.outboard.clone();
    if let Some(byte) = outboard.get_mut(usize::from(at)) {
        *byte ^= damage;
    }
    let groups = GroupRange::new(start.into(), end.into());
    let is_known = |node| known >> node & 1 == 1;
    let footing = Footing::find(object.root, object.layout, groups, &outboard, is_known);
    let footing = footing.expect("the outboard is all there");
    let mut decoder = crate::RangeDecoder::on(footing);
    while let Some(len) = decoder.next_len() {
        let Some((next, rest)) = stream.split_at_checked(len) else {
            return;
        };
        match decoder.accept(next) {
            Ok(item) => object.check(&item, next),
            Err(_) => return,
        }
        stream = rest;
    }
}

/// An object of zeros whose last group has one byte, with its tree.
struct SmallObject {
    root: ObjectId,
    layout: Layout,
    outboard: Vec<u8>,
}

impl SmallObject {
    fn of(groups: u32) -> Self {
        let size = u64::from(groups.saturating_sub(1)) * GROUP_BYTES + u64::from(groups.min(1));
        let layout = Layout::new(size).expect("it is small");
        let tree = Tree::new(layout);
        let mut outboard = vec![0; buffer_len(tree.outboard_len())];
        let root = match tree.root() {
            Some(top) => ObjectId::new(Self::fill(layout, top, &mut outboard)),
            None => hash::empty_object(),
        };
        Self {
            root,
            layout,
            outboard,
        }
    }

    /// Writes the parents of a subtree; gives its hash.
    fn fill(layout: Layout, subtree: Subtree, outboard: &mut [u8]) -> Hash {
        let Some((left, right)) = subtree.children() else {
            let zeros = vec![0; buffer_len(layout.bytes_of(subtree.groups()).len())];
            let group = GroupIndex(subtree.groups().start());
            return hash::group(group, &zeros, subtree.is_root());
        };
        let hashes = [left, right].map(|child| Self::fill(layout, child, outboard));
        let at = buffer_len(subtree.outboard_offset());
        outboard[at..at + 32].copy_from_slice(&hashes[0]);
        outboard[at + 32..at + 64].copy_from_slice(&hashes[1]);
        hash::merge(&hashes[0], &hashes[1], subtree.is_root())
    }

    fn check(&self, item: &Item, bytes: &[u8]) {
        match item {
            Item::Parent {
                outboard_offset,
                pair,
            } => {
                let at = buffer_len(*outboard_offset);
                assert_eq!(pair, &self.outboard[at..at + 64], "a parent is a lie");
            }
            Item::Group { group } => {
                let len = self.layout.bytes_of(GroupRange::one(*group)).len();
                assert_eq!(bytes.len() as u64, len, "a group is of its length");
                assert!(bytes.iter().all(|byte| *byte == 0), "a group is a lie");
            }
        }
    }
}
