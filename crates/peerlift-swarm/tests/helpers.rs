//! The end of a download, when sources help one another: with what peers owe that have fallen silent, and with what comes
//! from both.

#![allow(
    clippy::unwrap_used,
    reason = "a test says by panicking what went wrong"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use peerlift_model::{GROUP_BYTES, GroupRange, GroupSet, Layout, Timestamp};
use peerlift_swarm::{Cause, Config, Event, Goal, Output, RequestEnd, RequestId, SourceId, Swarm};

const EDGE: SourceId = SourceId(0);
const STEP: Duration = Duration::from_millis(50);
/// No silent source is given up so soon.
const PATIENCE: Duration = Duration::from_secs(3);

/// A download from an edge and seeds, each of which brings so many groups in a step.
struct Download {
    swarm: Swarm,
    now: Timestamp,
    rates: BTreeMap<SourceId, u32>,
    live: BTreeMap<RequestId, (SourceId, GroupRange)>,
    /// What was cancelled before the end: of whom, and how many groups were left of it.
    cancelled: Vec<(SourceId, u32)>,
}

impl Download {
    fn new(groups: u64, rates: &[u32]) -> Self {
        let layout = Layout::new(groups * GROUP_BYTES).unwrap();
        let config = Config {
            goal: Goal::Fastest,
            ..Config::default()
        };
        let now = Timestamp::ZERO;
        let mut swarm = Swarm::new(config, layout, GroupSet::new(), 1, now);
        let rates: BTreeMap<SourceId, u32> =
            (0..).map(SourceId).zip(rates.iter().copied()).collect();
        for source in rates.keys().copied() {
            if source == EDGE {
                swarm.handle(Event::EdgeJoined { source, lanes: 2 }, now);
                continue;
            }
            let rtt = Duration::from_millis(20);
            swarm.handle(Event::PeerJoined { source, rtt }, now);
            swarm.handle(Event::HaveAll { source }, now);
            swarm.handle(Event::Unchoked { source }, now);
        }
        Self {
            swarm,
            now,
            rates,
            live: BTreeMap::new(),
            cancelled: Vec::new(),
        }
    }

    /// Takes note of what is asked for, and obeys.
    fn obey(&mut self) {
        while let Some(output) = self.swarm.poll_output() {
            if let Output::Request {
                request,
                source,
                groups,
            } = output
            {
                self.live.insert(request, (source, groups));
            } else if let Output::Cancel { request } = output {
                let gone = self.live.remove(&request);
                let gone = gone.filter(|_| !self.swarm.is_finished());
                self.cancelled
                    .extend(gone.map(|(of, left)| (of, left.len())));
                self.end(request, RequestEnd::Cancelled);
            }
        }
    }

    fn end(&mut self, request: RequestId, end: RequestEnd) {
        self.swarm.handle(Event::Ended { request, end }, self.now);
    }

    /// Lets every source bring what it brings in a step.
    fn step(&mut self) {
        self.now = self.now + STEP;
        self.swarm.handle_timeout(self.now);
        self.obey();
        for (source, rate) in self.rates.clone() {
            (0..rate).for_each(|_| self.bring(source));
        }
    }

    /// Lets a source bring one group of its oldest request.
    fn bring(&mut self, source: SourceId) {
        let mut own = self.live.iter_mut().filter(|(_, (of, _))| *of == source);
        let Some((request, (_, left))) = own.next() else {
            return;
        };
        let (request, first) = (*request, left.start());
        *left = GroupRange::new(first + 1, left.end());
        let done = left.is_empty();
        let groups = GroupRange::new(first, first + 1);
        self.swarm
            .handle(Event::Arrived { request, groups }, self.now);
        if done {
            self.live.remove(&request);
            self.end(request, RequestEnd::Done);
        }
        self.obey();
    }

    fn owed_by(&self, source: SourceId) -> u32 {
        let own = self.live.values().filter(|(of, _)| *of == source);
        own.map(|(_, left)| left.len()).sum()
    }

    /// Whether a source hurries what another one owes.
    fn helps(&self, helper: SourceId, first: SourceId) -> bool {
        let owed = self.live.values().filter(|(of, _)| *of == first);
        let owed: GroupSet = owed.map(|(_, left)| *left).collect();
        self.live.iter().any(|(request, (of, left))| {
            let rescues = self.swarm.cause(*request) == Some(Cause::Rescued);
            *of == helper && rescues && owed.contains_all(*left)
        })
    }

    fn step_until(&mut self, there: impl Fn(&Self) -> bool) {
        (0..1000).any(|_| {
            self.step();
            there(self)
        });
        assert!(there(self), "it never came to that");
    }

    /// How long it takes from here on.
    fn rest(mut self) -> Duration {
        let since = self.now;
        self.step_until(|download| download.swarm.is_finished());
        self.now.since(since)
    }
}

#[test]
fn what_a_silent_helper_owes_is_asked_of_a_third() {
    let mut download = Download::new(400, &[1, 2, 8]);
    let (first, helper) = (SourceId(1), SourceId(2));
    download.step_until(|download| download.swarm.status(download.now).done > 300 * GROUP_BYTES);
    download.rates.insert(first, 0);
    download.step_until(|download| download.helps(helper, first));
    download.rates.insert(helper, 0);
    download.rates.insert(EDGE, 8);
    assert!(download.rest() < PATIENCE);
}

#[test]
fn help_that_was_not_in_vain_may_be_given_again() {
    let mut download = Download::new(1600, &[2, 4, 4, 4, 4, 4, 4, 4, 4]);
    let peers: Vec<SourceId> = (1..9).map(SourceId).collect();
    // So many groups may be under way twice.
    let most = 32;
    download.step_until(|download| download.swarm.status(download.now).done > 1200 * GROUP_BYTES);
    let owed: u32 = peers.iter().map(|peer| download.owed_by(*peer)).sum();
    assert!(owed > most * 3, "{owed}");
    for peer in peers {
        download.rates.insert(peer, 0);
    }
    download.rates.insert(EDGE, 40);
    assert!(download.rest() < PATIENCE);
}

#[test]
fn an_edge_finishes_the_short_answer_when_a_peer_was_quicker() {
    // Two lanes that bring four groups in a step, and answer in one: so many each in four round trips.
    let (edge, short) = (4, 8);
    let cut_short = |[one, other]: [u32; 2]| {
        let mut download = Download::new(200, &[edge, one, other]);
        download.step_until(|download| download.swarm.is_finished());
        let of_edge = download.cancelled.iter().filter(|(of, _)| *of == EDGE);
        of_edge.map(|(_, left)| *left).collect::<Vec<u32>>()
    };
    assert_eq!(cut_short([1, 5]), [], "eight groups were left of one");
    let long = cut_short([1, 8]);
    assert!(!long.is_empty() && long.iter().all(|left| *left > short));
}

#[test]
fn near_the_end_help_does_not_wait_for_a_tick() {
    let mut download = Download::new(200, &[8, 8]);
    let peer = SourceId(1);
    download.step_until(|download| download.swarm.status(download.now).done > 150 * GROUP_BYTES);
    while download.owed_by(EDGE) > 0 || download.owed_by(peer) > 1 {
        let source = if download.owed_by(EDGE) > 0 {
            EDGE
        } else {
            peer
        };
        download.bring(source);
    }
    assert!(!download.helps(EDGE, peer), "it may come at once");
    let since = download.now;
    while !download.helps(EDGE, peer) {
        download.now = download.swarm.poll_timeout().unwrap();
        assert!(download.now.since(since) < Swarm::TICK / 2);
        download.swarm.handle_timeout(download.now);
        download.obey();
    }
}
