//! A download that always goes on: what the benches and the instruction counts measure.
//!
//! One edge and [`PEERS`] peers, half of them seeds, the others with half of the object in a few
//! runs. Every [`Driver::step`] delivers the oldest request and lets the core plan the
//! next; a finished download is followed by another.

use std::collections::VecDeque;
use std::time::Duration;

use peerlift_model::{GroupRange, GroupSet, Layout, Timestamp};
use peerlift_swarm::{Config, Event, Limits, Output, RequestEnd, RequestId, SourceId, Swarm};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg32;

/// Forty sources with the edge.
pub(crate) const PEERS: u32 = 39;
/// Runs in the map of a peer that is no seed.
const RUNS: u32 = 16;
/// Asked of one peer at a time: with it no request is larger than a mebibyte.
const WINDOW_BYTES: u64 = 2 << 20;

/// One download after the other.
pub(crate) struct Driver {
    layout: Layout,
    swarm: Swarm,
    now: Timestamp,
    under_way: VecDeque<(RequestId, GroupRange)>,
    seed: u64,
    maps: Vec<GroupSet>,
}

impl Driver {
    /// A download of an object of about so many pieces.
    pub(crate) fn new(pieces: u32) -> Self {
        let layout = Layout::new(size_of(pieces)).expect("small enough");
        let mut rng = Pcg32::seed_from_u64(1);
        let (groups, part) = (layout.group_count(), layout.group_count() / RUNS);
        let mut some = || {
            let starts = (0..RUNS).map(|run| run * part + rng.random_range(0..part / 2));
            starts
                .map(|start| GroupRange::new(start, (start + part / 2).min(groups)))
                .collect()
        };
        let maps = (0..PEERS / 2).map(|_| some()).collect();
        let now = Timestamp::ZERO;
        let mut driver = Self {
            layout,
            swarm: Swarm::new(config(), layout, GroupSet::new(), 1, now),
            now,
            under_way: VecDeque::new(),
            seed: 1,
            maps,
        };
        driver.begin();
        driver
    }

    /// Delivers the oldest request; `false` when there was none, and the next download has begun instead.
    pub(crate) fn step(&mut self) -> bool {
        self.now = self.now + Duration::from_micros(500);
        if self.swarm.poll_timeout().is_some_and(|due| due <= self.now) {
            self.swarm.handle_timeout(self.now);
        }
        let Some((request, groups)) = self.under_way.pop_front() else {
            self.begin();
            return false;
        };
        let end = RequestEnd::Done;
        self.swarm
            .handle(Event::Arrived { request, groups }, self.now);
        self.swarm.handle(Event::Ended { request, end }, self.now);
        self.drain();
        true
    }

    fn begin(&mut self) {
        self.seed += 1;
        let have = GroupSet::new();
        self.swarm = Swarm::new(config(), self.layout, have, self.seed, self.now);
        self.tell(Event::EdgeJoined {
            source: SourceId(0),
            lanes: 4,
        });
        for peer in 1..=PEERS {
            let source = SourceId(peer);
            let rtt = Duration::from_millis(20);
            self.tell(Event::PeerJoined { source, rtt });
            let Some(map) = self.maps.get(peer as usize) else {
                self.tell(Event::HaveAll { source });
                continue;
            };
            for groups in map.runs().to_vec() {
                self.tell(Event::Have { source, groups });
            }
        }
        for peer in 1..=PEERS {
            let source = SourceId(peer);
            self.tell(Event::Unchoked { source });
        }
        self.drain();
    }

    fn tell(&mut self, event: Event) {
        self.swarm.handle(event, self.now);
    }

    fn drain(&mut self) {
        while let Some(output) = self.swarm.poll_output() {
            if let Output::Request {
                request, groups, ..
            } = output
            {
                self.under_way.push_back((request, groups));
            }
        }
    }
}

fn config() -> Config {
    let limits = Limits {
        window_bytes: WINDOW_BYTES,
        ..Limits::default()
    };
    Config {
        limits,
        ..Config::default()
    }
}

/// An object of so many pieces: of 1 MiB, or of the largest size when they are many.
fn size_of(pieces: u32) -> u64 {
    let piece = if pieces <= 1024 { 1 << 20 } else { 4 << 20 };
    u64::from(pieces) * piece
}
