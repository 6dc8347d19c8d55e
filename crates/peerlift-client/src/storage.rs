//! Where the groups of one download are kept: checked against a hash tree, or not.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use peerlift_content::{Footing, Item};
use peerlift_model::{
    ByteRange, GROUP_BYTES, GroupIndex, GroupRange, GroupSet, Height, Layout, ObjectId,
};
use peerlift_store::{
    CompleteObject, FileMark, ForeignPart, PartialObject, PartialOptions, PlainPartial, StoreError,
    WriteError,
};

/// The groups of one download on disk.
#[derive(Debug)]
pub(crate) enum Storage {
    /// An object with a manifest: nothing enters unverified.
    Verified(PartialObject),
    /// A finished one, of which nothing is missing.
    Complete(CompleteObject),
    /// A file that nobody described.
    Plain(PlainPartial, Layout),
}

/// Why groups were not kept.
#[derive(Debug)]
pub(crate) enum WriteFault {
    /// They are wrong: whoever sent them is at fault.
    Corrupt,
    /// This machine cannot keep them.
    Storage(StoreError),
}

impl From<WriteError> for WriteFault {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Storage(error) => Self::Storage(error),
            // Whatever else keeps bytes out is a lack of proof for them.
            WriteError::Corrupt(_)
            | WriteError::NodesMissing { .. }
            | WriteError::ParentMissing { .. }
            | WriteError::Misfit { .. }
            | _ => Self::Corrupt,
        }
    }
}

impl Storage {
    /// Opens or begins the download of an object with a manifest.
    pub(crate) fn verified(
        path: &Path,
        root: ObjectId,
        layout: Layout,
        overwrite: bool,
    ) -> Result<Self, StoreError> {
        Ok(Self::Verified(PartialObject::open(
            path,
            root,
            layout,
            options(overwrite),
        )?))
    }

    /// Opens or begins the download of a version of a file.
    pub(crate) fn plain(
        path: &Path,
        validator: &str,
        layout: Layout,
        overwrite: bool,
    ) -> Result<Self, StoreError> {
        let size = Some(layout.size());
        let partial = PlainPartial::open(path, Some(validator), size, options(overwrite))?;
        Ok(Self::Plain(partial, layout))
    }

    /// The groups that are there.
    pub(crate) fn have(&self) -> GroupSet {
        match self {
            Self::Verified(object) => object.have(),
            Self::Complete(object) => object.have(),
            Self::Plain(file, layout) => file
                .have()
                .into_iter()
                .map(|bytes| whole_groups(*layout, bytes))
                .collect(),
        }
    }

    /// The parts of the outboard that are still unknown and needed to verify `groups`.
    pub(crate) fn missing_nodes(&self, groups: GroupRange) -> Vec<ByteRange> {
        match self {
            Self::Verified(object) => object.missing_nodes(groups),
            Self::Complete(_) | Self::Plain(..) => Vec::new(),
        }
    }

    /// What need not be sent of a proof of `groups`. `None`: nothing is to be proven here.
    pub(crate) fn footing(&self, groups: GroupRange) -> Result<Option<Footing>, StoreError> {
        match self {
            Self::Verified(object) => object.footing(groups).map(Some),
            Self::Complete(_) | Self::Plain(..) => Ok(None),
        }
    }

    /// Keeps a part of the outboard when the root proves it.
    pub(crate) fn accept_nodes(&self, range: ByteRange, nodes: &[u8]) -> Result<(), WriteFault> {
        match self {
            Self::Verified(object) => Ok(object.accept_nodes(range, nodes)?),
            Self::Complete(_) | Self::Plain(..) => Ok(()),
        }
    }

    /// Verifies and keeps a run of whole groups.
    pub(crate) fn write(&self, first: GroupIndex, run: &[u8]) -> Result<GroupRange, WriteFault> {
        match self {
            Self::Verified(object) => Ok(object.write_groups(first, run)?),
            Self::Complete(_) => Err(WriteFault::Corrupt),
            Self::Plain(file, layout) => {
                let start = u64::from(first.0) * GROUP_BYTES;
                file.write(start, run).map_err(WriteFault::Storage)?;
                let bytes = ByteRange::new(start, start + run.len() as u64);
                Ok(layout.groups_covering(bytes))
            }
        }
    }

    /// Keeps what a range decoder has proven.
    pub(crate) fn accept(&self, item: &Item, bytes: &[u8]) -> Result<(), WriteFault> {
        match self {
            Self::Verified(object) => Ok(object.accept_item(item, bytes)?),
            Self::Complete(_) | Self::Plain(..) => Err(WriteFault::Corrupt),
        }
    }

    /// The encoding of groups that are there, with their proof from a height on down.
    pub(crate) fn encode(&self, groups: GroupRange, from: Height) -> Result<Bytes, StoreError> {
        match self {
            Self::Verified(object) => object.encode(groups, from),
            Self::Complete(object) => object.encode(groups, from),
            Self::Plain(..) => Err(StoreError::Absent { groups }),
        }
    }

    /// The bytes of groups that are there.
    pub(crate) fn read(&self, groups: GroupRange) -> Result<Bytes, StoreError> {
        match self {
            Self::Verified(object) => object.read(groups),
            Self::Complete(object) => object.read(groups),
            Self::Plain(file, layout) => file.read(layout.bytes_of(groups)),
        }
    }

    /// The bytes of the object that are there.
    pub(crate) fn bytes_present(&self) -> u64 {
        match self {
            Self::Verified(object) => {
                let bytes = |run: &GroupRange| object.layout().bytes_of(*run).len();
                object.have().runs().iter().map(bytes).sum()
            }
            Self::Complete(object) => object.layout().size(),
            Self::Plain(file, _) => file.have().iter().map(|bytes| bytes.len()).sum(),
        }
    }

    /// Makes sure that the next run finds all of what is there.
    pub(crate) fn checkpoint(&self) -> Result<(), StoreError> {
        match self {
            Self::Verified(object) => object.checkpoint(),
            Self::Complete(_) => Ok(()),
            Self::Plain(file, _) => file.checkpoint(),
        }
    }

    /// Keeps the hash tree of the complete object for later.
    pub(crate) fn keep_outboard(&self, path: &Path) -> Result<(), StoreError> {
        match self {
            Self::Verified(object) => object.keep_outboard(path),
            Self::Complete(_) | Self::Plain(..) => Ok(()),
        }
    }

    /// The finished file's mark.
    pub(crate) fn mark(&self) -> Option<FileMark> {
        match self {
            Self::Verified(object) => object.mark(),
            Self::Complete(object) => Some(object.mark()),
            Self::Plain(..) => None,
        }
    }

    /// Whether a finished file is still there as it was.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match self {
            Self::Verified(object) => object.check(),
            Self::Complete(object) => object.check(),
            Self::Plain(..) => Ok(()),
        }
    }

    /// Gives the complete file its name.
    pub(crate) fn commit(&self) -> Result<PathBuf, StoreError> {
        match self {
            Self::Verified(object) => object.commit(),
            Self::Complete(object) => Ok(object.path().to_owned()),
            Self::Plain(file, _) => file.commit(),
        }
    }
}

/// A part of another version of the file is kept under another name: it may be all that is left of
/// that version.
pub(crate) fn options(overwrite: bool) -> PartialOptions {
    PartialOptions {
        overwrite,
        foreign: ForeignPart::MoveAside,
    }
}

/// The groups that lie within the bytes from beginning to end.
fn whole_groups(layout: Layout, bytes: ByteRange) -> GroupRange {
    let covering = layout.groups_covering(bytes);
    let begun = layout.bytes_of(covering);
    let start = covering.start() + u32::from(begun.start() < bytes.start());
    let end = covering.end() - u32::from(begun.end() > bytes.end() && !covering.is_empty());
    GroupRange::new(start, end)
}

/// A folder of its own for what a stream has not yet written out; gone when dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// Makes the folder below `cache`.
    pub(crate) fn new(cache: &Path) -> std::io::Result<Self> {
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(std::io::Error::other)?;
        let folder = cache.join(format!("stream-{:016x}", u64::from_le_bytes(name)));
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }

    /// The file to keep the stream in.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.join("stream")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be deleted lies in a cache folder, where it may.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_groups_count_after_a_plain_download_was_cut() {
        let layout = Layout::new(4 * GROUP_BYTES + 1).unwrap();
        let groups = |start, end| {
            let range = whole_groups(layout, ByteRange::new(start, end));
            (range.start(), range.end())
        };
        assert_eq!(groups(0, layout.size()), (0, 5));
        assert_eq!(groups(0, GROUP_BYTES), (0, 1));
        assert_eq!(groups(1, 2 * GROUP_BYTES), (1, 2));
        assert_eq!(groups(GROUP_BYTES, 3 * GROUP_BYTES - 1), (1, 2));
        assert!(whole_groups(layout, ByteRange::new(5, 9)).is_empty());
        assert_eq!(
            groups(4 * GROUP_BYTES, 4 * GROUP_BYTES + 1),
            (4, 5),
            "the last one is short"
        );
    }
}
