//! Which files are published, and as which object.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use data_encoding::BASE64;
use peerlift_content::Published;

use crate::access::About;

/// Files that are known at most. 300 bytes each, so 300 MiB; beyond that files are served without
/// what the catalogue knows.
const ENTRIES_MAX: usize = 1_000_000;

/// The published files, by their path below the folder.
#[derive(Debug, Default)]
pub(crate) struct Catalogue {
    entries: Mutex<BTreeMap<PathBuf, Entry>>,
}

/// A published file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    state: FileState,
    /// The strong entity tag: the BLAKE3 root in quotes.
    pub(crate) etag: String,
    /// The value of `Repr-Digest` (RFC 9530 §3).
    pub(crate) digest: Option<String>,
    /// The media type that the manifest gives.
    pub(crate) media_type: String,
    about: About,
}

/// What changes when a file does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileState {
    size: u64,
    modified_ns: i128,
    inode: u64,
}

impl FileState {
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let modified_ns =
            i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        Self {
            size: metadata.len(),
            modified_ns,
            inode: metadata.ino(),
        }
    }
}

impl Catalogue {
    /// Notes that a file in this state is published.
    pub(crate) fn publish(&self, path: PathBuf, state: FileState, published: &Published) {
        let manifest = &published.manifest;
        let digest = manifest
            .sha256
            .map(|sha256| format!("sha-256=:{}:", BASE64.encode(&sha256)));
        let entry = Entry {
            state,
            etag: format!("\"{}\"", manifest.root),
            digest,
            media_type: manifest.media_type.clone(),
            about: About::of(published.publisher, manifest.root, &manifest.policy),
        };
        let mut entries = self.lock();
        if entries.len() < ENTRIES_MAX || entries.contains_key(&path) {
            entries.insert(path, entry);
        }
    }

    /// Forgets a file, or all files below a folder.
    pub(crate) fn forget(&self, path: &Path) {
        self.lock().retain(|known, _| !known.starts_with(path));
    }

    /// What is known of a file, unless it has changed since it was published.
    pub(crate) fn look_up(&self, path: &Path, state: FileState) -> Option<Entry> {
        self.lock()
            .get(path)
            .filter(|entry| entry.state == state)
            .cloned()
    }

    /// What access to a file needs, also when it has changed since it was published.
    pub(crate) fn about(&self, path: &Path) -> Option<About> {
        self.lock().get(path).map(|entry| entry.about.clone())
    }

    /// The files that are published.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.lock().keys().cloned().collect()
    }

    /// How many files are published.
    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Entry>> {
        // A panic while the lock is held leaves a map that is whole.
        self.entries
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
