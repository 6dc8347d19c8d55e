//! The coarser model: bytes as a fluid, in steps of a quarter of a second.
//!
//! What the group-level model (`world`) plays request by request is here a handful of sums a
//! download and step: what the edge gives whom, what peers give whom ([`pool`]), and what a goal
//! wants of the edge ([`wants`]). It runs none of the cores, and so it says nothing about their
//! mistakes; it says what comes of their rules with a million people. Plans, outcomes, figures and
//! twins are the same.
//!
//! Not modelled beside what the other model leaves out: who is near whom, liars, choking, requests
//! and their windows, the end-game, waste.

mod check;
mod level;
mod pool;
mod task;
mod wants;

use std::collections::{BTreeMap, BTreeSet};

use peerlift_model::{GROUP_BYTES, Timestamp};

use crate::outcome::{Ending, Outcome};
use crate::plan::{Nature, Plan, User};
use crate::wire::{Carrier, have_delta};
use check::Checks;
use level::{Vessel, fill};
use pool::{CLASSES, Giver, PEERS_MAX, Swarm, TO_GIVE, class};
use task::{LISTEN_S, State, Task, bytes};
use wants::View;

/// The length of a step: that of the core's ticks (`peerlift_swarm::Swarm::TICK`).
const STEP_S: f64 = 0.25;
/// Announcements a second of a download (`Limits::announce_interval`).
const ANNOUNCEMENTS_PER_S: f64 = 1.0 / 0.15;
/// The bytes that a connection may have under way (`line::WINDOW_BYTES_MAX`).
const WINDOW_BYTES: f64 = 6.0 * 1_048_576.0;
/// A segment, for the window that loss leaves.
const SEGMENT: f64 = 1448.0;
/// Below this part of what its line takes in, a download knows that the edge is shared
/// (`twin::ROOM_PERCENT`).
const ROOM: f64 = 0.85;
/// What a missing end may be off by, of rounding.
const CRUMB: f64 = 0.5;

/// Plays a plan to its end.
pub(crate) fn run(plan: &Plan) -> Outcome {
    let mut flow = Flow::new(plan);
    while flow.open > 0 && flow.now <= flow.give_up_at {
        flow.step();
    }
    flow.close()
}

#[derive(Debug)]
struct Flow<'a> {
    plan: &'a Plan,
    now: f64,
    next_visit: usize,
    tasks: Vec<Task>,
    swarms: Vec<Swarm>,
    /// Objects that somebody downloads.
    busy: BTreeSet<u32>,
    /// Who would still be at the edge if there were no peers.
    crowd: Vec<u32>,
    /// The task of each user and object.
    kept: BTreeMap<(u32, u32), u32>,
    /// How many downloads each user has.
    downloads: Vec<u16>,
    /// In how many swarms each user gives in this step.
    gives: Vec<u16>,
    /// Wire bytes by payload, from the edge and from peers.
    edge_weight: f64,
    peer_weight: f64,
    /// A typical round trip between peers.
    peer_rtt: f64,
    open: usize,
    give_up_at: f64,
    checks: Checks,
    outcome: Outcome,
}

impl<'a> Flow<'a> {
    fn new(plan: &'a Plan) -> Self {
        let last = plan
            .visits
            .last()
            .map_or(0.0, |visit| visit.at.as_secs_f64());
        let together = plan
            .users
            .windows(2)
            .all(|pair| pair[0].place == pair[1].place);
        let distance = if together {
            plan.distances.same_network
        } else {
            plan.distances.same_country
        };
        let payload = 64 * GROUP_BYTES;
        let weight = |carrier: Carrier| carrier.bytes(payload, 64, true) / payload as f64;
        let all_open = plan
            .users
            .iter()
            .all(|user| user.nat == crate::plan::Nat::Open);
        let swarms = plan.objects.iter().map(|_| Swarm::default());
        Self {
            plan,
            now: 0.0,
            next_visit: 0,
            tasks: Vec::with_capacity(plan.visits.len()),
            swarms: swarms.collect(),
            busy: BTreeSet::new(),
            crowd: Vec::new(),
            kept: BTreeMap::new(),
            downloads: vec![0; plan.users.len()],
            gives: vec![0; plan.users.len()],
            edge_weight: weight(Carrier::Edge),
            peer_weight: weight(if all_open {
                Carrier::Reached
            } else {
                Carrier::Peer
            }),
            peer_rtt: distance.as_secs_f64(),
            open: plan.downloads().count(),
            give_up_at: last + plan.patience.as_secs_f64(),
            checks: Checks::default(),
            outcome: Outcome::default(),
        }
    }

    fn step(&mut self) {
        if self.busy.is_empty() {
            let Some(visit) = self.plan.visits.get(self.next_visit) else {
                self.now = f64::INFINITY;
                return;
            };
            self.now = self.now.max(visit.at.as_secs_f64());
        }
        self.arrivals();
        self.departures();
        let busy: Vec<u32> = self.busy.iter().copied().collect();
        if self.plan.peers {
            self.imagine();
            self.offers(&busy);
        }
        let asks = self.asks(&busy);
        self.outcome.events += asks.len() as u64;
        let given = self.edge_gives(&asks);
        let mut at = 0;
        for object in busy {
            let count = self.swarms[object as usize].fills.len();
            self.swarm_gives(object, &asks[at..at + count], &given[at..at + count]);
            at += count;
        }
        self.now += STEP_S;
    }

    fn arrivals(&mut self) {
        while let Some(visit) = self.plan.visits.get(self.next_visit)
            && visit.at.as_secs_f64() < self.now + STEP_S
        {
            let number = u32::try_from(self.next_visit).expect("plans are in bounds");
            self.next_visit += 1;
            self.arrive(number);
        }
    }

    fn arrive(&mut self, number: u32) {
        let visit = &self.plan.visits[number as usize];
        let honest = self.plan.users[visit.user as usize].nature == Nature::Honest;
        if !honest {
            return;
        }
        let key = (visit.user, visit.object);
        let here = |task: &u32| {
            let task = &self.tasks[*task as usize];
            task.state != State::Gone && task.gone_at > visit.at.as_secs_f64()
        };
        if self.kept.get(&key).is_some_and(here) {
            self.open -= usize::from(!visit.seed);
            return;
        }
        let id = u32::try_from(self.tasks.len()).expect("plans are in bounds");
        let swarm = &mut self.swarms[visit.object as usize];
        let mut task = Task::new(self.plan, number, self.peer_rtt, swarm.crowded);
        if self.plan.peers {
            self.kept.insert(key, id);
            let copies = swarm.serves.len() + swarm.fills.len();
            task.copies = u32::try_from(copies).unwrap_or(u32::MAX);
            let most = u32::try_from(self.plan.control.peers_max).unwrap_or(u32::MAX);
            task.returned = task.copies.min(most);
        }
        if visit.seed {
            swarm.serves.push(id);
            swarm.there = task.size;
        } else {
            swarm.fills.push(id);
            self.busy.insert(visit.object);
            if self.plan.peers {
                self.crowd.push(id);
            }
            self.downloads[visit.user as usize] += 1;
        }
        self.tasks.push(task);
    }

    /// Takes out who is gone.
    fn departures(&mut self) {
        let (now, tasks) = (self.now, &mut self.tasks);
        let mut emptied = Vec::new();
        for object in &self.busy {
            let swarm = &mut self.swarms[*object as usize];
            let mut gone = Vec::new();
            swarm.fills.retain(|id| {
                let stays = tasks[*id as usize].gone_at > now;
                if !stays {
                    gone.push(*id);
                }
                stays
            });
            swarm.serves.retain(|id| tasks[*id as usize].gone_at > now);
            for id in gone {
                let task = &mut tasks[id as usize];
                task.state = State::Gone;
                task.rate = 0.0;
                self.downloads[task.user as usize] -= 1;
                self.open -= 1;
            }
            let have = |ids: &[u32]| ids.iter().map(|id| tasks[*id as usize].have).sum::<f64>();
            swarm.there = swarm.there.min(have(&swarm.fills) + have(&swarm.serves));
            if swarm.fills.is_empty() {
                emptied.push(*object);
            }
        }
        emptied.iter().for_each(|object| {
            self.busy.remove(object);
        });
        self.crowd.retain(|id| {
            let task = &tasks[*id as usize];
            let here = task.state != State::Gone || task.have >= task.size;
            here && task.twin < task.size
        });
    }

    /// Moves everybody's edge-only twin on.
    fn imagine(&mut self) {
        let vessel = |id: &u32| {
            let task = &self.tasks[*id as usize];
            let part = Task::part(task.edge_at, self.now, STEP_S);
            let most = self.down(task) * STEP_S * part;
            Vessel::empty(most.min(task.size - task.twin))
        };
        let mut vessels: Vec<Vessel> = self.crowd.iter().map(vessel).collect();
        fill(self.edge_supply(), &mut vessels);
        for (id, one) in self.crowd.iter().zip(&vessels) {
            let task = &mut self.tasks[*id as usize];
            task.twin += one.has;
            // A first or a last step that is not full is no slower edge.
            if task.twin < task.size {
                task.pace = one.has / STEP_S;
            }
            let heard = self.now > task.edge_at + LISTEN_S;
            if heard && one.has < one.most * ROOM {
                self.swarms[task.object as usize].crowded = true;
            }
        }
    }

    /// What the edge can give in a step.
    fn edge_supply(&self) -> f64 {
        let dies = self
            .plan
            .edge
            .dies_at
            .map_or(f64::INFINITY, |at| at.as_secs_f64());
        let alive = ((dies - self.now) / STEP_S).clamp(0.0, 1.0);
        self.plan.edge.up_bytes_per_s * STEP_S * alive / self.edge_weight
    }

    /// What a download's line takes in, payload a second.
    fn down(&self, task: &Task) -> f64 {
        let user = &self.plan.users[task.user as usize];
        let lanes = f64::from(self.plan.edge.lanes);
        let rtt = self.plan.distances.edge.as_secs_f64();
        let by_windows = lanes * window(user) / rtt.max(1e-4);
        let alike = f64::from(self.downloads[task.user as usize].max(1));
        user.down_bytes_per_s.min(by_windows) / self.edge_weight / alike
    }

    /// Finds out who can give what.
    fn offers(&mut self, busy: &[u32]) {
        self.gives.fill(0);
        for object in busy {
            let mut givers = std::mem::take(&mut self.swarms[*object as usize].givers);
            let swarm = &self.swarms[*object as usize];
            let fills = swarm.fills.len();
            givers.clear();
            for id in swarm.fills.iter().chain(&swarm.serves) {
                let task = &self.tasks[*id as usize];
                let bytes = self.can_give(task, fills);
                if bytes > 0.0 {
                    givers.push(Giver { task: *id, bytes });
                    self.gives[task.user as usize] += 1;
                }
            }
            self.swarms[*object as usize].givers = givers;
        }
        for object in busy {
            let swarm = &mut self.swarms[*object as usize];
            for giver in &mut swarm.givers {
                let user = self.tasks[giver.task as usize].user;
                giver.bytes /= f64::from(self.gives[user as usize]);
            }
            swarm.sum_up(&self.tasks);
        }
    }

    /// What a task can give in a step: what its uplink carries beside acknowledgements and
    /// announcements.
    fn can_give(&self, task: &Task, hearers: usize) -> f64 {
        let user = &self.plan.users[task.user as usize];
        let part = Task::part(task.peers_at, self.now, STEP_S);
        let spent = user
            .ratio_max
            .is_some_and(|ratio| task.uploaded >= ratio * task.size);
        if !task.shares || task.have < TO_GIVE.min(task.size) || part <= 0.0 || spent {
            return 0.0;
        }
        let acks = Carrier::Edge.acks(task.rate * self.edge_weight);
        let talk = if task.state == State::Fills {
            let hearers = (hearers as f64).min(PEERS_MAX);
            ANNOUNCEMENTS_PER_S * hearers * have_delta(1)
        } else {
            0.0
        };
        let left = (user.up_bytes_per_s - acks - talk).max(0.0);
        left * STEP_S * part / self.peer_weight
    }

    /// What every download asks of the edge in this step, swarm by swarm.
    fn asks(&self, busy: &[u32]) -> Vec<Ask> {
        let mut asks = Vec::new();
        for object in busy {
            let swarm = &self.swarms[*object as usize];
            let own: BTreeMap<u32, f64> = if swarm.givers.len() < 64 {
                swarm
                    .givers
                    .iter()
                    .map(|giver| (giver.task, giver.bytes))
                    .collect()
            } else {
                BTreeMap::new()
            };
            let askers = swarm.fills.len() as f64;
            for id in &swarm.fills {
                let task = &self.tasks[*id as usize];
                let own = own.get(id).copied().unwrap_or_default();
                asks.push(self.ask(task, swarm, own, askers));
            }
        }
        asks
    }

    fn ask(&self, task: &Task, swarm: &Swarm, own: f64, askers: f64) -> Ask {
        let down = self.down(task);
        let part = Task::part(task.edge_at, self.now, STEP_S);
        let own_givers = f64::from(u8::from(own > 0.0));
        let uploaders = (swarm.givers.len() as f64 - own_givers).clamp(0.0, PEERS_MAX);
        let view = View {
            helped: uploaders > 0.0 && swarm.reach(task.nat) > own,
            lacks: swarm.there < task.size - CRUMB,
            peers: swarm.potential(task, own, askers, STEP_S) / STEP_S,
            uploaders,
            down,
            lanes: f64::from(self.plan.edge.lanes),
        };
        let visit = &self.plan.visits[task.visit as usize];
        let arrived = Timestamp::ZERO + visit.at;
        let goal = visit.goal.unwrap_or(self.plan.goal).from_arrival(arrived);
        let edge = wants::of_edge(task, goal, view, self.now) * STEP_S * part;
        Ask {
            edge: edge.min(task.missing()),
            down: down * STEP_S,
            own,
        }
    }

    /// What everybody gets of the edge.
    fn edge_gives(&mut self, asks: &[Ask]) -> Vec<f64> {
        let mut vessels: Vec<Vessel> = asks.iter().map(|ask| Vessel::empty(ask.edge)).collect();
        let supply = self.edge_supply();
        fill(supply, &mut vessels);
        let sum: f64 = vessels.iter().map(|one| one.has).sum();
        self.checks.sends("the edge", sum, supply, self.now);
        vessels.into_iter().map(|one| one.has).collect()
    }

    /// What everybody gets of peers; takes all of it in.
    fn swarm_gives(&mut self, object: u32, asks: &[Ask], from_edge: &[f64]) {
        let swarm = &self.swarms[object as usize];
        let (mut vessels, mut nats) = (Vec::new(), Vec::new());
        for ((id, ask), edge) in swarm.fills.iter().zip(asks).zip(from_edge) {
            let task = &self.tasks[*id as usize];
            let part = Task::part(task.peers_at, self.now, STEP_S);
            let room = ((ask.down - edge) * part).min(task.missing() - edge);
            vessels.push(Vessel::empty(swarm.most(task, ask.own, room, STEP_S)));
            nats.push(task.nat);
        }
        let used = swarm.share(&mut vessels, &nats);
        self.give(object, used);
        let fills = std::mem::take(&mut self.swarms[object as usize].fills);
        let mut still = Vec::with_capacity(fills.len());
        for ((id, one), edge) in fills.into_iter().zip(vessels).zip(from_edge) {
            if !self.take(id, *edge, one.has) {
                still.push(id);
            }
        }
        let swarm = &mut self.swarms[object as usize];
        swarm.fills = still;
        let size = self.plan.objects[object as usize] as f64;
        // What nobody has leaves the edge first.
        swarm.there = (swarm.there + from_edge.iter().sum::<f64>()).min(size);
        if swarm.fills.is_empty() {
            self.busy.remove(&object);
        }
    }

    /// Books what the givers of a swarm gave.
    fn give(&mut self, object: u32, used: [f64; CLASSES.len()]) {
        let swarm = &self.swarms[object as usize];
        for giver in &swarm.givers {
            let task = &mut self.tasks[giver.task as usize];
            let given = class(task.nat).map_or(0.0, |class| used[class]) * giver.bytes;
            task.uploaded += given;
            let most = self.plan.users[task.user as usize].up_bytes_per_s * STEP_S;
            let most = if task.shares { most } else { 0.0 };
            self.checks.sends("a peer", given, most, self.now);
        }
    }

    /// A download takes bytes in; says whether it has ended.
    fn take(&mut self, id: u32, edge: f64, peers: f64) -> bool {
        self.checks.takes(edge + peers);
        let missing = self.tasks[id as usize].missing();
        let down = self.down(&self.tasks[id as usize]);
        let task = &mut self.tasks[id as usize];
        let before = task.rate;
        task.have += edge + peers;
        task.from_edge += edge;
        task.from_peers += peers;
        task.rate = (edge + peers) / STEP_S;
        self.outcome.peer_bytes += bytes(peers);
        if task.missing() > CRUMB {
            return false;
        }
        let rate = if before > 0.0 {
            before.max(task.rate)
        } else {
            down
        };
        let start = self.now.max(task.edge_at.min(task.peers_at));
        let end = (start + missing / rate).min(self.now + STEP_S);
        self.finish(id, end);
        true
    }

    fn finish(&mut self, id: u32, end: f64) {
        let task = &mut self.tasks[id as usize];
        (task.have, task.rate) = (task.size, 0.0);
        let visit = &self.plan.visits[task.visit as usize];
        let own_s = end - task.arrived;
        let mut record = task.record(Ending::Finished, own_s);
        // The uploads go on; `close` knows their end.
        record.uploaded = 0;
        self.outcome.records.push(record);
        self.outcome.last_s = self.outcome.last_s.max(end);
        self.open -= 1;
        self.downloads[task.user as usize] -= 1;
        let stays = visit
            .stays
            .map_or(f64::INFINITY, |stays| end + stays.as_secs_f64());
        if task.shares {
            (task.state, task.gone_at) = (State::Serves, stays);
            self.swarms[task.object as usize].serves.push(id);
        } else {
            task.state = State::Gone;
            self.kept.remove(&(task.user, task.object));
        }
    }

    fn close(mut self) -> Outcome {
        let ended: BTreeMap<u32, f64> = (self.outcome.records.drain(..))
            .map(|record| (record.visit, record.own_s))
            .collect();
        for task in &self.tasks {
            let visit = &self.plan.visits[task.visit as usize];
            if visit.seed {
                continue;
            }
            let record = match (ended.get(&task.visit), task.state) {
                (Some(own_s), _) => task.record(Ending::Finished, *own_s),
                (None, State::Gone) => task.record(Ending::Killed, task.gone_at - task.arrived),
                (None, State::Fills | State::Serves) => task.record(Ending::Unfinished, 0.0),
            };
            self.outcome.records.push(record);
        }
        self.outcome.edge_bytes = (self.outcome.records.iter()).map(|one| one.from_edge).sum();
        let wire = self.outcome.edge_bytes as f64 * self.edge_weight;
        self.outcome.edge_wire_bytes = bytes(wire);
        self.outcome.history = fingerprint(&self.outcome);
        self.outcome.complaints = self.checks.close(self.open, self.now);
        self.outcome
    }
}

/// What one download asks for in a step, in bytes.
#[derive(Clone, Copy, Debug)]
struct Ask {
    edge: f64,
    /// What its line takes in.
    down: f64,
    /// What it gives itself.
    own: f64,
}

/// The bytes that a connection to a user may have under way: loss bounds them (Mathis et al.
/// 1997, eq. 3).
fn window(user: &User) -> f64 {
    if user.loss > 0.0 {
        (SEGMENT * 1.22 / user.loss.sqrt()).min(WINDOW_BYTES)
    } else {
        WINDOW_BYTES
    }
}

fn fingerprint(outcome: &Outcome) -> u64 {
    let words = outcome.records.iter().flat_map(|record| {
        [
            u64::from(record.visit),
            record.own_s.to_bits(),
            record.from_edge,
            record.uploaded,
        ]
    });
    words.fold(0, |hash: u64, word| {
        let hash = (hash ^ word).wrapping_mul(0x100_0000_01b3);
        hash ^ hash >> 29
    })
}
