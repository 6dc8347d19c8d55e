//! How the messages of a client are written and read.

use bytes::Bytes;
use peerlift_model::NatClass;
use prost::Message;

use super::{
    CLIENT_MESSAGE_BYTES_MAX, ClientMessage, KNOWN_MAX, Login, PEERS_MAX, Query, ShownToken,
    TOKEN_BYTES_MAX, array, bytes, limit, ticket,
};
use crate::error::{AGENT_BYTES_MAX, malformed, object, peer, text};
use crate::proto::control as proto;
use crate::{PeerAddress, WireError};

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
