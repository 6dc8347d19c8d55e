//! Programs that speak QUIC, and of the protocol only the name.

use iroh::endpoint::{Connection, RecvStream, SendStream, VarInt, presets};
use iroh::{Endpoint, EndpointAddr, EndpointId, SecretKey, TransportAddr};
use peerlift_net::peer::{PeerLink, PeerLinkError, PeerNode};
use peerlift_wire::PeerAddress;
use peerlift_wire::frame::{FRAME_BYTES_MAX, encode_frame};
use peerlift_wire::peer::ALPN;

use crate::{DIALLER, LISTENER, hello, id, loopback, misbehaved, node, request, within};

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
