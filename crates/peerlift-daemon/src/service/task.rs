//! One download's task: asks what was agreed to, downloads, and passes on what happens.

use std::path::{Path, PathBuf};
use std::time::Duration;

use peerlift_client::{Client, DownloadRequest, Event, Report, Share};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::queue::DownloadId;
use crate::consent::{Agreed, Consents, Subject};
use crate::machine::MachinePolicy;

/// How long a complete object is shared without being asked about again: a week is far longer than
/// a flash crowd, and an end that nobody has to remember.
const SHARE_FOR: Duration = Duration::from_secs(7 * 86_400);

/// Room that downloads in the background leave to everybody else.
const ROOM_MIN_BYTES: u64 = 256 * 1024 * 1024;

/// What a download's task tells.
#[derive(Debug)]
pub(super) enum News {
    /// Something happened.
    Event(DownloadId, Event),
    /// Its files are a publisher's that may be asked about.
    Met(Subject),
    /// It is over, the sharing included.
    Ended(DownloadId, Result<Report, String>),
}

/// One download's task.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) id: DownloadId,
    pub(super) client: Client,
    pub(super) consents: Consents,
    /// The administrator's policy.
    pub(super) policy_file: PathBuf,
    pub(super) news: mpsc::Sender<News>,
    pub(super) stop: CancellationToken,
}

impl Task {
    /// Downloads, shares as long as was agreed, and tells how it ended.
    pub(super) async fn run(self, mut request: DownloadRequest) {
        let result = match self.stop.run_until_cancelled(self.share(&request)).await {
            Some(share) => {
                request.share = share;
                self.follow(request).await
            }
            None => Err("interrupted".to_owned()),
        };
        // Gone: the service has ended without waiting.
        let _ = self.news.send(News::Ended(self.id, result)).await;
    }

    /// What the user has agreed to for this publisher, and the administrator allows.
    async fn share(&self, request: &DownloadRequest) -> Share {
        let found = self
            .client
            .find_manifest(&request.urls, &request.headers, request.wallet.clone())
            .await;
        // An error is left to the download, which meets it again.
        let Ok(Some(found)) = found else {
            return Share::Off;
        };
        let publisher = found.signed.publisher;
        let policy = MachinePolicy::load(&self.policy_file);
        if !policy.is_ok_and(|policy| policy.allows(&publisher.to_string())) {
            return Share::Off;
        }
        let about = found.signed.manifest;
        if about.policy.peers && !about.control.is_empty() {
            let subject = Subject {
                publisher,
                publisher_name: about.publisher_name,
                origin: found.url.origin().ascii_serialization(),
            };
            let _ = self.news.send(News::Met(subject)).await;
        }
        match self.consents.recall(publisher) {
            Ok(Some(Agreed::InBackground)) => Share::For(SHARE_FOR),
            Ok(Some(Agreed::WhileDownloading)) => Share::WhileDownloading,
            Ok(Some(Agreed::Off) | None) | Err(_) => Share::Off,
        }
    }

    async fn follow(&self, request: DownloadRequest) -> Result<Report, String> {
        let mut download = self.client.start(request);
        let handle = download.stop_handle();
        let mut told = false;
        loop {
            tokio::select! {
                event = download.next_event() => {
                    let Some(event) = event else { break };
                    let _ = self.news.send(News::Event(self.id, event)).await;
                }
                () = self.stop.cancelled(), if !told => {
                    told = true;
                    handle.cancel();
                }
            }
        }
        download.wait().await.map_err(|error| error.to_string())
    }
}

/// Whether so little room is left that a download in the background would be in the way. A disk that
/// does not say has room.
pub(super) fn is_nearly_full(folder: &Path) -> bool {
    let room =
        rustix::fs::statvfs(folder).map(|system| system.f_bavail.saturating_mul(system.f_frsize));
    room.is_ok_and(|bytes| bytes < ROOM_MIN_BYTES)
}
