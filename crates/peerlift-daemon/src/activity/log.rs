//! The log's files: appending, sealing, recovering.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::chain::{self, Checked, End, Head, Segment};
use super::entry::{Entry, Happening, Origin};
use super::line::{LINE_BYTES_MAX, Line, NOTHING};
use super::{SEGMENT_BYTES_MAX, SEGMENTS_MAX};
use crate::state::{StateError, StateFile, lock_beside, make_private_folder, private_file};
use crate::system_log::SystemLog;
use crate::time::UnixTime;

/// The longest file that is read: sealing keeps ours far below, with its last line.
const FILE_BYTES_MAX: u64 = 4 * (SEGMENT_BYTES_MAX + LINE_BYTES_MAX) as u64;

/// The longest text within an entry; strangers' names are cut.
const TEXT_CHARS_MAX: usize = 512;

/// The log of one account.
#[derive(Clone, Debug)]
pub struct ActivityLog {
    folder: PathBuf,
    system: SystemLog,
}

/// The log cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ActivityError {
    /// The system refused.
    #[error("activity log in {}: {source}", folder.display())]
    Io {
        /// The log's folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The head is a later version's.
    #[error(transparent)]
    State(#[from] StateError),
}

impl ActivityLog {
    /// The log in this folder, which is made by the first entry. What matters to the system is
    /// also told to `system`.
    #[must_use]
    pub fn at(folder: PathBuf, system: SystemLog) -> Self {
        Self { folder, system }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Reads the whole log and checks it.
    ///
    /// # Errors
    ///
    /// An [`ActivityError`] when it cannot be read. Tampering is no error: see [`Checked::faults`].
    pub fn check(&self) -> Result<Checked, ActivityError> {
        if !self.folder.exists() {
            return Ok(Checked::default());
        }
        let _lock = lock_beside(self.head().path()).map_err(|e| self.io(e))?;
        Ok(self.follow()?.checked)
    }

    /// Notes something, durably. What a crash left half written is cut off first, and noted.
    ///
    /// # Errors
    ///
    /// An [`ActivityError`] when it cannot be kept.
    pub fn note(&self, what: Happening, now: UnixTime) -> Result<(), ActivityError> {
        let (entry, hash) = {
            let _lock = lock_beside(self.head().path()).map_err(|e| self.io(e))?;
            let mut writer = Writer::open(self, now)?;
            writer.append(cut_texts(what))?
        };
        if entry.what.matters_to_the_system() {
            self.system.tell(&entry, &hash);
        }
        Ok(())
    }

    /// Notes how Peerlift came here, or that its version changed, when the log does not say so yet.
    ///
    /// # Errors
    ///
    /// An [`ActivityError`] when the log cannot be read or written.
    pub fn note_presence(&self, origin: Origin) -> Result<(), ActivityError> {
        let checked = self.check()?;
        let now = origin.at;
        let Some(first) = checked.origin() else {
            return self.note(Happening::Installed { origin }, now);
        };
        let mut updates = checked.entries.iter().rev();
        let last = updates.find_map(|entry| entry.what.updated_to());
        let known = last.unwrap_or(&first.version);
        if known == origin.version {
            return Ok(());
        }
        let update = Happening::Updated {
            from: known.to_owned(),
            to: origin.version,
        };
        self.note(update, now)
    }

    fn head(&self) -> StateFile<Head> {
        StateFile::at(self.folder.join("activity.head"))
    }

    fn follow(&self) -> Result<Followed, ActivityError> {
        let loaded = self.head().load()?;
        let segments = self.segments().map_err(|source| self.io(source))?;
        let head = Some(loaded.record).filter(|head| head.last > 0);
        // Dropped files that a crash has left.
        let (kept, dropped): (Vec<_>, Vec<_>) = segments
            .into_iter()
            .partition(|segment| head.as_ref().is_none_or(|head| segment.first >= head.first));
        let (checked, end) = chain::check(&kept, head.as_ref());
        Ok(Followed {
            head,
            segments: kept,
            dropped,
            checked,
            end,
        })
    }

    fn segments(&self) -> io::Result<Vec<Segment>> {
        let mut segments = Vec::new();
        for found in fs::read_dir(&self.folder)? {
            let path = found?.path();
            let Some(first) = segment_number(&path) else {
                continue;
            };
            if fs::metadata(&path)?.len() > FILE_BYTES_MAX {
                return Err(io::Error::other(format!("{} is too large", path.display())));
            }
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            segments.push(Segment {
                name,
                first,
                bytes: fs::read(&path)?,
            });
        }
        segments.sort_by_key(|segment| segment.first);
        Ok(segments)
    }

    fn io(&self, source: io::Error) -> ActivityError {
        ActivityError::Io {
            folder: self.folder.clone(),
            source,
        }
    }
}

struct Followed {
    head: Option<Head>,
    segments: Vec<Segment>,
    dropped: Vec<Segment>,
    checked: Checked,
    end: End,
}

/// The log while it is locked and written.
struct Writer<'a> {
    log: &'a ActivityLog,
    now: UnixTime,
    head: Head,
    /// The file that is written, its size, and the numbers of all files.
    file: File,
    size: usize,
    numbers: Vec<u64>,
    end: End,
    origin: Option<Origin>,
}

impl<'a> Writer<'a> {
    fn open(log: &'a ActivityLog, now: UnixTime) -> Result<Self, ActivityError> {
        make_private_folder(&log.folder).map_err(|source| log.io(source))?;
        let Followed {
            head,
            segments,
            dropped,
            checked,
            end,
        } = log.follow()?;
        for segment in &dropped {
            // Left for the next time when it fails: it is no longer part of the log.
            let _ = fs::remove_file(log.folder.join(&segment.name));
        }
        let numbers: Vec<u64> = segments.iter().map(|segment| segment.first).collect();
        let number = numbers.last().copied().unwrap_or(end.seq + 1);
        let file = open_segment(&log.folder, number).map_err(|source| log.io(source))?;
        let fresh = Head {
            first: checked
                .entries
                .first()
                .map_or(end.seq + 1, |entry| entry.seq),
            before_first: NOTHING.to_hex().to_string(),
            ..Head::default()
        };
        let mut writer = Self {
            log,
            now,
            head: head.unwrap_or(fresh),
            file,
            size: segments.last().map_or(0, |segment| segment.bytes.len()),
            numbers: if numbers.is_empty() {
                vec![number]
            } else {
                numbers
            },
            end,
            origin: checked.origin().cloned(),
        };
        if checked.torn {
            writer.cut_torn()?;
        } else if segments
            .last()
            .is_some_and(|segment| !segment.bytes.ends_with(b"\n") && !segment.bytes.is_empty())
        {
            // A damaged end that was promised stays as evidence, on a line of its own.
            writer.write(b"\n").map_err(|source| log.io(source))?;
        }
        Ok(writer)
    }

    fn cut_torn(&mut self) -> Result<(), ActivityError> {
        let lost = self.size - self.end.good_bytes;
        let cut = self.file.set_len(self.end.good_bytes as u64);
        cut.and_then(|()| self.file.sync_all())
            .map_err(|source| self.log.io(source))?;
        self.size = self.end.good_bytes;
        let what = format!("an entry that a crash left half written ({lost} bytes) was cut off");
        self.append(Happening::Repaired { what }).map(drop)
    }

    fn append(&mut self, what: Happening) -> Result<(Entry, String), ActivityError> {
        if self.size >= SEGMENT_BYTES_MAX {
            self.seal()?;
        }
        self.put(what)
    }

    fn put(&mut self, what: Happening) -> Result<(Entry, String), ActivityError> {
        let by = format!(
            "peerlift {} (process {})",
            env!("CARGO_PKG_VERSION"),
            std::process::id()
        );
        let entry = Entry {
            seq: self.end.seq + 1,
            at: self.now,
            by,
            what,
        };
        let before = self.size;
        let written = Line::write(&entry, self.end.hash)
            .map_err(io::Error::from)
            .and_then(|(hash, line)| self.write(&line).map(|()| hash));
        let hash = written.map_err(|source| self.log.io(source))?;
        let hex = hash.to_hex().to_string();
        let head = Head {
            last: entry.seq,
            last_hash: hex.clone(),
            ..self.head.clone()
        };
        if let Err(error) = self.log.head().save(&head) {
            self.take_back(before, &head);
            return Err(error.into());
        }
        self.head = head;
        (self.end.seq, self.end.hash) = (entry.seq, hash);
        Ok((entry, hex))
    }

    /// Takes the last line away again, which the head does not name: whoever hears that something was
    /// not noted does not find it noted later. A head that was replaced, and only may not last, names it.
    fn take_back(&mut self, before: usize, head: &Head) {
        let is_named = { self.log.head().peek() }.map_or(true, |known| known.last == head.last);
        if !is_named {
            self.size = before;
            // What is left when this fails, too, is what a crash leaves between line and head.
            let _ = self.file.set_len(self.size as u64);
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self
            .file
            .write_all(bytes)
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // A full disk took half of it: the log ends where it ended.
            let _ = self.file.set_len(self.size as u64);
            return Err(error);
        }
        self.size += bytes.len();
        Ok(())
    }

    /// Begins a new file; the oldest goes when there are too many.
    fn seal(&mut self) -> Result<(), ActivityError> {
        let number = self.end.seq + 1;
        self.file = open_segment(&self.log.folder, number).map_err(|source| self.log.io(source))?;
        self.size = 0;
        self.numbers.push(number);
        let origin = self.origin.clone();
        self.drop_oldest()?;
        self.put(Happening::Sealed { origin }).map(drop)
    }

    fn drop_oldest(&mut self) -> Result<(), ActivityError> {
        while self.numbers.len() > SEGMENTS_MAX {
            let oldest = self.numbers.remove(0);
            let first = self.numbers[0];
            let bytes = match first == self.end.seq + 1 {
                true => Vec::new(),
                false => {
                    fs::read(segment_path(&self.log.folder, first)).map_err(|e| self.log.io(e))?
                }
            };
            let line = bytes
                .split(|byte| *byte == b'\n')
                .next()
                .unwrap_or_default();
            let before = Line::read(line).map_or(self.end.hash, |line| line.previous);
            (self.head.first, self.head.before_first) = (first, before.to_hex().to_string());
            // The head first: a crash then leaves a file too many, not one too few.
            self.log.head().save(&self.head)?;
            fs::remove_file(segment_path(&self.log.folder, oldest)).map_err(|e| self.log.io(e))?;
        }
        Ok(())
    }
}

fn segment_path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("activity-{first:010}.log"))
}

fn segment_number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    let digits = name.strip_prefix("activity-")?.strip_suffix(".log")?;
    digits.parse().ok()
}

fn open_segment(folder: &Path, first: u64) -> io::Result<File> {
    let file = private_file()
        .create(true)
        .append(true)
        .open(segment_path(folder, first))?;
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// Keeps strangers' names from filling the log. Every text is cut, wherever it stands.
fn cut_texts(what: Happening) -> Happening {
    let Ok(mut value) = serde_json::to_value(&what) else {
        return what;
    };
    cut_value(&mut value);
    serde_json::from_value(value).unwrap_or(what)
}

fn cut_value(value: &mut serde_json::Value) {
    match value {
        serde_json::Value::String(text) => {
            *text = text
                .chars()
                .filter(|c| !c.is_control())
                .take(TEXT_CHARS_MAX)
                .collect();
        }
        serde_json::Value::Array(values) => {
            // More sockets or names than anybody reads.
            values.truncate(16);
            values.iter_mut().for_each(cut_value);
        }
        serde_json::Value::Object(members) => members.values_mut().for_each(cut_value),
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {}
    }
}
