//! Any order of events, sensible or not, leaves the core sound: it never asks a source for what it
//! has not announced, answers for every request once, and finishes once an edge delivers.

use std::collections::BTreeMap;
use std::time::Duration;

use peerlift_model::{GroupRange, GroupSet, Layout, Rate, Timestamp};
use peerlift_swarm::{
    Config, Event, Fault, Goal, Limits, Output, RequestEnd, RequestId, ServeId, SourceId, Swarm,
};
use proptest::prelude::*;

const GROUPS: u32 = 100;
const FAULTS: [Fault; 6] = [
    Fault::Corrupt,
    Fault::Refused,
    Fault::Choked,
    Fault::Closed,
    Fault::Timeout,
    Fault::Busy,
];

/// A shell that does as it is told, and keeps books of its own.
struct Shell {
    swarm: Swarm,
    now: Timestamp,
    told: BTreeMap<SourceId, GroupSet>,
    live: BTreeMap<RequestId, (SourceId, GroupRange)>,
    waiting: BTreeMap<ServeId, SourceId>,
    running: BTreeMap<ServeId, SourceId>,
    next_serve: u64,
    finished: bool,
}

/// One step of a random life. Numbers are taken modulo what there is.
#[derive(Clone, Debug)]
enum Step {
    Edge(u32, u8),
    Peer(u32),
    Left(u32),
    Have(u32, u32, u32),
    HaveAll(u32),
    Choke(u32, bool),
    Pledge(u32, u32, u32),
    FairShare(u32, u64),
    Answer(usize),
    Arrive(usize, u32, u32),
    End(usize, usize),
    Ask(u32, u32, u32),
    ServeEnd(usize),
    Goal(u8),
    Share(bool),
    Spread(u32),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let id = 0u32..12;
    let at = 0u32..GROUPS + 20;
    prop_oneof![
        1 => (id.clone(), any::<u8>()).prop_map(|(id, lanes)| Step::Edge(id, lanes % 6)),
        3 => id.clone().prop_map(Step::Peer),
        1 => id.clone().prop_map(Step::Left),
        6 => (id.clone(), at.clone(), 0u32..40).prop_map(|(id, a, n)| Step::Have(id, a, n)),
        1 => id.clone().prop_map(Step::HaveAll),
        4 => (id.clone(), prop::bool::weighted(0.2)).prop_map(|(id, c)| Step::Choke(id, c)),
        2 => (id.clone(), at.clone(), 0u32..40).prop_map(|(id, a, n)| Step::Pledge(id, a, n)),
        1 => (id.clone(), any::<u64>()).prop_map(|(id, rate)| Step::FairShare(id, rate)),
        2 => any::<usize>().prop_map(Step::Answer),
        9 => (any::<usize>(), 0u32..9, 0u32..9).prop_map(|(n, a, l)| Step::Arrive(n, a, l)),
        6 => (any::<usize>(), 0usize..20).prop_map(|(n, how)| Step::End(n, how)),
        4 => (id, at, 0u32..9).prop_map(|(id, a, n)| Step::Ask(id, a, n)),
        3 => any::<usize>().prop_map(Step::ServeEnd),
        1 => any::<u8>().prop_map(Step::Goal),
        1 => any::<bool>().prop_map(Step::Share),
        1 => any::<u32>().prop_map(Step::Spread),
        6 => (0u64..12_000).prop_map(Step::Wait),
    ]
}

impl Shell {
    fn new(seed: u64, have: GroupSet) -> Self {
        let layout = Layout::new(u64::from(GROUPS) * 16 * 1024 - 5).expect("small enough");
        let config = Config {
            share: true,
            limits: Limits {
                peers: 8,
                unchoked: 3,
                serve_slots: 2,
                serve_queue: 4,
                ..Limits::default()
            },
            ..Config::default()
        };
        let mut shell = Self {
            swarm: Swarm::new(config, layout, have, seed, Timestamp::ZERO),
            now: Timestamp::ZERO,
            told: BTreeMap::new(),
            live: BTreeMap::new(),
            waiting: BTreeMap::new(),
            running: BTreeMap::new(),
            next_serve: 0,
            finished: false,
        };
        shell.drain();
        shell
    }

    fn tell(&mut self, event: Event) {
        self.swarm.handle(event, self.now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.swarm.poll_output() {
            match output {
                Output::Request {
                    request,
                    source,
                    groups,
                } => {
                    assert!(!self.finished && !groups.is_empty());
                    assert!(self.told[&source].contains_all(groups), "has it not");
                    assert!(self.live.insert(request, (source, groups)).is_none());
                }
                Output::Cancel { request } => assert!(self.live.contains_key(&request)),
                Output::Announce { groups } => {
                    assert!(self.swarm.have().contains_all(groups));
                }
                Output::Serve { serve } => {
                    let source = self.waiting.remove(&serve).expect("it waits");
                    self.running.insert(serve, source);
                    assert!(self.running.len() <= 2, "slots are bounded");
                }
                Output::RefuseServe { serve, .. } => {
                    assert!(self.waiting.remove(&serve).is_some(), "it waits");
                }
                Output::Ban { source, .. } | Output::Dismiss { source } => self.forget(source),
                Output::StopServe { serve } => assert!(self.running.contains_key(&serve)),
                Output::Finished => assert!(!std::mem::replace(&mut self.finished, true)),
                Output::Pledge { groups } => {
                    let asked = self.live.values().any(|(_, asked)| *asked == groups);
                    assert!(asked, "only what is asked for is pledged");
                }
                Output::FairShare { source, share } => {
                    assert!(self.told.contains_key(&source) && share > Rate::default());
                }
                Output::Choke { .. } | Output::Unchoke { .. } | Output::WantPeers => {}
            }
        }
        assert!(self.waiting.len() <= 8 * 4, "queues are bounded");
    }

    fn forget(&mut self, source: SourceId) {
        self.told.remove(&source);
        self.live.retain(|_, (of, _)| *of != source);
        self.waiting.retain(|_, of| *of != source);
        self.running.retain(|_, of| *of != source);
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Edge(id, lanes) => {
                let source = SourceId(100 + id);
                self.told.insert(source, GroupRange::new(0, GROUPS).into());
                self.tell(Event::EdgeJoined { source, lanes });
            }
            Step::Peer(id) => {
                let source = SourceId(id);
                self.told.entry(source).or_default();
                self.tell(Event::PeerJoined {
                    source,
                    rtt: Duration::from_millis(30),
                });
            }
            Step::Left(id) => {
                let source = SourceId(id);
                self.forget(source);
                self.tell(Event::Left { source });
            }
            Step::Have(id, at, len) => {
                let (source, groups) = (SourceId(id), GroupRange::new(at, at + len));
                if let Some(told) = self.told.get_mut(&source) {
                    told.insert(groups);
                }
                self.tell(Event::Have { source, groups });
            }
            Step::HaveAll(id) => {
                let source = SourceId(id);
                if let Some(told) = self.told.get_mut(&source) {
                    told.insert(GroupRange::new(0, GROUPS));
                }
                self.tell(Event::HaveAll { source });
            }
            Step::Choke(id, true) => self.tell(Event::Choked {
                source: SourceId(id),
            }),
            Step::Choke(id, false) => self.tell(Event::Unchoked {
                source: SourceId(id),
            }),
            Step::Answer(which) => {
                let request = self.some_request(which);
                self.tell(Event::Answered { request });
            }
            Step::Arrive(which, at, len) => {
                let request = self.some_request(which);
                let start = self
                    .live
                    .get(&request)
                    .map_or(at, |(_, groups)| groups.start() + at);
                let groups = GroupRange::new(start, start + len);
                self.tell(Event::Arrived { request, groups });
            }
            Step::End(which, how) => {
                let request = self.some_request(which);
                let end = match how {
                    0..10 => RequestEnd::Done,
                    10..14 => RequestEnd::Cancelled,
                    _ => RequestEnd::Failed(FAULTS[how % FAULTS.len()]),
                };
                self.live.remove(&request);
                self.tell(Event::Ended { request, end });
            }
            Step::Ask(id, at, len) => {
                let serve = ServeId(self.next_serve);
                self.next_serve += 1;
                self.waiting.insert(serve, SourceId(id));
                let groups = GroupRange::new(at, at + len);
                self.tell(Event::Asked {
                    source: SourceId(id),
                    serve,
                    groups,
                });
            }
            Step::ServeEnd(which) => {
                let all: Vec<ServeId> = self
                    .waiting
                    .keys()
                    .chain(self.running.keys())
                    .copied()
                    .collect();
                let serve = all
                    .get(which % all.len().max(1))
                    .copied()
                    .unwrap_or(ServeId(999));
                self.waiting.remove(&serve);
                self.running.remove(&serve);
                self.tell(Event::Served { serve, bytes: 77 });
                self.tell(Event::ServeEnded { serve });
            }
            Step::Goal(goal) => {
                let goals = [
                    Goal::Fastest,
                    Goal::Thrifty,
                    Goal::InOrder,
                    Goal::Floor(Rate::from_bytes_per_s(u64::from(goal) * 1000)),
                    Goal::Deadline(Timestamp::from_micros(u64::from(goal) * 1_000_000)),
                ];
                self.tell(Event::Goal {
                    goal: goals[usize::from(goal) % goals.len()],
                });
            }
            Step::Pledge(id, at, len) => self.tell(Event::Pledged {
                source: SourceId(id),
                groups: GroupRange::new(at, at + len),
            }),
            Step::FairShare(id, rate) => self.tell(Event::FairShare {
                source: SourceId(id),
                share: Rate::from_bytes_per_s(rate),
            }),
            Step::Share(share) => self.tell(Event::Share { share }),
            Step::Spread(spread) => self.tell(Event::Spread { spread }),
            Step::Wait(millis) => {
                self.now = self.now + Duration::from_millis(millis);
                self.swarm.handle_timeout(self.now);
                self.drain();
            }
        }
    }

    fn some_request(&self, which: usize) -> RequestId {
        let names: Vec<RequestId> = self.live.keys().copied().collect();
        names
            .get(which % names.len().max(1))
            .copied()
            .unwrap_or(RequestId(1 << 40))
    }

    /// Everybody behaves from now on, and there is an edge.
    fn heal(&mut self) {
        let source = SourceId(1000);
        self.told.insert(source, GroupRange::new(0, GROUPS).into());
        self.tell(Event::EdgeJoined { source, lanes: 3 });
        for _ in 0..2000 {
            if self.finished {
                return;
            }
            while let Some((request, (_, groups))) = self.live.pop_first() {
                self.live.insert(request, (source, groups));
                self.tell(Event::Arrived { request, groups });
                self.live.remove(&request);
                self.tell(Event::Ended {
                    request,
                    end: RequestEnd::Done,
                });
            }
            self.now = self.now + Duration::from_millis(250);
            self.swarm.handle_timeout(self.now);
            self.drain();
        }
        panic!("never finishes: {:?}", self.swarm.status(self.now));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_life_ends_well(seed in any::<u64>(), had in 0..GROUPS, steps in proptest::collection::vec(step(), 0..150)) {
        let mut shell = Shell::new(seed, GroupRange::new(GROUPS - had, GROUPS).into());
        steps.into_iter().for_each(|step| shell.play(step));
        shell.heal();
        let status = shell.swarm.status(shell.now);
        prop_assert_eq!(status.done, status.size);
        prop_assert_eq!(status.resumed + status.from_edge + status.from_peers, status.size);
    }
}
