//! Files that appear complete or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A file under construction: it gets its final name complete and durable, or never.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) file: File,
    temporary: PathBuf,
    path: PathBuf,
    placed: bool,
}

impl Draft {
    /// Begins a file that everybody may read, as far as the process's umask lets them.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        Self::with_mode(path, 0o666)
    }

    /// Begins a file with these permission bits.
    pub(crate) fn with_mode(path: &Path, mode: u32) -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // A process id and a count are unique among the living; what the dead left is removed.
        let (process, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // Hidden, so that no edge serves it and no publisher publishes it.
        let temporary = path.with_file_name(format!(".peerlift-{process}-{count}.tmp"));
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut options = File::options();
        let file = options
            .read(true)
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temporary)?;
        Ok(Self {
            file,
            temporary,
            path: path.to_owned(),
            placed: false,
        })
    }

    /// Gives the file its name, in place of any other of that name.
    pub(crate) fn place(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.temporary, &self.path)?;
        self.placed = true;
        Ok(())
    }

    /// Gives the file its name, unless there is one of that name.
    pub(crate) fn place_new(self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::hard_link(&self.temporary, &self.path)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.placed {
            // Best effort: the draft is hidden and the next one overwrites it.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Writes a whole file atomically.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut draft = Draft::new(path)?;
    draft.file.write_all(bytes)?;
    draft.place()
}

/// Makes renames within the folder of `path` durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// The folder that a path's last part lies in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}
