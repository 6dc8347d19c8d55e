//! The files that lie beside a published file: `NAME.peerlift` and `NAME.obao`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use peerlift_model::GroupSet;

use crate::manifest::{ManifestError, VerifiedManifest};

/// What a manifest's name ends in.
pub const MANIFEST_SUFFIX: &str = ".peerlift";

/// What an outboard's name ends in.
pub const OUTBOARD_SUFFIX: &str = ".obao";

/// Where the sidecars of one file lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sidecars {
    /// The signed manifest.
    pub manifest: PathBuf,
    /// The hash tree.
    pub outboard: PathBuf,
}

/// Why a manifest on the disk cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SidecarError {
    /// The file cannot be read; most often there is none.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not a manifest to act on.
    #[error("{} is no good manifest", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: ManifestError,
    },
}

impl Sidecars {
    /// The sidecars beside the file at `path`.
    #[must_use]
    pub fn beside(path: &Path) -> Self {
        Self {
            manifest: with_suffix(path, MANIFEST_SUFFIX),
            outboard: with_suffix(path, OUTBOARD_SUFFIX),
        }
    }

    /// The sidecars of the file at `path`, kept in another folder.
    #[must_use]
    pub fn in_folder(path: &Path, folder: &Path) -> Self {
        Self::beside(&folder.join(path.file_name().unwrap_or_default()))
    }

    /// Reads and verifies the manifest.
    ///
    /// # Errors
    ///
    /// [`SidecarError`].
    pub fn read_manifest(&self) -> Result<VerifiedManifest, SidecarError> {
        let path = || self.manifest.clone();
        let bytes = read_manifest_bytes(&self.manifest).map_err(|source| SidecarError::Io {
            path: path(),
            source,
        })?;
        VerifiedManifest::parse(&bytes).map_err(|source| SidecarError::Manifest {
            path: path(),
            source,
        })
    }

    /// Checks the whole outboard against a manifest's root, without the data.
    ///
    /// # Errors
    ///
    /// What the system says when the outboard cannot be read.
    pub fn check_outboard(&self, manifest: &VerifiedManifest) -> io::Result<OutboardState> {
        let outboard = match File::open(&self.outboard) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(OutboardState::Missing);
            }
            opened => opened?,
        };
        let (root, layout) = (manifest.manifest.root, manifest.manifest.layout);
        let damaged = crate::check::check_outboard(root, layout, &outboard)?;
        Ok(OutboardState::of(damaged))
    }
}

/// What became of an outboard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboardState {
    /// All of it is proven by the root.
    Good,
    /// There is none.
    Missing,
    /// These groups cannot be verified with it.
    Damaged(GroupSet),
}

impl OutboardState {
    pub(crate) fn of(damaged: GroupSet) -> Self {
        if damaged.is_empty() {
            Self::Good
        } else {
            Self::Damaged(damaged)
        }
    }
}

/// Whether a name is one that [`Sidecars`] give, or that a download in progress has: such files
/// are not published themselves.
#[must_use]
pub fn is_sidecar(path: &Path) -> bool {
    let suffixes = [
        MANIFEST_SUFFIX,
        OUTBOARD_SUFFIX,
        ".part",
        ".part.obao",
        ".part.state",
    ];
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    suffixes
        .iter()
        .any(|suffix| name.ends_with(suffix.as_bytes()))
}

/// The path with `suffix` appended to its last part.
#[must_use]
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Reads at most one byte more than a manifest may have, so that the parser can tell.
pub(crate) fn read_manifest_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = VerifiedManifest::BYTES_MAX as u64 + 1;
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
