//! Where a client is, as far as that helps it to find near ones.
//!
//! A place is one number whose leading bits name wider and wider surroundings, so that everybody
//! in the same country, network, prefix or site lies next to each other when places are sorted:
//!
//! ```text
//! country (16) │ AS (32) │ kind (8) │ address (64) │ 0 (8)
//! └─ Country ──┘         │          │              │
//! └─ As ─────────────────┘          │              │
//! └─ Prefix: kind and the first 24 bits of IPv4, 48 of IPv6
//! └─ Site: all of an IPv4 address, 64 bits of an IPv6 one
//! ```
//!
//! The directory sorts the holders of an object by place; a level is then one range of them.

use std::net::IpAddr;
use std::ops::RangeInclusive;

/// How near two clients are: each level includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The same public address, IPv6 network of 64 bits, or tag of the operator.
    Site,
    /// The same 24 bits of an IPv4 address, 48 of an IPv6 one.
    Prefix,
    /// The same autonomous system, in the same country.
    As,
    /// The same country.
    Country,
    /// Anywhere.
    World,
}

impl Level {
    /// All of them, from near to far.
    pub const ALL: [Self; 5] = [
        Self::Site,
        Self::Prefix,
        Self::As,
        Self::Country,
        Self::World,
    ];
}

/// What a database knows of an address. Zero: unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Network {
    /// The number of the autonomous system.
    pub asn: u32,
    /// The country, two letters of ISO 3166-1 alpha-2.
    pub country: [u8; 2],
}

/// The place of a client. Equal places are one site.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locality(u128);

/// Kinds of the address part.
const NOWHERE: u8 = 0;
const V4: u8 = 4;
const V6: u8 = 6;
const TAG: u8 = 9;

/// Bits below each part.
const COUNTRY_SHIFT: u32 = 112;
const AS_SHIFT: u32 = 80;
const KIND_SHIFT: u32 = 72;
const ADDRESS_SHIFT: u32 = 8;

impl Locality {
    /// The place of a public address.
    #[must_use]
    pub fn of(address: Option<IpAddr>, network: Network) -> Self {
        let (kind, bits) = match address.map(|address| address.to_canonical()) {
            None => (NOWHERE, 0),
            Some(IpAddr::V4(address)) => (V4, u64::from(address.to_bits()) << 32),
            Some(IpAddr::V6(address)) => (V6, upper(address.to_bits())),
        };
        Self::new(network, kind, bits)
    }

    /// The place of everybody behind one tag of the operator's, wherever they come from.
    #[must_use]
    pub fn tagged(tag: u32, network: Network) -> Self {
        Self::new(network, TAG, u64::from(tag) << 32)
    }

    fn new(network: Network, kind: u8, address: u64) -> Self {
        Self(
            u128::from(u16::from_be_bytes(network.country)) << COUNTRY_SHIFT
                | u128::from(network.asn) << AS_SHIFT
                | u128::from(kind) << KIND_SHIFT
                | u128::from(address) << ADDRESS_SHIFT,
        )
    }

    /// The place that another node sent.
    #[must_use]
    pub const fn from_u128(number: u128) -> Self {
        Self(number)
    }

    /// The number to send.
    #[must_use]
    pub const fn as_u128(self) -> u128 {
        self.0
    }

    fn kind(self) -> u8 {
        self.0.to_be_bytes()[6]
    }

    /// All places that are as near as that. `None` when this place says nothing at that level:
    /// two clients of unknown country have nothing in common.
    #[must_use]
    pub fn surroundings(self, level: Level) -> Option<RangeInclusive<Self>> {
        let known = match level {
            Level::Site | Level::Prefix => self.kind() != NOWHERE,
            Level::As => self.0 << 16 >> (16 + AS_SHIFT) != 0,
            Level::Country => self.0 >> COUNTRY_SHIFT != 0,
            Level::World => true,
        };
        let free = match (level, self.kind()) {
            (Level::Site, _) => ADDRESS_SHIFT,
            (Level::Prefix, V4) => ADDRESS_SHIFT + 64 - 24,
            (Level::Prefix, V6) => ADDRESS_SHIFT + 64 - 48,
            (Level::Prefix, _) => ADDRESS_SHIFT,
            (Level::As, _) => AS_SHIFT,
            (Level::Country, _) => COUNTRY_SHIFT,
            (Level::World, _) => 128,
        };
        let below = 1u128.checked_shl(free).map_or(u128::MAX, |bit| bit - 1);
        known.then_some(Self(self.0 & !below)..=Self(self.0 | below))
    }

    /// The nearest level at which two places are together.
    #[must_use]
    pub fn nearness(self, other: Self) -> Level {
        let together = |level: &Level| {
            self.surroundings(*level)
                .is_some_and(|range| range.contains(&other))
        };
        Level::ALL
            .into_iter()
            .find(together)
            .unwrap_or(Level::World)
    }

    /// The site alone, whatever is known of it.
    #[must_use]
    pub fn site(self) -> Self {
        self.surroundings(Level::Site)
            .map_or(self, |range| *range.start())
    }

    /// The prefix alone, whatever is known of it: what limits of a neighbourhood are counted by.
    pub(crate) fn prefix(self) -> Option<Self> {
        self.surroundings(Level::Prefix).map(|range| *range.start())
    }
}

fn upper(bits: u128) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = bits.to_be_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

#[cfg(test)]
mod tests {
    use super::*;

    const DE_1: Network = Network {
        asn: 64_500,
        country: *b"DE",
    };
    const DE_2: Network = Network {
        asn: 64_501,
        country: *b"DE",
    };
    const FR: Network = Network {
        asn: 64_500,
        country: *b"FR",
    };

    fn place(address: &str, network: Network) -> Locality {
        Locality::of(Some(address.parse().unwrap()), network)
    }

    #[test]
    fn nearness_is_the_narrowest_thing_in_common() {
        let here = place("192.0.2.7", DE_1);
        for (other, want) in [
            (here, Level::Site),
            (place("192.0.2.8", DE_1), Level::Prefix),
            (place("198.51.100.7", DE_1), Level::As),
            (place("198.51.100.7", DE_2), Level::Country),
            (place("198.51.100.7", FR), Level::World),
            (place("2001:db8::1", DE_1), Level::As),
            (Locality::default(), Level::World),
        ] {
            assert_eq!(here.nearness(other), want, "{other:?}");
            assert_eq!(other.nearness(here), want, "{other:?}");
        }
    }

    #[test]
    fn a_home_has_one_ipv6_network_and_neighbours_another() {
        let nowhere = Network::default();
        let here = place("2001:db8:1:2::1", nowhere);
        assert_eq!(
            here.nearness(place("2001:db8:1:2:ffff::9", nowhere)),
            Level::Site
        );
        assert_eq!(
            here.nearness(place("2001:db8:1:3::1", nowhere)),
            Level::Prefix
        );
        assert_eq!(
            here.nearness(place("2001:db8:2:2::1", nowhere)),
            Level::World
        );
        let mapped = place("::ffff:192.0.2.1", nowhere);
        assert_eq!(mapped, place("192.0.2.1", nowhere));
    }

    #[test]
    fn the_unknown_have_nothing_in_common() {
        let here = place("192.0.2.7", Network::default());
        assert_eq!(
            here.nearness(place("198.51.100.7", Network::default())),
            Level::World
        );
        assert_eq!(
            Locality::default().nearness(Locality::default()),
            Level::World
        );
        assert_eq!(here.surroundings(Level::Country), None);
    }

    #[test]
    fn a_tag_is_one_site_and_like_no_other() {
        let tag = Locality::tagged(1, DE_1);
        assert_eq!(tag.nearness(Locality::tagged(1, DE_1)), Level::Site);
        assert_eq!(tag.nearness(Locality::tagged(2, DE_1)), Level::As);
        assert_eq!(tag.nearness(place("0.0.0.1", DE_1)), Level::As);
    }

    #[test]
    fn wider_surroundings_include_narrower_ones() {
        let here = place("2001:db8:1:2::1", DE_1);
        for pair in Level::ALL.windows(2) {
            let (near, far) = (here.surroundings(pair[0]), here.surroundings(pair[1]));
            let (near, far) = (near.unwrap(), far.unwrap());
            assert!(
                far.contains(near.start()) && far.contains(near.end()),
                "{pair:?}"
            );
        }
    }
}
