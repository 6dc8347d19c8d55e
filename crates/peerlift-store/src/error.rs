//! What can go wrong with objects on disk, sorted by who can mend it.

use std::io;
use std::path::{Path, PathBuf};

use peerlift_content::Corrupt;
use peerlift_model::{ByteRange, GroupRange, ObjectId};

/// Why storage failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file of the final name is there already, and may not be overwritten.
    #[error("{} exists already", path.display())]
    TargetExists {
        /// The final name.
        path: PathBuf,
    },
    /// Another download writes to the same target.
    #[error("{} is in use by another download", path.display())]
    InUse {
        /// The `.part` file.
        path: PathBuf,
    },
    /// The `.part` file belongs to another object, or another version of it.
    #[error("{} is a part of another file ({found})", path.display())]
    OtherObject {
        /// The `.part` file.
        path: PathBuf,
        /// What it is a part of.
        found: Found,
    },
    /// The `.part` file is none of ours, or nothing in it could be saved.
    #[error("{} is not a resumable download of this file", path.display())]
    NotOurs {
        /// The `.part` file.
        path: PathBuf,
    },
    /// There is too little room on the disk, or within a quota.
    #[error("the disk is full: cannot write {}", path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is too little room for what is to come; nothing was written.
    #[error("{} needs {needed} more bytes, the disk has {available}", path.display())]
    TooLittleRoom {
        /// The file.
        path: PathBuf,
        /// Bytes that are to be written.
        needed: u64,
        /// Bytes that are free.
        available: u64,
    },
    /// The file system takes no files of this size (FAT: 4 GiB).
    #[error("the file system takes no file as large as {}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder or file system may not be written to.
    #[error("may not write {}", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The folder of the target does not exist.
    #[error("there is no folder for {}", path.display())]
    NoFolder {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The name, with what is appended while it is downloaded, is too long for the file system.
    #[error("the name is too long: {}", path.display())]
    NameTooLong {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system failed in another way.
    #[error("cannot access {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The stored bytes are no longer what was written: the disk rots, or somebody changed them.
    /// An unfinished object forgets them, so that they are fetched again.
    #[error("the stored copy {} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is damaged.
        source: Corrupt,
    },
    /// The caller asked for groups that are not there.
    #[error("{groups:?} are not all there")]
    Absent {
        /// The groups asked for.
        groups: GroupRange,
    },
    /// The caller asked for bytes that are not there.
    #[error("{bytes:?} are not all there")]
    AbsentBytes {
        /// The bytes asked for.
        bytes: ByteRange,
    },
    /// The caller wants to finish what is not complete.
    #[error("{missing} bytes are still missing")]
    Incomplete {
        /// Bytes that are missing.
        missing: u64,
    },
    /// The root of an object without bytes is always the same, and this is another one.
    #[error("no object of 0 bytes has the root {root}")]
    NotEmpty {
        /// The root.
        root: ObjectId,
    },
    /// A finished file is not as it was: somebody wrote to it, or another one took its place.
    #[error("{} was changed", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A finished file is no longer under its name.
    #[error("{} was moved or deleted", path.display())]
    Gone {
        /// The file.
        path: PathBuf,
    },
    /// A finished file has not the size of the object.
    #[error("{} has {actual} bytes instead of {expected}", path.display())]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// The size it should have.
        expected: u64,
        /// The size it has.
        actual: u64,
    },
}

/// What a `.part` file belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A published object.
    Object(ObjectId),
    /// A version of a file that is only known by a server's validator.
    Version(String),
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Object(root) => write!(f, "root {root}"),
            Self::Version(validator) => write!(f, "version {validator}"),
        }
    }
}

impl StoreError {
    /// Sorts what the system said about a file by who can mend it.
    pub(crate) fn sort(path: &Path, source: io::Error) -> Self {
        use io::ErrorKind as Kind;
        let path = path.to_owned();
        let kind = source.kind();
        if matches!(kind, Kind::StorageFull | Kind::QuotaExceeded) {
            Self::Full { path, source }
        } else if kind == Kind::FileTooLarge {
            Self::TooLarge { path, source }
        } else if matches!(kind, Kind::ReadOnlyFilesystem | Kind::PermissionDenied) {
            Self::ReadOnly { path, source }
        } else if matches!(kind, Kind::NotFound | Kind::NotADirectory) {
            Self::NoFolder { path, source }
        } else if kind == Kind::InvalidFilename {
            Self::NameTooLong { path, source }
        } else {
            Self::Io { path, source }
        }
    }
}

/// Why bytes were not stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// They are not the object's: whoever sent them lied or is damaged. Groups before the corrupt
    /// one have been kept.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// Parents that prove them are not known yet: see `missing_nodes`.
    #[error("the hash tree above {groups:?} is not known yet")]
    NodesMissing {
        /// The groups that were to be written.
        groups: GroupRange,
    },
    /// A parent of these parents is not known yet, and must be accepted first.
    #[error("the hash tree node at byte {outboard_offset} is not known yet")]
    ParentMissing {
        /// Where it belongs in the outboard.
        outboard_offset: u64,
    },
    /// They are not whole groups, or not whole parents, of this object: the caller's mistake.
    #[error("{bytes:?} are not whole groups or parents of this object")]
    Misfit {
        /// Where they were to go.
        bytes: ByteRange,
    },
    /// They cannot be kept.
    #[error(transparent)]
    Storage(#[from] StoreError),
}
