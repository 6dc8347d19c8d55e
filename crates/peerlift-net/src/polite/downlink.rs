//! The intake among tasks: who has received something waits here until it may be taken in.

use std::net::{IpAddr, SocketAddr};
#[cfg(target_os = "linux")]
use std::sync::Weak;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use peerlift_model::{PeerId, Rate, Timestamp};
use tokio::time::{Instant, sleep_until};

#[cfg(target_os = "linux")]
use super::inflow::Inflow;
use super::intake::{Arrival, Intake};

/// Whoever waits looks again after this time, since the rate may have changed.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// Sockets are not asked more often than this: a small part of a round trip.
#[cfg(target_os = "linux")]
const ASK_INTERVAL: Duration = Duration::from_millis(8);

/// Over what bytes come: round-trip times are those of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// TCP from this machine.
    Machine(IpAddr),
    /// QUIC from this peer.
    Peer(PeerId),
}

/// What all background downloads of a process share. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Downlink(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    origin: Instant,
    state: Mutex<State>,
    /// Whoever is first in the queue holds it.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    intake: Intake<Way>,
    /// Sockets that have to be asked, and told of their part of the window.
    #[cfg(target_os = "linux")]
    sockets: Vec<Weak<Mutex<Inflow>>>,
    asked_at: Timestamp,
}

impl Downlink {
    /// A downlink on which downloads give way to everything else.
    #[must_use]
    pub fn polite() -> Self {
        Self(Some(Arc::new(Shared {
            origin: Instant::now(),
            state: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        })))
    }

    /// A downlink on which downloads take their share, as everything else does.
    #[must_use]
    pub fn plain() -> Self {
        Self(None)
    }

    /// The rate of all downloads together; `None` when it is not limited.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        Some(self.0.as_ref()?.state().intake.rate())
    }

    /// The bytes to hand to [`Self::pass`] at once, at most `most`.
    #[must_use]
    pub fn step_bytes(&self, most: usize) -> usize {
        let Some(shared) = &self.0 else { return most };
        shared.state().intake.step_bytes().min(most)
    }

    /// Returns when `bytes` that have arrived may be taken in. Whoever came first goes first.
    /// Cancel-safe.
    pub async fn pass(&self, bytes: usize) {
        let Some(shared) = &self.0 else { return };
        let _turn = shared.turn.lock().await;
        loop {
            let now = shared.now();
            shared.ask_sockets(now);
            let answer = shared.state().admit(now, bytes);
            let Err(again) = answer else { return };
            let wait = again.since(now).min(LOOK_AGAIN);
            sleep_until(Instant::now() + wait).await;
        }
    }

    /// Watches the connection between these addresses of ours and of the other side, and tells its
    /// sender how much may be on its way, for as long as what is returned is kept.
    ///
    /// Where the system tells nothing of a connection, what comes over it is paced like all else. What
    /// comes from this machine itself goes over no line.
    #[must_use]
    pub fn watch(&self, ours: SocketAddr, theirs: SocketAddr) -> Receiving {
        #[cfg(target_os = "linux")]
        if let Some(shared) = &self.0
            && !theirs.ip().is_loopback()
        {
            match shared.receive(ours, theirs) {
                Ok(receiving) => return receiving,
                Err(error) => tracing::debug!(%error, "a connection is not watched"),
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (ours, theirs);
        Receiving::default()
    }

    /// Takes note of bytes that came from a peer over QUIC, whose round-trip time is asked for where
    /// it matters.
    pub fn heard(&self, peer: PeerId, bytes: u64, rtt: impl FnOnce() -> Option<Duration>) {
        let Some(shared) = &self.0 else { return };
        let Some(rtt) = rtt() else { return };
        let arrival = Arrival {
            bytes,
            rtt,
            rtt_least: None,
        };
        let now = shared.now();
        shared.state().intake.arrived(now, Way::Peer(peer), arrival);
    }
}

impl Shared {
    fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.origin.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held leaves numbers that the next arrival mends.
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Connections that are watched already are watched once.
    #[cfg(target_os = "linux")]
    fn receive(&self, ours: SocketAddr, theirs: SocketAddr) -> std::io::Result<Receiving> {
        let known = self.state().inflows().find(|inflow| {
            let inflow = inflow.lock().unwrap_or_else(|e| e.into_inner());
            inflow.is_between(ours, theirs)
        });
        if known.is_some() {
            return Ok(Receiving { _inflow: known });
        }
        let inflow = Arc::new(Mutex::new(Inflow::between(ours, theirs)?));
        let mut state = self.state();
        state.sockets.retain(|socket| socket.strong_count() > 0);
        state.sockets.push(Arc::downgrade(&inflow));
        state.divide();
        Ok(Receiving {
            _inflow: Some(inflow),
        })
    }

    /// Asks all sockets what has arrived, unless that was just done.
    #[cfg(target_os = "linux")]
    fn ask_sockets(&self, now: Timestamp) {
        let mut state = self.state();
        if state.sockets.is_empty() || now.since(state.asked_at) < ASK_INTERVAL {
            return;
        }
        state.asked_at = now;
        state.ask(now);
        state.divide();
    }

    #[cfg(not(target_os = "linux"))]
    fn ask_sockets(&self, _now: Timestamp) {}
}

impl State {
    fn admit(&mut self, now: Timestamp, bytes: usize) -> Result<(), Timestamp> {
        let answer = self.intake.admit(now, bytes);
        if answer.is_ok() {
            tracing::trace!(
                window = self.intake.window(),
                queueing = ?self.intake.queueing(now),
                rate = %self.intake.rate(),
                "a step comes in"
            );
        }
        answer
    }

    #[cfg(target_os = "linux")]
    fn inflows(&self) -> impl Iterator<Item = Arc<Mutex<Inflow>>> {
        self.sockets.iter().filter_map(Weak::upgrade)
    }

    #[cfg(target_os = "linux")]
    fn ask(&mut self, now: Timestamp) {
        let inflows: Vec<_> = self.inflows().collect();
        for inflow in inflows {
            let mut inflow = inflow.lock().unwrap_or_else(|e| e.into_inner());
            let way = Way::Machine(inflow.machine());
            let Ok(news) = inflow.ask() else { continue };
            if let Some(arrival) = news.arrival {
                self.intake.arrived(now, way, arrival);
            }
            if news.lost {
                self.intake.lost(now, way);
            }
        }
    }

    /// Tells every sender its part of the window.
    #[cfg(target_os = "linux")]
    fn divide(&mut self) {
        let inflows: Vec<_> = self.inflows().collect();
        let lately = |inflow: &Arc<Mutex<Inflow>>| {
            let inflow = inflow.lock().unwrap_or_else(|e| e.into_inner());
            inflow.lately()
        };
        let all = inflows.iter().map(lately).sum::<f64>().max(1.0);
        for inflow in &inflows {
            let share = self.intake.share(inflows.len(), lately(inflow) / all);
            let inflow = inflow.lock().unwrap_or_else(|e| e.into_inner());
            inflow.bound(share);
        }
    }
}

/// A connection that is watched for as long as this is kept.
#[derive(Debug, Default)]
pub struct Receiving {
    /// The downlink looks at it through a weak reference.
    #[cfg(target_os = "linux")]
    _inflow: Option<Arc<Mutex<Inflow>>>,
}
