//! A control node of its own: listening sockets, TLS, and nothing but sessions behind them.
//!
//! Small on purpose. Each connection is one task that ends with the upgrade to a WebSocket; the
//! session is another. Nothing is kept of TLS and HTTP but what rustls needs.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use futures_util::FutureExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::ControlNode;
use crate::backlog::{BACKLOG_MAX, Backlog};
use crate::gate::{Gate, Place};
use crate::lean_tls::LeanTls;

/// Handshakes that are begun before those under way go on. One at a time costs a look at all sockets
/// for each.
const BEGUN_AT_ONCE: u64 = 8;

/// How long TLS and the request may take together.
const KNOCK_MAX: Duration = Duration::from_secs(10);

/// How long to wait when no connection can be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The longest request head.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Before the kernel asks whether an idle client is still there, how often it asks again, and how
/// many times. A client that vanished is noticed after three minutes; NATs and firewalls see
/// traffic every two (RFC 5382 REQ-5 allows them to forget after two hours, many do so sooner).
const PROBE_AFTER: Duration = Duration::from_secs(120);
const PROBE_EVERY: Duration = Duration::from_secs(15);
const PROBES: u32 = 4;

/// What is asked of a server.
#[derive(Debug)]
pub struct ServerOptions {
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// Certificate and key; without them clients have to come through a proxy that has some.
    pub tls: Option<rustls::ServerConfig>,
    /// What else is answered at the same address, such as a relay's routes.
    pub routes: Router,
}

/// A server cannot start.
#[derive(Debug, Error)]
#[error("cannot listen at {address}: {source}")]
pub struct ListenError {
    /// Where.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// A control node, listening.
#[derive(Debug)]
pub struct ControlServer {
    listeners: Vec<TcpListener>,
    tls: Option<Arc<rustls::ServerConfig>>,
    routes: Router,
    gate: Gate,
    node: ControlNode,
}

impl ControlServer {
    /// Opens the sockets.
    ///
    /// # Errors
    ///
    /// [`ListenError`].
    pub fn bind(node: ControlNode, options: ServerOptions) -> Result<Self, ListenError> {
        let listen = |address| listen(address).map_err(|source| ListenError { address, source });
        let listeners = options.listen.into_iter().map(listen);
        let tls = options.tls.map(|mut tls| {
            tls.alpn_protocols = vec![b"http/1.1".to_vec()];
            // One ticket a login is enough to resume by, and half the work of two.
            tls.send_tls13_tickets = 1;
            resume_without_memory(&mut tls);
            Arc::new(tls)
        });
        Ok(Self {
            listeners: listeners.collect::<Result<_, _>>()?,
            tls,
            routes: options.routes.merge(node.router()).merge(health(&node)),
            gate: Gate::new(),
            node,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let addresses = self.listeners.iter().map(TcpListener::local_addr);
        addresses.filter_map(Result::ok).collect()
    }

    /// Serves until `stop` is cancelled. Sessions go on until the node ends.
    pub async fn serve(self, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        for listener in self.listeners {
            let door = Door {
                listener,
                tls: self.tls.clone(),
                routes: self.routes.clone(),
                gate: self.gate.clone(),
                node: self.node.clone(),
            };
            tasks.spawn(door.run(stop.clone()));
        }
        while tasks.join_next().await.is_some() {}
    }
}

/// Lets clients keep what they resume by (RFC 8446 §2.2), sealed with a key of this process: a table
/// here would be small, or large, and those who came before the last few hundred not in it.
fn resume_without_memory(tls: &mut rustls::ServerConfig) {
    match rustls::crypto::ring::Ticketer::new() {
        Ok(ticketer) => tls.ticketer = ticketer,
        Err(error) => tracing::warn!(%error, "few clients can resume TLS"),
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG_MAX)
}

/// What a load balancer asks: whether the process lives, and whether it takes clients.
pub(crate) fn health(node: &ControlNode) -> Router {
    use axum::http::StatusCode;
    use axum::routing::get;
    let node = node.clone();
    let ready = move || {
        let answer = match node.is_open() {
            true => (StatusCode::OK, "ready\n"),
            false => (StatusCode::SERVICE_UNAVAILABLE, "going down\n"),
        };
        std::future::ready(answer)
    };
    Router::new()
        .route("/healthz", get(|| std::future::ready("ok\n")))
        .route("/readyz", get(ready))
}

/// One listening socket.
struct Door {
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    routes: Router,
    gate: Gate,
    node: ControlNode,
}

impl Door {
    async fn run(self, stop: CancellationToken) {
        let mut knocking = JoinSet::new();
        let mut backlog = Backlog::new(self.node.now());
        let mut begun = 0_u64;
        loop {
            let accepted = tokio::select! {
                accepted = self.accept(&mut backlog) => accepted,
                () = stop.cancelled() => break,
                Some(_) = knocking.join_next() => continue,
            };
            let Some((stream, from, place)) = accepted else {
                continue;
            };
            let (tls, routes) = (self.tls.clone(), self.routes.clone());
            knocking.spawn(async move {
                let knock = knock(stream, from, tls, routes, place);
                if timeout(KNOCK_MAX, knock).await.is_err() {
                    tracing::debug!(%from, "no session in time");
                }
            });
            // Those who are in go before those who wait: a node that begins more than it finishes
            // finishes nothing in time.
            begun += 1;
            if begun.is_multiple_of(BEGUN_AT_ONCE) {
                tokio::task::yield_now().await;
            }
        }
        knocking.shutdown().await;
    }

    /// The oldest connection that waits, once there is a place for it. Cancel-safe: what was taken
    /// out of the kernel's queue is returned without waiting.
    async fn accept(&self, backlog: &mut Backlog) -> Option<(TcpStream, SocketAddr, Place)> {
        let permit = self.gate.wait().await?;
        let accepted = match self.listener.accept().now_or_never() {
            Some(accepted) => accepted,
            None => {
                backlog.note_empty();
                self.listener.accept().await
            }
        };
        if let Some(length) = backlog.take(self.node.now()) {
            self.set_backlog(length);
        }
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, mostly. Sessions go on; one that ends makes room.
                tracing::warn!(%error, "cannot accept a connection");
                self.node.count_accept_error();
                sleep(ACCEPT_PAUSE).await;
                return None;
            }
        };
        if !self.node.begins_handshake() {
            reset(&stream);
            return None;
        }
        if let Err(error) = prepare(&stream) {
            tracing::debug!(%from, %error, "socket options not set");
        }
        let place = self.gate.enter(permit, from.ip())?;
        Some((stream, from, place))
    }

    /// How many may wait in the kernel; those who are there stay.
    fn set_backlog(&self, length: u32) {
        let length = i32::try_from(length).unwrap_or(i32::MAX);
        match SockRef::from(&self.listener).listen(length) {
            Ok(()) => tracing::debug!(length, "so many may wait"),
            Err(error) => tracing::debug!(%error, "as many may wait as before"),
        }
    }
}

/// Has the kernel answer with a reset when the stream is dropped: nothing is kept of it, and the
/// client knows at once.
fn reset(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_linger(Some(Duration::ZERO)) {
        tracing::debug!(%error, "hung up on in the ordinary way");
    }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let probes = TcpKeepalive::new()
        .with_time(PROBE_AFTER)
        .with_interval(PROBE_EVERY)
        .with_retries(PROBES);
    SockRef::from(stream).set_tcp_keepalive(&probes)
}

async fn knock(
    stream: TcpStream,
    from: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    routes: Router,
    place: Place,
) {
    match tls {
        None => speak(stream, from, routes, place).await,
        Some(tls) => match LeanTls::accept(tls, stream).await {
            Ok(stream) => speak(stream, from, routes, place).await,
            Err(error) => tracing::debug!(%from, %error, "TLS failed"),
        },
    }
}

/// Answers requests until one of them becomes a session.
async fn speak<S>(stream: S, from: SocketAddr, routes: Router, place: Place)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // The session that the request becomes keeps the place until it has logged in.
    let place = Mutex::new(Some(Arc::new(place)));
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(from));
        let place = place.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(place) = place {
            request.extensions_mut().insert(place);
        }
        let mut routes = routes.clone();
        async move {
            let answer: Result<_, Infallible> = routes.call(request).await;
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(KNOCK_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    if let Err(error) = connection.await {
        tracing::debug!(%from, %error, "no session");
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::mpsc;

    use super::*;
    use crate::ControlConfig;

    #[tokio::test]
    async fn who_waits_longest_is_taken_first() {
        let node = ControlNode::start(ControlConfig::new([9; 32]), &mut Registry::default());
        let (order, mut taken) = mpsc::unbounded_channel();
        let note = move |path: axum::extract::Path<String>| {
            let sent = order.send(path.0);
            std::future::ready(if sent.is_ok() { "noted" } else { "gone" })
        };
        let options = ServerOptions {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            tls: None,
            routes: Router::new().route("/note/{who}", axum::routing::get(note)),
        };
        let mut server = ControlServer::bind(node, options).unwrap();
        server.gate = Gate::with_places(1);
        let address = server.addresses()[0];
        let stop = CancellationToken::new();
        let served = tokio::spawn(server.serve(stop.clone()));
        // Comes first, and keeps the one place until it leaves.
        let mut first = TcpStream::connect(address).await.unwrap();
        first.write_all(b"G").await.unwrap();
        let mut waiting = Vec::new();
        for who in 0..20 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request =
                format!("GET /note/{who} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            waiting.push(stream);
        }
        assert!(taken.try_recv().is_err(), "there is one place");
        drop(first);
        for who in 0..20 {
            assert_eq!(taken.recv().await, Some(who.to_string()));
        }
        let mut answer = String::new();
        waiting[19].read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("noted"), "{answer}");
        stop.cancel();
        served.await.unwrap();
    }
}
