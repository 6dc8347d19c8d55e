//! What content weighs on a wire.
//!
//! Rates of lines count everything that a shaper of Ethernet frames counts, and so do these weights;
//! reports count payload. The figures are those of the protocols, not fitted.

use peerlift_content::{NODE_BYTES, Tree};
use peerlift_model::{GroupRange, GroupSet, Height, Layout};

/// A full TCP segment: 1448 bytes of content in 1514 on Ethernet (timestamps on).
const TCP: f64 = 1514.0 / 1448.0;
/// A full QUIC packet: 1452 bytes of UDP in 1494; flags, connection id, number, tag and stream frame
/// take 38 of them.
const QUIC: f64 = 1494.0 / 1414.0;
/// One parent of a hash tree.
const PARENT: f64 = NODE_BYTES as f64;
/// A request and the headers of its answer.
const HTTP: f64 = 700.0;
/// A request to a peer and the head of its answer.
const ASK: f64 = 200.0;
/// A have-delta to one peer, with the packet around it, and each run in it.
const HAVE: f64 = 90.0;
const HAVE_RUN: f64 = 6.0;
/// What acknowledgements weigh on the way back, in parts of what they acknowledge: one of 66 bytes
/// for two full segments, and one of 80 for two full packets.
const TCP_ACKS: f64 = 66.0 / 3028.0;
const QUIC_ACKS: f64 = 80.0 / 2988.0;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// The edge, over TCP. The hash tree comes beside the content.
    Edge,
    /// A peer that can be reached, over TCP. Proofs come within the content.
    Reached,
    /// A peer behind a NAT, over QUIC.
    Peer,
}

impl Carrier {
    /// The bytes of some groups on the wire, with so many parents. The `first` of an answer carry
    /// its head.
    pub(crate) fn bytes(self, payload: u64, parents: u64, first: bool) -> f64 {
        let content = payload as f64 + parents as f64 * PARENT;
        content * self.frame() + if first { self.head() } else { 0.0 }
    }

    fn head(self) -> f64 {
        match self {
            Self::Edge => HTTP,
            Self::Reached | Self::Peer => ASK,
        }
    }

    /// What a byte of content weighs in full packets.
    fn frame(self) -> f64 {
        match self {
            Self::Edge | Self::Reached => TCP,
            Self::Peer => QUIC,
        }
    }

    /// The bytes that go the other way meanwhile.
    pub(crate) fn acks(self, bytes: f64) -> f64 {
        match self {
            Self::Edge | Self::Reached => bytes * TCP_ACKS,
            Self::Peer => bytes * QUIC_ACKS,
        }
    }
}

/// The parents that a peer sends with `groups` to somebody who has what `have` says: those above the
/// groups that it has are known to it.
pub(crate) fn parents(layout: Layout, groups: GroupRange, have: &GroupSet) -> u64 {
    let tree = Tree::new(layout);
    let from = tree.unknown_height(groups, |subtree| {
        have.runs_in(subtree.groups()).next().is_some()
    });
    let top = tree.root().map(|top| top.height());
    let from = if top == Some(from) { Height::MAX } else { from };
    tree.parents_beneath(from, groups)
}

/// A have-delta of so many runs to one peer.
pub(crate) fn have_delta(runs: usize) -> f64 {
    HAVE + runs as f64 * HAVE_RUN
}

#[cfg(test)]
mod tests {
    use peerlift_model::GROUP_BYTES;

    use super::*;

    #[test]
    fn content_weighs_five_or_six_per_cent_more() {
        let payload = 64 * GROUP_BYTES;
        let over = |carrier: Carrier| carrier.bytes(payload, 64, true) / payload as f64;
        assert!((1.045..1.055).contains(&over(Carrier::Edge)));
        assert!((1.045..1.055).contains(&over(Carrier::Reached)));
        assert!((1.055..1.065).contains(&over(Carrier::Peer)));
    }

    #[test]
    fn a_parent_is_sent_to_whoever_has_nothing_beneath_it() {
        let layout = Layout::new(64 * GROUP_BYTES).expect("it is small");
        let sent =
            |groups, have: &[GroupRange]| parents(layout, groups, &have.iter().copied().collect());
        let (one, four) = (GroupRange::new(5, 6), GroupRange::new(4, 8));
        assert_eq!(sent(one, &[]), 6, "from the root");
        assert_eq!(
            sent(one, &[GroupRange::new(63, 64)]),
            5,
            "the root is known"
        );
        assert_eq!(
            sent(one, &[GroupRange::new(4, 5)]),
            0,
            "its neighbour came with all"
        );
        assert_eq!(
            sent(four, &[GroupRange::new(0, 1)]),
            3,
            "those beneath the four"
        );
        assert_eq!(sent(four, &[]), 4 + 3);
    }
}
