//! The complete files that go on being shared when the service starts again: a record among the
//! lasting ones, and for each file its sidecars in the cache.
//!
//! The cache may vanish, and files are their user's: a missing or changed one only ends its sharing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use peerlift_client::Kept;
use serde::{Deserialize, Serialize};

use super::queue::DownloadId;
use crate::home::Home;
use crate::state::{StateError, StateFile};
use crate::time::UnixTime;

/// A file that is shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SharedFile {
    /// What it takes to share it.
    pub(super) kept: Kept,
    /// When sharing it ends.
    pub(super) until: UnixTime,
    /// When something of it was sent last, or else when it was complete.
    #[serde(default)]
    used: UnixTime,
    /// What its sidecars take.
    #[serde(default)]
    bytes: u64,
}

impl SharedFile {
    /// A file that is complete now and shared for so long.
    pub(super) fn new(kept: Kept, now: UnixTime, time: Duration) -> Self {
        let size = |path: &PathBuf| fs::metadata(path).map_or(0, |metadata| metadata.len());
        Self {
            bytes: kept.files().iter().map(size).sum(),
            kept,
            until: UnixTime::from_secs(now.as_secs() + time.as_secs()),
            used: now,
        }
    }
}

/// Files that are shared at once, at most: each is announced to a control node.
const FILES_MAX: usize = 256;

type Files = BTreeMap<DownloadId, SharedFile>;

/// All of them.
#[derive(Debug)]
pub(super) struct SharedFiles {
    folder: PathBuf,
    record: StateFile<Files>,
    files: Files,
}

impl SharedFiles {
    /// None yet; nothing is read.
    pub(super) fn of(home: &Home) -> Self {
        Self {
            folder: home.shared_sidecars(),
            record: StateFile::at(home.shared()),
            files: Files::new(),
        }
    }

    /// Where the sidecars of a download are kept: a path to which their endings are added.
    pub(super) fn base(&self, id: DownloadId) -> PathBuf {
        self.folder.join(id.0.to_string())
    }

    /// Reads the record back. A damaged one was moved aside to where is returned.
    pub(super) fn load(&mut self) -> Result<Option<PathBuf>, StateError> {
        let loaded = self.record.load()?;
        self.files = loaded.record;
        Ok(loaded.moved_aside)
    }

    pub(super) fn file(&self, id: DownloadId) -> Option<&SharedFile> {
        self.files.get(&id)
    }

    /// Keeps a file from now on.
    pub(super) fn add(&mut self, id: DownloadId, file: SharedFile) -> Result<(), StateError> {
        self.files.insert(id, file);
        self.record.save(&self.files)
    }

    /// Notes that something of a file was sent.
    pub(super) fn used(&mut self, id: DownloadId, now: UnixTime) {
        if let Some(file) = self.files.get_mut(&id) {
            file.used = file.used.max(now);
        }
    }

    /// Writes down which files were used when. A crash forgets it, and may let another file go.
    pub(super) fn save_uses(&self) {
        if !self.files.is_empty()
            && let Err(error) = self.record.save(&self.files)
        {
            tracing::warn!(%error, "uses of shared files are forgotten");
        }
    }

    /// The files to be forgotten so that all sidecars together take no more than `quota` bytes: those
    /// first that cannot fit, then those that were not used for longest.
    pub(super) fn too_many(&self, quota: u64) -> Vec<DownloadId> {
        let (mut gone, mut kept): (Vec<_>, Vec<_>) =
            { self.files.iter() }.partition(|(_, file)| file.bytes > quota);
        kept.sort_by_key(|(id, file)| (std::cmp::Reverse(file.used), std::cmp::Reverse(**id)));
        let mut room = quota;
        let fits = kept.iter().take(FILES_MAX).take_while(|(_, file)| {
            let left = room.checked_sub(file.bytes);
            room = left.unwrap_or(0);
            left.is_some()
        });
        let fits = fits.count();
        gone.extend(kept.drain(fits..));
        gone.into_iter().map(|(id, _)| *id).collect()
    }

    /// Forgets a file and deletes what was kept for it; the file itself stays as it is.
    pub(super) fn forget(&mut self, id: DownloadId) -> Result<(), StateError> {
        let Some(file) = self.files.remove(&id) else {
            return Ok(());
        };
        self.record.save(&self.files)?;
        for path in file.kept.files() {
            delete(&path)?;
        }
        Ok(())
    }

    /// Forgets all but some, and deletes what else lies in the folder: what a crash has left there.
    pub(super) fn keep_only(
        &mut self,
        wanted: impl Fn(DownloadId) -> bool,
    ) -> Result<(), StateError> {
        let before = self.files.len();
        self.files.retain(|id, _| wanted(*id));
        if self.files.len() < before {
            self.record.save(&self.files)?;
        }
        let known: Vec<PathBuf> = { self.files.values() }
            .flat_map(|file| file.kept.files())
            .collect();
        let Ok(entries) = fs::read_dir(&self.folder) else {
            // There is nothing to delete.
            return Ok(());
        };
        for path in entries.flatten().map(|entry| entry.path()) {
            if !known.contains(&path) {
                delete(&path)?;
            }
        }
        Ok(())
    }
}

fn delete(path: &std::path::Path) -> Result<(), StateError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(StateError::Io {
            path: path.to_owned(),
            source,
        }),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn kept(files: &SharedFiles, id: DownloadId, root: &Path) -> SharedFile {
        let file = root.join(id.0.to_string());
        fs::write(&file, "whole").unwrap();
        let text = serde_json::json!({
            "file": file,
            "mark": {"size": 5, "modified": [0, 0]},
            "sidecars": files.base(id),
            "found_at": "http://h/a.peerlift",
        });
        let kept: Kept = serde_json::from_value(text).unwrap();
        fs::create_dir_all(&files.folder).unwrap();
        kept.files()
            .iter()
            .for_each(|path| fs::write(path, "").unwrap());
        SharedFile::new(kept, UnixTime::from_secs(9), Duration::from_secs(1))
    }

    fn names(files: &SharedFiles) -> usize {
        fs::read_dir(&files.folder).unwrap().count()
    }

    fn with_sizes(root: &Path, sizes: &[u64]) -> SharedFiles {
        let mut files = SharedFiles::of(&Home::below(root));
        for (number, bytes) in (1..).zip(sizes) {
            let id = DownloadId(number);
            let bytes = *bytes;
            let file = SharedFile {
                bytes,
                ..kept(&files, id, root)
            };
            files.files.insert(id, file);
        }
        files
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = with_sizes(folder.path(), &[40, 40, 40, 500]);
        let gone = |files: &SharedFiles, quota| {
            let ids = files.too_many(quota).into_iter();
            ids.map(|id| id.0).collect::<Vec<_>>()
        };
        files.used(DownloadId(1), UnixTime::from_secs(20));
        assert_eq!(gone(&files, 1000), [0; 0]);
        assert_eq!(gone(&files, 120), [4], "it would not fit alone");
        assert_eq!(gone(&files, 100), [4, 2]);
        assert_eq!(gone(&files, 40), [4, 3, 2]);
        assert_eq!(gone(&files, 0), [1, 2, 3, 4]);
        // An older use changes nothing.
        files.used(DownloadId(1), UnixTime::from_secs(1));
        assert_eq!(gone(&files, 40), [4, 3, 2]);
    }

    #[test]
    fn there_is_a_bound_on_their_number() {
        let folder = tempfile::tempdir().unwrap();
        let files = with_sizes(folder.path(), &[0; FILES_MAX + 2]);
        assert_eq!(files.too_many(1), [2, 1].map(DownloadId));
    }

    #[test]
    fn what_is_forgotten_leaves_nothing_but_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::below(folder.path());
        let mut files = SharedFiles::of(&home);
        for id in [1, 2, 3].map(DownloadId) {
            let file = kept(&files, id, folder.path());
            files.add(id, file).unwrap();
        }
        assert_eq!(names(&files), 6);
        files.forget(DownloadId(1)).unwrap();
        files.forget(DownloadId(1)).unwrap();
        assert_eq!(names(&files), 4);

        // A crash left something that no record knows.
        fs::write(files.base(DownloadId(7)), "").unwrap();
        let mut again = SharedFiles::of(&home);
        assert_eq!(again.load().unwrap(), None);
        again.keep_only(|id| id.0 == 3).unwrap();
        assert_eq!(names(&again), 2);
        assert!(again.file(DownloadId(3)).is_some() && again.file(DownloadId(2)).is_none());
        assert!(folder.path().join("1").exists());
    }
}
