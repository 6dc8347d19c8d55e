//! One object on one machine, as a vessel that fills.

use crate::outcome::{Ending, Record};
use crate::plan::{Aim, Nat, Plan, Visit};

/// Round trips to the edge before there is something to ask: a connection, the manifest.
const MANIFEST_RTTS: f64 = 2.0;
/// Round trips between peers from the introduction to the first byte: QUIC's handshake and the
/// hello, what it has, the request and its answer.
const MEETING_RTTS: f64 = 3.5;
/// … and with hole punching.
const PUNCH_RTTS: f64 = 2.0;
/// How long a thrifty download listens to the edge alone after the first byte (`Twin::LISTEN`), and
/// half a tick.
pub(super) const LISTEN_S: f64 = 1.25 + 0.125;

/// What a task does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It downloads.
    Fills,
    /// It has everything and serves.
    Serves,
    /// It is gone.
    Gone,
}

/// One object on one machine. Bytes of payload, seconds since the start of the run.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) visit: u32,
    pub(super) user: u32,
    pub(super) object: u32,
    pub(super) nat: Nat,
    pub(super) shares: bool,
    pub(super) state: State,
    pub(super) arrived: f64,
    /// When the edge's first byte arrives.
    pub(super) edge_at: f64,
    /// When peers' first byte arrives.
    pub(super) peers_at: f64,
    /// When it is gone: before it is done, or after.
    pub(super) gone_at: f64,
    pub(super) size: f64,
    pub(super) have: f64,
    /// What it would have without peers.
    pub(super) twin: f64,
    /// What the edge would give it without peers.
    pub(super) pace: f64,
    pub(super) from_edge: f64,
    pub(super) from_peers: f64,
    pub(super) uploaded: f64,
    /// What arrived over the last step, a second.
    pub(super) rate: f64,
    pub(super) copies: u32,
    pub(super) returned: u32,
}

impl Task {
    /// `told`: peers tell it what the edge gives, so that it need not listen.
    pub(super) fn new(plan: &Plan, number: u32, peer_rtt: f64, told: bool) -> Self {
        let visit = &plan.visits[number as usize];
        let user = &plan.users[visit.user as usize];
        let arrived = visit.at.as_secs_f64();
        let rtt = plan.distances.edge.as_secs_f64();
        let size = plan.objects[visit.object as usize] as f64;
        let edge_at = arrived + rtt * (MANIFEST_RTTS + f64::from(plan.edge.connect_rtts) + 1.0);
        let punch = if user.nat == Nat::Open {
            0.0
        } else {
            PUNCH_RTTS
        };
        let login = arrived + rtt * MANIFEST_RTTS + plan.control.login.as_secs_f64();
        let met = after_outages(plan, login) + rtt + peer_rtt * (MEETING_RTTS + punch);
        let listens = visit.goal.unwrap_or(plan.goal) == Aim::Thrifty && !told;
        let heard = if listens {
            edge_at + LISTEN_S + peer_rtt
        } else {
            0.0
        };
        Self {
            visit: number,
            user: visit.user,
            object: visit.object,
            nat: user.nat,
            shares: plan.peers && user.shares,
            state: if visit.seed {
                State::Serves
            } else {
                State::Fills
            },
            arrived,
            edge_at,
            peers_at: if visit.seed { arrived } else { met.max(heard) },
            gone_at: gone(visit, arrived),
            size,
            have: if visit.seed { size } else { 0.0 },
            twin: 0.0,
            pace: 0.0,
            from_edge: 0.0,
            from_peers: 0.0,
            uploaded: 0.0,
            rate: 0.0,
            copies: 0,
            returned: 0,
        }
    }

    /// The part of the step from `now` on, `step` long, that lies behind `start`.
    pub(super) fn part(start: f64, now: f64, step: f64) -> f64 {
        ((now + step - start) / step).clamp(0.0, 1.0)
    }

    /// What is missing.
    pub(super) fn missing(&self) -> f64 {
        (self.size - self.have).max(0.0)
    }

    pub(super) fn record(&self, ending: Ending, own_s: f64) -> Record {
        Record {
            visit: self.visit,
            user: self.user,
            object: self.object,
            size: bytes(self.size),
            at_s: self.arrived,
            ending,
            own_s,
            from_edge: bytes(self.from_edge),
            from_peers: bytes(self.from_peers),
            wasted: 0,
            corrupt_groups: 0,
            uploaded: bytes(self.uploaded),
            copies: self.copies,
            returned: self.returned,
            banned: 0,
        }
    }
}

/// When a client can log in that would do so at `at`.
fn after_outages(plan: &Plan, at: f64) -> f64 {
    let outages = plan.control.outages.iter();
    outages.fold(at, |at, (from, to)| {
        let (from, to) = (from.as_secs_f64(), to.as_secs_f64());
        if (from..to).contains(&at) { to } else { at }
    })
}

/// When a download is given up.
fn gone(visit: &Visit, arrived: f64) -> f64 {
    let killed = visit.killed_after.filter(|_| !visit.seed);
    killed.map_or(f64::INFINITY, |after| arrived + after.as_secs_f64())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive and below 2^53"
)]
pub(super) fn bytes(fluid: f64) -> u64 {
    fluid.round() as u64
}
