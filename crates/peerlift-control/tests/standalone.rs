//! A node of its own: its door, and what operators do with it.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::{Method, StatusCode};
use common::{Client, OBJECT, within};
use peerlift_control::admin::{admin_routes, ask};
use peerlift_control::{Atlas, ControlConfig, ControlNode, ControlServer, ServerOptions};
use peerlift_net::control::ControlEvent;
use peerlift_wire::control::{PATH, SUB_PROTOCOL};
use prometheus_client::registry::Registry;
use rustls::HandshakeKind;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use url::Url;

struct Alone {
    node: ControlNode,
    address: SocketAddr,
    admin: SocketAddr,
    stop: CancellationToken,
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Alone {
    async fn start(config: ControlConfig) -> Self {
        Self::start_with(config, None).await
    }

    async fn start_with(config: ControlConfig, tls: Option<rustls::ServerConfig>) -> Self {
        let mut registry = Registry::default();
        let node = ControlNode::start(config, &mut registry);
        let options = ServerOptions {
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            tls,
            routes: axum::Router::new(),
        };
        let server = ControlServer::bind(node.clone(), options).unwrap();
        let address = server.addresses()[0];
        let stop = CancellationToken::new();
        tokio::spawn(server.serve(stop.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin = listener.local_addr().unwrap();
        let routes = admin_routes(&node, registry);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self {
            node,
            address,
            admin,
            stop,
        }
    }

    fn url(&self) -> Url {
        Url::parse(&format!("ws://{}/", self.address)).unwrap()
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> (StatusCode, String) {
        let asked = ask(self.admin, method, path, body.to_owned());
        within(asked).await.unwrap()
    }
}

async fn connected(client: &mut Client) {
    let event = client.event().await;
    assert!(matches!(event, ControlEvent::Connected { .. }), "{event:?}");
}

#[tokio::test]
async fn silent_connections_do_not_keep_clients_out() {
    let alone = Alone::start(ControlConfig::new([9; 32])).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(TcpStream::connect(alone.address).await.unwrap());
    }
    let mut client = Client::start(alone.url(), 1, true);
    connected(&mut client).await;
}

fn some_tls() -> rustls::ServerConfig {
    tls_and_certificate().0
}

fn tls_and_certificate() -> (rustls::ServerConfig, CertificateDer<'static>) {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = own.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(own.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    (config, certificate)
}

/// Asks for something over TLS; how much of a handshake that took.
async fn visit(address: SocketAddr, client: &TlsConnector) -> HandshakeKind {
    let tcp = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = within(client.connect(name, tcp)).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    tls.write_all(request).await.unwrap();
    // What the node gives to resume by comes before the answer.
    within(tls.read_to_end(&mut Vec::new())).await.unwrap();
    tls.get_ref().1.handshake_kind().unwrap()
}

#[tokio::test]
async fn who_was_here_before_a_thousand_others_is_let_in_without_a_signature() {
    let (tls, certificate) = tls_and_certificate();
    let alone = Alone::start_with(ControlConfig::new([9; 32]), Some(tls)).await;
    let client = || {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    };
    let first = client();
    assert_eq!(visit(alone.address, &first).await, HandshakeKind::Full);
    for _ in 0..1000 {
        let kind = visit(alone.address, &client()).await;
        assert_eq!(kind, HandshakeKind::Full);
    }
    assert_eq!(visit(alone.address, &first).await, HandshakeKind::Resumed);
}

/// Says one byte after the other, each before anybody could call it silent, until it is hung up on.
async fn trickle(address: SocketAddr, opening: &[u8], bytes: impl Iterator<Item = u8>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(opening).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let mut heard = Vec::new();
    let hung_up = async {
        // A reset is an end, too.
        let _ = reader.read_to_end(&mut heard).await;
    };
    let talk = async {
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(100));
        for byte in bytes {
            pace.tick().await;
            if writer.write_all(&[byte]).await.is_err() {
                break;
            }
        }
        // Hung up on, which the other side of this notices.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = within(hung_up) => {}
        () = talk => {}
    }
}

#[tokio::test]
async fn who_trickles_a_login_is_hung_up_on() {
    let plain = Alone::start(ControlConfig::new([9; 32])).await;
    let tls = Alone::start_with(ControlConfig::new([9; 32]), Some(some_tls())).await;
    let upgrade = format!(
        "GET {PATH} HTTP/1.1\r\nHost: node\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\
         Sec-WebSocket-Protocol: {SUB_PROTOCOL}\r\n\r\n"
    );
    // A binary frame (RFC 6455 §5.2) of 8000 bytes; a record (RFC 8446 §5.1) of 4000.
    let frame = [0x82, 0xFE, 0x1F, 0x40, 0, 0, 0, 0];
    let record = [22, 3, 1, 0x0F, 0xA0, 1, 0, 0x0F, 0x9C];
    let endless = || std::iter::repeat(b'a');
    tokio::join!(
        trickle(plain.address, b"GET /", endless()),
        trickle(
            plain.address,
            upgrade.as_bytes(),
            frame.into_iter().chain(endless())
        ),
        trickle(tls.address, b"", record.into_iter().chain(endless())),
        async {
            let mut client = Client::start(plain.url(), 1, true);
            connected(&mut client).await;
        }
    );
}

#[tokio::test]
async fn what_is_no_request_is_hung_up_on() {
    let alone = Alone::start(ControlConfig::new([9; 32])).await;
    let mut stream = TcpStream::connect(alone.address).await.unwrap();
    stream.write_all(&[0xFF; 20_000]).await.unwrap();
    let mut answer = Vec::new();
    // A reset is an end, too.
    let _ = within(stream.read_to_end(&mut answer)).await;
    assert!(!answer.starts_with(b"HTTP/1.1 101"), "{answer:?}");
    let mut client = Client::start(alone.url(), 1, true);
    connected(&mut client).await;
}

#[tokio::test]
async fn logins_beyond_the_rate_are_told_when_to_come_back() {
    let config = ControlConfig {
        logins_per_s: 1,
        ..ControlConfig::new([9; 32])
    };
    let alone = Alone::start(config).await;
    let mut first = Client::start(alone.url(), 1, true);
    connected(&mut first).await;
    let mut second = Client::start(alone.url(), 2, true);
    let event = second.event().await;
    let ControlEvent::Lost { error, .. } = event else {
        panic!("{event:?}")
    };
    let retry_after = error.retry_after().unwrap();
    assert!(retry_after.as_secs() >= 2, "{retry_after:?}");
}

#[tokio::test]
async fn many_more_than_can_log_in_are_refused_before_anything_is_said() {
    let config = ControlConfig {
        logins_per_s: 2,
        ..ControlConfig::new([9; 32])
    };
    let alone = Alone::start_with(config, Some(some_tls())).await;
    // Nobody says a word: who is not refused is waited for.
    let knock = async || {
        let mut stream = TcpStream::connect(alone.address).await?;
        stream.read(&mut [0]).await
    };
    let knocking = (0..200).map(|_| Box::pin(knock()));
    let (refused, ..) = within(futures_util::future::select_all(knocking)).await;
    let kind = refused.map_err(|error| error.kind());
    assert_eq!(kind, Err(std::io::ErrorKind::ConnectionReset));
    let (_, page) = alone.ask(Method::GET, "/metrics", "").await;
    assert!(
        !page.contains("peerlift_control_resets_total 0\n"),
        "{page}"
    );
}

#[tokio::test]
async fn a_wrong_policy_changes_nothing_and_the_answer_names_the_line() {
    let alone = Alone::start(ControlConfig::new([9; 32])).await;
    let good = "[selection]\npeers = 7\n";
    let (status, _) = alone.ask(Method::PUT, "/policy", good).await;
    assert_eq!(status, StatusCode::OK);
    let wrong = "[selection]\npeers = 700\n";
    let (status, text) = alone.ask(Method::PUT, "/policy", wrong).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.starts_with("line 2: "), "{text}");
    let (status, text) = alone.ask(Method::POST, "/policy/preview", good).await;
    assert_eq!(status, StatusCode::OK);
    assert!(text.contains("\"before\""), "{text}");
}

#[tokio::test]
async fn what_changes_something_wants_the_operators_header() {
    let alone = Alone::start(ControlConfig::new([9; 32])).await;
    let mut stream = TcpStream::connect(alone.admin).await.unwrap();
    let request = b"POST /flush HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[tokio::test]
async fn an_operator_forbids_an_object() {
    let alone = Alone::start(ControlConfig::new([9; 32])).await;
    let mut seeder = Client::start(alone.url(), 1, true);
    connected(&mut seeder).await;
    seeder.session.announce(OBJECT, true).await;
    // The announcement and the order come by different ways.
    let held = |core: &mut peerlift_control::Rendezvous, _| core.holders(OBJECT);
    while within(alone.node.visit(held)).await != Some(1) {
        tokio::task::yield_now().await;
    }
    let path = format!("/blocked/{OBJECT}");
    let (status, _) = alone.ask(Method::PUT, &path, "").await;
    assert_eq!(status, StatusCode::OK);
    // The list for everybody and the word to those who have it come by different ways.
    let mut heard = [false; 2];
    while heard != [true; 2] {
        match seeder.event().await {
            ControlEvent::BlockList(list) => heard[0] |= list.objects == [OBJECT],
            ControlEvent::Blocked { object } => heard[1] |= object == OBJECT,
            other @ (ControlEvent::Connected { .. }
            | ControlEvent::Introductions(_)
            | ControlEvent::Denied { .. }
            | ControlEvent::TicketKeys { .. }
            | ControlEvent::Lost { .. }) => panic!("{other:?}"),
        }
    }
    let publisher = "/blocked/publishers/".to_owned() + &"01".repeat(32);
    assert_eq!(
        alone.ask(Method::PUT, &publisher, "").await.0,
        StatusCode::OK
    );
    let (_, list) = alone.ask(Method::GET, "/blocked", "").await;
    let one = "01".repeat(32);
    let want = format!("{{\"objects\":[\"{OBJECT}\"],\"publishers\":[\"{one}\"]}}\n");
    assert_eq!(list, want);
    let (status, _) = alone.ask(Method::PUT, "/blocked/nonsense", "").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_node_that_drains_is_not_ready_and_its_clients_go() {
    let alone = Alone::start(ControlConfig::new([9; 32])).await;
    let mut client = Client::start(alone.url(), 1, true);
    connected(&mut client).await;
    let ready = alone.ask(Method::GET, "/readyz", "").await;
    assert_eq!(ready.0, StatusCode::OK);
    let (status, _) = alone.ask(Method::POST, "/drain?seconds=1", "").await;
    assert_eq!(status, StatusCode::OK);
    let event = client.event().await;
    assert!(matches!(event, ControlEvent::Lost { .. }), "{event:?}");
    let ready = alone.ask(Method::GET, "/readyz", "").await;
    assert_eq!(ready.0, StatusCode::SERVICE_UNAVAILABLE);
    let alive = alone.ask(Method::GET, "/healthz", "").await;
    assert_eq!(alive.0, StatusCode::OK);
}

#[test]
fn a_database_that_is_none_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("asn.mmdb");
    std::fs::write(&path, b"not a database").unwrap();
    let mut atlas = Atlas::default();
    let error = atlas.read_asn(&path).unwrap_err();
    assert!(error.to_string().contains("asn.mmdb"), "{error}");
    let here = Some([192, 0, 2, 1].into());
    assert_eq!(atlas.network(here), Atlas::default().network(here));
}
