//! What is known of one connected source.

use std::time::Duration;

use peerlift_model::{Rate, Timestamp};

use crate::conduct::Conduct;
use crate::holdings::Holdings;
use crate::meter::BusyMeter;
use crate::window::Window;
use crate::{SourceStatus, Standing};

/// One edge or peer.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) kind: Kind,
    pub(crate) conduct: Conduct,
    pub(crate) meter: BusyMeter,
    /// Bytes asked for, not cancelled, and not arrived.
    pub(crate) in_flight: u64,
    /// Requests that have not ended, cancelled ones included.
    pub(crate) requests: usize,
    /// Bytes that came, waste included.
    pub(crate) delivered: u64,
    /// Its window is what keeps us from asking for more.
    pub(crate) limited: bool,
}

/// What only an edge or only a peer has.
#[derive(Debug)]
pub(crate) enum Kind {
    /// An HTTP server.
    Edge(Edge),
    /// Another client.
    Peer(Peer),
}

/// An HTTP server's part.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) lanes: u8,
    /// Since when every lane has been at work; `None` while one is idle.
    pub(crate) driven_since: Option<Timestamp>,
}

/// A client's part.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) holdings: Holdings,
    pub(crate) rtt: Duration,
    pub(crate) window: Window,
    /// It does not answer our requests.
    pub(crate) choking: bool,
}

impl Source {
    /// A source that has not been asked for anything.
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            conduct: Conduct::default(),
            meter: BusyMeter::default(),
            in_flight: 0,
            requests: 0,
            delivered: 0,
            limited: false,
        }
    }

    /// Its edge part, when it is one.
    pub(crate) fn edge(&self) -> Option<&Edge> {
        match &self.kind {
            Kind::Edge(edge) => Some(edge),
            Kind::Peer(_) => None,
        }
    }

    /// Its peer part, when it is one.
    pub(crate) fn peer(&self) -> Option<&Peer> {
        match &self.kind {
            Kind::Peer(peer) => Some(peer),
            Kind::Edge(_) => None,
        }
    }

    /// Its peer part, to change it.
    pub(crate) fn peer_mut(&mut self) -> Option<&mut Peer> {
        match &mut self.kind {
            Kind::Peer(peer) => Some(peer),
            Kind::Edge(_) => None,
        }
    }

    /// What it delivers while it has something to deliver; zero when unknown.
    pub(crate) fn rate(&self, now: Timestamp) -> Rate {
        self.meter.rate(now).unwrap_or_default()
    }

    /// Whether what it says it has may be relied upon: it has delivered, and not stalled since.
    pub(crate) fn is_trusted(&self) -> bool {
        self.delivered > 0 && !self.conduct.is_on_parole()
    }

    /// Keeps the meter's clock in step with the requests.
    pub(crate) fn note_activity(&mut self, now: Timestamp) {
        self.meter.set_busy(self.in_flight > 0, now);
    }

    /// Keeps the record of driven lanes. To be called when the plan is made: between the end of a
    /// request and the next one a lane is not idle.
    pub(crate) fn note_lanes(&mut self, now: Timestamp) {
        if let Kind::Edge(edge) = &mut self.kind {
            if self.requests < usize::from(edge.lanes) {
                edge.driven_since = None;
            } else {
                edge.driven_since.get_or_insert(now);
            }
        }
    }

    /// How long it takes until a new request's first byte.
    pub(crate) fn latency(&self, now: Timestamp) -> Duration {
        let queue = self.rate(now).time_for(self.in_flight);
        match &self.kind {
            // A free lane has no queue; the edge's distance is not known, this is a guess.
            Kind::Edge(_) => Duration::from_millis(50),
            Kind::Peer(peer) if self.in_flight == 0 => peer.rtt,
            Kind::Peer(peer) => peer.rtt.saturating_add(queue),
        }
    }

    /// Its line in the status.
    pub(crate) fn status(
        &self,
        source: crate::SourceId,
        all: peerlift_model::GroupRange,
        now: Timestamp,
    ) -> SourceStatus {
        SourceStatus {
            source,
            edge: self.edge().is_some(),
            delivered: self.delivered,
            rate: self.rate(now),
            in_flight: self.in_flight,
            groups: self
                .peer()
                .map_or(u64::from(all.len()), |peer| peer.holdings.len(all)),
            standing: self.standing(now),
        }
    }

    fn standing(&self, now: Timestamp) -> Standing {
        if self.conduct.is_resting(now) {
            Standing::Resting
        } else if self.peer().is_some_and(|peer| peer.choking) {
            Standing::Choking
        } else if self.conduct.is_on_parole() {
            Standing::Parole
        } else {
            Standing::Good
        }
    }
}
