//! The clockwork: a discrete-event internet around the production cores.
//!
//! A [`World`] takes a plan and plays it: visits become tasks (`task`), each with a
//! [`peerlift_swarm::Swarm`] of its own; users meet through a [`peerlift_rendezvous::Rendezvous`]
//! (`control`); bytes cross access lines (`line`, `carry`), and every step is shown to the checkers.
//! Nothing waits and nothing is drawn but from seeds: the next event is always the earliest, so
//! one plan has one history.

mod carry;
mod control;
mod line;
mod meet;
mod perform;
mod task;

use std::rc::Rc;
use std::time::Duration;

use peerlift_model::{GroupRange, Layout, Timestamp};
use peerlift_rendezvous as rendezvous;
use peerlift_swarm::{Event, RequestId, SourceId};

use crate::arena::{Arena, Key};
use crate::check::{Checkers, Sight};
use crate::outcome::Outcome;
use crate::plan::Plan;
use crate::queue::Queue;
use carry::Flow;
use control::ControlNode;
use line::{Channel, Line};
use task::Task;

/// The edge's line; users follow.
const EDGE_LINE: u32 = 0;
/// How long until a peer's silent death is noticed: what the transport waits without a sign.
const NOTICE_DEATH: Duration = Duration::from_secs(10);
/// Above this many visits the books of who told what to whom would outgrow the cores themselves.
const CHECK_ASKED_MAX: usize = 2_000;

/// Plays a plan to its end.
pub(crate) fn run(plan: &Plan) -> Outcome {
    let mut world = World::new(plan);
    while !world.is_over() {
        let Some((at, happening)) = world.queue.next() else {
            break;
        };
        if at > world.give_up_at {
            break;
        }
        world.now = at;
        world.happen(happening);
    }
    world.close()
}

/// Something that will happen.
#[derive(Debug)]
enum Happening {
    Visit(u32),
    /// A chunk has left a line.
    Sent(u32),
    /// A chunk reaches a downlink.
    Reached(Chunk),
    /// A chunk is through.
    Taken(Chunk),
    /// A chunk's acknowledgement is back.
    Acked(Key),
    Tell(u32, Event),
    Have {
        task: u32,
        source: SourceId,
        runs: Rc<[GroupRange]>,
    },
    /// A request reaches a peer.
    Ask {
        task: u32,
        source: SourceId,
        question: Question,
    },
    /// A request reaches the edge.
    AskEdge {
        task: u32,
        question: Question,
        channel: Key,
    },
    /// A cancel reaches a peer.
    Stop {
        task: u32,
        source: SourceId,
        request: RequestId,
    },
    /// The edge notices that a connection is closed.
    Hangup(Key),
    /// A task notices that a source is gone.
    Part {
        task: u32,
        source: SourceId,
    },
    Wake(u32),
    Leave(u32),
    Kill(u32),
    EdgeDies,
    Meet(u32, u32),
    Login(u32),
    ToControl(Box<rendezvous::Event>),
    FromControl(Box<rendezvous::Output>),
    Outage(bool),
}

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
struct Question {
    request: RequestId,
    groups: GroupRange,
    /// Parents of the hash tree that come with the groups.
    parents: u64,
}

impl Question {
    /// The same, put to the edge: its hash tree comes beside the content, each parent once.
    fn of_edge(self) -> Self {
        let parents = self.groups.len().into();
        Self { parents, ..self }
    }

    /// The parents in the answer up to a group, when they are spread evenly over it.
    fn parents_until(&self, group: u32) -> u64 {
        let (start, len) = (self.groups.start(), self.groups.len().max(1));
        self.parents * u64::from(group - start) / u64::from(len)
    }
}

/// Some groups of an answer under way.
#[derive(Clone, Copy, Debug)]
struct Chunk {
    channel: Key,
    flow: Key,
    groups: GroupRange,
    wire_bytes: u32,
    payload: u32,
}

#[derive(Debug)]
struct World<'a> {
    plan: &'a Plan,
    layouts: Vec<Layout>,
    now: Timestamp,
    queue: Queue<Happening>,
    lines: Vec<Line>,
    channels: Arena<Channel>,
    flows: Arena<Flow>,
    tasks: Vec<Task>,
    control: ControlNode,
    edge_alive: bool,
    /// Visits to come, and downloads that have not ended.
    open: usize,
    give_up_at: Timestamp,
    checkers: Checkers,
    outcome: Outcome,
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan) -> Self {
        let layout = |size: &u64| Layout::new(*size).expect("sizes of plans are in bounds");
        let layouts: Vec<Layout> = plan.objects.iter().map(layout).collect();
        let edge = Line::new(plan.edge.up_bytes_per_s, plan.edge.up_bytes_per_s, 0.0);
        let users = plan.users.iter().map(line_of);
        let last = plan.visits.last().map_or(Duration::ZERO, |visit| visit.at);
        let checkers = Checkers::new(plan, &layouts, plan.visits.len() <= CHECK_ASKED_MAX);
        let mut world = Self {
            plan,
            now: Timestamp::ZERO,
            queue: Queue::new(),
            lines: std::iter::once(edge).chain(users).collect(),
            channels: Arena::default(),
            flows: Arena::default(),
            tasks: Vec::new(),
            control: ControlNode::new(plan),
            edge_alive: true,
            open: plan.downloads().count(),
            give_up_at: Timestamp::ZERO + last + plan.patience,
            checkers,
            outcome: Outcome::default(),
            layouts,
        };
        world.schedule();
        world
    }

    fn schedule(&mut self) {
        for (number, visit) in self.plan.visits.iter().enumerate() {
            let number = u32::try_from(number).expect("plans are in bounds");
            let at = Timestamp::ZERO + visit.at;
            self.queue.post(at, Happening::Visit(number));
        }
        if let Some(at) = self.plan.edge.dies_at {
            self.queue.post(Timestamp::ZERO + at, Happening::EdgeDies);
        }
        for (from, to) in &self.plan.control.outages {
            self.queue
                .post(Timestamp::ZERO + *from, Happening::Outage(true));
            self.queue
                .post(Timestamp::ZERO + *to, Happening::Outage(false));
        }
    }

    fn is_over(&self) -> bool {
        self.open == 0
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Visit(visit) => self.arrive(visit),
            Happening::Sent(line) => self.line_free(line),
            Happening::Reached(chunk) => self.reach(chunk),
            Happening::Taken(chunk) => self.take(chunk),
            Happening::Acked(channel) => self.acknowledge(channel),
            Happening::Tell(task, event) => self.tell(task, event),
            Happening::Have { task, source, runs } => self.hear(task, source, &runs),
            Happening::Ask {
                task,
                source,
                question,
            } => self.asked(task, source, question),
            Happening::AskEdge {
                task,
                question,
                channel,
            } => self.edge_asked(task, question, channel),
            Happening::Stop {
                task,
                source,
                request,
            } => self.stopped(task, source, request),
            Happening::Hangup(channel) => self.hang_up(channel),
            Happening::Part { task, source } => self.part(task, source),
            Happening::Wake(task) => self.wake(task),
            Happening::Leave(task) => self.depart(task, false),
            Happening::Kill(task) => self.depart(task, true),
            Happening::EdgeDies => self.lose_edge(),
            Happening::Meet(a, b) => self.meet(a, b),
            Happening::Login(user) => self.login(user),
            Happening::ToControl(event) => self.control_hears(*event),
            Happening::FromControl(output) => self.control_says(*output),
            Happening::Outage(begins) => self.outage(begins),
        }
    }

    fn post(&mut self, after: Duration, happening: Happening) {
        self.queue.post(self.now + after, happening);
    }

    fn see(&mut self, sight: Sight) {
        self.checkers.see(sight, self.now);
    }

    /// How long a message of a task takes to an end that is a round trip of `rtt` away.
    fn lag(&self, task: u32, rtt: Duration) -> Duration {
        self.lines[self.line_of_task(task) as usize].queue() + rtt / 2
    }

    fn line_of_task(&self, task: u32) -> u32 {
        self.tasks[task as usize].user + 1
    }

    /// Sums up, with everything that is still under way lost.
    fn close(mut self) -> Outcome {
        while let Some((_, happening)) = self.queue.next() {
            match happening {
                Happening::Reached(chunk) | Happening::Taken(chunk) => self.lose(chunk),
                Happening::Visit(_)
                | Happening::Sent(_)
                | Happening::Acked(_)
                | Happening::Tell(..)
                | Happening::Have { .. }
                | Happening::Ask { .. }
                | Happening::AskEdge { .. }
                | Happening::Stop { .. }
                | Happening::Hangup(_)
                | Happening::Part { .. }
                | Happening::Wake(_)
                | Happening::Leave(_)
                | Happening::Kill(_)
                | Happening::EdgeDies
                | Happening::Meet(..)
                | Happening::Login(_)
                | Happening::ToControl(..)
                | Happening::FromControl(_)
                | Happening::Outage(_) => {}
            }
        }
        self.checkers.end(self.now);
        for task in 0..u32::try_from(self.tasks.len()).expect("plans are in bounds") {
            self.settle(task);
        }
        self.outcome.complaints = self.checkers.close();
        self.outcome.events = self.queue.posted();
        self.outcome.records.sort_by_key(|record| record.visit);
        self.outcome
    }
}

fn line_of(user: &crate::plan::User) -> Line {
    let up = match user.nature {
        crate::plan::Nature::Dripper => 1024.0,
        crate::plan::Nature::Honest
        | crate::plan::Nature::Liar
        | crate::plan::Nature::LateLiar
        | crate::plan::Nature::LastLiar
        | crate::plan::Nature::Staller => user.up_bytes_per_s,
    };
    Line::new(up, user.down_bytes_per_s, user.loss)
}
