//! The aggregate: owns the policies, routes events to them, and keeps the books.
//!
//! What to ask next is in [`crate::plan`], what follows from arrivals, ends and departures in
//! [`crate::download`], whom to serve in [`crate::upload`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use peerlift_model::{GroupRange, GroupSet, Layout, Rate, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg32;

use crate::announce::Announcer;
use crate::claims::Claims;
use crate::edge::Valve;
use crate::endgame::Budget;
use crate::holdings::Holdings;
use crate::injection::Lot;
use crate::lanes::Lanes;
use crate::lateness::Lateness;
use crate::meter::Meter;
use crate::picker::EdgeCursor;
use crate::pledges::Pledges;
use crate::rarity::Rarity;
use crate::requests::Requests;
use crate::serve::{Serving, Unchoker};
use crate::source::Source;
use crate::twin::Twin;
use crate::yields::Yield;
use crate::{Cause, Config, EdgeUse, Event, Goal, Output, RequestId, SourceId, Status};

/// The plan of one object's download and upload.
///
/// See the crate's page for the order in which a shell calls it. Memory: some dozen bytes a piece,
/// the runs of every peer's map, and a few hundred bytes a request under way.
#[derive(Debug)]
pub struct Swarm {
    pub(crate) config: Config,
    pub(crate) layout: Layout,
    pub(crate) rng: Pcg32,
    pub(crate) claims: Claims,
    pub(crate) rarity: Rarity,
    /// Missing groups that no trusted peer has.
    pub(crate) orphans: GroupSet,
    /// The peers whose word counts.
    pub(crate) trusted: BTreeSet<SourceId>,
    pub(crate) sources: BTreeMap<SourceId, Source>,
    /// Sources that may have something to do since the last plan.
    pub(crate) awake: BTreeSet<SourceId>,
    pub(crate) requests: Requests,
    pub(crate) cursor: EdgeCursor,
    /// A control node has answered, and others were there before: they are being met.
    pub(crate) introduced: bool,
    pub(crate) lot: Lot,
    pub(crate) twin: Twin,
    /// What peers fetch from an edge.
    pub(crate) pledges: Pledges,
    /// The fair share that peers were told last.
    pub(crate) told_share: Option<Rate>,
    /// What may be asked of the edge.
    pub(crate) valve: Valve,
    /// How far the edge gives way to peers.
    pub(crate) yields: Yield,
    pub(crate) lanes: Lanes,
    /// Of the requests of all sources.
    pub(crate) lateness: Lateness,
    pub(crate) budget: Budget,
    /// When to look for sources that have nothing to do but help others.
    pub(crate) help_at: Option<Timestamp>,
    pub(crate) announcer: Announcer,
    pub(crate) serving: Serving,
    pub(crate) unchoker: Unchoker,
    pub(crate) books: Books,
    pub(crate) outputs: VecDeque<Output>,
    pub(crate) finished: bool,
    /// As [`Swarm::is_quiet`] found at the last tick; not since the crowd was gone.
    quiet: bool,
    next_tick: Timestamp,
    want_peers_at: Timestamp,
}

/// Bytes counted since the start.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) resumed: u64,
    pub(crate) done: u64,
    pub(crate) from_edge: u64,
    /// With what was here already.
    pub(crate) edge_bytes: u64,
    pub(crate) from_peers: u64,
    pub(crate) wasted: u64,
    pub(crate) uploaded: u64,
    pub(crate) down: Meter,
    /// What peers deliver.
    pub(crate) peers: Meter,
    pub(crate) up: Meter,
}

impl Swarm {
    /// How often stalls, the use of the edge and turns are looked at while there is something to
    /// do: a quarter of the shortest time that any of them is about.
    pub const TICK: Duration = Duration::from_millis(250);
    /// The time between two [`Output::WantPeers`]: longer than the control plane takes to answer
    /// and the peers to connect.
    pub const WANT_PEERS_INTERVAL: Duration = Duration::from_secs(10);

    /// A plan for the object that `layout` describes, of which `have` is here already.
    ///
    /// `seed` is all the randomness there will be. When everything is here, [`Output::Finished`]
    /// is the first output.
    #[must_use]
    pub fn new(config: Config, layout: Layout, have: GroupSet, seed: u64, now: Timestamp) -> Self {
        let mut rng = Pcg32::seed_from_u64(seed);
        let have = have.intersection(&layout.all_groups().into());
        let spread = config.spread.unwrap_or_else(|| rng.random());
        let claims = Claims::new(layout.all_groups(), have);
        let done = bytes_of(layout, claims.have().runs());
        let mut swarm = Self {
            rarity: Rarity::new(layout, &mut rng),
            orphans: claims.open().clone(),
            trusted: BTreeSet::new(),
            claims,
            sources: BTreeMap::new(),
            awake: BTreeSet::new(),
            requests: Requests::default(),
            cursor: EdgeCursor::new(spread, layout.group_count()),
            introduced: false,
            lot: Lot::new(now),
            twin: Twin::new(layout.size(), now),
            pledges: Pledges::default(),
            told_share: None,
            valve: Valve::new(now),
            yields: Yield::new(now),
            lanes: Lanes::default(),
            lateness: Lateness::default(),
            budget: Budget::new(layout.group_count()),
            help_at: None,
            announcer: Announcer::new(config.limits.announce_interval),
            serving: Serving::new(&config.limits),
            unchoker: Unchoker::new(config.limits.unchoked, now),
            books: Books {
                resumed: done,
                done,
                ..Books::default()
            },
            outputs: VecDeque::new(),
            finished: false,
            quiet: false,
            next_tick: now + Self::TICK,
            want_peers_at: now,
            config,
            layout,
            rng,
        };
        swarm.refresh_pieces(layout.all_groups());
        swarm.finish_if_complete(now);
        swarm.ask_for_peers(now);
        swarm
    }

    /// Takes in what happened. Never fails: what makes no sense is ignored, see [`Event`].
    pub fn handle(&mut self, event: Event, now: Timestamp) {
        self.skip_idle_ticks(now);
        match event {
            Event::EdgeJoined { source, lanes } => self.on_edge_joined(source, lanes, now),
            Event::PeerJoined { source, rtt } => self.on_peer_joined(source, rtt, now),
            Event::Left { source } => self.remove_source(source, now),
            Event::Have { source, groups } => self.on_have(source, groups, now),
            Event::HaveAll { source } => self.on_have_all(source, now),
            Event::Pledged { source, groups } => self.on_pledged(source, groups, now),
            Event::FairShare { source, share } => self.on_fair_share(source, share, now),
            Event::Choked { source } => self.on_choking(source, true),
            Event::Unchoked { source } => self.on_choking(source, false),
            Event::Answered { request } => self.on_answered(request, now),
            Event::Arrived { request, groups } => self.on_arrived(request, groups, now),
            Event::Ended { request, end } => self.on_ended(request, end, now),
            Event::Spread { spread } => {
                self.cursor = EdgeCursor::new(spread, self.layout.group_count());
                self.introduced = spread > 0;
            }
            Event::Goal { goal } => self.on_goal(goal, now),
            Event::Share { share } => self.on_share(share, now),
            Event::Asked {
                source,
                serve,
                groups,
            } => self.on_asked(source, serve, groups),
            Event::Served { serve, bytes } => self.on_served(serve, bytes, now),
            Event::ServeEnded { serve } => self.serving.ended(serve),
        }
        self.act(now);
    }

    /// Does what is due at `now`; harmless when nothing is.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.skip_idle_ticks(now);
        if now >= self.next_tick {
            self.next_tick = now + Self::TICK;
            self.drop_stalled(now);
            self.review_trust(now);
            self.pledges.expire(now);
            self.observe_twin(now);
            self.tell_share(now);
            self.review_edge(now);
            self.rotate_places(now);
            self.ask_for_peers(now);
            self.help_at = Some(now);
            self.quiet = self.is_quiet(now);
            self.wake_all();
        }
        self.act(now);
    }

    /// The next thing to do, in order; `None` when all is said.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Swarm::handle_timeout`] at the latest; `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let tick = if self.is_idle() {
            self.tick_at(self.unchoker.rotates_at())
        } else {
            self.next_tick
        };
        let tick = (!self.finished || self.unchoker.is_crowded()).then_some(tick);
        let help = self.help_at.filter(|_| !self.finished);
        (tick.into_iter().chain(help))
            .chain(self.announcer.due())
            .min()
    }

    /// The groups that are here.
    #[must_use]
    pub fn have(&self) -> &GroupSet {
        self.claims.have()
    }

    /// Whether every group is here.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Why a request was made; `None`: it has ended.
    #[must_use]
    pub fn cause(&self, request: RequestId) -> Option<Cause> {
        self.requests.cause(request)
    }

    /// What the download looks like at `now`. Costs one look at every source.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> Status {
        let books = &self.books;
        let rate_down = books.down.rate(now).unwrap_or_default();
        let left = self.layout.size() - books.done;
        let eta = rate_down.time_for(left);
        let all = self.layout.all_groups();
        Status {
            goal: self.config.goal,
            size: self.layout.size(),
            done: books.done,
            resumed: books.resumed,
            from_edge: books.from_edge,
            from_peers: books.from_peers,
            wasted: books.wasted,
            uploaded: books.uploaded,
            rate_down,
            rate_up: books.up.rate(now).unwrap_or_default(),
            eta: (eta < Duration::MAX).then_some(eta),
            edge_use: self.edge_use(),
            sources: (self.sources.iter())
                .map(|(id, source)| source.status(*id, all, now))
                .collect(),
            serving: self.serving.running(),
            serve_waiting: self.serving.waiting(),
        }
    }

    /// Whether ticks would do nothing but look whether a place is to change hands, which is every
    /// few seconds: a seed that woke four times a second for it would not let its machine sleep.
    fn is_idle(&self) -> bool {
        self.quiet && self.unchoker.is_crowded()
    }

    /// Whether there is nothing left to find out, nor to tell.
    fn is_quiet(&self, now: Timestamp) -> bool {
        let learns = self.twin.leaves_it_to_the_edge() || self.is_edge_driven(now);
        self.finished && !learns && self.twin.measured_share(now).is_none()
    }

    /// Passes over the ticks before `now` that nothing is due at; the others stay where they are.
    fn skip_idle_ticks(&mut self, now: Timestamp) {
        self.quiet &= self.unchoker.is_crowded();
        if self.is_idle() {
            self.next_tick = self.tick_at(now.min(self.unchoker.rotates_at()));
        }
    }

    /// The first tick that is not before `at`.
    fn tick_at(&self, at: Timestamp) -> Timestamp {
        let wait = at.since(self.next_tick).as_micros();
        let ticks = wait.div_ceil(Self::TICK.as_micros());
        self.next_tick + Self::TICK * u32::try_from(ticks).unwrap_or(u32::MAX)
    }

    /// What follows every event.
    fn act(&mut self, now: Timestamp) {
        self.plan(now);
        self.start_uploads();
        self.announce(now, false);
    }

    fn on_goal(&mut self, goal: Goal, now: Timestamp) {
        self.config.goal = goal;
        self.review_edge(now);
        self.wake_all();
    }

    fn ask_for_peers(&mut self, now: Timestamp) {
        let peers = self.peers().count();
        if self.finished || peers >= self.config.limits.peers_wanted || now < self.want_peers_at {
            return;
        }
        self.want_peers_at = now + Self::WANT_PEERS_INTERVAL;
        self.outputs.push_back(Output::WantPeers);
    }

    pub(crate) fn finish_if_complete(&mut self, now: Timestamp) {
        if self.finished || !self.claims.have().contains_all(self.layout.all_groups()) {
            return;
        }
        let rest: Vec<RequestId> = self.requests.iter().map(|(request, _)| request).collect();
        rest.into_iter()
            .for_each(|request| self.cancel(request, now));
        self.finished = true;
        self.announce(now, true);
        self.outputs.push_back(Output::Finished);
        let useless: Vec<SourceId> = (self.peers())
            .filter(|(_, source)| self.has_everything(source))
            .map(|(id, _)| id)
            .collect();
        useless.into_iter().for_each(|id| self.dismiss(id, now));
    }

    /// Parts from a peer politely.
    pub(crate) fn dismiss(&mut self, source: SourceId, now: Timestamp) {
        self.outputs.push_back(Output::Dismiss { source });
        self.remove_source(source, now);
    }

    /// Whether a peer has every group. When we have too, there is nothing to pass either way, and
    /// our places are for others.
    pub(crate) fn has_everything(&self, source: &Source) -> bool {
        let all = u64::from(self.layout.group_count());
        source
            .peer()
            .is_some_and(|peer| peer.held_groups == all || matches!(peer.holdings, Holdings::All))
    }

    /// Whether a peer is here that has everything and may be asked.
    pub(crate) fn has_seed(&self) -> bool {
        let seeds = |source: &Source| {
            let peer = source.peer();
            peer.is_some_and(|peer| !peer.choking && matches!(peer.holdings, Holdings::All))
        };
        self.sources.values().any(seeds)
    }

    /// The connected peers.
    pub(crate) fn peers(&self) -> impl Iterator<Item = (SourceId, &Source)> {
        let peers = self
            .sources
            .iter()
            .filter(|(_, source)| source.peer().is_some());
        peers.map(|(id, source)| (*id, source))
    }

    /// Says of the pieces that a range touches whether they are open.
    pub(crate) fn refresh_pieces(&mut self, groups: GroupRange) {
        for piece in self.rarity.pieces_of(groups) {
            let of_piece = self.layout.groups_of(piece);
            let open = self.claims.open().runs_in(of_piece).next().is_some();
            self.rarity.set_open(piece, open);
        }
    }

    /// Lets every source be looked at again.
    pub(crate) fn wake_all(&mut self) {
        self.awake.extend(self.sources.keys());
    }

    /// The bytes of some runs.
    pub(crate) fn bytes(&self, runs: &[GroupRange]) -> u64 {
        bytes_of(self.layout, runs)
    }

    fn edge_use(&self) -> EdgeUse {
        if self.valve.fills() {
            EdgeUse::Full
        } else if self.valve.injects() && !self.orphans.is_empty() {
            EdgeUse::Inject
        } else {
            EdgeUse::Rest
        }
    }
}

fn bytes_of(layout: Layout, runs: &[GroupRange]) -> u64 {
    runs.iter().map(|run| layout.bytes_of(*run).len()).sum()
}
