//! Introduction tickets: a control node's signed word that one peer may ask another for an object.
//!
//! A peer that is asked checks the ticket offline, against the keys that its own control nodes
//! told it. The tickets of one answer are the leaves of a hash tree (`tree`), of which the node
//! signs the root once; each ticket carries the hashes that lead from itself to the root.

mod tree;

use std::ops::Range;

use bytes::Bytes;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use peerlift_model::{ObjectId, PeerId};
use prost::Message;
use thiserror::Error;

use crate::error::{malformed, object, peer};
use crate::proto::ticket as proto;
use crate::{WireError, fields};
use tree::Tree;

/// The longest encoded ticket: its fields take some 240 bytes, and the way to the root 32 for each
/// doubling of the number of tickets that are signed together.
pub const TICKET_BYTES_MAX: usize = 512;

/// Room for what a ticket says.
const BODY_BYTES: usize = 128;

/// How many tickets one signature can stand for; answers name fewer peers.
pub const TICKETS_TOGETHER_MAX: usize = 1 << tree::PATH_MAX;

/// How long a ticket is good for, in seconds: long enough to connect through a bad NAT and to come
/// back after a lost connection, short enough that a quarantined peer is soon shut out.
pub const TICKET_LIFE_S: u64 = 600;

/// The longest life that an uploader accepts, in seconds: a node that signs more is mistaken, or its
/// key is in other hands.
pub const TICKET_LIFE_MAX_S: u64 = 3600;

/// How far two clocks may be apart, in seconds.
pub const CLOCK_SKEW_S: u64 = 120;

/// What precedes the root under the signature, so that it can never be taken for anything else
/// that the same key signs.
const CONTEXT: &[u8] = b"peerlift introduction tickets v1\0";

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
        Self::sign_all(&[*self], node).remove(0)
    }

    /// Signs tickets that are given out together, all with one signature.
    ///
    /// # Panics
    ///
    /// When there are more than [`TICKETS_TOGETHER_MAX`].
    #[must_use]
    pub fn sign_all(tickets: &[Self], node: &SigningKey) -> Vec<Bytes> {
        assert!(tickets.len() <= TICKETS_TOGETHER_MAX, "too many at once");
        let mut bodies = Vec::with_capacity(tickets.len() * BODY_BYTES);
        let bodies_end = tickets.iter().map(|ticket| {
            ticket.write_body(&mut bodies);
            bodies.len()
        });
        let ranges: Vec<Range<usize>> = ranges_of(bodies_end.collect()).collect();
        let tree = Tree::new(ranges.iter().map(|body| tree::leaf(&bodies[body.clone()])));
        let Some(root) = tree.root() else {
            return Vec::new();
        };
        let signature = node.sign(&signed_bytes(root)).to_bytes();
        let node = node.verifying_key();
        // All in one piece of memory, which the tickets share.
        let mut signed = Vec::with_capacity(tickets.len() * TICKET_BYTES_MAX);
        let signed_end = ranges.iter().enumerate().map(|(at, body)| {
            fields::bytes(1, &bodies[body.clone()], &mut signed);
            fields::bytes(2, node.as_bytes(), &mut signed);
            fields::bytes(3, &signature, &mut signed);
            let mut path = tree.path(at).peekable();
            if path.peek().is_some() {
                fields::nested(4, &mut signed, |out| path.for_each(|hash| out.extend(hash)));
            }
            signed.len()
        });
        let ranges = ranges_of(signed_end.collect());
        let signed = Bytes::from(signed);
        ranges.map(|ticket| signed.slice(ticket)).collect()
    }

    fn write_body(&self, out: &mut Vec<u8>) {
        fields::bytes(1, self.from.as_bytes(), out);
        fields::bytes(2, self.to.as_bytes(), out);
        fields::bytes(3, self.object.as_bytes(), out);
        fields::number(4, self.issued, out);
        fields::number(5, self.expires, out);
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
        let life = ticket.expires.saturating_sub(ticket.issued);
        if now_ish.contains(&unix_now) && life <= TICKET_LIFE_MAX_S {
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
    let (path, rest) = signed.path.as_chunks::<{ tree::HASH_BYTES }>();
    if !rest.is_empty() || path.len() > tree::PATH_MAX {
        return Err(malformed("path").into());
    }
    let root = tree::climb(tree::leaf(&signed.body), path);
    let bad = |_| TicketError::BadSignature;
    let key = VerifyingKey::from_bytes(node).map_err(bad)?;
    let signature = Signature::from_slice(&signed.signature).map_err(bad)?;
    key.verify_strict(&signed_bytes(root), &signature)
        .map_err(bad)
}

fn signed_bytes(root: tree::Hash) -> Vec<u8> {
    [CONTEXT, &root].concat()
}

/// What lies between 0 and the first end, that and the next, and so on.
fn ranges_of(ends: Vec<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut begin = 0;
    ends.into_iter()
        .map(move |end| std::mem::replace(&mut begin, end)..end)
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
    if let Ok(signed) = proto::SignedTicket::decode(bytes.clone()) {
        // The path is read whoever signed.
        let _ = verify_signature(&[0; 32], &signed);
    }
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

    fn body(ticket: &Ticket) -> Vec<u8> {
        let mut body = Vec::new();
        ticket.write_body(&mut body);
        body
    }

    #[test]
    fn what_is_written_is_what_prost_writes() {
        let whenever = [0, 1, 127, 128, NOW, u64::MAX];
        for (issued, expires) in whenever.iter().flat_map(|at| [(*at, NOW), (NOW, *at)]) {
            let ticket = Ticket {
                issued,
                expires,
                ..ticket()
            };
            let read = proto::TicketBody::decode(&body(&ticket)[..]).unwrap();
            assert_eq!(read.encode_to_vec(), body(&ticket));
            assert_eq!(Ticket::from_body(body(&ticket).into()), Ok(ticket));
        }
        for count in [1, 2, 3, 40, TICKETS_TOGETHER_MAX] {
            for signed in Ticket::sign_all(&answer(count), &node()) {
                let read = proto::SignedTicket::decode(signed.clone()).unwrap();
                assert_eq!(read.encode_to_vec(), signed);
            }
        }
    }

    #[test]
    fn a_signed_ticket_says_what_was_signed() {
        let trusted = [*node().verifying_key().as_bytes()];
        let bytes = ticket().sign(&node());
        assert!(bytes.len() <= TICKET_BYTES_MAX);
        assert_eq!(Ticket::verify(bytes, &trusted, NOW), Ok(ticket()));
    }

    /// So many tickets as an answer can have, for different peers.
    fn answer(count: usize) -> Vec<Ticket> {
        let to = |number| Ticket {
            to: PeerId::new([number; 32]),
            ..ticket()
        };
        (0..=u8::MAX).map(to).take(count).collect()
    }

    #[test]
    fn tickets_signed_together_are_good_each_by_itself() {
        let trusted = [*node().verifying_key().as_bytes()];
        for count in [0, 1, 2, 3, 5, 8, 13, 40, TICKETS_TOGETHER_MAX] {
            let tickets = answer(count);
            let signed = Ticket::sign_all(&tickets, &node());
            assert_eq!(signed.len(), count);
            for (ticket, bytes) in tickets.iter().zip(signed) {
                assert!(bytes.len() <= TICKET_BYTES_MAX, "{}", bytes.len());
                assert_eq!(Ticket::verify(bytes, &trusted, NOW).as_ref(), Ok(ticket));
            }
        }
    }

    #[test]
    fn a_ticket_that_was_not_among_those_signed_is_refused() {
        let trusted = [*node().verifying_key().as_bytes()];
        let signed = Ticket::sign_all(&answer(40), &node());
        let good = proto::SignedTicket::decode(signed[0].clone()).unwrap();
        let refused = |bad: &proto::SignedTicket| {
            let bytes = bad.encode_to_vec().into();
            Ticket::verify(bytes, &trusted, NOW).is_err()
        };
        let mut other = good.clone();
        other.body = body(&ticket()).into();
        assert!(refused(&other), "another body");
        // An inner node of the tree is no ticket: its hash is made in another way.
        let mut inner = good.clone();
        let sibling = &good.path[..tree::HASH_BYTES];
        let mut pair = [tree::leaf(&good.body).to_vec(), sibling.to_vec()];
        pair.sort();
        inner.body = pair.concat().into();
        inner.path = good.path.slice(tree::HASH_BYTES..);
        assert!(refused(&inner), "an inner node");
        for length in [0, 1, good.path.len() - 32, good.path.len() - 1] {
            let mut short = good.clone();
            short.path = good.path.slice(..length);
            assert!(refused(&short), "a path of {length}");
        }
        let mut long = good.clone();
        long.path = [&good.path[..], &[0; 32]].concat().into();
        assert!(refused(&long), "a longer path");
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let trusted = [*node().verifying_key().as_bytes()];
        let good = Ticket::sign_all(&answer(3), &node()).remove(0);
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
    fn a_forged_ticket_is_refused_whoever_it_names() {
        let trusted = [*node().verifying_key().as_bytes()];
        let forger = SigningKey::from_bytes(&[8; 32]);
        let forged = ticket().sign(&forger);
        let mut signed = proto::SignedTicket::decode(forged).unwrap();
        signed.node = Bytes::copy_from_slice(node().verifying_key().as_bytes());
        let verify = |signed: &proto::SignedTicket| {
            Ticket::verify(signed.encode_to_vec().into(), &trusted, NOW)
        };
        assert_eq!(verify(&signed), Err(TicketError::BadSignature));

        // What the node signed for another purpose is no ticket.
        let body = signed.body.to_vec();
        for context in [&b""[..], b"peerlift control login v1\0"] {
            let root = tree::leaf(&body);
            let signature = node().sign(&[context, &root].concat()).to_bytes();
            signed.signature = signature.to_vec().into();
            assert_eq!(verify(&signed), Err(TicketError::BadSignature));
        }
        // Good, and then grafted onto another body.
        let mut good = proto::SignedTicket::decode(ticket().sign(&node())).unwrap();
        let other = Ticket {
            expires: u64::MAX,
            ..ticket()
        };
        good.body = proto::SignedTicket::decode(other.sign(&forger))
            .unwrap()
            .body;
        assert_eq!(verify(&good), Err(TicketError::BadSignature));
    }

    #[test]
    fn a_weak_key_signs_nothing_even_when_it_is_trusted() {
        // Under the neutral element any signature of this form verifies loosely.
        let mut weak = [0; 32];
        weak[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        let mut signed = proto::SignedTicket::decode(ticket().sign(&node())).unwrap();
        signed.node = Bytes::copy_from_slice(&weak);
        signed.signature = signature.to_vec().into();
        assert_eq!(
            Ticket::verify(signed.encode_to_vec().into(), &[weak], NOW),
            Err(TicketError::BadSignature)
        );
    }

    #[test]
    fn a_ticket_shown_again_is_good_for_its_own_peers_alone() {
        // Replay is harmless by design: a ticket is a right, not a message. Who copies it from the
        // wire has another key, and who shows it to another peer names the wrong one.
        let trusted = [*node().verifying_key().as_bytes()];
        let bytes = ticket().sign(&node());
        for now in [NOW, NOW + 1, NOW + TICKET_LIFE_S] {
            let again = Ticket::verify(bytes.clone(), &trusted, now).unwrap();
            let thief = PeerId::new([66; 32]);
            assert_eq!(again.check(again.from, again.to, again.object), Ok(()));
            assert_eq!(
                again.check(thief, again.to, again.object),
                Err(TicketError::NotForThis)
            );
            assert_eq!(
                again.check(again.from, thief, again.object),
                Err(TicketError::NotForThis)
            );
        }
    }

    #[test]
    fn a_ticket_that_runs_backwards_or_for_ever_is_refused() {
        let trusted = [*node().verifying_key().as_bytes()];
        let with = |issued, expires| {
            let ticket = Ticket {
                issued,
                expires,
                ..ticket()
            };
            Ticket::verify(ticket.sign(&node()), &trusted, NOW)
        };
        assert_eq!(with(NOW, 0), Err(TicketError::NotNow));
        assert_eq!(with(u64::MAX, u64::MAX), Err(TicketError::NotNow));
        assert_eq!(
            with(NOW, NOW + TICKET_LIFE_MAX_S + 1),
            Err(TicketError::NotNow)
        );
        assert!(with(NOW, NOW + TICKET_LIFE_MAX_S).is_ok());
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
