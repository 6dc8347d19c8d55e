//! A file that lies under the final name already.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use peerlift_content::{HashOptions, Sidecars, hash_file};
use peerlift_model::ObjectId;
use peerlift_store::StoreError;

use super::{Job, display_name};
use crate::error::DownloadError;
use crate::event::{Event, Report, Started, Verified};
use crate::kept::Kept;
use crate::manifest::Signed;
use crate::request::Share;
use crate::storage::Storage;

impl Job {
    /// Reports an object as complete whose file is in place: an earlier process was ended after it
    /// had put it there and before it could say so. It is shared as a download of this process would
    /// be. Any other file is left alone.
    pub(super) async fn already_there(
        self,
        error: DownloadError,
        signed: &Signed,
    ) -> Result<Report, DownloadError> {
        let DownloadError::Store(StoreError::TargetExists { path }) = &error else {
            return Err(error);
        };
        let about = &signed.verified.manifest;
        let outboard = self.outboard_to_keep();
        if !self.request.take_existing || !is_object(path.clone(), about.root, outboard).await {
            return Err(error);
        }
        let kept = self.keep_existing(path, signed);
        let publisher = signed.verified.publisher;
        let started = Started {
            path: Some(path.clone()),
            name: display_name(path),
            size: Some(about.size()),
            resumed: about.size(),
            publisher: Some(publisher),
            publisher_name: Some(about.publisher_name.clone()),
            object: Some(about.root),
        };
        self.progress.deliver(Event::Started(started)).await;
        let report = Report {
            path: Some(path.clone()),
            size: about.size(),
            time: self.started.elapsed(),
            from_edge: 0,
            from_peers: 0,
            from_peers_relayed: 0,
            resumed: about.size(),
            wasted: 0,
            uploaded: 0,
            peers: 0,
            verified: Verified::Manifest {
                publisher,
                object: about.root,
            },
            kept: kept.clone(),
        };
        let completed = Event::Completed(report.clone());
        self.progress.deliver(completed).await;
        match kept {
            Some(kept) => {
                let storage = Storage::Complete(kept.open(&signed.verified)?);
                self.share_complete(kept, storage, signed).await
            }
            None => Ok(report),
        }
    }

    /// The file for the hash tree, where the object is to be shared later, too.
    fn outboard_to_keep(&self) -> Option<File> {
        let (Some(base), Share::For(_)) = (&self.request.keep, self.request.share) else {
            return None;
        };
        let create = || {
            base.parent().map(fs::create_dir_all).transpose()?;
            File::options()
                .write(true)
                .create(true)
                .truncate(true)
                .open(Sidecars::beside(base).outboard)
        };
        create().inspect_err(unshared).ok()
    }

    /// What it takes to share the file, of which the hash tree is there.
    fn keep_existing(&self, path: &Path, signed: &Signed) -> Option<Kept> {
        let (Some(base), Share::For(_)) = (&self.request.keep, self.request.share) else {
            return None;
        };
        let kept = Kept::of_existing(path, base, signed);
        kept.inspect_err(unshared).ok()
    }
}

/// The file is there all the same.
fn unshared(error: &impl std::fmt::Display) {
    tracing::warn!(%error, "a file that is there already cannot be shared");
}

/// Whether a file is the object, byte for byte; its hash tree is written down on the way. One that
/// cannot be read is not.
async fn is_object(path: PathBuf, root: ObjectId, outboard: Option<File>) -> bool {
    let hash = move || {
        let options = HashOptions {
            threads: NonZeroUsize::new(1),
            sha256: false,
        };
        hash_file(Path::new(&path), outboard.as_ref(), options, &|_| ())
            .is_ok_and(|file| file.root == root)
    };
    tokio::task::spawn_blocking(hash).await.unwrap_or(false)
}
