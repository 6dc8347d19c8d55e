//! What tells a finished file from the one that lies under its name later.

use std::fs::{self, File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::StoreError;

/// The size of a file, and when it was last written to.
///
/// Whatever a program writes to a file changes the time; a file that was moved away and another that
/// took its place differ in it, too. Inode and device are left out: not every file system keeps them
/// over a restart. Content is proven whenever it is sent, so a mark only has to be good enough not to
/// try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMark {
    /// Bytes.
    size: u64,
    /// Seconds since 1970 and nanoseconds.
    modified: (i64, i64),
}

impl FileMark {
    /// The mark of an open file.
    pub(crate) fn of(file: &File, path: &Path) -> Result<Self, StoreError> {
        let metadata = file.metadata();
        metadata
            .map(|metadata| Self::from(&metadata))
            .map_err(|error| StoreError::sort(path, error))
    }

    /// Whether the file that lies at `path` is still the one with this mark.
    ///
    /// # Errors
    ///
    /// [`StoreError::Changed`]; [`StoreError::Gone`]; what the system says.
    pub fn check(self, path: &Path) -> Result<(), StoreError> {
        let found = match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let path = path.to_owned();
                return Err(StoreError::Gone { path });
            }
            found => found.map_err(|error| StoreError::sort(path, error))?,
        };
        if Self::from(&found) == self && found.is_file() {
            Ok(())
        } else {
            Err(StoreError::Changed {
                path: path.to_owned(),
            })
        }
    }
}

impl From<&Metadata> for FileMark {
    fn from(metadata: &Metadata) -> Self {
        Self {
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}
