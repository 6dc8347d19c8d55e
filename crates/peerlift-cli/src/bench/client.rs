//! One client of the load: a WebSocket over TLS from an address of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use futures_util::{SinkExt, StreamExt};
use peerlift_model::{NatClass, ObjectId, PeerId};
use peerlift_wire::PeerAddress;
use peerlift_wire::control::{
    ClientMessage, Login, PATH, Query, SERVER_MESSAGE_BYTES_MAX, SUB_PROTOCOL, ServerMessage,
};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// How long a client waits for anything: as long as ours do.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// How long a client listens before it begins TLS, where many are turned away: a node that has no
/// place for a connection resets it as soon as it takes it from the kernel.
const AT_THE_DOOR: Duration = Duration::from_millis(50);

/// Servers that a client remembers to resume by: there is one.
const SERVERS: usize = 1;

/// What introductions begin with: the tag of field 3 in a server's message, which is of bytes.
const ANSWER: u8 = (3 << 3) | 2;

/// What is read at once. Of an answer that names forty peers the most.
const READ_BYTES: usize = 8 * 1024;

/// What went wrong, for a person who reads the result.
pub(super) type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// Where the node is, and how to believe it.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) address: SocketAddr,
    tls: Arc<rustls::ClientConfig>,
    runtime_seed: u64,
}

impl Target {
    pub(super) fn new(
        address: SocketAddr,
        certificate: rustls::pki_types::CertificateDer<'static>,
    ) -> Result<Self, Trouble> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // Every login is a full handshake, as of a client that comes for the first time.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self {
            address,
            tls: Arc::new(config),
            runtime_seed: u64::from(std::process::id()) << 32,
        })
    }

    /// The same for clients that keep what the node gives them to resume by.
    pub(super) fn that_resumes(&self) -> Self {
        let mut config = rustls::ClientConfig::clone(&self.tls);
        config.resumption = rustls::client::Resumption::in_memory_sessions(SERVERS);
        Self {
            tls: Arc::new(config),
            ..self.clone()
        }
    }

    fn key(&self, number: u32) -> SigningKey {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&(self.runtime_seed + u64::from(number)).to_be_bytes());
        SigningKey::from_bytes(&seed)
    }
}

/// A session.
pub(super) struct Client {
    socket: WebSocketStream<TlsStream<TcpStream>>,
}

impl Client {
    /// Connects and logs in as the client of that number, which shares.
    pub(super) async fn log_in(target: &Target, number: u32) -> Result<Self, Trouble> {
        timeout(PATIENCE, Self::try_log_in(target, number)).await?
    }

    /// The same, but listens for a moment whether the node hangs up before anything is said: who is
    /// turned away so has spent nothing on TLS, and ten times as many can be tried.
    pub(super) async fn knock(target: &Target, number: u32) -> Result<Self, Trouble> {
        let knock = async {
            let tcp = connect(target, number).await?;
            if timeout(AT_THE_DOOR, tcp.readable()).await.is_ok() {
                return Err("turned away".into());
            }
            Self::speak(target, number, tcp).await
        };
        timeout(PATIENCE, knock).await?
    }

    async fn try_log_in(target: &Target, number: u32) -> Result<Self, Trouble> {
        let tcp = connect(target, number).await?;
        Self::speak(target, number, tcp).await
    }

    async fn speak(target: &Target, number: u32, tcp: TcpStream) -> Result<Self, Trouble> {
        let name = rustls::pki_types::ServerName::try_from("localhost")?;
        let connector = TlsConnector::from(Arc::clone(&target.tls));
        let tls = connector.connect(name, tcp).await?;
        let mut request = format!("ws://localhost{PATH}").into_client_request()?;
        let protocol = http::HeaderValue::from_static(SUB_PROTOCOL);
        request
            .headers_mut()
            .insert(http::header::SEC_WEBSOCKET_PROTOCOL, protocol);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_message_size(Some(SERVER_MESSAGE_BYTES_MAX));
        let (socket, _) = client_async_with_config(request, tls, Some(config)).await?;
        let mut client = Self { socket };
        let ServerMessage::Challenge(challenge) = client.receive().await? else {
            return Err("the first message is no challenge".into());
        };
        let key = target.key(number);
        let login = Login {
            peer: PeerId::new(key.verifying_key().to_bytes()),
            signature: Login::sign(&key, &challenge),
            agent: "peerlift-bench/1".to_owned(),
            share: true,
            address: PeerAddress {
                direct: vec![SocketAddr::from((loopback(number), 4433))],
                relay: None,
                tcp_port: None,
            },
            nat: NatClass::Easy,
            resume: None,
        };
        client.send(&ClientMessage::Login(login)).await?;
        let answer = client.receive().await?;
        let ServerMessage::Welcome(_) = answer else {
            return Err(format!("no welcome but {answer:?}").into());
        };
        Ok(client)
    }

    pub(super) async fn announce(&mut self, object: ObjectId) -> Result<(), Trouble> {
        let complete = true;
        self.send(&ClientMessage::Announce { object, complete })
            .await
    }

    pub(super) async fn withdraw(&mut self, object: ObjectId) -> Result<(), Trouble> {
        self.send(&ClientMessage::Withdraw { object }).await
    }

    /// Says goodbye: the node forgets it at once.
    pub(super) async fn leave(mut self) -> Result<(), Trouble> {
        Ok(self.socket.close(None).await?)
    }

    /// Asks, and waits for the answer, of which it looks at the kind alone: what a client makes of it
    /// is its own processor's work, and here it would be taken from the node's.
    pub(super) async fn ask(&mut self, object: ObjectId) -> Result<(), Trouble> {
        let query = Query {
            object,
            max: 40,
            known: Vec::new(),
        };
        self.send(&ClientMessage::Query(query)).await?;
        loop {
            let message = timeout(PATIENCE, self.receive_bytes()).await??;
            if message.first() == Some(&ANSWER) {
                return Ok(());
            }
            if let ServerMessage::Error { text, .. } = ServerMessage::decode(message)? {
                return Err(text.into());
            }
        }
    }

    pub(super) async fn ping(&mut self) -> Result<(), Trouble> {
        self.send(&ClientMessage::Ping).await?;
        let answer = timeout(PATIENCE, self.receive()).await??;
        if answer == ServerMessage::Pong {
            Ok(())
        } else {
            Err(format!("no pong but {answer:?}").into())
        }
    }

    async fn send(&mut self, message: &ClientMessage) -> Result<(), Trouble> {
        let frame = Message::Binary(message.encode().into());
        Ok(self.socket.send(frame).await?)
    }

    pub(super) async fn receive(&mut self) -> Result<ServerMessage, Trouble> {
        Ok(ServerMessage::decode(self.receive_bytes().await?)?)
    }

    async fn receive_bytes(&mut self) -> Result<Bytes, Trouble> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Binary(bytes))) => return Ok(bytes),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => return Err("the node hung up".into()),
            }
        }
    }
}

async fn connect(target: &Target, number: u32) -> Result<TcpStream, Trouble> {
    let tcp = TcpSocket::new_v4()?;
    tcp.bind(SocketAddr::from((loopback(number), 0)))?;
    let tcp = tcp.connect(target.address).await?;
    tcp.set_nodelay(true)?;
    Ok(tcp)
}

/// Each client comes from an address of its own: 127.1.0.0 and up.
fn loopback(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from_be_bytes([127, 1, 0, 0]) + number % 0x00F0_0000)
}
