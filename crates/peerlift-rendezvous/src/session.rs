//! What a node knows of one client.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use peerlift_model::{NatClass, ObjectId, PeerId, Timestamp};

use crate::admission::Bucket;
use crate::directory::ObjectIndex;
use crate::event::{Arrival, Contact, SessionId};

/// One client. Kept small: a node has a million of them. What is looked at of those who may be
/// named comes first and together, as most of them are not in the processor's caches.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Session {
    pub(crate) peer: PeerId,
    pub(crate) contact: Option<Arc<Contact>>,
    /// Until when it is busy with the clients that were sent to it.
    pub(crate) busy_until: Timestamp,
    pub(crate) presence: Presence,
    pub(crate) share: bool,
    pub(crate) nat: NatClass,
    pub(crate) observed: Option<IpAddr>,
    pub(crate) id: SessionId,
    pub(crate) held: HeldList,
    pub(crate) heard_at: Timestamp,
    pub(crate) queries: Bucket,
    pub(crate) announces: Bucket,
    pub(crate) logins: Bucket,
}

/// Whether the client is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// Its session is up.
    Here,
    /// Its connection broke; what it said is kept until then.
    Away { until: Timestamp },
    /// Nobody: the seat is free.
    Nobody,
}

impl Session {
    pub(crate) fn new(id: SessionId, arrival: &Arrival, now: Timestamp) -> Self {
        Self {
            id,
            peer: arrival.peer,
            share: arrival.share,
            nat: arrival.nat,
            presence: Presence::Here,
            observed: arrival.observed,
            contact: None,
            held: HeldList::default(),
            heard_at: now,
            busy_until: Timestamp::ZERO,
            queries: Bucket::default(),
            announces: Bucket::default(),
            logins: Bucket::default(),
        }
    }

    /// Whether anybody can be sent to this client.
    pub(crate) fn is_reachable(&self) -> bool {
        self.share && self.contact.is_some() && self.presence == Presence::Here
    }

    pub(crate) fn move_to(
        &mut self,
        direct: Vec<SocketAddr>,
        relay: Option<String>,
        tcp_port: Option<u16>,
    ) {
        let direct = with_observed(direct, self.observed);
        let somewhere = !direct.is_empty() || relay.is_some();
        self.contact = somewhere.then(|| {
            Arc::new(Contact {
                direct,
                relay,
                tcp_port,
            })
        });
    }
}

/// What one client has to do with one object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Held {
    pub(crate) object: ObjectIndex,
    /// Whether it has said that it has some of it.
    pub(crate) announced: bool,
    /// Whether it has all of it.
    pub(crate) complete: bool,
    /// Whether it has asked for peers, and so wants to hear of new ones.
    pub(crate) looking: bool,
    /// Whether it has been given a spread number: the next field.
    pub(crate) is_spread: bool,
    pub(crate) spread: u32,
}

impl Held {
    pub(crate) fn new(object: ObjectIndex) -> Self {
        Self {
            object,
            announced: false,
            complete: false,
            looking: false,
            is_spread: false,
            spread: 0,
        }
    }
}

/// What one client has to do with, sorted by object, and the digest of what it announced.
#[derive(Debug, Default)]
pub(crate) struct HeldList {
    list: Vec<Held>,
    digest: Digest,
}

impl HeldList {
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.list.iter()
    }

    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    pub(crate) fn get_mut(&mut self, object: ObjectIndex) -> Option<&mut Held> {
        let at = self.find(object).ok()?;
        self.list.get_mut(at)
    }

    pub(crate) fn get(&self, object: ObjectIndex) -> Option<&Held> {
        self.list.get(self.find(object).ok()?)
    }

    pub(crate) fn insert(&mut self, held: Held) {
        if let Err(at) = self.find(held.object) {
            if self.list.len() == self.list.capacity() {
                self.list.reserve_exact(1 + self.list.len() / 4);
            }
            self.list.insert(at, held);
        }
    }

    /// Notes that the client has (all of) an object that is in the list.
    pub(crate) fn announce(&mut self, object: ObjectIndex, id: ObjectId, complete: bool) {
        let Ok(at) = self.find(object) else { return };
        let held = &mut self.list[at];
        if held.announced {
            self.digest.remove(id, held.complete);
        }
        (held.announced, held.complete) = (true, complete);
        self.digest.add(id, complete);
    }

    pub(crate) fn remove(&mut self, object: ObjectIndex, id: ObjectId) -> Option<Held> {
        let held = self.list.remove(self.find(object).ok()?);
        if held.announced {
            self.digest.remove(id, held.complete);
        }
        Some(held)
    }

    fn find(&self, object: ObjectIndex) -> Result<usize, usize> {
        self.list.binary_search_by_key(&object, |held| held.object)
    }
}

/// Stands for everything a client has announced, in eight bytes, so that both sides can tell
/// whether they mean the same.
///
/// The sum modulo 2⁶⁴ of the first eight bytes of each object's id, big-endian, rotated left by
/// one bit where the client has all of it. Ids are hashes, so that two sets are taken for the same
/// once in 2⁶⁴; a client that contrives more deceives itself alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(u64);

impl Digest {
    /// The digest that was sent.
    #[must_use]
    pub const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// The digest to send.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Adds an object that was announced.
    pub fn add(&mut self, object: ObjectId, complete: bool) {
        self.0 = self.0.wrapping_add(part(object, complete));
    }

    /// Takes an object out that was announced like this.
    pub fn remove(&mut self, object: ObjectId, complete: bool) {
        self.0 = self.0.wrapping_sub(part(object, complete));
    }
}

fn part(object: ObjectId, complete: bool) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *object.as_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h]).rotate_left(u32::from(complete))
}

/// Adds the client's address as the node sees it, at the ports the client uses itself: NATs that
/// keep ports (RFC 4787 §4.2.1) map there.
fn with_observed(direct: Vec<SocketAddr>, observed: Option<IpAddr>) -> Vec<SocketAddr> {
    let Some(observed) = observed.map(|ip| ip.to_canonical()) else {
        return direct;
    };
    let mut addresses = Vec::with_capacity(direct.len() + 1);
    for address in &direct {
        let outside = SocketAddr::new(observed, address.port());
        if address.is_ipv4() == observed.is_ipv4() && !addresses.contains(&outside) {
            addresses.push(outside);
        }
    }
    for address in direct {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses.truncate(ADDRESSES_MAX);
    addresses
}

/// Addresses of one client that are passed on: as many as a message holds.
const ADDRESSES_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_of_the_set_and_not_of_its_history() {
        let id = |n: u8| ObjectId::new([n; 32]);
        let mut one = Digest::default();
        one.add(id(1), false);
        one.add(id(2), true);
        let mut other = Digest::default();
        other.add(id(2), false);
        other.add(id(3), true);
        other.add(id(1), false);
        assert_ne!(one, other);
        other.remove(id(3), true);
        other.remove(id(2), false);
        other.add(id(2), true);
        assert_eq!(one, other);
        assert_eq!(Digest::from_u64(one.as_u64()), one);
    }
}
