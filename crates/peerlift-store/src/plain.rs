//! A partial download of a file that nobody signed: what is there is known, not proven.
//!
//! Two versions of a file are told apart by the server's strong validator alone. Since nothing can
//! be verified after a restart of the machine, what the disk is known to hold is noted from time
//! to time, and only that is trusted then.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use peerlift_content::ReadAt;
use peerlift_model::ByteRange;

use crate::boot::BootId;
use crate::byte_set::ByteSet;
use crate::error::{Found, StoreError};
use crate::part::{Beginning, Displaced, PartPaths, PartialOptions, check_room, inode_of};
use crate::partial::CHECKPOINT_BYTES;
use crate::state::{Header, Journal, JournalWriter, Record, Subject};

/// How much is written between two waits for the disk: what a power failure makes us fetch again.
/// 64 MiB: half a second of a hard disk.
const DURABLE_BYTES: u64 = 64 * 1024 * 1024;

/// The size of a file whose server does not tell it.
const SIZE_UNKNOWN: u64 = u64::MAX;

/// A download in progress of a file without a manifest: `NAME.part` and `NAME.part.state`.
///
/// All methods may be called from many threads at once.
#[derive(Debug)]
pub struct PlainPartial {
    paths: PartPaths,
    size: Option<u64>,
    overwrite: bool,
    data: File,
    parts: Mutex<Parts>,
    journal: Mutex<JournalWriter>,
}

#[derive(Debug, Default)]
struct Parts {
    have: ByteSet,
    /// Bytes that the journal does not know of yet.
    unlisted: ByteSet,
    /// How many bytes were written since the last wait for the disk.
    not_durable: u64,
    committed: bool,
}

impl PlainPartial {
    /// Opens the partial download for `target`, or begins one.
    ///
    /// `validator` is the server's word for the version, with its kind (a strong ETag, RFC 9110
    /// §8.8.3, or `Last-Modified`); without one every download begins at the start. `size` is that
    /// of the whole file, where the server tells it.
    ///
    /// # Errors
    ///
    /// [`StoreError::TargetExists`], [`StoreError::InUse`], [`StoreError::OtherObject`],
    /// [`StoreError::NotOurs`], [`StoreError::TooLittleRoom`], or what the system says.
    pub fn open(
        target: &Path,
        validator: Option<&str>,
        size: Option<u64>,
        options: PartialOptions,
    ) -> Result<Self, StoreError> {
        let paths = PartPaths::new(target);
        let subject = Subject::Plain {
            validator: validator.unwrap_or_default().to_owned(),
            size: size.unwrap_or(SIZE_UNKNOWN),
        };
        loop {
            let data = paths.open_locked(options.overwrite)?;
            let beginning = Beginning::new(&paths, &data);
            let resumed = match survey(&paths, &data, &subject, validator.is_some())? {
                Survey::Ours(resumed) => resumed,
                Survey::Foreign(owner) => match paths.displace(options.foreign, owner)? {
                    Displaced::MovedAside => continue,
                    Displaced::Discarded => Resumed::default(),
                },
            };
            let journal = prepare(&paths, &data, subject, &resumed, size)?;
            beginning.succeed();
            return Ok(Self {
                paths,
                size,
                overwrite: options.overwrite,
                data,
                parts: Mutex::new(Parts {
                    have: resumed.have,
                    ..Parts::default()
                }),
                journal: Mutex::new(journal),
            });
        }
    }

    /// The final name.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.paths.target
    }

    /// The bytes that are there: sorted, not touching.
    #[must_use]
    pub fn have(&self) -> Vec<ByteRange> {
        self.lock().have.ranges()
    }

    /// Writes `bytes` at `offset`.
    ///
    /// # Errors
    ///
    /// [`StoreError::WrongSize`] when they lie beyond the end; what the system says.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let range = ByteRange::new(offset, offset.saturating_add(bytes.len() as u64));
        if let Some(expected) = self.size.filter(|size| range.end() > *size) {
            let path = self.paths.data.clone();
            return Err(StoreError::WrongSize {
                path,
                expected,
                actual: range.end(),
            });
        }
        self.data
            .write_all_at(bytes, offset)
            .map_err(|error| StoreError::sort(&self.paths.data, error))?;
        let due = {
            let mut parts = self.lock();
            parts.have.insert(range);
            parts.unlisted.insert(range);
            parts.not_durable += range.len();
            parts.unlisted.len() >= CHECKPOINT_BYTES
        };
        if due { self.checkpoint() } else { Ok(()) }
    }

    /// The bytes of a range that is there.
    ///
    /// # Errors
    ///
    /// [`StoreError::AbsentBytes`], or what the system says.
    pub fn read(&self, range: ByteRange) -> Result<Bytes, StoreError> {
        if !self.lock().have.contains_all(range) {
            return Err(StoreError::AbsentBytes { bytes: range });
        }
        let mut bytes = vec![0; usize::try_from(range.len()).unwrap_or(usize::MAX)];
        self.data
            .fill_at(&mut bytes, range.start())
            .map_err(|error| StoreError::sort(&self.paths.data, error))?;
        Ok(bytes.into())
    }

    /// Lists what is there in the journal. Happens by itself every [`CHECKPOINT_BYTES`] and when
    /// the value is dropped.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn checkpoint(&self) -> Result<(), StoreError> {
        let mut journal = self.lock_journal();
        let (unlisted, durable) = {
            let mut parts = self.lock();
            if parts.committed || parts.unlisted.is_empty() {
                return Ok(());
            }
            let durable = parts.not_durable >= DURABLE_BYTES;
            if durable {
                parts.not_durable = 0;
            }
            (std::mem::take(&mut parts.unlisted), durable)
        };
        self.list(&mut journal, &unlisted, durable)
            .inspect_err(|_| {
                self.lock().unlisted.extend(unlisted.ranges());
            })
    }

    fn list(
        &self,
        journal: &mut JournalWriter,
        unlisted: &ByteSet,
        durable: bool,
    ) -> Result<(), StoreError> {
        let journal_error = |error| StoreError::sort(&self.paths.state, error);
        let added = Record::Added(unlisted.runs());
        if !durable {
            return journal.append(&[added]).map_err(journal_error);
        }
        self.data
            .sync_data()
            .map_err(|error| StoreError::sort(&self.paths.data, error))?;
        journal
            .append(&[added, Record::Durable])
            .map_err(journal_error)?;
        journal.sync().map_err(journal_error)
    }

    /// Makes the complete file durable under its final name. Of unknown size, a file is complete
    /// when it has no gaps.
    ///
    /// # Errors
    ///
    /// [`StoreError::Incomplete`]; [`StoreError::TargetExists`]; what the system says.
    pub fn commit(&self) -> Result<PathBuf, StoreError> {
        let _journal = self.lock_journal();
        let (have, committed) = {
            let parts = self.lock();
            (parts.have.clone(), parts.committed)
        };
        let end = have.ranges().last().map_or(0, |last| last.end());
        let size = self.size.unwrap_or(end);
        if have.len() != size {
            return Err(StoreError::Incomplete {
                missing: size.saturating_sub(have.len()),
            });
        }
        if !committed {
            self.paths.finish(&self.data, self.overwrite)?;
            self.lock().committed = true;
        }
        Ok(self.paths.target.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Parts> {
        // No code that can panic runs between two changes that belong together.
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_journal(&self) -> MutexGuard<'_, JournalWriter> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PlainPartial {
    fn drop(&mut self) {
        if let Err(error) = self.checkpoint() {
            tracing::warn!(%error, "the last few MiB will be fetched again");
        }
    }
}

enum Survey {
    Ours(Resumed),
    Foreign(Option<Found>),
}

/// What an earlier process has left.
#[derive(Default)]
struct Resumed {
    have: ByteSet,
    /// The part of it that the disk is known to hold.
    durable: ByteSet,
}

fn survey(
    paths: &PartPaths,
    data: &File,
    subject: &Subject,
    resumable: bool,
) -> Result<Survey, StoreError> {
    let size = data
        .metadata()
        .map_err(|error| StoreError::sort(&paths.data, error))?
        .len();
    if size == 0 {
        return Ok(Survey::Ours(Resumed::default()));
    }
    let journal =
        Journal::read(&paths.state).map_err(|error| StoreError::sort(&paths.state, error))?;
    let Some(Journal { header, records }) = journal else {
        return Ok(Survey::Foreign(None));
    };
    if header.subject != *subject {
        return Ok(Survey::Foreign(Some(match header.subject {
            Subject::Object { root, .. } => Found::Object(root),
            Subject::Plain { validator, .. } => Found::Version(validator),
        })));
    }
    if !resumable || header.inode != inode_of(data) {
        return Ok(Survey::Ours(Resumed::default()));
    }
    let durable_len = records
        .iter()
        .rposition(|record| *record == Record::Durable)
        .unwrap_or(0);
    let durable = fold(&records[..durable_len], size);
    let in_memory = header.boot.vouches_under(BootId::current());
    let have = if in_memory {
        fold(&records, size)
    } else {
        durable.clone()
    };
    Ok(Survey::Ours(Resumed { have, durable }))
}

/// The bytes that a journal leaves, cut at the end of the file as it is.
fn fold(records: &[Record], size: u64) -> ByteSet {
    let mut have = ByteSet::default();
    for record in records {
        match record {
            Record::Added(runs) => {
                let ranges = runs.iter().map(|run| (run.0.min(size), run.1.min(size)));
                have.extend(ranges.map(|(start, end)| ByteRange::new(start, end)));
            }
            // Nothing of a plain file is ever found to be damaged.
            Record::Removed(_) | Record::Durable => {}
        }
    }
    have
}

fn prepare(
    paths: &PartPaths,
    data: &File,
    subject: Subject,
    resumed: &Resumed,
    size: Option<u64>,
) -> Result<JournalWriter, StoreError> {
    let data_error = |error| StoreError::sort(&paths.data, error);
    if resumed.have.is_empty() {
        data.set_len(0).map_err(data_error)?;
    }
    check_room(&paths.data, data, size.unwrap_or(0))?;
    let header = Header {
        subject,
        boot: BootId::current(),
        inode: inode_of(data),
    };
    let listed = [
        Record::Added(resumed.durable.runs()),
        Record::Durable,
        Record::Added(resumed.have.runs()),
    ];
    let listed = if resumed.have.is_empty() {
        &[]
    } else {
        &listed[..]
    };
    let journal = JournalWriter::begin(&paths.state, &header, listed)
        .map_err(|error| StoreError::sort(&paths.state, error))?;
    if let Some(size) = size {
        data.set_len(size).map_err(data_error)?;
    }
    Ok(journal)
}
