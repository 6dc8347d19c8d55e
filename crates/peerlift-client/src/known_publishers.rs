//! Trust on first use: which keys have signed for which origin.
//!
//! The first manifest from an origin (scheme, host and port) is believed and its key noted; from
//! then on another key is an error until the user names it. The publisher's own *name* plays no
//! part in it: whoever could swap the key could swap the name.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use peerlift_model::PublisherId;
use serde::{Deserialize, Serialize};
use url::Url;

/// The longest file that is read back; some 100 bytes an origin.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The record on disk, `known_publishers.json`.
#[derive(Debug)]
pub(crate) struct KnownPublishers {
    path: PathBuf,
}

/// What the record says of a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The key has signed for this origin before.
    Known,
    /// The origin has never been seen; its key is noted now.
    FirstUse,
    /// The origin has another key.
    Changed {
        /// The key noted last.
        known: PublisherId,
    },
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Record {
    /// Origin → keys as hexadecimal text, oldest first.
    origins: BTreeMap<String, Vec<String>>,
}

impl KnownPublishers {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Looks a key up and notes it when the origin is new.
    pub(crate) fn check(&self, url: &Url, key: PublisherId) -> io::Result<Trust> {
        let _lock = self.lock()?;
        let mut record = self.load()?;
        let keys = record.origins.entry(origin(url)).or_default();
        if keys.iter().any(|known| known.parse() == Ok(key)) {
            return Ok(Trust::Known);
        }
        if let Some(known) = keys.iter().rev().find_map(|known| known.parse().ok()) {
            return Ok(Trust::Changed { known });
        }
        keys.push(key.to_string());
        self.save(&record)?;
        Ok(Trust::FirstUse)
    }

    /// Notes a key that the user named.
    pub(crate) fn trust(&self, url: &Url, key: PublisherId) -> io::Result<()> {
        let _lock = self.lock()?;
        let mut record = self.load()?;
        let keys = record.origins.entry(origin(url)).or_default();
        if keys.iter().all(|known| known.parse() != Ok(key)) {
            keys.push(key.to_string());
            self.save(&record)?;
        }
        Ok(())
    }

    /// Serialises the processes of one user: two first uses at once must not lose one.
    fn lock(&self) -> io::Result<fs::File> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let lock = fs::File::create(self.path.with_extension("lock"))?;
        lock.lock()?;
        Ok(lock)
    }

    fn load(&self) -> io::Result<Record> {
        let size = match fs::metadata(&self.path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Record::default()),
            Err(error) => return Err(error),
        };
        if size > FILE_BYTES_MAX {
            return Err(self.unreadable("it is too large"));
        }
        serde_json::from_slice(&fs::read(&self.path)?).map_err(|error| self.unreadable(error))
    }

    fn save(&self, record: &Record) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        fs::write(&fresh, serde_json::to_vec_pretty(record)?)?;
        fs::rename(fresh, &self.path)
    }

    /// Forgetting silently would turn an attack into a first use, so a damaged record is an error.
    fn unreadable(&self, why: impl std::fmt::Display) -> io::Error {
        let text = format!("{}: {why}; restore it or delete it", display(&self.path));
        io::Error::new(io::ErrorKind::InvalidData, text)
    }
}

fn display(path: &Path) -> std::path::Display<'_> {
    path.display()
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> PublisherId {
        PublisherId::new([byte; 32])
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn a_key_is_believed_once_and_then_kept() {
        let folder = tempfile::tempdir().unwrap();
        let known = KnownPublishers::at(folder.path().join("sub/known_publishers.json"));
        let here = url("https://edge.example/a");

        assert_eq!(known.check(&here, key(1)).unwrap(), Trust::FirstUse);
        assert_eq!(
            known
                .check(&url("https://edge.example/b/c"), key(1))
                .unwrap(),
            Trust::Known
        );
        assert_eq!(
            known.check(&here, key(2)).unwrap(),
            Trust::Changed { known: key(1) }
        );
        assert_eq!(
            known
                .check(&url("https://edge.example:444/a"), key(2))
                .unwrap(),
            Trust::FirstUse
        );

        known.trust(&here, key(2)).unwrap();
        assert_eq!(known.check(&here, key(2)).unwrap(), Trust::Known);
        assert_eq!(known.check(&here, key(1)).unwrap(), Trust::Known);
    }

    #[test]
    fn a_damaged_record_is_an_error_not_a_first_use() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("known_publishers.json");
        fs::write(&path, b"{\"origins\":").unwrap();
        let error = KnownPublishers::at(path)
            .check(&url("http://h/"), key(1))
            .unwrap_err();
        assert!(
            error.to_string().contains("restore it or delete it"),
            "{error}"
        );
    }
}
