//! One object on one machine: the shell around a swarm core, and around liars.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use peerlift_model::{GroupRange, GroupSet, Timestamp};
use peerlift_swarm::{Config, Event, RequestId, ServeId, SourceId, Swarm};

use super::{Happening, NOTICE_DEATH, Question, World};
use crate::arena::Key;
use crate::check::Sight;
use crate::outcome::{Ending, Record};
use crate::plan::Nature;

/// The edge is every task's first source.
pub(super) const EDGE_SOURCE: SourceId = SourceId(0);
/// Round trips from the first packet to the manifest: a connection and a question.
const MANIFEST_RTTS: u32 = 2;

/// One object on one machine.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) user: u32,
    pub(super) object: u32,
    pub(super) visit: u32,
    pub(super) nature: Nature,
    pub(super) shares: bool,
    pub(super) alive: bool,
    pub(super) complete: bool,
    /// The core; `None` of liars and of those who are gone.
    pub(super) swarm: Option<Box<Swarm>>,
    pub(super) arrived: Timestamp,
    /// The sources by number; the first is the edge.
    pub(super) ends: Vec<End>,
    /// The connected tasks.
    pub(super) linked: BTreeMap<u32, SourceId>,
    /// Tasks that it never meets again.
    pub(super) banned: BTreeSet<u32>,
    /// Connections to the edge.
    pub(super) lanes: Vec<Lane>,
    /// Requests that have not ended.
    pub(super) live: BTreeMap<RequestId, SourceId>,
    pub(super) serves: BTreeMap<ServeId, Serve>,
    pub(super) served: BTreeMap<(SourceId, RequestId), ServeId>,
    pub(super) next_serve: u64,
    pub(super) uploaded: u64,
    pub(super) wake_at: Option<Timestamp>,
    /// Whether the control plane has answered its first question.
    pub(super) introduced: bool,
    pub(super) record: Record,
}

/// A source as one task sees it.
#[derive(Debug)]
pub(super) struct End {
    /// The peer, and our number there; `None` for the edge.
    pub(super) peer: Option<(u32, SourceId)>,
    pub(super) rtt: Duration,
    pub(super) open: bool,
    /// What we send there.
    pub(super) channel: Option<Key>,
}

/// One connection to the edge.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) channel: Option<Key>,
    pub(super) request: Option<RequestId>,
}

/// An upload that the task knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Serve {
    pub(super) source: SourceId,
    pub(super) question: Question,
    pub(super) flow: Option<Key>,
}

impl World<'_> {
    pub(super) fn arrive(&mut self, number: u32) {
        let plan = self.plan;
        let visit = &plan.visits[number as usize];
        let user = &plan.users[visit.user as usize];
        let counts = !visit.seed && user.nature == Nature::Honest;
        if self.control.task_of(visit.user, visit.object).is_some() {
            // The file is there, or on its way: nothing is downloaded again.
            self.open -= usize::from(counts);
            return;
        }
        let id = u32::try_from(self.tasks.len()).expect("plans are in bounds");
        let task = self.new_task(number);
        let shares = task.shares;
        self.tasks.push(task);
        self.see(Sight::Began {
            task: id,
            visit: number,
            whole: visit.seed,
        });
        let edge_rtt = plan.distances.edge;
        if user.nature == Nature::Honest {
            self.with_swarm(id, |_, _| ());
            if self.edge_alive && !visit.seed {
                let event = Event::EdgeJoined {
                    source: EDGE_SOURCE,
                    lanes: plan.edge.lanes,
                };
                self.post(edge_rtt * MANIFEST_RTTS, Happening::Tell(id, event));
            }
        }
        if let Some(after) = visit.killed_after.filter(|_| counts) {
            self.post(after, Happening::Kill(id));
        }
        if plan.peers && (shares || counts) {
            let login = edge_rtt * MANIFEST_RTTS + plan.control.login;
            // Who is there from the start has been there for long.
            self.enrol(id, if visit.seed { Duration::ZERO } else { login });
        }
    }

    fn new_task(&self, number: u32) -> Task {
        let visit = &self.plan.visits[number as usize];
        let user = &self.plan.users[visit.user as usize];
        let layout = self.layouts[visit.object as usize];
        let shares = self.plan.peers && user.shares;
        let config = Config {
            goal: visit.goal.unwrap_or(self.plan.goal).from_arrival(self.now),
            share: shares,
            ..Config::default()
        };
        let have = if visit.seed {
            layout.all_groups().into()
        } else {
            GroupSet::new()
        };
        let seed = self.plan.seed.wrapping_mul(1_000_003) + u64::from(number);
        let honest = user.nature == Nature::Honest;
        let swarm = honest.then(|| Swarm::new(config, layout, have, seed, self.now));
        let edge = End {
            peer: None,
            rtt: self.plan.distances.edge,
            open: self.edge_alive,
            channel: None,
        };
        let lanes = (0..self.plan.edge.lanes).map(|_| Lane::default());
        Task {
            user: visit.user,
            object: visit.object,
            visit: number,
            nature: user.nature,
            shares,
            alive: true,
            complete: visit.seed,
            swarm: swarm.map(Box::new),
            arrived: self.now,
            ends: vec![edge],
            linked: BTreeMap::new(),
            banned: BTreeSet::new(),
            lanes: lanes.collect(),
            live: BTreeMap::new(),
            serves: BTreeMap::new(),
            served: BTreeMap::new(),
            next_serve: 0,
            uploaded: 0,
            wake_at: None,
            introduced: false,
            record: self.new_record(number),
        }
    }

    fn new_record(&self, number: u32) -> Record {
        let visit = &self.plan.visits[number as usize];
        Record {
            visit: number,
            user: visit.user,
            object: visit.object,
            size: self.plan.objects[visit.object as usize],
            at_s: self.now.since(Timestamp::ZERO).as_secs_f64(),
            ending: Ending::Unfinished,
            own_s: 0.0,
            from_edge: 0,
            from_peers: 0,
            wasted: 0,
            corrupt_groups: 0,
            uploaded: 0,
            copies: 0,
            returned: 0,
            banned: 0,
        }
    }

    /// Whether the task is a download that counts.
    fn counts(&self, id: u32) -> bool {
        let task = &self.tasks[id as usize];
        !self.plan.visits[task.visit as usize].seed && task.nature == Nature::Honest
    }

    pub(super) fn tell(&mut self, id: u32, event: Event) {
        let task = &mut self.tasks[id as usize];
        if !task.alive || task.swarm.is_none() {
            return;
        }
        match &event {
            // What a source says after it was dismissed is not for the core.
            Event::HaveAll { source }
            | Event::Choked { source }
            | Event::Unchoked { source }
            | Event::Pledged { source, .. }
            | Event::FairShare { source, .. }
                if !task.ends[source.0 as usize].open =>
            {
                return;
            }
            Event::HaveAll { source } => {
                let (source, groups) = (*source, self.layouts[task.object as usize].all_groups());
                self.see(Sight::Told {
                    task: id,
                    source,
                    groups,
                });
            }
            Event::Ended { request, .. } => {
                let request = *request;
                if task.live.remove(&request).is_none() {
                    return;
                }
                let lane = (task.lanes.iter_mut()).find(|lane| lane.request == Some(request));
                if let Some(lane) = lane {
                    lane.request = None;
                }
                self.see(Sight::Ended { task: id, request });
            }
            Event::EdgeJoined { .. }
            | Event::PeerJoined { .. }
            | Event::Left { .. }
            | Event::Have { .. }
            | Event::Choked { .. }
            | Event::Unchoked { .. }
            | Event::Pledged { .. }
            | Event::FairShare { .. }
            | Event::Answered { .. }
            | Event::Arrived { .. }
            | Event::Spread { .. }
            | Event::Goal { .. }
            | Event::Share { .. }
            | Event::Asked { .. }
            | Event::Served { .. }
            | Event::ServeEnded { .. } => {}
        }
        self.with_swarm(id, |swarm, now| swarm.handle(event, now));
    }

    /// A peer says what it has.
    pub(super) fn hear(&mut self, id: u32, source: SourceId, runs: &[GroupRange]) {
        let bytes = crate::wire::have_delta(runs.len());
        let line = self.line_of_task(id) as usize;
        self.lines[line].receive(bytes, self.now);
        for groups in runs {
            let task = &self.tasks[id as usize];
            if !task.alive || task.swarm.is_none() || !task.ends[source.0 as usize].open {
                return;
            }
            let groups = *groups;
            self.see(Sight::Told {
                task: id,
                source,
                groups,
            });
            self.with_swarm(id, |swarm, now| {
                swarm.handle(Event::Have { source, groups }, now);
            });
        }
    }

    pub(super) fn wake(&mut self, id: u32) {
        let now = self.now;
        let task = &mut self.tasks[id as usize];
        if task.wake_at.is_some_and(|at| at <= now) {
            task.wake_at = None;
        }
        if task.alive && task.swarm.is_some() {
            self.with_swarm(id, |swarm, now| {
                if swarm.poll_timeout().is_some_and(|due| due <= now) {
                    swarm.handle_timeout(now);
                }
            });
        }
    }

    /// Lets the core act and carries out what it wants.
    pub(super) fn with_swarm(&mut self, id: u32, act: impl FnOnce(&mut Swarm, Timestamp)) {
        let now = self.now;
        let Some(mut swarm) = self.tasks[id as usize].swarm.take() else {
            return;
        };
        act(&mut swarm, now);
        self.drain(id, &mut swarm);
        let due = swarm.poll_timeout();
        let task = &mut self.tasks[id as usize];
        task.swarm = Some(swarm);
        if let Some(due) = due
            && task.wake_at.is_none_or(|at| due < at)
        {
            task.wake_at = Some(due);
            self.queue.post(due.max(now), Happening::Wake(id));
        }
    }

    /// The core says that everything is here.
    pub(super) fn finish(&mut self, id: u32) {
        let now = self.now;
        let was_seed = std::mem::replace(&mut self.tasks[id as usize].complete, true);
        if was_seed {
            return;
        }
        self.see(Sight::Finished { task: id });
        let visit = &self.plan.visits[self.tasks[id as usize].visit as usize];
        let task = &mut self.tasks[id as usize];
        task.record.ending = Ending::Finished;
        task.record.own_s = now.since(task.arrived).as_secs_f64();
        let shares = task.shares;
        self.outcome.last_s = now.since(Timestamp::ZERO).as_secs_f64();
        self.open -= usize::from(self.counts(id));
        match visit.stays.filter(|_| shares) {
            _ if !shares => self.post(Duration::ZERO, Happening::Leave(id)),
            Some(stays) => self.post(stays, Happening::Leave(id)),
            None => {}
        }
        if self.plan.peers {
            self.report_complete(id);
        }
    }

    /// A task goes: politely, or without a word.
    pub(super) fn depart(&mut self, id: u32, killed: bool) {
        let task = &mut self.tasks[id as usize];
        if !task.alive || (killed && task.complete) {
            return;
        }
        task.alive = false;
        let unfinished = task.record.ending == Ending::Unfinished && !task.complete;
        if unfinished {
            task.record.ending = Ending::Killed;
            task.record.own_s = self.now.since(task.arrived).as_secs_f64();
        }
        self.open -= usize::from(unfinished && self.counts(id));
        self.withdraw(id, killed);
        let notice = if killed { NOTICE_DEATH } else { Duration::ZERO };
        for serve in std::mem::take(&mut self.tasks[id as usize].serves).into_values() {
            serve.flow.and_then(|flow| self.flows.remove(flow));
        }
        let edge_lag = self.plan.distances.edge / 2;
        for lane in std::mem::take(&mut self.tasks[id as usize].lanes) {
            if let Some(channel) = lane.channel {
                self.post(edge_lag, Happening::Hangup(channel));
            }
        }
        for at in 1..self.tasks[id as usize].ends.len() {
            let end = &mut self.tasks[id as usize].ends[at];
            let (Some((task, source)), true) = (end.peer, std::mem::take(&mut end.open)) else {
                continue;
            };
            let channel = end.channel.take();
            let after = notice + end.rtt / 2;
            channel.and_then(|channel| self.channels.remove(channel));
            self.post(after, Happening::Part { task, source });
        }
        self.settle(id);
    }

    /// Closes the books of a task.
    pub(super) fn settle(&mut self, id: u32) {
        let task = &mut self.tasks[id as usize];
        let Some(swarm) = task.swarm.take() else {
            return;
        };
        let status = swarm.status(self.now);
        let record = &mut task.record;
        record.from_edge = status.from_edge;
        record.from_peers = status.from_peers;
        record.wasted += status.wasted;
        record.uploaded = task.uploaded;
        let record = record.clone();
        let books = Some((status.done - status.resumed, status.wasted));
        if self.counts(id) {
            self.outcome.records.push(record);
        }
        self.see(Sight::Closed { task: id, books });
    }
}
