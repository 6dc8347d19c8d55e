//! Gives every source with room something to do.

use std::time::Duration;

use peerlift_model::{GROUP_BYTES, GroupRange, GroupSet, Timestamp};

use crate::closing::Closing;
use crate::edge::Portion;
use crate::holdings::Holdings;
use crate::injection::Injection;
use crate::picker::{
    Wanted, commonest_run, rarest_run, scattered_run, shortest_run, stream_run, stream_window,
};
use crate::requests::Claim;
use crate::source::{Edge, Peer, Source};
use crate::stretch::Stretch;
use crate::swarm::Swarm;
use crate::{Cause, Goal, Output, SourceId};

impl Swarm {
    /// A stream's window in time: what arrives out of order waits at most about so long.
    const STREAM_AHEAD: Duration = Duration::from_secs(5);
    /// The least window of a stream: something for every lane and some peers.
    const STREAM_AHEAD_BYTES_MIN: u64 = 4 << 20;
    /// The largest, to bound what a slow reader's download runs ahead.
    const STREAM_AHEAD_BYTES_MAX: u64 = 64 << 20;
    /// One in so many parts of the window is due at once, whoever else could bring it later.
    const STREAM_URGENT: u32 = 8;
    /// The end of a download is this near when what a peer is asked for now may be what is waited for. A
    /// peer may have become four times slower than it was when it was asked for a second's worth, twice.
    const END: Duration = Duration::from_secs(8);
    /// Near the end a busy peer is asked for no less than that, however little is its part: parts that
    /// grow by a group at a time would be as many requests.
    const END_GROUPS: u64 = 4;
    /// Strangers who have everything are asked for no more together than such a part of what is left.
    const TRIED: u64 = 16;
    /// How many round trips the first answer of a stranger takes, with the slow start of its
    /// connection on a full downlink.
    const STRANGER_RTTS: u32 = 4;
    /// In a download of so many seconds lanes that idle for some hundredths are not noticed.
    const LONG: Duration = Duration::from_secs(10);
    /// What a source on parole is asked for.
    const PAROLE_GROUPS: u32 = 2;

    /// Peers first: they cost nothing, and what they have claimed the edge is not asked for.
    pub(crate) fn plan(&mut self, now: Timestamp) {
        if self.finished {
            return;
        }
        let awake = std::mem::take(&mut self.awake);
        if !self.is_listening() {
            awake.iter().for_each(|id| self.plan_peer(*id, now));
        }
        awake.iter().for_each(|id| self.plan_edge(*id, now));
        if self.help_at.take_if(|at| *at <= now).is_some() && self.is_everything_asked(now) {
            self.rescue(now);
        }
    }

    /// Whether the edge is listened to alone, so that a thrifty download knows what it must not
    /// fall behind. Beside a seed it need not be, at first.
    fn is_listening(&self) -> bool {
        self.config.goal == Goal::Thrifty
            && self.has_edge()
            && self.twin.is_listening(|| self.has_seed())
    }

    fn has_peers(&self) -> bool {
        self.peers().next().is_some()
    }

    pub(crate) fn has_edge(&self) -> bool {
        self.sources.values().any(|source| source.edge().is_some())
    }

    fn plan_peer(&mut self, id: SourceId, now: Timestamp) {
        loop {
            let Some(source) = self.sources.get(&id) else {
                return;
            };
            let Some(peer) = source.peer() else {
                return;
            };
            if peer.choking || source.conduct.is_resting(now) {
                return;
            }
            let parole = source.conduct.is_on_parole();
            let groups_max = if parole {
                Self::PAROLE_GROUPS
            } else {
                self.run_of(source, peer, now)
            };
            if parole && source.requests > 0 || !source.has_room(peer) {
                self.note_limited(id, true);
                return;
            }
            let closing = self.closing(now);
            let groups_max = self.fair_end(source, groups_max, closing, now);
            let stranger = source.delivered == 0 && matches!(peer.holdings, Holdings::All);
            let waits = stranger && !parole && !self.may_try_another();
            if groups_max == 0 || waits {
                self.note_limited(id, false);
                return;
            }
            let claim = if parole { Claim::Nothing } else { Claim::First };
            let run = if closing.is_now() && !parole {
                shortest_run(&self.claims, &peer.holdings, groups_max)
            } else {
                self.pick(&peer.holdings, groups_max, parole, now)
            };
            let Some(run) = run else {
                self.note_limited(id, false);
                return;
            };
            let cause = if parole {
                Cause::OnParole
            } else {
                self.in_order_or(Cause::Peer)
            };
            self.ask(id, run, (claim, cause), now);
        }
    }

    /// Whether a peer may be asked that has everything and has never delivered. What it brings is not known; and
    /// thirty at once, on a line that others keep full, make these late. In a crowd, where nobody has
    /// everything, no line is full.
    fn may_try_another(&self) -> bool {
        let strangers = self.peers().filter(|(_, peer)| peer.delivered == 0);
        let tried: u64 = strangers.map(|(_, peer)| peer.in_flight).sum();
        tried * Self::TRIED <= self.layout.size() - self.books.done
    }

    /// How long a run a peer is asked for. A stream waits for the first of it.
    fn run_of(&self, source: &Source, peer: &Peer, now: Timestamp) -> u32 {
        let groups = peer.window.request_groups();
        match peer.holdings {
            Holdings::All if self.config.goal != Goal::InOrder => {
                Stretch::new(source.rate(now), self.ends_in(now)).over(groups)
            }
            Holdings::All | Holdings::Some(_) => groups,
        }
    }

    /// When everything will be here, from now, at the present pace.
    pub(crate) fn ends_in(&self, now: Timestamp) -> Duration {
        let left = self.layout.size() - self.books.done;
        self.books.down.rate(now).unwrap_or_default().time_for(left)
    }

    /// The last moment, when only the edge brings in time what peers do not.
    fn closing(&self, now: Timestamp) -> Closing {
        Closing::new(self.config.goal, self.ends_in(now), || {
            self.has_edge() && self.twin.may_have(self.books.done, Self::TICK)
        })
    }

    /// How much of a request a peer should be asked for near the end. What it brings in half of the
    /// time until all is here, and while the request travels: the rest stays open for who turns out
    /// to be faster, so that all end together and little is asked for twice. (Guided
    /// self-scheduling, Polychronopoulos and Kuck 1987.) Who is idle may always bring one group,
    /// unless the end is nearer than its answer may be.
    fn fair_end(&self, source: &Source, groups_max: u32, closing: Closing, now: Timestamp) -> u32 {
        let ends_in = closing.ends_in();
        if ends_in > Self::END || self.config.goal == Goal::InOrder {
            return groups_max;
        }
        let rtt = source.peer().map_or(Duration::ZERO, |peer| peer.rtt);
        let late = if source.delivered == 0 {
            ends_in < rtt * Self::STRANGER_RTTS && self.has_edge()
        } else {
            let answer_in = rtt.saturating_add(source.rate(now).time_for(GROUP_BYTES));
            closing.is_late(answer_in)
        };
        let brings = source
            .rate(now)
            .bytes_in((ends_in / 2 + rtt / 2).min(ends_in));
        let groups = brings.saturating_sub(source.in_flight) / GROUP_BYTES;
        if source.in_flight > 0 && groups < Self::END_GROUPS.min(groups_max.into()) {
            return 0;
        }
        let least = u32::from(source.in_flight == 0 && !late);
        (u32::try_from(groups).unwrap_or(u32::MAX)).clamp(least, groups_max)
    }

    fn pick(
        &self,
        from: &Holdings,
        groups_max: u32,
        parole: bool,
        now: Timestamp,
    ) -> Option<GroupRange> {
        if self.config.goal == Goal::InOrder {
            return stream_run(&self.claims, from, self.stream_window(now), groups_max);
        }
        let pick = if parole { commonest_run } else { rarest_run };
        pick(&self.claims, &self.rarity, self.layout, from, groups_max)
    }

    fn plan_edge(&mut self, id: SourceId, now: Timestamp) {
        self.fill_lanes(id, now);
        let lanes = |edge: &Edge| self.lanes.open(edge.lanes);
        let lanes = self.sources.get(&id).and_then(Source::edge).map(lanes);
        if let (Some(lanes), Some(source)) = (lanes, self.sources.get_mut(&id)) {
            source.note_lanes(lanes, now);
        }
    }

    fn fill_lanes(&mut self, id: SourceId, now: Timestamp) {
        loop {
            let Some(source) = self.sources.get(&id) else {
                return;
            };
            let Some(edge) = source.edge() else {
                return;
            };
            let closing = self.has_peers() && self.closing(now).is_now();
            let lanes = if closing {
                edge.lanes
            } else {
                self.lanes_to_use(source, edge, now)
            };
            let idle = source.requests < usize::from(lanes);
            if !idle || source.conduct.is_resting(now) || self.claims.open().is_empty() {
                return;
            }
            let portion = self.edge_portion(source, now);
            let pick = if closing {
                self.pick_to_close(portion.groups_closing())
            } else {
                self.pick_for_edge(portion.groups(), now)
            };
            let Some((run, cause)) = pick else {
                return;
            };
            self.ask(id, run, (Claim::First, cause), now);
        }
    }

    /// One more than the peers leave it when what is under way will be here before what is asked now
    /// begins to come.
    fn lanes_to_use(&self, source: &Source, edge: &Edge, now: Timestamp) -> u8 {
        let open = self.lanes.open(edge.lanes);
        let round_trips = source.latency(now) * 2;
        let ends = source.in_flight < source.rate(now).bytes_in(round_trips);
        if ends {
            (open + 1).min(edge.lanes)
        } else {
            open
        }
    }

    fn pick_for_edge(&mut self, groups_max: u32, now: Timestamp) -> Option<(GroupRange, Cause)> {
        let fill = self.valve.fill_groups();
        let lonely = !self.has_peers();
        if self.config.goal == Goal::InOrder {
            let run = self.pick_for_stream(groups_max, now)?;
            return Some((run, Cause::InOrder));
        }
        if self.valve.injects() || fill > 0 {
            let all = self.layout.all_groups();
            let portion = if lonely {
                Some(groups_max)
            } else {
                self.injection_portion(groups_max, now)
            };
            let wanted = Wanted {
                open: self.claims.open(),
                orphans: &self.orphans,
                pledged: self.pledges.groups(),
            };
            let jump = (!lonely).then_some(&mut self.rng);
            let orphans = portion.and_then(|most| self.cursor.next_run(wanted, all, most, jump));
            if let Some(run) = orphans {
                let cause = if lonely {
                    Cause::Alone
                } else {
                    Cause::Injected
                };
                return Some((run, cause));
            }
        }
        if fill == 0 {
            return None;
        }
        let run = self.pick_to_fill(groups_max.min(fill), now)?;
        Some((run, if lonely { Cause::Alone } else { Cause::Filled }))
    }

    /// What peers have, too: the rarest of it, unless that is a scrap while there are longer runs. Every run
    /// costs a lane one round trip, which is nothing where all wait for the edge. Where somebody has
    /// everything nothing is rare, and the edge goes on from where it is.
    fn pick_to_fill(&mut self, groups_max: u32, now: Timestamp) -> Option<GroupRange> {
        let all = self.layout.all_groups();
        let wanted = Wanted {
            open: self.claims.open(),
            orphans: &all.into(),
            pledged: self.pledges.groups(),
        };
        if self.has_seed() {
            let jump = None::<&mut rand_pcg::Pcg32>;
            let along = self.cursor.next_run(wanted, all, groups_max, jump);
            return along.or_else(|| self.pick(&Holdings::All, groups_max, false, now));
        }
        let rarest = self.pick(&Holdings::All, groups_max, false, now)?;
        if rarest.len() * 2 >= groups_max || self.twin.is_crowded() {
            return Some(rarest);
        }
        let lengths = (rarest.len(), groups_max);
        (self.cursor.long_run(wanted, all, lengths)).or(Some(rarest))
    }

    /// In the last moment, whatever is open, in long runs.
    fn pick_to_close(&mut self, groups_max: u32) -> Option<(GroupRange, Cause)> {
        let all = self.layout.all_groups();
        let wanted = Wanted {
            open: self.claims.open(),
            orphans: &all.into(),
            pledged: &GroupSet::new(),
        };
        let run = self.cursor.long_run(wanted, all, (0, groups_max))?;
        Some((run, Cause::Filled))
    }

    /// How much of what nobody has may be asked for at once; `None` to leave it to others.
    fn injection_portion(&mut self, groups_max: u32, now: Timestamp) -> Option<u32> {
        // What the first peers do not have the next ones may, and who was told what an edge gives here
        // need not drive it at once.
        let early = self.twin.rate().is_some() && !self.twin.has_met(now);
        if early || self.lot.rests(now) {
            return None;
        }
        let drivers = u32::try_from(self.pledges.pledgers()).unwrap_or(u32::MAX);
        let share = Injection::new(drivers.saturating_add(1), groups_max);
        let wanted = Wanted {
            open: self.claims.open(),
            orphans: &self.orphans,
            pledged: self.pledges.groups(),
        };
        let left = wanted.count(self.layout.all_groups(), share.plenty());
        self.lot.portion(share, left, &mut self.rng, now)
    }

    /// What is due at once, in order; then what no peer has, each client from another place; then
    /// the rest of the window.
    fn pick_for_stream(&mut self, groups_max: u32, now: Timestamp) -> Option<GroupRange> {
        let window = self.stream_window(now);
        let urgent = window.start() + window.len() / Self::STREAM_URGENT;
        let urgent = GroupRange::new(window.start(), urgent);
        let wanted = Wanted {
            open: self.claims.open(),
            orphans: &self.orphans,
            pledged: self.pledges.groups(),
        };
        stream_run(&self.claims, &Holdings::All, urgent, groups_max)
            .or_else(|| scattered_run(wanted, window, groups_max, &mut self.rng))
            .or_else(|| stream_run(&self.claims, &Holdings::All, window, groups_max))
    }

    fn edge_portion(&self, source: &Source, now: Timestamp) -> Portion {
        let (time, bytes_min) = self.edge_pace(source, now);
        Portion {
            rate: source.meter.rate(now),
            lanes: source.edge().map_or(1, |edge| edge.lanes),
            time,
            answered_in: source.answered_in(),
            open_groups: self.claims.open_groups(),
            bytes_min,
            bytes_max: self.config.limits.edge_request_bytes,
        }
    }

    /// How long a request to an edge should take, and its least bytes.
    fn edge_pace(&self, source: &Source, now: Timestamp) -> (Duration, u64) {
        let latency = source.latency(now);
        if self.config.goal == Goal::InOrder {
            (Portion::TIME_STREAM, Portion::LEAST)
        } else if self.is_listening() && !self.twin.is_needed() {
            let full = self.introduced && self.is_long(source, now) && source.is_queued();
            match (self.twin.is_new(now), full) {
                (false, _) => (Portion::time_listening(latency), Portion::LEAST),
                (true, false) => (Portion::time_meeting(latency, false), Portion::LEAST),
                (true, true) => (Portion::time_meeting(latency, true), Portion::LEAST_MEETING),
            }
        } else if self.has_peers() && !self.twin.is_spent() {
            (Portion::TIME_SHARED, Portion::LEAST)
        } else {
            (Portion::TIME_ALONE, Portion::LEAST)
        }
    }

    /// Whether a source alone would need so long for the object that a moment is nothing.
    fn is_long(&self, source: &Source, now: Timestamp) -> bool {
        source.rate(now).bytes_in(Self::LONG) <= self.layout.size()
    }

    /// A stream asks everybody for what it needs soon.
    fn in_order_or(&self, cause: Cause) -> Cause {
        if self.config.goal == Goal::InOrder {
            Cause::InOrder
        } else {
            cause
        }
    }

    pub(crate) fn ask(
        &mut self,
        source: SourceId,
        groups: GroupRange,
        (claim, cause): (Claim, Cause),
        now: Timestamp,
    ) {
        match claim {
            Claim::First => self.claims.claim(groups),
            Claim::Second => self.claims.double(groups),
            Claim::Nothing => {}
        }
        self.refresh_pieces(groups);
        let bytes = self.layout.bytes_of(groups).len();
        let expected = (self.sources.get(&source)).and_then(|known| known.expected(bytes, now));
        let request = (self.requests).add(source, groups, (claim, cause), expected, now);
        self.outputs.push_back(Output::Request {
            request,
            source,
            groups,
        });
        let Some(asked) = self.sources.get_mut(&source) else {
            return;
        };
        if asked.in_flight == 0 {
            asked.conduct.on_asked(now);
        }
        asked.requests += 1;
        asked.in_flight += bytes;
        asked.note_activity(now);
        if asked.edge().is_some() {
            self.valve.spend(bytes);
            self.pledge(groups);
        }
    }

    /// Tells peers what comes from an edge, as far as it will be theirs.
    fn pledge(&mut self, groups: GroupRange) {
        if self.config.share && self.has_peers() {
            self.outputs.push_back(Output::Pledge { groups });
        }
    }

    fn note_limited(&mut self, id: SourceId, limited: bool) {
        if let Some(source) = self.sources.get_mut(&id) {
            source.limited = limited;
        }
    }

    fn stream_window(&self, now: Timestamp) -> GroupRange {
        let rate = self.books.down.rate(now).unwrap_or_default();
        let ahead = (rate.bytes_in(Self::STREAM_AHEAD))
            .clamp(Self::STREAM_AHEAD_BYTES_MIN, Self::STREAM_AHEAD_BYTES_MAX);
        let groups = u32::try_from(ahead / GROUP_BYTES).expect("bounded");
        stream_window(self.claims.have(), self.layout.all_groups(), groups)
    }

    /// Whether there is nothing left to ask for but a second time.
    fn is_everything_asked(&self, now: Timestamp) -> bool {
        match self.config.goal {
            Goal::InOrder => self
                .claims
                .open()
                .runs_in(self.stream_window(now))
                .next()
                .is_none(),
            Goal::Fastest | Goal::Thrifty | Goal::Floor(_) | Goal::Deadline(_) => {
                self.claims.open().is_empty()
            }
        }
    }
}
