//! What other clients are fetching from an edge at the moment, by their own word.
//!
//! A group that no peer has leaves the edge once for every client that does not know of the others.
//! A *pledge* says "these groups come to me from an edge, and then they come to you": whoever hears
//! it injects something else. A pledge is only a word. It ends by itself after [`Pledges::LIFE`],
//! a stranger's counts only at the beginning, and who does not keep them is not heard any more:
//! so the most that a liar achieves is that a few groups come some seconds later.

use std::collections::BTreeMap;
use std::time::Duration;

use peerlift_model::{GroupRange, GroupSet, Timestamp};

use crate::SourceId;

/// The pledges of all connected peers.
#[derive(Debug, Default)]
pub(crate) struct Pledges {
    peers: BTreeMap<SourceId, Pledger>,
    /// What is pledged by anybody whose word counts.
    pledged: GroupSet,
}

#[derive(Debug, Default)]
struct Pledger {
    /// What was pledged and has not come, and until when that counts.
    open: Vec<(GroupRange, Timestamp)>,
    /// Pledges that ran out without a single group.
    broken: u32,
}

impl Pledges {
    /// How long a pledge counts: a request to an edge is made to take one second, and twice that
    /// when its connections are young.
    pub(crate) const LIFE: Duration = Duration::from_secs(4);
    /// Pledges of one peer that are remembered. Edges have at most eight lanes each, and what is
    /// re-issued is pledged anew.
    const OPEN_MAX: usize = 32;
    /// Broken pledges after which a peer's word does not count: one is an accident of the edge.
    const BROKEN_MAX: u32 = 3;

    /// A peer says that it fetches these groups from an edge.
    pub(crate) fn add(&mut self, source: SourceId, groups: GroupRange, now: Timestamp) {
        let peer = self.peers.entry(source).or_default();
        if groups.is_empty() || peer.broken >= Self::BROKEN_MAX || peer.open.len() >= Self::OPEN_MAX
        {
            return;
        }
        peer.open.push((groups, now + Self::LIFE));
        self.pledged.insert(groups);
    }

    /// A peer has these groups: the pledge is kept as far as they go.
    pub(crate) fn keep(&mut self, source: SourceId, groups: GroupRange) {
        let Some(peer) = self.peers.get_mut(&source) else {
            return;
        };
        let mut kept = Vec::new();
        peer.open.retain_mut(|(pledge, _)| {
            let part = pledge.intersection(groups);
            if part.is_empty() {
                return true;
            }
            // Groups come in order; what was skipped is not waited for.
            kept.push(GroupRange::new(pledge.start(), part.end()));
            *pledge = GroupRange::new(part.end(), pledge.end());
            !pledge.is_empty()
        });
        for part in kept {
            peer.broken = 0;
            self.pledged.remove(part);
        }
    }

    /// A peer is gone, with its word.
    pub(crate) fn leave(&mut self, source: SourceId) {
        if (self.peers.remove(&source)).is_some_and(|peer| !peer.open.is_empty()) {
            self.rebuild();
        }
    }

    /// Forgets what has run out at `now`; says whether anything has.
    pub(crate) fn expire(&mut self, now: Timestamp) -> bool {
        let mut expired = false;
        for peer in self.peers.values_mut() {
            let before = peer.open.len();
            peer.open.retain(|(_, until)| now < *until);
            if peer.open.len() < before {
                peer.broken += 1;
                expired = true;
                if peer.broken >= Self::BROKEN_MAX {
                    peer.open.clear();
                }
            }
        }
        if expired {
            self.rebuild();
        }
        expired
    }

    /// How many peers fetch from an edge, by their word.
    pub(crate) fn pledgers(&self) -> usize {
        let driving = |peer: &&Pledger| !peer.open.is_empty();
        self.peers.values().filter(driving).count()
    }

    /// What is pledged.
    pub(crate) fn groups(&self) -> &GroupSet {
        &self.pledged
    }

    fn rebuild(&mut self) {
        let open = self.peers.values().flat_map(|peer| &peer.open);
        self.pledged = open.map(|(groups, _)| *groups).collect();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1000)
    }

    fn range(start: u32, end: u32) -> GroupRange {
        GroupRange::new(start, end)
    }

    #[test]
    fn a_pledge_counts_until_it_is_kept_or_runs_out() {
        let mut pledges = Pledges::default();
        pledges.add(SourceId(1), range(0, 8), at(0));
        pledges.add(SourceId(2), range(20, 24), at(1000));
        pledges.keep(SourceId(2), range(0, 8));
        assert_eq!(pledges.groups().len(), 12, "another's groups keep nothing");
        pledges.keep(SourceId(1), range(0, 2));
        assert_eq!(pledges.groups().runs(), [range(2, 8), range(20, 24)]);
        assert!(!pledges.expire(at(3999)));
        assert!(pledges.expire(at(4000)));
        assert_eq!(pledges.groups().runs(), [range(20, 24)]);
        pledges.leave(SourceId(2));
        assert!(pledges.groups().is_empty());
    }

    #[test]
    fn who_breaks_them_is_not_heard_any_more() {
        let mut pledges = Pledges::default();
        for time in 0..5 {
            pledges.add(SourceId(1), range(0, 100), at(time * 10_000));
            pledges.expire(at(time * 10_000 + 5000));
        }
        pledges.add(SourceId(1), range(0, 100), at(90_000));
        assert!(pledges.groups().is_empty());
    }

    #[test]
    fn a_peers_pledges_are_bounded() {
        let mut pledges = Pledges::default();
        (0..1000).for_each(|n| pledges.add(SourceId(1), range(2 * n, 2 * n + 1), at(0)));
        assert_eq!(pledges.groups().len(), Pledges::OPEN_MAX as u64);
    }

    proptest! {
        /// Whatever is pledged was pledged by somebody within the life of a pledge; and when all
        /// pledges are disjoint and none ran out, exactly what was pledged and has not come is.
        #[test]
        fn only_young_pledges_count(steps in proptest::collection::vec((0u32..3, 0u32..40, 1u32..6, 0u64..2000, any::<bool>()), 0..40)) {
            let mut pledges = Pledges::default();
            let (mut now, mut said) = (0, Vec::new());
            for (peer, start, len, wait, keep) in steps {
                now += wait;
                let groups = range(start, start + len);
                if keep {
                    pledges.keep(SourceId(peer), groups);
                } else {
                    pledges.add(SourceId(peer), groups, at(now));
                    said.push((groups, now));
                }
                pledges.expire(at(now));
                let life = u64::try_from(Pledges::LIFE.as_millis()).unwrap();
                let young: GroupSet = (said.iter())
                    .filter(|(_, when)| now < when + life)
                    .map(|(groups, _)| *groups)
                    .collect();
                prop_assert!(pledges.groups().difference(&young).is_empty());
            }
        }
    }
}
