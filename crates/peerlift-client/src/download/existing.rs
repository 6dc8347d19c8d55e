//! A file that lies under the final name already.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use peerlift_content::{HashOptions, hash_file};
use peerlift_model::ObjectId;
use peerlift_store::StoreError;

use super::{Job, display_name};
use crate::error::DownloadError;
use crate::event::{Event, Report, Started, Verified};
use crate::manifest::Signed;

impl Job {
    /// Reports an object as complete whose file is in place: an earlier process was ended after it
    /// had put it there and before it could say so. Any other file is left alone.
    pub(super) async fn already_there(
        &self,
        error: DownloadError,
        signed: &Signed,
    ) -> Result<Report, DownloadError> {
        let DownloadError::Store(StoreError::TargetExists { path }) = &error else {
            return Err(error);
        };
        let about = &signed.verified.manifest;
        if !self.request.take_existing || !is_object(path.clone(), about.root).await {
            return Err(error);
        }
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
            kept: None,
        };
        let completed = Event::Completed(report.clone());
        self.progress.deliver(completed).await;
        Ok(report)
    }
}

/// Whether a file is the object, byte for byte. One that cannot be read is not.
async fn is_object(path: PathBuf, root: ObjectId) -> bool {
    let hash = move || {
        let options = HashOptions {
            threads: NonZeroUsize::new(1),
            sha256: false,
        };
        hash_file(Path::new(&path), None, options, &|_| ()).is_ok_and(|file| file.root == root)
    };
    tokio::task::spawn_blocking(hash).await.unwrap_or(false)
}
