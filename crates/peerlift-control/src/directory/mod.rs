//! A directory that several control nodes share, on Redis or Valkey.
//!
//! The core of every node knows the node's own clients; what it says to the others
//! ([`Share`]) is carried out here:
//!
//! * **offers and retractions** are gathered, grouped by object and written by one script an
//!   object, under a lease that the node renews ([`LEASE`]);
//! * **questions** are one script each, which draws holders on the server at the price of the
//!   answer, and those that wait travel together; no answer within [`ASK_MAX`], or no connection, and the core answers from its own
//!   clients;
//! * **pushes** to clients of other nodes are published on a channel of that node's;
//! * nodes greet one another, so that their clients learn by whose keys tickets are signed.
//!
//! Everything in there is soft state. When writes were lost, they are made good by saying
//! everything again, paced by the core, once the server takes writes.
//!
//! `link` connects, `url` is what an operator writes, `record` what is stored, `scripts` how the server
//! stores and draws it, `tasks` who does what.

mod link;
mod record;
mod scripts;
mod tasks;
mod url;

use std::sync::Arc;
use std::time::Duration;

use peerlift_rendezvous::Event;
use peerlift_rendezvous::shared::{Ask, Found, NodeId, Share};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use record::exercise as exercise_directory_record;
pub use url::{DirectoryUrl, DirectoryUrlError};

use crate::core_task::CoreHandle;
use crate::metrics::Metrics;

/// How long an entry stays without being renewed. 15 min: what a crashed node leaves behind is
/// overwritten by its clients within a minute, as they announce elsewhere; only who never came
/// back is named in vain for so long.
const LEASE: Duration = Duration::from_secs(900);

/// How often everything is said again. A third of the lease: two renewals may fail.
const RENEW_EVERY: Duration = Duration::from_secs(300);

/// How long a client waits for the directory before the node answers from its own clients.
const ASK_MAX: Duration = Duration::from_millis(100);

/// Questions that wait for the directory at once; more are answered from the node's own clients.
const ASKS_MAX: usize = 1024;

/// Offers and retractions that wait to be written. More are lost, and made good later.
const WRITES_MAX: usize = 65_536;

/// The way to the directory.
pub(crate) struct DirectoryHandle {
    asks: mpsc::Sender<Ask>,
    writes: mpsc::Sender<Share>,
    state: Arc<State>,
}

/// What the tasks have in common.
struct State {
    node: NodeId,
    url: DirectoryUrl,
    ticket_key: [u8; 32],
    core: CoreHandle,
    metrics: Metrics,
    ticket_keys: watch::Sender<Vec<[u8; 32]>>,
    /// The connection, while it works.
    link: watch::Sender<Option<link::Link>>,
    scripts: Arc<scripts::Scripts>,
    /// Something was not written.
    lossy: std::sync::atomic::AtomicBool,
    /// What is wrong at present, as it was logged.
    trouble: std::sync::Mutex<Option<&'static str>>,
}

/// What a node says of itself to the others.
pub(crate) struct Membership {
    pub(crate) url: DirectoryUrl,
    pub(crate) node: NodeId,
    pub(crate) ticket_key: [u8; 32],
    /// By whose keys tickets are signed; grows as nodes are heard of.
    pub(crate) ticket_keys: watch::Sender<Vec<[u8; 32]>>,
}

/// Starts the tasks; they end with `stop`.
pub(crate) fn start(
    membership: Membership,
    core: CoreHandle,
    metrics: Metrics,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> DirectoryHandle {
    let (asks, waiting_asks) = mpsc::channel(ASKS_MAX);
    let (writes, waiting_writes) = mpsc::channel(WRITES_MAX);
    let state = Arc::new(State {
        node: membership.node,
        url: membership.url,
        ticket_key: membership.ticket_key,
        core,
        metrics,
        ticket_keys: membership.ticket_keys,
        link: watch::Sender::new(None),
        scripts: Arc::new(scripts::Scripts::new()),
        lossy: std::sync::atomic::AtomicBool::new(false),
        trouble: std::sync::Mutex::new(None),
    });
    let run = |task| {
        let stop = stop.clone();
        tasks.spawn(async move {
            // Stopped: the node ends, and its leases with it.
            let _ = stop.run_until_cancelled_owned(task).await;
        });
    };
    run(boxed(tasks::keep_connected(Arc::clone(&state))));
    run(boxed(tasks::ask(Arc::clone(&state), waiting_asks)));
    run(boxed(tasks::write(Arc::clone(&state), waiting_writes)));
    run(boxed(tasks::hear(Arc::clone(&state))));
    run(boxed(tasks::renew(Arc::clone(&state))));
    DirectoryHandle {
        asks,
        writes,
        state,
    }
}

type Task = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

fn boxed(task: impl Future<Output = ()> + Send + 'static) -> Task {
    Box::pin(task)
}

impl DirectoryHandle {
    /// Takes on what the core says. What cannot be asked comes back answered.
    pub(crate) fn take(&self, share: Share) -> Option<Event> {
        match share {
            Share::Ask(ask) => {
                let full = self.asks.try_send(ask).err()?;
                self.state.metrics.directory_trouble("overload");
                let (mpsc::error::TrySendError::Full(ask) | mpsc::error::TrySendError::Closed(ask)) =
                    full;
                Some(unanswered(ask))
            }
            share @ (Share::Offer { .. } | Share::Retract { .. } | Share::Push { .. }) => {
                if self.writes.try_send(share).is_err() {
                    self.state.lose(1);
                }
                None
            }
        }
    }
}

/// The directory knows nothing, or says nothing.
fn unanswered(ask: Ask) -> Event {
    Event::Found(Found {
        ask,
        holders: Vec::new(),
        spread: None,
    })
}
