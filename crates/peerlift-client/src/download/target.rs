//! Where a download goes: a file, or a stream by way of a folder of its own.

use std::path::{Path, PathBuf};

use peerlift_content::Manifest;
use peerlift_net::http::Opened;
use peerlift_store::StoreError;

use super::Job;
use crate::error::DownloadError;
use crate::name;
use crate::request::Output;
use crate::storage::{Scratch, Storage};

/// Where the bytes are kept on the way to the output.
pub(super) struct Target {
    pub(super) storage: Storage,
    /// The final path; `None` for a stream.
    pub(super) path: Option<PathBuf>,
    /// What a stream is kept in, deleted when dropped.
    pub(super) scratch: Option<Scratch>,
}

impl Job {
    pub(super) fn target(
        &self,
        about: Option<&Manifest>,
        opened: &Opened,
        open: impl FnOnce(&Path, bool) -> Result<Storage, StoreError>,
    ) -> Result<Target, DownloadError> {
        let path = self.path(about, opened)?;
        match &path {
            Some(file) => {
                let storage = open(file, self.request.overwrite)?;
                Ok(Target {
                    storage,
                    path,
                    scratch: None,
                })
            }
            None => {
                let scratch = Scratch::new(&self.shared.config.cache_dir).map_err(|source| {
                    DownloadError::Records {
                        what: "the cache folder",
                        source,
                    }
                })?;
                let storage = open(&scratch.file(), true)?;
                Ok(Target {
                    storage,
                    path: None,
                    scratch: Some(scratch),
                })
            }
        }
    }

    pub(super) fn path(
        &self,
        about: Option<&Manifest>,
        opened: &Opened,
    ) -> Result<Option<PathBuf>, DownloadError> {
        let folder = match &self.request.output {
            Output::Stream(_) => return Ok(None),
            Output::File(path) => return Ok(Some(path.clone())),
            Output::Folder(folder) => folder,
        };
        let suggestions = [
            about.and_then(|about| name::sanitize(&about.name)),
            opened.file_name.as_deref().and_then(name::sanitize),
            name::of_url(&self.url),
            name::of_url(&opened.url),
        ];
        let name = suggestions.into_iter().flatten().next().ok_or_else(|| {
            DownloadError::Usage(format!("{} names no file; give one with -o", self.url))
        })?;
        Ok(Some(folder.join(name)))
    }
}
