//! What follows when sources come and go, announce, deliver, fail or stall.

use std::collections::BTreeSet;
use std::time::Duration;

use peerlift_model::{GroupRange, GroupSet, Rate, Timestamp};

use crate::conduct::Conduct;
use crate::edge::{Stand, Want};
use crate::holdings::Holdings;
use crate::meter::Meter;
use crate::requests::{Claim, Request};
use crate::source::{Edge, Kind, Peer, Source};
use crate::swarm::Swarm;
use crate::twin::{Sight, Twin};
use crate::window::Window;
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
                let done = self.books.done;
                self.twin.get_or_insert_with(|| Twin::new(done, now));
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
            rtt,
            window: Window::new(rtt, self.config.limits.window_bytes, now),
            choking: true,
        };
        self.sources.insert(source, Source::new(Kind::Peer(peer)));
        self.unchoker.join(source);
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
        self.rescue_due = true;
    }

    pub(crate) fn on_have(&mut self, source: SourceId, groups: GroupRange) {
        let groups = groups.intersection(self.layout.all_groups());
        let runs_max = self.layout.piece_count() as usize + Self::EXTRA_RUNS_MAX;
        let Some(known) = self.sources.get_mut(&source) else {
            return;
        };
        let Some(Peer {
            holdings: Holdings::Some(held),
            ..
        }) = known.peer_mut()
        else {
            return;
        };
        if held.runs().len() >= runs_max {
            return;
        }
        let new: Vec<GroupRange> = held.gaps_in(groups).collect();
        held.insert(groups);
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
    }

    pub(crate) fn on_have_all(&mut self, source: SourceId) {
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
        self.rebuild_orphans();
    }

    pub(crate) fn on_choking(&mut self, source: SourceId, choking: bool) {
        if let Some(peer) = self.sources.get_mut(&source).and_then(Source::peer_mut) {
            peer.choking = choking;
            self.awake.insert(source);
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
        entry.progress = now;
        let (source, cancelled) = (entry.source, entry.cancelled);
        self.awake.insert(source);
        let delivered = self.bytes(&fresh);
        let from_edge = self.credit(source, delivered, !cancelled, now);
        let new = self.store(&fresh, now);
        self.books.wasted += delivered - new;
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
        for useless in self.requests.useless(self.claims.have()) {
            self.cancel(useless, now);
        }
        self.finish_if_complete(now);
    }

    pub(crate) fn on_ended(&mut self, request: RequestId, end: RequestEnd, now: Timestamp) {
        let Some(entry) = self.requests.remove(request) else {
            return;
        };
        self.release(&entry);
        self.rescue_due = true;
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
        }
        let Holdings::Some(held) = &mut peer.holdings else {
            return;
        };
        for run in entry.pending.runs() {
            let lost: Vec<GroupRange> = held.runs_in(*run).collect();
            held.remove(*run);
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
        for id in busy {
            let Some(source) = self.sources.get_mut(&id) else {
                continue;
            };
            let rate = source.meter.rate(now);
            let patience = Conduct::patience(source.in_flight, rate);
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
            edge: self.rate_of(|source| source.edge().is_some(), now),
            peers: self.rate_of(|source| source.peer().is_some(), now),
            edge_driven: self.is_edge_driven(now),
        };
        if let Some(twin) = &mut self.twin {
            twin.observe(sight, now);
        }
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
            peers: self.rate_of(|source| source.peer().is_some(), now),
        };
        let want = match &self.twin {
            Some(twin) if helped => Want::of(self.config.goal, twin, stand, now),
            Some(_) | None => Want::Everything,
        };
        self.valve.set(want, now);
    }

    /// What the busy ones among some sources deliver together.
    fn rate_of(&self, which: impl Fn(&Source) -> bool, now: Timestamp) -> Rate {
        let busy = self
            .sources
            .values()
            .filter(|source| source.in_flight > 0 && which(source));
        Rate::from_bytes_per_s(busy.map(|source| source.rate(now).bytes_per_s()).sum())
    }

    fn is_edge_driven(&self, now: Timestamp) -> bool {
        let mut edges = self.sources.values().filter_map(Source::edge).peekable();
        let driven =
            |edge: &Edge| (edge.driven_since).is_some_and(|at| now.since(at) >= Meter::SPAN / 2);
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
        match claim {
            Claim::Nothing => return,
            Claim::Second => self
                .budget
                .refund(pending.difference(self.claims.have()).len()),
            Claim::First => {}
        }
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
    /// The word of a peer that has not delivered does not count: one that claims everything and
    /// sends nothing would keep the edge from injecting anything.
    pub(crate) fn review_trust(&mut self) {
        let trusted: BTreeSet<SourceId> = (self.peers())
            .filter(|(_, source)| source.is_trusted())
            .map(|(id, _)| id)
            .collect();
        if trusted != self.trusted {
            self.trusted = trusted;
            self.rebuild_orphans();
        }
    }

    /// What no trusted peer has. Peers leave or stall rarely, and then it costs one merge of
    /// every map.
    fn rebuild_orphans(&mut self) {
        let all = self.layout.all_groups();
        let mut orphans: GroupSet = self.claims.have().gaps_in(all).collect();
        let trusted = self.trusted.iter().filter_map(|id| self.sources.get(id));
        for peer in trusted.filter_map(Source::peer) {
            orphans = match &peer.holdings {
                Holdings::All => GroupSet::new(),
                Holdings::Some(held) => orphans.difference(held),
            };
        }
        self.orphans = orphans;
    }
}
