//! A control node on a loopback port; sessions with it as a client keeps them, and as a stranger
//! with a WebSocket might.

#![allow(dead_code, reason = "every test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use peerlift_control::{ControlConfig, ControlNode};
use peerlift_model::{NatClass, ObjectId, PeerId};
use peerlift_net::control::{ControlEvent, ControlSession, Identity};
use peerlift_wire::PeerAddress;
use peerlift_wire::control::{
    Challenge, ClientMessage, ErrorCode, Introductions, Login, PATH, Query, SUB_PROTOCOL,
    ServerMessage,
};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

/// Only a test that hangs gets here.
pub(crate) const TOO_LONG: Duration = Duration::from_secs(60);

pub(crate) const OBJECT: ObjectId = ObjectId::new([3; 32]);

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(TOO_LONG, future).await.expect("it hangs")
}

/// A node that is served until it is stopped or dropped.
pub(crate) struct Served {
    pub(crate) node: ControlNode,
    pub(crate) address: SocketAddr,
    registry: Registry,
    serving: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Served {
    pub(crate) async fn start() -> Self {
        Self::start_with(ControlConfig::new([9; 32])).await
    }

    pub(crate) async fn start_with(config: ControlConfig) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), config).await
    }

    pub(crate) async fn start_at(address: SocketAddr, config: ControlConfig) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut registry = Registry::default();
        let node = ControlNode::start(config, &mut registry);
        let service = node
            .router()
            .into_make_service_with_connect_info::<SocketAddr>();
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, service).await;
        });
        Self {
            node,
            address,
            registry,
            serving,
        }
    }

    /// Ends the node and waits until its port is free.
    pub(crate) async fn stop(mut self) -> SocketAddr {
        within(self.node.shutdown()).await;
        self.serving.abort();
        let _ = within(&mut self.serving).await;
        self.address
    }

    pub(crate) fn url(&self) -> Url {
        Url::parse(&format!("ws://{}{PATH}", self.address)).unwrap()
    }

    /// Waits until the metrics have this line: the core takes note in its own time.
    pub(crate) async fn until(&self, line: &str) {
        self.until_some(line, |found| found == line).await;
    }

    /// Waits until a counter with that label has counted.
    pub(crate) async fn until_counted(&self, name: &str, label: &str) {
        let label = format!("=\"{label}\"");
        let matches = |found: &str| found.starts_with(name) && found.contains(&label);
        self.until_some(name, matches).await;
    }

    /// All metrics.
    pub(crate) fn metrics(&self) -> String {
        let mut page = String::new();
        encode(&mut page, &self.registry).unwrap();
        page
    }

    pub(crate) async fn until_some(&self, line: &str, matches: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + TOO_LONG;
        loop {
            let page = self.metrics();
            if page.lines().any(&matches) {
                return;
            }
            assert!(Instant::now() < deadline, "no {line} in {page}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// A client with a key made of `seed` that can be reached at `127.0.0.1:seed`.
    pub(crate) async fn client(&self, seed: u8, share: bool) -> Client {
        let mut client = Client::start(self.url(), seed, share);
        client.session.address(place(seed)).await;
        client.connected().await;
        client
    }

    pub(crate) async fn stranger(&self) -> Stranger {
        self.stranger_from([127, 0, 0, 1]).await
    }

    /// A stranger with this address.
    pub(crate) async fn stranger_from(&self, address: [u8; 4]) -> Stranger {
        let mut request = self.url().as_str().into_client_request().unwrap();
        let protocol = SUB_PROTOCOL.parse().unwrap();
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((address, 0).into()).unwrap();
        let stream = within(socket.connect(self.address)).await.unwrap();
        let (socket, _) = within(client_async(request, stream)).await.unwrap();
        Stranger(socket)
    }
}

pub(crate) fn place(seed: u8) -> PeerAddress {
    PeerAddress {
        direct: vec![SocketAddr::from(([127, 0, 0, 1], seed.into()))],
        relay: None,
        tcp_port: Some(seed.into()),
    }
}

pub(crate) fn peer(seed: u8) -> PeerId {
    PeerId::new(key(seed).verifying_key().to_bytes())
}

pub(crate) fn key(seed: u8) -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[seed; 32])
}

/// The client's side as `peerlift-net` keeps it.
pub(crate) struct Client {
    pub(crate) session: ControlSession,
    pub(crate) events: mpsc::Receiver<ControlEvent>,
    pub(crate) stop: CancellationToken,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Client {
    pub(crate) fn start(url: Url, seed: u8, share: bool) -> Self {
        let identity = Identity {
            key_seed: [seed; 32],
            agent: "test/1".to_owned(),
            share,
        };
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let (session, events) = ControlSession::start(url, identity, &tasks, stop.clone());
        Self {
            session,
            events,
            stop,
        }
    }

    pub(crate) async fn event(&mut self) -> ControlEvent {
        within(self.events.recv()).await.unwrap()
    }

    pub(crate) async fn connected(&mut self) {
        let event = self.event().await;
        assert!(matches!(event, ControlEvent::Connected { .. }), "{event:?}");
    }

    pub(crate) async fn introductions(&mut self) -> Introductions {
        let event = self.event().await;
        let ControlEvent::Introductions(introductions) = event else {
            panic!("{event:?}")
        };
        introductions
    }

    pub(crate) async fn ask(&mut self) -> Introductions {
        self.session.query(OBJECT, 10, Vec::new()).await;
        self.introductions().await
    }
}

/// A WebSocket without manners.
pub(crate) struct Stranger(WebSocketStream<TcpStream>);

impl Stranger {
    pub(crate) async fn send(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        within(self.0.send(Message::Binary(bytes.into()))).await
    }

    pub(crate) async fn send_text(&mut self, text: &str) -> Result<(), Error> {
        within(self.0.send(Message::Text(text.into()))).await
    }

    /// The next message; `None` once the node has hung up.
    pub(crate) async fn receive(&mut self) -> Option<ServerMessage> {
        loop {
            match within(self.0.next()).await {
                Some(Ok(Message::Binary(bytes))) => {
                    return Some(ServerMessage::decode(bytes).unwrap());
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(other)) => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn challenge(&mut self) -> Challenge {
        match self.receive().await {
            Some(ServerMessage::Challenge(challenge)) => challenge,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn log_in(&mut self, seed: u8) {
        let challenge = self.challenge().await;
        let login = ClientMessage::Login(login(seed, &challenge)).encode();
        self.send(login).await.unwrap();
        let welcome = self.receive().await;
        assert!(
            matches!(welcome, Some(ServerMessage::Welcome(_))),
            "{welcome:?}"
        );
    }

    /// Asks for [`OBJECT`].
    pub(crate) async fn ask(&mut self) -> Introductions {
        self.ask_for(OBJECT).await
    }

    /// Asks for forty holders. What else is told in between is passed over.
    pub(crate) async fn ask_for(&mut self, object: ObjectId) -> Introductions {
        let query = Query {
            object,
            max: 40,
            known: Vec::new(),
        };
        self.send(ClientMessage::Query(query).encode())
            .await
            .unwrap();
        loop {
            if let ServerMessage::Introductions(answer) = self.receive().await.unwrap()
                && answer.spread.is_some()
            {
                return answer;
            }
        }
    }

    /// What the node says of a mistake, after which it hangs up.
    pub(crate) async fn refusal(&mut self) -> ErrorCode {
        let Some(ServerMessage::Error { code, .. }) = self.receive().await else {
            panic!("no error")
        };
        assert_eq!(self.receive().await, None);
        code
    }
}

pub(crate) fn login(seed: u8, challenge: &Challenge) -> Login {
    Login {
        peer: peer(seed),
        signature: Login::sign(&key(seed), challenge),
        agent: "test/1".to_owned(),
        share: true,
        address: place(seed),
        nat: NatClass::Unknown,
        resume: None,
    }
}
