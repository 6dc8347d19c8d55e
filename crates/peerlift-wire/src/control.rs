//! What a client and a control node say to one another. Each is one binary WebSocket message.

use std::net::IpAddr;

use bytes::Bytes;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use peerlift_model::{ObjectId, PeerId};
use prost::Message;

use crate::error::{AGENT_BYTES_MAX, malformed, object, peer, text};
use crate::proto::control as proto;
use crate::ticket::TICKET_BYTES_MAX;
use crate::{PeerAddress, WireError};

/// The WebSocket sub-protocol (RFC 6455 §1.9).
pub const SUB_PROTOCOL: &str = "peerlift.control.v1";

/// Where a control node listens, below its origin.
pub const PATH: &str = "/.peerlift/control";

/// The longest message from a client: a login with all its addresses, or a query that knows
/// [`KNOWN_MAX`] peers.
pub const CLIENT_MESSAGE_BYTES_MAX: usize = 8 * 1024;

/// The longest message from a node: [`PEERS_MAX`] introductions with all their addresses.
pub const SERVER_MESSAGE_BYTES_MAX: usize = 128 * 1024;

/// The most peers in one answer.
pub const PEERS_MAX: usize = 40;

/// The most peers that a query may name as known.
pub const KNOWN_MAX: usize = 128;

/// The most ticket keys a node may name: one for each node of a deployment.
pub const TICKET_KEYS_MAX: usize = 256;

/// What precedes the node's key and the nonce under the signature of a login.
const LOGIN_CONTEXT: &[u8] = b"peerlift control login v1\0";

/// A message of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientMessage {
    /// The first one.
    Login(Login),
    /// "I have (some of) this object, and serve it."
    Announce {
        /// The object.
        object: ObjectId,
        /// Whether all of it.
        complete: bool,
    },
    /// "I no longer serve this object, nor want it."
    Withdraw {
        /// The object.
        object: ObjectId,
    },
    /// "Whom can I ask for this object?"
    Query(Query),
    /// "I can be reached elsewhere now."
    Address(PeerAddress),
    /// "I am still here."
    Ping,
}

/// A client shows that it holds the key it claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The client's key.
    pub peer: PeerId,
    /// Over the node's key and its nonce; see [`Login::sign`].
    pub signature: [u8; 64],
    /// Program and version.
    pub agent: String,
    /// Whether the user has agreed to serve others.
    pub share: bool,
    /// Where it can be reached.
    pub address: PeerAddress,
}

/// A client asks for peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The object.
    pub object: ObjectId,
    /// How many peers at most, 1..=[`PEERS_MAX`].
    pub max: usize,
    /// Peers that need no introduction.
    pub known: Vec<PeerId>,
}

/// A message of a control node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMessage {
    /// The first one.
    Challenge(Challenge),
    /// The login was accepted.
    Welcome(Welcome),
    /// Peers: the answer to a query, or news.
    Introductions(Introductions),
    /// The answer to a ping.
    Pong,
    /// The node will end; go elsewhere within so many seconds.
    Drain {
        /// Seconds left.
        seconds: u32,
    },
    /// Something was refused. After all but [`ErrorCode::Busy`] the node closes the session.
    Error {
        /// What kind of refusal.
        code: ErrorCode,
        /// For a person.
        text: String,
        /// Seconds to wait before the next try.
        retry_after_s: u32,
    },
}

/// What a client must sign to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Never used twice.
    pub nonce: [u8; 32],
    /// The node's key.
    pub node: [u8; 32],
    /// Unix seconds by the node's clock.
    pub time: u64,
}

/// What a client learns when it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The client's address as the node sees it.
    pub observed: Option<IpAddr>,
    /// Keys whose tickets the client should take.
    pub ticket_keys: Vec<[u8; 32]>,
    /// How often to send a ping when nothing else is said, in seconds, 5..=3600.
    pub keep_alive_s: u32,
    /// The node's number for the session, for logs.
    pub session: u64,
}

/// Peers for an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introductions {
    /// The object.
    pub object: ObjectId,
    /// Who has some of it.
    pub peers: Vec<Introduction>,
    /// Where in the object the client should begin to take from an edge.
    pub spread: Option<u32>,
}

/// One peer that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// Its key.
    pub peer: PeerId,
    /// Where it can be reached.
    pub address: PeerAddress,
    /// The client's right to ask it.
    pub ticket: Bytes,
    /// Whether it has all of the object.
    pub complete: bool,
    /// Whether the client should connect; otherwise the peer will.
    pub dial: bool,
}

/// What kind of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// Too many sessions or queries.
    Busy,
    /// The login is wrong.
    BadLogin,
    /// The same key logged in again.
    Replaced,
    /// The client broke the protocol.
    Protocol,
}

impl Login {
    /// The signature that answers a challenge.
    #[must_use]
    pub fn sign(key: &SigningKey, challenge: &Challenge) -> [u8; 64] {
        key.sign(&login_bytes(challenge)).to_bytes()
    }

    /// Whether the signature answers the challenge.
    #[must_use]
    pub fn verify(&self, challenge: &Challenge) -> bool {
        let signature = Signature::from_bytes(&self.signature);
        VerifyingKey::from_bytes(self.peer.as_bytes()).is_ok_and(|key| {
            key.verify_strict(&login_bytes(challenge), &signature)
                .is_ok()
        })
    }
}

fn login_bytes(challenge: &Challenge) -> Vec<u8> {
    [LOGIN_CONTEXT, &challenge.node, &challenge.nonce].concat()
}

impl ClientMessage {
    /// The message as it goes into a WebSocket message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        use proto::client_message::Kind;
        let kind = match self {
            Self::Login(login) => Kind::Login(proto::Login {
                peer: bytes(login.peer.as_bytes()),
                signature: bytes(&login.signature),
                agent: login.agent.clone(),
                share: login.share,
                address: Some(login.address.to_proto()),
            }),
            Self::Announce { object, complete } => Kind::Announce(proto::Announce {
                object: bytes(object.as_bytes()),
                complete: *complete,
            }),
            Self::Withdraw { object } => Kind::Withdraw(proto::Withdraw {
                object: bytes(object.as_bytes()),
            }),
            Self::Query(query) => Kind::Query(proto::Query {
                object: bytes(query.object.as_bytes()),
                max: u32::try_from(query.max.min(PEERS_MAX)).unwrap_or(0),
                known: query
                    .known
                    .iter()
                    .take(KNOWN_MAX)
                    .map(|p| bytes(p.as_bytes()))
                    .collect(),
            }),
            Self::Address(address) => Kind::Address(address.to_proto()),
            Self::Ping => Kind::Ping(proto::Ping {}),
        };
        proto::ClientMessage { kind: Some(kind) }.encode_to_vec()
    }

    /// Reads a WebSocket message.
    ///
    /// # Errors
    ///
    /// [`WireError`] when it is anything but a well-formed message.
    pub fn decode(message: Bytes) -> Result<Self, WireError> {
        use proto::client_message::Kind;
        limit(&message, CLIENT_MESSAGE_BYTES_MAX)?;
        match proto::ClientMessage::decode(message)?
            .kind
            .ok_or(WireError::UnknownKind)?
        {
            Kind::Login(login) => Ok(Self::Login(Login {
                peer: peer(&login.peer, "peer")?,
                signature: array(&login.signature, "signature")?,
                agent: text(&login.agent, "agent", AGENT_BYTES_MAX)?,
                share: login.share,
                address: PeerAddress::from_proto(login.address)?,
            })),
            Kind::Announce(announce) => Ok(Self::Announce {
                object: object(&announce.object)?,
                complete: announce.complete,
            }),
            Kind::Withdraw(withdraw) => Ok(Self::Withdraw {
                object: object(&withdraw.object)?,
            }),
            Kind::Query(query) => decode_query(&query).map(Self::Query),
            Kind::Address(address) => PeerAddress::from_proto(Some(address)).map(Self::Address),
            Kind::Ping(proto::Ping {}) => Ok(Self::Ping),
        }
    }
}

fn decode_query(query: &proto::Query) -> Result<Query, WireError> {
    if query.known.len() > KNOWN_MAX {
        return Err(WireError::TooLong {
            field: "known",
            max: KNOWN_MAX,
        });
    }
    let asked = usize::try_from(query.max).unwrap_or(PEERS_MAX);
    Ok(Query {
        object: object(&query.object)?,
        max: if asked == 0 {
            PEERS_MAX
        } else {
            asked.min(PEERS_MAX)
        },
        known: query
            .known
            .iter()
            .map(|id| peer(id, "known"))
            .collect::<Result<_, _>>()?,
    })
}

impl ServerMessage {
    /// The message as it goes into a WebSocket message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        use proto::server_message::Kind;
        let kind = match self {
            Self::Challenge(challenge) => Kind::Challenge(proto::Challenge {
                nonce: bytes(&challenge.nonce),
                node: bytes(&challenge.node),
                time: challenge.time,
            }),
            Self::Welcome(welcome) => Kind::Welcome(proto::Welcome {
                observed: welcome
                    .observed
                    .map(|ip| ip.to_string())
                    .unwrap_or_default(),
                ticket_keys: welcome.ticket_keys.iter().map(|key| bytes(key)).collect(),
                keep_alive_s: welcome.keep_alive_s,
                session: welcome.session,
            }),
            Self::Introductions(introductions) => {
                Kind::Introductions(encode_introductions(introductions))
            }
            Self::Pong => Kind::Pong(proto::Pong {}),
            Self::Drain { seconds } => Kind::Drain(proto::Drain { seconds: *seconds }),
            Self::Error {
                code,
                text,
                retry_after_s,
            } => Kind::Error(proto::Error {
                code: code.to_proto().into(),
                text: text.clone(),
                retry_after_s: *retry_after_s,
            }),
        };
        proto::ServerMessage { kind: Some(kind) }.encode_to_vec()
    }

    /// Reads a WebSocket message.
    ///
    /// # Errors
    ///
    /// [`WireError`] when it is anything but a well-formed message.
    pub fn decode(message: Bytes) -> Result<Self, WireError> {
        use proto::server_message::Kind;
        limit(&message, SERVER_MESSAGE_BYTES_MAX)?;
        match proto::ServerMessage::decode(message)?
            .kind
            .ok_or(WireError::UnknownKind)?
        {
            Kind::Challenge(challenge) => Ok(Self::Challenge(Challenge {
                nonce: array(&challenge.nonce, "nonce")?,
                node: array(&challenge.node, "node")?,
                time: challenge.time,
            })),
            Kind::Welcome(welcome) => decode_welcome(&welcome).map(Self::Welcome),
            Kind::Introductions(introductions) => {
                decode_introductions(introductions).map(Self::Introductions)
            }
            Kind::Pong(proto::Pong {}) => Ok(Self::Pong),
            Kind::Drain(drain) => Ok(Self::Drain {
                seconds: drain.seconds,
            }),
            Kind::Error(error) => Ok(Self::Error {
                code: ErrorCode::from_proto(error.code)?,
                text: text(&error.text, "text", ERROR_TEXT_BYTES_MAX)?,
                retry_after_s: error.retry_after_s,
            }),
        }
    }
}

/// The longest text of an error.
const ERROR_TEXT_BYTES_MAX: usize = 256;

fn encode_introductions(introductions: &Introductions) -> proto::Introductions {
    let peers = introductions
        .peers
        .iter()
        .take(PEERS_MAX)
        .map(|peer| proto::Introduction {
            peer: bytes(peer.peer.as_bytes()),
            address: Some(peer.address.to_proto()),
            ticket: peer.ticket.clone(),
            complete: peer.complete,
            dial: peer.dial,
        });
    proto::Introductions {
        object: bytes(introductions.object.as_bytes()),
        peers: peers.collect(),
        spread: introductions.spread,
    }
}

fn decode_introductions(message: proto::Introductions) -> Result<Introductions, WireError> {
    if message.peers.len() > PEERS_MAX {
        return Err(WireError::TooLong {
            field: "peers",
            max: PEERS_MAX,
        });
    }
    let introduction = |one: proto::Introduction| {
        if one.ticket.len() > TICKET_BYTES_MAX {
            return Err(WireError::TooLong {
                field: "ticket",
                max: TICKET_BYTES_MAX,
            });
        }
        Ok(Introduction {
            peer: peer(&one.peer, "peer")?,
            address: PeerAddress::from_proto(one.address)?,
            ticket: one.ticket,
            complete: one.complete,
            dial: one.dial,
        })
    };
    Ok(Introductions {
        object: object(&message.object)?,
        peers: message
            .peers
            .into_iter()
            .map(introduction)
            .collect::<Result<_, _>>()?,
        spread: message.spread,
    })
}

fn decode_welcome(welcome: &proto::Welcome) -> Result<Welcome, WireError> {
    if welcome.ticket_keys.len() > TICKET_KEYS_MAX {
        return Err(WireError::TooLong {
            field: "ticket keys",
            max: TICKET_KEYS_MAX,
        });
    }
    let observed = match welcome.observed.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| malformed("observed"))?),
    };
    let keys = welcome
        .ticket_keys
        .iter()
        .map(|key| array(key, "ticket key"));
    Ok(Welcome {
        observed,
        ticket_keys: keys.collect::<Result<_, _>>()?,
        keep_alive_s: welcome.keep_alive_s.clamp(5, 3600),
        session: welcome.session,
    })
}

impl ErrorCode {
    fn to_proto(self) -> proto::error::Code {
        use proto::error::Code;
        match self {
            Self::Busy => Code::Busy,
            Self::BadLogin => Code::BadLogin,
            Self::Replaced => Code::Replaced,
            Self::Protocol => Code::Protocol,
        }
    }

    fn from_proto(code: i32) -> Result<Self, WireError> {
        use proto::error::Code;
        match Code::try_from(code).map_err(|_| malformed("code"))? {
            Code::Busy => Ok(Self::Busy),
            Code::BadLogin => Ok(Self::BadLogin),
            Code::Replaced => Ok(Self::Replaced),
            Code::Protocol => Ok(Self::Protocol),
            Code::Unspecified => Err(malformed("code")),
        }
    }
}

fn bytes(slice: &[u8]) -> Bytes {
    Bytes::copy_from_slice(slice)
}

fn array<const N: usize>(slice: &[u8], field: &'static str) -> Result<[u8; N], WireError> {
    slice.try_into().map_err(|_| malformed(field))
}

fn limit(message: &Bytes, max: usize) -> Result<(), WireError> {
    if message.len() > max {
        Err(WireError::TooLong {
            field: "message",
            max,
        })
    } else {
        Ok(())
    }
}

/// Feeds arbitrary bytes to every decoder of this module.
///
/// # Panics
///
/// When a message that decodes does not encode to the same message.
pub fn fuzz_control(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(message) = ClientMessage::decode(bytes.clone()) {
        let again = ClientMessage::decode(message.encode().into());
        assert_eq!(
            again.as_ref(),
            Ok(&message),
            "what decodes encodes to the same"
        );
    }
    if let Ok(message) = ServerMessage::decode(bytes) {
        let again = ServerMessage::decode(message.encode().into());
        assert_eq!(
            again.as_ref(),
            Ok(&message),
            "what decodes encodes to the same"
        );
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address() -> impl Strategy<Value = PeerAddress> {
        let direct = proptest::collection::vec(any::<std::net::SocketAddrV4>(), 0..4);
        (direct, any::<bool>()).prop_map(|(direct, relayed)| PeerAddress {
            direct: direct.into_iter().map(Into::into).collect(),
            relay: relayed.then(|| "http://relay.example:3340/".to_owned()),
        })
    }

    fn client_message() -> impl Strategy<Value = ClientMessage> {
        let object = || any::<[u8; 32]>().prop_map(ObjectId::new);
        let peer = || any::<[u8; 32]>().prop_map(PeerId::new);
        let login = (peer(), any::<[u8; 32]>(), any::<bool>(), address()).prop_map(
            |(peer, half, share, address)| {
                let mut signature = [0; 64];
                signature[..32].copy_from_slice(&half);
                let agent = "peerlift/0.1".to_owned();
                ClientMessage::Login(Login {
                    peer,
                    signature,
                    agent,
                    share,
                    address,
                })
            },
        );
        let known = proptest::collection::vec(peer(), 0..5);
        prop_oneof![
            login,
            (object(), any::<bool>())
                .prop_map(|(object, complete)| ClientMessage::Announce { object, complete }),
            object().prop_map(|object| ClientMessage::Withdraw { object }),
            (object(), 1..=PEERS_MAX, known).prop_map(|(object, max, known)| ClientMessage::Query(
                Query { object, max, known }
            )),
            address().prop_map(ClientMessage::Address),
            Just(ClientMessage::Ping),
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
        )
            .prop_map(|(observed, key, keep_alive_s, session)| {
                let ticket_keys = vec![key];
                ServerMessage::Welcome(Welcome {
                    observed,
                    ticket_keys,
                    keep_alive_s,
                    session,
                })
            });
        let challenge =
            (any::<[u8; 32]>(), any::<[u8; 32]>(), any::<u64>()).prop_map(|(nonce, node, time)| {
                ServerMessage::Challenge(Challenge { nonce, node, time })
            });
        prop_oneof![
            introductions,
            welcome,
            challenge,
            Just(ServerMessage::Pong),
            Just(ServerMessage::Drain { seconds: 7 }),
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
}
