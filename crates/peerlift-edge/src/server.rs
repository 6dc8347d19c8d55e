//! The listening sockets, their limits, and the life of a connection.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower_service::Service;

use crate::access_log::{AccessLog, Line, header};
use crate::catalogue::Catalogue;
use crate::config::{EdgeConfig, EdgeError, PublishFn};
use crate::file_body::Pool;
use crate::handler::{Handler, respond, text};
use crate::metrics::Metrics;
use crate::path::Root;
use crate::tls;
use crate::watcher::Watcher;

/// How often an idle HTTP/2 client is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(15);

/// How long to wait when no connection can be accepted and none is open that could end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// How long a connection may be silent before the kernel asks whether the other side is there, and
/// how often it asks again.
const PROBE_AFTER: Duration = Duration::from_secs(120);
const PROBE_EVERY: Duration = Duration::from_secs(15);

/// How long answers under way may take once the edge is told to stop.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// The longest request head: a URL of 8 KiB, a few cookies and tokens.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// A folder over HTTP, listening.
pub struct Edge {
    listeners: Vec<TcpListener>,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    connections: Arc<Semaphore>,
    head_timeout: Duration,
    send_timeout: Duration,
    publish: Option<PublishFn>,
    ready: CancellationToken,
}

impl std::fmt::Debug for Edge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Edge")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Shared {
    handler: Handler,
    routes: Router,
    has_routes: bool,
    log: AccessLog,
    metrics: Metrics,
    registry: Registry,
}

impl Edge {
    /// Opens the folder and the sockets. `registry` holds the metrics of everything that is to be
    /// seen at `/metrics`; the edge adds its own.
    ///
    /// # Errors
    ///
    /// [`EdgeError`].
    pub async fn bind(config: EdgeConfig, mut registry: Registry) -> Result<Self, EdgeError> {
        let folder = |source| EdgeError::Folder {
            path: config.folder.clone(),
            source,
        };
        let root = Root::open(&config.folder).map_err(folder)?;
        let tls = config.tls.as_ref().map(tls::acceptor).transpose()?;
        let mut listeners = Vec::with_capacity(config.listen.len());
        for address in config.listen {
            let listener = TcpListener::bind(address).await;
            listeners.push(listener.map_err(|source| EdgeError::Listen { address, source })?);
        }
        let metrics = Metrics::register(&mut registry);
        let handler = Handler {
            root,
            catalogue: Arc::default(),
            access: config.access,
            pool: Pool::default(),
        };
        let log = config.access_log;
        let shared = Shared {
            handler,
            has_routes: config.routes.has_routes(),
            routes: config.routes,
            log,
            metrics,
            registry,
        };
        Ok(Self {
            listeners,
            tls,
            shared: Arc::new(shared),
            connections: Arc::new(Semaphore::new(config.connections_max)),
            head_timeout: config.head_timeout,
            send_timeout: config.send_timeout,
            publish: config.publish,
            ready: CancellationToken::new(),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .collect()
    }

    /// Cancelled once all that lay in the folder at the start is published.
    #[must_use]
    pub fn ready(&self) -> CancellationToken {
        self.ready.clone()
    }

    /// Serves until `stop` is cancelled; answers under way then have ten seconds to end.
    ///
    /// # Errors
    ///
    /// [`EdgeError::Watch`] when the folder cannot be watched.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), EdgeError> {
        let mut tasks = JoinSet::new();
        if let Some(publish) = self.publish {
            let root = self.shared.handler.root.path().to_owned();
            let catalogue: Arc<Catalogue> = Arc::clone(&self.shared.handler.catalogue);
            let watcher = Watcher::new(root, publish, catalogue, self.shared.metrics.clone())?;
            let (stop, ready) = (stop.clone(), self.ready.clone());
            tasks.spawn(async move {
                // Stopped or out of changes: nothing is left to do either way.
                let _ = stop.run_until_cancelled(watcher.run(ready)).await;
            });
        } else {
            self.ready.cancel();
        }
        for listener in self.listeners {
            let accept = Accept {
                listener,
                tls: self.tls.clone(),
                shared: Arc::clone(&self.shared),
                connections: Arc::clone(&self.connections),
                head_timeout: self.head_timeout,
                send_timeout: self.send_timeout,
            };
            tasks.spawn(accept.run(stop.clone()));
        }
        while tasks.join_next().await.is_some() {}
        Ok(())
    }
}

/// Takes connections from one socket.
struct Accept {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    shared: Arc<Shared>,
    connections: Arc<Semaphore>,
    head_timeout: Duration,
    send_timeout: Duration,
}

impl Accept {
    async fn run(self, stop: CancellationToken) {
        let graceful = GracefulShutdown::new();
        let mut open = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stop.cancelled() => break,
                Some(_) = open.join_next() => continue,
            };
            let (stream, from) = match accepted {
                Ok(connection) => connection,
                Err(error) => {
                    // Out of descriptors, mostly: one will be free when a connection ends.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::select! {
                        Some(_) = open.join_next() => {}
                        () = sleep(ACCEPT_PAUSE) => {}
                        () = stop.cancelled() => break,
                    }
                    continue;
                }
            };
            // Only now: a socket that nobody connects to must hold no place.
            let place = tokio::select! {
                place = Arc::clone(&self.connections).acquire_owned() => place,
                () = stop.cancelled() => break,
            };
            let Ok(place) = place else { break };
            // Small answers must not wait for the acknowledgement of the one before.
            let _ = stream.set_nodelay(true);
            limit_silence(&stream, self.send_timeout);
            let (tls, shared) = (self.tls.clone(), Arc::clone(&self.shared));
            let watcher = graceful.watcher();
            let head_timeout = self.head_timeout;
            open.spawn(async move {
                shared.metrics.connections.inc();
                let speaker = Speaker {
                    from,
                    shared: Arc::clone(&shared),
                    head_timeout,
                };
                speaker.connection(stream, tls, watcher).await;
                shared.metrics.connections.dec();
                drop(place);
            });
        }
        drop(self.listener);
        if timeout(DRAIN_MAX, graceful.shutdown()).await.is_err() {
            tracing::warn!("some answers did not end in time");
        }
        open.shutdown().await;
    }
}

/// Has the kernel end the connection when no byte is acknowledged for so long, be it that the other
/// side is gone or that it reads no more: a socket that takes nothing tells the same to both who
/// read slowly and who do not, the kernel knows better (RFC 5482, tcp(7)).
///
/// Connections that say nothing, as sessions with a control node, are probed now and then: a client
/// that vanished is noticed, and NATs on the way do not forget one that is there.
fn limit_silence(stream: &TcpStream, longest: Duration) {
    let probing = sockopt::set_socket_keepalive(stream, true)
        .and_then(|()| sockopt::set_tcp_keepidle(stream, PROBE_AFTER))
        .and_then(|()| sockopt::set_tcp_keepintvl(stream, PROBE_EVERY));
    if let Err(error) = probing {
        tracing::debug!(%error, "silent connections are not probed");
    }
    let milliseconds = u32::try_from(longest.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = sockopt::set_tcp_user_timeout(stream, milliseconds) {
        tracing::debug!(%error, "no limit on clients that take nothing");
    }
}

/// One connection and its limits.
struct Speaker {
    from: SocketAddr,
    shared: Arc<Shared>,
    head_timeout: Duration,
}

impl Speaker {
    async fn connection(
        self,
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        watcher: hyper_util::server::graceful::Watcher,
    ) {
        let from = self.from;
        match tls {
            None => self.speak(stream, watcher).await,
            Some(tls) => match timeout(HANDSHAKE_MAX, tls.accept(stream)).await {
                Ok(Ok(stream)) => self.speak(stream, watcher).await,
                Ok(Err(error)) => tracing::debug!(%from, %error, "TLS failed"),
                Err(_) => tracing::debug!(%from, "TLS took too long"),
            },
        }
    }

    async fn speak<S>(self, stream: S, watcher: hyper_util::server::graceful::Watcher)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            from,
            shared,
            head_timeout,
        } = self;
        let begun = CancellationToken::new();
        let service = {
            let begun = begun.clone();
            service_fn(move |request: Request<Incoming>| {
                begun.cancel();
                let shared = Arc::clone(&shared);
                async move { Ok::<_, std::convert::Infallible>(shared.respond(request, from).await) }
            })
        };
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(head_timeout)
            .max_buf_size(HEAD_BYTES_MAX)
            .http2()
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
            .max_concurrent_streams(STREAMS_MAX)
            .keep_alive_interval(PING_EVERY);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
        // hyper's own limit starts once it knows the version of HTTP, and never for HTTP/2.
        let silent = async {
            if timeout(head_timeout, begun.cancelled()).await.is_ok() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            ended = watcher.watch(connection.into_owned()) => if let Err(error) = ended {
                tracing::debug!(%from, %error, "connection ended early");
            },
            () = silent => tracing::debug!(%from, "no request came in time"),
        }
    }
}

/// Whether the client opens a WebSocket (RFC 6455 §4.1). Other offers to upgrade, as curl makes one
/// of HTTP/2, are the server's to ignore (RFC 9110 §7.8).
fn is_upgrade(request: &Request<Incoming>) -> bool {
    let wanted = request.headers().get(http::header::UPGRADE);
    wanted.is_some_and(|wanted| wanted.as_bytes().eq_ignore_ascii_case(b"websocket"))
        && request.version() == http::Version::HTTP_11
}

/// Requests at once on one HTTP/2 connection.
const STREAMS_MAX: u32 = 100;

impl Shared {
    async fn respond(
        self: &Arc<Self>,
        request: Request<Incoming>,
        from: SocketAddr,
    ) -> Response<Body> {
        let line = self.log.is_on().then(|| Line {
            from: from.ip(),
            method: request.method().clone(),
            uri: request.uri().to_string(),
            version: request.version(),
            referer: header(request.headers(), http::header::REFERER),
            agent: header(request.headers(), http::header::USER_AGENT),
            status: StatusCode::OK,
            bytes: 0,
        });
        let head = *request.method() == Method::HEAD;
        let response = match request.uri().path() {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/metrics" => self.metrics_page(),
            path if path.starts_with("/.peerlift/") || is_upgrade(&request) => {
                self.route(request, from).await
            }
            _ => match self.handler.answer(&request) {
                missing if missing.status() == StatusCode::NOT_FOUND && self.has_routes => {
                    let routed = self.route(request, from).await;
                    if routed.status() == StatusCode::NOT_FOUND {
                        missing
                    } else {
                        routed
                    }
                }
                answer => answer,
            },
        };
        let response = if head {
            without_body(response)
        } else {
            response
        };
        self.metrics.requests.inc();
        if matches!(
            response.status(),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::GONE
        ) {
            self.metrics.denied.inc();
        }
        if response.status().is_client_error() || response.status().is_server_error() {
            self.metrics.errors.inc();
        }
        if response.status().is_server_error() {
            self.metrics.server_errors.inc();
        }
        let status = response.status();
        let shared = Arc::clone(self);
        response.map(|body| {
            let line = line.map(|line| Line { status, ..line });
            Body::new(Counted {
                body,
                line,
                sent: 0,
                shared,
            })
        })
    }

    async fn route(&self, request: Request<Incoming>, from: SocketAddr) -> Response<Body> {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(from));
        match self.routes.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    fn metrics_page(&self) -> Response<Body> {
        let mut page = String::new();
        if encode(&mut page, &self.registry).is_err() {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "failed\n");
        }
        let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        respond(StatusCode::OK, media_type, page.into())
    }
}

/// What `HEAD` gets of the answer to `GET`. On HTTP/2 hyper would send the body.
fn without_body(response: Response<Body>) -> Response<Body> {
    let (mut parts, body) = response.into_parts();
    if let Some(length) = body.size_hint().exact()
        && length > 0
    {
        let length = HeaderValue::from(length);
        parts.headers.entry(CONTENT_LENGTH).or_insert(length);
    }
    Response::from_parts(parts, Body::empty())
}

/// A body that counts what the connection takes of it, and writes the log line when it is dropped.
struct Counted {
    body: Body,
    line: Option<Line>,
    sent: u64,
    shared: Arc<Shared>,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let std::task::Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.sent += data.len() as u64;
            self.shared.metrics.sent.inc_by(data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if let Some(line) = self.line.take() {
            self.shared.log.write(&Line {
                bytes: self.sent,
                ..line
            });
        }
    }
}
