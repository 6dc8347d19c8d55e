//! Messages of both sides there and back, their limits, and bytes of strangers.

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::proto::control as proto;

fn address() -> impl Strategy<Value = PeerAddress> {
    let direct = proptest::collection::vec(any::<std::net::SocketAddrV4>(), 0..4);
    let tcp_port = proptest::option::of(1..=u16::MAX);
    (direct, any::<bool>(), tcp_port).prop_map(|(direct, relayed, tcp_port)| PeerAddress {
        direct: direct.into_iter().map(Into::into).collect(),
        relay: relayed.then(|| "http://relay.example:3340/".to_owned()),
        tcp_port,
    })
}

fn client_message() -> impl Strategy<Value = ClientMessage> {
    let object = || any::<[u8; 32]>().prop_map(ObjectId::new);
    let peer = || any::<[u8; 32]>().prop_map(PeerId::new);
    let nat = || proptest::sample::select(NatClass::ALL.to_vec());
    let resume = any::<Option<u64>>();
    let login = (
        peer(),
        any::<[u8; 32]>(),
        any::<bool>(),
        address(),
        nat(),
        resume,
    )
        .prop_map(|(peer, half, share, address, nat, resume)| {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&half);
            let agent = "peerlift/0.1".to_owned();
            ClientMessage::Login(Login {
                peer,
                signature,
                agent,
                share,
                address,
                nat,
                resume,
            })
        });
    let known = proptest::collection::vec(peer(), 0..5);
    prop_oneof![
        login,
        (object(), any::<bool>())
            .prop_map(|(object, complete)| ClientMessage::Announce { object, complete }),
        object().prop_map(|object| ClientMessage::Withdraw { object }),
        (object(), 1..=PEERS_MAX, known)
            .prop_map(|(object, max, known)| ClientMessage::Query(Query { object, max, known })),
        (address(), nat()).prop_map(|(address, nat)| ClientMessage::Address { address, nat }),
        Just(ClientMessage::Ping),
        proptest::collection::vec(any::<u8>(), 0..80).prop_map(|ticket| {
            ClientMessage::Complain {
                ticket: ticket.into(),
            }
        }),
        ("[a-zA-Z0-9._-]{1,40}", "[a-zA-Z0-9._-]{0,40}")
            .prop_map(|(token, proof)| { ClientMessage::Token(ShownToken { token, proof }) }),
    ]
}

fn server_message() -> impl Strategy<Value = ServerMessage> {
    let introduction = (any::<[u8; 32]>(), address(), any::<bool>(), any::<bool>()).prop_map(
        |(peer, address, complete, dial)| Introduction {
            peer: PeerId::new(peer),
            address,
            ticket: Bytes::from_static(b"ticket"),
            complete,
            dial,
        },
    );
    let introductions = (
        any::<[u8; 32]>(),
        proptest::collection::vec(introduction, 0..4),
        any::<Option<u32>>(),
    )
        .prop_map(|(object, peers, spread)| {
            let object = ObjectId::new(object);
            ServerMessage::Introductions(Introductions {
                object,
                peers,
                spread,
            })
        });
    let welcome = (
        any::<Option<IpAddr>>(),
        any::<[u8; 32]>(),
        5u32..3600,
        any::<u64>(),
        any::<bool>(),
    )
        .prop_map(|(observed, key, keep_alive_s, session, resumed)| {
            let ticket_keys = vec![key];
            ServerMessage::Welcome(Welcome {
                observed,
                ticket_keys,
                keep_alive_s,
                session,
                resumed,
            })
        });
    let challenge = (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<u64>())
        .prop_map(|(nonce, node, time)| ServerMessage::Challenge(Challenge { nonce, node, time }));
    prop_oneof![
        introductions,
        welcome,
        challenge,
        Just(ServerMessage::Pong),
        Just(ServerMessage::Drain { seconds: 7 }),
        Just(ServerMessage::Recall),
        any::<[u8; 32]>().prop_map(|id| ServerMessage::Block {
            object: ObjectId::new(id)
        }),
        (any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(object, publisher)| {
            ServerMessage::Blocked(Blocked {
                objects: vec![ObjectId::new(object)],
                publishers: vec![PublisherId::new(publisher)],
            })
        }),
        Just(ServerMessage::Error {
            code: ErrorCode::Busy,
            text: "later".to_owned(),
            retry_after_s: 3
        }),
    ]
}

proptest! {
    #[test]
    fn client_messages_round_trip(message in client_message()) {
        prop_assert_eq!(ClientMessage::decode(message.encode().into()), Ok(message));
    }

    #[test]
    fn server_messages_round_trip(message in server_message()) {
        prop_assert_eq!(ServerMessage::decode(message.encode().into()), Ok(message));
    }

    #[test]
    fn server_messages_are_what_prost_writes(message in server_message()) {
        let bytes = message.encode();
        let read = proto::ServerMessage::decode(&bytes[..]).unwrap();
        prop_assert_eq!(read.encode_to_vec(), bytes);
    }

    #[test]
    fn no_bytes_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_control(&data);
    }
}

#[test]
fn a_login_answers_one_challenge_of_one_node() {
    let key = SigningKey::from_bytes(&[5; 32]);
    let challenge = Challenge {
        nonce: [1; 32],
        node: [2; 32],
        time: 0,
    };
    let login = Login {
        peer: PeerId::new(key.verifying_key().to_bytes()),
        signature: Login::sign(&key, &challenge),
        agent: String::new(),
        share: false,
        address: PeerAddress::default(),
        nat: NatClass::Unknown,
        resume: None,
    };
    assert!(login.verify(&challenge));
    assert!(
        !login.verify(&Challenge {
            nonce: [3; 32],
            ..challenge.clone()
        }),
        "replayed"
    );
    assert!(
        !login.verify(&Challenge {
            node: [3; 32],
            ..challenge.clone()
        }),
        "passed on"
    );
    let stolen = Login {
        peer: PeerId::new([0; 32]),
        ..login
    };
    assert!(!stolen.verify(&challenge), "another's key");
}

#[test]
fn what_is_too_much_is_refused() {
    let object = bytes(&[0; 32]);
    let known = vec![bytes(&[0; 32]); KNOWN_MAX + 1];
    let query = proto::Query {
        object,
        max: 0,
        known,
    };
    let kind = Some(proto::client_message::Kind::Query(query));
    let message = proto::ClientMessage { kind }.encode_to_vec();
    assert!(matches!(
        ClientMessage::decode(message.into()),
        Err(WireError::TooLong { field: "known", .. })
    ));
    let long = vec![0; CLIENT_MESSAGE_BYTES_MAX + 1];
    assert!(matches!(
        ClientMessage::decode(long.into()),
        Err(WireError::TooLong {
            field: "message",
            ..
        })
    ));
}

#[test]
fn tokens_have_their_letters_and_their_length_and_are_never_shown() {
    let decode = |token: &str| {
        let shown = ShownToken {
            token: token.to_owned(),
            proof: String::new(),
        };
        ClientMessage::decode(ClientMessage::Token(shown).encode().into())
    };
    let longest = "s".repeat(TOKEN_BYTES_MAX);
    let message = decode(&longest).unwrap();
    assert!(!format!("{message:?}").contains("ss"));
    assert!(decode(&(longest + "s")).is_err());
    assert_eq!(decode("a b"), Err(malformed("token")));
}

#[test]
fn a_block_list_has_a_limit() {
    let of = |count| {
        ServerMessage::Blocked(Blocked {
            objects: vec![ObjectId::new([1; 32]); count],
            publishers: vec![PublisherId::new([2; 32])],
        })
    };
    assert!(ServerMessage::decode(of(BLOCKED_MAX - 1).encode().into()).is_ok());
    assert!(matches!(
        ServerMessage::decode(of(BLOCKED_MAX).encode().into()),
        Err(WireError::TooLong {
            field: "blocked",
            ..
        })
    ));
}

#[test]
fn messages_of_no_kind_are_refused() {
    assert_eq!(
        ClientMessage::decode(Bytes::new()),
        Err(WireError::UnknownKind)
    );
    assert_eq!(
        ServerMessage::decode(Bytes::new()),
        Err(WireError::UnknownKind)
    );
}

#[test]
fn texts_from_strangers_are_harmless() {
    let message = ServerMessage::Error {
        code: ErrorCode::Busy,
        text: "\u{1b}[31mred\n".to_owned(),
        retry_after_s: 0,
    };
    let decoded = ServerMessage::decode(message.encode().into()).unwrap();
    assert!(matches!(decoded, ServerMessage::Error { text, .. } if text == "[31mred"));
}
