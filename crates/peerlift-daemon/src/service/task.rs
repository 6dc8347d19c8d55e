//! One download's task: asks what was agreed to, downloads, and passes on what happens.

use std::path::PathBuf;
use std::time::Duration;

use peerlift_client::{
    Client, Download, DownloadError, DownloadRequest, Event, Output, Report, Share,
};
use peerlift_model::PublisherId;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::queue::{DownloadId, Wanted};
use super::shared_files::SharedFile;
use crate::consent::{Agreed, Consents, Subject};
use crate::machine::MachinePolicy;
use crate::time::UnixTime;

/// How long a complete object is shared without being asked about again: a week is far longer than
/// a flash crowd, and an end that nobody has to remember.
pub(super) const SHARE_FOR: Duration = Duration::from_secs(7 * 86_400);

/// How what is wanted is downloaded.
pub(super) fn request(wanted: &Wanted) -> Result<DownloadRequest, url::ParseError> {
    let urls: Result<_, _> = wanted.urls.iter().map(|url| url.parse()).collect();
    let mut request = DownloadRequest::new(urls?, Output::Folder(wanted.folder.clone()));
    request.background = !wanted.foreground;
    // A crash may have come after the file was put in place and before that was written down.
    request.take_existing = true;
    Ok(request)
}

/// What a download's task tells.
#[derive(Debug)]
pub(super) enum News {
    /// Something happened.
    Event(DownloadId, Event),
    /// Its files are a publisher's that may be asked about.
    Met(Subject),
    /// It is over, the sharing included.
    Ended(DownloadId, End),
}

/// How a run ended.
#[derive(Debug)]
pub(super) enum End {
    /// Its file is in place.
    Complete {
        /// Bytes sent to others.
        uploaded: u64,
    },
    /// It is not, or not as it was.
    Failed(String),
    /// It was only to be shared, and that is not agreed to.
    NotAgreed,
}

impl End {
    fn of(result: Result<Report, DownloadError>) -> Self {
        match result {
            Ok(Report { uploaded, .. }) => Self::Complete { uploaded },
            Err(error) => Self::Failed(error.to_string()),
        }
    }
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
        let end = match self.stop.run_until_cancelled(self.share(&request)).await {
            Some(share) => {
                request.share = share;
                self.follow(self.client.start(request)).await
            }
            None => End::of(Err(DownloadError::Cancelled)),
        };
        self.tell_end(end).await;
    }

    /// Shares what an earlier run has kept, if that is still agreed to.
    pub(super) async fn share_again(self, file: SharedFile) {
        let end = match file.kept.manifest().map(|about| about.publisher) {
            Ok(publisher) => match self.agreed(publisher) {
                Share::For(time) => {
                    let left = file.until.since(UnixTime::now()).min(time);
                    self.follow(self.client.share(file.kept, left)).await
                }
                Share::Off | Share::WhileDownloading => End::NotAgreed,
            },
            Err(error) => End::of(Err(error)),
        };
        self.tell_end(end).await;
    }

    async fn tell_end(&self, end: End) {
        // Gone: the service has ended without waiting.
        let _ = self.news.send(News::Ended(self.id, end)).await;
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
        if !self.is_allowed(publisher) {
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
        self.agreed(publisher)
    }

    /// Whether the administrator allows it.
    fn is_allowed(&self, publisher: PublisherId) -> bool {
        let policy = MachinePolicy::load(&self.policy_file);
        policy.is_ok_and(|policy| policy.allows(&publisher.to_string()))
    }

    /// What the user and the administrator say.
    fn agreed(&self, publisher: PublisherId) -> Share {
        if !self.is_allowed(publisher) {
            return Share::Off;
        }
        match self.consents.recall(publisher) {
            Ok(Some(Agreed::InBackground)) => Share::For(SHARE_FOR),
            Ok(Some(Agreed::WhileDownloading)) => Share::WhileDownloading,
            Ok(Some(Agreed::Off) | None) | Err(_) => Share::Off,
        }
    }

    async fn follow(&self, mut download: Download) -> End {
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
        End::of(download.wait().await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_waits_for_gives_way() {
        let wanted = |text| serde_json::from_str::<Wanted>(text).unwrap();
        let usual = wanted(r#"{"urls": ["http://h/a"], "folder": "/f"}"#);
        assert!(request(&usual).unwrap().background);
        let urgent = r#"{"urls": ["http://h/a"], "folder": "/f", "foreground": true}"#;
        assert!(!request(&wanted(urgent)).unwrap().background);
        let nonsense = wanted(r#"{"urls": ["h"], "folder": "/f"}"#);
        assert!(request(&nonsense).is_err());
    }
}
