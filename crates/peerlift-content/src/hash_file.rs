//! Hashes a file with many threads and one read: BLAKE3 root, outboard, and SHA-256 beside it.
//!
//! Each thread reads a segment, computes its subtree of the hash tree, and waits for its turn to
//! pass the same bytes, still in the processor's cache, to SHA-256. That hash is sequential by
//! nature: it bounds the whole at one core's SHA-256 rate.

use std::fs::{File, Metadata};
use std::io;
use std::num::NonZeroUsize;
#[cfg(unix)]
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use peerlift_model::{GroupIndex, Layout, ObjectId};
use sha2::{Digest, Sha256};

use crate::hash::{self, Hash};
use crate::read_at::{ReadAt, buffer_len};
use crate::segments::{SEGMENT_GROUPS, Segments};
use crate::tree::{NODE_LEN, Subtree, Tree};

/// How to hash.
#[derive(Clone, Copy, Debug)]
pub struct HashOptions {
    /// Threads; `None` (the default): one a core.
    pub threads: Option<NonZeroUsize>,
    /// Whether to compute the SHA-256 too. Default: true. It bounds the speed at about
    /// 1.2 GiB/s with SHA instructions, 0.5 GiB/s without.
    pub sha256: bool,
}

impl Default for HashOptions {
    fn default() -> Self {
        Self {
            threads: None,
            sha256: true,
        }
    }
}

/// What a file's bytes amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HashedFile {
    /// How the object is cut; knows its size.
    pub layout: Layout,
    /// The BLAKE3 root.
    pub root: ObjectId,
    /// The SHA-256, when asked for.
    pub sha256: Option<[u8; 32]>,
}

/// Why a file could not be hashed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is a folder, a device or the like.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// What it is called.
        path: PathBuf,
    },
    /// Somebody wrote to the file meanwhile. Try again when it is at rest.
    #[error("{} changed while it was read", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The file is larger than [`Layout::SIZE_MAX`].
    #[error("{} is larger than 64 TiB", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The outboard cannot be written.
    #[error("cannot write the hash tree")]
    Outboard(#[source] io::Error),
}

/// Hashes the file at `path`, writing its outboard to `outboard` when one is given.
///
/// `progress` is told of bytes done since it was told last, from any thread.
///
/// # Errors
///
/// [`HashError`]. What was written to `outboard` by then is worthless.
pub fn hash_file(
    path: &Path,
    outboard: Option<&File>,
    options: HashOptions,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<HashedFile, HashError> {
    let read_error = |source| HashError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(read_error)?;
    let before = file.metadata().map_err(read_error)?;
    if !before.is_file() {
        return Err(HashError::NotAFile {
            path: path.to_owned(),
        });
    }
    let layout = Layout::new(before.len());
    let layout = layout.ok_or_else(|| HashError::TooLarge {
        path: path.to_owned(),
    })?;
    let run = Run {
        path,
        file: &file,
        outboard,
        tree: Tree::new(layout),
    };
    let sha256 = options.sha256.then(InOrder::default);
    let segments = Segments::new(layout);
    let hashed = segments.for_each(
        options.threads,
        |_| true,
        |segment, buffer| {
            let result = run.hash_segment(segments, segment, buffer);
            if let Some(sha256) = &sha256 {
                sha256.pass(segment, result.is_ok().then_some(buffer));
            }
            progress(buffer.len() as u64);
            result
        },
    )?;
    let root = run.hash_top(hashed).map_err(HashError::Outboard)?;
    let after = std::fs::metadata(path).map_err(read_error)?;
    if !same_version(&before, &after) {
        return Err(HashError::Changed {
            path: path.to_owned(),
        });
    }
    Ok(HashedFile {
        layout,
        root,
        sha256: sha256.map(InOrder::finish),
    })
}

/// Whether two looks at a path saw the same file in the same state.
pub(crate) fn same_version(a: &Metadata, b: &Metadata) -> bool {
    let modified = |m: &Metadata| m.modified().ok();
    a.len() == b.len() && modified(a) == modified(b) && inode(a) == inode(b)
}

#[cfg(unix)]
pub(crate) fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

/// One file being hashed.
struct Run<'a> {
    path: &'a Path,
    file: &'a File,
    outboard: Option<&'a File>,
    tree: Tree,
}

impl Run<'_> {
    fn hash_segment(
        &self,
        segments: Segments,
        segment: u32,
        buffer: &mut Vec<u8>,
    ) -> Result<Hash, HashError> {
        let groups = segments.groups(segment);
        let bytes = self.tree.layout().bytes_of(groups);
        buffer.resize(buffer_len(bytes.len()), 0);
        self.file
            .fill_at(buffer, bytes.start())
            .map_err(|source| self.read_error(source))?;
        let subtree = self.tree.find(groups).expect("a segment is a subtree");
        let mut nodes = vec![0; (groups.len() as usize - 1) * NODE_LEN];
        let hash = hash_subtree(self.tree.layout(), subtree, buffer, &mut nodes);
        self.write(subtree, &nodes).map_err(HashError::Outboard)?;
        Ok(hash)
    }

    fn read_error(&self, source: io::Error) -> HashError {
        let path = self.path.to_owned();
        // The file had all its bytes when it was opened.
        if source.kind() == io::ErrorKind::UnexpectedEof {
            HashError::Changed { path }
        } else {
            HashError::Read { path, source }
        }
    }

    /// Joins the segments' hashes to the root.
    fn hash_top(&self, mut hashed: Vec<(u32, Hash)>) -> io::Result<ObjectId> {
        let Some(root) = self.tree.root() else {
            return Ok(hash::empty_object());
        };
        hashed.sort_unstable_by_key(|(segment, _)| *segment);
        let mut segments = hashed.into_iter().map(|(_, hash)| hash);
        self.join(root, &mut segments).map(ObjectId::new)
    }

    fn join(&self, subtree: Subtree, hashes: &mut impl Iterator<Item = Hash>) -> io::Result<Hash> {
        match subtree.children() {
            Some((left, right)) if subtree.groups().len() > SEGMENT_GROUPS => {
                let pair = [self.join(left, hashes)?, self.join(right, hashes)?];
                self.write(subtree, pair.as_flattened())?;
                Ok(hash::merge(&pair[0], &pair[1], subtree.is_root()))
            }
            _ => Ok(hashes.next().expect("every segment was hashed")),
        }
    }

    fn write(&self, subtree: Subtree, nodes: &[u8]) -> io::Result<()> {
        match self.outboard {
            Some(file) => file.write_all_at(nodes, subtree.outboard_offset()),
            None => Ok(()),
        }
    }
}

/// Hashes a subtree from its bytes, writing its parents to `nodes`.
fn hash_subtree(layout: Layout, subtree: Subtree, data: &[u8], nodes: &mut [u8]) -> Hash {
    let Some((left, right)) = subtree.children() else {
        return hash::group(
            GroupIndex(subtree.groups().start()),
            data,
            subtree.is_root(),
        );
    };
    let left_bytes = buffer_len(layout.bytes_of(left.groups()).len());
    let (left_data, right_data) = data.split_at(left_bytes);
    let (pair, below) = nodes.split_at_mut(NODE_LEN);
    let left_nodes = (left.groups().len() as usize - 1) * NODE_LEN;
    let (left_nodes, right_nodes) = below.split_at_mut(left_nodes);
    let left_hash = hash_subtree(layout, left, left_data, left_nodes);
    let right_hash = hash_subtree(layout, right, right_data, right_nodes);
    pair[..32].copy_from_slice(&left_hash);
    pair[32..].copy_from_slice(&right_hash);
    hash::merge(&left_hash, &right_hash, subtree.is_root())
}

/// A SHA-256 that threads take turns at, in the order of segments.
#[derive(Default)]
struct InOrder {
    state: Mutex<(u32, Sha256)>,
    turn: Condvar,
}

impl InOrder {
    /// Waits until all segments before this one have passed. `None` passes nothing: the hash is
    /// lost, but nobody waits for ever.
    fn pass(&self, segment: u32, data: Option<&mut Vec<u8>>) {
        let mut state = self.lock();
        while state.0 != segment {
            state = self
                .turn
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(data) = data {
            state.1.update(data);
        }
        state.0 += 1;
        self.turn.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, (u32, Sha256)> {
        // A thread that panicked here took the whole hashing with it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(self) -> [u8; 32] {
        self.state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner)
            .1
            .finalize()
            .into()
    }
}
