//! Which part of an object came from whom, and why it was asked there.
//!
//! [`Ledger`] is kept while a download runs: it counts every group once, for whoever brought it
//! first. [`Provenance`] is what is told of it afterwards. Peers are named by their keys, never by
//! their addresses: nobody needs a list of other people's addresses on their disk.

use std::collections::BTreeMap;

use peerlift_model::{GroupRange, GroupSet, Layout};
use peerlift_swarm::{Cause, SourceId};
use serde::{Deserialize, Serialize};

/// Ranges that are told of one download: some 13 KiB of text. What is beyond is only counted.
const RANGES_MAX: usize = 512;

/// Where a download came from, part by part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The parts, those of most bytes first.
    pub parts: Vec<Part>,
}

/// What one source brought for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// What the source is.
    pub kind: SourceKind,
    /// An edge's URL without query, or the beginning of a peer's key; empty for what was here before.
    pub source: String,
    /// Why it was asked.
    pub why: Why,
    /// Bytes of content, each counted once.
    pub bytes: u64,
    /// Where they lie: first byte, and one past the last. The longest runs, in order.
    pub ranges: Vec<(u64, u64)>,
    /// Runs that are left out of `ranges`.
    #[serde(default)]
    pub more_ranges: u64,
}

/// What a source is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SourceKind {
    /// A server of the publisher's, or a mirror.
    Edge,
    /// Another downloader.
    Peer,
    /// Another downloader, through the publisher's relay.
    RelayedPeer,
    /// An earlier run had left it.
    EarlierRun,
}

/// Why a source was asked. The words are the swarm's ([`Cause`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Why {
    /// Nobody else was there to ask.
    Alone,
    /// No other downloader had it.
    Injected,
    /// Others had it, but were not fast enough alone.
    Filled,
    /// It was needed soon, in order.
    InOrder,
    /// It had what few others had.
    Peer,
    /// It was tested after it had misbehaved.
    OnParole,
    /// Another source was slow to bring it.
    Rescued,
    /// It was here before.
    EarlierRun,
}

impl From<Cause> for Why {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Alone => Self::Alone,
            Cause::Injected => Self::Injected,
            Cause::Filled => Self::Filled,
            Cause::InOrder => Self::InOrder,
            Cause::Peer => Self::Peer,
            Cause::OnParole => Self::OnParole,
            Cause::Rescued => Self::Rescued,
        }
    }
}

impl Provenance {
    /// Everything from one server, which is asked for nothing in particular.
    pub(crate) fn all_from(url: &url::Url, size: u64) -> Self {
        let part = Part {
            kind: SourceKind::Edge,
            source: edge_name(url),
            why: Why::Alone,
            bytes: size,
            ranges: vec![(0, size)],
            more_ranges: 0,
        };
        Self { parts: vec![part] }
    }
}

/// A URL without what may be a secret.
pub(crate) fn edge_name(url: &url::Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // No URL of the web refuses it.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.to_string()
}

/// The account of a download that runs. Bounded as the set of groups that are here is: by its runs.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    earlier: GroupSet,
    booked: GroupSet,
    names: BTreeMap<SourceId, String>,
    parts: BTreeMap<(SourceId, SourceKind, Cause), GroupSet>,
}

impl Ledger {
    /// An account that begins with what an earlier run had left.
    pub(crate) fn new(earlier: GroupSet) -> Self {
        Self {
            booked: earlier.clone(),
            earlier,
            ..Self::default()
        }
    }

    /// Learns what a source is called.
    pub(crate) fn meet(&mut self, source: SourceId, name: String) {
        self.names.insert(source, name);
    }

    /// Books groups that a source brought, as far as nobody did before.
    pub(crate) fn book(
        &mut self,
        (source, kind): (SourceId, SourceKind),
        cause: Cause,
        groups: GroupRange,
    ) {
        let fresh: Vec<GroupRange> = self.booked.gaps_in(groups).collect();
        if fresh.is_empty() {
            return;
        }
        let part = self.parts.entry((source, kind, cause)).or_default();
        for run in fresh {
            self.booked.insert(run);
            part.insert(run);
        }
    }

    /// The account in bytes.
    pub(crate) fn told(&self, layout: Layout) -> Provenance {
        // A peer that was lost and came back is one.
        let mut told: BTreeMap<(SourceKind, &str, Why), GroupSet> = BTreeMap::new();
        for ((source, kind, cause), groups) in &self.parts {
            let name = self.names.get(source).map_or("", String::as_str);
            let all = told.entry((*kind, name, (*cause).into())).or_default();
            for run in groups.runs() {
                all.insert(*run);
            }
        }
        if !self.earlier.is_empty() {
            let key = (SourceKind::EarlierRun, "", Why::EarlierRun);
            told.insert(key, self.earlier.clone());
        }
        let mut parts: Vec<Part> = told
            .into_iter()
            .map(|((kind, source, why), groups)| {
                let bytes = |run: &GroupRange| layout.bytes_of(*run);
                Part {
                    kind,
                    source: source.to_owned(),
                    why,
                    bytes: groups.runs().iter().map(|run| bytes(run).len()).sum(),
                    ranges: { groups.runs().iter().map(bytes) }
                        .map(|range| (range.start(), range.end()))
                        .collect(),
                    more_ranges: 0,
                }
            })
            .collect();
        parts.sort_by_key(|part| std::cmp::Reverse(part.bytes));
        cut(&mut parts);
        Provenance { parts }
    }
}

/// Leaves the longest ranges of all parts together.
fn cut(parts: &mut [Part]) {
    let mut lengths: Vec<u64> = parts
        .iter()
        .flat_map(|part| part.ranges.iter().map(|(start, end)| end - start))
        .collect();
    if lengths.len() <= RANGES_MAX {
        return;
    }
    lengths.sort_unstable_by_key(|length| std::cmp::Reverse(*length));
    let least = lengths[RANGES_MAX - 1];
    // Of those that are just as long as the last that has room, the first ones stay.
    let mut room = RANGES_MAX - lengths.iter().filter(|length| **length > least).count();
    for part in parts {
        let before = part.ranges.len();
        part.ranges.retain(|(start, end)| {
            let length = end - start;
            let is_last = length == least && room > 0;
            room -= usize::from(is_last);
            length > least || is_last
        });
        part.more_ranges = (before - part.ranges.len()) as u64;
    }
}

#[cfg(test)]
mod tests {
    use peerlift_model::GROUP_BYTES;

    use super::*;

    const EDGE: (SourceId, SourceKind) = (SourceId(0), SourceKind::Edge);
    const PEER: (SourceId, SourceKind) = (SourceId(1), SourceKind::Peer);

    #[test]
    fn every_byte_is_told_once_for_whoever_brought_it_first() {
        let layout = Layout::new(10 * GROUP_BYTES - 1).unwrap();
        let mut ledger = Ledger::new(GroupRange::new(0, 2).into());
        ledger.book(EDGE, Cause::Injected, GroupRange::new(1, 6));
        ledger.book(PEER, Cause::Peer, GroupRange::new(4, 8));
        ledger.book(EDGE, Cause::Rescued, GroupRange::new(7, 10));
        let told = ledger.told(layout);
        let sum: u64 = told.parts.iter().map(|part| part.bytes).sum();
        assert_eq!(sum, layout.size());
        let found = |why| {
            let part = told.parts.iter().find(|part| part.why == why).unwrap();
            (part.kind, part.ranges.clone())
        };
        let at = |group: u64| group * GROUP_BYTES;
        assert_eq!(
            found(Why::Injected),
            (SourceKind::Edge, vec![(at(2), at(6))])
        );
        assert_eq!(found(Why::Peer), (SourceKind::Peer, vec![(at(6), at(8))]));
        assert_eq!(
            found(Why::Rescued),
            (SourceKind::Edge, vec![(at(8), at(10) - 1)])
        );
        assert_eq!(
            found(Why::EarlierRun),
            (SourceKind::EarlierRun, vec![(0, at(2))])
        );
    }

    #[test]
    fn a_peer_that_came_back_is_one() {
        let layout = Layout::new(4 * GROUP_BYTES).unwrap();
        let mut ledger = Ledger::default();
        let again = (SourceId(9), SourceKind::Peer);
        for (peer, groups) in [(PEER, (0, 1)), (again, (1, 4))] {
            ledger.meet(peer.0, "ab12".to_owned());
            ledger.book(peer, Cause::Peer, GroupRange::new(groups.0, groups.1));
        }
        let told = ledger.told(layout);
        assert_eq!(told.parts.len(), 1);
        assert_eq!(told.parts[0].ranges, [(0, 4 * GROUP_BYTES)]);
    }

    #[test]
    fn a_scattered_download_is_told_by_its_longest_ranges() {
        let runs = 2000;
        let layout = Layout::new(u64::from(runs) * 4 * GROUP_BYTES).unwrap();
        let mut ledger = Ledger::default();
        for run in 0..runs {
            let length = 1 + u32::from(run % 100 == 0);
            let groups = GroupRange::new(run * 4, run * 4 + length);
            let source = if run % 2 == 0 { EDGE } else { PEER };
            ledger.book(source, Cause::Peer, groups);
        }
        let told = ledger.told(layout);
        let ranges: usize = told.parts.iter().map(|part| part.ranges.len()).sum();
        let more: u64 = told.parts.iter().map(|part| part.more_ranges).sum();
        assert_eq!((ranges, more), (RANGES_MAX, 2000 - RANGES_MAX as u64));
        let long = |part: &Part| {
            let is_long = |range: &&(u64, u64)| range.1 - range.0 == 2 * GROUP_BYTES;
            part.ranges.iter().filter(is_long).count()
        };
        assert_eq!(told.parts.iter().map(long).sum::<usize>(), 20);
    }
}
