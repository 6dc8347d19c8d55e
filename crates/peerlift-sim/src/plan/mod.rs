//! What will happen, before anything does: who comes when, with which line, for which object.
//!
//! A plan is drawn from a [`Scenario`](crate::Scenario) and a seed, or put together by a test.
//! Whatever the swarm does with it, the plan stays the same, and so a run with peers and its
//! edge-only twin meet the same users, arrivals and deaths.

mod aim;
mod draw;
mod place;

use std::time::Duration;

pub use aim::Aim;
pub use place::{Distances, Nat, Place};

pub(crate) use draw::draw;

use crate::model::Model;

/// Everything that a run does not decide itself.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scenario's name.
    pub name: String,
    /// The seed of the cores' own randomness.
    pub seed: u64,
    /// Sizes of the objects, in bytes.
    pub objects: Vec<u64>,
    /// The people.
    pub users: Vec<User>,
    /// What they do, in order of time.
    pub visits: Vec<Visit>,
    /// The goal of all downloads without one of their own.
    pub goal: Aim,
    /// The publisher's server.
    pub edge: Edge,
    /// The control node.
    pub control: Control,
    /// Round trips.
    pub distances: Distances,
    /// How closely it is looked at.
    pub model: Model,
    /// Groups that move together: 1, or more to spare events in large runs.
    pub chunk_groups: u32,
    /// How long the last arrival may take before the run is given up.
    pub patience: Duration,
    /// Whether users serve each other. Off for the edge-only twin.
    pub peers: bool,
}

/// One person with one machine and one line.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// What the downlink carries, in bytes a second, headers included.
    pub down_bytes_per_s: f64,
    /// What the uplink carries.
    pub up_bytes_per_s: f64,
    /// The share of packets that are lost on it.
    pub loss: f64,
    /// Whether it serves others.
    pub shares: bool,
    /// Most bytes it sends of an object, as a multiple of the object's size; `None` is no limit.
    pub ratio_max: Option<f64>,
    /// Who can connect to it.
    pub nat: Nat,
    /// Where it is.
    pub place: Place,
    /// Whether it runs the core or lies.
    pub nature: Nature,
}

/// One download by one user, or the presence of a seed.
#[derive(Clone, Debug, PartialEq)]
pub struct Visit {
    /// When it begins, since the start of the run.
    pub at: Duration,
    /// Who.
    pub user: u32,
    /// What.
    pub object: u32,
    /// The goal, when it is not everybody's.
    pub goal: Option<Aim>,
    /// Dies without a word so long after the arrival, unless done before (a user who gives up
    /// closes the lid; a crash looks the same).
    pub killed_after: Option<Duration>,
    /// Leaves politely so long after it has finished; `None` stays to the end.
    pub stays: Option<Duration>,
    /// Has everything from the start.
    pub seed: bool,
}

/// The publisher's server.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// What its uplink carries, in bytes a second, headers included.
    pub up_bytes_per_s: f64,
    /// Connections a client opens. The default of `peerlift get` is 4.
    pub lanes: u8,
    /// Round trips before the first request of a connection: 1 for HTTP, 2 with TLS 1.3.
    pub connect_rtts: u32,
    /// It is gone after so long.
    pub dies_at: Option<Duration>,
    /// What a gibibyte out of it costs, in whatever currency.
    pub price_per_gib: f64,
}

/// The control node.
#[derive(Clone, Debug, PartialEq)]
pub struct Control {
    /// From the arrival to the first question: DNS, TLS, WebSocket, the challenge.
    pub login: Duration,
    /// Peers in one answer at most.
    pub peers_max: usize,
    /// Whether it knows where users are.
    pub places: bool,
    /// When it is gone with all it knew, from and to.
    pub outages: Vec<(Duration, Duration)>,
}

/// What kind of client a user runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Nature {
    /// Runs the core.
    #[default]
    Honest,
    /// Claims everything, delivers bytes that do not verify.
    Liar,
    /// Delivers four mebibytes correctly, then bytes that do not verify.
    LateLiar,
    /// Delivers all but the last group correctly.
    LastLiar,
    /// Claims everything, accepts requests, sends nothing.
    Staller,
    /// Claims everything, delivers a kilobyte a second.
    Dripper,
}

impl Plan {
    /// The same without peers: everybody gets everything from the edge.
    #[must_use]
    pub fn edge_only(&self) -> Self {
        Self {
            peers: false,
            ..self.clone()
        }
    }

    /// The visits that are downloads by honest clients.
    pub fn downloads(&self) -> impl Iterator<Item = (usize, &Visit)> {
        let honest = |visit: &Visit| self.users[visit.user as usize].nature == Nature::Honest;
        let visits = self.visits.iter().enumerate();
        visits.filter(move |(_, visit)| !visit.seed && honest(visit))
    }

    /// Adds a visit by a user of its own, a copy of the first user, at the place in the order
    /// that is its time's.
    ///
    /// # Panics
    ///
    /// With more than 2³² users.
    pub fn add(&mut self, visit: Visit, nature: Nature) {
        let user = User {
            nature,
            shares: true,
            ..self.users[0].clone()
        };
        let number = u32::try_from(self.users.len()).expect("fewer than 2³² users");
        self.users.push(user);
        let behind = self.visits.partition_point(|other| other.at <= visit.at);
        let visit = Visit {
            user: number,
            ..visit
        };
        self.visits.insert(behind, visit);
    }
}

impl Visit {
    /// An ordinary download of the first object by the first user, who stays.
    #[must_use]
    pub fn at(at: Duration) -> Self {
        Self {
            at,
            user: 0,
            object: 0,
            goal: None,
            killed_after: None,
            stays: None,
            seed: false,
        }
    }
}
