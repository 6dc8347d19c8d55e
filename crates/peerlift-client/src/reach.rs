//! Which peers are not dialled any more, as they cannot be reached.

use std::collections::BTreeMap;

use peerlift_model::PeerId;

/// How often a peer is dialled in vain. Punching a hole takes ten seconds of packets through the relay, and
/// two NATs that do not let each other in today do not tomorrow; who comes by itself is welcome.
const TRIES_MAX: u32 = 2;

/// Peers that are remembered.
const PEERS_MAX: usize = 256;

/// Counts the dials in vain.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    in_vain: BTreeMap<PeerId, u32>,
}

impl Reach {
    /// A peer was dialled in vain.
    pub(crate) fn missed(&mut self, peer: PeerId) {
        if self.in_vain.len() < PEERS_MAX || self.in_vain.contains_key(&peer) {
            *self.in_vain.entry(peer).or_default() += 1;
        }
    }

    /// A link to a peer is up, whoever dialled.
    pub(crate) fn met(&mut self, peer: PeerId) {
        self.in_vain.remove(&peer);
    }

    /// Whether a peer is not to be dialled again.
    pub(crate) fn is_out(&self, peer: PeerId) -> bool {
        (self.in_vain.get(&peer)).is_some_and(|tries| *tries >= TRIES_MAX)
    }

    /// Those who are not to be dialled again.
    pub(crate) fn out(&self) -> impl Iterator<Item = PeerId> {
        let peers = self.in_vain.keys().copied();
        peers.filter(|peer| self.is_out(*peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u16) -> PeerId {
        let mut bytes = [0; 32];
        bytes[..2].copy_from_slice(&number.to_be_bytes());
        PeerId::new(bytes)
    }

    #[test]
    fn after_two_dials_in_vain_a_peer_is_out_until_it_comes_by_itself() {
        let mut reach = Reach::default();
        reach.missed(peer(1));
        assert!(!reach.is_out(peer(1)));
        reach.missed(peer(1));
        reach.missed(peer(2));
        assert!(reach.is_out(peer(1)) && !reach.is_out(peer(2)));
        assert_eq!(reach.out().collect::<Vec<_>>(), [peer(1)]);
        reach.met(peer(1));
        assert!(!reach.is_out(peer(1)));
    }

    #[test]
    fn no_more_are_remembered_than_there_is_room_for() {
        let mut reach = Reach::default();
        for number in 0..1000 {
            reach.missed(peer(number));
            reach.missed(peer(number));
        }
        assert_eq!(reach.out().count(), PEERS_MAX);
    }
}
