//! What follows when sources come and go, announce, deliver, fail or stall.

use std::collections::BTreeSet;
use std::time::Duration;

use peerlift_model::{GROUP_BYTES, GroupRange, GroupSet, Rate, Timestamp};

use crate::conduct::Conduct;
use crate::edge::{Stand, Want};
use crate::holdings::Holdings;
use crate::meter::Meter;
use crate::requests::{Claim, Request};
use crate::source::{Edge, Kind, Peer, Source};
use crate::swarm::Swarm;
use crate::twin::Sight;
use crate::window::Window;
use crate::yields::Look;
use crate::{BanReason, Fault, Goal, Output, RequestEnd, RequestId, SourceId};

impl Swarm {
    /// Runs in one peer's map beyond one a piece. An honest client finishes the piece it has
    /// begun, so that it has few more runs than pieces; what a stranger scatters beyond that is
    /// not remembered.
    const EXTRA_RUNS_MAX: usize = 1024;

    pub(crate) fn on_edge_joined(&mut self, source: SourceId, lanes: u8, now: Timestamp) {
        let lanes = lanes.max(1);
        match self.sources.get_mut(&source).map(|known| &mut known.kind) {
            Some(Kind::Edge(edge)) => {
                edge.lanes = lanes;
                self.awake.insert(source);
            }
            Some(Kind::Peer(_)) => {}
            None => {
                let edge = Edge {
                    lanes,
                    driven_since: None,
                };
                self.sources.insert(source, Source::new(Kind::Edge(edge)));
                self.awake.insert(source);
                self.twin.begin(self.books.done, now);
            }
        }
    }

    pub(crate) fn on_peer_joined(&mut self, source: SourceId, rtt: Duration, now: Timestamp) {
        if self.sources.contains_key(&source) {
            return;
        }
        if self.peers().count() >= self.config.limits.peers {
            self.outputs.push_back(Output::Dismiss { source });
            return;
        }
        let peer = Peer {
            holdings: Holdings::Some(GroupSet::new()),
            held_groups: 0,
            rtt,
            joined: now,
            window: Window::new(rtt, self.config.limits.window_bytes, now),
            choking: true,
        };
        self.sources.insert(source, Source::new(Kind::Peer(peer)));
        self.trusted.insert(source);
        self.unchoker.join(source);
        self.twin.on_joined(source, now);
        self.tell_share_to(source, now);
        self.fill_places(now);
        self.review_edge(now);
    }

    /// Forgets a source; its groups are open again.
    pub(crate) fn remove_source(&mut self, source: SourceId, now: Timestamp) {
        let Some(gone) = self.sources.remove(&source) else {
            return;
        };
        for request in self.requests.of(source) {
            if let Some(entry) = self.requests.remove(request) {
                self.release(&entry);
            }
        }
        if let Kind::Peer(peer) = &gone.kind {
            self.serving.left(source);
            self.unchoker.leave(source);
            self.pledges.leave(source);
            self.trusted.remove(&source);
            self.twin.on_left(source, now);
            self.fill_places(now);
            match &peer.holdings {
                Holdings::All => self.rarity.subtract_complete(),
                Holdings::Some(groups) => {
                    groups
                        .runs()
                        .iter()
                        .for_each(|run| self.rarity.subtract(*run));
                }
            }
            self.rebuild_orphans();
        }
        self.review_edge(now);
        self.wake_all();
        self.help_at = Some(now);
    }

    pub(crate) fn on_have(&mut self, source: SourceId, groups: GroupRange, now: Timestamp) {
        let groups = groups.intersection(self.layout.all_groups());
        let runs_max = self.layout.piece_count() as usize + Self::EXTRA_RUNS_MAX;
        let Some(known) = self.sources.get_mut(&source) else {
            return;
        };
        let Some(Peer {
            holdings: Holdings::Some(held),
            held_groups,
            ..
        }) = known.peer_mut()
        else {
            return;
        };
        if held.runs().len() >= runs_max {
            return;
        }
        let new: Vec<GroupRange> = held.gaps_in(groups).collect();
        *held_groups += u64::from(held.insert(groups));
        let held = *held_groups * GROUP_BYTES;
        self.pledges.keep(source, groups);
        self.twin.on_held(source, held, self.books.done, now);
        let trusted = self.trusted.contains(&source);
        for run in new {
            self.rarity.add(run);
            if trusted {
                self.orphans.remove(run);
            }
            if self.claims.open().runs_in(run).next().is_some() {
                self.awake.insert(source);
            }
        }
        self.part_if_useless(source, now);
    }

    /// Parts from a peer that has everything when we have, too.
    fn part_if_useless(&mut self, source: SourceId, now: Timestamp) {
        let complete = |source| self.has_everything(source);
        if self.finished && self.sources.get(&source).is_some_and(complete) {
            self.dismiss(source, now);
        }
    }

    pub(crate) fn on_have_all(&mut self, source: SourceId, now: Timestamp) {
        let (size, done) = (self.layout.size(), self.books.done);
        let Some(known) = self.sources.get_mut(&source) else {
            return;
        };
        self.awake.insert(source);
        let Some(peer) = known.peer_mut() else {
            return;
        };
        match std::mem::replace(&mut peer.holdings, Holdings::All) {
            Holdings::All => return,
            Holdings::Some(held) => {
                held.runs()
                    .iter()
                    .for_each(|run| self.rarity.subtract(*run));
            }
        }
        self.rarity.add_complete();
        self.pledges.keep(source, self.layout.all_groups());
        self.twin.on_held(source, size, done, now);
        self.rebuild_orphans();
        self.part_if_useless(source, now);
    }

    pub(crate) fn on_pledged(&mut self, source: SourceId, groups: GroupRange, now: Timestamp) {
        if self.sources.get(&source).is_some_and(Source::is_promising) {
            let groups = groups.intersection(self.layout.all_groups());
            self.pledges.add(source, groups, now);
        }
    }

    pub(crate) fn on_fair_share(&mut self, source: SourceId, share: Rate, now: Timestamp) {
        let known = self.sources.get(&source).and_then(Source::peer);
        if known.is_some() && share > Rate::default() {
            self.twin.on_fair_share(source, share, now);
            self.review_edge(now);
        }
    }

    pub(crate) fn on_choking(&mut self, source: SourceId, choking: bool) {
        if let Some(peer) = self.sources.get_mut(&source).and_then(Source::peer_mut) {
            peer.choking = choking;
            self.awake.insert(source);
        }
    }

    pub(crate) fn on_answered(&mut self, request: RequestId, now: Timestamp) {
        let Some(entry) = self.requests.find(request) else {
            return;
        };
        let (answered, source) = (entry.note_progress(now), entry.source);
        if let (Some(after), Some(known)) = (answered, self.sources.get_mut(&source)) {
            known.note_answer(after);
        }
    }

    pub(crate) fn on_arrived(&mut self, request: RequestId, groups: GroupRange, now: Timestamp) {
        let Some(entry) = self.requests.find(request) else {
            return;
        };
        let fresh: Vec<GroupRange> = entry.pending.runs_in(groups).collect();
        if fresh.is_empty() {
            return;
        }
        entry.pending.remove(groups);
        let answered = entry.note_progress(now);
        let (source, cancelled) = (entry.source, entry.cancelled);
        if let (Some(after), Some(known)) = (answered, self.sources.get_mut(&source)) {
            known.note_answer(after);
        }
        self.awake.insert(source);
        let delivered = self.bytes(&fresh);
        let from_edge = self.credit(source, delivered, !cancelled, now);
        if !from_edge {
            self.books.peers.add(delivered, now);
        }
        let new = self.store(&fresh, now);
        let twice = delivered - new;
        self.books.wasted += twice;
        if cancelled {
            self.budget.charge(twice.div_ceil(GROUP_BYTES));
        }
        if from_edge {
            self.books.edge_bytes += delivered;
            self.books.from_edge += new;
        } else {
            self.books.from_peers += new;
        }
        if self.config.goal == Goal::InOrder {
            // The window has moved.
            self.wake_all();
        }
        self.cancel_useless(now);
        self.finish_if_complete(now);
    }

    pub(crate) fn on_ended(&mut self, request: RequestId, end: RequestEnd, now: Timestamp) {
        let Some(entry) = self.requests.remove(request) else {
            return;
        };
        self.release(&entry);
        self.help_at = Some(now);
        self.awake.insert(entry.source);
        let size = self.layout.bytes_of(entry.groups).len();
        let owed = if entry.cancelled {
            0
        } else {
            self.bytes(entry.pending.runs())
        };
        let Some(source) = self.sources.get_mut(&entry.source) else {
            return;
        };
        source.requests -= 1;
        source.in_flight -= owed;
        source.note_activity(now);
        match end {
            RequestEnd::Cancelled => {}
            RequestEnd::Done => {
                source.conduct.on_done();
                if let Some(ratio) = entry.ratio(now) {
                    source.lateness.record(ratio);
                    self.lateness.record(ratio);
                }
                let limited = source.limited;
                if let Some(peer) = source.peer_mut() {
                    peer.window
                        .on_done(size, now.since(entry.made), limited, now);
                }
            }
            RequestEnd::Failed(fault) => self.on_fault(&entry, fault, now),
        }
    }

    fn on_fault(&mut self, entry: &Request, fault: Fault, now: Timestamp) {
        let Some(source) = self.sources.get_mut(&entry.source) else {
            return;
        };
        match fault {
            Fault::Corrupt => {
                let (source, reason) = (entry.source, BanReason::Corrupt);
                self.outputs.push_back(Output::Ban { source, reason });
                self.remove_source(source, now);
            }
            Fault::Refused => {
                source.conduct.on_fault(now);
                self.forget_holdings(entry);
            }
            Fault::Busy => {
                source.conduct.on_fault(now);
                if let Some(peer) = source.peer_mut() {
                    peer.window.on_busy(now);
                }
            }
            Fault::Choked | Fault::Closed | Fault::Timeout => source.conduct.on_fault(now),
        }
    }

    /// A peer does not have what it announced.
    fn forget_holdings(&mut self, entry: &Request) {
        let all = self.layout.all_groups();
        let Some(peer) = self
            .sources
            .get_mut(&entry.source)
            .and_then(Source::peer_mut)
        else {
            return;
        };
        if let Holdings::All = peer.holdings {
            self.rarity.subtract_complete();
            self.rarity.add(all);
            peer.holdings = Holdings::Some(all.into());
            peer.held_groups = u64::from(all.len());
        }
        let Holdings::Some(held) = &mut peer.holdings else {
            return;
        };
        for run in entry.pending.runs() {
            let lost: Vec<GroupRange> = held.runs_in(*run).collect();
            peer.held_groups -= u64::from(held.remove(*run));
            lost.into_iter().for_each(|run| self.rarity.subtract(run));
        }
        self.rebuild_orphans();
    }

    /// Cancels what stalls: a peer's requests together, an edge's one by one.
    pub(crate) fn drop_stalled(&mut self, now: Timestamp) {
        let busy: Vec<SourceId> = (self.sources.iter())
            .filter(|(_, source)| source.in_flight > 0)
            .map(|(id, _)| *id)
            .collect();
        let expected = self.requests.expected();
        for id in busy {
            let Some(source) = self.sources.get_mut(&id) else {
                continue;
            };
            let late_from = source.lateness.limit(&self.lateness);
            let patience = Conduct::patience(expected.get(&id).copied(), late_from);
            let stalled = source.conduct.is_stalled(patience, now);
            if stalled {
                source.conduct.on_stall(now);
            }
            let victims = match &mut source.kind {
                Kind::Edge(_) => self.requests.stuck(id, patience, now),
                Kind::Peer(_) if !stalled => continue,
                Kind::Peer(peer) => {
                    peer.window.restart();
                    self.requests.of(id)
                }
            };
            victims
                .into_iter()
                .for_each(|request| self.cancel(request, now));
        }
    }

    /// Cancels what cannot bring anything any more, where that frees its source sooner than the rest of the
    /// answer would.
    fn cancel_useless(&mut self, now: Timestamp) {
        for request in self.requests.useless(self.claims.have()) {
            if !self.is_cheap_to_finish(request, now) {
                self.cancel(request, now);
            }
        }
    }

    fn is_cheap_to_finish(&mut self, request: RequestId, now: Timestamp) -> bool {
        let Some(entry) = self.requests.find(request) else {
            return false;
        };
        let (owed, source) = (entry.pending.len() * GROUP_BYTES, entry.source);
        let source = self.sources.get(&source);
        source.is_some_and(|source| source.is_cheap_to_finish(owed, now))
    }

    /// Says that a request is not needed any more and frees its groups.
    pub(crate) fn cancel(&mut self, request: RequestId, now: Timestamp) {
        let Some(entry) = self.requests.find(request) else {
            return;
        };
        if std::mem::replace(&mut entry.cancelled, true) {
            return;
        }
        let (source, claim) = (entry.source, entry.claim);
        self.awake.insert(source);
        let pending = entry.pending.clone();
        self.outputs.push_back(Output::Cancel { request });
        self.release_groups(claim, &pending);
        let owed = self.bytes(pending.runs());
        if let Some(source) = self.sources.get_mut(&source) {
            source.in_flight -= owed;
            source.note_activity(now);
        }
    }

    pub(crate) fn observe_twin(&mut self, now: Timestamp) {
        let sight = Sight {
            done: self.books.done,
            edge_bytes: self.books.edge_bytes,
            edge: self.edge_rate(now),
            peers: self.books.peers.rate(now).unwrap_or_default(),
            sum: self.books.down.rate(now).unwrap_or_default(),
            edge_driven: self.is_edge_driven(now),
            drivers: self.pledges.pledgers(),
            seeded: self.has_seed(),
        };
        self.twin.observe(sight, now);
    }

    /// Sets the valve to what the goal wants of the edge.
    pub(crate) fn review_edge(&mut self, now: Timestamp) {
        let helpful = |source: &Source| source.peer().is_some_and(|peer| !peer.choking);
        let helped = self.peers().any(|(_, source)| helpful(source));
        let edges = self
            .sources
            .values()
            .filter(|source| source.edge().is_some());
        let under_way: u64 = edges.map(|source| source.in_flight).sum();
        let stand = Stand {
            coming: self.books.done + under_way,
            size: self.layout.size(),
            peers: self.books.peers.rate(now).unwrap_or_default(),
        };
        let want = if helped {
            Want::of(self.config.goal, &self.twin, stand, now)
        } else {
            Want::Everything
        };
        let want = self.yielded(want, now);
        self.valve.set(want, now);
    }

    /// A thrifty download lets peers take the edge's place where they can.
    fn yielded(&mut self, want: Want, now: Timestamp) -> Want {
        let (Want::Rate { rate, inject }, Goal::Thrifty) = (want, self.config.goal) else {
            self.lanes.open_all();
            return want;
        };
        let look = Look {
            pace: self.twin.rate().unwrap_or_default(),
            sum: self.twin.sum(),
            lag: self.twin.progress().saturating_sub(self.books.done),
            size: self.layout.size(),
            peers: self.books.peers.rate(now).unwrap_or_default(),
        };
        if self.has_seed() && !self.twin.is_crowded() {
            self.lanes.look(look);
        } else {
            self.lanes.open_all();
        }
        self.twin.on_lag(look.lag, self.pledges.pledgers(), now);
        let (rate, needed) = self.yields.apply(rate, look, now);
        if needed {
            self.twin.on_needed(self.books.done, now);
        }
        if self.twin.leaves_it_to_the_edge() {
            // Nobody else is asked from here on.
            self.lanes.open_all();
            return Want::Everything;
        }
        Want::Rate { rate, inject }
    }

    /// What the busy edges deliver together.
    fn edge_rate(&self, now: Timestamp) -> Rate {
        let busy = self
            .sources
            .values()
            .filter(|source| source.in_flight > 0 && source.edge().is_some());
        Rate::from_bytes_per_s(busy.map(|source| source.rate(now).bytes_per_s()).sum())
    }

    /// Whether every lane is at work. Nobody who is done works: what rates fade to then says nothing
    /// of the edge, and would be told to others as their share of it.
    pub(crate) fn is_edge_driven(&self, now: Timestamp) -> bool {
        if self.finished {
            return false;
        }
        let mut edges = self.sources.values().filter_map(Source::edge).peekable();
        let driven =
            |edge: &Edge| (edge.driven_since).is_some_and(|at| now.since(at) >= Meter::SPAN);
        edges.peek().is_some() && edges.all(driven)
    }

    /// Counts what a source delivered; says whether it is an edge.
    fn credit(&mut self, source: SourceId, bytes: u64, owed: bool, now: Timestamp) -> bool {
        self.books.down.add(bytes, now);
        let Some(source) = self.sources.get_mut(&source) else {
            return false;
        };
        source.meter.add(bytes, now);
        source.delivered += bytes;
        source.conduct.on_progress(now);
        if owed {
            source.in_flight -= bytes;
        }
        source.edge().is_some()
    }

    /// Notes groups as here; says how many bytes of them are new.
    fn store(&mut self, groups: &[GroupRange], now: Timestamp) -> u64 {
        let mut bytes = 0;
        for run in groups {
            let new = self.claims.arrive(*run);
            bytes += self.bytes(&new);
            self.orphans.remove(*run);
            self.refresh_pieces(*run);
            if self.config.share {
                new.into_iter().for_each(|run| self.announcer.add(run, now));
            }
        }
        self.books.done += bytes;
        bytes
    }

    fn release(&mut self, entry: &Request) {
        if !entry.cancelled {
            self.release_groups(entry.claim, &entry.pending);
        }
    }

    fn release_groups(&mut self, claim: Claim, pending: &GroupSet) {
        if claim == Claim::Nothing {
            return;
        }
        let brought = pending.intersection(self.claims.have());
        let asked = pending.intersection(self.claims.doubled());
        self.budget.refund(brought.len() + asked.len());
        let mut opened = false;
        for run in pending.runs() {
            opened |= self.claims.release(*run);
            self.refresh_pieces(*run);
        }
        if opened {
            self.wake_all();
        }
    }

    /// Counts the orphans anew when other peers are trusted than before.
    ///
    /// The word of a peer that does not deliver does not count: one that claims everything and
    /// sends nothing would keep the edge from injecting anything.
    pub(crate) fn review_trust(&mut self, now: Timestamp) {
        let trusted: BTreeSet<SourceId> = (self.peers())
            .filter(|(_, source)| source.is_trusted(now))
            .map(|(id, _)| id)
            .collect();
        if trusted != self.trusted {
            self.trusted = trusted;
            self.rebuild_orphans();
        }
    }

    /// What no trusted peer has. Peers leave or stall rarely, and then it costs one merge of
    /// every map; none where somebody has everything.
    fn rebuild_orphans(&mut self) {
        let trusted = self.trusted.iter().filter_map(|id| self.sources.get(id));
        let maps: Option<Vec<&GroupSet>> = (trusted.filter_map(Source::peer))
            .map(|peer| match &peer.holdings {
                Holdings::All => None,
                Holdings::Some(held) => Some(held),
            })
            .collect();
        let all = self.layout.all_groups();
        let orphans = maps.map(|maps| {
            let missing: GroupSet = self.claims.have().gaps_in(all).collect();
            (maps.into_iter()).fold(missing, |orphans, held| orphans.difference(held))
        });
        self.orphans = orphans.unwrap_or_default();
    }
}
