//! The entry of the fuzz target `footing`: nothing but the object gets past what is known of it.

use peerlift_model::{GROUP_BYTES, GroupIndex, GroupRange, Layout, ObjectId};

use crate::decode::{Item, RangeDecoder};
use crate::footing::Footing;
use crate::hash::{self, Hash};
use crate::read_at::buffer_len;
use crate::tree::{Subtree, Tree};

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
    let mut decoder = RangeDecoder::on(footing);
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
