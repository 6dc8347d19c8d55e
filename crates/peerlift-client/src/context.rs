//! What all tasks of one download share, and how they report to the one that owns the plan.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use peerlift_model::{GroupRange, Layout};
use peerlift_net::http::HttpClient;
use peerlift_net::polite::Downlink;
use peerlift_store::StoreError;
use peerlift_swarm::{RequestId, ServeId, SourceId};
use tokio::sync::mpsc;

use crate::fetch_edge::FetchFault;
use crate::fetch_peer::PeerFault;
use crate::limiter::Limiter;
use crate::peers::LinkEvent;
use crate::split::Part;
use crate::storage::Storage;
use crate::uploads::Uploads;

/// The shared part of a download.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) http: HttpClient,
    pub(crate) layout: Layout,
    pub(crate) storage: Storage,
    limit_down: Arc<Limiter>,
    pub(crate) downlink: Downlink,
    pub(crate) limit_up: Arc<Limiter>,
    pub(crate) uploads: Uploads,
    /// The object's part of them.
    pub(crate) part: Part,
    /// Held by the request that fetches an outboard whole, so that it is done once.
    pub(crate) outboard: tokio::sync::Mutex<()>,
    inputs: mpsc::Sender<Input>,
    received: AtomicU64,
}

/// Something the owner of the plan must know.
#[derive(Debug)]
pub(crate) enum Input {
    /// An edge has begun to answer.
    Answered { request: RequestId },
    /// Groups were verified and written.
    Arrived {
        request: RequestId,
        groups: GroupRange,
    },
    /// A request to an edge is over.
    EdgeEnded {
        request: RequestId,
        result: Result<(), FetchFault>,
    },
    /// A request to a peer is over.
    PeerEnded {
        request: RequestId,
        result: Result<(), PeerFault>,
    },
    /// A request was stopped on the core's order.
    Cancelled { request: RequestId },
    /// News of a link to a peer.
    Link { source: SourceId, event: LinkEvent },
    /// Bytes went out to a peer.
    Served { serve: ServeId, bytes: u64 },
    /// The budget lets no more of the object go out.
    UploadsSpent,
    /// What was to be served cannot be read.
    Unreadable(StoreError),
    /// Serving a range is over, for whatever reason.
    ServeEnded { serve: ServeId },
}

/// How many reports may wait for the owner of the plan. One report stands for up to some hundred
/// KiB of content, so this is never reached while the owner runs; when it is, tasks wait, and with
/// them their connections.
const INPUTS_MAX: usize = 1024;

impl Context {
    pub(crate) fn new(
        http: HttpClient,
        layout: Layout,
        storage: Storage,
        limit_down: Arc<Limiter>,
        downlink: Downlink,
        limit_up: Arc<Limiter>,
        uploads: Uploads,
    ) -> (Arc<Self>, mpsc::Receiver<Input>) {
        let (inputs, receiver) = mpsc::channel(INPUTS_MAX);
        let received = AtomicU64::new(0);
        let context = Self {
            http,
            layout,
            storage,
            limit_down,
            downlink,
            limit_up,
            part: uploads.part(),
            uploads,
            outboard: tokio::sync::Mutex::default(),
            inputs,
            received,
        };
        (Arc::new(context), receiver)
    }

    /// Reports to the owner of the plan; waits while it is behind.
    pub(crate) async fn tell(&self, input: Input) {
        // The owner is gone only when the download is over; then nobody needs the report.
        let _ = self.inputs.send(input).await;
    }

    /// How much of so many bytes off the network should be taken in at a time.
    pub(crate) fn turn(&self, bytes: usize) -> usize {
        self.downlink.step_bytes(self.limit_down.turn(bytes))
    }

    /// Returns when bytes off the network may be taken in: by the cap, and by what others leave of the
    /// line. Cancel-safe, but what was asked for stays accounted.
    pub(crate) async fn pass(&self, bytes: usize) {
        self.limit_down.pass(bytes).await;
        self.downlink.pass(bytes).await;
    }

    /// Counts content off the network, useful or not; proofs are not content.
    pub(crate) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes of content off the network so far, useful or not.
    pub(crate) fn received_total(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}
