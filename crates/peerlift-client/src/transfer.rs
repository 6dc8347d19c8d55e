//! Carries out what the swarm core decides for one object.
//!
//! [`Transfer`] owns the core. Tasks fetch and serve, one a request, and report to it through one
//! queue; it tells the core, and turns the core's orders into tasks. It decides nothing about who
//! is asked for what.
//!
//! ```text
//!             ┌─ fetch_edge ─┐                      ┌─ fetch_edge (one task a request)
//!   Input ◄───┤  fetch_peer  │◄── tasks ── Output ──┤  fetch_peer
//!     │       └─ link, serve ┘               ▲      └─ serve
//!     ▼                                      │
//!  Transfer ── Event ──► swarm core ─────────┘
//! ```

mod verdict;
mod watchdog;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use peerlift_model::{GroupRange, GroupSet, Timestamp};
use peerlift_store::StoreError;
use peerlift_swarm::{
    Cause, Event, Fault, Output, RequestEnd, RequestId, ServeId, SourceId, Status, Swarm,
};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::context::{Context, Input};
use crate::error::DownloadError;
use crate::event::{Event as ClientEvent, Snapshot};
use crate::fetch_edge::{self, EdgeUrls, FetchFault};
use crate::introducer::Meeting;
use crate::peers::{PeerCounts, Peers};
use crate::progress::Progress;
use crate::provenance::{Ledger, Provenance, SourceKind, edge_name};
use crate::split::Part;
use watchdog::{Patience, Watchdog};

pub(crate) use verdict::{Verdict, judge};

/// How often a snapshot is taken: as often as a person can read it.
const TICK: Duration = Duration::from_millis(250);

/// How often the file of a complete object is looked at while nobody asks for it: one that was deleted
/// keeps its room on the disk until then.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The same of what is complete and shared: days of it, mostly without anything to see.
const TICK_SEEDING: Duration = Duration::from_secs(1);

/// How long to look for peers once no source at all is left.
const SEARCH_MAX: Duration = Duration::from_secs(10);

/// The round trip assumed of a link that has not measured one.
const RTT_UNKNOWN: Duration = Duration::from_millis(100);

/// One object being downloaded, and served to others.
#[derive(Debug)]
pub(crate) struct Transfer {
    context: Arc<Context>,
    swarm: Swarm,
    clock: Clock,
    inputs: mpsc::Receiver<Input>,
    edges: BTreeMap<SourceId, EdgeUrls>,
    peers: Peers,
    running: BTreeMap<RequestId, Running>,
    tasks: JoinSet<()>,
    next_source: u32,
    finished: bool,
    /// Whether the operator of a control node wants it neither fetched nor served.
    blocked: bool,
    /// The last thing that went wrong with a source: what to say when none is left.
    fault: Option<DownloadError>,
    /// Why something could not be served. Of a complete object, nothing of it is served any more; of
    /// an unfinished one, the store has forgotten what was damaged.
    unreadable: Option<StoreError>,
    progress: Progress,
    /// The last snapshot that was sent.
    shown: Option<Snapshot>,
    ledger: Ledger,
    frontier: watch::Sender<u32>,
    patience: Duration,
    /// Bytes that may still be sent to others.
    upload_left: Option<u64>,
    /// Whether the user shares this object, while the switch is open.
    share: bool,
    switch: watch::Receiver<bool>,
}

/// Why a complete object is not shared on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SeedEnd {
    #[error("the operator has blocked it")]
    Blocked,
    #[error(transparent)]
    Unreadable(StoreError),
}

/// A request under way.
#[derive(Debug)]
struct Running {
    source: SourceId,
    groups: GroupRange,
    cause: Option<Cause>,
    stop: CancellationToken,
}

/// What a transfer is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) context: Arc<Context>,
    pub(crate) inputs: mpsc::Receiver<Input>,
    pub(crate) swarm: Swarm,
    pub(crate) clock: Clock,
    pub(crate) peers: Peers,
    /// The tasks that look for peers already.
    pub(crate) tasks: JoinSet<()>,
    pub(crate) progress: Progress,
    /// How long nothing may arrive before the transfer gives up.
    pub(crate) patience: Duration,
    /// Whether the user shares it.
    pub(crate) share: bool,
    /// How many bytes the publisher lets one client send to others in one run.
    pub(crate) upload_cap: Option<u64>,
}

impl Transfer {
    pub(crate) fn new(parts: Parts) -> Self {
        let have = parts.context.storage.have();
        let frontier = frontier(&have);
        let mut switch = parts.context.uploads.watch();
        // It may have been used since the core was made.
        switch.mark_changed();
        Self {
            context: parts.context,
            swarm: parts.swarm,
            clock: parts.clock,
            inputs: parts.inputs,
            edges: BTreeMap::new(),
            peers: parts.peers,
            running: BTreeMap::new(),
            tasks: parts.tasks,
            next_source: 0,
            finished: false,
            blocked: false,
            fault: None,
            unreadable: None,
            progress: parts.progress,
            shown: None,
            ledger: Ledger::new(have),
            frontier: watch::Sender::new(frontier),
            patience: parts.patience,
            upload_left: parts.upload_cap,
            share: parts.share,
            switch,
        }
    }

    /// Adds an edge that up to `lanes` requests may be put to at a time.
    pub(crate) fn add_edge(&mut self, edge: EdgeUrls, lanes: u8) {
        let source = self.new_source();
        self.ledger.meet(source, edge_name(&edge.file));
        self.edges.insert(source, edge);
        self.tell(Event::EdgeJoined { source, lanes });
    }

    /// The number of groups from the beginning that are here without a gap.
    pub(crate) fn frontier(&self) -> watch::Receiver<u32> {
        self.frontier.subscribe()
    }

    /// The core's view of the transfer.
    pub(crate) fn status(&self) -> Status {
        self.swarm.status(self.clock.now())
    }

    /// Where what is here came from.
    pub(crate) fn provenance(&self) -> Provenance {
        self.ledger.told(self.context.layout)
    }

    /// What only the shell counts.
    pub(crate) fn peer_counts(&self) -> PeerCounts {
        self.peers.counts()
    }

    /// Runs until every group is here.
    ///
    /// # Errors
    ///
    /// A [`DownloadError`] when the disk fails, or when no source is left or delivers anything.
    pub(crate) async fn download(&mut self) -> Result<(), DownloadError> {
        let mut watchdog = Watchdog::new(self.patience);
        let mut tick = ticker(TICK);
        loop {
            self.carry_out();
            if self.blocked {
                return Err(DownloadError::Blocked);
            }
            if self.finished {
                self.peers.completed();
                return Ok(());
            }
            tokio::select! {
                () = self.step() => {}
                _ = tick.tick() => {
                    let status = self.status();
                    self.publish(&status, false);
                    self.part_from_relayed();
                    self.give_up_if_hopeless(&status, &mut watchdog)?;
                }
            }
            if let Some(error) = self
                .fault
                .take_if(|fault| matches!(fault, DownloadError::Store(_)))
            {
                return Err(error);
            }
        }
    }

    /// Serves others for as long as it is polled. Says why it may not go on.
    pub(crate) async fn seed(&mut self) -> SeedEnd {
        let (mut tick, mut look) = (ticker(TICK_SEEDING), interval(LOOK_EVERY));
        self.unreadable = None;
        loop {
            self.carry_out();
            if self.blocked {
                return SeedEnd::Blocked;
            }
            if let Some(error) = self.unreadable.take() {
                return SeedEnd::Unreadable(error);
            }
            tokio::select! {
                () = self.step() => {}
                _ = tick.tick() => {
                    let status = self.status();
                    self.publish(&status, true);
                    self.part_from_relayed();
                }
                _ = look.tick() => {
                    self.unreadable = self.context.storage.check().err();
                }
            }
        }
    }

    /// Says goodbye to peers and ends all tasks.
    pub(crate) async fn close(mut self) {
        self.peers.goodbye();
        self.tasks.shutdown().await;
    }

    /// Waits for one thing to happen and tells the core. Cancel-safe.
    async fn step(&mut self) {
        let timeout = self.swarm.poll_timeout().map(|at| self.clock.instant(at));
        tokio::select! {
            Some(input) = self.inputs.recv() => self.take(input),
            meeting = self.peers.next_meeting() => self.meet(meeting),
            () = sleep_until(timeout.unwrap_or_else(far_future)), if timeout.is_some() => {
                self.swarm.handle_timeout(self.clock.now());
            }
            Some(_) = self.tasks.join_next() => {}
            Ok(()) = self.switch.changed() => self.switched(),
        }
    }

    /// Shares or not, as the switch says.
    fn switched(&mut self) {
        let open = *self.switch.borrow_and_update();
        self.tell(Event::Share {
            share: self.share && open,
        });
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Answered { request } => self.tell(Event::Answered { request }),
            Input::Arrived { request, groups } => self.arrived(request, groups),
            Input::EdgeEnded { request, result } => self.edge_ended(request, result),
            Input::PeerEnded { request, result } => {
                let end = match result {
                    Ok(()) => RequestEnd::Done,
                    Err(fault) => RequestEnd::Failed(Peers::judge(fault, &mut self.fault)),
                };
                self.ended(request, end);
            }
            Input::Cancelled { request } => self.ended(request, RequestEnd::Cancelled),
            Input::Link { source, event } => {
                let events = self
                    .peers
                    .link_event(source, event, &self.context, &mut self.tasks);
                for event in events {
                    self.tell(event);
                }
            }
            Input::Served { serve, bytes } => self.served(serve, bytes),
            Input::Unreadable(error) => self.unreadable = Some(error),
            Input::UploadsSpent => self.tell(Event::Share { share: false }),
            Input::ServeEnded { serve } => {
                self.peers.serve_ended(serve);
                self.tell(Event::ServeEnded { serve });
            }
        }
    }

    fn served(&mut self, serve: ServeId, bytes: u64) {
        self.tell(Event::Served { serve, bytes });
        let Some(left) = &mut self.upload_left else {
            return;
        };
        *left = left.saturating_sub(bytes);
        if *left == 0 {
            self.upload_left = None;
            self.share = false;
            self.tell(Event::Share { share: false });
        }
    }

    fn arrived(&mut self, request: RequestId, groups: GroupRange) {
        if let Some(running) = self.running.get(&request) {
            let (source, cause) = (running.source, running.cause);
            self.peers
                .count(source, self.context.layout.bytes_of(groups).len());
            self.book(source, cause, groups);
        }
        self.tell(Event::Arrived { request, groups });
        let known = *self.frontier.borrow();
        // Looking at all that is there costs more than most arrivals are worth.
        if groups.start() <= known && known < groups.end() {
            let frontier = frontier(&self.context.storage.have());
            self.frontier.send_replace(frontier);
        }
    }

    fn book(&mut self, source: SourceId, cause: Option<Cause>, groups: GroupRange) {
        let kind = match self.peers.is_relayed(source) {
            Some(true) => SourceKind::RelayedPeer,
            Some(false) => SourceKind::Peer,
            None if self.edges.contains_key(&source) => SourceKind::Edge,
            // It has left; what it was is known by what it was asked for.
            None if matches!(cause, Some(Cause::Peer | Cause::OnParole)) => SourceKind::Peer,
            None => SourceKind::Edge,
        };
        if let Some(cause) = cause {
            self.ledger.book((source, kind), cause, groups);
        }
    }

    fn ended(&mut self, request: RequestId, end: RequestEnd) {
        let Some(running) = self.running.remove(&request) else {
            return;
        };
        // A task that was stopped may have written more than it came to say.
        let have = self.context.storage.have();
        for groups in have.runs_in(running.groups).collect::<Vec<_>>() {
            self.book(running.source, running.cause, groups);
            self.arrived(request, groups);
        }
        self.tell(Event::Ended { request, end });
    }

    fn edge_ended(&mut self, request: RequestId, result: Result<(), FetchFault>) {
        let fault = match result {
            Ok(()) => return self.ended(request, RequestEnd::Done),
            Err(fault) => fault,
        };
        let source = self.running.get(&request).map(|running| running.source);
        let (verdict, error) = judge(fault);
        if let DownloadError::Store(_) = error {
            self.fault = Some(error);
            return;
        }
        tracing::debug!(%error, "edge failed");
        self.progress.warn_once(&error);
        self.fault = Some(error);
        match verdict {
            Verdict::Fault(fault) => self.ended(request, RequestEnd::Failed(fault)),
            Verdict::Gone => {
                self.ended(request, RequestEnd::Failed(Fault::Refused));
                if let Some(source) = source {
                    self.drop_edge(source);
                    self.tell(Event::Left { source });
                }
            }
        }
    }

    fn meet(&mut self, meeting: Meeting) {
        match meeting {
            Meeting::Spread(spread) => self.tell(Event::Spread { spread }),
            Meeting::Linked { greeted, admitted } => {
                let source = self.new_source();
                let rtt = greeted.link.rtt().unwrap_or(RTT_UNKNOWN);
                let have = self.context.storage.have();
                self.ledger.meet(source, greeted.link.peer().short());
                let (context, tasks) = (&self.context, &mut self.tasks);
                let replaced = self
                    .peers
                    .join(source, *greeted, admitted, &have, context, tasks);
                if let Some(source) = replaced {
                    self.tell(Event::Left { source });
                }
                self.tell(Event::PeerJoined { source, rtt });
            }
            Meeting::Ticket { peer, ticket } => self.peers.show_ticket(peer, ticket),
            Meeting::Warning(text) => self.progress.warn(text),
            Meeting::Blocked => self.blocked = true,
        }
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.swarm.poll_output() {
            match output {
                Output::Request {
                    request,
                    source,
                    groups,
                } => self.start(request, source, groups),
                Output::Cancel { request } => {
                    if let Some(running) = self.running.get(&request) {
                        running.stop.cancel();
                    }
                }
                Output::Announce { groups } => self.peers.announce(groups),
                Output::Pledge { groups } => self.peers.pledge(groups),
                Output::FairShare { source, share } => self.peers.tell_fair_share(source, share),
                Output::Serve { serve } => self.peers.serve(serve, &self.context, &mut self.tasks),
                Output::RefuseServe { serve, reason } => {
                    self.peers.refuse(serve, reason, &mut self.tasks);
                }
                Output::StopServe { serve } => self.peers.stop_serve(serve),
                Output::Choke { source } => self.peers.choke(source, true),
                Output::Unchoke { source } => self.peers.choke(source, false),
                Output::Ban { source, .. } => {
                    self.drop_edge(source);
                    self.peers.ban(source);
                }
                Output::Dismiss { source } => self.peers.dismiss(source),
                Output::WantPeers => self.peers.want_more(),
                Output::Finished => self.finished = true,
            }
        }
        self.peers.flush();
    }

    fn start(&mut self, request: RequestId, source: SourceId, groups: GroupRange) {
        let stop = CancellationToken::new();
        let cause = self.swarm.cause(request);
        self.running.insert(
            request,
            Running {
                source,
                groups,
                cause,
                stop: stop.clone(),
            },
        );
        let context = Arc::clone(&self.context);
        if let Some(edge) = self.edges.get(&source) {
            let fetch = fetch_edge::fetch(Arc::clone(&context), edge.clone(), request, groups);
            self.tasks.spawn(async move {
                let input = match stop.run_until_cancelled(fetch).await {
                    Some(result) => Input::EdgeEnded { request, result },
                    None => Input::Cancelled { request },
                };
                context.tell(input).await;
            });
        } else {
            self.peers
                .fetch(source, request, groups, stop, context, &mut self.tasks);
        }
    }

    fn part_from_relayed(&mut self) {
        for event in self.peers.part_from_relayed() {
            self.tell(event);
        }
    }

    /// Forgets an edge and stops what is asked of it.
    fn drop_edge(&mut self, source: SourceId) {
        if self.edges.remove(&source).is_some() {
            for running in self
                .running
                .values()
                .filter(|running| running.source == source)
            {
                running.stop.cancel();
            }
        }
    }

    fn give_up_if_hopeless(
        &mut self,
        status: &Status,
        watchdog: &mut Watchdog,
    ) -> Result<(), DownloadError> {
        let sources = !self.edges.is_empty() || self.peers.connected() > 0;
        let search = if self.peers.may_come() {
            SEARCH_MAX
        } else {
            Duration::ZERO
        };
        match watchdog.check(status.done, sources, search) {
            Patience::Left => Ok(()),
            Patience::Over { waited } => Err(self.fault.take().unwrap_or(DownloadError::Stalled {
                seconds: waited.as_secs(),
            })),
        }
    }

    /// Says what the object needs of an uplink that it shares with others.
    fn claim_uplink(&self, status: &Status) {
        let context = &self.context;
        if context.part.is_alone() {
            return;
        }
        let need = self.swarm.need(Part::demand(status.rate_up));
        context.part.tell(need, context.uploads.rate());
    }

    fn publish(&mut self, status: &Status, seeding: bool) {
        self.claim_uplink(status);
        let snapshot = Snapshot {
            size: Some(status.size),
            done: status.done,
            from_edge: status.from_edge,
            from_peers: status.from_peers,
            uploaded: status.uploaded,
            rate_down: status.rate_down.bytes_per_s(),
            rate_up: status.rate_up.bytes_per_s(),
            peers: u32::try_from(self.peers.connected()).unwrap_or(u32::MAX),
            eta_s: status.eta.map(|eta| eta.as_secs()),
            seeding,
        };
        // What is shared mostly rests, and whoever reads is not woken for nothing.
        if !seeding || self.shown != Some(snapshot) {
            self.shown = Some(snapshot);
            self.progress.send(ClientEvent::Progress(snapshot));
        }
    }

    fn tell(&mut self, event: Event) {
        self.swarm.handle(event, self.clock.now());
    }

    fn new_source(&mut self) -> SourceId {
        let source = SourceId(self.next_source);
        self.next_source += 1;
        source
    }
}

/// The clock that the core is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now(self) -> Timestamp {
        let micros = self.0.elapsed().as_micros();
        Timestamp::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    fn instant(self, at: Timestamp) -> Instant {
        self.0 + Duration::from_micros(at.as_micros())
    }
}

fn frontier(have: &GroupSet) -> u32 {
    have.runs()
        .first()
        .filter(|run| run.start() == 0)
        .map_or(0, |run| run.end())
}

fn ticker(every: Duration) -> tokio::time::Interval {
    let mut tick = interval(every);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    tick
}

fn far_future() -> Instant {
    Instant::now() + Duration::from_secs(86_400)
}
