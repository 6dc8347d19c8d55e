//! One WebSocket to a control node, carrying messages.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, StatusCode};
use peerlift_wire::WireError;
use peerlift_wire::control::{
    ClientMessage, ErrorCode, PATH, SERVER_MESSAGE_BYTES_MAX, SUB_PROTOCOL, ServerMessage,
};
use socket2::{SockRef, TcpKeepalive};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
};
use url::Url;

/// Why there is no session.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The URL cannot be one of a control node.
    #[error("{0} is no address of a control node")]
    Url(Url),
    /// The node cannot be reached, or does not speak WebSocket.
    #[error("the control node cannot be reached: {0}")]
    Unreachable(#[source] Box<tungstenite::Error>),
    /// The node does not answer in time.
    #[error("the control node does not answer")]
    Timeout,
    /// The node closed the session, or the connection broke.
    #[error("the control node closed the session")]
    Closed,
    /// The node refuses the session.
    #[error("the control node refuses: {text}")]
    Refused {
        /// What kind of refusal.
        code: ErrorCode,
        /// What it says.
        text: String,
        /// When to come back.
        retry_after: Duration,
    },
    /// The node sends what is no message.
    #[error("the control node sends garbage: {0}")]
    Garbage(#[from] WireError),
    /// The node sends a message that has no place here.
    #[error("the control node makes no sense: {0}")]
    Nonsense(&'static str),
}

impl ControlError {
    /// When the node wants to hear from the client again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        if let Self::Refused { retry_after, .. } = self {
            return Some(*retry_after);
        }
        if let Self::Unreachable(error) = self
            && let tungstenite::Error::Http(response) = error.as_ref()
            && response.status() == StatusCode::SERVICE_UNAVAILABLE
        {
            return crate::http::retry_after(response.headers());
        }
        None
    }
}

/// One WebSocket to a control node.
pub(super) struct Connection(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Connection {
    pub(super) async fn open(url: &Url, tls: Connector) -> Result<Self, ControlError> {
        let mut request = socket_url(url)
            .and_then(|url| url.as_str().into_client_request().ok())
            .ok_or_else(|| ControlError::Url(url.clone()))?;
        let protocol = HeaderValue::from_static(SUB_PROTOCOL);
        request
            .headers_mut()
            .insert(http::header::SEC_WEBSOCKET_PROTOCOL, protocol);
        let config = WebSocketConfig::default()
            .max_message_size(Some(SERVER_MESSAGE_BYTES_MAX))
            .max_frame_size(Some(SERVER_MESSAGE_BYTES_MAX));
        let (socket, _) = connect_async_tls_with_config(request, Some(config), true, Some(tls))
            .await
            .map_err(unreachable)?;
        if let Err(error) = probe(socket.get_ref()) {
            tracing::debug!(%error, "the kernel does not probe the connection");
        }
        Ok(Self(socket))
    }

    pub(super) async fn send(&mut self, message: &ClientMessage) -> Result<(), ControlError> {
        let sent = self.0.send(Message::Binary(message.encode().into())).await;
        sent.map_err(|_| ControlError::Closed)
    }

    /// Says goodbye.
    pub(super) async fn close(mut self) -> Result<(), ControlError> {
        self.0.close(None).await.map_err(|_| ControlError::Closed)
    }

    /// The next message. Cancel-safe: the WebSocket keeps what it has read.
    pub(super) async fn receive(&mut self) -> Result<ServerMessage, ControlError> {
        loop {
            match self.0.next().await {
                Some(Ok(Message::Binary(bytes))) => match ServerMessage::decode(bytes) {
                    // A later version says something that this one need not know.
                    Err(WireError::UnknownKind) => {}
                    decoded => return Ok(decoded?),
                },
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Text(_))) => {
                    return Err(ControlError::Nonsense("messages are binary"));
                }
                Some(Ok(Message::Close(_) | Message::Frame(_)) | Err(_)) | None => {
                    return Err(ControlError::Closed);
                }
            }
        }
    }
}

/// Before the kernel asks whether the node is still there, how often it asks again, and how many
/// times: NATs see traffic every two minutes, and a way that is gone is noticed after three.
const PROBE_AFTER: Duration = Duration::from_secs(120);
const PROBE_EVERY: Duration = Duration::from_secs(15);
const PROBES: u32 = 4;

fn probe(stream: &MaybeTlsStream<TcpStream>) -> io::Result<()> {
    let tcp = match stream {
        MaybeTlsStream::Plain(tcp) => tcp,
        MaybeTlsStream::Rustls(tls) => tls.get_ref().0,
        // The library may learn other kinds of TLS; none is built in.
        _ => return Ok(()),
    };
    let probes = TcpKeepalive::new()
        .with_time(PROBE_AFTER)
        .with_interval(PROBE_EVERY)
        .with_retries(PROBES);
    SockRef::from(tcp).set_tcp_keepalive(&probes)
}

/// Manifests name control nodes by `http` URLs too, as relative references resolve to those.
/// A URL without a path names the machine; the path is the usual one then.
fn socket_url(url: &Url) -> Option<Url> {
    let scheme = match url.scheme() {
        "http" | "ws" => "ws",
        "https" | "wss" => "wss",
        _ => return None,
    };
    let rest = url.as_str().split_once(':')?.1;
    let mut url = Url::parse(&format!("{scheme}:{rest}")).ok()?;
    if url.path() == "/" {
        url.set_path(PATH);
    }
    Some(url)
}

/// How TLS is spoken with one node. Kept over reconnects: the machine's trust anchors take a while
/// to read, and a node that knows the client needs no signature to let it in again (RFC 8446 §2.2).
#[derive(Default)]
pub(super) struct Tls(Option<Arc<rustls::ClientConfig>>);

impl Tls {
    /// For a connection to this URL.
    pub(super) fn connector(&mut self, url: &Url) -> Result<Connector, ControlError> {
        if matches!(url.scheme(), "http" | "ws") {
            return Ok(Connector::Plain);
        }
        let config = match self.0.take() {
            Some(config) => config,
            None => crate::tls::client_config(&[b"http/1.1"])
                .map(Arc::new)
                .map_err(|error| unreachable(tungstenite::Error::Io(io::Error::other(error))))?,
        };
        self.0 = Some(Arc::clone(&config));
        Ok(Connector::Rustls(config))
    }

    /// Forgets what was read when it may be out of date: the node was not believed.
    pub(super) fn note(&mut self, error: &ControlError) {
        if let ControlError::Unreachable(error) = error
            && let tungstenite::Error::Io(error) = error.as_ref()
            && error
                .get_ref()
                .is_some_and(|inner| inner.is::<rustls::Error>())
        {
            self.0 = None;
        }
    }
}

fn unreachable(error: tungstenite::Error) -> ControlError {
    ControlError::Unreachable(Box::new(error))
}
