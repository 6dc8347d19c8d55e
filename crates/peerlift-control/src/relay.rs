//! The embedded relay: the place where two peers find the way to each other.
//!
//! `iroh-relay` is the relay. It insists on a socket of its own, so it listens on a loopback port,
//! and [`Relay::router`] passes on the upgrade requests that come in at the edge's port: one port
//! for everything, behind one certificate and the same limits. What passes is the beginning of
//! links only: clients send no payload over a relay, and the rate cap makes sure of it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::client::conn::http1;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use iroh_relay::server::{
    ClientRateLimit, QuicConfig, RelayConfig, Server, ServerConfig, SpawnError,
};
use thiserror::Error;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Where relay clients connect, below the root of the relay's URL.
const PATH: &str = "/relay";

/// What relay clients ask for to learn how far the relay is.
const PROBE_PATH: &str = "/ping";

/// Bytes a second that one client may send. A handshake with hole punching takes some 20 KiB.
const CLIENT_BYTES_PER_S: u32 = 64 * 1024;

/// Bytes that one client may send at once: forty handshakes side by side begin with that.
const CLIENT_BURST_BYTES: u32 = 512 * 1024;

/// How a relay behaves.
#[derive(Debug)]
pub struct RelayOptions {
    /// Clients at once; more are answered with 503. Default 4096, some 100 MiB.
    pub clients_max: usize,
    /// The UDP socket at which clients learn their public address by QUIC, and its certificate.
    /// Default: none.
    pub quic: Option<(SocketAddr, rustls::ServerConfig)>,
}

impl Default for RelayOptions {
    fn default() -> Self {
        Self {
            clients_max: 4096,
            quic: None,
        }
    }
}

/// Why there is no relay.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RelayError {
    /// The server does not start.
    #[error("cannot start the relay: {0}")]
    Start(#[source] Box<SpawnError>),
    /// The server has no address, which the system did not say before.
    #[error("cannot start the relay: it has no socket")]
    NoSocket,
}

/// A running relay.
#[derive(Debug)]
pub struct Relay {
    server: Server,
    passage: Arc<Passage>,
}

/// What requests share.
#[derive(Debug)]
struct Passage {
    address: SocketAddr,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Relay {
    /// Starts a relay within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`RelayError`].
    pub async fn start(options: RelayOptions) -> Result<Self, RelayError> {
        let mut rate =
            ClientRateLimit::new(NonZeroU32::new(CLIENT_BYTES_PER_S).unwrap_or(NonZeroU32::MIN));
        rate.max_burst_bytes = NonZeroU32::new(CLIENT_BURST_BYTES);
        let mut relay = RelayConfig::new((Ipv4Addr::LOCALHOST, 0));
        relay.limits.client_rx = Some(rate);
        let mut config = ServerConfig::default();
        config.relay = Some(relay);
        config.quic = options.quic.map(|(address, tls)| {
            let mut quic = QuicConfig::new(address);
            quic.server_config = Some(tls);
            quic
        });
        let server = Server::spawn(config)
            .await
            .map_err(|error| RelayError::Start(Box::new(error)))?;
        let address = server.http_addr().ok_or(RelayError::NoSocket)?;
        let passage = Passage {
            address,
            places: Arc::new(Semaphore::new(options.clients_max)),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        Ok(Self {
            server,
            passage: Arc::new(passage),
        })
    }

    /// The relay's routes, to be served with HTTP/1.1 upgrades at the root of the relay's URL.
    pub fn router(&self) -> Router {
        Router::new()
            .route(PATH, get(pass))
            .route(PROBE_PATH, get(probe))
            .with_state(Arc::clone(&self.passage))
    }

    /// The UDP port at which clients learn their public address, if there is one.
    #[must_use]
    pub fn quic_port(&self) -> Option<u16> {
        self.server.quic_addr().map(|address| address.port())
    }

    /// Ends all connections and waits until they are gone.
    pub async fn shutdown(self) {
        self.passage.stop.cancel();
        self.passage.tasks.close();
        self.passage.tasks.wait().await;
        if let Err(error) = self.server.shutdown().await {
            tracing::debug!(%error, "the relay ended badly");
        }
    }
}

async fn probe() -> impl IntoResponse {
    // Pages of other origins measure, too: a relay client may run in one.
    (
        [(
            header::ACCESS_CONTROL_ALLOW_ORIGIN,
            HeaderValue::from_static("*"),
        )],
        StatusCode::OK,
    )
}

async fn pass(State(passage): State<Arc<Passage>>, mut request: Request<Body>) -> Response {
    let Ok(place) = Arc::clone(&passage.places).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many relay clients\n").into_response();
    };
    let outside = hyper::upgrade::on(&mut request);
    let (answer, inside) = match passage.knock(request).await {
        Ok(answered) => answered,
        Err(error) => {
            tracing::warn!(%error, "the relay does not answer");
            return (StatusCode::BAD_GATEWAY, "the relay does not answer\n").into_response();
        }
    };
    if let Some(inside) = inside {
        let stop = passage.stop.clone();
        passage.tasks.spawn(async move {
            // Stopped, or one side hung up: the other is told by the end of the stream.
            let _ = stop.run_until_cancelled(join(outside, inside)).await;
            drop(place);
        });
    }
    answer
}

impl Passage {
    /// Puts the request to the relay itself; with its answer comes the way through, if it opened.
    async fn knock(
        &self,
        request: Request<Body>,
    ) -> Result<(Response, Option<OnUpgrade>), Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            // Its failure is the failure of the request.
            let _ = stop.run_until_cancelled(connection.with_upgrades()).await;
        });
        let mut answer = sender.send_request(request).await?;
        let opened = answer.status() == StatusCode::SWITCHING_PROTOCOLS;
        let inside = opened.then(|| hyper::upgrade::on(&mut answer));
        Ok((answer.map(Body::new), inside))
    }
}

async fn join(outside: OnUpgrade, inside: OnUpgrade) -> io::Result<()> {
    let (outside, inside) =
        tokio::try_join!(outside, inside).map_err(|error| io::Error::other(error.to_string()))?;
    let (mut outside, mut inside) = (TokioIo::new(outside), TokioIo::new(inside));
    copy_bidirectional(&mut outside, &mut inside)
        .await
        .map(|_| ())
}
