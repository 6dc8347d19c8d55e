//! Verifying a file on the disk against its manifest, saying where it is damaged.

use std::fs::{self, File};
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use peerlift_model::{ByteRange, GroupSet};

use crate::check::check_groups;
use crate::hash_file::{HashError, HashOptions, hash_file};
use crate::manifest::Manifest;
use crate::sidecar::OutboardState;

/// What verification found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verification {
    /// Whether every byte is what the publisher signed.
    pub good: bool,
    /// The file's size; not the manifest's when the file is cut or has grown.
    pub size: u64,
    /// The bytes that are wrong or missing, in whole groups, sorted. Empty when `good`, and when
    /// there is no outboard to tell.
    pub bad: Vec<ByteRange>,
    /// What became of the outboard.
    pub outboard: OutboardState,
}

/// Why a file could not be verified.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The file could not be read or changed meanwhile.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The file, or its outboard, cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Verifies the file at `path` against `manifest`; with the outboard, when there is one, it finds
/// out where the file is wrong. The file is read once, unless the outboard is damaged.
///
/// `progress` is told of bytes checked since it was told last, from any thread.
///
/// # Errors
///
/// [`VerifyError`]. A file that is wrong is a finding, not an error.
pub fn verify_file(
    path: &Path,
    manifest: &Manifest,
    outboard: &Path,
    threads: Option<NonZeroUsize>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Verification, VerifyError> {
    let io_error = |source| VerifyError::Io {
        path: path.to_owned(),
        source,
    };
    let size = fs::metadata(path).map_err(io_error)?.len();
    let surplus = (size > manifest.size()).then(|| ByteRange::new(manifest.size(), size));
    let whole = || has_root(path, manifest, threads, progress);
    let tree = match File::open(outboard) {
        Ok(tree) if manifest.size() > 0 => tree,
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(VerifyError::Io {
                path: outboard.to_owned(),
                source: error,
            });
        }
        opened => {
            let outboard = opened.map_or(OutboardState::Missing, |_| OutboardState::Good);
            let bad = surplus.into_iter().collect();
            return Ok(Verification {
                good: whole()?,
                size,
                bad,
                outboard,
            });
        }
    };
    let file = File::open(path).map_err(io_error)?;
    let all = GroupSet::from(manifest.layout.all_groups());
    let stored = (&file, &tree);
    let check = check_groups(
        manifest.root,
        manifest.layout,
        stored,
        &all,
        threads,
        progress,
    )
    .map_err(io_error)?;
    let runs = check
        .bad
        .runs()
        .iter()
        .map(|run| manifest.layout.bytes_of(*run));
    let bad: Vec<ByteRange> = runs.chain(surplus).collect();
    let good = bad.is_empty() && (check.untold.is_empty() || whole()?);
    Ok(Verification {
        good,
        size,
        bad,
        outboard: OutboardState::of(check.untold),
    })
}

fn has_root(
    path: &Path,
    manifest: &Manifest,
    threads: Option<NonZeroUsize>,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<bool, VerifyError> {
    let options = HashOptions {
        threads,
        sha256: false,
    };
    let hashed = hash_file(path, None, options, progress)?;
    Ok(hashed.layout == manifest.layout && hashed.root == manifest.root)
}
