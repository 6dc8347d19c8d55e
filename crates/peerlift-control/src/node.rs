//! The node: its configuration, its route, its life.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Extension;
use axum::Router;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use ed25519_dalek::SigningKey;
use peerlift_rendezvous::{Config, SessionId};
use peerlift_wire::control::{CLIENT_MESSAGE_BYTES_MAX, PATH, SUB_PROTOCOL};
use prometheus_client::registry::Registry;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::core_task::{self, CoreHandle};
use crate::metrics::Metrics;
use crate::session::{self, SessionContext};

/// How a control node behaves.
#[derive(Clone)]
pub struct ControlConfig {
    /// The seed of the Ed25519 key that signs tickets and that clients know the node by.
    pub key_seed: [u8; 32],
    /// Sessions at once; more are answered with 503. Default 10,000: some 200 MiB with TLS.
    pub sessions_max: usize,
    /// How often clients are told to show that they are there. Default 30 s: RFC 4787 §4.3 lets no
    /// NAT drop a mapping before two minutes, many do.
    pub keep_alive: Duration,
    /// The bounds of the core.
    pub core: Config,
}

impl ControlConfig {
    /// The defaults with this key.
    #[must_use]
    pub fn new(key_seed: [u8; 32]) -> Self {
        let keep_alive = Duration::from_secs(30);
        Self {
            key_seed,
            sessions_max: 10_000,
            keep_alive,
            core: Config::default(),
        }
    }
}

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
#[derive(Debug)]
pub struct ControlNode {
    shared: Arc<Shared>,
    tasks: TaskTracker,
}

#[derive(Debug)]
struct Shared {
    context: Arc<SessionContext>,
    core: CoreHandle,
    places: Arc<Semaphore>,
    next_session: AtomicU64,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl ControlNode {
    /// Starts a node within a tokio runtime and registers its metrics.
    #[must_use]
    pub fn start(config: ControlConfig, registry: &mut Registry) -> Self {
        let metrics = Metrics::register(registry);
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let (core, task) =
            core_task::new(config.core, random_seed(), metrics.clone(), stop.clone());
        tasks.spawn(task.run());
        let context = SessionContext {
            key: SigningKey::from_bytes(&config.key_seed),
            keep_alive: config.keep_alive,
            metrics,
            stop: stop.clone(),
        };
        let shared = Shared {
            context: Arc::new(context),
            core,
            places: Arc::new(Semaphore::new(config.sessions_max)),
            next_session: AtomicU64::new(1),
            tasks: tasks.clone(),
            stop,
        };
        Self {
            shared: Arc::new(shared),
            tasks,
        }
    }

    /// The node's route, to be served with HTTP/1.1 upgrades. Requests should carry
    /// [`ConnectInfo<SocketAddr>`] as an extension, by which clients learn their public address.
    pub fn router(&self) -> Router {
        Router::new()
            .route(PATH, get(upgrade))
            .with_state(Arc::clone(&self.shared))
    }

    /// The key that clients know the node by.
    #[must_use]
    pub fn key(&self) -> [u8; 32] {
        self.shared.context.key.verifying_key().to_bytes()
    }

    /// Ends all sessions and waits until they are gone.
    pub async fn shutdown(&self) {
        self.shared.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn upgrade(
    State(shared): State<Arc<Shared>>,
    from: Option<Extension<ConnectInfo<SocketAddr>>>,
    socket: WebSocketUpgrade,
) -> Response {
    let Ok(place) = Arc::clone(&shared.places).try_acquire_owned() else {
        shared.context.metrics.refused.inc();
        let later = [(header::RETRY_AFTER, HeaderValue::from_static("30"))];
        return (
            StatusCode::SERVICE_UNAVAILABLE,
            later,
            "too many sessions\n",
        )
            .into_response();
    };
    let observed = from.map(|Extension(ConnectInfo(address))| address.ip());
    socket
        .protocols([SUB_PROTOCOL])
        .max_message_size(CLIENT_MESSAGE_BYTES_MAX)
        .max_frame_size(CLIENT_MESSAGE_BYTES_MAX)
        .write_buffer_size(0)
        .on_upgrade(move |socket| async move {
            let id = SessionId(shared.next_session.fetch_add(1, Ordering::Relaxed));
            let context = Arc::clone(&shared.context);
            let run = session::run(socket, id, observed, context, shared.core.clone());
            // Tracked, so that a shutdown waits for it.
            shared.tasks.track_future(run).await;
            drop(place);
        })
}

fn random_seed() -> u64 {
    let mut seed = [0; 8];
    // Without randomness the choice of peers is still right, only predictable.
    let _ = getrandom::fill(&mut seed);
    u64::from_le_bytes(seed)
}
