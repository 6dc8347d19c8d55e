//! The clockwork: nodes, messages under way, transfers, and the checks on every step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use peerlift_model::{GROUP_BYTES, GroupRange, GroupSet, Layout, Timestamp};
use peerlift_swarm::{
    Config, Event, Fault, Output, RequestEnd, RequestId, ServeId, SourceId, Status, Swarm,
};

use super::fair::{Crossing, rates};
use super::scenario::{Nature, Scenario};

/// The resolution of transfers.
const STEP: Duration = Duration::from_millis(5);
/// TCP/IP and QUIC headers.
const HEADERS: f64 = 1.05;
/// One parent of a proof.
const PARENT_BYTES: f64 = 64.0;
/// How long until a silent death is noticed.
const NOTICE_DEATH: Duration = Duration::from_secs(10);
/// No simulated download may take longer.
const PATIENCE: Duration = Duration::from_secs(900);
/// The edge's number; clients follow.
const EDGE: usize = 0;

/// What a run came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    /// For each client the seconds from its arrival to its end; `None` when it was killed or evil.
    pub(crate) own_s: Vec<Option<f64>>,
    /// Seconds from the first arrival to the last completion.
    pub(crate) last_s: f64,
    /// Payload that left the edge.
    pub(crate) edge_bytes: u64,
    /// Payload that was new to whoever got it.
    pub(crate) delivered_bytes: u64,
    /// Payload that arrived for nothing.
    pub(crate) wasted_bytes: u64,
    /// Announced runs, times the peers they were told to.
    pub(crate) announcements: u64,
    pub(crate) requests: u64,
    /// A fingerprint of everything every core said, in order.
    pub(crate) history: u64,
    pub(crate) status: Vec<Option<Status>>,
}

impl Outcome {
    /// Edge bytes per delivered byte.
    pub(crate) fn edge_share(&self) -> f64 {
        self.edge_bytes as f64 / self.delivered_bytes as f64
    }
}

enum Mail {
    Arrive(usize),
    Meet(usize, usize),
    Leave(usize),
    Kill(usize),
    Part {
        at: usize,
        other: usize,
    },
    EdgeDies,
    Tell {
        to: usize,
        event: Event,
    },
    /// A request reaches its source.
    Ask {
        client: usize,
        source: usize,
        request: RequestId,
        groups: GroupRange,
    },
    /// A cancel reaches its source.
    Stop {
        client: usize,
        request: RequestId,
    },
}

struct Node {
    nature: Nature,
    swarm: Option<Swarm>,
    alive: bool,
    arrived: Timestamp,
    finished: Option<Timestamp>,
    /// Whom it is connected to.
    peers: BTreeSet<usize>,
    /// Requests that have not ended, and whom they were put to.
    live: BTreeMap<RequestId, (usize, GroupRange)>,
    /// What every source has told it.
    told: BTreeMap<usize, GroupSet>,
    /// Uploads it knows: for whom.
    serves: BTreeMap<ServeId, (usize, RequestId, GroupRange)>,
    next_serve: u64,
}

struct Flow {
    from: usize,
    groups: GroupRange,
    serve: Option<ServeId>,
    /// Wire bytes sent.
    sent: f64,
    /// Groups sent whole.
    whole: u32,
}

/// The simulation.
pub(crate) struct World {
    scenario: Scenario,
    layout: Layout,
    now: Timestamp,
    nodes: Vec<Node>,
    edge_alive: bool,
    mail: BTreeMap<(Timestamp, u64), Mail>,
    posted: u64,
    /// Transfers under way, by client and request.
    flows: BTreeMap<(usize, RequestId), Flow>,
    outcome: Outcome,
}

impl World {
    /// Plays the scenario to its end.
    pub(crate) fn run(scenario: Scenario) -> Outcome {
        let mut world = Self::new(scenario);
        while !world.is_over() {
            assert!(
                world.now < Timestamp::ZERO + PATIENCE,
                "somebody never finishes"
            );
            world.step();
        }
        world.sum_up()
    }

    fn new(scenario: Scenario) -> Self {
        let layout = Layout::new(scenario.size).unwrap();
        let at = |seconds: f64| Timestamp::ZERO + Duration::from_secs_f64(seconds);
        let mut world = Self {
            layout,
            now: Timestamp::ZERO,
            nodes: vec![Node::new(Nature::Honest)],
            edge_alive: true,
            mail: BTreeMap::new(),
            posted: 0,
            flows: BTreeMap::new(),
            outcome: Outcome {
                own_s: Vec::new(),
                last_s: 0.0,
                edge_bytes: 0,
                delivered_bytes: 0,
                wasted_bytes: 0,
                announcements: 0,
                requests: 0,
                history: 0,
                status: Vec::new(),
            },
            scenario: scenario.clone(),
        };
        for client in &scenario.clients {
            let id = world.nodes.len();
            world.nodes.push(Node::new(client.nature));
            world.post_at(at(client.arrives), Mail::Arrive(id));
            if let Some(killed) = client.killed {
                world.post_at(at(killed), Mail::Kill(id));
            }
        }
        if let Some(dies) = scenario.edge_dies_at {
            world.post_at(at(dies), Mail::EdgeDies);
        }
        world
    }

    fn is_over(&self) -> bool {
        let nodes = self.nodes.iter().skip(1).zip(&self.scenario.clients);
        let mut awaited =
            nodes.filter(|(node, client)| node.nature == Nature::Honest && client.killed.is_none());
        awaited.all(|(node, _)| node.finished.is_some())
    }

    fn step(&mut self) {
        self.now = self.now + STEP;
        while let Some(entry) = self.mail.first_entry() {
            if entry.key().0 > self.now {
                break;
            }
            let mail = entry.remove();
            self.open(mail);
        }
        self.transfer();
        for id in 1..self.nodes.len() {
            let due = self.nodes[id].swarm.as_ref().and_then(Swarm::poll_timeout);
            if self.nodes[id].alive && due.is_some_and(|due| due <= self.now) {
                let now = self.now;
                self.with_swarm(id, |swarm| swarm.handle_timeout(now));
            }
        }
    }

    fn open(&mut self, mail: Mail) {
        match mail {
            Mail::Arrive(id) => self.arrive(id),
            Mail::Meet(a, b) => self.meet(a, b),
            Mail::Leave(id) => self.depart(id, Duration::ZERO),
            Mail::Kill(id) => self.depart(id, NOTICE_DEATH),
            Mail::Part { at, other } => self.part(at, other),
            Mail::EdgeDies => {
                self.edge_alive = false;
                self.flows.retain(|_, flow| flow.from != EDGE);
                for id in 1..self.nodes.len() {
                    self.post(
                        Duration::from_secs(3),
                        Mail::Part {
                            at: id,
                            other: EDGE,
                        },
                    );
                }
            }
            Mail::Tell { to, event } => self.tell(to, event),
            Mail::Ask {
                client,
                source,
                request,
                groups,
            } => self.asked(client, source, request, groups),
            Mail::Stop { client, request } => self.stopped(client, request),
        }
    }

    fn arrive(&mut self, id: usize) {
        let client = &self.scenario.clients[id - 1];
        let config = Config {
            goal: self.scenario.goal,
            spread: Some(u32::try_from(id - 1).unwrap()),
            share: client.shares,
            ..Config::default()
        };
        let seed = self.scenario.seed.wrapping_mul(1_000_003) + id as u64;
        let node = &mut self.nodes[id];
        node.alive = true;
        node.arrived = self.now;
        let now = self.now;
        if node.nature == Nature::Honest {
            let have = match client.seed {
                true => self.layout.all_groups().into(),
                false => GroupSet::new(),
            };
            node.swarm = Some(Swarm::new(config, self.layout, have, seed, now));
            self.with_swarm(id, |_| ());
            if self.edge_alive {
                let node = &mut self.nodes[id];
                node.told.insert(EDGE, self.layout.all_groups().into());
                let lanes = self.scenario.lanes;
                self.tell(
                    id,
                    Event::EdgeJoined {
                        source: SourceId(0),
                        lanes,
                    },
                );
            }
        }
        let shares = |id: usize| self.scenario.clients[id - 1].shares;
        let others: Vec<usize> = (1..self.nodes.len())
            .filter(|other| *other != id && self.nodes[*other].alive)
            .filter(|other| shares(*other) || shares(id))
            .collect();
        for other in others {
            self.post(self.scenario.meet, Mail::Meet(id, other));
        }
    }

    fn meet(&mut self, a: usize, b: usize) {
        if !self.nodes[a].alive || !self.nodes[b].alive {
            return;
        }
        for (one, other) in [(a, b), (b, a)] {
            self.nodes[one].peers.insert(other);
            let (source, rtt) = (id_of(other), self.scenario.rtt_peer);
            self.tell(one, Event::PeerJoined { source, rtt });
        }
        for (one, other) in [(a, b), (b, a)] {
            self.greet(one, other);
        }
    }

    /// One node tells another what it has.
    fn greet(&mut self, one: usize, other: usize) {
        let source = id_of(one);
        let lag = self.scenario.rtt_peer / 2;
        let Some(swarm) = &self.nodes[one].swarm else {
            self.post(
                lag,
                Mail::Tell {
                    to: other,
                    event: Event::HaveAll { source },
                },
            );
            self.post(
                lag,
                Mail::Tell {
                    to: other,
                    event: Event::Unchoked { source },
                },
            );
            return;
        };
        if self.scenario.clients[one - 1].shares {
            let runs = swarm.have().runs().to_vec();
            for groups in runs {
                self.post(
                    lag,
                    Mail::Tell {
                        to: other,
                        event: Event::Have { source, groups },
                    },
                );
            }
        }
    }

    fn depart(&mut self, id: usize, notice: Duration) {
        if !std::mem::replace(&mut self.nodes[id].alive, false) {
            return;
        }
        self.flows
            .retain(|(client, _), flow| *client != id && flow.from != id);
        for other in std::mem::take(&mut self.nodes[id].peers) {
            self.post(
                notice + self.scenario.rtt_peer / 2,
                Mail::Part {
                    at: other,
                    other: id,
                },
            );
        }
    }

    fn part(&mut self, at: usize, other: usize) {
        let node = &mut self.nodes[at];
        node.peers.remove(&other);
        node.live.retain(|_, (source, _)| *source != other);
        node.serves.retain(|_, (client, _, _)| *client != other);
        self.flows.retain(|(client, _), flow| {
            (*client, flow.from) != (at, other) && (*client, flow.from) != (other, at)
        });
        self.tell(
            at,
            Event::Left {
                source: id_of(other),
            },
        );
    }

    fn tell(&mut self, to: usize, event: Event) {
        let node = &mut self.nodes[to];
        if !node.alive || node.swarm.is_none() {
            return;
        }
        if let Event::Arrived { request, .. } = &event
            && !node.live.contains_key(request)
        {
            return;
        }
        if let Event::Ended { request, .. } = &event
            && node.live.remove(request).is_none()
        {
            return;
        }
        if let Event::Have { source, groups } = &event {
            node.told
                .entry(source.0 as usize)
                .or_default()
                .insert(*groups);
        }
        if let Event::HaveAll { source } = &event {
            let all = self.layout.all_groups();
            node.told.insert(source.0 as usize, all.into());
        }
        let now = self.now;
        self.with_swarm(to, |swarm| swarm.handle(event, now));
    }

    fn asked(&mut self, client: usize, source: usize, request: RequestId, groups: GroupRange) {
        if !self.nodes[client].live.contains_key(&request) {
            return;
        }
        if source == EDGE {
            if self.edge_alive {
                self.start(client, EDGE, request, groups, None);
            }
            return;
        }
        match self.nodes[source].nature {
            _ if !self.nodes[source].alive => {}
            Nature::Staller => {}
            Nature::Liar | Nature::LateLiar | Nature::Dripper => {
                self.start(client, source, request, groups, None);
            }
            Nature::Honest => {
                let node = &mut self.nodes[source];
                let serve = ServeId(node.next_serve);
                node.next_serve += 1;
                node.serves.insert(serve, (client, request, groups));
                let (source, asker) = (source, id_of(client));
                self.tell(
                    source,
                    Event::Asked {
                        source: asker,
                        serve,
                        groups,
                    },
                );
            }
        }
    }

    fn stopped(&mut self, client: usize, request: RequestId) {
        self.flows.remove(&(client, request));
        for id in 1..self.nodes.len() {
            let found = (self.nodes[id].serves.iter())
                .find(|(_, (of, which, _))| (*of, *which) == (client, request))
                .map(|(serve, _)| *serve);
            if let Some(serve) = found {
                self.nodes[id].serves.remove(&serve);
                self.tell(id, Event::ServeEnded { serve });
            }
        }
    }

    fn start(
        &mut self,
        client: usize,
        from: usize,
        request: RequestId,
        groups: GroupRange,
        serve: Option<ServeId>,
    ) {
        let flow = Flow {
            from,
            groups,
            serve,
            sent: 0.0,
            whole: 0,
        };
        self.flows.insert((client, request), flow);
    }

    fn with_swarm(&mut self, id: usize, act: impl FnOnce(&mut Swarm)) {
        let Some(swarm) = &mut self.nodes[id].swarm else {
            return;
        };
        act(swarm);
        let mut outputs = Vec::new();
        while let Some(output) = swarm.poll_output() {
            outputs.push(output);
        }
        for output in outputs {
            self.remember(id, &output);
            self.perform(id, output);
        }
    }

    fn perform(&mut self, id: usize, output: Output) {
        match output {
            Output::Request {
                request,
                source,
                groups,
            } => self.request(id, request, source, groups),
            Output::Cancel { request } => {
                let Some((source, _)) = self.nodes[id].live.get(&request).copied() else {
                    return;
                };
                let event = Event::Ended {
                    request,
                    end: RequestEnd::Cancelled,
                };
                self.post(Duration::ZERO, Mail::Tell { to: id, event });
                self.post(
                    self.lag(source),
                    Mail::Stop {
                        client: id,
                        request,
                    },
                );
            }
            Output::Announce { groups } => {
                let source = id_of(id);
                assert!(
                    self.nodes[id]
                        .swarm
                        .as_ref()
                        .unwrap()
                        .have()
                        .contains_all(groups)
                );
                for other in self.nodes[id].peers.clone() {
                    self.outcome.announcements += 1;
                    let event = Event::Have { source, groups };
                    self.post(self.lag(other), Mail::Tell { to: other, event });
                }
            }
            Output::Serve { serve } => {
                let Some((client, request, groups)) = self.nodes[id].serves.get(&serve).copied()
                else {
                    return;
                };
                let have = self.nodes[id].swarm.as_ref().unwrap().have();
                assert!(have.contains_all(groups), "serves what it does not have");
                self.start(client, id, request, groups, Some(serve));
            }
            Output::RefuseServe { serve, reason } => {
                if let Some((to, request, _)) = self.nodes[id].serves.remove(&serve) {
                    let end = RequestEnd::Failed(reason.into());
                    self.post(
                        self.lag(to),
                        Mail::Tell {
                            to,
                            event: Event::Ended { request, end },
                        },
                    );
                }
            }
            Output::StopServe { serve } => {
                if let Some((to, request, _)) = self.nodes[id].serves.remove(&serve) {
                    self.flows.remove(&(to, request));
                    let end = RequestEnd::Failed(Fault::Closed);
                    self.post(
                        self.lag(to),
                        Mail::Tell {
                            to,
                            event: Event::Ended { request, end },
                        },
                    );
                    self.post(
                        Duration::ZERO,
                        Mail::Tell {
                            to: id,
                            event: Event::ServeEnded { serve },
                        },
                    );
                }
            }
            Output::Choke { source } => self.say(id, source, |source| Event::Choked { source }),
            Output::Unchoke { source } => self.say(id, source, |source| Event::Unchoked { source }),
            Output::Ban { source, .. } | Output::Dismiss { source } => {
                let other = source.0 as usize;
                self.nodes[id].live.retain(|_, (of, _)| *of != other);
                self.nodes[id].peers.remove(&other);
                self.flows
                    .retain(|(client, _), flow| (*client, flow.from) != (id, other));
                if other != EDGE {
                    self.post(
                        self.lag(other),
                        Mail::Part {
                            at: other,
                            other: id,
                        },
                    );
                }
            }
            Output::WantPeers => {}
            Output::Finished => self.finished(id),
        }
    }

    fn request(&mut self, id: usize, request: RequestId, source: SourceId, groups: GroupRange) {
        let node = &mut self.nodes[id];
        let source = source.0 as usize;
        assert!(!groups.is_empty() && groups.end() <= self.layout.group_count());
        let told = node.told.get(&source).expect("asks whom it knows");
        assert!(
            told.contains_all(groups),
            "asks for what the source does not have"
        );
        let fresh = node.live.insert(request, (source, groups)).is_none();
        assert!(fresh, "a request's name is used once");
        let at_source = node.live.values().filter(|(of, _)| *of == source).count();
        assert!(
            source != EDGE || at_source <= usize::from(self.scenario.lanes),
            "lanes are bounded"
        );
        assert!(at_source <= 600, "windows are bounded");
        self.outcome.requests += 1;
        self.post(
            self.lag(source),
            Mail::Ask {
                client: id,
                source,
                request,
                groups,
            },
        );
    }

    fn say(&mut self, id: usize, to: SourceId, event: impl Fn(SourceId) -> Event) {
        let to = to.0 as usize;
        self.post(
            self.lag(to),
            Mail::Tell {
                to,
                event: event(id_of(id)),
            },
        );
    }

    fn finished(&mut self, id: usize) {
        let node = &mut self.nodes[id];
        assert!(node.finished.replace(self.now).is_none(), "finishes once");
        let status = node.swarm.as_ref().unwrap().status(self.now);
        assert_eq!(status.done, self.layout.size());
        assert_eq!(
            status.resumed + status.from_edge + status.from_peers,
            status.size
        );
        if let Some(stays) = self.scenario.clients[id - 1].stays {
            self.post(Duration::from_secs_f64(stays), Mail::Leave(id));
        }
    }

    /// Lets the transfers run for one step.
    fn transfer(&mut self) {
        let per_s = |mbit: f64| mbit * 1e6 / 8.0;
        let ups: Vec<f64> = (self.nodes.iter().enumerate())
            .map(|(id, node)| match node.nature {
                Nature::Honest if id == EDGE => per_s(self.scenario.edge_up_mbit),
                Nature::Dripper => 1024.0,
                Nature::Honest | Nature::Liar | Nature::LateLiar | Nature::Staller => {
                    per_s(self.scenario.up_mbit)
                }
            })
            .collect();
        let downs = vec![per_s(self.scenario.down_mbit); self.nodes.len()];
        let crossings: Vec<Crossing> = (self.flows.iter())
            .map(|((client, _), flow)| Crossing {
                up: flow.from,
                down: *client,
            })
            .collect();
        let rates = rates(&crossings, &ups, &downs);
        let keys: Vec<_> = self.flows.keys().copied().collect();
        for (key, rate) in keys.into_iter().zip(rates) {
            self.progress(key, rate * STEP.as_secs_f64());
        }
    }

    fn progress(&mut self, key: (usize, RequestId), bytes: f64) {
        let (client, request) = key;
        let wire = |groups: u32, flow: &Flow| self.wire_bytes(flow.from, groups);
        let Some(flow) = self.flows.get(&key) else {
            return;
        };
        let mut whole = flow.whole;
        while whole < flow.groups.len() && wire(whole + 1, flow) <= flow.sent + bytes {
            whole += 1;
        }
        let (from, serve, groups) = (flow.from, flow.serve, flow.groups);
        let arrived = GroupRange::new(groups.start() + flow.whole, groups.start() + whole);
        let done = whole == groups.len();
        let flow = self.flows.get_mut(&key).unwrap();
        flow.sent += bytes;
        flow.whole = whole;
        if !arrived.is_empty() {
            self.deliver(client, from, request, arrived);
        }
        if let (Some(serve), false) = (serve, arrived.is_empty()) {
            let bytes = self.layout.bytes_of(arrived).len();
            self.tell(from, Event::Served { serve, bytes });
        }
        if done && self.flows.remove(&key).is_some() {
            let event = Event::Ended {
                request,
                end: RequestEnd::Done,
            };
            self.post(
                self.lag_between(client, from),
                Mail::Tell { to: client, event },
            );
            if let Some(serve) = serve {
                self.nodes[from].serves.remove(&serve);
                self.tell(from, Event::ServeEnded { serve });
            }
        }
    }

    fn deliver(&mut self, client: usize, from: usize, request: RequestId, groups: GroupRange) {
        let lag = self.lag_between(client, from);
        let lies = match self.nodes[from].nature {
            Nature::Liar => true,
            Nature::LateLiar => groups.start() % 64 > 48,
            Nature::Honest | Nature::Staller | Nature::Dripper => false,
        };
        let event = if lies {
            Event::Ended {
                request,
                end: RequestEnd::Failed(Fault::Corrupt),
            }
        } else {
            Event::Arrived { request, groups }
        };
        if from == EDGE {
            self.outcome.edge_bytes += self.layout.bytes_of(groups).len();
        }
        self.post(lag, Mail::Tell { to: client, event });
    }

    /// What the first so many groups of a request weigh.
    fn wire_bytes(&self, from: usize, groups: u32) -> f64 {
        let depth = f64::from(32 - self.layout.group_count().leading_zeros());
        let parents = if from == EDGE {
            f64::from(groups)
        } else {
            f64::from(groups) + depth
        };
        (f64::from(groups) * GROUP_BYTES as f64 + parents * PARENT_BYTES) * HEADERS
    }

    fn lag(&self, other: usize) -> Duration {
        let rtt = if other == EDGE {
            self.scenario.rtt_edge
        } else {
            self.scenario.rtt_peer
        };
        rtt / 2
    }

    fn lag_between(&self, a: usize, b: usize) -> Duration {
        self.lag(if a == EDGE || b == EDGE { EDGE } else { a })
    }

    fn post(&mut self, after: Duration, mail: Mail) {
        self.post_at(self.now + after, mail);
    }

    fn post_at(&mut self, at: Timestamp, mail: Mail) {
        self.posted += 1;
        self.mail.insert((at, self.posted), mail);
    }

    fn remember(&mut self, id: usize, output: &Output) {
        let line = format!("{} {id} {output:?}", self.now);
        for byte in line.bytes() {
            self.outcome.history =
                (self.outcome.history ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn sum_up(mut self) -> Outcome {
        for node in self.nodes.iter().skip(1) {
            let own = node.finished.map(|at| at.since(node.arrived).as_secs_f64());
            self.outcome.own_s.push(own);
            let status = node.swarm.as_ref().map(|swarm| swarm.status(self.now));
            if let Some(status) = &status {
                self.outcome.delivered_bytes += status.done - status.resumed;
                self.outcome.wasted_bytes += status.wasted;
            }
            self.outcome.status.push(status);
        }
        let last = self.nodes.iter().filter_map(|node| node.finished).max();
        self.outcome.last_s = last.map_or(0.0, |at| at.since(Timestamp::ZERO).as_secs_f64());
        self.outcome
    }
}

impl Node {
    fn new(nature: Nature) -> Self {
        Self {
            nature,
            swarm: None,
            alive: false,
            arrived: Timestamp::ZERO,
            finished: None,
            peers: BTreeSet::new(),
            live: BTreeMap::new(),
            told: BTreeMap::new(),
            serves: BTreeMap::new(),
            next_serve: 0,
        }
    }
}

/// What others call a node.
fn id_of(node: usize) -> SourceId {
    SourceId(u32::try_from(node).unwrap())
}
