//! Small records on disk that survive crashes, full disks, damage and older programs.
//!
//! A record is one JSON document, `{"version": 1, "check": "…", "record": {…}}`. It is replaced in
//! one step: written beside, made durable, renamed. `check` is the BLAKE3 of the record's text, so
//! damage is noticed even where it is still JSON. What is damaged is moved aside, never deleted and
//! never guessed at. What a later version wrote is left alone.

use std::fs::{self, File};
use std::io::{self, Write};
use std::marker::PhantomData;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

/// The longest record that is read back: a hundred times what any of ours takes.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// How many damaged copies of one record are kept; the oldest makes room.
const ASIDE_MAX: u32 = 4;

/// The version of the envelope and of the records in it.
const VERSION: u32 = 1;

/// A record in a file of its own.
#[derive(Debug)]
pub struct StateFile<T> {
    path: PathBuf,
    record: PhantomData<fn() -> T>,
}

/// A record as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded<T> {
    /// The record; the default when there was none, or none that could be used.
    pub record: T,
    /// Where a damaged file was moved to, for the user to be told.
    pub moved_aside: Option<PathBuf>,
}

/// A record that cannot be read or kept.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StateError {
    /// The system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A later version of the program wrote it.
    #[error("{} was written by a newer peerlift (format {found}, this one knows {VERSION})", path.display())]
    Newer {
        /// The file, untouched.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It is damaged, and was only looked at.
    #[error("{} is damaged; whoever writes it next moves it aside", path.display())]
    Damaged {
        /// The file, untouched.
        path: PathBuf,
    },
}

#[derive(Serialize, Deserialize)]
struct Envelope {
    version: u32,
    #[serde(default)]
    check: String,
    #[serde(default = "nothing")]
    record: Box<RawValue>,
}

/// The part of an envelope that every version has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

fn nothing() -> Box<RawValue> {
    RawValue::from_string("null".to_owned()).expect("null is JSON")
}

impl<T: Default + Serialize + DeserializeOwned> StateFile<T> {
    /// The record in this file; nothing is read yet.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self {
            path,
            record: PhantomData,
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the record. A damaged file is moved aside.
    ///
    /// # Errors
    ///
    /// A [`StateError`] when the file cannot be read, or is a later version's.
    pub fn load(&self) -> Result<Loaded<T>, StateError> {
        let bytes = match self.read() {
            Ok(Some(bytes)) => bytes,
            Ok(None) => {
                return Ok(Loaded {
                    record: T::default(),
                    moved_aside: None,
                });
            }
            Err(source) => return Err(self.io(source)),
        };
        match decode(&bytes) {
            Ok(record) => Ok(Loaded {
                record,
                moved_aside: None,
            }),
            Err(Unusable::Newer(found)) => Err(StateError::Newer {
                path: self.path.clone(),
                found,
            }),
            Err(Unusable::Damaged) => {
                let aside = self.move_aside().map_err(|source| self.io(source))?;
                Ok(Loaded {
                    record: T::default(),
                    moved_aside: Some(aside),
                })
            }
        }
    }

    /// Reads the record to show it, and touches nothing.
    ///
    /// # Errors
    ///
    /// A [`StateError`] when the file cannot be read, is a later version's, or is damaged.
    pub fn peek(&self) -> Result<T, StateError> {
        let bytes = self.read().map_err(|source| self.io(source))?;
        match bytes.map(|bytes| decode(&bytes)) {
            Some(Ok(record)) => Ok(record),
            Some(Err(Unusable::Newer(found))) => Err(StateError::Newer {
                path: self.path.clone(),
                found,
            }),
            Some(Err(Unusable::Damaged)) => Err(StateError::Damaged {
                path: self.path.clone(),
            }),
            None => Ok(T::default()),
        }
    }

    /// Replaces the record, durably, in one step.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`]; the old record is then still there.
    pub fn save(&self, record: &T) -> Result<(), StateError> {
        let bytes = encode(record).map_err(|source| self.io(source))?;
        replace(&self.path, &bytes).map_err(|source| self.io(source))
    }

    /// Reads, changes and writes while no other process does. What `change` returns is returned;
    /// nothing is written when it says so.
    ///
    /// # Errors
    ///
    /// A [`StateError`]; the record on disk is then unchanged.
    pub fn update<R>(
        &self,
        change: impl FnOnce(&mut Loaded<T>) -> (R, Keep),
    ) -> Result<R, StateError> {
        let _lock = lock_beside(&self.path).map_err(|source| self.io(source))?;
        let mut loaded = self.load()?;
        let (result, keep) = change(&mut loaded);
        if keep == Keep::Yes {
            self.save(&loaded.record)?;
        }
        Ok(result)
    }

    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::metadata(&self.path) {
            // Longer than any of ours: damaged, and not worth the memory.
            Ok(metadata) if metadata.len() > FILE_BYTES_MAX => Ok(Some(Vec::new())),
            Ok(_) => fs::read(&self.path).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn move_aside(&self) -> io::Result<PathBuf> {
        let name = |number| self.path.with_extension(format!("damaged-{number}"));
        let free = (1..=ASIDE_MAX).map(name).find(|path| !path.exists());
        let aside = match free {
            Some(path) => path,
            None => {
                for number in 1..ASIDE_MAX {
                    fs::rename(name(number + 1), name(number))?;
                }
                name(ASIDE_MAX)
            }
        };
        fs::rename(&self.path, &aside)?;
        Ok(aside)
    }

    fn io(&self, source: io::Error) -> StateError {
        StateError::Io {
            path: self.path.clone(),
            source,
        }
    }
}

/// Whether a change is worth writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Write it.
    Yes,
    /// Nothing changed.
    No,
}

enum Unusable {
    Damaged,
    Newer(u32),
}

fn encode(record: &impl Serialize) -> io::Result<Vec<u8>> {
    let record = serde_json::value::to_raw_value(record)?;
    let envelope = Envelope {
        version: VERSION,
        check: blake3::hash(record.get().as_bytes()).to_hex().to_string(),
        record,
    };
    let mut bytes = serde_json::to_vec(&envelope)?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unusable> {
    let version: Version = serde_json::from_slice(bytes).map_err(|_| Unusable::Damaged)?;
    if version.version > VERSION {
        return Err(Unusable::Newer(version.version));
    }
    if version.version == 0 {
        // No version of ours.
        return Err(Unusable::Damaged);
    }
    let envelope: Envelope = serde_json::from_slice(bytes).map_err(|_| Unusable::Damaged)?;
    let check = blake3::hash(envelope.record.get().as_bytes()).to_hex();
    if check.as_str() != envelope.check {
        return Err(Unusable::Damaged);
    }
    serde_json::from_str(envelope.record.get()).map_err(|_| Unusable::Damaged)
}

/// Parses any bytes as a state file: the entry of the fuzz target, and of the test that replays its
/// corpus.
#[doc(hidden)]
pub fn fuzz_state_file(bytes: &[u8]) {
    let Ok(value) = decode::<serde_json::Value>(bytes) else {
        return;
    };
    // What was accepted is written back as something that is accepted and says the same.
    let again = encode(&value).expect("a JSON value can be written");
    assert!(decode::<serde_json::Value>(&again).is_ok_and(|same| same == value));
}

/// Replaces a file in one step: a reader, or a crash, sees the old content or the new one. Only the
/// user can read it.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make_private_folder(folder)?;
    let fresh = path.with_extension("new");
    let written = write_durably(&fresh, bytes).and_then(|()| fs::rename(&fresh, path));
    if let Err(error) = written {
        // Half a file beside the old one is of no use.
        let _ = fs::remove_file(&fresh);
        return Err(error);
    }
    File::open(folder)?.sync_all()
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = private_file()
        .create(true)
        .write(true)
        .truncate(true)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Options for a file that only the user can read.
pub(crate) fn private_file() -> fs::OpenOptions {
    let mut options = File::options();
    options.mode(0o600);
    options
}

/// Makes a folder that only the user can enter, with those above it.
pub(crate) fn make_private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

/// Holds the lock beside a file until the answer is dropped.
pub(crate) fn lock_beside(path: &Path) -> io::Result<File> {
    make_private_folder(path.parent().unwrap_or(Path::new(".")))?;
    let file = private_file()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path.with_extension("lock"))?;
    file.lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &tempfile::TempDir) -> StateFile<Vec<u32>> {
        StateFile::at(folder.path().join("a/b/numbers.json"))
    }

    #[test]
    fn a_record_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        assert_eq!(file.load().unwrap().record, Vec::<u32>::new());
        file.save(&vec![1, 2]).unwrap();
        assert_eq!(
            file.load().unwrap(),
            Loaded {
                record: vec![1, 2],
                moved_aside: None
            }
        );
        let sum = file.update(|loaded| {
            loaded.record.push(3);
            (loaded.record.iter().sum::<u32>(), Keep::Yes)
        });
        assert_eq!(sum.unwrap(), 6);
        assert_eq!(file.load().unwrap().record, [1, 2, 3]);
    }

    #[test]
    fn every_truncation_and_every_flipped_byte_is_noticed_and_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        file.save(&vec![1, 2]).unwrap();
        let good = fs::read(file.path()).unwrap();
        // The newline at the end says nothing.
        let cuts = (0..good.len() - 1).map(|end| good[..end].to_vec());
        let flips = (0..good.len() - 1).map(|at| {
            let mut bad = good.clone();
            bad[at] ^= 1;
            bad
        });
        for bad in cuts.chain(flips) {
            fs::write(file.path(), &bad).unwrap();
            match file.load() {
                Ok(loaded) => {
                    let aside = loaded.moved_aside.expect("damage is noticed");
                    assert_eq!(fs::read(aside).unwrap(), bad);
                    assert!(loaded.record.is_empty());
                }
                // The flipped byte was the version's.
                Err(StateError::Newer { .. }) => assert!(bad.starts_with(b"{\"version\":")),
                Err(error) => panic!("{error}"),
            }
        }
        let kept = fs::read_dir(file.path().parent().unwrap()).unwrap().count();
        assert!(kept <= 6, "{kept} files: damaged copies are bounded");
    }

    #[test]
    fn a_later_versions_record_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        let text = "{\"version\":2,\"anything\":[]}";
        make_private_folder(file.path().parent().unwrap()).unwrap();
        fs::write(file.path(), text).unwrap();
        let error = file.load().unwrap_err();
        assert!(
            error.to_string().contains("newer peerlift (format 2"),
            "{error}"
        );
        assert!(file.update(|_| ((), Keep::Yes)).is_err());
        assert_eq!(fs::read_to_string(file.path()).unwrap(), text);
    }

    #[test]
    fn a_record_that_cannot_be_written_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        file.save(&vec![1]).unwrap();
        // A folder of the name of the temporary file stands in for a full disk.
        fs::create_dir(file.path().with_extension("new")).unwrap();
        assert!(matches!(file.save(&vec![2]), Err(StateError::Io { .. })));
        assert_eq!(file.load().unwrap().record, [1]);
    }

    #[test]
    fn a_crash_while_it_is_replaced_leaves_the_old_record() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        file.save(&vec![1]).unwrap();
        let (old, fresh) = (
            fs::read(file.path()).unwrap(),
            encode(&vec![2_u32]).unwrap(),
        );
        let beside = file.path().with_extension("new");
        for written in 0..=fresh.len() {
            fs::write(&beside, &fresh[..written]).unwrap();
            let loaded = file.load().unwrap();
            assert_eq!((loaded.record, loaded.moved_aside), (vec![1], None));
            assert_eq!(fs::read(file.path()).unwrap(), old, "{written} bytes");
            file.save(&vec![1]).unwrap();
            assert!(!beside.exists(), "{written} bytes");
        }
    }

    #[test]
    fn a_full_disk_leaves_the_old_record() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        file.save(&vec![1]).unwrap();
        let beside = file.path().with_extension("new");
        std::os::unix::fs::symlink("/dev/full", &beside).unwrap();
        let error = file.save(&vec![2]).unwrap_err();
        let StateError::Io { source, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);
        assert_eq!(file.load().unwrap().record, [1]);
        // With room again it goes on.
        file.save(&vec![2]).unwrap();
        assert_eq!(file.load().unwrap().record, [2]);
    }

    #[test]
    fn only_the_user_can_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder);
        file.save(&vec![1]).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(file.path()), 0o600);
        assert_eq!(mode(file.path().parent().unwrap()), 0o700);
    }
}
