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
    /// No NAT: its address is its own. Whether a firewall keeps strangers out is not known.
    Open,
    /// Endpoint-independent mapping: one port outside for one inside, whoever is sent to.
    Easy,
    /// Another port for every destination: nobody can know where to send to.
    Hard,
    /// Behind a NAT, and no UDP gets out at all.
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

    /// Whether a client of this class can be expected to find a direct path to a `holder` that it
    /// is sent to.
    ///
    /// Unknown is taken for easy: most homes are, and who does not say must not be shut out. Hard
    /// and easy do not meet: what comes from an unforeseen port is dropped by the filters that most
    /// home routers have (Ford et al. 2005, "Peer-to-peer communication across network address
    /// translators", §5.1). Without UDP there is TCP, to those who need no hole.
    #[must_use]
    pub const fn reaches(self, holder: Self) -> bool {
        match (self, holder) {
            (_, Self::Blocked) => false,
            (Self::Open, _) | (_, Self::Open) => true,
            (Self::Blocked | Self::Hard, _) | (_, Self::Hard) => false,
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
    fn with_udp_reaching_is_mutual() {
        use NatClass::{Blocked, Easy, Hard, Open, Unknown};
        for one in [Open, Easy, Unknown, Hard] {
            for other in [Open, Easy, Unknown, Hard] {
                assert_eq!(one.reaches(other), other.reaches(one), "{one} and {other}");
            }
            assert!(!one.reaches(Blocked), "{one}");
        }
    }

    #[test]
    fn everybody_reaches_the_open_and_the_hard_reach_nobody_else() {
        use NatClass::{Blocked, Easy, Hard, Open, Unknown};
        for class in NatClass::ALL {
            assert!(class.reaches(Open), "{class}");
        }
        for class in [Easy, Unknown, Hard] {
            assert!(Open.reaches(class), "{class}");
            assert!(!Hard.reaches(class), "{class}");
            assert!(!Blocked.reaches(class), "{class}");
        }
        assert!(Unknown.reaches(Unknown) && Unknown.reaches(Easy));
    }
}
