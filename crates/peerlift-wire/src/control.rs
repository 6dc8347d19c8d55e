//! What a client and a control node say to one another. Each is one binary WebSocket message.

use std::net::IpAddr;

use bytes::Bytes;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use peerlift_model::{NatClass, ObjectId, PeerId, PublisherId};
use prost::Message;

use crate::error::{AGENT_BYTES_MAX, malformed, object, peer, text};
use crate::proto::control as proto;
use crate::ticket::TICKET_BYTES_MAX;
use crate::{PeerAddress, WireError};

/// The WebSocket sub-protocol (RFC 6455 §1.9).
pub const SUB_PROTOCOL: &str = "peerlift.control.v1";

/// Where a control node listens, below its origin.
pub const PATH: &str = "/.peerlift/control";

/// The longest message from a client: a token with its proof.
pub const CLIENT_MESSAGE_BYTES_MAX: usize = 2 * TOKEN_BYTES_MAX + 64;

/// The longest message from a node: [`PEERS_MAX`] introductions with all their addresses.
pub const SERVER_MESSAGE_BYTES_MAX: usize = 128 * 1024;

/// The most peers in one answer.
pub const PEERS_MAX: usize = 40;

/// The most peers that a query may name as known.
pub const KNOWN_MAX: usize = 128;

/// The most ticket keys a node may name: one for each node of a deployment.
pub const TICKET_KEYS_MAX: usize = 256;

/// The longest token, and the longest proof, that a client may show.
pub const TOKEN_BYTES_MAX: usize = 4096;

/// The most objects and publishers, together, that a node may call blocked.
pub const BLOCKED_MAX: usize = 1024;

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
    Address {
        /// Where.
        address: PeerAddress,
        /// Behind what NAT.
        nat: NatClass,
    },
    /// "I am still here."
    Ping,
    /// "The peer that this ticket let me ask has not what it announced, or sends what is not."
    Complain {
        /// The client's right to ask it, by which the node knows that it named that peer.
        ticket: Bytes,
    },
    /// "A publisher lets me fetch."
    Token(ShownToken),
}

/// A publisher's token, and the proof that it is the client's.
#[derive(Clone, PartialEq, Eq)]
pub struct ShownToken {
    /// The token's text.
    pub token: String,
    /// The proof, for the session's challenge; empty: the token is bound to no key.
    pub proof: String,
}

impl std::fmt::Debug for ShownToken {
    /// Shows nothing: what it holds is a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ShownToken")
    }
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
    /// Behind what NAT.
    pub nat: NatClass,
    /// The digest of what it has announced to this node before, to go on from there.
    pub resume: Option<u64>,
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
    /// All that is neither to be fetched nor served; replaces what was said before.
    Blocked(Blocked),
    /// Keys whose tickets the client should take from now on as well.
    TicketKeys {
        /// The keys.
        keys: Vec<[u8; 32]>,
    },
    /// Something was refused. After all but [`ErrorCode::Busy`] and [`ErrorCode::Denied`] the node
    /// closes the session.
    Error {
        /// What kind of refusal.
        code: ErrorCode,
        /// For a person.
        text: String,
        /// Seconds to wait before the next try.
        retry_after_s: u32,
    },
    /// The node has forgotten what the client has: all of it should be announced again.
    Recall,
    /// The operator has forbidden an object: it is not to be served to peers, nor asked for.
    Block {
        /// The object.
        object: ObjectId,
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
    /// Whether what was announced in an earlier session still counts.
    pub resumed: bool,
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

/// What an operator has blocked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocked {
    /// Objects.
    pub objects: Vec<ObjectId>,
    /// Publishers, with all their objects.
    pub publishers: Vec<PublisherId>,
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
    /// The object needs a token that was not shown, or is blocked. The session goes on.
    Denied,
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
                address: Some(address_with_nat(&login.address, login.nat)),
                resume: login.resume,
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
            Self::Address { address, nat } => Kind::Address(address_with_nat(address, *nat)),
            Self::Ping => Kind::Ping(proto::Ping {}),
            Self::Complain { ticket } => Kind::Complaint(proto::Complaint {
                ticket: ticket.clone(),
            }),
            Self::Token(shown) => Kind::Token(proto::Token {
                token: shown.token.clone(),
                proof: shown.proof.clone(),
            }),
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
                nat: nat(login.address.as_ref()),
                address: PeerAddress::from_proto(login.address)?,
                resume: login.resume,
            })),
            Kind::Announce(announce) => Ok(Self::Announce {
                object: object(&announce.object)?,
                complete: announce.complete,
            }),
            Kind::Withdraw(withdraw) => Ok(Self::Withdraw {
                object: object(&withdraw.object)?,
            }),
            Kind::Query(query) => decode_query(&query).map(Self::Query),
            Kind::Address(address) => Ok(Self::Address {
                nat: nat(Some(&address)),
                address: PeerAddress::from_proto(Some(address))?,
            }),
            Kind::Ping(proto::Ping {}) => Ok(Self::Ping),
            Kind::Complaint(complaint) => Ok(Self::Complain {
                ticket: ticket(complaint.ticket)?,
            }),
            Kind::Token(shown) => Ok(Self::Token(ShownToken {
                token: compact(shown.token, "token")?,
                proof: compact(shown.proof, "proof")?,
            })),
        }
    }
}

fn address_with_nat(address: &PeerAddress, nat: NatClass) -> proto::Address {
    let nat = match nat {
        NatClass::Unknown => proto::Nat::Unknown,
        NatClass::Open => proto::Nat::Open,
        NatClass::Easy => proto::Nat::Easy,
        NatClass::Hard => proto::Nat::Hard,
        NatClass::Blocked => proto::Nat::Blocked,
    };
    proto::Address {
        nat: nat.into(),
        ..address.to_proto()
    }
}

/// The NAT that is told; a class that this version does not know is unknown.
fn nat(address: Option<&proto::Address>) -> NatClass {
    let told = address.and_then(|address| proto::Nat::try_from(address.nat).ok());
    match told.unwrap_or(proto::Nat::Unknown) {
        proto::Nat::Unknown => NatClass::Unknown,
        proto::Nat::Open => NatClass::Open,
        proto::Nat::Easy => NatClass::Easy,
        proto::Nat::Hard => NatClass::Hard,
        proto::Nat::Blocked => NatClass::Blocked,
    }
}

/// The text of a signed statement, whatever it says: base64url and full stops (RFC 7515 §7.1).
fn compact(text: String, field: &'static str) -> Result<String, WireError> {
    let max = TOKEN_BYTES_MAX;
    if text.len() > max {
        return Err(WireError::TooLong { field, max });
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match text.bytes().all(fits) {
        true => Ok(text),
        false => Err(malformed(field)),
    }
}

/// A ticket, whatever it says: it is read by whoever checks it.
fn ticket(bytes: Bytes) -> Result<Bytes, WireError> {
    match bytes.len() {
        0..=TICKET_BYTES_MAX => Ok(bytes),
        _ => Err(WireError::TooLong {
            field: "ticket",
            max: TICKET_BYTES_MAX,
        }),
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
                resumed: welcome.resumed,
            }),
            Self::Introductions(introductions) => {
                Kind::Introductions(encode_introductions(introductions))
            }
            Self::Pong => Kind::Pong(proto::Pong {}),
            Self::Drain { seconds } => Kind::Drain(proto::Drain { seconds: *seconds }),
            Self::Blocked(blocked) => Kind::Blocked(proto::Blocked {
                objects: blocked
                    .objects
                    .iter()
                    .map(|id| bytes(id.as_bytes()))
                    .collect(),
                publishers: blocked
                    .publishers
                    .iter()
                    .map(|id| bytes(id.as_bytes()))
                    .collect(),
            }),
            Self::TicketKeys { keys } => Kind::TicketKeys(proto::TicketKeys {
                keys: keys.iter().map(|key| bytes(key)).collect(),
            }),
            Self::Error {
                code,
                text,
                retry_after_s,
            } => Kind::Error(proto::Error {
                code: code.to_proto().into(),
                text: text.clone(),
                retry_after_s: *retry_after_s,
            }),
            Self::Recall => Kind::Recall(proto::Recall {}),
            Self::Block { object } => Kind::Block(proto::Block {
                object: bytes(object.as_bytes()),
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
            Kind::Blocked(blocked) => decode_blocked(&blocked).map(Self::Blocked),
            Kind::TicketKeys(told) => Ok(Self::TicketKeys {
                keys: ticket_keys(&told.keys)?,
            }),
            Kind::Error(error) => Ok(Self::Error {
                code: ErrorCode::from_proto(error.code)?,
                text: text(&error.text, "text", ERROR_TEXT_BYTES_MAX)?,
                retry_after_s: error.retry_after_s,
            }),
            Kind::Recall(proto::Recall {}) => Ok(Self::Recall),
            Kind::Block(block) => Ok(Self::Block {
                object: object(&block.object)?,
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
        Ok::<_, WireError>(Introduction {
            peer: peer(&one.peer, "peer")?,
            address: PeerAddress::from_proto(one.address)?,
            ticket: ticket(one.ticket)?,
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

fn decode_blocked(blocked: &proto::Blocked) -> Result<Blocked, WireError> {
    if blocked.objects.len() + blocked.publishers.len() > BLOCKED_MAX {
        return Err(WireError::TooLong {
            field: "blocked",
            max: BLOCKED_MAX,
        });
    }
    let objects = blocked.objects.iter().map(|id| object(id));
    let publishers = blocked.publishers.iter();
    let publishers = publishers.map(|id| array(id, "publisher").map(PublisherId::new));
    Ok(Blocked {
        objects: objects.collect::<Result<_, _>>()?,
        publishers: publishers.collect::<Result<_, _>>()?,
    })
}

fn ticket_keys(keys: &[Bytes]) -> Result<Vec<[u8; 32]>, WireError> {
    if keys.len() > TICKET_KEYS_MAX {
        return Err(WireError::TooLong {
            field: "ticket keys",
            max: TICKET_KEYS_MAX,
        });
    }
    keys.iter().map(|key| array(key, "ticket key")).collect()
}

fn decode_welcome(welcome: &proto::Welcome) -> Result<Welcome, WireError> {
    let observed = match welcome.observed.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| malformed("observed"))?),
    };
    Ok(Welcome {
        observed,
        ticket_keys: ticket_keys(&welcome.ticket_keys)?,
        keep_alive_s: welcome.keep_alive_s.clamp(5, 3600),
        session: welcome.session,
        resumed: welcome.resumed,
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
            Self::Denied => Code::Denied,
        }
    }

    fn from_proto(code: i32) -> Result<Self, WireError> {
        use proto::error::Code;
        match Code::try_from(code).map_err(|_| malformed("code"))? {
            Code::Busy => Ok(Self::Busy),
            Code::BadLogin => Ok(Self::BadLogin),
            Code::Replaced => Ok(Self::Replaced),
            Code::Protocol => Ok(Self::Protocol),
            Code::Denied => Ok(Self::Denied),
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
            (object(), 1..=PEERS_MAX, known).prop_map(|(object, max, known)| ClientMessage::Query(
                Query { object, max, known }
            )),
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
}
