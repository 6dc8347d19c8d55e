//! The handle that applications hold, and the handle of one download.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use peerlift_content::VerifiedManifest;
use peerlift_net::http::HttpError;
use peerlift_net::polite::Downlink;
use peerlift_net::token::Wallet;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};
use url::Url;

use crate::download;
use crate::error::DownloadError;
use crate::event::{Event, Report};
use crate::hub::Hubs;
use crate::kept::Kept;
use crate::known_publishers::KnownPublishers;
use crate::manifest;
use crate::progress::{EVENTS_MAX, Progress};
use crate::request::DownloadRequest;
use crate::uploads::Uploads;

/// Where a client keeps what it must remember, and what it calls itself.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// The folder of lasting records: which publishers are known. Created when needed.
    pub data_dir: PathBuf,
    /// The folder of things that may vanish: what a stream has not yet written out.
    pub cache_dir: PathBuf,
    /// Sent as `User-Agent`. Default: `peerlift/VERSION`.
    pub user_agent: String,
    /// The switch and the budget of all uploads. Default: open, without a budget.
    pub uploads: Uploads,
}

impl ClientConfig {
    /// A configuration with these folders.
    #[must_use]
    pub fn new(data_dir: PathBuf, cache_dir: PathBuf) -> Self {
        let user_agent = concat!("peerlift/", env!("CARGO_PKG_VERSION")).to_owned();
        Self {
            data_dir,
            cache_dir,
            user_agent,
            uploads: Uploads::unlimited(),
        }
    }
}

/// Downloads objects. Cheap to clone; all clones share connections to control nodes and peers.
///
/// Nothing is opened before the first download. The key by which peers know this client is drawn
/// afresh for every `Client`, so that nobody can follow an installation around.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

/// What all downloads of a client share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: ClientConfig,
    pub(crate) known_publishers: KnownPublishers,
    pub(crate) hubs: Hubs,
    /// What background downloads share.
    downlink: Downlink,
}

impl Shared {
    /// The line over which a download comes: one that nobody waits for gives way on it.
    pub(crate) fn downlink(&self, request: &DownloadRequest) -> Downlink {
        match request.background {
            true => self.downlink.clone(),
            false => Downlink::plain(),
        }
    }
}

impl Client {
    /// A client that keeps its records where `config` says.
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        let known = config.data_dir.join("known_publishers.json");
        let shared = Shared {
            known_publishers: KnownPublishers::at(known),
            hubs: Hubs::new(config.uploads.uplink().clone()),
            config,
            downlink: Downlink::polite(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Starts a download in a task of its own. Must be called within a tokio runtime.
    #[must_use]
    pub fn start(&self, request: DownloadRequest) -> Download {
        let span = tracing::info_span!("download", url = request.urls.first().map(|u| u.as_str()));
        let shared = Arc::clone(&self.shared);
        spawn(span, |progress, stop| {
            download::run(shared, request, progress, stop)
        })
    }

    /// Shares for so long what an earlier download was asked to [keep](DownloadRequest::keep), in a
    /// task of its own. Nothing is fetched, and the file is not touched: one that was changed or
    /// moved ends it. Must be called within a tokio runtime.
    #[must_use]
    pub fn share(&self, kept: Kept, time: Duration) -> Download {
        let span = tracing::info_span!("share", file = %kept.file.display());
        let shared = Arc::clone(&self.shared);
        spawn(span, |progress, stop| {
            download::share_again(shared, kept, time, progress, stop)
        })
    }

    /// Looks for the manifest of an object and checks its signature, but not who signed. The URLs
    /// are mirrors; `headers` and the token in `wallet` go to their origins. Manifests of restricted
    /// objects are found without a token, too, beside the file.
    ///
    /// # Errors
    ///
    /// A [`DownloadError`] when no URL answers, or a manifest is there and cannot be used.
    pub async fn find_manifest(
        &self,
        urls: &[Url],
        headers: &HeaderMap,
        wallet: Option<Arc<Wallet>>,
    ) -> Result<Option<FoundManifest>, DownloadError> {
        let http = download::http_client(&self.shared, urls, headers, wallet)?;
        let found = match download::contact_any(&http, urls, |_| ()).await {
            Ok((_, contact)) => contact.manifest,
            Err(DownloadError::Http(HttpError::Token { url, .. })) => {
                Some(manifest::sidecar(&http, &url).await?)
            }
            Err(error) => return Err(error),
        };
        Ok(found.map(|signed| FoundManifest {
            signed: signed.verified,
            url: signed.found_at,
        }))
    }

    /// The ports at which other downloaders are let in, for people; empty until something is shared.
    #[must_use]
    pub fn listening(&self) -> Vec<String> {
        self.shared.hubs.doors()
    }

    /// Says goodbye to all peers and control nodes. Downloads should have ended before.
    pub async fn close(&self) {
        self.shared.hubs.close().await;
    }
}

fn spawn<F>(span: Span, run: impl FnOnce(Progress, CancellationToken) -> F) -> Download
where
    F: Future<Output = Result<Report, DownloadError>> + Send + 'static,
{
    let (events, receiver) = mpsc::channel(EVENTS_MAX);
    let stop = CancellationToken::new();
    let task = run(Progress::new(events), stop.clone());
    Download {
        events: receiver,
        stop,
        task: tokio::spawn(task.instrument(span)),
    }
}

/// A manifest and where it was found.
#[derive(Clone, Debug)]
pub struct FoundManifest {
    /// What was signed, and by whom.
    pub signed: VerifiedManifest,
    /// Where it lies.
    pub url: Url,
}

/// A download under way. Dropping it stops it; what was verified stays for the next run.
#[derive(Debug)]
pub struct Download {
    events: mpsc::Receiver<Event>,
    stop: CancellationToken,
    task: JoinHandle<Result<Report, DownloadError>>,
}

impl Download {
    /// The next event, or `None` when there will be no more. Cancel-safe.
    pub async fn next_event(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// A handle that stops the download when cancelled. A download that is complete and being
    /// shared ends well; any other ends with [`DownloadError::Cancelled`].
    #[must_use]
    pub fn stop_handle(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Waits for the end: of the download, and of the sharing that was asked for after it.
    /// Events not yet read are lost.
    ///
    /// # Errors
    ///
    /// A [`DownloadError`] when the object is not in place.
    ///
    /// # Panics
    ///
    /// When the download's task panicked, with the same panic.
    pub async fn wait(mut self) -> Result<Report, DownloadError> {
        self.events.close();
        match (&mut self.task).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(DownloadError::Cancelled),
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
