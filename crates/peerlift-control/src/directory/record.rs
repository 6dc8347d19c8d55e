//! What nodes write into the directory and tell each other, byte by byte.
//!
//! All numbers are big-endian.
//!
//! ```text
//! member  record │ when its lease is over, in Unix seconds by the server's clock 4
//! record  place 16 │ peer 32 │ node 8 │ flags 1 │ NAT 1 │ TCP port 2 │ addresses 1 │ … │ relay 2 │ …
//! address family 1 (4 or 6) │ IP address 4 or 16 │ port 2
//! push    object 32 │ peers 1 │ peer 32 … │ record
//! hello   node 8 │ ticket key 32
//! ```
//!
//! The scripts know where place, peer and node are, and add the lease: members are in the order of
//! their places.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use peerlift_model::{NatClass, ObjectId, PeerId};
use peerlift_rendezvous::shared::{Neighbour, NodeId, Push, WANTED_MAX};
use peerlift_rendezvous::{Contact, Locality};
use peerlift_wire::{ADDRESSES_MAX, RELAY_BYTES_MAX};

const COMPLETE: u8 = 1;

/// What follows a record.
const LEASE_BYTES: usize = 4;

/// The first bytes of a record: place, peer and node.
const HEAD_BYTES: usize = 16 + 32 + 8;

/// A holder as the directory keeps it.
pub(super) fn encode(node: NodeId, holder: &Neighbour) -> Vec<u8> {
    let contact = &holder.contact;
    let mut bytes = Vec::with_capacity(HEAD_BYTES + 32);
    bytes.extend(holder.place.as_u128().to_be_bytes());
    bytes.extend(holder.peer.as_bytes());
    bytes.extend(node.0.to_be_bytes());
    bytes.push(if holder.complete { COMPLETE } else { 0 });
    bytes.push(nat_number(holder.nat));
    bytes.extend(contact.tcp_port.unwrap_or(0).to_be_bytes());
    let direct = &contact.direct[..contact.direct.len().min(ADDRESSES_MAX)];
    bytes.push(u8::try_from(direct.len()).unwrap_or(0));
    for address in direct {
        match address.ip() {
            IpAddr::V4(ip) => {
                bytes.push(4);
                bytes.extend(ip.octets());
            }
            IpAddr::V6(ip) => {
                bytes.push(6);
                bytes.extend(ip.octets());
            }
        }
        bytes.extend(address.port().to_be_bytes());
    }
    let relay = contact.relay.as_deref().unwrap_or_default();
    let relay = if relay.len() > RELAY_BYTES_MAX {
        ""
    } else {
        relay
    };
    bytes.extend(u16::try_from(relay.len()).unwrap_or(0).to_be_bytes());
    bytes.extend(relay.as_bytes());
    bytes
}

/// Who holds an object, of all that a draw brought.
pub(super) struct Holders<'a> {
    /// Those whose leases run.
    pub(super) living: Vec<(NodeId, Neighbour)>,
    /// The members of those whose leases are over.
    pub(super) over: Vec<&'a [u8]>,
}

/// Reads members that follow one another, up to the first that is none: of another version perhaps.
pub(super) fn decode_members(bytes: &[u8], unix_s: u32) -> Holders<'_> {
    let mut rest = Reader(bytes);
    let mut holders = Holders {
        living: Vec::with_capacity(WANTED_MAX),
        over: Vec::new(),
    };
    while let before = rest.0
        && let Some(found) = rest.record()
        && let Some(lease) = rest.array()
    {
        if u32::from_be_bytes(lease) > unix_s {
            holders.living.push(found);
        } else {
            holders.over.push(&before[..before.len() - rest.0.len()]);
        }
    }
    holders
}

pub(super) fn encode_push(from: NodeId, push: &Push) -> Vec<u8> {
    let to = &push.to[..push.to.len().min(WANTED_MAX)];
    let mut bytes = push.object.as_bytes().to_vec();
    bytes.push(u8::try_from(to.len()).unwrap_or(0));
    for peer in to {
        bytes.extend(peer.as_bytes());
    }
    bytes.extend(encode(from, &push.neighbour));
    bytes
}

pub(super) fn decode_push(bytes: &[u8]) -> Option<Push> {
    let mut rest = Reader(bytes);
    let object = ObjectId::new(rest.array()?);
    let count = usize::from(rest.byte()?);
    if count > WANTED_MAX {
        return None;
    }
    let to = (0..count).map(|_| rest.array().map(PeerId::new));
    let to = to.collect::<Option<Vec<PeerId>>>()?;
    let (_, neighbour) = rest.record()?;
    rest.0.is_empty().then_some(Push {
        object,
        to,
        neighbour,
    })
}

/// "I am here, and my tickets are signed with this key."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) node: NodeId,
    pub(super) ticket_key: [u8; 32],
}

pub(super) fn encode_hello(hello: Hello) -> Vec<u8> {
    let mut bytes = hello.node.0.to_be_bytes().to_vec();
    bytes.extend(hello.ticket_key);
    bytes
}

pub(super) fn decode_hello(bytes: &[u8]) -> Option<Hello> {
    let mut rest = Reader(bytes);
    let node = NodeId(u64::from_be_bytes(rest.array()?));
    let ticket_key = rest.array()?;
    rest.0.is_empty().then_some(Hello { node, ticket_key })
}

/// Any bytes as a record, as members, a push and a hello: what is taken is written like that again.
/// For tests.
#[doc(hidden)]
pub fn exercise(bytes: &[u8]) {
    let mut rest = Reader(bytes);
    if let Some((node, neighbour)) = rest.record() {
        let taken = &bytes[..bytes.len() - rest.0.len()];
        assert_eq!(encode(node, &neighbour), taken);
    }
    let holders = decode_members(bytes, u32::MAX / 2);
    let over: usize = holders.over.iter().map(|member| member.len()).sum();
    let record =
        |(node, neighbour): &(NodeId, Neighbour)| encode(*node, neighbour).len() + LEASE_BYTES;
    let living: usize = holders.living.iter().map(record).sum();
    assert!(over + living <= bytes.len());
    if let Some(push) = decode_push(bytes) {
        let again = decode_push(&encode_push(NodeId(0), &push));
        assert_eq!(again.as_ref(), Some(&push));
    }
    if let Some(hello) = decode_hello(bytes) {
        assert_eq!(encode_hello(hello), bytes);
    }
}

fn nat_number(nat: NatClass) -> u8 {
    match nat {
        NatClass::Unknown => 0,
        NatClass::Open => 1,
        NatClass::Easy => 2,
        NatClass::Hard => 3,
        NatClass::Blocked => 4,
    }
}

fn nat_of(number: u8) -> Option<NatClass> {
    Some(match number {
        0 => NatClass::Unknown,
        1 => NatClass::Open,
        2 => NatClass::Easy,
        3 => NatClass::Hard,
        4 => NatClass::Blocked,
        _ => return None,
    })
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    /// `None` when it is anything else.
    fn record(&mut self) -> Option<(NodeId, Neighbour)> {
        let place = Locality::from_u128(u128::from_be_bytes(self.array()?));
        let peer = PeerId::new(self.array()?);
        let node = NodeId(u64::from_be_bytes(self.array()?));
        let complete = match self.byte()? {
            0 => false,
            COMPLETE => true,
            _ => return None,
        };
        let nat = nat_of(self.byte()?)?;
        let tcp_port = u16::from_be_bytes(self.array()?);
        let count = usize::from(self.byte()?);
        if count > ADDRESSES_MAX {
            return None;
        }
        let direct = (0..count).map(|_| self.address());
        let direct = direct.collect::<Option<Vec<SocketAddr>>>()?;
        let length = usize::from(u16::from_be_bytes(self.array()?));
        if length > RELAY_BYTES_MAX {
            return None;
        }
        let relay = std::str::from_utf8(self.take(length)?).ok()?;
        let contact = Contact {
            direct,
            relay: (!relay.is_empty()).then(|| relay.to_owned()),
            tcp_port: (tcp_port != 0).then_some(tcp_port),
        };
        let neighbour = Neighbour {
            peer,
            place,
            nat,
            complete,
            contact: Arc::new(contact),
        };
        Some((node, neighbour))
    }

    fn address(&mut self) -> Option<SocketAddr> {
        let ip = match self.byte()? {
            4 => IpAddr::from(self.array::<4>()?),
            6 => IpAddr::from(self.array::<16>()?),
            _ => return None,
        };
        Some(SocketAddr::new(ip, u16::from_be_bytes(self.array()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbour() -> Neighbour {
        let contact = Contact {
            direct: vec![
                "192.0.2.1:7".parse().unwrap(),
                "[2001:db8::1]:9".parse().unwrap(),
            ],
            relay: Some("https://relay.example/".to_owned()),
            tcp_port: Some(443),
        };
        Neighbour {
            peer: PeerId::new([5; 32]),
            place: Locality::from_u128(7),
            nat: NatClass::Hard,
            complete: true,
            contact: Arc::new(contact),
        }
    }

    fn member(node: u64, lease: u32) -> Vec<u8> {
        [
            &encode(NodeId(node), &neighbour())[..],
            &lease.to_be_bytes(),
        ]
        .concat()
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = [member(3, 1001), member(4, 1000), member(5, 1002)].concat();
        let holders = decode_members(&bytes, 1000);
        let living = [(NodeId(3), neighbour()), (NodeId(5), neighbour())];
        assert_eq!(holders.living, living);
        assert_eq!(holders.over, [member(4, 1000)]);
        let push = Push {
            object: ObjectId::new([1; 32]),
            to: vec![PeerId::new([2; 32]), PeerId::new([3; 32])],
            neighbour: neighbour(),
        };
        assert_eq!(decode_push(&encode_push(NodeId(3), &push)), Some(push));
    }

    #[test]
    fn what_is_cut_or_none_is_not_read_nor_what_follows() {
        let bytes = [member(3, 1001), member(4, 1001)].concat();
        for cut in 0..bytes.len() {
            let holders = decode_members(&bytes[..cut], 1000);
            assert_eq!(
                holders.living.len(),
                usize::from(cut >= bytes.len() / 2),
                "{cut}"
            );
            assert!(holders.over.is_empty(), "{cut}");
        }
        let mut wrong = bytes;
        wrong[HEAD_BYTES] = 7;
        assert!(decode_members(&wrong, 1000).living.is_empty());
        let push = Push {
            object: ObjectId::new([1; 32]),
            to: Vec::new(),
            neighbour: neighbour(),
        };
        let longer = [&encode_push(NodeId(3), &push)[..], &[0]].concat();
        assert_eq!(decode_push(&longer), None);
    }
}
