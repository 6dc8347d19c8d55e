//! What a client and a control node say to one another. Each is one binary WebSocket message.
//!
//! The messages and their limits are here; how they are written and read is in `client` and `node`,
//! by who says them.

mod client;
mod node;
#[cfg(test)]
mod tests;

use std::net::IpAddr;

use bytes::Bytes;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use peerlift_model::{NatClass, ObjectId, PeerId, PublisherId};

use crate::error::malformed;
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
