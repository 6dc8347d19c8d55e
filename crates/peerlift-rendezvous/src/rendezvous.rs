//! The aggregate: routes events to sessions and directory. Who comes and goes is in `attendance`,
//! queries are in `query`.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

use peerlift_model::{NatClass, ObjectId, PeerId, Timestamp};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use crate::Locality;
use crate::admission::Neighbourhoods;
use crate::census::Census;
use crate::complaints::Complaints;
use crate::directory::{Directory, ObjectIndex};
use crate::event::{CloseReason, Event, Output, Refusal, SessionId};
use crate::holders::{Holder, SEATS_MAX, Seat};
use crate::notices::Notices;
use crate::policy::Policy;
use crate::session::{Held, Presence, Session};
use crate::shared::Share;

/// How a node behaves, beside its [`Policy`].
#[derive(Clone, Debug)]
pub struct Config {
    /// What the operator decides.
    pub policy: Policy,
    /// How long a session may stay silent. Default 95 s: three keep-alives of 30 s, and a late
    /// one.
    pub silence_max: Duration,
    /// How long what a client said is kept after its connection broke. Default 60 s: a router that
    /// restarts, a laptop that changes networks.
    pub resume_max: Duration,
    /// How many entries a second are asked for again when the directory is lost. Default 50,000: a
    /// fourth of what one core notes, so that queries go on.
    pub recall_entries_per_s: u64,
    /// Whether other nodes are told of what this one's clients have, and asked: see
    /// [`crate::shared`]. Default: not.
    pub shared: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            policy: Policy::default(),
            silence_max: Duration::from_secs(95),
            resume_max: Duration::from_secs(60),
            recall_entries_per_s: 50_000,
            shared: false,
        }
    }
}

/// Sessions a second that are told of a forbidden object: a million within ten seconds.
const BLOCK_NOTICES_PER_S: u64 = 100_000;

/// What a node has done since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Queries that were answered.
    pub answers: u64,
    /// Holders that were looked at for them.
    pub looks: u64,
    /// Peers named, by nearness: site, prefix, AS, country, world.
    pub named: [u64; 5],
    /// Queries and announcements that were refused.
    pub refusals: u64,
    /// Sessions that went on where they were.
    pub resumed: u64,
}

/// The sessions of one control node and what their clients have. See the crate's page for how to
/// drive it.
#[derive(Debug)]
pub struct Rendezvous {
    pub(crate) config: Config,
    pub(crate) rng: Pcg64Mcg,
    /// By seat; the places apart, as searching the directory reads nothing else.
    pub(crate) sessions: Vec<Session>,
    pub(crate) places: Vec<Locality>,
    pub(crate) free: Vec<Seat>,
    pub(crate) seats: HashMap<SessionId, Seat>,
    pub(crate) by_peer: HashMap<PeerId, Seat>,
    pub(crate) present: Census,
    /// When to look whether a session has been silent, or away, for too long. A session that was
    /// heard in the meantime is put back.
    pub(crate) checks: BinaryHeap<Reverse<(Timestamp, SessionId)>>,
    pub(crate) directory: Directory,
    pub(crate) neighbourhoods: Neighbourhoods,
    pub(crate) complaints: Complaints,
    /// What the operator forbade beside the policy.
    blocked: BTreeSet<ObjectId>,
    recalls: Notices<()>,
    block_notices: Notices<ObjectId>,
    drains: Notices<()>,
    /// Whose entries are said to the shared directory again.
    pub(crate) renewals: Notices<()>,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) shares: VecDeque<Share>,
    pub(crate) stats: Stats,
}

impl Rendezvous {
    /// A node that knows nobody.
    #[must_use]
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            rng: Pcg64Mcg::seed_from_u64(seed),
            sessions: Vec::new(),
            places: Vec::new(),
            free: Vec::new(),
            seats: HashMap::new(),
            by_peer: HashMap::new(),
            present: Census::default(),
            checks: BinaryHeap::new(),
            directory: Directory::default(),
            neighbourhoods: Neighbourhoods::default(),
            complaints: Complaints::default(),
            blocked: BTreeSet::new(),
            recalls: Notices::default(),
            block_notices: Notices::default(),
            drains: Notices::default(),
            renewals: Notices::default(),
            outputs: VecDeque::new(),
            shares: VecDeque::new(),
            stats: Stats::default(),
        }
    }

    /// Takes note of something that happened.
    pub fn handle(&mut self, event: Event, now: Timestamp) {
        match event {
            Event::Joined { session, arrival } => self.join(session, &arrival, now),
            Event::Left { session } => {
                if let Some(seat) = self.seats.get(&session).copied() {
                    self.forget(seat);
                }
            }
            Event::Lost { session } => self.lose(session, now),
            Event::Address {
                session,
                direct,
                relay,
                tcp_port,
                nat,
            } => {
                if let Some(seat) = self.heard(session, now) {
                    let session = &mut self.sessions[seat.index()];
                    self.present.leave(session.nat);
                    self.present.enter(nat);
                    session.nat = nat;
                    session.move_to(direct, relay, tcp_port);
                    self.offer_all(seat);
                }
            }
            Event::Announce {
                session,
                object,
                complete,
            } => {
                if let Some(seat) = self.heard(session, now) {
                    self.announce(seat, object, complete, now);
                }
            }
            Event::Withdraw { session, object } => {
                if let Some(seat) = self.heard(session, now) {
                    self.withdraw(seat, object);
                }
            }
            Event::Query {
                session,
                object,
                max,
                known,
            } => {
                if let Some(seat) = self.heard(session, now) {
                    self.query(seat, object, max, known, now);
                }
            }
            Event::Ping { session } => {
                self.heard(session, now);
            }
            Event::Complain {
                session,
                object,
                peer,
            } => {
                if let Some(seat) = self.heard(session, now) {
                    self.complain(seat, object, peer, now);
                }
            }
            Event::Block { object, blocked } => self.block(object, blocked, now),
            Event::Flush => self.flush(now),
            Event::Found(found) => self.answer(found, now),
            Event::Pushed(push) => self.hear_of(&push),
            Event::Republish => self.republish(now),
            Event::Drain { within } => self.drain(within, now),
        }
    }

    /// Closes the sessions that have been silent for too long, forgets those that stayed away, and
    /// tells more of those who wait to be told something.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some(Reverse((at, session))) = self.checks.peek().copied() {
            if at > now {
                break;
            }
            self.checks.pop();
            self.check(session, now);
        }
        for (session, ()) in self.recalls.due(now) {
            self.outputs.push_back(Output::Recall { session });
        }
        for (session, object) in self.block_notices.due(now) {
            self.outputs.push_back(Output::Block { session, object });
        }
        let renewed: Vec<SessionId> = self
            .renewals
            .due(now)
            .map(|(session, ())| session)
            .collect();
        for session in renewed {
            if let Some(seat) = self.seats.get(&session).copied() {
                self.offer_all(seat);
            }
        }
        while let Some(peer) = self.complaints.next_over(now) {
            self.believe(peer);
        }
        let leaving: Vec<SessionId> = self.drains.due(now).map(|(session, ())| session).collect();
        for session in leaving {
            if let Some(seat) = self.seats.get(&session).copied() {
                self.forget(seat);
                self.close(session, CloseReason::Draining);
            }
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] may have something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let check = self.checks.peek().map(|Reverse((at, _))| *at);
        let notices = [
            self.recalls.next_at(),
            self.block_notices.next_at(),
            self.drains.next_at(),
            self.renewals.next_at(),
            self.complaints.next_at(),
        ];
        notices.into_iter().chain([check]).flatten().min()
    }

    /// Decides by another policy from here on. Places of clients that are there stay what they are.
    pub fn set_policy(&mut self, policy: Policy) {
        self.config.policy = policy;
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.present.total()
    }

    /// How many of them tell to be behind a NAT of that class.
    #[must_use]
    pub fn sessions_behind(&self, nat: NatClass) -> usize {
        self.present.count(nat)
    }

    /// How many clients are away and may resume.
    #[must_use]
    pub fn away(&self) -> usize {
        self.by_peer.len() - self.present.total()
    }

    /// How many objects somebody serves.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.directory.served()
    }

    /// How many entries the directory has: an object and somebody who serves it.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.directory.entries()
    }

    /// How many clients serve an object.
    #[must_use]
    pub fn holders(&self, object: ObjectId) -> usize {
        self.directory.count(object)
    }

    /// How many sessions have yet to be asked what they have.
    #[must_use]
    pub fn recalls_waiting(&self) -> usize {
        self.recalls.len()
    }

    /// How many peers are not believed what they announce.
    #[must_use]
    pub fn suspects(&self) -> usize {
        self.complaints.suspects()
    }

    /// What the node has done since its start.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Whether an object is forbidden.
    #[must_use]
    pub fn is_blocked(&self, object: ObjectId) -> bool {
        self.blocked.contains(&object) || self.config.policy.blocked.contains(&object)
    }

    /// The seat of a session that is there, and that it was heard.
    fn heard(&mut self, id: SessionId, now: Timestamp) -> Option<Seat> {
        let seat = self.seats.get(&id).copied()?;
        let session = &mut self.sessions[seat.index()];
        session.heard_at = now;
        (session.presence == Presence::Here).then_some(seat)
    }

    fn announce(&mut self, seat: Seat, object: ObjectId, complete: bool, now: Timestamp) {
        let limits = self.config.policy.limits;
        let session = &mut self.sessions[seat.index()];
        if let Err(retry_after) = session.announces.take(limits.announces, now) {
            self.refuse(seat, Refusal::TooManyAnnounces { retry_after });
            return;
        }
        if self.refuses_blocked(seat, object) {
            return;
        }
        let Some(index) = self.take_up(seat, object) else {
            self.refuse(seat, Refusal::TooManyObjects);
            return;
        };
        let session = &mut self.sessions[seat.index()];
        session.held.announce(index, object, complete);
        if session.share && !self.complaints.doubt(session.peer, object) {
            self.list(seat, index, complete);
        }
    }

    /// Puts a client among those who are named for an object.
    pub(crate) fn list(&mut self, seat: Seat, index: ObjectIndex, complete: bool) {
        let (places, holder) = (&self.places, Holder::new(seat, complete));
        self.directory
            .change(index, |holders| holders.add(holder, places));
        self.offer(seat, index);
    }

    /// Takes a client out from among them.
    pub(crate) fn unlist(&mut self, seat: Seat, index: ObjectIndex) {
        let places = &self.places;
        self.directory
            .change(index, |holders| holders.remove(seat, places));
    }

    /// Notes that a client has to do with an object, unless it has to do with too many.
    pub(crate) fn take_up(&mut self, seat: Seat, object: ObjectId) -> Option<ObjectIndex> {
        let held = &mut self.sessions[seat.index()].held;
        if let Some(index) = self.directory.find(object)
            && held.get(index).is_some()
        {
            return Some(index);
        }
        if held.len() >= self.config.policy.limits.objects_max {
            return None;
        }
        let index = self.directory.enter(object);
        held.insert(Held::new(index));
        Some(index)
    }

    fn withdraw(&mut self, seat: Seat, object: ObjectId) {
        let Some(index) = self.directory.find(object) else {
            return;
        };
        let held = &mut self.sessions[seat.index()].held;
        if held.remove(index, object).is_some() {
            self.retract(seat, object);
            self.unlist(seat, index);
            self.directory.leave(index);
        }
    }

    pub(crate) fn refuse(&mut self, seat: Seat, reason: Refusal) {
        self.stats.refusals += 1;
        let session = self.sessions[seat.index()].id;
        self.outputs.push_back(Output::Refuse { session, reason });
    }

    /// Tells a client that an object is forbidden, if it is.
    pub(crate) fn refuses_blocked(&mut self, seat: Seat, object: ObjectId) -> bool {
        let blocked = self.is_blocked(object);
        if blocked {
            self.stats.refusals += 1;
            let session = self.sessions[seat.index()].id;
            self.outputs.push_back(Output::Block { session, object });
        }
        blocked
    }

    fn block(&mut self, object: ObjectId, blocked: bool, now: Timestamp) {
        if !blocked {
            self.blocked.remove(&object);
            return;
        }
        self.blocked.insert(object);
        let Some(index) = self.directory.find(object) else {
            return;
        };
        let holders = self.directory.object(index).holders.iter();
        let told = holders.map(|holder| (self.sessions[holder.seat().index()].id, object));
        self.block_notices.begin(told, BLOCK_NOTICES_PER_S, now);
    }

    /// Begins to close all sessions, so many a second that it is done in time.
    fn drain(&mut self, within: Duration, now: Timestamp) {
        let here = self.sessions.iter();
        let here = here.filter(|session| session.presence == Presence::Here);
        let leaving: Vec<(SessionId, ())> = here.map(|session| (session.id, ())).collect();
        let count = u64::try_from(leaving.len()).unwrap_or(u64::MAX);
        // Rounded up: one a tick too many rather than a tick too late.
        let per_s = count / within.as_secs().max(1) + 50;
        self.drains.begin(leaving, per_s, now);
    }

    /// Forgets who has what, and begins to ask everybody who shares for it again.
    fn flush(&mut self, now: Timestamp) {
        let entries = self.entries();
        let mut asked = Vec::new();
        for at in 0..self.sessions.len() {
            let seat = Seat(u32::try_from(at).unwrap_or(SEATS_MAX));
            let session = &mut self.sessions[at];
            let held = std::mem::take(&mut session.held);
            if session.share && session.presence == Presence::Here {
                asked.push((session.id, ()));
            }
            self.drop_held(seat, &held);
        }
        // So many sessions a second that they say as many entries as are wanted.
        let sessions = u64::try_from(asked.len()).unwrap_or(u64::MAX);
        let entries = u64::try_from(entries).unwrap_or(u64::MAX).max(1);
        let per_s = self.config.recall_entries_per_s.saturating_mul(sessions) / entries;
        self.recalls.clear();
        self.recalls.begin(asked, per_s, now);
    }
}
