//! The hashes of groups and parents: BLAKE3's chaining values at the level of chunk groups.
//!
//! The top of the tree is finalised as a root, everything below it is not (BLAKE3 §2.4); the
//! object whose only group is its root is hashed plainly.

use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};
use peerlift_model::{GROUP_BYTES, GroupIndex, ObjectId};

use crate::tree::Subtree;

/// A chaining value, or the root hash.
pub type Hash = [u8; 32];

/// The root of the empty object.
#[must_use]
pub fn empty_object() -> ObjectId {
    ObjectId::new(*blake3::hash(b"").as_bytes())
}

/// The hash of one group: all its bytes.
pub(crate) fn group(index: GroupIndex, data: &[u8], is_root: bool) -> Hash {
    if is_root {
        return *blake3::hash(data).as_bytes();
    }
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(u64::from(index.0) * GROUP_BYTES);
    hasher.update(data).finalize_non_root()
}

/// The hash of a parent over its children's hashes.
pub(crate) fn parent(pair: &[u8; 64], is_root: bool) -> Hash {
    let (left, right) = split(pair);
    merge(&left, &right, is_root)
}

pub(crate) fn merge(left: &Hash, right: &Hash, is_root: bool) -> Hash {
    if is_root {
        *merge_subtrees_root(left, right, Mode::Hash).as_bytes()
    } else {
        merge_subtrees_non_root(left, right, Mode::Hash)
    }
}

/// The two children's hashes in a parent.
pub(crate) fn split(pair: &[u8; 64]) -> (Hash, Hash) {
    let mut halves = [[0; 32]; 2];
    halves[0].copy_from_slice(&pair[..32]);
    halves[1].copy_from_slice(&pair[32..]);
    (halves[0], halves[1])
}

/// Whether `data`, the bytes of a leaf or of a parent, hash to `expected`.
pub(crate) fn matches_group(leaf: Subtree, data: &[u8], expected: &Hash) -> bool {
    group(GroupIndex(leaf.groups().start()), data, leaf.is_root()) == *expected
}
