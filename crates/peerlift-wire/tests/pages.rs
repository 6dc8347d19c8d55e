//! The test vectors of the protocol pages: what is written there is what is sent, and is read back
//! as what was meant.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use peerlift_model::{GroupRange, GroupSet, Height, NatClass, ObjectId, PeerId, PublisherId, Rate};
use peerlift_wire::PeerAddress;
use peerlift_wire::control::{
    Blocked, Challenge, ClientMessage, ErrorCode, Introduction, Introductions, Login, Query,
    ServerMessage, ShownToken, Welcome,
};
use peerlift_wire::frame::encode_frame;
use peerlift_wire::parcel::{Parcel, ParcelDecoder};
use peerlift_wire::peer::{Goodbye, Hello, PeerMessage, RangeRequest, RangeStatus};
use peerlift_wire::ticket::Ticket;

/// What stands on a page between "```hex NAME" and "```", by name.
fn vectors(page: &str) -> BTreeMap<String, Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/protocol")
        .join(page);
    let text = fs::read_to_string(path).unwrap();
    let blocks = text.split("```hex ").skip(1).map(|block| {
        let (name, rest) = block.split_once('\n').unwrap();
        let (hex, _) = rest.split_once("```").unwrap();
        let digits: Vec<u8> = hex
            .chars()
            .filter(|c| !c.is_whitespace())
            .map(|c| u8::try_from(c.to_digit(16).unwrap()).unwrap())
            .collect();
        let (pairs, odd) = digits.as_chunks::<2>();
        assert!(odd.is_empty(), "{name}");
        (
            name.to_owned(),
            pairs.iter().map(|[high, low]| high << 4 | low).collect(),
        )
    });
    blocks.collect()
}

/// Compares a page's vectors with messages: both ways, and none left over on either side.
fn check<M: PartialEq + Debug, E: PartialEq + Debug>(
    vectors: &mut BTreeMap<String, Vec<u8>>,
    messages: Vec<(&str, M)>,
    encode: impl Fn(&M) -> Vec<u8>,
    decode: impl Fn(Bytes) -> Result<M, E>,
) {
    for (name, message) in messages {
        let vector = vectors
            .remove(name)
            .unwrap_or_else(|| panic!("{name} is not on the page"));
        assert_eq!(hex(&vector), hex(&encode(&message)), "{name}");
        assert_eq!(decode(vector.into()), Ok(message), "{name}");
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn object() -> ObjectId {
    ObjectId::new([0x33; 32])
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn peer(seed: u8) -> PeerId {
    PeerId::new(key(seed).verifying_key().to_bytes())
}

fn node() -> [u8; 32] {
    key(9).verifying_key().to_bytes()
}

fn groups() -> GroupSet {
    [
        GroupRange::new(0, 4),
        GroupRange::new(6, 7),
        GroupRange::new(1000, 1300),
    ]
    .into_iter()
    .collect()
}

fn peer_messages() -> Vec<(&'static str, PeerMessage)> {
    let hello = Hello {
        object: object(),
        ticket: None,
        share: true,
        agent: "peerlift/0.1.0".to_owned(),
    };
    vec![
        ("hello", PeerMessage::Hello(hello)),
        ("have_map", PeerMessage::HaveMap(groups())),
        ("have_map-empty", PeerMessage::HaveMap(GroupSet::new())),
        ("have_delta", PeerMessage::HaveDelta(groups())),
        ("pledge", PeerMessage::Pledge(groups())),
        (
            "fair_share",
            PeerMessage::FairShare(Rate::from_bytes_per_s(1_000_000)),
        ),
        ("choke", PeerMessage::Choke),
        ("unchoke", PeerMessage::Unchoke),
        ("ticket", PeerMessage::Ticket(Bytes::from_static(b"ticket"))),
        ("goodbye-leaving", PeerMessage::Goodbye(Goodbye::Leaving)),
        (
            "goodbye-duplicate",
            PeerMessage::Goodbye(Goodbye::Duplicate),
        ),
    ]
}

fn range_requests() -> Vec<(&'static str, RangeRequest)> {
    let groups = GroupRange::new(64, 128);
    let from_piece = RangeRequest {
        groups,
        from_height: Height::of(64),
    };
    vec![
        ("range_request", RangeRequest::whole(groups)),
        ("range_request-from_height", from_piece),
    ]
}

fn address() -> PeerAddress {
    PeerAddress {
        direct: vec![
            "192.0.2.1:4433".parse().unwrap(),
            "[2001:db8::1]:4433".parse().unwrap(),
        ],
        relay: Some("https://edge.example:3340/".to_owned()),
        tcp_port: None,
    }
}

fn address_with_tcp() -> PeerAddress {
    PeerAddress {
        tcp_port: Some(4434),
        ..address()
    }
}

fn challenge() -> Challenge {
    Challenge {
        nonce: [0x11; 32],
        node: node(),
        time: 1_800_000_000,
    }
}

fn ticket() -> Ticket {
    Ticket {
        from: peer(1),
        to: peer(2),
        object: object(),
        issued: 1_800_000_000,
        expires: 1_800_000_600,
    }
}

fn client_messages() -> Vec<(&'static str, ClientMessage)> {
    let login = Login {
        peer: peer(1),
        signature: Login::sign(&key(1), &challenge()),
        agent: "peerlift/0.1.0".to_owned(),
        share: true,
        address: address(),
        nat: NatClass::Unknown,
        resume: None,
    };
    let resuming = Login {
        resume: Some(0x0123_4567_89ab_cdef),
        ..login.clone()
    };
    assert!(login.verify(&challenge()));
    let (object, complete) = (object(), true);
    let query = Query {
        object,
        max: 10,
        known: vec![peer(2)],
    };
    vec![
        ("login", ClientMessage::Login(login)),
        ("login-resume", ClientMessage::Login(resuming)),
        ("announce", ClientMessage::Announce { object, complete }),
        ("withdraw", ClientMessage::Withdraw { object }),
        ("query", ClientMessage::Query(query)),
        ("address", moved(address(), NatClass::Unknown)),
        ("address-tcp", moved(address_with_tcp(), NatClass::Unknown)),
        ("address-nat", moved(address(), NatClass::Hard)),
        ("ping", ClientMessage::Ping),
        (
            "complaint",
            ClientMessage::Complain {
                ticket: Bytes::from_static(b"a ticket"),
            },
        ),
        (
            "token",
            ClientMessage::Token(ShownToken {
                token: "a.b.c".to_owned(),
                proof: "d.e.f".to_owned(),
            }),
        ),
    ]
}

fn moved(address: PeerAddress, nat: NatClass) -> ClientMessage {
    ClientMessage::Address { address, nat }
}

fn server_messages() -> Vec<(&'static str, ServerMessage)> {
    let welcome = Welcome {
        observed: Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
        ticket_keys: vec![node()],
        keep_alive_s: 30,
        session: 7,
        resumed: false,
    };
    let resumed = Welcome {
        resumed: true,
        ..welcome.clone()
    };
    let introduction = Introduction {
        peer: peer(2),
        address: address(),
        ticket: ticket().sign(&key(9)),
        complete: true,
        dial: true,
    };
    let introductions = Introductions {
        object: object(),
        peers: vec![introduction],
        spread: Some(12),
    };
    let error = ServerMessage::Error {
        code: ErrorCode::Busy,
        text: "too many queries".to_owned(),
        retry_after_s: 3,
    };
    vec![
        ("challenge", ServerMessage::Challenge(challenge())),
        ("welcome", ServerMessage::Welcome(welcome)),
        ("welcome-resumed", ServerMessage::Welcome(resumed)),
        ("introductions", ServerMessage::Introductions(introductions)),
        ("pong", ServerMessage::Pong),
        ("drain", ServerMessage::Drain { seconds: 0 }),
        (
            "blocked",
            ServerMessage::Blocked(Blocked {
                objects: vec![ObjectId::new([0x33; 32])],
                publishers: vec![PublisherId::new(key(7).verifying_key().to_bytes())],
            }),
        ),
        (
            "ticket-keys",
            ServerMessage::TicketKeys { keys: vec![node()] },
        ),
        ("error", error),
        ("recall", ServerMessage::Recall),
        ("block", ServerMessage::Block { object: object() }),
    ]
}

#[test]
fn peer_page() {
    let mut page = vectors("peer.md");
    check(
        &mut page,
        peer_messages(),
        PeerMessage::encode,
        PeerMessage::decode,
    );
    check(
        &mut page,
        range_requests(),
        RangeRequest::encode,
        RangeRequest::decode,
    );
    let frame = encode_frame(&PeerMessage::Unchoke.encode()).unwrap();
    assert_eq!(
        page.remove("frame-unchoke").map(|vector| hex(&vector)),
        Some(hex(&frame))
    );
    assert_eq!(page, BTreeMap::new());
    for byte in 0..=u8::MAX {
        assert_eq!(RangeStatus::from_byte(byte).is_ok(), byte < 5);
    }
}

fn parcels() -> Vec<(&'static str, Parcel)> {
    let request = RangeRequest::whole(GroupRange::new(64, 128));
    let data = Bytes::from_static(b"\0data");
    vec![
        ("parcel-control", Parcel::Control(PeerMessage::Unchoke)),
        ("parcel-ask", Parcel::Ask(7, request)),
        ("parcel-data", Parcel::Data(7, data)),
        ("parcel-end", Parcel::End(7)),
        ("parcel-give_up", Parcel::GiveUp(7)),
        ("parcel-stop", Parcel::Stop(7)),
        ("parcel-ping", Parcel::Ping),
        ("parcel-close", Parcel::Close),
    ]
}

#[test]
fn peer_transport_page() {
    let mut page = vectors("peer-transport.md");
    let encode = |parcel: &Parcel| parcel.encode().to_vec();
    let decode = |bytes: Bytes| {
        let mut decoder = ParcelDecoder::default();
        decoder.push(&bytes);
        decoder
            .next_parcel()
            .map(|parcel| parcel.expect("it is whole"))
    };
    check(&mut page, parcels(), encode, decode);
    assert_eq!(page, BTreeMap::new());
}

#[test]
fn control_page() {
    let mut page = vectors("control.md");
    check(
        &mut page,
        client_messages(),
        ClientMessage::encode,
        ClientMessage::decode,
    );
    check(
        &mut page,
        server_messages(),
        ServerMessage::encode,
        ServerMessage::decode,
    );
    assert_eq!(page, BTreeMap::new());
}

#[test]
fn ticket_page() {
    let mut page = vectors("ticket.md");
    let verify = |bytes| Ticket::verify(bytes, &[node()], 1_800_000_100);
    let sign = |ticket: &Ticket| ticket.sign(&key(9)).to_vec();
    check(&mut page, vec![("signed", ticket())], sign, verify);
    let to = |seed| Ticket {
        to: peer(seed),
        ..ticket()
    };
    let together = |first: &Ticket| {
        let tickets = [*first, to(3), to(4)];
        Ticket::sign_all(&tickets, &key(9)).remove(0).to_vec()
    };
    let first = vec![("signed-with-others", ticket())];
    check(&mut page, first, together, verify);
    assert_eq!(page.remove("node").as_deref(), Some(&node()[..]));
    assert_eq!(page, BTreeMap::new());
}
