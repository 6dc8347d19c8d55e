//! The relay, served as an edge serves it and by axum alone.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use peerlift_control::{Relay, RelayOptions};
use peerlift_edge::{Edge, EdgeConfig, TlsFiles};
use peerlift_model::ObjectId;
use peerlift_net::peer::{PeerLink, PeerNode, PeerNodeConfig, RelayConfig};
use peerlift_net::polite::Uplink;
use peerlift_wire::PeerAddress;
use peerlift_wire::peer::{Hello, PeerMessage};
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Only a test that hangs gets here.
const TOO_LONG: Duration = Duration::from_secs(60);

/// What a client of the relay sends first.
const KNOCK: &str = "GET /relay HTTP/1.1\r\n\
    Host: relay\r\n\
    Connection: Upgrade\r\n\
    Upgrade: websocket\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Protocol: iroh-relay-v2\r\n\r\n";

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(TOO_LONG, future).await.expect("it hangs")
}

/// A relay that is served until it is dropped.
struct Served {
    relay: Option<Relay>,
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Served {
    async fn start(clients_max: usize) -> Self {
        let options = RelayOptions {
            clients_max,
            ..RelayOptions::default()
        };
        let relay = Relay::start(options).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = relay.router();
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self {
            relay: Some(relay),
            address,
            serving,
        }
    }

    fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Sends a request head; returns the answer's head and the connection after it.
    async fn request(&self, head: &str) -> (String, TcpStream) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let byte = within(stream.read_u8()).await.unwrap();
            answer.push(byte);
        }
        (String::from_utf8(answer).unwrap(), stream)
    }
}

/// A node that knows the relay at this URL and has been let in there.
async fn node(seed: u8, relay: &str) -> PeerNode {
    let config = PeerNodeConfig {
        secret: [seed; 32],
        relays: vec![RelayConfig {
            url: relay.to_owned(),
            quic_port: None,
        }],
        accept: true,
        uplink: Uplink::plain(),
    };
    let node = PeerNode::bind(config).await.unwrap();
    within(async {
        while node.address().relay.as_deref() != Some(relay) {
            node.address_changed().await;
        }
    })
    .await;
    node
}

fn hello(agent: &str) -> PeerMessage {
    PeerMessage::Hello(Hello {
        object: ObjectId::new([3; 32]),
        ticket: None,
        share: true,
        agent: agent.to_owned(),
    })
}

async fn say_hello(link: &PeerLink, dials: bool) {
    let (mut sender, mut receiver) = link.control().await.unwrap();
    if dials {
        sender.send(&hello("dialler")).await.unwrap();
        assert_eq!(receiver.next().await, Ok(Some(hello("listener"))));
    } else {
        assert_eq!(receiver.next().await, Ok(Some(hello("dialler"))));
        sender.send(&hello("listener")).await.unwrap();
    }
}

/// Two nodes that know only the relay connect and talk.
async fn meet(relay: &str) {
    let (dialler, listener) = (node(1, relay).await, node(2, relay).await);
    let place = PeerAddress {
        direct: Vec::new(),
        relay: listener.address().relay,
        tcp_port: None,
    };
    let dialling = async {
        let link = dialler.connect(listener.id(), &place).await.unwrap();
        say_hello(&link, true).await;
        link
    };
    let listening = async {
        let link = listener.accept().await.unwrap().link().await.unwrap();
        say_hello(&link, false).await;
        link
    };
    let (dialled, heard) = within(async { tokio::join!(dialling, listening) }).await;
    assert_eq!(dialled.peer(), listener.id());
    assert_eq!(heard.peer(), dialler.id());
}

#[tokio::test]
async fn peers_that_know_only_the_relay_meet() {
    let served = Served::start(10).await;
    meet(&served.url()).await;
}

/// Two nodes meet at a relay behind an edge.
async fn meet_behind_an_edge(tls: Option<TlsFiles>) {
    let scheme = if tls.is_some() { "https" } else { "http" };
    let relay = Relay::start(RelayOptions::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let mut config = EdgeConfig::new(folder.path().to_owned(), listen);
    config.routes = relay.router();
    config.tls = tls;
    let edge = Edge::bind(config, Registry::default()).await.unwrap();
    let url = format!("{scheme}://{}/", edge.addresses()[0]);
    let stop = CancellationToken::new();
    let serving = tokio::spawn(edge.serve(stop.clone()));
    meet(&url).await;
    stop.cancel();
    within(serving).await.unwrap().unwrap();
    within(relay.shutdown()).await;
}

#[tokio::test]
async fn peers_meet_behind_an_edge() {
    meet_behind_an_edge(None).await;
}

/// The machine's trust anchors are read from the environment, so this runs in a process of its own.
#[tokio::test]
async fn peers_meet_behind_https_that_the_machine_trusts() {
    const TLS: &str = "PEERLIFT_TEST_TLS";
    if let Some(folder) = std::env::var_os(TLS).map(PathBuf::from) {
        let certificates = folder.join("cert.pem");
        let key = folder.join("key.pem");
        meet_behind_an_edge(Some(TlsFiles { certificates, key })).await;
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let certificate = folder.path().join("cert.pem");
    fs::write(&certificate, made.cert.pem()).unwrap();
    let key = made.signing_key.serialize_pem();
    fs::write(folder.path().join("key.pem"), key).unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "peers_meet_behind_https_that_the_machine_trusts"])
        .env(TLS, folder.path())
        .env("SSL_CERT_FILE", &certificate)
        .env_remove("SSL_CERT_DIR")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("1 passed"), "{said}");
}

#[tokio::test]
async fn clients_measure_how_far_it_is() {
    let served = Served::start(10).await;
    let (head, _) = served
        .request("GET /ping HTTP/1.1\r\nHost: relay\r\n\r\n")
        .await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    assert!(head.contains("access-control-allow-origin: *"), "{head}");
}

#[tokio::test]
async fn a_request_that_is_no_upgrade_opens_nothing() {
    let served = Served::start(1).await;
    for head in [
        "GET /relay HTTP/1.1\r\nHost: relay\r\n\r\n".to_owned(),
        KNOCK.replace("websocket", "other"),
        KNOCK.replace("iroh-relay-v2", "other"),
        KNOCK.replace("Version: 13", "Version: 12"),
    ] {
        let (answer, _) = served.request(&head).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    // And keeps no place.
    let (answer, _) = served.request(KNOCK).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
}

#[tokio::test]
async fn clients_above_the_limit_are_sent_away_until_one_goes() {
    let served = Served::start(2).await;
    let node = node(1, &served.url()).await;
    let (answer, second) = served.request(KNOCK).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    let (answer, _) = served.request(KNOCK).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    drop(second);
    // The relay takes note in its own time.
    let deadline = Instant::now() + TOO_LONG;
    loop {
        let (answer, _third) = served.request(KNOCK).await;
        if answer.starts_with("HTTP/1.1 101 ") {
            break;
        }
        assert!(Instant::now() < deadline, "it stays {answer}");
        sleep(Duration::from_millis(10)).await;
    }
    assert!(node.address().relay.is_some());
}

#[tokio::test]
async fn who_speaks_no_relay_protocol_is_hung_up_on() {
    let served = Served::start(1).await;
    let (answer, mut stream) = served.request(KNOCK).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    stream.write_all(&[0xff; 100]).await.unwrap();
    let mut rest = Vec::new();
    // However it hangs up.
    let _ = within(stream.read_to_end(&mut rest)).await;
    // Its place is free again.
    let node = node(1, &served.url()).await;
    within(node.close()).await;
}

#[tokio::test]
async fn the_end_of_the_relay_ends_its_connections() {
    let mut served = Served::start(10).await;
    let (_, mut stream) = served.request(KNOCK).await;
    let relay = served.relay.take().unwrap();
    within(relay.shutdown()).await;
    let mut rest = Vec::new();
    // However it hangs up.
    let _ = within(stream.read_to_end(&mut rest)).await;
    // Whoever comes late is told.
    let (answer, _) = served.request(KNOCK).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
}
