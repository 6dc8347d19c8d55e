//! What an operator can decide: each question its own small type.
//!
//! Policies are data. They can be replaced while the node runs, and tried beforehand on what the
//! node knows (see [`crate::Rendezvous::preview`]).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use peerlift_model::{NatClass, ObjectId};

use crate::{Level, Locality, Network};

/// All of it. The default is what a node does without a policy file.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Policy {
    /// How many peers an answer names.
    pub answer: AnswerSize,
    /// Which surroundings of the asker are searched first.
    pub preference: Preference,
    /// How much of an answer comes from elsewhere all the same.
    pub diversity: Diversity,
    /// How introductions are spread over the holders.
    pub rotation: Rotation,
    /// Whether pairs that cannot connect are left out.
    pub nat: NatRule,
    /// How much one client, and one neighbourhood, may ask for.
    pub limits: Limits,
    /// Which addresses are one site.
    pub sites: Sites,
    /// Objects nobody is introduced for.
    pub blocked: BTreeSet<ObjectId>,
}

/// Peers in one answer at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerSize {
    /// Default 40: what NetSession's control plane returned (Zhao et al. 2013, "Peer-assisted
    /// content distribution in Akamai NetSession", §3.7), and more than a client keeps busy.
    pub peers_max: usize,
}

impl Default for AnswerSize {
    fn default() -> Self {
        Self { peers_max: 40 }
    }
}

/// The levels that are searched before the world, near ones first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preference {
    levels: Vec<Level>,
}

impl Preference {
    /// These levels, in whatever order.
    #[must_use]
    pub fn of(levels: impl IntoIterator<Item = Level>) -> Self {
        let levels: BTreeSet<Level> = levels.into_iter().collect();
        let before_world = levels.into_iter().filter(|level| *level != Level::World);
        Self {
            levels: before_world.collect(),
        }
    }

    /// From near to far, the world last.
    pub fn levels(&self) -> impl Iterator<Item = Level> + '_ {
        self.levels.iter().copied().chain([Level::World])
    }
}

impl Default for Preference {
    fn default() -> Self {
        Self::of(Level::ALL)
    }
}

/// The share of an answer that comes from outside the asker's surroundings.
///
/// Without it a swarm falls apart into islands, and a rare piece stays on one of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Diversity {
    /// 0 to 1. Default 0.25: ten of forty.
    pub share: f64,
}

impl Default for Diversity {
    fn default() -> Self {
        Self { share: 0.25 }
    }
}

impl Diversity {
    /// How many of so many peers come from outside.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an answer has some forty peers"
    )]
    pub(crate) fn reserve(self, peers: usize) -> usize {
        ((peers as f64 * self.share.clamp(0.0, 1.0)) as usize).min(peers)
    }
}

/// Of two holders that are equally near, the one that was named less is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Candidates drawn for each peer that is named, 1 to 4; 1 is pure chance. Default 2: most of
    /// the gain is in the second choice (Mitzenmacher 2001, "The power of two choices").
    pub choices: usize,
    /// How long one introduction counts as load. Default 5 s: about as long as the new downloader
    /// takes until it is one of those served.
    pub cost: Duration,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            choices: 2,
            cost: Duration::from_secs(5),
        }
    }
}

/// Whether two NATs can be expected to let a connection through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatRule {
    /// Default true. Without it clients try and fail; for networks whose classes are told wrong.
    pub enabled: bool,
}

impl Default for NatRule {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl NatRule {
    /// Whether an asker should be sent to a holder; within one site no NAT is between.
    #[must_use]
    pub fn allows(self, asker: NatClass, holder: NatClass, same_site: bool) -> bool {
        !self.enabled || same_site || asker.reaches(holder)
    }
}

/// So many at once, and one more every so often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// How many may come at once.
    pub burst: u32,
    /// How long one more takes after that.
    pub interval: Duration,
}

impl Pace {
    /// So many at once, so often.
    #[must_use]
    pub const fn new(burst: u32, interval: Duration) -> Self {
        Self { burst, interval }
    }
}

/// How much clients may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Objects one client may have to do with. Default 1024: a cache of many small objects.
    pub objects_max: usize,
    /// Queries of one client. Default 16 at once, as of a dozen downloads that begin together, then
    /// two a second: a client in want asks every few seconds for each object.
    pub queries: Pace,
    /// Queries out of one prefix. Default 2000 at once, then 200 a second: thousands of homes may
    /// share the addresses of a carrier's NAT, and a flash crowd comes from a campus.
    pub prefix_queries: Pace,
    /// Announcements of one client. Default 2048 at once, as a full cache twice, then 20 a second.
    pub announces: Pace,
    /// Logins with one key. Default 6 at once, then one a minute: a client that moves between two
    /// networks, but no two machines that take the session from one another for ever.
    pub logins: Pace,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            objects_max: 1024,
            queries: Pace::new(16, Duration::from_millis(500)),
            prefix_queries: Pace::new(2000, Duration::from_millis(5)),
            announces: Pace::new(2048, Duration::from_millis(50)),
            logins: Pace::new(6, Duration::from_secs(60)),
        }
    }
}

/// Addresses that the operator knows to be one site, such as a campus of many prefixes.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Sites {
    rules: Vec<SiteRule>,
}

/// One range of addresses of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteRule {
    /// The first address of the range.
    pub network: IpAddr,
    /// How many leading bits are the range's.
    pub bits: u8,
    /// The site's number; the same in all its ranges.
    pub tag: u32,
    /// What is known of the site as a whole.
    pub known: Network,
}

impl SiteRule {
    fn covers(&self, address: IpAddr) -> bool {
        let (one, other, width) = match (self.network, address) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                (u128::from(one.to_bits()), u128::from(other.to_bits()), 32)
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => (one.to_bits(), other.to_bits(), 128),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return false,
        };
        let free = width - u32::from(self.bits).min(width);
        (one ^ other).checked_shr(free).unwrap_or(0) == 0
    }
}

impl Sites {
    /// These ranges; of two that cover an address the narrower counts.
    #[must_use]
    pub fn new(mut rules: Vec<SiteRule>) -> Self {
        rules.sort_by_key(|rule| std::cmp::Reverse(rule.bits));
        Self { rules }
    }

    /// The place of a client, given what a database knows of its address.
    #[must_use]
    pub fn place(&self, address: Option<IpAddr>, network: Network) -> Locality {
        let address = address.map(|address| address.to_canonical());
        let rule = address.and_then(|it| self.rules.iter().find(|rule| rule.covers(it)));
        rule.map_or_else(
            || Locality::of(address, network),
            |rule| Locality::tagged(rule.tag, rule.known),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(network: &str, bits: u8, tag: u32) -> SiteRule {
        SiteRule {
            network: network.parse().unwrap(),
            bits,
            tag,
            known: Network::default(),
        }
    }

    #[test]
    fn a_site_has_many_ranges_and_the_narrowest_counts() {
        let sites = Sites::new(vec![
            rule("192.0.2.0", 24, 1),
            rule("2001:db8::", 32, 1),
            rule("192.0.2.128", 25, 2),
        ]);
        let place = |address: &str| sites.place(Some(address.parse().unwrap()), Network::default());
        let nearness = |one: &str, other: &str| place(one).nearness(place(other));
        assert_eq!(nearness("192.0.2.1", "2001:db8:ffff::1"), Level::Site);
        assert_eq!(nearness("192.0.2.1", "::ffff:192.0.2.3"), Level::Site);
        assert_eq!(nearness("192.0.2.1", "192.0.2.200"), Level::World);
        assert_eq!(nearness("192.0.2.1", "192.0.3.1"), Level::World);
        let all = Sites::new(vec![rule("0.0.0.0", 0, 3)]);
        let one = all.place(Some([203, 0, 113, 1].into()), Network::default());
        assert_eq!(one, Locality::tagged(3, Network::default()));
    }

    #[test]
    fn the_world_is_always_last() {
        let levels =
            |levels: &[Level]| -> Vec<Level> { Preference::of(levels.to_vec()).levels().collect() };
        assert_eq!(levels(&[]), [Level::World]);
        assert_eq!(
            levels(&[Level::World, Level::As, Level::Site]),
            [Level::Site, Level::As, Level::World]
        );
    }

    #[test]
    fn a_share_of_an_answer_is_reserved_for_elsewhere() {
        assert_eq!(Diversity { share: 0.25 }.reserve(40), 10);
        assert_eq!(Diversity { share: 0.25 }.reserve(3), 0);
        assert_eq!(Diversity { share: 7.0 }.reserve(40), 40);
        assert_eq!(Diversity { share: -1.0 }.reserve(40), 0);
    }
}
