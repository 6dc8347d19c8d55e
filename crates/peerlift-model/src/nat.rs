//! What stands between a client and the internet.

use std::fmt;

/// How a client's NAT maps its UDP port, as far as the client could find out.
///
/// Mapping decides whether hole punching works (RFC 5128 §3.3): the port that a node or a relay
/// sees has to be the one that a peer may send to. RFC 4787 §4.1 has the words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NatClass {
    /// The client does not say, or has not found out.
    #[default]
    Unknown,
    /// No NAT: its address is its own, and strangers may send to it.
    Open,
    /// Endpoint-independent mapping: one port outside for one inside, whoever is sent to.
    Easy,
    /// Another port for every destination: nobody can know where to send to.
    Hard,
    /// No UDP gets out at all.
    Blocked,
}

impl NatClass {
    /// Every class, from the one that meets most to the one that meets nobody.
    pub const ALL: [Self; 5] = [
        Self::Open,
        Self::Easy,
        Self::Unknown,
        Self::Hard,
        Self::Blocked,
    ];

    /// Whether clients of these classes can be expected to find a direct path.
    ///
    /// Unknown is taken for easy: most homes are, and who does not say must not be shut out. Hard
    /// and easy do not meet: what comes from an unforeseen port is dropped by the filters that most
    /// home routers have (Ford et al. 2005, "Peer-to-peer communication across network address
    /// translators", §5.1).
    #[must_use]
    pub const fn meets(self, other: Self) -> bool {
        match (self, other) {
            (Self::Blocked, _) | (_, Self::Blocked) => false,
            (Self::Open, _) | (_, Self::Open) => true,
            (Self::Hard, _) | (_, Self::Hard) => false,
            (Self::Easy | Self::Unknown, Self::Easy | Self::Unknown) => true,
        }
    }
}

impl fmt::Display for NatClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Open => "open",
            Self::Easy => "easy",
            Self::Hard => "hard",
            Self::Blocked => "blocked",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn meeting_is_mutual() {
        for one in NatClass::ALL {
            for other in NatClass::ALL {
                assert_eq!(one.meets(other), other.meets(one), "{one} and {other}");
            }
        }
    }

    #[test]
    fn whoever_is_open_meets_all_with_udp_and_the_hard_meet_nobody_else() {
        use NatClass::{Blocked, Easy, Hard, Open, Unknown};
        for class in [Open, Easy, Unknown, Hard] {
            assert!(Open.meets(class), "{class}");
            assert!(!Blocked.meets(class), "{class}");
        }
        for class in [Easy, Unknown, Hard] {
            assert!(!Hard.meets(class), "{class}");
        }
        assert!(Unknown.meets(Unknown) && Unknown.meets(Easy));
    }
}
