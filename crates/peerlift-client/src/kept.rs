//! What it takes to share a complete file later: where it lies, and its sidecars.
//!
//! The manifest is kept as it was signed and checked again when it is used, the file and its hash
//! tree are proven group by group whenever they are sent: nothing here has to be believed.

use std::fs;
use std::path::{Path, PathBuf};

use peerlift_content::{Sidecars, VerifiedManifest};
use peerlift_store::{CompleteObject, FileMark, StoreError};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::DownloadError;
use crate::manifest::Signed;
use crate::storage::Storage;

/// A complete file that can be shared by a later process, see
/// [`Client::share`](crate::Client::share).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The file.
    pub file: PathBuf,
    /// How it was when it was complete.
    pub mark: FileMark,
    /// Where its sidecars are kept: a path to which their endings are added.
    pub sidecars: PathBuf,
    /// Where the manifest was found: what it names may be relative to that.
    pub found_at: String,
}

impl Kept {
    /// Keeps the sidecars of a complete object, before its file gets its name.
    pub(crate) fn sidecars(
        storage: &Storage,
        signed: &Signed,
        base: &Path,
    ) -> Result<(), DownloadError> {
        let sidecars = Sidecars::beside(base);
        if let Some(folder) = base.parent() {
            fs::create_dir_all(folder).map_err(unkept)?;
        }
        storage.keep_outboard(&sidecars.outboard)?;
        fs::write(&sidecars.manifest, &signed.bytes).map_err(unkept)
    }

    /// A complete file that lies under its name already, and whose hash tree lies at `base`.
    pub(crate) fn of_existing(
        file: &Path,
        base: &Path,
        signed: &Signed,
    ) -> Result<Self, DownloadError> {
        let Sidecars { manifest, outboard } = Sidecars::beside(base);
        fs::write(manifest, &signed.bytes).map_err(unkept)?;
        let about = &signed.verified.manifest;
        let object = CompleteObject::open(file, &outboard, about.root, about.layout)?;
        Ok(Self {
            file: file.to_owned(),
            mark: object.mark(),
            sidecars: base.to_owned(),
            found_at: signed.found_at.to_string(),
        })
    }

    /// The files of the sidecars, to be deleted or counted.
    #[must_use]
    pub fn files(&self) -> [PathBuf; 2] {
        let Sidecars { manifest, outboard } = Sidecars::beside(&self.sidecars);
        [manifest, outboard]
    }

    /// The manifest, its signature checked.
    ///
    /// # Errors
    ///
    /// A [`DownloadError`] when it cannot be read, or is none any more.
    pub fn manifest(&self) -> Result<VerifiedManifest, DownloadError> {
        self.signed().map(|signed| signed.verified)
    }

    pub(crate) fn signed(&self) -> Result<Signed, DownloadError> {
        let found_at: Url = self.found_at.parse().map_err(|_| {
            let text = format!("{:?} is no URL of a manifest", self.found_at);
            DownloadError::Usage(text)
        })?;
        let path = Sidecars::beside(&self.sidecars).manifest;
        let bytes = fs::read(path).map_err(unkept)?;
        Signed::parse(bytes.into(), found_at)
    }

    /// Opens the file, if it is still as it was.
    pub(crate) fn open(&self, about: &VerifiedManifest) -> Result<CompleteObject, StoreError> {
        self.mark.check(&self.file)?;
        let outboard = Sidecars::beside(&self.sidecars).outboard;
        let (root, layout) = (about.manifest.root, about.manifest.layout);
        let object = CompleteObject::open(&self.file, &outboard, root, layout)?;
        // It may have been changed between the two looks.
        if object.mark() == self.mark {
            Ok(object)
        } else {
            let path = self.file.clone();
            Err(StoreError::Changed { path })
        }
    }
}

fn unkept(source: std::io::Error) -> DownloadError {
    DownloadError::Records {
        what: "what was kept for sharing",
        source,
    }
}
