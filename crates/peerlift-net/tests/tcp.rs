//! Links over TCP, with strangers who speak TLS but not the protocol, or not even TLS.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use peerlift_model::{GroupRange, PeerId};
use peerlift_net::peer::{
    Path, PeerLink, PeerLinkError, PeerNode, PeerNodeConfig, RangeAnswer, Transport,
};
use peerlift_net::polite::Uplink;
use peerlift_wire::PeerAddress;
use peerlift_wire::parcel::{Parcel, ParcelDecoder};
use peerlift_wire::peer::{ALPN, Goodbye, PeerMessage, RangeRequest, RangeStatus};
use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime, alg_id};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Only a test that hangs gets here.
const TOO_LONG: Duration = Duration::from_secs(60);

const LISTENER: u8 = 2;
const STRANGER: u8 = 8;

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(TOO_LONG, future).await.expect("it hangs")
}

async fn node(seed: u8, accept: bool) -> PeerNode {
    let config = PeerNodeConfig {
        secret: [seed; 32],
        relays: Vec::new(),
        accept,
        uplink: Uplink::polite(),
    };
    PeerNode::bind(config).await.unwrap()
}

fn id(seed: u8) -> PeerId {
    let key = SigningKey::from_bytes(&[seed; 32]);
    PeerId::new(key.verifying_key().to_bytes())
}

fn tcp_place(node: &PeerNode) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, node.address().tcp_port.unwrap()).into()
}

fn udp_place(node: &PeerNode) -> SocketAddr {
    let sockets = node.sockets();
    let socket = sockets.iter().find(|socket| socket.is_ipv4()).unwrap();
    (Ipv4Addr::LOCALHOST, socket.port()).into()
}

/// A UDP port at which nobody answers: it is held for as long as the socket lives.
async fn deaf() -> (tokio::net::UdpSocket, SocketAddr) {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let place = socket.local_addr().unwrap();
    (socket, place)
}

async fn accept(node: &PeerNode) -> Result<PeerLink, PeerLinkError> {
    within(node.accept()).await.unwrap().link().await
}

fn misbehaved<T: std::fmt::Debug>(result: Result<T, PeerLinkError>) {
    assert!(
        matches!(result, Err(PeerLinkError::Misbehaved(_))),
        "{result:?}"
    );
}

fn request() -> RangeRequest {
    RangeRequest::whole(GroupRange::new(64, 128))
}

#[tokio::test]
async fn a_peer_that_can_be_reached_by_tcp_is() {
    let (dialler, listener) = (node(1, false).await, node(LISTENER, true).await);
    let (_deaf, nowhere) = deaf().await;
    let place = PeerAddress {
        direct: vec![nowhere],
        relay: None,
        tcp_port: listener.address().tcp_port,
    };
    let (dialled, accepted) =
        tokio::join!(dialler.connect(id(LISTENER), &place), accept(&listener));
    let (dialled, accepted) = (dialled.unwrap(), accepted.unwrap());
    assert_eq!((dialled.peer(), accepted.peer()), (id(LISTENER), id(1)));
    for link in [&dialled, &accepted] {
        assert_eq!(link.transport(), Transport::Tcp);
        assert_eq!(link.path(), Path::Direct);
        assert!(link.rtt().is_some());
    }
}

#[tokio::test]
async fn the_tcp_port_is_that_of_udp_when_it_is_free() {
    let listener = node(LISTENER, true).await;
    let udp: Vec<u16> = listener.sockets().iter().map(SocketAddr::port).collect();
    let port = listener.address().tcp_port.unwrap();
    let taken = std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, udp[0])).is_err();
    assert!(taken || !udp.contains(&port), "{port} of {udp:?}");
}

#[tokio::test]
async fn without_a_listener_at_tcp_quic_does_it() {
    let (dialler, listener) = (node(1, true).await, node(LISTENER, true).await);
    // Nobody listens at this port while it is bound.
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let place = PeerAddress {
        direct: vec![udp_place(&listener)],
        relay: None,
        tcp_port: Some(closed.local_addr().unwrap().port()),
    };
    let (dialled, accepted) =
        tokio::join!(dialler.connect(id(LISTENER), &place), accept(&listener));
    assert_eq!(dialled.unwrap().transport(), Transport::Quic);
    assert_eq!(accepted.unwrap().transport(), Transport::Quic);
}

#[tokio::test]
async fn another_key_at_tcp_is_not_the_peer() {
    let (dialler, listener) = (node(1, true).await, node(LISTENER, true).await);
    let impostor = node(9, true).await;
    let place = PeerAddress {
        direct: vec![udp_place(&listener)],
        relay: None,
        tcp_port: impostor.address().tcp_port,
    };
    let (dialled, accepted, refused) = tokio::join!(
        dialler.connect(id(LISTENER), &place),
        accept(&listener),
        accept(&impostor)
    );
    assert_eq!(dialled.unwrap().transport(), Transport::Quic);
    assert_eq!(accepted.unwrap().peer(), id(1));
    misbehaved(refused);
}

#[tokio::test]
async fn whoever_does_not_share_listens_at_no_tcp_port() {
    let closed = node(LISTENER, false).await;
    assert_eq!(closed.address().tcp_port, None);
    for socket in closed.sockets() {
        let place = (Ipv4Addr::LOCALHOST, socket.port());
        assert!(TcpStream::connect(place).await.is_err(), "{place:?}");
    }
}

#[tokio::test]
async fn a_closed_node_ends_its_links_over_tcp() {
    let (node, mut stranger, link) = met().await;
    within(node.close()).await;
    assert_eq!(within(link.closed()).await, PeerLinkError::Closed);
    assert_eq!(within(stranger.next()).await, Some(Parcel::Close));
    assert_eq!(within(stranger.next()).await, None);
}

#[tokio::test]
async fn what_is_no_tls_is_turned_away() {
    let node = node(LISTENER, true).await;
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        &[0; 100],
        &[0x16, 3, 1, 0xff, 0xff],
    ] {
        let mut stream = TcpStream::connect(tcp_place(&node)).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        misbehaved(accept(&node).await);
    }
}

#[tokio::test]
async fn a_stranger_who_says_nothing_is_waited_for_a_while() {
    let node = node(LISTENER, true).await;
    let mut stream = TcpStream::connect(tcp_place(&node)).await.unwrap();
    let stranger = within(node.accept()).await.unwrap();
    // One byte of a hello, and no more: a "slow loris".
    stream.write_all(&[0x16]).await.unwrap();
    tokio::time::pause();
    assert_eq!(stranger.link().await.unwrap_err(), PeerLinkError::Timeout);
}

#[tokio::test]
async fn strangers_can_be_sent_away_before_tls() {
    let node = node(LISTENER, true).await;
    let mut stream = TcpStream::connect(tcp_place(&node)).await.unwrap();
    within(node.accept()).await.unwrap().refuse();
    assert!(!matches!(within(stream.read(&mut [0; 1])).await, Ok(1..)));
}

#[tokio::test]
async fn who_proves_no_key_is_turned_away() {
    let node = node(LISTENER, true).await;
    let (stranger, link) = tokio::join!(Stranger::dial(&node, None, ALPN), accept(&node));
    misbehaved(link);
    drop(stranger);
}

#[tokio::test]
async fn other_protocols_are_turned_away() {
    let node = node(LISTENER, true).await;
    for other in [&b"other/1"[..], b""] {
        let (stranger, link) =
            tokio::join!(Stranger::dial(&node, Some(STRANGER), other), accept(&node));
        misbehaved(link);
        drop(stranger);
    }
}

/// A program that speaks TLS with a key of its own, and says what it likes.
struct Stranger {
    stream: TlsStream<TcpStream>,
    parcels: ParcelDecoder,
}

impl Stranger {
    async fn dial(node: &PeerNode, key: Option<u8>, alpn: &[u8]) -> std::io::Result<Self> {
        let socket = TcpStream::connect(tcp_place(node)).await?;
        let connector = TlsConnector::from(Arc::new(tls(key, alpn)));
        let name = ServerName::IpAddress(Ipv4Addr::LOCALHOST.into());
        Ok(Self {
            stream: connector.connect(name, socket).await?,
            parcels: ParcelDecoder::default(),
        })
    }

    async fn say(&mut self, bytes: &[u8]) {
        within(self.stream.write_all(bytes)).await.unwrap();
        within(self.stream.flush()).await.unwrap();
    }

    /// The next parcel; `None` at the end.
    async fn next(&mut self) -> Option<Parcel> {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            if let Some(parcel) = self.parcels.next_parcel().unwrap() {
                return Some(parcel);
            }
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(length) => self.parcels.push(&buffer[..length]),
            }
        }
    }
}

fn tls(key: Option<u8>, alpn: &[u8]) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anybody));
    let mut config = match key {
        None => config.with_no_client_auth(),
        Some(seed) => config.with_client_cert_resolver(Arc::new(raw_key(seed))),
    };
    config
        .alpn_protocols
        .extend((!alpn.is_empty()).then(|| alpn.to_vec()));
    config
}

fn raw_key(seed: u8) -> AlwaysResolvesClientRawPublicKeys {
    let header = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];
    let pkcs8 = PrivatePkcs8KeyDer::from([&header[..], &[seed; 32]].concat());
    let signer = rustls::crypto::ring::sign::any_eddsa_type(&pkcs8).unwrap();
    let public = rustls::sign::public_key_to_spki(&alg_id::ED25519, id(seed).as_bytes());
    let certificate = CertificateDer::from(public.to_vec());
    AlwaysResolvesClientRawPublicKeys::new(Arc::new(CertifiedKey::new(vec![certificate], signer)))
}

/// Takes every peer for the right one.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// A node and a stranger it has let in.
async fn met() -> (PeerNode, Stranger, PeerLink) {
    let node = node(LISTENER, true).await;
    let (stranger, link) = tokio::join!(Stranger::dial(&node, Some(STRANGER), ALPN), accept(&node));
    let link = link.unwrap();
    assert_eq!(link.peer(), id(STRANGER));
    (node, stranger.unwrap(), link)
}

/// The link's question, answered by the stranger with these parcels; its number is 0.
async fn answered(
    stranger: &mut Stranger,
    link: &PeerLink,
    parcels: &[Parcel],
) -> Result<RangeAnswer, PeerLinkError> {
    let answering = async {
        assert_eq!(stranger.next().await, Some(Parcel::Ask(0, request())));
        for parcel in parcels {
            stranger.say(&parcel.encode()).await;
        }
    };
    within(async { tokio::join!(link.ask(request()), answering) })
        .await
        .0
}

#[tokio::test]
async fn what_is_no_parcel_breaks_the_protocol() {
    for bad in [
        &[8, 0, 0, 0, 0, 0, 0, 0][..],
        &[6, 0, 0, 0, 0, 0, 0, 1],
        &[0, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        &[0, 0, 0, 1, 0, 0, 0, 0, 0xff],
        &[1, 0, 0, 4, 0, 0, 0, 0, 8, 64, 16, 63],
        &Parcel::Data(0, Bytes::from_static(b"x")).encode(),
        &Parcel::End(0).encode(),
        &Parcel::GiveUp(0).encode(),
    ] {
        let (_node, mut stranger, link) = met().await;
        let good = Parcel::Control(PeerMessage::Unchoke).encode();
        stranger.say(&[&good[..], bad].concat()).await;
        let (_sender, mut receiver) = link.control().await.unwrap();
        assert_eq!(
            within(receiver.next()).await,
            Ok(Some(PeerMessage::Unchoke)),
            "what came before it counts"
        );
        misbehaved(within(receiver.next()).await);
        misbehaved(within(link.asked()).await);
        misbehaved(within(link.ask(request())).await);
    }
}

#[tokio::test]
async fn parcels_may_come_in_any_pieces() {
    let (_node, mut stranger, link) = met().await;
    let (_sender, mut receiver) = link.control().await.unwrap();
    let parcels = [
        Parcel::Ping,
        Parcel::Control(PeerMessage::Choke),
        Parcel::Stop(77),
        Parcel::Control(PeerMessage::Unchoke),
    ];
    let stream: Vec<u8> = parcels.iter().flat_map(Parcel::encode).collect();
    for byte in stream {
        stranger.say(&[byte]).await;
    }
    for message in [PeerMessage::Choke, PeerMessage::Unchoke] {
        assert_eq!(within(receiver.next()).await, Ok(Some(message)));
    }
}

#[tokio::test]
async fn a_byte_that_is_no_status_breaks_the_protocol() {
    for bad in [4, 0xff] {
        let (_node, mut stranger, link) = met().await;
        let bad = Parcel::Data(0, Bytes::copy_from_slice(&[bad]));
        misbehaved(answered(&mut stranger, &link, &[bad]).await);
    }
}

#[tokio::test]
async fn an_answer_that_is_given_up_or_cut_is_no_answer() {
    let status = Parcel::Data(0, Bytes::from_static(&[0]));
    for (end, fault) in [
        (Parcel::GiveUp(0), PeerLinkError::Closed),
        (Parcel::Close, PeerLinkError::Closed),
        (
            Parcel::End(0),
            PeerLinkError::Misbehaved("the stream ends too early".to_owned()),
        ),
    ] {
        let (_node, mut stranger, link) = met().await;
        let parcels = [status.clone(), end];
        let mut answer = answered(&mut stranger, &link, &parcels).await.unwrap();
        assert_eq!(answer.status(), RangeStatus::Ok);
        assert_eq!(within(answer.read_exact(&mut [0; 1])).await, Err(fault));
    }
}

#[tokio::test]
async fn requests_have_a_limit_and_numbers_of_their_own() {
    let ask = |number| Parcel::Ask(number, request()).encode();
    for (last, fine) in [(255, true), (0, false), (256, false)] {
        let (_node, mut stranger, link) = met().await;
        let first: Vec<u8> = (0..255).flat_map(ask).collect();
        stranger.say(&first).await;
        let mut open = Vec::new();
        for _ in 0..255 {
            open.push(within(link.asked()).await.unwrap());
        }
        if last == 256 {
            stranger.say(&ask(255)).await;
            open.push(within(link.asked()).await.unwrap());
        }
        stranger.say(&ask(last)).await;
        let asked = within(link.asked()).await;
        assert_eq!(asked.is_ok(), fine, "{last}: {asked:?}");
        if !fine {
            misbehaved(asked);
        }
    }
}

#[tokio::test]
async fn a_flood_of_requests_that_are_stopped_at_once_breaks_the_protocol() {
    let (_node, mut stranger, link) = met().await;
    let pairs = (0..300).flat_map(|number| {
        let ask = Parcel::Ask(number, request()).encode();
        [ask, Parcel::Stop(number).encode()].concat()
    });
    stranger.say(&pairs.collect::<Vec<u8>>()).await;
    misbehaved(Err::<(), _>(within(link.closed()).await));
}

#[tokio::test]
async fn a_dropped_answer_is_stopped_and_one_that_was_read_is_not() {
    let (_node, mut stranger, link) = met().await;
    let status = Parcel::Data(0, Bytes::from_static(&[0]));
    let answer = answered(&mut stranger, &link, &[status]).await.unwrap();
    answer.done();
    let asking = async {
        drop(tokio::join!(
            timeout(Duration::ZERO, link.ask(request())),
            std::future::ready(())
        ));
    };
    within(asking).await;
    assert_eq!(
        within(stranger.next()).await,
        Some(Parcel::Ask(1, request()))
    );
    // Given up before its answer began.
    assert_eq!(within(stranger.next()).await, Some(Parcel::Stop(1)));
}

#[tokio::test]
async fn answers_that_nobody_wants_are_not_put_up_with_for_ever() {
    let (_node, mut stranger, link) = met().await;
    let status = Parcel::Data(0, Bytes::from_static(&[0]));
    drop(answered(&mut stranger, &link, &[status]).await.unwrap());
    let flood = Parcel::Data(0, vec![0; 64 * 1024].into()).encode();
    let flooding = async {
        // Until the link is cut.
        while stranger.stream.write_all(&flood).await.is_ok() {}
    };
    let (end, ()) = within(async { tokio::join!(link.closed(), flooding) }).await;
    misbehaved(Err::<(), _>(end));
}

#[tokio::test]
async fn messages_do_not_wait_behind_answers() {
    let (_node, mut stranger, link) = met().await;
    let (mut sender, _receiver) = link.control().await.unwrap();
    stranger.say(&Parcel::Ask(0, request()).encode()).await;
    let mut reply = within(link.asked()).await.unwrap().reply;
    let megabyte = Bytes::from(vec![7; 1 << 20]);
    let sending = async {
        for _ in 0..16 {
            reply.send(megabyte.clone()).await.unwrap();
        }
        reply.finish().await.unwrap();
    };
    let reading = async {
        // The answer is under way, and more of it is to come than the receiving socket holds.
        assert!(matches!(stranger.next().await, Some(Parcel::Data(0, _))));
        sender.send(&PeerMessage::Choke).await.unwrap();
        let (mut before, mut all) = (None, 0);
        loop {
            let parcel = stranger.next().await.unwrap();
            if let Parcel::Data(0, bytes) = parcel {
                all += bytes.len();
            } else if parcel == Parcel::Control(PeerMessage::Choke) {
                before = Some(all);
            } else {
                assert_eq!(parcel, Parcel::End(0));
                return before;
            }
        }
    };
    let ((), before) = within(async { tokio::join!(sending, reading) }).await;
    assert!(
        before.is_some_and(|bytes| bytes < 8 << 20),
        "behind {before:?} bytes of 16 MiB"
    );
}

#[tokio::test]
async fn a_reader_that_waits_holds_up_its_own_link_only_by_what_was_sent() {
    let (_node, mut stranger, link) = met().await;
    let status = Parcel::Data(0, Bytes::from_static(&[0]));
    let mut answer = answered(&mut stranger, &link, &[status]).await.unwrap();
    let parts: Vec<u8> = (0..64)
        .flat_map(|byte| Parcel::Data(0, vec![byte; 1000].into()).encode())
        .collect();
    stranger.say(&parts).await;
    // Our own side goes on while its readers wait.
    let (mut sender, _receiver) = link.control().await.unwrap();
    sender.send(&PeerMessage::Unchoke).await.unwrap();
    assert_eq!(
        within(stranger.next()).await,
        Some(Parcel::Control(PeerMessage::Unchoke))
    );
    let mut got = vec![0; 64_000];
    assert_eq!(within(answer.read_exact(&mut got)).await, Ok(()));
    assert!(
        got.chunks(1000)
            .zip(0..)
            .all(|(part, byte)| part == [byte; 1000])
    );
}

#[tokio::test]
async fn a_silent_peer_is_given_up_and_told_that_we_are_there() {
    let (_node, mut stranger, link) = met().await;
    tokio::time::pause();
    assert_eq!(link.closed().await, PeerLinkError::Timeout);
    assert_eq!(stranger.next().await, Some(Parcel::Ping));
}

#[tokio::test]
async fn a_goodbye_reaches_the_peer() {
    let (_node, mut stranger, link) = met().await;
    link.close(Goodbye::Leaving);
    assert_eq!(within(stranger.next()).await, Some(Parcel::Close));
    assert_eq!(within(stranger.next()).await, None);
}

#[tokio::test]
async fn a_link_without_handles_ends() {
    let (_node, mut stranger, link) = met().await;
    drop(link);
    assert_eq!(within(stranger.next()).await, Some(Parcel::Close));
}
