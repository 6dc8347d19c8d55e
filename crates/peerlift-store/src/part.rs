//! The files of a download in progress: their names, the lock that keeps them to one process, and
//! the step that gives the finished file its name.

use std::ffi::OsStr;
use std::fs::{self, File, Metadata, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use crate::error::{Found, StoreError};

/// How to open a partial download.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartialOptions {
    /// Whether the finished file may take the place of another one. Default: no.
    pub overwrite: bool,
    /// What to do with a `.part` file of something else. Default: refuse.
    pub foreign: ForeignPart,
}

/// What to do with a `.part` file that belongs to something else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForeignPart {
    /// Leave it alone and fail.
    #[default]
    Refuse,
    /// Rename it to `NAME.part.1` or the next free number.
    MoveAside,
    /// Throw it away: right when the file behind the same URL has changed. A `.part` file that is
    /// not known to be a download of ours is refused all the same.
    Discard,
}

/// The names a download goes by until it is finished.
#[derive(Clone, Debug)]
pub(crate) struct PartPaths {
    pub(crate) target: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) outboard: PathBuf,
    pub(crate) state: PathBuf,
}

impl PartPaths {
    pub(crate) fn new(target: &Path) -> Self {
        let suffixed = |suffix: &str| {
            let mut name = target.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        Self {
            target: target.to_owned(),
            data: suffixed(".part"),
            outboard: suffixed(".part.obao"),
            state: suffixed(".part.state"),
        }
    }

    /// Opens or creates the `.part` file and takes it for this process.
    pub(crate) fn open_locked(&self, overwrite: bool) -> Result<File, StoreError> {
        if !overwrite && self.target.symlink_metadata().is_ok() {
            return Err(StoreError::TargetExists {
                path: self.target.clone(),
            });
        }
        loop {
            let file = open_or_create(&self.data).map_err(|e| StoreError::sort(&self.data, e))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(StoreError::InUse {
                        path: self.data.clone(),
                    });
                }
                Err(TryLockError::Error(error)) => return Err(StoreError::sort(&self.data, error)),
            }
            // Whoever held the lock may have finished and renamed the file since it was opened.
            let locked = file
                .metadata()
                .map_err(|e| StoreError::sort(&self.data, e))?;
            if fs::metadata(&self.data).is_ok_and(|named| same_file(&named, &locked)) {
                return Ok(file);
            }
        }
    }

    pub(crate) fn open_outboard(&self) -> Result<File, StoreError> {
        open_or_create(&self.outboard).map_err(|e| StoreError::sort(&self.outboard, e))
    }

    /// Moves the files of another download to the first free number.
    pub(crate) fn move_aside(&self) -> Result<(), StoreError> {
        let numbered = |path: &Path, number: u32| {
            let rest = path.as_os_str().as_encoded_bytes();
            let base = self.data.as_os_str().as_encoded_bytes().len();
            let suffix = String::from_utf8_lossy(&rest[base..]).into_owned();
            let mut name = self.data.as_os_str().to_owned();
            name.push(OsStr::new(&format!(".{number}{suffix}")));
            PathBuf::from(name)
        };
        let free = (1..u32::MAX)
            .find(|number| numbered(&self.data, *number).symlink_metadata().is_err())
            .expect("no folder holds four billion files");
        // The data last: while they keep their name, the rest is found beside them.
        for path in [&self.state, &self.outboard, &self.data] {
            match fs::rename(path, numbered(path, free)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::sort(path, error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Deals with the files of another download as `options` say. `Ok(true)`: open again.
    pub(crate) fn displace(
        &self,
        foreign: ForeignPart,
        found: Option<Found>,
    ) -> Result<Displaced, StoreError> {
        match (foreign, found) {
            // Nobody can tell which version it is a part of, so nobody can go on with it.
            (ForeignPart::MoveAside, Some(Found::Version(version))) if version.is_empty() => {
                Ok(Displaced::Discarded)
            }
            (ForeignPart::MoveAside, _) => self.move_aside().map(|()| Displaced::MovedAside),
            (ForeignPart::Discard, Some(_)) => Ok(Displaced::Discarded),
            (ForeignPart::Refuse, Some(found)) => Err(StoreError::OtherObject {
                path: self.data.clone(),
                found,
            }),
            (ForeignPart::Refuse | ForeignPart::Discard, None) => Err(StoreError::NotOurs {
                path: self.data.clone(),
            }),
        }
    }

    /// Gives the finished file its name and removes what is left of the download.
    pub(crate) fn finish(&self, data: &File, overwrite: bool) -> Result<(), StoreError> {
        let data_error = |error| StoreError::sort(&self.data, error);
        data.sync_all().map_err(data_error)?;
        let placed = if overwrite {
            fs::rename(&self.data, &self.target)
        } else {
            rename_new(&self.data, &self.target)
        };
        placed.map_err(|error| match error.kind() == io::ErrorKind::AlreadyExists {
            true => StoreError::TargetExists {
                path: self.target.clone(),
            },
            false => StoreError::sort(&self.target, error),
        })?;
        for path in [&self.state, &self.outboard] {
            // The file is complete under its name: what cannot be removed is only litter.
            if let Err(error) = fs::remove_file(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::debug!(path = %path.display(), %error, "left behind");
            }
        }
        let folder = self.target.parent().filter(|p| !p.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| StoreError::sort(folder, error))
    }
}

/// What became of a foreign `.part` file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Displaced {
    /// It has another name: the lock taken was its lock.
    MovedAside,
    /// It is to be emptied.
    Discarded,
}

/// Removes the files of a download that could not be begun after all.
pub(crate) struct Beginning<'a> {
    paths: &'a PartPaths,
    /// Whether there was nothing before: else there is something to lose.
    fresh: bool,
}

impl<'a> Beginning<'a> {
    pub(crate) fn new(paths: &'a PartPaths, data: &File) -> Self {
        Self {
            paths,
            fresh: data.metadata().is_ok_and(|metadata| metadata.len() == 0),
        }
    }

    /// It is begun: its files stay.
    pub(crate) fn succeed(mut self) {
        self.fresh = false;
    }
}

impl Drop for Beginning<'_> {
    fn drop(&mut self) {
        if self.fresh {
            for path in [&self.paths.state, &self.paths.outboard, &self.paths.data] {
                // The error that is being reported matters more.
                let _ = fs::remove_file(path);
            }
        }
    }
}

fn open_or_create(path: &Path) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
}

fn same_file(a: &Metadata, b: &Metadata) -> bool {
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Renames unless there is a file of that name already.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // File systems that cannot (NFS, FUSE, old kernels): a hard link never replaces either.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => link_new(from, to),
        renamed => Ok(renamed?),
    }
}

fn link_new(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => fs::remove_file(from),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // FAT has neither: the look and the rename leave a gap in which a file could appear.
        Err(_) if to.symlink_metadata().is_ok() => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(from, to),
    }
}

/// Refuses to begin what the disk has no room for. `size` bytes of `file` are to be filled.
pub(crate) fn check_room(path: &Path, file: &File, size: u64) -> Result<(), StoreError> {
    let Ok(metadata) = file.metadata() else {
        return Ok(());
    };
    // Some network file systems do not say: the write will.
    let Ok(system) = rustix::fs::fstatvfs(file) else {
        return Ok(());
    };
    // `st_blocks` counts 512 bytes whatever the block size (POSIX `sys/stat.h`).
    let needed = size.saturating_sub(metadata.blocks().saturating_mul(512));
    let available = system.f_bavail.saturating_mul(system.f_frsize);
    if needed > available {
        return Err(StoreError::TooLittleRoom {
            path: path.to_owned(),
            needed,
            available,
        });
    }
    Ok(())
}

pub(crate) fn inode_of(file: &File) -> u64 {
    file.metadata().map_or(0, |metadata| metadata.ino())
}
