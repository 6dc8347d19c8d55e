//! Puts the encoding of a range of groups together from data and outboard, checking both.
//!
//! A file that is served may be changed by its owner, and disks rot: whoever sends a group that
//! does not verify is taken for a liar. Hashing what is sent costs half a CPU second per GiB,
//! a fraction of what its encryption costs.

use std::io;

use peerlift_model::{GroupRange, Height, Layout, ObjectId};

use crate::decode::Corrupt;
use crate::hash;
use crate::nodes::Nodes;
use crate::read_at::{ReadAt, buffer_len};
use crate::tree::Tree;

/// Why a range could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// What lies on the disk is not the object.
    #[error("the stored copy is damaged")]
    Corrupt(#[source] Corrupt),
    /// The disk cannot be read.
    #[error("cannot read the stored copy")]
    Io(#[source] io::Error),
}

/// Appends the encoding of `groups`, cut at the end of the object, to `out`. Parents above `from`
/// are left out, as the other side has them; [`Height::MAX`] leaves out none.
///
/// # Errors
///
/// [`EncodeError`]; `out` is then as long as before.
pub fn encode_range(
    root: ObjectId,
    layout: Layout,
    (groups, from): (GroupRange, Height),
    data: &(impl ReadAt + ?Sized),
    outboard: &(impl ReadAt + ?Sized),
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let before = out.len();
    let result = append(root, layout, (groups, from), data, outboard, out);
    if result.is_err() {
        out.truncate(before);
    }
    result
}

fn append(
    root: ObjectId,
    layout: Layout,
    (groups, from): (GroupRange, Height),
    data: &(impl ReadAt + ?Sized),
    outboard: &(impl ReadAt + ?Sized),
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let tree = Tree::new(layout);
    let groups = groups.intersection(layout.all_groups());
    out.reserve(buffer_len(tree.encoded_len(groups, from)));
    let nodes = Nodes::read(tree.node_runs_for(groups), outboard).map_err(EncodeError::Io)?;
    let mut expected = vec![*root.as_bytes()];
    for subtree in tree.walk(groups) {
        let hash = expected
            .pop()
            .expect("every subtree of the walk had its hash pushed");
        let at = out.len();
        match subtree.children() {
            Some((left, right)) => {
                let pair = nodes.pair(subtree.node());
                let offset = Corrupt::Node {
                    outboard_offset: subtree.outboard_offset(),
                };
                if hash::parent(pair, subtree.is_root()) != hash {
                    return Err(EncodeError::Corrupt(offset));
                }
                if subtree.height() <= from {
                    out.extend_from_slice(pair);
                }
                let (left_hash, right_hash) = hash::split(pair);
                for (child, hash) in [(right, right_hash), (left, left_hash)] {
                    if !child.groups().intersection(groups).is_empty() {
                        expected.push(hash);
                    }
                }
            }
            None => {
                let bytes = layout.bytes_of(subtree.groups());
                out.resize(at + buffer_len(bytes.len()), 0);
                data.fill_at(&mut out[at..], bytes.start())
                    .map_err(EncodeError::Io)?;
                if !hash::matches_group(subtree, &out[at..], &hash) {
                    let group = peerlift_model::GroupIndex(subtree.groups().start());
                    return Err(EncodeError::Corrupt(Corrupt::Group(group)));
                }
            }
        }
    }
    Ok(())
}
