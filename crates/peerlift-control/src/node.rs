//! The node: its configuration, its route, its life.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{ConnectInfo, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ed25519_dalek::SigningKey;
use peerlift_model::Timestamp;
use peerlift_rendezvous::shared::NodeId;
use peerlift_rendezvous::{Config, Rendezvous, SessionId};
use peerlift_wire::control::{CLIENT_MESSAGE_BYTES_MAX, PATH, SUB_PROTOCOL};
use prometheus_client::registry::Registry;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{self, NodeAccess};
use crate::atlas::Atlas;
use crate::conversation::{NodeFacts, Visitor};
use crate::core_task::{self, Input};
use crate::directory::{self, DirectoryUrl, Membership};
use crate::gate::{LoginRate, Place};
use crate::metrics::Metrics;
use crate::session::{self, SessionContext};

/// How a control node behaves.
#[derive(Clone)]
pub struct ControlConfig {
    /// The seed of the Ed25519 key that signs tickets and that clients know the node by.
    pub key_seed: [u8; 32],
    /// Sessions at once; more are answered with 503. Default 10,000: some 200 MiB with TLS.
    pub sessions_max: usize,
    /// Logins a second; others are told when to come back. Default 1,000: less than one core does,
    /// so that queries are answered while everybody comes back after an outage.
    pub logins_per_s: u32,
    /// How often clients are told to show that they are there. Default 10 min: six messages an
    /// hour. Clients and nodes have their kernels probe the connection in between (RFC 9293
    /// §3.8.4), which NATs count as traffic, too.
    pub keep_alive: Duration,
    /// What is known of addresses. Default: nothing.
    pub atlas: Atlas,
    /// The bounds of the core. Its longest silence follows from `keep_alive`.
    pub core: Config,
    /// The directory that this node shares with others. Default: none, it is alone.
    pub directory: Option<DirectoryUrl>,
    /// Who may fetch what. Default: everybody everything, until the operator blocks something.
    pub access: Arc<NodeAccess>,
}

impl ControlConfig {
    /// The defaults with this key.
    #[must_use]
    pub fn new(key_seed: [u8; 32]) -> Self {
        Self {
            key_seed,
            sessions_max: 10_000,
            logins_per_s: 1_000,
            keep_alive: Duration::from_secs(600),
            atlas: Atlas::default(),
            core: Config::default(),
            directory: None,
            access: Arc::new(NodeAccess::new(&key_seed)),
        }
    }
}

/// How much longer than three keep-alives a client may be silent.
const SILENCE_GRACE: Duration = Duration::from_secs(5);

impl std::fmt::Debug for ControlConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlConfig")
            .field("sessions_max", &self.sessions_max)
            .field("keep_alive", &self.keep_alive)
            .field("core", &self.core)
            .finish_non_exhaustive()
    }
}

/// A running control node.
#[derive(Clone, Debug)]
pub struct ControlNode {
    shared: Arc<Shared>,
}

struct Shared {
    context: Arc<SessionContext>,
    key: [u8; 32],
    atlas: Atlas,
    places: Arc<Semaphore>,
    login_rate: LoginRate,
    started: Instant,
    next_session: AtomicU64,
    tasks: TaskTracker,
    stop: CancellationToken,
    /// Cancelled: nobody new is let in.
    closing: CancellationToken,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl ControlNode {
    /// Starts a node within a tokio runtime and registers its metrics.
    #[must_use]
    pub fn start(mut config: ControlConfig, registry: &mut Registry) -> Self {
        let metrics = Metrics::register(registry);
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        config.core.silence_max = 3 * config.keep_alive + SILENCE_GRACE;
        config.core.shared = config.directory.is_some();
        let (core, mut task) =
            core_task::new(config.core, random_seed(), metrics.clone(), stop.clone());
        let key = SigningKey::from_bytes(&config.key_seed);
        let public = key.verifying_key().to_bytes();
        let ticket_keys = watch::Sender::new(vec![public]);
        let trusted = ticket_keys.subscribe();
        if let Some(url) = config.directory {
            metrics.register_up(registry);
            let membership = Membership {
                url,
                node: NodeId(random_seed()),
                ticket_key: public,
                ticket_keys,
            };
            let (core, metrics) = (core.clone(), metrics.clone());
            task.share(directory::start(membership, core, metrics, &tasks, &stop));
        }
        tasks.spawn(task.run());
        let facts = NodeFacts {
            key,
            keep_alive: config.keep_alive,
            ticket_keys: trusted,
        };
        let (access, teller) = (Arc::clone(&config.access), core.clone());
        let telling = stop
            .clone()
            .run_until_cancelled_owned(access::tell_core(access, teller));
        tasks.spawn(async move {
            // Stopped: the core has ended, too.
            let _ = telling.await;
        });
        let context = SessionContext {
            facts: Arc::new(facts),
            core,
            metrics,
            stop: stop.clone(),
            access: config.access,
        };
        let shared = Shared {
            context: Arc::new(context),
            key: public,
            atlas: config.atlas,
            places: Arc::new(Semaphore::new(config.sessions_max)),
            login_rate: LoginRate::new(config.logins_per_s),
            started: Instant::now(),
            next_session: AtomicU64::new(1),
            tasks,
            stop,
            closing: CancellationToken::new(),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The node's route, to be served with HTTP/1.1 upgrades. Requests should carry
    /// [`ConnectInfo<SocketAddr>`] as an extension, by which clients learn their public address.
    pub fn router(&self) -> Router {
        Router::new()
            .route(PATH, get(upgrade))
            .with_state(Arc::clone(&self.shared))
            .merge(access::routes(self.access()))
    }

    /// The key that clients know the node by.
    #[must_use]
    pub fn key(&self) -> [u8; 32] {
        self.shared.key
    }

    /// Who may fetch what.
    #[must_use]
    pub fn access(&self) -> &Arc<NodeAccess> {
        &self.shared.context.access
    }

    /// Lets an operator look at the core, or change it, between two events. `None` once the node
    /// has ended.
    pub async fn visit<R: Send + 'static>(
        &self,
        visit: impl FnOnce(&mut Rendezvous, Timestamp) -> R + Send + 'static,
    ) -> Option<R> {
        let (answer, answered) = oneshot::channel();
        let visit = Box::new(move |core: &mut Rendezvous, now| {
            // Nobody waits for it any longer: so be it.
            let _ = answer.send(visit(core, now));
        });
        self.shared.context.core.tell(Input::Visit(visit)).await;
        answered.await.ok()
    }

    /// Whether to begin a handshake with one more client; else it is refused without one.
    pub(crate) fn begins_handshake(&self) -> bool {
        let shared = &self.shared;
        let begins = shared.login_rate.begin(shared.now());
        if !begins {
            shared.context.metrics.hung_up_on.inc();
        }
        begins
    }

    /// The time of the node's own clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.shared.now()
    }

    /// A connection could not be accepted.
    pub(crate) fn count_accept_error(&self) {
        self.shared.context.metrics.accept_errors.inc();
    }

    /// Lets nobody new in; those who come are sent elsewhere.
    pub fn close_door(&self) {
        self.shared.closing.cancel();
    }

    /// Whether the node lets clients in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.shared.closing.is_cancelled()
    }

    /// Ends all sessions and waits until they are gone.
    pub async fn shutdown(&self) {
        self.close_door();
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}

async fn upgrade(
    State(shared): State<Arc<Shared>>,
    from: Option<Extension<ConnectInfo<SocketAddr>>>,
    place_at_door: Option<Extension<Arc<Place>>>,
    socket: WebSocketUpgrade,
) -> Response {
    let seat = match shared.admit() {
        Ok(seat) => seat,
        Err(later) => return later.into_response(),
    };
    let observed = from.map(|Extension(ConnectInfo(address))| address.ip());
    let visitor = Visitor {
        observed,
        network: shared.atlas.network(observed),
    };
    socket
        .protocols([SUB_PROTOCOL])
        .max_message_size(CLIENT_MESSAGE_BYTES_MAX)
        .max_frame_size(CLIENT_MESSAGE_BYTES_MAX)
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(0)
        .on_upgrade(move |socket| {
            let id = SessionId(shared.next_session.fetch_add(1, Ordering::Relaxed));
            let context = Arc::clone(&shared.context);
            let run = session::run(socket, id, visitor, context, place_at_door);
            // Tracked, so that a shutdown waits for it.
            let run = shared.tasks.track_future(run);
            // Apart, and so no larger than it has to be: the task that it is awaited in keeps room
            // for the upgrade as well.
            Box::pin(async move {
                run.await;
                drop(seat);
            })
        })
}

impl Shared {
    fn now(&self) -> Timestamp {
        let micros = self.started.elapsed().as_micros();
        Timestamp::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// A place for one more session.
    fn admit(&self) -> Result<OwnedSemaphorePermit, Later> {
        let later = |retry_after, text| Later { retry_after, text };
        if self.closing.is_cancelled() {
            return Err(later(CLOSING_RETRY, "the node is going down\n"));
        }
        let refused = &self.context.metrics.refused;
        let Ok(seat) = Arc::clone(&self.places).try_acquire_owned() else {
            refused.inc();
            return Err(later(FULL_RETRY, "too many sessions\n"));
        };
        let admitted = self.login_rate.admit(self.now());
        admitted.map(|()| seat).map_err(|retry_after| {
            refused.inc();
            later(retry_after, "too many logins at once\n")
        })
    }
}

/// What is read from a session at once. Most messages of clients have fewer than a hundred bytes; the
/// memory is kept for as long as the session lasts.
const READ_BUFFER_BYTES: usize = 128;

/// When clients come back to a node that is full.
const FULL_RETRY: Duration = Duration::from_secs(30);

/// When clients come back to a node that goes down: it may be up again.
const CLOSING_RETRY: Duration = Duration::from_secs(5);

/// Not now.
struct Later {
    retry_after: Duration,
    text: &'static str,
}

impl IntoResponse for Later {
    fn into_response(self) -> Response {
        let seconds = self.retry_after.as_millis().div_ceil(1000);
        let fields = [
            (header::RETRY_AFTER, seconds.to_string()),
            (header::CONNECTION, "close".to_owned()),
        ];
        (StatusCode::SERVICE_UNAVAILABLE, fields, self.text).into_response()
    }
}

fn random_seed() -> u64 {
    let mut seed = [0; 8];
    // Without randomness the choice of peers is still right, only predictable.
    let _ = getrandom::fill(&mut seed);
    u64::from_le_bytes(seed)
}
