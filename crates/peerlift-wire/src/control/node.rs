//! How the messages of a control node are written and read.

use bytes::Bytes;
use peerlift_model::PublisherId;
use prost::Message;

use super::{
    BLOCKED_MAX, Blocked, Challenge, ErrorCode, Introduction, Introductions, PEERS_MAX,
    SERVER_MESSAGE_BYTES_MAX, ServerMessage, TICKET_KEYS_MAX, Welcome, array, bytes, limit, ticket,
};
use crate::error::{malformed, object, peer, text};
use crate::proto::control as proto;
use crate::{PeerAddress, WireError, fields};

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
            Self::Introductions(introductions) => return write_introductions(introductions),
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

/// Room for one peer that is introduced: a ticket, its key, and a few addresses.
const INTRODUCTION_BYTES: usize = 640;

/// An answer names forty peers, and a node writes thousands a second.
fn write_introductions(introductions: &Introductions) -> Vec<u8> {
    let peers = introductions.peers.len().min(PEERS_MAX);
    let mut message = Vec::with_capacity(64 + peers * INTRODUCTION_BYTES);
    fields::nested(INTRODUCTIONS, &mut message, |out| {
        fields::bytes(1, introductions.object.as_bytes(), out);
        for peer in &introductions.peers[..peers] {
            fields::nested(2, out, |out| write_introduction(peer, out));
        }
        if let Some(spread) = introductions.spread {
            fields::present_number(3, spread.into(), out);
        }
    });
    message
}

/// The field of introductions in a server's message.
const INTRODUCTIONS: u32 = 3;

fn write_introduction(introduction: &Introduction, out: &mut Vec<u8>) {
    fields::bytes(1, introduction.peer.as_bytes(), out);
    fields::nested(2, out, |out| introduction.address.write(out));
    fields::bytes(3, &introduction.ticket, out);
    fields::number(4, introduction.complete.into(), out);
    fields::number(5, introduction.dial.into(), out);
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
