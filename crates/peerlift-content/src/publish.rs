//! Publishing: from a file to the sidecars that make it an object, doing no more than is needed.
//!
//! A manifest carries, outside what is signed, a note of the file it was made from: modification
//! time and inode. While both and the size are the same, the file is not read again. The note is
//! of no use to anybody else; sidecars copied elsewhere stay valid, and publishing there reads the
//! file once, finds the same root and keeps the revision.

use std::fs::{self, Metadata};
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use peerlift_model::PublisherId;
use serde::{Deserialize, Serialize};

use crate::draft::{Draft, sync_folder, write_file};
use crate::hash_file::{HashError, HashOptions, HashedFile, hash_file, inode, same_version};
use crate::jws;
use crate::key::PublisherKey;
use crate::manifest::{
    Manifest, ManifestError, Policy, RelayEntry, VerifiedManifest, media_type_of,
};
use crate::sidecar::{Sidecars, is_sidecar, read_manifest_bytes};
use crate::tree::Tree;

/// What a publisher says about all its files.
#[derive(Clone, Debug)]
pub struct PublishSettings {
    /// What the publisher calls itself. Default: nothing.
    pub publisher_name: String,
    /// See [`Manifest::edges`]. Default: wherever the manifest is found.
    pub edges: Vec<String>,
    /// See [`Manifest::control`]. Default: none.
    pub control: Vec<String>,
    /// See [`Manifest::relays`]. Default: none.
    pub relays: Vec<RelayEntry>,
    /// What clients may do. Default: share, no limits.
    pub policy: Policy,
    /// Whether to compute the SHA-256. Default: true. Publishing large files on many cores goes
    /// faster without.
    pub sha256: bool,
    /// Where sidecars go. Default: beside the file.
    pub sidecar_dir: Option<PathBuf>,
    /// Threads that hash; `None` (the default): one a core.
    pub threads: Option<NonZeroUsize>,
}

impl Default for PublishSettings {
    fn default() -> Self {
        Self {
            publisher_name: String::new(),
            edges: Vec::new(),
            control: Vec::new(),
            relays: Vec::new(),
            policy: Policy::default(),
            sha256: true,
            sidecar_dir: None,
            threads: None,
        }
    }
}

/// A published file.
#[derive(Clone, Debug)]
pub struct Published {
    /// The file.
    pub path: PathBuf,
    /// Where its sidecars lie.
    pub sidecars: Sidecars,
    /// What its manifest says.
    pub manifest: Manifest,
    /// Who signed it.
    pub publisher: PublisherId,
    /// What had to be done.
    pub outcome: Outcome,
}

/// A file below a published folder, and what became of it.
pub type PathResult = (PathBuf, Result<Published, PublishError>);

/// What publishing a file came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was as it should be.
    Unchanged,
    /// The same bytes under new settings or another key: a new revision, nothing read.
    Resigned,
    /// Other bytes under the same name: a new revision.
    NewRevision,
    /// The first publication under this name.
    New,
}

/// Why a file could not be published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The file could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// A file or folder cannot be read, or a sidecar not written.
    #[error("cannot access {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The name is not Unicode, so no URL or manifest can carry it. Rename the file.
    #[error("the name of {} is not Unicode", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// The settings make no manifest.
    #[error("these settings make no manifest")]
    Manifest(#[from] ManifestError),
}

/// Publishes one file.
///
/// `progress` is told of bytes hashed since it was told last, from any thread. A file that does
/// not need to be read reports none.
///
/// # Errors
///
/// [`PublishError`]. The former sidecars are then still in place.
pub fn publish_file(
    path: &Path,
    key: &PublisherKey,
    settings: &PublishSettings,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Published, PublishError> {
    let job = Job::new(path, key, settings)?;
    let former = job.former();
    match former {
        Some(former) if job.is_as_noted(&former) => job.finish_known(former),
        former => job.hash(former, progress),
    }
}

/// Publishes a file, or all files below a folder that [`publishable_files`] finds. `begin` is told
/// of each file before it is published, with its size.
///
/// A failure on one file does not keep others from being published. Below
/// [`PublishSettings::sidecar_dir`] the folders are those below `path`.
///
/// # Errors
///
/// [`PublishError::Io`] when a folder cannot be listed.
pub fn publish_path(
    path: &Path,
    key: &PublisherKey,
    settings: &PublishSettings,
    begin: &mut dyn FnMut(&Path, u64),
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<PathResult>, PublishError> {
    let mut results = Vec::new();
    for file in publishable_files(path)? {
        let size = fs::metadata(&file).map_or(0, |metadata| metadata.len());
        begin(&file, size);
        let below = file
            .parent()
            .and_then(|folder| folder.strip_prefix(path).ok());
        let mut settings = settings.clone();
        if let (Some(folder), Some(below)) = (&mut settings.sidecar_dir, below) {
            folder.push(below);
        }
        let result = publish_file(&file, key, &settings, progress);
        results.push((file, result));
    }
    Ok(results)
}

/// The files to publish at `path`: itself, or everything below it except hidden files and folders,
/// symbolic links, sidecars and downloads in progress. Sorted.
///
/// # Errors
///
/// [`PublishError::Io`] when a folder cannot be listed.
pub fn publishable_files(path: &Path) -> Result<Vec<PathBuf>, PublishError> {
    let io_error = |path: &Path| {
        let path = path.to_owned();
        move |source| PublishError::Io { path, source }
    };
    if !fs::metadata(path).map_err(io_error(path))?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let (mut files, mut folders) = (Vec::new(), vec![path.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(io_error(&folder))? {
            let entry = entry.map_err(io_error(&folder))?;
            let kind = entry.file_type().map_err(io_error(&entry.path()))?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && !is_sidecar(&entry.path()) {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The note in a manifest: the file it was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// Modification time, nanoseconds since 1970.
    mtime_ns: u64,
    inode: u64,
}

/// A file modified so recently may be modified again without its time changing: the clocks of file
/// systems tick every 10 ms at the slowest (`CONFIG_HZ=100`), five ticks are allowed for. Such a
/// file gets no note and is read again next time.
const SETTLED_AFTER: Duration = Duration::from_millis(50);

impl Note {
    fn of(metadata: &Metadata) -> Option<Self> {
        let modified = metadata.modified().ok()?;
        let since_1970 = modified.duration_since(UNIX_EPOCH).ok()?;
        let mtime_ns = u64::try_from(since_1970.as_nanos()).ok()?;
        Some(Self {
            mtime_ns,
            inode: inode(metadata),
        })
    }

    fn is_settled(self) -> bool {
        let modified = UNIX_EPOCH + Duration::from_nanos(self.mtime_ns);
        SystemTime::now()
            .duration_since(modified)
            .is_ok_and(|age| age >= SETTLED_AFTER)
    }
}

/// What was published under the name before.
struct Former {
    verified: VerifiedManifest,
    note: Option<Note>,
}

struct Job<'a> {
    path: &'a Path,
    name: &'a str,
    metadata: Metadata,
    sidecars: Sidecars,
    key: &'a PublisherKey,
    settings: &'a PublishSettings,
}

impl<'a> Job<'a> {
    fn new(
        path: &'a Path,
        key: &'a PublisherKey,
        settings: &'a PublishSettings,
    ) -> Result<Self, PublishError> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| PublishError::Name {
            path: path.to_owned(),
        })?;
        let metadata = fs::metadata(path).map_err(|source| PublishError::Io {
            path: path.to_owned(),
            source,
        })?;
        let sidecars = match &settings.sidecar_dir {
            Some(folder) => Sidecars::in_folder(path, folder),
            None => Sidecars::beside(path),
        };
        Ok(Self {
            path,
            name,
            metadata,
            sidecars,
            key,
            settings,
        })
    }

    /// The former manifest; one that cannot be used counts for none.
    fn former(&self) -> Option<Former> {
        let bytes = read_manifest_bytes(&self.sidecars.manifest).ok()?;
        let verified = VerifiedManifest::parse(&bytes).ok()?;
        let note = jws::note(&bytes).and_then(|note| serde_json::from_value(note).ok());
        Some(Former { verified, note })
    }

    /// Whether the former sidecars tell everything about the file as it is.
    fn is_as_noted(&self, former: &Former) -> bool {
        let manifest = &former.verified.manifest;
        let outboard = fs::metadata(&self.sidecars.outboard);
        former.note.is_some()
            && former.note == Note::of(&self.metadata)
            && manifest.size() == self.metadata.len()
            && (manifest.sha256.is_some() || !self.settings.sha256)
            && outboard.is_ok_and(|found| found.len() == Tree::new(manifest.layout).outboard_len())
    }

    fn finish_known(&self, former: Former) -> Result<Published, PublishError> {
        let known = &former.verified.manifest;
        let (layout, root, sha256) = (known.layout, known.root, known.sha256);
        let (manifest, outcome) = self.describe(
            HashedFile {
                layout,
                root,
                sha256,
            },
            Some(&former),
        );
        if outcome != Outcome::Unchanged {
            self.write_manifest(&manifest, former.note)?;
        }
        Ok(self.published(manifest, outcome))
    }

    fn hash(
        &self,
        former: Option<Former>,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Published, PublishError> {
        self.make_folder()?;
        let outboard_error = |source| PublishError::Io {
            path: self.sidecars.outboard.clone(),
            source,
        };
        let draft = Draft::new(&self.sidecars.outboard).map_err(outboard_error)?;
        let options = HashOptions {
            threads: self.settings.threads,
            sha256: self.settings.sha256,
        };
        let hashed = hash_file(self.path, Some(&draft.file), options, progress)?;
        if hashed.layout.size() != self.metadata.len() || !self.is_still_the_same() {
            return Err(HashError::Changed {
                path: self.path.to_owned(),
            }
            .into());
        }
        let (manifest, outcome) = self.describe(hashed, former.as_ref());
        // Signed first: settings that make no manifest must not touch the former outboard.
        let note = Note::of(&self.metadata).filter(|note| note.is_settled());
        let signed = self.sign(&manifest, note)?;
        draft.place().map_err(outboard_error)?;
        self.write_signed(&signed)?;
        Ok(self.published(manifest, outcome))
    }

    fn is_still_the_same(&self) -> bool {
        fs::metadata(self.path).is_ok_and(|after| same_version(&self.metadata, &after))
    }

    /// The manifest for these bytes, and how it relates to the former one.
    fn describe(&self, hashed: HashedFile, former: Option<&Former>) -> (Manifest, Outcome) {
        let fresh = self.manifest(hashed);
        let Some(VerifiedManifest {
            manifest: old,
            publisher,
        }) = former.map(|f| &f.verified)
        else {
            return (fresh, Outcome::New);
        };
        let kept = Manifest {
            revision: old.revision,
            published: old.published,
            sha256: fresh
                .sha256
                .or(old.sha256.filter(|_| old.root == fresh.root)),
            ..fresh
        };
        if kept == *old && *publisher == self.key.id() {
            return (kept, Outcome::Unchanged);
        }
        let outcome = if kept.root == old.root {
            Outcome::Resigned
        } else {
            Outcome::NewRevision
        };
        let revision = old.revision.saturating_add(1);
        (
            Manifest {
                revision,
                published: now_s(),
                ..kept
            },
            outcome,
        )
    }

    fn manifest(&self, hashed: HashedFile) -> Manifest {
        Manifest {
            name: self.name.to_owned(),
            layout: hashed.layout,
            root: hashed.root,
            sha256: hashed.sha256,
            media_type: media_type_of(self.path),
            publisher_name: self.settings.publisher_name.clone(),
            edges: self.settings.edges.clone(),
            control: self.settings.control.clone(),
            relays: self.settings.relays.clone(),
            policy: self.settings.policy.clone(),
            revision: 1,
            published: now_s(),
        }
    }

    fn write_manifest(&self, manifest: &Manifest, note: Option<Note>) -> Result<(), PublishError> {
        let signed = self.sign(manifest, note)?;
        self.write_signed(&signed)
    }

    fn sign(&self, manifest: &Manifest, note: Option<Note>) -> Result<Vec<u8>, PublishError> {
        let note = note.and_then(|note| serde_json::to_value(note).ok());
        Ok(manifest.sign_with_note(self.key, note)?)
    }

    fn write_signed(&self, signed: &[u8]) -> Result<(), PublishError> {
        write_file(&self.sidecars.manifest, signed)
            .and_then(|()| sync_folder(&self.sidecars.manifest))
            .map_err(|source| PublishError::Io {
                path: self.sidecars.manifest.clone(),
                source,
            })
    }

    fn make_folder(&self) -> Result<(), PublishError> {
        let Some(folder) = &self.settings.sidecar_dir else {
            return Ok(());
        };
        fs::create_dir_all(folder).map_err(|source| PublishError::Io {
            path: folder.clone(),
            source,
        })
    }

    fn published(&self, manifest: Manifest, outcome: Outcome) -> Published {
        Published {
            path: self.path.to_owned(),
            sidecars: self.sidecars.clone(),
            manifest,
            publisher: self.key.id(),
            outcome,
        }
    }
}

fn now_s() -> u64 {
    // A clock before 1970 is not worth an error of its own.
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |time| time.as_secs())
}
