//! Introduction tickets: a control node's signed word that one peer may ask another for an object.
//!
//! A peer that is asked checks the ticket offline, against the keys that its own control nodes
//! told it. The signature is Ed25519 (RFC 8032) over `CONTEXT` and the body.

use bytes::Bytes;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use peerlift_model::{ObjectId, PeerId};
use prost::Message;
use thiserror::Error;

use crate::WireError;
use crate::error::{malformed, object, peer};
use crate::proto::ticket as proto;

/// The longest encoded ticket: its fields take some 240 bytes.
pub const TICKET_BYTES_MAX: usize = 512;

/// How long a ticket is good for, in seconds: long enough to connect through a bad NAT and to come
/// back after a lost connection, short enough that a quarantined peer is soon shut out.
pub const TICKET_LIFE_S: u64 = 600;

/// How far two clocks may be apart, in seconds.
pub const CLOCK_SKEW_S: u64 = 120;

/// What precedes the body under the signature, so that it can never be taken for anything else
/// that the same key signs.
const CONTEXT: &[u8] = b"peerlift introduction ticket v1\0";

/// The right of `from` to ask `to` for `object`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Who may ask.
    pub from: PeerId,
    /// Who may be asked.
    pub to: PeerId,
    /// For what.
    pub object: ObjectId,
    /// When it was signed, in Unix seconds.
    pub issued: u64,
    /// When it ends, in Unix seconds.
    pub expires: u64,
}

/// Why a ticket is not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TicketError {
    /// Not a ticket at all.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Signed by a key that is not trusted.
    #[error("the ticket is signed by an unknown control node")]
    UnknownNode,
    /// The signature does not fit.
    #[error("the ticket's signature is wrong")]
    BadSignature,
    /// It is over, or has not begun.
    #[error("the ticket is not valid at this time")]
    NotNow,
    /// It is for other peers or another object.
    #[error("the ticket is for somebody or something else")]
    NotForThis,
}

impl Ticket {
    /// Signs the ticket.
    #[must_use]
    pub fn sign(&self, node: &SigningKey) -> Bytes {
        let body = proto::TicketBody {
            from: id(self.from.as_bytes()),
            to: id(self.to.as_bytes()),
            object: id(self.object.as_bytes()),
            issued: self.issued,
            expires: self.expires,
        }
        .encode_to_vec();
        let signature = node.sign(&signed_bytes(&body)).to_bytes();
        let signed = proto::SignedTicket {
            body: body.into(),
            node: id(node.verifying_key().as_bytes()),
            signature: signature.to_vec().into(),
        };
        signed.encode_to_vec().into()
    }

    /// Checks the signature and the time of a ticket and returns what it says.
    ///
    /// # Errors
    ///
    /// [`TicketError`]; never [`TicketError::NotForThis`].
    pub fn verify(bytes: Bytes, trusted: &[[u8; 32]], unix_now: u64) -> Result<Self, TicketError> {
        if bytes.len() > TICKET_BYTES_MAX {
            let field = "ticket";
            return Err(WireError::TooLong {
                field,
                max: TICKET_BYTES_MAX,
            }
            .into());
        }
        let signed = proto::SignedTicket::decode(bytes).map_err(WireError::from)?;
        let node: [u8; 32] = signed
            .node
            .as_ref()
            .try_into()
            .map_err(|_| malformed("node"))?;
        if !trusted.contains(&node) {
            return Err(TicketError::UnknownNode);
        }
        verify_signature(&node, &signed)?;
        let ticket = Self::from_body(signed.body)?;
        let now_ish =
            ticket.issued.saturating_sub(CLOCK_SKEW_S)..ticket.expires.saturating_add(CLOCK_SKEW_S);
        if now_ish.contains(&unix_now) {
            Ok(ticket)
        } else {
            Err(TicketError::NotNow)
        }
    }

    /// Checks that the ticket lets `from` ask `to` for `object`.
    ///
    /// # Errors
    ///
    /// [`TicketError::NotForThis`].
    pub fn check(&self, from: PeerId, to: PeerId, object: ObjectId) -> Result<(), TicketError> {
        if (self.from, self.to, self.object) == (from, to, object) {
            Ok(())
        } else {
            Err(TicketError::NotForThis)
        }
    }

    fn from_body(body: Bytes) -> Result<Self, WireError> {
        let body = proto::TicketBody::decode(body)?;
        Ok(Self {
            from: peer(&body.from, "from")?,
            to: peer(&body.to, "to")?,
            object: object(&body.object)?,
            issued: body.issued,
            expires: body.expires,
        })
    }
}

fn verify_signature(node: &[u8; 32], signed: &proto::SignedTicket) -> Result<(), TicketError> {
    let bad = |_| TicketError::BadSignature;
    let key = VerifyingKey::from_bytes(node).map_err(bad)?;
    let signature = Signature::from_slice(&signed.signature).map_err(bad)?;
    key.verify_strict(&signed_bytes(&signed.body), &signature)
        .map_err(bad)
}

fn signed_bytes(body: &[u8]) -> Vec<u8> {
    [CONTEXT, body].concat()
}

fn id(bytes: &[u8; 32]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

/// Feeds arbitrary bytes to the ticket parser, behind the signature check too.
///
/// # Panics
///
/// When a ticket is taken although nobody is trusted.
pub fn fuzz_ticket(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    assert!(
        Ticket::verify(bytes.clone(), &[], 0).is_err(),
        "nobody is trusted"
    );
    let _ = Ticket::from_body(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn ticket() -> Ticket {
        Ticket {
            from: PeerId::new([1; 32]),
            to: PeerId::new([2; 32]),
            object: ObjectId::new([3; 32]),
            issued: NOW,
            expires: NOW + TICKET_LIFE_S,
        }
    }

    fn node() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    #[test]
    fn a_signed_ticket_says_what_was_signed() {
        let trusted = [*node().verifying_key().as_bytes()];
        let bytes = ticket().sign(&node());
        assert!(bytes.len() <= TICKET_BYTES_MAX);
        assert_eq!(Ticket::verify(bytes, &trusted, NOW), Ok(ticket()));
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let trusted = [*node().verifying_key().as_bytes()];
        let good = ticket().sign(&node());
        for bit in 0..good.len() * 8 {
            let mut bytes = good.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(
                Ticket::verify(bytes.into(), &trusted, NOW).is_err(),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn tickets_of_strangers_and_of_other_times_are_refused() {
        let trusted = [*node().verifying_key().as_bytes()];
        let bytes = ticket().sign(&node());
        let at = |now| Ticket::verify(bytes.clone(), &trusted, now);
        assert_eq!(
            Ticket::verify(bytes.clone(), &[[9; 32]], NOW),
            Err(TicketError::UnknownNode)
        );
        assert!(at(NOW - CLOCK_SKEW_S).is_ok());
        assert_eq!(at(NOW - CLOCK_SKEW_S - 1), Err(TicketError::NotNow));
        assert!(at(NOW + TICKET_LIFE_S + CLOCK_SKEW_S - 1).is_ok());
        assert_eq!(
            at(NOW + TICKET_LIFE_S + CLOCK_SKEW_S),
            Err(TicketError::NotNow)
        );
    }

    #[test]
    fn a_ticket_is_for_two_peers_and_one_object() {
        let ticket = ticket();
        assert_eq!(ticket.check(ticket.from, ticket.to, ticket.object), Ok(()));
        assert!(ticket.check(ticket.to, ticket.from, ticket.object).is_err());
        assert!(
            ticket
                .check(ticket.from, ticket.to, ObjectId::new([4; 32]))
                .is_err()
        );
    }
}
