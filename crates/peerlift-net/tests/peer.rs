//! Links between peers on the loopback interface, over QUIC and over TCP, with strangers who speak
//! QUIC but not the protocol.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use iroh::endpoint::{Connection, RecvStream, SendStream, VarInt, presets};
use iroh::{Endpoint, EndpointAddr, EndpointId, SecretKey, TransportAddr};
use iroh_relay::server::{RelayConfig as ServedRelay, Server, ServerConfig};
use peerlift_model::{GroupRange, ObjectId, PeerId};
use peerlift_net::peer::{
    FrameReceiver, FrameSender, Path, PeerLink, PeerLinkError, PeerNode, PeerNodeConfig,
    RangeAnswer, RelayConfig, Reply, Transport,
};
use peerlift_net::polite::Uplink;
use peerlift_wire::PeerAddress;
use peerlift_wire::frame::{FRAME_BYTES_MAX, encode_frame};
use peerlift_wire::peer::{ALPN, Goodbye, Hello, PeerMessage, RangeRequest, RangeStatus};
use tokio::time::{Instant, sleep, timeout};

/// Only a test that hangs gets here.
const TOO_LONG: Duration = Duration::from_secs(60);

const DIALLER: u8 = 1;
const LISTENER: u8 = 2;

async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(TOO_LONG, future).await.expect("it hangs")
}

fn config(seed: u8) -> PeerNodeConfig {
    PeerNodeConfig {
        secret: [seed; 32],
        relays: Vec::new(),
        accept: true,
        uplink: Uplink::polite(),
    }
}

async fn node(seed: u8) -> PeerNode {
    PeerNode::bind(config(seed)).await.unwrap()
}

fn id(seed: u8) -> PeerId {
    PeerId::new(*SecretKey::from_bytes(&[seed; 32]).public().as_bytes())
}

/// The loopback address of one of these sockets.
fn loopback(sockets: &[SocketAddr]) -> SocketAddr {
    let socket = sockets.iter().find(|socket| socket.is_ipv4()).unwrap();
    (Ipv4Addr::LOCALHOST, socket.port()).into()
}

/// Where a node is, for somebody who knows QUIC only.
fn place(node: &PeerNode) -> PeerAddress {
    PeerAddress {
        direct: vec![loopback(&node.sockets())],
        relay: None,
        tcp_port: None,
    }
}

const BOTH: [Transport; 2] = [Transport::Quic, Transport::Tcp];

fn hello(agent: &str) -> PeerMessage {
    PeerMessage::Hello(Hello {
        object: ObjectId::new([3; 32]),
        ticket: Some(Bytes::from_static(b"ticket")),
        share: true,
        agent: agent.to_owned(),
    })
}

fn request() -> RangeRequest {
    RangeRequest {
        groups: GroupRange::new(64, 128),
    }
}

/// One end of a link whose control stream is open.
struct End {
    node: PeerNode,
    link: PeerLink,
    sender: FrameSender,
    receiver: FrameReceiver,
}

/// Two nodes that have said hello.
async fn met(over: Transport) -> (End, End) {
    let (dialler, listener) = (node(DIALLER).await, node(LISTENER).await);
    let mut place = place(&listener);
    if over == Transport::Tcp {
        place.tcp_port = listener.address().tcp_port;
    }
    let (dialling, listening) =
        within(async { tokio::join!(dial(dialler, listener.id(), &place), listen(listener)) })
            .await;
    assert_eq!(dialling.link.transport(), over);
    assert_eq!(listening.link.transport(), over);
    (dialling, listening)
}

async fn dial(node: PeerNode, peer: PeerId, place: &PeerAddress) -> End {
    let link = node.connect(peer, place).await.unwrap();
    let (mut sender, mut receiver) = link.control().await.unwrap();
    sender.send(&hello("dialler")).await.unwrap();
    assert_eq!(receiver.next().await, Ok(Some(hello("listener"))));
    End {
        node,
        link,
        sender,
        receiver,
    }
}

async fn listen(node: PeerNode) -> End {
    let link = node.accept().await.unwrap().link().await.unwrap();
    let (mut sender, mut receiver) = link.control().await.unwrap();
    assert_eq!(receiver.next().await, Ok(Some(hello("dialler"))));
    sender.send(&hello("listener")).await.unwrap();
    End {
        node,
        link,
        sender,
        receiver,
    }
}

/// Puts a request and lets the other end begin its answer.
async fn ask(
    asker: &End,
    asked: &End,
    answer: impl AsyncFnOnce(Reply) -> Option<Reply>,
) -> (Result<RangeAnswer, PeerLinkError>, Option<Reply>) {
    let answering = async {
        let asked = asked.link.asked().await.unwrap();
        assert_eq!(asked.request, request());
        answer(asked.reply).await
    };
    within(async { tokio::join!(asker.link.ask(request()), answering) }).await
}

fn misbehaved<T: std::fmt::Debug>(result: Result<T, PeerLinkError>) {
    assert!(
        matches!(result, Err(PeerLinkError::Misbehaved(_))),
        "{result:?}"
    );
}

#[tokio::test]
async fn both_sides_know_whom_they_talk_to() {
    for over in BOTH {
        let (mut dialling, mut listening) = met(over).await;
        assert_eq!(dialling.node.id(), id(DIALLER));
        assert_eq!(dialling.link.peer(), id(LISTENER));
        assert_eq!(listening.link.peer(), id(DIALLER));
        for link in [&dialling.link, &listening.link] {
            assert_eq!(link.path(), Path::Direct);
            assert!(link.rtt().is_some());
        }
        for message in [PeerMessage::Unchoke, PeerMessage::Choke] {
            dialling.sender.send(&message).await.unwrap();
            listening.sender.send(&message).await.unwrap();
            assert_eq!(
                within(listening.receiver.next()).await.as_ref(),
                Ok(&Some(message.clone()))
            );
            assert_eq!(within(dialling.receiver.next()).await, Ok(Some(message)));
        }
    }
}

#[tokio::test]
async fn ranges_flow_both_ways_however_long() {
    for over in BOTH {
        let (dialling, listening) = met(over).await;
        // More than all windows together hold.
        let bytes = Bytes::from((0..=250).cycle().take(9_000_000).collect::<Vec<u8>>());
        for (asker, asked) in [(&dialling, &listening), (&listening, &dialling)] {
            let (answer, reply) = ask(asker, asked, async |mut reply| {
                reply.accept().await.unwrap();
                Some(reply)
            })
            .await;
            let (mut answer, mut reply) = (answer.unwrap(), reply.unwrap());
            assert_eq!(answer.status(), RangeStatus::Ok);
            let mut got = vec![0; bytes.len()];
            let sending = async {
                for piece in bytes.chunks(1_000_000) {
                    reply.send(bytes.slice_ref(piece)).await.unwrap();
                }
                reply.finish().await.unwrap();
            };
            let (read, ()) =
                within(async { tokio::join!(answer.read_exact(&mut got), sending) }).await;
            assert_eq!(read, Ok(()));
            assert!(got == bytes);
        }
    }
}

#[tokio::test]
async fn a_refusal_says_why_and_nothing_more() {
    for over in BOTH {
        let (dialling, listening) = met(over).await;
        for status in [
            RangeStatus::NotHere,
            RangeStatus::Refused,
            RangeStatus::Busy,
        ] {
            let (answer, _) = ask(&dialling, &listening, async |reply| {
                reply.refuse(status).await.unwrap();
                None
            })
            .await;
            let mut answer = answer.unwrap();
            assert_eq!(answer.status(), status);
            misbehaved(within(answer.read_exact(&mut [0; 1])).await);
        }
    }
}

#[tokio::test]
async fn an_answer_given_up_is_never_taken_for_a_short_one() {
    for over in BOTH {
        let (dialling, listening) = met(over).await;
        let (answer, _) = ask(&dialling, &listening, async |_| None).await;
        assert_eq!(answer.unwrap_err(), PeerLinkError::Closed);

        let (answer, reply) = ask(&dialling, &listening, async |mut reply| {
            reply.accept().await.unwrap();
            Some(reply)
        })
        .await;
        let (mut answer, mut reply) = (answer.unwrap(), reply.unwrap());
        reply.send(Bytes::from_static(&[7; 1000])).await.unwrap();
        let mut got = [0; 10];
        assert_eq!(within(answer.read_exact(&mut got)).await, Ok(()));
        assert_eq!(got, [7; 10]);
        drop(reply);
        assert_eq!(
            within(answer.read_exact(&mut [0; 2000])).await,
            Err(PeerLinkError::Closed)
        );
    }
}

#[tokio::test]
async fn an_answer_that_ends_too_early_is_the_peers_fault() {
    for over in BOTH {
        let (dialling, listening) = met(over).await;
        let (answer, _) = ask(&dialling, &listening, async |reply| {
            reply.finish().await.unwrap();
            None
        })
        .await;
        misbehaved(answer);

        let (answer, _) = ask(&dialling, &listening, async |mut reply| {
            reply.accept().await.unwrap();
            reply.send(Bytes::from_static(&[7; 10])).await.unwrap();
            reply.finish().await.unwrap();
            None
        })
        .await;
        misbehaved(within(answer.unwrap().read_exact(&mut [0; 11])).await);
    }
}

#[tokio::test]
async fn who_no_longer_wants_an_answer_gets_no_more_of_it() {
    for over in BOTH {
        let (dialling, listening) = met(over).await;
        let (answer, reply) = ask(&dialling, &listening, async |mut reply| {
            reply.accept().await.unwrap();
            Some(reply)
        })
        .await;
        drop(answer);
        let mut reply = reply.unwrap();
        let sending = async {
            loop {
                if let Err(error) = reply.send(Bytes::from_static(&[7; 100_000])).await {
                    return error;
                }
            }
        };
        assert_eq!(within(sending).await, PeerLinkError::Closed);
        // The link is none the worse for it.
        let (answer, _) = ask(&dialling, &listening, async |reply| {
            reply.refuse(RangeStatus::Busy).await.unwrap();
            None
        })
        .await;
        assert_eq!(answer.unwrap().status(), RangeStatus::Busy);
    }
}

#[tokio::test]
async fn a_goodbye_ends_the_link_for_both() {
    for over in BOTH {
        let (mut dialling, mut listening) = met(over).await;
        let (answer, reply) = ask(&dialling, &listening, async |mut reply| {
            reply.accept().await.unwrap();
            Some(reply)
        })
        .await;
        dialling.link.close(Goodbye::Leaving);
        for end in [&mut dialling, &mut listening] {
            assert_eq!(within(end.link.closed()).await, PeerLinkError::Closed);
            let next = within(end.receiver.next()).await;
            assert_eq!(next, Err(PeerLinkError::Closed));
            let asked = within(end.link.asked()).await;
            assert_eq!(asked.unwrap_err(), PeerLinkError::Closed);
            let asked = within(end.link.ask(request())).await;
            assert_eq!(asked.unwrap_err(), PeerLinkError::Closed);
            let sent = within(end.sender.send(&PeerMessage::Choke)).await;
            assert_eq!(sent, Err(PeerLinkError::Closed));
        }
        let read = within(answer.unwrap().read_exact(&mut [0; 1])).await;
        assert_eq!(read, Err(PeerLinkError::Closed));
        let sent = within(reply.unwrap().send(Bytes::from_static(b"late"))).await;
        assert_eq!(sent, Err(PeerLinkError::Closed));
    }
}

#[tokio::test]
async fn a_closed_node_ends_its_links_and_accepts_nobody() {
    for over in BOTH {
        let (dialling, listening) = met(over).await;
        within(listening.node.close()).await;
        assert_eq!(within(dialling.link.closed()).await, PeerLinkError::Closed);
        assert!(within(listening.node.accept()).await.is_none());
    }
}

#[tokio::test]
async fn whoever_does_not_share_lets_nobody_in() {
    let closed = PeerNode::bind(PeerNodeConfig {
        accept: false,
        ..config(LISTENER)
    })
    .await
    .unwrap();
    let dialler = node(DIALLER).await;
    let result = within(dialler.connect(closed.id(), &place(&closed))).await;
    assert!(
        matches!(result, Err(PeerLinkError::Unreachable(_))),
        "{result:?}"
    );
    // It may dial all the same.
    let place = place(&dialler);
    let (dialled, accepted) = within(async {
        tokio::join!(closed.connect(dialler.id(), &place), async {
            dialler.accept().await.unwrap().link().await
        })
    })
    .await;
    assert_eq!(dialled.unwrap().peer(), id(DIALLER));
    assert_eq!(accepted.unwrap().peer(), id(LISTENER));
}

#[tokio::test]
async fn strangers_can_be_sent_away_at_the_door() {
    let (dialler, listener) = (node(DIALLER).await, node(LISTENER).await);
    let place = place(&listener);
    let (result, ()) = within(async {
        tokio::join!(dialler.connect(listener.id(), &place), async {
            listener.accept().await.unwrap().refuse();
        })
    })
    .await;
    assert!(
        matches!(result, Err(PeerLinkError::Unreachable(_))),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_peer_with_another_key_is_not_the_peer() {
    let (dialler, listener) = (node(DIALLER).await, node(LISTENER).await);
    let place = place(&listener);
    let (result, accepted) = within(async {
        tokio::join!(dialler.connect(id(9), &place), async {
            listener.accept().await.unwrap().link().await
        })
    })
    .await;
    assert!(
        matches!(result, Err(PeerLinkError::Unreachable(_))),
        "{result:?}"
    );
    assert!(accepted.is_err(), "{accepted:?}");
}

#[tokio::test]
async fn what_cannot_be_dialled() {
    let dialler = node(DIALLER).await;
    // No point of the curve has this coordinate.
    let no_key = PeerId::new([0x02; 32]);
    assert!(EndpointId::from_bytes(no_key.as_bytes()).is_err());
    let nowhere = PeerAddress::default();
    let itself = place(&dialler);
    for (peer, place) in [
        (no_key, &itself),
        (id(LISTENER), &nowhere),
        (dialler.id(), &itself),
    ] {
        let result = within(dialler.connect(peer, place)).await;
        assert!(
            matches!(result, Err(PeerLinkError::Unreachable(_))),
            "{result:?}"
        );
    }
    let relays = vec![RelayConfig {
        url: "no url".to_owned(),
        quic_port: None,
    }];
    let result = PeerNode::bind(PeerNodeConfig {
        relays,
        ..config(LISTENER)
    })
    .await;
    assert!(matches!(result, Err(PeerLinkError::Local(_))), "{result:?}");
}

/// A program that speaks QUIC, and of the protocol only the name.
struct Stranger(Endpoint);

impl Stranger {
    async fn new(alpn: &[u8]) -> Self {
        let builder = Endpoint::builder(presets::Minimal)
            .secret_key(SecretKey::from_bytes(&[8; 32]))
            .alpns(vec![alpn.to_vec()]);
        Self(builder.bind().await.unwrap())
    }

    /// Dials a node, which lets it in.
    async fn dial(&self, node: &PeerNode) -> (Connection, PeerLink) {
        let id = EndpointId::from_bytes(node.id().as_bytes()).unwrap();
        let place = TransportAddr::Ip(loopback(&node.sockets()));
        let address = EndpointAddr::from_parts(id, [place]);
        let (connection, link) = within(async {
            tokio::join!(self.0.connect(address, ALPN), async {
                node.accept().await.unwrap().link().await
            })
        })
        .await;
        (connection.unwrap(), link.unwrap())
    }

    /// Is dialled by a node.
    async fn listen(&self, node: &PeerNode) -> (Connection, PeerLink) {
        let place = PeerAddress {
            direct: vec![loopback(&self.0.bound_sockets())],
            relay: None,
            tcp_port: None,
        };
        let (link, connection) = within(async {
            tokio::join!(node.connect(id(8), &place), async {
                self.0.accept().await.unwrap().await
            })
        })
        .await;
        (connection.unwrap(), link.unwrap())
    }
}

/// Opens a stream, sends these bytes, and says no more on it.
async fn say(connection: &Connection, bytes: &[u8]) -> (SendStream, RecvStream) {
    let (mut send, receive) = within(connection.open_bi()).await.unwrap();
    within(send.write_all(bytes)).await.unwrap();
    send.finish().unwrap();
    (send, receive)
}

fn too_long() -> Vec<u8> {
    u32::try_from(FRAME_BYTES_MAX + 1)
        .unwrap()
        .to_be_bytes()
        .to_vec()
}

#[tokio::test]
async fn what_is_no_message_breaks_the_protocol() {
    let (node, stranger) = (node(LISTENER).await, Stranger::new(ALPN).await);
    let good = encode_frame(&hello("stranger").encode()).unwrap();
    for bad in [
        &encode_frame(b"garbage").unwrap()[..],
        &encode_frame(b"").unwrap(),
        &too_long(),
        b"\0",
        &good[..good.len() - 1],
    ] {
        let (connection, link) = stranger.dial(&node).await;
        let _streams = say(&connection, &[&good[..], bad].concat()).await;
        let (_sender, mut receiver) = within(link.control()).await.unwrap();
        assert_eq!(within(receiver.next()).await, Ok(Some(hello("stranger"))));
        misbehaved(within(receiver.next()).await);
    }
}

#[tokio::test]
async fn a_control_stream_may_end_between_messages() {
    let (node, stranger) = (node(LISTENER).await, Stranger::new(ALPN).await);
    let good = encode_frame(&hello("stranger").encode()).unwrap();
    let (connection, link) = stranger.dial(&node).await;
    let _streams = say(&connection, &good).await;
    let (_sender, mut receiver) = within(link.control()).await.unwrap();
    assert_eq!(within(receiver.next()).await, Ok(Some(hello("stranger"))));
    assert_eq!(within(receiver.next()).await, Ok(None));
}

#[tokio::test]
async fn what_is_no_request_breaks_the_protocol() {
    let (node, stranger) = (node(LISTENER).await, Stranger::new(ALPN).await);
    let (connection, link) = stranger.dial(&node).await;
    let backward = [0x08, 0x40, 0x10, 0x3f];
    for bad in [
        &b""[..],
        b"\0\0",
        &encode_frame(b"").unwrap(),
        &encode_frame(b"garbage").unwrap(),
        &encode_frame(&backward).unwrap(),
        &too_long(),
    ] {
        let (_send, mut answer) = say(&connection, bad).await;
        misbehaved(within(link.asked()).await);
        // Whoever sent that waits for no answer.
        assert!(within(answer.read(&mut [0; 1])).await.is_err());
    }
}

#[tokio::test]
async fn a_byte_that_is_no_status_breaks_the_protocol() {
    let (node, stranger) = (node(DIALLER).await, Stranger::new(ALPN).await);
    let (connection, link) = stranger.listen(&node).await;
    for bad in [4, 0xff] {
        let answering = async {
            let (mut send, receive) = connection.accept_bi().await.unwrap();
            send.write_all(&[bad]).await.unwrap();
            (send, receive)
        };
        let (answer, _streams) =
            within(async { tokio::join!(link.ask(request()), answering) }).await;
        misbehaved(answer);
    }
}

#[tokio::test]
async fn a_stranger_who_vanishes_is_no_culprit() {
    let (node, stranger) = (node(LISTENER).await, Stranger::new(ALPN).await);
    let (connection, link) = stranger.dial(&node).await;
    let (mut send, _receive) = within(connection.open_bi()).await.unwrap();
    within(send.write_all(b"\0\0")).await.unwrap();
    let (_sender, mut receiver) = within(link.control()).await.unwrap();
    send.reset(VarInt::from_u32(7)).unwrap();
    assert_eq!(
        within(receiver.next()).await,
        Err(PeerLinkError::Closed),
        "a stream may be given up"
    );
    connection.close(VarInt::from_u32(42), b"whatever");
    assert_eq!(within(link.closed()).await, PeerLinkError::Closed);
}

#[tokio::test]
async fn other_protocols_are_refused() {
    let (node, stranger) = (node(LISTENER).await, Stranger::new(b"other/1").await);
    let id = EndpointId::from_bytes(node.id().as_bytes()).unwrap();
    let place = TransportAddr::Ip(loopback(&node.sockets()));
    let address = EndpointAddr::from_parts(id, [place]);
    let (connection, link) = within(async {
        tokio::join!(stranger.0.connect(address, b"other/1"), async {
            node.accept().await.unwrap().link().await
        })
    })
    .await;
    assert!(connection.is_err(), "{connection:?}");
    assert!(link.is_err(), "{link:?}");
}

async fn relay() -> (Server, RelayConfig) {
    let mut config = ServerConfig::default();
    config.relay = Some(ServedRelay::new((Ipv4Addr::LOCALHOST, 0)));
    let server = Server::spawn(config).await.unwrap();
    let url = format!("http://{}/", server.http_addr().unwrap());
    let config = RelayConfig {
        url,
        quic_port: None,
    };
    (server, config)
}

async fn relayed(seed: u8, relay: &RelayConfig) -> PeerNode {
    let node = PeerNode::bind(PeerNodeConfig {
        relays: vec![relay.clone()],
        ..config(seed)
    })
    .await
    .unwrap();
    within(async {
        while node.address().relay.is_none() {
            node.address_changed().await;
        }
    })
    .await;
    node
}

#[tokio::test]
async fn peers_that_know_only_a_relay_find_the_direct_way() {
    let (_server, relay) = relay().await;
    let (dialler, listener) = (
        relayed(DIALLER, &relay).await,
        relayed(LISTENER, &relay).await,
    );
    let place = PeerAddress {
        direct: Vec::new(),
        relay: listener.address().relay,
        tcp_port: None,
    };
    assert_eq!(place.relay.as_ref(), Some(&relay.url));
    let (dialling, listening) =
        within(async { tokio::join!(dial(dialler, listener.id(), &place), listen(listener)) })
            .await;
    for link in [&dialling.link, &listening.link] {
        let deadline = Instant::now() + TOO_LONG;
        while link.path() != Path::Direct {
            assert!(
                Instant::now() < deadline,
                "the path stays {:?}",
                link.path()
            );
            sleep(Duration::from_millis(10)).await;
        }
    }
    let (answer, _) = ask(&dialling, &listening, async |reply| {
        reply.refuse(RangeStatus::NotHere).await.unwrap();
        None
    })
    .await;
    assert_eq!(answer.unwrap().status(), RangeStatus::NotHere);
}

#[tokio::test]
async fn addresses_seen_by_others_are_passed_on() {
    let node = node(LISTENER).await;
    let seen: SocketAddr = "192.0.2.7:4433".parse().unwrap();
    node.add_external_address(seen).await;
    within(async {
        while !node.address().direct.contains(&seen) {
            node.address_changed().await;
        }
    })
    .await;
}
