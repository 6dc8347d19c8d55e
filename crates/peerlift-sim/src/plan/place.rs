//! Where users are, how far from each other, and who can connect to whom.

use std::time::Duration;

/// Where a user is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The country.
    pub country: u16,
    /// The network (autonomous system) within it.
    pub network: u16,
}

/// Round trips between lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Distances {
    /// Within one network.
    pub same_network: Duration,
    /// Within one country.
    pub same_country: Duration,
    /// Between countries.
    pub abroad: Duration,
    /// To the edge: large providers have one in every country.
    pub edge: Duration,
}

/// What a user's NAT lets through, in the words of RFC 4787 §4 and §5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nat {
    /// None, or one that lets everything in.
    #[default]
    Open,
    /// Ports are preserved; only those written to may answer: hole punching works.
    PortRestricted,
    /// Another port for every conversation: only open ones are reached.
    Symmetric,
    /// No UDP at all.
    Blocked,
}

impl Distances {
    /// Between two users.
    #[must_use]
    pub fn between(&self, a: Place, b: Place) -> Duration {
        if a == b {
            self.same_network
        } else if a.country == b.country {
            self.same_country
        } else {
            self.abroad
        }
    }
}

impl Nat {
    /// Whether two users get a direct connection; there is no relaying of content.
    #[must_use]
    pub fn connects(self, other: Self) -> bool {
        match (self, other) {
            (Self::Blocked, _) | (_, Self::Blocked) => false,
            (Self::Open, _) | (_, Self::Open) => true,
            (Self::PortRestricted, Self::PortRestricted) => true,
            (Self::Symmetric, Self::Symmetric | Self::PortRestricted)
            | (Self::PortRestricted, Self::Symmetric) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_work_both_ways_or_not_at_all() {
        let all = [Nat::Open, Nat::PortRestricted, Nat::Symmetric, Nat::Blocked];
        for a in all {
            for b in all {
                assert_eq!(a.connects(b), b.connects(a), "{a:?} {b:?}");
            }
        }
        assert!(Nat::Open.connects(Nat::Symmetric));
        assert!(!Nat::Symmetric.connects(Nat::PortRestricted));
    }
}
