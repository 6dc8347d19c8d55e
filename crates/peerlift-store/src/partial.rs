//! An object of which a part is there: verified on the way in, served on at once, resumed later.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use peerlift_content::{
    Corrupt, Footing, GroupHashes, Item, NODE_BYTES, NodesError, ReadAt, Tree, empty_object,
    node_bytes, verify_nodes,
};
use peerlift_model::{
    ByteRange, GROUP_BYTES, GroupIndex, GroupRange, GroupSet, Height, Layout, ObjectId,
};

use crate::error::{StoreError, WriteError};
use crate::mark::FileMark;
use crate::node_set::NodeSet;
use crate::part::{PartPaths, PartialOptions};
use crate::resume::{Opened, open};
use crate::serve::{encode, read};
use crate::state::{JournalWriter, Record};

/// How much is written between checkpoints: what a `kill -9` makes us fetch again.
///
/// 4 MiB: one small write to the journal, about 100 bytes, a checkpoint; 20 GiB make a journal of
/// half a megabyte.
pub const CHECKPOINT_BYTES: u64 = 4 * 1024 * 1024;

/// A download in progress: `NAME.part`, `NAME.part.obao`, `NAME.part.state`.
///
/// All methods may be called from many threads at once; they block for as long as the disk takes.
/// The files belong to this process while the value lives. Dropping it makes a last checkpoint.
#[derive(Debug)]
pub struct PartialObject {
    root: ObjectId,
    tree: Tree,
    paths: PartPaths,
    overwrite: bool,
    data: File,
    outboard: File,
    parts: Mutex<Parts>,
    journal: Mutex<JournalWriter>,
}

/// What is there. Everything in it has been written to its file before.
#[derive(Debug, Default)]
struct Parts {
    have: GroupSet,
    known: NodeSet,
    /// Groups that the journal does not know of yet.
    unlisted: GroupSet,
    unlisted_bytes: u64,
    /// The finished file's, once it has its name.
    committed: Option<FileMark>,
}

impl PartialObject {
    /// Opens the partial download of the object for `target`, or begins one.
    ///
    /// What an earlier process has written is there again. After a restart of the machine, or when
    /// the files were copied, it is checked against the hash tree first, which takes half a second
    /// a GiB and core; groups that did not reach the disk are then missing.
    ///
    /// # Errors
    ///
    /// [`StoreError::TargetExists`], [`StoreError::InUse`], [`StoreError::OtherObject`],
    /// [`StoreError::NotOurs`], [`StoreError::TooLittleRoom`], or what the system says.
    pub fn open(
        target: &Path,
        root: ObjectId,
        layout: Layout,
        options: PartialOptions,
    ) -> Result<Self, StoreError> {
        if layout.size() == 0 && root != empty_object() {
            return Err(StoreError::NotEmpty { root });
        }
        let Opened {
            paths,
            data,
            outboard,
            have,
            journal,
        } = open(target, root, layout, options)?;
        let tree = Tree::new(layout);
        let known = NodeSet::above(tree, &have);
        Ok(Self {
            root,
            tree,
            paths,
            overwrite: options.overwrite,
            data,
            outboard,
            parts: Mutex::new(Parts {
                have,
                known,
                ..Parts::default()
            }),
            journal: Mutex::new(journal),
        })
    }

    /// The object.
    #[must_use]
    pub fn root(&self) -> ObjectId {
        self.root
    }

    /// How the object is cut.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.tree.layout()
    }

    /// The final name.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.paths.target
    }

    /// The groups that are there: verified and written.
    #[must_use]
    pub fn have(&self) -> GroupSet {
        self.lock().have.clone()
    }

    /// Whether all groups are there.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.lock().have.contains_all(self.layout().all_groups())
    }

    /// The bytes of the outboard that are still needed to verify `groups`: sorted, not touching.
    ///
    /// Fetched in this order, and handed to [`Self::accept_nodes`] in this order, each can be
    /// proven; reading over the gaps between them does no harm.
    #[must_use]
    pub fn missing_nodes(&self, groups: GroupRange) -> Vec<ByteRange> {
        let runs = self.tree.node_runs_for(groups);
        let parts = self.lock();
        let missing = runs.into_iter().flat_map(|run| parts.known.missing_in(run));
        missing.map(|(start, end)| node_bytes(start, end)).collect()
    }

    /// What need not be sent of a proof of `groups`, because it is known here.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn footing(&self, groups: GroupRange) -> Result<Footing, StoreError> {
        let known = |node| self.lock().known.contains(node);
        Footing::find(self.root, self.layout(), groups, &self.outboard, known)
            .map_err(|error| self.outboard_error(error))
    }

    /// Proves the parents in `bytes`, which are those at `range` of the outboard, and keeps them.
    /// Parents that are known already may be among them.
    ///
    /// # Errors
    ///
    /// [`WriteError::Corrupt`]: none of them is kept. [`WriteError::ParentMissing`] when a parent
    /// before the range is needed first. [`WriteError::Misfit`], [`WriteError::Storage`].
    pub fn accept_nodes(&self, range: ByteRange, bytes: &[u8]) -> Result<(), WriteError> {
        let known = |node| {
            if self.lock().known.contains(node) {
                self.read_node(node).map(Some)
            } else {
                Ok(None)
            }
        };
        let (start, end) = verify_nodes(self.root, self.layout(), range, bytes, known)
            .map_err(|error| self.sort_nodes_error(error))?;
        self.outboard
            .write_all_at(bytes, range.start())
            .map_err(|e| self.outboard_error(e))?;
        self.lock().known.insert((start, end));
        Ok(())
    }

    /// Verifies `data`, which are whole groups from `first` on, and keeps them.
    ///
    /// Hashes the caller's bytes and writes them with one call, copying nothing. Groups that are
    /// there already are not touched.
    ///
    /// # Errors
    ///
    /// [`WriteError::Corrupt`]: groups before the corrupt one are kept. [`WriteError::NodesMissing`]:
    /// see [`Self::missing_nodes`]. [`WriteError::Misfit`], [`WriteError::Storage`].
    pub fn write_groups(&self, first: GroupIndex, data: &[u8]) -> Result<GroupRange, WriteError> {
        let groups = self.whole_groups(first, data)?;
        if self.lock().have.contains_all(groups) {
            return Ok(groups);
        }
        if !self.missing_nodes(groups).is_empty() {
            return Err(WriteError::NodesMissing { groups });
        }
        let hashes = GroupHashes::read(self.root, self.layout(), groups, &self.outboard)
            .map_err(|error| self.outboard_error(error))?;
        let verified = hashes.verify(data);
        let good = match verified {
            Err(Corrupt::Group(group)) => GroupRange::new(groups.start(), group.0),
            Ok(()) | Err(Corrupt::Node { .. }) => groups,
        };
        self.keep(good, data)?;
        verified?;
        Ok(groups)
    }

    /// Keeps what a [`peerlift_content::RangeDecoder`] over this very object has proven; `bytes`
    /// are those it was given.
    ///
    /// # Errors
    ///
    /// [`WriteError::Misfit`] when the item cannot be one of this object. [`WriteError::Storage`].
    pub fn accept_item(&self, item: &Item, bytes: &[u8]) -> Result<(), WriteError> {
        match *item {
            Item::Parent {
                outboard_offset,
                pair,
                ..
            } => self.keep_parent(outboard_offset, &pair),
            Item::Group { group, .. } => {
                let groups = self.whole_groups(group, bytes)?;
                Ok(self.keep(groups, bytes)?)
            }
        }
    }

    fn keep_parent(&self, offset: u64, pair: &[u8; 64]) -> Result<(), WriteError> {
        let bytes = ByteRange::new(offset, offset.saturating_add(NODE_BYTES));
        let node = u32::try_from(offset / NODE_BYTES).ok();
        let node = node.filter(|node| *node < self.tree.node_count());
        let node = node.ok_or(WriteError::Misfit { bytes })?;
        if self.lock().known.contains(node) {
            return Ok(());
        }
        self.outboard
            .write_all_at(pair, offset)
            .map_err(|error| self.outboard_error(error))?;
        self.lock().known.insert((node, node + 1));
        Ok(())
    }

    /// Keeps the hash tree of the complete object at `path`, where [`Self::commit`] leaves it: with
    /// it and the finished file a [`crate::CompleteObject`] can be opened later.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn keep_outboard(&self, path: &Path) -> Result<(), StoreError> {
        let sort = |error| StoreError::sort(path, error);
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(sort(error)),
            Ok(()) | Err(_) => {}
        }
        // Another file system, or one without links.
        if fs::hard_link(&self.paths.outboard, path).is_err() {
            fs::copy(&self.paths.outboard, path).map_err(sort)?;
        }
        File::open(path)
            .and_then(|file| file.sync_data())
            .map_err(sort)
    }

    /// The mark of the finished file, once it has its name.
    #[must_use]
    pub fn mark(&self) -> Option<FileMark> {
        self.lock().committed
    }

    /// Whether the finished file still lies under its name as it was put there; nothing is wrong
    /// with an unfinished one.
    ///
    /// # Errors
    ///
    /// [`StoreError::Changed`], [`StoreError::Gone`]; what the system says.
    pub fn check(&self) -> Result<(), StoreError> {
        match self.mark() {
            Some(mark) => mark.check(&self.paths.target),
            None => Ok(()),
        }
    }

    /// The encoding of `groups` without the parents above `from`, for a
    /// [`peerlift_content::RangeDecoder`] at the other end. What is read from the disk is verified
    /// once more.
    ///
    /// # Errors
    ///
    /// [`StoreError::Absent`]. [`StoreError::Damaged`] when the disk does not hold what was
    /// written: the damaged group is then no longer there, and must be fetched again. As
    /// [`Self::check`].
    pub fn encode(&self, groups: GroupRange, from: Height) -> Result<Bytes, StoreError> {
        self.check_present(groups)?;
        self.check()?;
        let stored = (&self.data, &self.outboard);
        let encoded = encode(
            self.root,
            self.layout(),
            (groups, from),
            stored,
            &self.paths.data,
        );
        if let Err(StoreError::Damaged {
            source: Corrupt::Group(group),
            ..
        }) = &encoded
        {
            self.forget(*group)?;
        }
        encoded
    }

    /// The bytes of `groups`, as they were verified when they were written.
    ///
    /// # Errors
    ///
    /// [`StoreError::Absent`], or what the system says.
    pub fn read(&self, groups: GroupRange) -> Result<Bytes, StoreError> {
        self.check_present(groups)?;
        read(self.layout(), groups, &self.data)
            .map_err(|error| StoreError::sort(&self.paths.data, error))
    }

    /// Lists what is there in the journal, so that the next process finds it. Happens by itself
    /// every [`CHECKPOINT_BYTES`] and when the value is dropped.
    ///
    /// # Errors
    ///
    /// What the system says. What could not be listed is listed with the next checkpoint.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        // The journal's lock is taken first: what is taken out of `unlisted` cannot be overtaken.
        let mut journal = self.lock_journal();
        let (unlisted, bytes) = {
            let mut parts = self.lock();
            if parts.committed.is_some() {
                return Ok(());
            }
            (
                std::mem::take(&mut parts.unlisted),
                std::mem::take(&mut parts.unlisted_bytes),
            )
        };
        if unlisted.is_empty() {
            return Ok(());
        }
        let appended = journal.append(&[Record::Added(runs_of(&unlisted))]);
        appended.map_err(|error| {
            let mut parts = self.lock();
            parts.unlisted.extend(unlisted.runs().iter().copied());
            parts.unlisted_bytes += bytes;
            StoreError::sort(&self.paths.state, error)
        })
    }

    /// Makes the complete object durable under its final name and removes what else the download
    /// has left. The value goes on to serve it.
    ///
    /// # Errors
    ///
    /// [`StoreError::Incomplete`]; [`StoreError::TargetExists`]; what the system says. The download
    /// is then as it was, and committing may be tried again.
    pub fn commit(&self) -> Result<PathBuf, StoreError> {
        let _journal = self.lock_journal();
        let (missing, committed) = {
            let parts = self.lock();
            let all = self.layout().all_groups();
            let gaps = parts
                .have
                .gaps_in(all)
                .map(|gap| self.layout().bytes_of(gap).len());
            (gaps.sum(), parts.committed)
        };
        if missing > 0 {
            return Err(StoreError::Incomplete { missing });
        }
        if committed.is_none() {
            self.paths.finish(&self.data, self.overwrite)?;
            let mark = FileMark::of(&self.data, &self.paths.target)?;
            self.lock().committed = Some(mark);
        }
        Ok(self.paths.target.clone())
    }

    /// Writes verified groups, then says that they are there.
    fn keep(&self, groups: GroupRange, data: &[u8]) -> Result<(), StoreError> {
        let bytes = self.layout().bytes_of(groups);
        if bytes.is_empty() {
            return Ok(());
        }
        let len = usize::try_from(bytes.len())
            .unwrap_or(usize::MAX)
            .min(data.len());
        self.data
            .write_all_at(&data[..len], bytes.start())
            .map_err(|error| StoreError::sort(&self.paths.data, error))?;
        let due = {
            let mut parts = self.lock();
            parts.have.insert(groups);
            parts.unlisted.insert(groups);
            parts.unlisted_bytes += bytes.len();
            parts.unlisted_bytes >= CHECKPOINT_BYTES
        };
        if due { self.checkpoint() } else { Ok(()) }
    }

    /// Takes a group that the disk has lost out of what is there.
    fn forget(&self, group: GroupIndex) -> Result<(), StoreError> {
        let mut journal = self.lock_journal();
        let lost = GroupRange::one(group);
        {
            let mut parts = self.lock();
            if parts.committed.is_some() || parts.have.remove(lost) == 0 {
                return Ok(());
            }
            parts.unlisted.remove(lost);
        }
        let removed = Record::Removed(runs_of(&lost.into()));
        journal
            .append(&[removed])
            .map_err(|error| StoreError::sort(&self.paths.state, error))
    }

    /// The groups that `data` fill from `first` on, when they fill whole ones.
    fn whole_groups(&self, first: GroupIndex, data: &[u8]) -> Result<GroupRange, WriteError> {
        let start = u64::from(first.0) * GROUP_BYTES;
        let bytes = ByteRange::new(start, start.saturating_add(data.len() as u64));
        let groups = self.layout().groups_covering(bytes);
        if bytes.is_empty() {
            return Ok(GroupRange::new(first.0, first.0));
        }
        if self.layout().bytes_of(groups) == bytes {
            Ok(groups)
        } else {
            Err(WriteError::Misfit { bytes })
        }
    }

    fn check_present(&self, groups: GroupRange) -> Result<(), StoreError> {
        if self.lock().have.contains_all(groups) {
            Ok(())
        } else {
            Err(StoreError::Absent { groups })
        }
    }

    fn read_node(&self, node: u32) -> io::Result<[u8; 64]> {
        let mut pair = [0; 64];
        self.outboard
            .fill_at(&mut pair, node_bytes(node, node + 1).start())?;
        Ok(pair)
    }

    fn sort_nodes_error(&self, error: NodesError) -> WriteError {
        match error {
            NodesError::Corrupt(corrupt) => corrupt.into(),
            NodesError::Io(error) => self.outboard_error(error).into(),
            NodesError::Orphan { outboard_offset } => WriteError::ParentMissing { outboard_offset },
            NodesError::Misfit { range } => WriteError::Misfit { bytes: range },
        }
    }

    fn outboard_error(&self, error: io::Error) -> StoreError {
        StoreError::sort(&self.paths.outboard, error)
    }

    fn lock(&self) -> MutexGuard<'_, Parts> {
        // No code that can panic runs between two changes that belong together.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_journal(&self) -> MutexGuard<'_, JournalWriter> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PartialObject {
    fn drop(&mut self) {
        if let Err(error) = self.checkpoint() {
            tracing::warn!(%error, "the last few MiB will be fetched again");
        }
    }
}

pub(crate) fn runs_of(groups: &GroupSet) -> Vec<(u64, u64)> {
    groups
        .runs()
        .iter()
        .map(|run| (run.start().into(), run.end().into()))
        .collect()
}
