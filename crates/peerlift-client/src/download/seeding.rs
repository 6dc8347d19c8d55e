//! Sharing a complete object: after its download, or again in a later process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Job, http_client, is_expired};
use crate::client::Shared;
use crate::context::Context;
use crate::error::DownloadError;
use crate::event::{Event, Report, Started, Verified};
use crate::kept::Kept;
use crate::manifest::Signed;
use crate::progress::Progress;
use crate::request::{DownloadRequest, Output, Share};
use crate::storage::Storage;
use crate::transfer::Transfer;

/// Shares what an earlier process has downloaded and kept, for so long. Nothing is fetched.
pub(crate) async fn share_again(
    shared: Arc<Shared>,
    kept: Kept,
    time: Duration,
    progress: Progress,
    stop: CancellationToken,
) -> Result<Report, DownloadError> {
    let signed = kept.signed()?;
    let (about, publisher) = (&signed.verified.manifest, signed.verified.publisher);
    if is_expired(about) {
        let url = signed.found_at;
        return Err(DownloadError::Expired { url });
    }
    let storage = Storage::Complete(kept.open(&signed.verified)?);
    let mut request = DownloadRequest::new(
        vec![signed.found_at.clone()],
        Output::File(kept.file.clone()),
    );
    request.share = Share::For(time);
    let job = Job {
        http: http_client(&shared, &request.urls, &request.headers, None)?,
        url: signed.found_at.clone(),
        shared,
        request,
        progress,
        stop,
        started: Instant::now(),
        signed: None,
    };
    let started = Started {
        path: Some(kept.file.clone()),
        name: super::display_name(&kept.file),
        size: Some(about.size()),
        resumed: about.size(),
        publisher: Some(publisher),
        publisher_name: Some(about.publisher_name.clone()),
        object: Some(about.root),
    };
    job.progress.deliver(Event::Started(started)).await;
    job.share_complete(kept, storage, &signed).await
}

impl Job {
    /// Gives the complete file its name; what it takes to share it later is kept before, where that
    /// was asked for.
    pub(super) fn put_in_place(
        &self,
        context: &Context,
        path: &Path,
    ) -> Result<Option<Kept>, DownloadError> {
        tracing::debug!(path = %path.display(), "complete");
        let sidecars = self.keep_sidecars(context);
        context.storage.commit()?;
        let (Some((sidecars, found_at)), Some(mark)) = (sidecars, context.storage.mark()) else {
            return Ok(None);
        };
        Ok(Some(Kept {
            file: path.to_owned(),
            mark,
            sidecars,
            found_at,
        }))
    }

    fn keep_sidecars(&self, context: &Context) -> Option<(PathBuf, String)> {
        let (Some(base), Some(signed), Share::For(_)) =
            (&self.request.keep, &self.signed, self.request.share)
        else {
            return None;
        };
        match Kept::sidecars(&context.storage, signed, base) {
            Ok(()) => Some((base.clone(), signed.found_at.to_string())),
            Err(error) => {
                // It is shared until this process ends, as without keeping.
                tracing::warn!(%error, "cannot be shared again later");
                None
            }
        }
    }

    /// Shares a complete file whose hash tree is kept, of which nothing has to be fetched.
    pub(super) async fn share_complete(
        mut self,
        kept: Kept,
        storage: Storage,
        signed: &Signed,
    ) -> Result<Report, DownloadError> {
        let (about, publisher) = (&signed.verified.manifest, signed.verified.publisher);
        let mut tasks = JoinSet::new();
        let peers = self.peers(&signed.verified, &signed.found_at, true, &mut tasks);
        let (mut transfer, context) =
            self.transfer(about.layout, storage, Some(&about.policy), peers, tasks);
        let object = about.root;
        let verified = Verified::Manifest { publisher, object };
        let mut report = self.report(&transfer, &context, Some(kept.file.clone()), verified);
        report.kept = Some(kept);
        self.seed(&mut transfer, &mut report).await;
        transfer.close().await;
        Ok(report)
    }

    /// Shares for as long as was asked, until the caller stops it, or until it may not go on.
    pub(super) async fn seed(&self, transfer: &mut Transfer, report: &mut Report) {
        let Share::For(time) = self.request.share else {
            return;
        };
        let seeding = tokio::time::timeout(time, transfer.seed());
        // Ends by the clock or by the caller: both are what was asked for.
        if let Some(Ok(why)) = self.stop.run_until_cancelled(seeding).await {
            let why = why.to_string();
            self.progress.deliver(Event::SharingEnded { why }).await;
        }
        report.uploaded = transfer.status().uploaded;
    }
}
