//! What content weighs on a wire.
//!
//! Rates of lines count everything that a shaper of Ethernet frames counts, and so do these weights;
//! reports count payload. The figures are those of the protocols, not fitted.

use peerlift_model::GROUP_BYTES;

/// A full TCP segment: 1448 bytes of content in 1514 on Ethernet (timestamps on).
const TCP: f64 = 1514.0 / 1448.0;
/// A full QUIC packet: 1452 bytes of UDP in 1494; flags, connection id, number, tag and stream frame
/// take 38 of them.
const QUIC: f64 = 1494.0 / 1414.0;
/// One parent of a hash tree.
const PARENT: f64 = 64.0;
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
    /// The bytes of some groups on the wire. `first` of an answer carries its head, and from peers
    /// the path from the root: `depth` parents.
    pub(crate) fn bytes(self, payload: u64, first: bool, depth: u32) -> f64 {
        let groups = payload.div_ceil(GROUP_BYTES);
        let content = payload as f64 + groups as f64 * PARENT;
        match self {
            Self::Edge => content * self.frame() + if first { HTTP } else { 0.0 },
            Self::Reached | Self::Peer if first => {
                (content + f64::from(depth) * PARENT) * self.frame() + ASK
            }
            Self::Reached | Self::Peer => content * self.frame(),
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

/// A have-delta of so many runs to one peer.
pub(crate) fn have_delta(runs: usize) -> f64 {
    HAVE + runs as f64 * HAVE_RUN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_weighs_five_or_six_per_cent_more() {
        let payload = 64 * GROUP_BYTES;
        let over = |carrier: Carrier| carrier.bytes(payload, true, 12) / payload as f64;
        assert!((1.045..1.055).contains(&over(Carrier::Edge)));
        assert!((1.045..1.055).contains(&over(Carrier::Reached)));
        assert!((1.055..1.065).contains(&over(Carrier::Peer)));
    }
}
