//! Links between peers on the loopback interface, over QUIC and over TCP: how they begin and end. What
//! goes over them is in `requests`, how they begin by a relay in `relays`, and what others do who speak
//! QUIC but not the protocol in `strangers`.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod relays;
mod requests;
mod strangers;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use iroh::{EndpointId, SecretKey};
use peerlift_model::{GroupRange, ObjectId, PeerId};
use peerlift_net::peer::{
    FrameReceiver, FrameSender, Path, PeerLink, PeerLinkError, PeerNode, PeerNodeConfig,
    RangeAnswer, RelayConfig, Reply, Transport,
};
use peerlift_net::polite::Uplink;
use peerlift_wire::PeerAddress;
use peerlift_wire::peer::{Goodbye, Hello, PeerMessage, RangeRequest};
use tokio::time::timeout;

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
    RangeRequest::whole(GroupRange::new(64, 128))
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

/// Puts the usual request and lets the other end begin its answer.
async fn ask(
    asker: &End,
    asked: &End,
    answer: impl AsyncFnOnce(Reply) -> Option<Reply>,
) -> (Result<RangeAnswer, PeerLinkError>, Option<Reply>) {
    ask_for(request(), asker, asked, answer).await
}

/// Puts a request and lets the other end begin its answer.
async fn ask_for(
    request: RangeRequest,
    asker: &End,
    asked: &End,
    answer: impl AsyncFnOnce(Reply) -> Option<Reply>,
) -> (Result<RangeAnswer, PeerLinkError>, Option<Reply>) {
    let answering = async {
        let asked = asked.link.asked().await.unwrap();
        assert_eq!(asked.request, request);
        answer(asked.reply).await
    };
    within(async { tokio::join!(asker.link.ask(request), answering) }).await
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
async fn a_goodbye_ends_the_link_for_both() {
    for over in BOTH {
        let (mut dialling, mut listening) = met(over).await;
        let (answer, reply) = ask(&dialling, &listening, async |mut reply| {
            reply.accept(request()).await.unwrap();
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
