//! The scavenger among tasks: who wants to send waits for its turn here.

#[cfg(target_os = "linux")]
use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::AsFd;
#[cfg(target_os = "linux")]
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use peerlift_model::{Rate, Timestamp};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::scavenger::{Delivery, LinkNumber, Scavenger};
#[cfg(target_os = "linux")]
use super::socket::SocketSensor;

/// Whoever waits looks again after this time, since the rate may have changed.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Sockets are not asked more often than this: a small part of a round trip.
#[cfg(target_os = "linux")]
const ASK_INTERVAL: Duration = Duration::from_millis(8);

/// What all uploads of a process share. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Uplink(Option<Arc<Shared>>);

#[derive(Debug)]
struct Shared {
    origin: Instant,
    state: Mutex<State>,
    /// Whoever is first in the queue holds it.
    turn: tokio::sync::Mutex<()>,
    /// Wakes whoever is first: something has arrived.
    arrived: Notify,
    next_link: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    scavenger: Scavenger,
    /// Transfers for which the user waits.
    errands: usize,
    /// Sockets that have to be asked.
    #[cfg(target_os = "linux")]
    sockets: Vec<Weak<SocketSensor>>,
    asked_at: Timestamp,
}

impl Uplink {
    /// An uplink on which uploads give way to everything else.
    #[must_use]
    pub fn polite() -> Self {
        Self(Some(Arc::new(Shared {
            origin: Instant::now(),
            state: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            arrived: Notify::new(),
            next_link: AtomicU64::new(0),
        })))
    }

    /// An uplink on which uploads take their share, as everything else does.
    #[must_use]
    pub fn plain() -> Self {
        Self(None)
    }

    /// The rate of all uploads together; `None` when it is not limited.
    #[must_use]
    pub fn rate(&self) -> Option<Rate> {
        let shared = self.0.as_ref()?;
        Some(shared.state().scavenger.rate())
    }

    /// The bytes to hand to [`Self::pass`] and to a link at once, at most `most`.
    #[must_use]
    pub fn step_bytes(&self, most: usize) -> usize {
        let Some(shared) = &self.0 else { return most };
        shared.state().scavenger.step_bytes().min(most)
    }

    /// Returns when `bytes` may be sent. Whoever came first goes first. Cancel-safe.
    pub async fn pass(&self, bytes: usize) {
        let Some(shared) = &self.0 else { return };
        let _turn = shared.turn.lock().await;
        loop {
            let now = shared.now();
            shared.ask_sockets(now);
            let answer = shared.state().admit(now, bytes);
            let Err(again) = answer else { return };
            let wait = again.since(now).min(LOOK_AGAIN);
            // Early or late, it is looked at again.
            let _ = timeout_at(Instant::now() + wait, shared.arrived.notified()).await;
        }
    }

    /// Says that the user waits for a transfer of ours, for as long as the errand is kept.
    #[must_use]
    pub fn errand(&self) -> Errand {
        if let Some(shared) = &self.0 {
            shared.state().begin_errand();
        }
        Errand(self.clone())
    }

    /// Watches a link.
    #[must_use]
    pub(super) fn sensor(&self) -> LinkSensor {
        let sense = self.0.as_ref().map(|shared| Sense {
            number: LinkNumber(shared.next_link.fetch_add(1, Ordering::Relaxed)),
            shared: Arc::clone(shared),
        });
        LinkSensor(sense.map(Arc::new))
    }

    /// Watches a link over TCP. The link is forgotten with what is returned.
    ///
    /// Where the system does not tell how a connection fares, its bytes are paced like all others,
    /// and the links that can be watched say how fast.
    #[must_use]
    pub fn watch(&self, socket: &TcpStream) -> WatchedSocket {
        #[cfg(target_os = "linux")]
        match self.socket_sensor(socket) {
            Ok(_sensor) => return WatchedSocket { _sensor },
            Err(error) => tracing::debug!(%error, "a connection is not watched"),
        }
        #[cfg(not(target_os = "linux"))]
        let _ = socket;
        WatchedSocket::default()
    }

    #[cfg(target_os = "linux")]
    fn socket_sensor(&self, socket: &TcpStream) -> io::Result<Option<Arc<SocketSensor>>> {
        let Some(shared) = &self.0 else {
            return Ok(None);
        };
        let sensor = SocketSensor::new(socket.as_fd().try_clone_to_owned()?, self.sensor());
        let sensor = Arc::new(sensor);
        let mut state = shared.state();
        state.sockets.retain(|socket| socket.strong_count() > 0);
        state.sockets.push(Arc::downgrade(&sensor));
        Ok(Some(sensor))
    }
}

impl Shared {
    fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.origin.elapsed()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held leaves numbers that the next delivery mends.
        self.state
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Asks all sockets what has arrived, unless that was just done.
    #[cfg(target_os = "linux")]
    fn ask_sockets(&self, now: Timestamp) {
        let sockets: Vec<Arc<SocketSensor>> = {
            let mut state = self.state();
            if state.sockets.is_empty() || now.since(state.asked_at) < ASK_INTERVAL {
                return;
            }
            state.asked_at = now;
            state.sockets.iter().filter_map(Weak::upgrade).collect()
        };
        for socket in sockets {
            socket.ask();
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn ask_sockets(&self, _now: Timestamp) {}
}

impl State {
    fn admit(&mut self, now: Timestamp, bytes: usize) -> Result<(), Timestamp> {
        let answer = self.scavenger.admit(now, bytes);
        if answer.is_ok() {
            tracing::trace!(
                window = self.scavenger.window(),
                outstanding = self.scavenger.outstanding(),
                queueing = ?self.scavenger.queueing(now),
                rate = %self.scavenger.rate(),
                "a step goes out"
            );
        }
        answer
    }

    fn begin_errand(&mut self) {
        self.errands += 1;
        self.scavenger.set_foreground(true);
    }

    fn end_errand(&mut self) {
        self.errands -= 1;
        self.scavenger.set_foreground(self.errands > 0);
    }
}

/// A link over TCP that is watched for as long as this is kept.
#[derive(Debug, Default)]
pub struct WatchedSocket {
    /// The scavenger looks at it through a weak reference.
    #[cfg(target_os = "linux")]
    _sensor: Option<Arc<SocketSensor>>,
}

/// The user waits for a transfer of ours.
#[derive(Debug)]
pub struct Errand(Uplink);

impl Drop for Errand {
    fn drop(&mut self) {
        if let Some(shared) = &self.0.0 {
            shared.state().end_errand();
        }
    }
}

/// What a link says of its packets. The link is forgotten with the last clone.
#[derive(Clone, Debug)]
pub(super) struct LinkSensor(Option<Arc<Sense>>);

#[derive(Debug)]
struct Sense {
    number: LinkNumber,
    shared: Arc<Shared>,
}

impl LinkSensor {
    /// The transport has sent so many bytes.
    pub(super) fn sent(&self, bytes: u64) {
        self.tell(|scavenger, _, link| scavenger.sent(link, bytes));
    }

    /// Bytes were acknowledged.
    pub(super) fn delivered(&self, delivery: Delivery) {
        self.tell(|scavenger, now, link| scavenger.delivered(now, link, delivery));
        if let Some(sense) = &self.0 {
            sense.shared.arrived.notify_waiters();
        }
    }

    /// The transport no longer waits for so many bytes.
    pub(super) fn abandoned(&self, bytes: u64) {
        self.tell(|scavenger, _, link| scavenger.abandoned(link, bytes));
    }

    /// Packets were lost.
    pub(super) fn lost(&self) {
        self.tell(|scavenger, now, link| scavenger.lost(now, link));
    }

    fn tell(&self, what: impl FnOnce(&mut Scavenger, Timestamp, LinkNumber)) {
        if let Some(sense) = &self.0 {
            let now = sense.shared.now();
            what(&mut sense.shared.state().scavenger, now, sense.number);
        }
    }
}

impl Drop for Sense {
    fn drop(&mut self) {
        self.shared.state().scavenger.remove(self.number);
    }
}
