//! What an object is: its identity, the tree that proves its parts, and who says so.
//!
//! An object is a sequence of bytes named by its BLAKE3 root. Its hash tree, cut off at chunk
//! groups of 16 KiB, is the *outboard*: with it any group can be proven to belong to the root, by
//! whomever it was sent. A *manifest* is a publisher's signed statement about an object; manifest
//! and outboard lie beside the file as *sidecars*, `NAME.peerlift` and `NAME.obao`.
//!
//! ```text
//! file ── hash_file ──> root, outboard ── Manifest::sign ──> NAME.peerlift       (publisher)
//! NAME.peerlift ── VerifiedManifest::parse ──> root ── RangeDecoder ──> proven groups (client)
//! ```
//!
//! * [`Tree`] is the shape of the tree, [`RangeDecoder`] and [`encode_range`] are the two ends of
//!   a proven transfer, whose proof begins at a [`Footing`], [`check_groups`] looks at what lies on a disk.
//! * [`hash_file()`], [`publish_file`] and [`verify_file`] work on files, with many threads.
//! * [`Manifest`], [`VerifiedManifest`], [`PublisherKey`]: who says what.
//!
//! It does not know networks, nor objects of which only a part is there: see `peerlift-store`.

mod check;
mod decode;
mod draft;
mod encode;
mod expect;
mod footing;
mod fuzz_footing;
mod hash;
mod hash_file;
mod jws;
mod key;
mod manifest;
mod nodes;
mod publish;
mod read_at;
mod segments;
mod sidecar;
mod tree;
mod verify;

pub use check::{Check, check_groups, check_outboard};
pub use decode::{Corrupt, Item, RangeDecoder, fuzz_decode};
pub use encode::{EncodeError, encode_range};
pub use expect::{GroupHashes, NodesError, verify_nodes};
pub use footing::Footing;
pub use fuzz_footing::fuzz_footing;
pub use hash::{Hash, empty_object};
pub use hash_file::{HashError, HashOptions, HashedFile, hash_file};
pub use jws::JwsError;
pub use key::{KeyError, PublisherKey};
pub use manifest::{
    Access, Manifest, ManifestError, Policy, RelayEntry, VerifiedManifest, fuzz_manifest,
    media_type_of,
};
pub use publish::{
    Outcome, PathResult, PublishError, PublishSettings, Published, publish_file, publish_path,
    publishable_files,
};
pub use read_at::ReadAt;
pub use sidecar::{
    MANIFEST_SUFFIX, OUTBOARD_SUFFIX, OutboardState, SidecarError, Sidecars, is_sidecar,
    with_suffix,
};
pub use tree::{NODE_BYTES, Subtree, Tree, Walk, node_bytes};
pub use verify::{Verification, VerifyError, verify_file};
