//! Objects for the tests, and the reference they are compared with: the `bao-tree` crate, and
//! BLAKE3 over everything.

#![allow(dead_code, reason = "every test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::io::Write;
use std::path::PathBuf;

use bao_tree::io::outboard::PreOrderMemOutboard;
use bao_tree::io::sync::encode_ranges;
use bao_tree::{BlockSize, ChunkNum, ChunkRanges};
use peerlift_content::{HashOptions, HashedFile, hash_file};
use peerlift_model::{GROUP_BYTES, GroupRange, Layout, ObjectId};

/// Sizes where something changes, and why.
pub(crate) const SIZES: [(u64, &str); 20] = [
    (0, "no group, no parent"),
    (1, "the smallest group"),
    (1023, "less than a chunk"),
    (1024, "one chunk"),
    (1025, "two chunks: the group has a parent inside"),
    (GROUP_BYTES - 1, "the last byte of a group is missing"),
    (GROUP_BYTES, "one whole group: still no parent"),
    (GROUP_BYTES + 1, "a second group of one byte: one parent"),
    (2 * GROUP_BYTES, "a full pair"),
    (
        2 * GROUP_BYTES + 1,
        "a right child that is a group beside a left one that is a pair",
    ),
    (3 * GROUP_BYTES, "the same, full"),
    (4 * GROUP_BYTES - 1, "one piece less a byte"),
    (4 * GROUP_BYTES, "one piece"),
    (4 * GROUP_BYTES + 1, "one piece and a byte"),
    (12 * GROUP_BYTES + 1, "several pieces and a byte"),
    (64 * GROUP_BYTES - 1, "one hashing segment less a byte"),
    (64 * GROUP_BYTES, "one hashing segment"),
    (
        64 * GROUP_BYTES + 1,
        "a second segment of one byte: a parent above segments",
    ),
    (
        129 * GROUP_BYTES + 5,
        "three segments, the last one group and a bit",
    ),
    (200 * GROUP_BYTES, "an uneven tree of segments"),
];

/// An object in memory, as the reference sees it.
pub(crate) struct Object {
    pub(crate) layout: Layout,
    pub(crate) root: ObjectId,
    pub(crate) data: Vec<u8>,
    pub(crate) outboard: Vec<u8>,
    reference: PreOrderMemOutboard,
}

impl Object {
    pub(crate) fn new(size: u64) -> Self {
        let data = content(size);
        let reference = PreOrderMemOutboard::create(&data, BlockSize::from_chunk_log(4));
        let root = blake3::hash(&data);
        assert_eq!(root, reference.root);
        Self {
            layout: Layout::new(size).unwrap(),
            root: ObjectId::new(*root.as_bytes()),
            outboard: reference.data.clone(),
            data,
            reference,
        }
    }

    /// The reference's encoding of a range of groups.
    pub(crate) fn encode(&self, groups: GroupRange) -> Vec<u8> {
        let chunk = |group: u32| ChunkNum(u64::from(group) * 16);
        let ranges = ChunkRanges::from(chunk(groups.start())..chunk(groups.end()));
        let mut encoded = Vec::new();
        encode_ranges(&self.data[..], &self.reference, &ranges, &mut encoded).unwrap();
        encoded
    }

    /// Writes data and outboard into a folder as `name` and `name.obao`.
    pub(crate) fn write(&self, folder: &std::path::Path, name: &str) -> PathBuf {
        let path = folder.join(name);
        std::fs::write(&path, &self.data).unwrap();
        std::fs::write(folder.join(format!("{name}.obao")), &self.outboard).unwrap();
        path
    }
}

/// Bytes that differ from group to group and from chunk to chunk.
pub(crate) fn content(size: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    blake3::Hasher::new()
        .update(b"test content")
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// Hashes bytes by way of a file; returns the outboard too.
pub(crate) fn hash_bytes(data: &[u8], options: HashOptions) -> (HashedFile, Vec<u8>) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(data).unwrap();
    let outboard = tempfile::NamedTempFile::new().unwrap();
    let hashed = hash_file(file.path(), Some(outboard.as_file()), options, &|_| ()).unwrap();
    (hashed, std::fs::read(outboard.path()).unwrap())
}
