//! What is known of one connected source.

use std::time::Duration;

use peerlift_model::{GROUP_BYTES, Rate, Timestamp};

use crate::conduct::Conduct;
use crate::holdings::Holdings;
use crate::lateness::Lateness;
use crate::meter::BusyMeter;
use crate::window::Window;
use crate::{SourceStatus, Standing};

/// One edge or peer.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) kind: Kind,
    pub(crate) conduct: Conduct,
    pub(crate) meter: BusyMeter,
    pub(crate) lateness: Lateness,
    /// Bytes asked for, not cancelled, and not arrived.
    pub(crate) in_flight: u64,
    /// Requests that have not ended, cancelled ones included.
    pub(crate) requests: usize,
    /// Bytes that came, waste included.
    pub(crate) delivered: u64,
    /// Its window is what keeps us from asking for more.
    pub(crate) limited: bool,
    /// The shortest time that it took until the first byte of a request.
    answers_in: Option<Duration>,
    /// How long that took the last time.
    answered_in: Duration,
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
    /// How many groups these are, unless it has all.
    pub(crate) held_groups: u64,
    pub(crate) rtt: Duration,
    pub(crate) joined: Timestamp,
    pub(crate) window: Window,
    /// It does not answer our requests.
    pub(crate) choking: bool,
}

impl Source {
    /// How long a stranger's word counts: several times what it takes to be unchoked and to answer.
    /// A peer that claims everything and sends nothing holds the edge up for so long at most, and
    /// not even that when the download falls behind its goal.
    const GRACE: Duration = Duration::from_secs(4);

    /// The distance of an edge that has not answered yet, a guess.
    const FAR: Duration = Duration::from_millis(50);

    /// Round trips until a new connection to an edge brings what the old one did: one for TCP, one for TLS 1.3, and two until
    /// its congestion window is as wide.
    const CONNECT_TRIPS: u32 = 4;

    /// A source that has not been asked for anything.
    pub(crate) fn new(kind: Kind) -> Self {
        Self {
            kind,
            conduct: Conduct::default(),
            meter: BusyMeter::default(),
            lateness: Lateness::default(),
            in_flight: 0,
            requests: 0,
            delivered: 0,
            limited: false,
            answers_in: None,
            answered_in: Duration::ZERO,
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

    /// Whether what a peer says it has may be relied upon: it has delivered, and not stalled
    /// since; a stranger has some time to show it.
    pub(crate) fn is_trusted(&self, now: Timestamp) -> bool {
        let Some(peer) = self.peer() else {
            return false;
        };
        let proven = self.delivered > 0 || now.since(peer.joined) < Self::GRACE;
        proven && !self.conduct.is_on_parole()
    }

    /// Whether a peer's word about what it will have counts: that of a stranger does.
    pub(crate) fn is_promising(&self) -> bool {
        self.peer().is_some() && !self.conduct.is_on_parole()
    }

    /// Whether a request of a peer's window's own length fits beside what is under way. Two of them always
    /// do: one to be answered while the other travels.
    pub(crate) fn has_room(&self, peer: &Peer) -> bool {
        let bytes = u64::from(peer.window.request_groups()) * GROUP_BYTES;
        self.in_flight + bytes <= peer.window.bytes()
    }

    /// Keeps the meter's clock in step with the requests.
    pub(crate) fn note_activity(&mut self, now: Timestamp) {
        self.meter.set_busy(self.in_flight > 0, now);
    }

    /// Keeps the record of driven lanes. To be called when the plan is made: between the end of a
    /// request and the next one a lane is not idle.
    pub(crate) fn note_lanes(&mut self, open: u8, now: Timestamp) {
        if let Kind::Edge(edge) = &mut self.kind {
            if self.requests < usize::from(open) {
                edge.driven_since = None;
            } else {
                edge.driven_since.get_or_insert(now);
            }
        }
    }

    /// The first bytes of a request came so long after it was made.
    pub(crate) fn note_answer(&mut self, after: Duration) {
        self.answered_in = after;
        self.answers_in = Some(self.answers_in.map_or(after, |known| known.min(after)));
    }

    /// How long the last request's first bytes took. More than the latency: before a full downlink,
    /// or behind a full uplink.
    pub(crate) fn answered_in(&self) -> Duration {
        self.answered_in
    }

    /// Whether its last answer had to wait, before a downlink that is full.
    pub(crate) fn is_queued(&self) -> bool {
        self.answers_in
            .is_some_and(|least| self.answered_in > least + least / 2)
    }

    /// How long it takes until a new request's first byte.
    pub(crate) fn latency(&self, now: Timestamp) -> Duration {
        let queue = self.rate(now).time_for(self.in_flight);
        match &self.kind {
            // A free lane has no queue.
            Kind::Edge(_) => self.answers_in.unwrap_or(Self::FAR),
            Kind::Peer(peer) if self.in_flight == 0 => peer.rtt,
            Kind::Peer(peer) => peer.rtt.saturating_add(queue),
        }
    }

    /// How long a request of `bytes` beside what is under way would take; `None` when nothing is
    /// known.
    pub(crate) fn expected(&self, bytes: u64, now: Timestamp) -> Option<Duration> {
        let rate = self.rate(now);
        if rate == Rate::default() {
            return None;
        }
        // An edge answers side by side, a peer one after the other.
        let shared = match &self.kind {
            Kind::Edge(_) => bytes.saturating_mul(self.requests as u64 + 1),
            Kind::Peer(_) => bytes,
        };
        Some(self.latency(now).saturating_add(rate.time_for(shared)))
    }

    /// Whether what one request still owes comes before its lane could be of use again if it were cancelled.
    /// What cancels an HTTP answer is the end of its connection; a peer's link stays.
    pub(crate) fn is_cheap_to_finish(&self, owed: u64, now: Timestamp) -> bool {
        let connects_in = self.latency(now).saturating_mul(Self::CONNECT_TRIPS);
        let lanes = self.requests.max(1) as u64;
        self.edge().is_some() && owed <= self.rate(now).bytes_in(connects_in) / lanes
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

#[cfg(test)]
mod tests {
    use super::*;

    fn edge() -> Source {
        Source::new(Kind::Edge(Edge {
            lanes: 4,
            driven_since: None,
        }))
    }

    #[test]
    fn an_edge_finishes_what_comes_before_a_new_connection() {
        let at = |millis| Timestamp::ZERO + Duration::from_millis(millis);
        let mut source = edge();
        source.in_flight = 1;
        source.requests = 4;
        source.note_activity(at(0));
        source.note_answer(Duration::from_millis(20));
        source.meter.add(1_000_000, at(1000));
        // Four round trips of a lane that brings 250 bytes in a millisecond.
        assert!(source.is_cheap_to_finish(20_000, at(1000)));
        assert!(!source.is_cheap_to_finish(20_001, at(1000)));
        source.requests = 1;
        assert!(source.is_cheap_to_finish(80_000, at(1000)));
    }

    #[test]
    fn an_answer_that_takes_half_as_long_again_has_waited() {
        let mut source = edge();
        assert!(!source.is_queued(), "nothing was heard of it");
        let after = [
            (20, false),
            (30, false),
            (31, true),
            (20, false),
            (12, false),
            (19, true),
        ];
        for (millis, queued) in after {
            source.note_answer(Duration::from_millis(millis));
            assert_eq!(source.is_queued(), queued, "{millis} ms");
        }
    }
}
