//! Objects for the tests, and the ways their groups come in.

#![allow(dead_code, reason = "every test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::path::Path;

use peerlift_content::{Footing, HashOptions, RangeDecoder, encode_range, hash_file};
use peerlift_model::{ByteRange, GROUP_BYTES, GroupIndex, GroupRange, Height, Layout, ObjectId};
use peerlift_store::{PartialObject, PartialOptions, StoreError, WriteError};

/// Sizes where something changes, and why.
pub(crate) const SIZES: [(u64, &str); 10] = [
    (0, "nothing to fetch"),
    (1, "one group that is the root"),
    (GROUP_BYTES - 1, "the same, a byte short of full"),
    (GROUP_BYTES, "the same, full"),
    (
        GROUP_BYTES + 1,
        "the first parent; the last group has one byte",
    ),
    (4 * GROUP_BYTES - 1, "a piece less a byte"),
    (4 * GROUP_BYTES, "a piece"),
    (4 * GROUP_BYTES + 1, "a piece and a byte"),
    (300 * GROUP_BYTES, "more than one checkpoint"),
    (
        300 * GROUP_BYTES + 1,
        "the same, and a last group that hangs on the root's right side",
    ),
];

/// An object in memory.
pub(crate) struct Object {
    pub(crate) layout: Layout,
    pub(crate) root: ObjectId,
    pub(crate) data: Vec<u8>,
    pub(crate) outboard: Vec<u8>,
}

impl Object {
    pub(crate) fn new(size: u64) -> Self {
        Self::seeded(size, b"content")
    }

    pub(crate) fn seeded(size: u64, seed: &[u8]) -> Self {
        let mut data = vec![0; usize::try_from(size).unwrap()];
        blake3::Hasher::new()
            .update(seed)
            .finalize_xof()
            .fill(&mut data);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("data"), &data).unwrap();
        let outboard_path = folder.path().join("outboard");
        let outboard = std::fs::File::create(&outboard_path).unwrap();
        let options = HashOptions {
            sha256: false,
            ..HashOptions::default()
        };
        let hashed = hash_file(
            &folder.path().join("data"),
            Some(&outboard),
            options,
            &|_| (),
        )
        .unwrap();
        let outboard = std::fs::read(outboard_path).unwrap();
        Self {
            layout: hashed.layout,
            root: hashed.root,
            data,
            outboard,
        }
    }

    pub(crate) fn open(&self, target: &Path) -> Result<PartialObject, StoreError> {
        self.open_with(target, PartialOptions::default())
    }

    pub(crate) fn open_with(
        &self,
        target: &Path,
        options: PartialOptions,
    ) -> Result<PartialObject, StoreError> {
        PartialObject::open(target, self.root, self.layout, options)
    }

    pub(crate) fn all(&self) -> GroupRange {
        self.layout.all_groups()
    }

    pub(crate) fn bytes(&self, groups: GroupRange) -> &[u8] {
        slice(&self.data, self.layout.bytes_of(groups))
    }

    /// What a peer sends that has everything.
    pub(crate) fn encode(&self, groups: GroupRange, from: Height) -> Vec<u8> {
        let mut encoded = Vec::new();
        let (data, outboard) = (&self.data, &self.outboard);
        let asked = (groups, from);
        encode_range(self.root, self.layout, asked, data, outboard, &mut encoded).unwrap();
        encoded
    }

    /// Brings in groups the way the edge does: nodes by range, then data.
    pub(crate) fn fetch_from_edge(
        &self,
        partial: &PartialObject,
        groups: GroupRange,
    ) -> Result<GroupRange, WriteError> {
        for range in partial.missing_nodes(groups) {
            partial.accept_nodes(range, slice(&self.outboard, range))?;
        }
        partial.write_groups(GroupIndex(groups.start()), self.bytes(groups))
    }

    /// Brings in groups the way a peer does: an encoded range, decoded, on what is known.
    pub(crate) fn fetch_from_peer(
        &self,
        partial: &PartialObject,
        groups: GroupRange,
    ) -> Result<(), WriteError> {
        self.fetch_from_peer_on(partial, partial.footing(groups)?)
    }

    /// The same, on what the caller says is known.
    pub(crate) fn fetch_from_peer_on(
        &self,
        partial: &PartialObject,
        footing: Footing,
    ) -> Result<(), WriteError> {
        let encoded = self.encode(footing.groups(), footing.height());
        let mut decoder = RangeDecoder::on(footing);
        let mut rest = &encoded[..];
        while let Some(len) = decoder.next_len() {
            let (next, after) = rest.split_at(len);
            let item = decoder.accept(next).unwrap();
            partial.accept_item(&item, next)?;
            rest = after;
        }
        Ok(())
    }
}

pub(crate) fn slice(bytes: &[u8], range: ByteRange) -> &[u8] {
    let at = |offset: u64| usize::try_from(offset).unwrap();
    &bytes[at(range.start())..at(range.end())]
}

/// The names in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
