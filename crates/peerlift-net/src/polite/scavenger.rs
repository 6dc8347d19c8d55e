//! How fast all uploads together may be, and who waits until when.

use std::collections::BTreeMap;
use std::time::Duration;

use peerlift_model::{Rate, Timestamp};

use super::bucket::{Bucket, step_bytes};
use super::ledbat::{Ledbat, TARGET_FOREGROUND, TARGET_USUAL};
use super::line::{Line, MEMBERS_MAX, Queueing};

/// A line that was idle for so long is felt out anew.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// The round-trip time before there is any.
const RTT_ASSUMED: Duration = Duration::from_millis(100);

/// How soon whoever waits for acknowledgements looks again, if none wakes it.
const ACKNOWLEDGEMENT_WAIT: Duration = Duration::from_millis(20);

/// So often a step is sent in any case: a fiftieth of a line of 5 Mbit/s, and still four looks a
/// second at whether it is free. What transports say of bytes on their way is no reason to wait
/// longer: QUIC counts packets that are never acknowledged until it hears of others.
const FEELER_INTERVAL: Duration = Duration::from_millis(250);

/// The change of the mean round-trip time by one delivery (RFC 6298 §2).
const RTT_WEIGHT: u32 = 8;

/// One link, for as long as it lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkNumber(pub u64);

/// Bytes that arrived at a peer, as its acknowledgement says.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// How many.
    pub bytes: u64,
    /// How long they took, there and back.
    pub rtt: Duration,
    /// The least such time that the transport saw, if it keeps it.
    pub rtt_least: Option<Duration>,
    /// Bytes of this link that are still on their way.
    pub in_flight: u64,
}

/// The one budget of all uploads.
///
/// How long packets wait in the queue of the *uplink* is the least that any link sees.
#[derive(Clone, Debug)]
pub struct Scavenger {
    ledbat: Ledbat,
    line: Line<LinkNumber>,
    /// Bytes of each link that are on their way.
    in_flight: BTreeMap<LinkNumber, u64>,
    rtt: Duration,
    bucket: Bucket,
    /// Bytes that were admitted and no transport has sent yet.
    waiting: u64,
    limited_at: Option<Timestamp>,
    /// When somebody last asked.
    active_at: Timestamp,
    /// When bytes were last admitted.
    admitted_at: Timestamp,
}

impl Default for Scavenger {
    fn default() -> Self {
        Self {
            ledbat: Ledbat::new(TARGET_USUAL),
            line: Line::default(),
            in_flight: BTreeMap::new(),
            rtt: RTT_ASSUMED,
            bucket: Bucket::default(),
            waiting: 0,
            limited_at: None,
            active_at: Timestamp::ZERO,
            admitted_at: Timestamp::ZERO,
        }
    }
}

impl Scavenger {
    /// Whether the user waits for something of ours: then a longer queue is no sign of others, and
    /// pauses would be time lost for whoever waits.
    pub fn set_foreground(&mut self, foreground: bool) {
        if foreground {
            self.ledbat.aim(TARGET_FOREGROUND, false);
        } else {
            self.ledbat.aim(TARGET_USUAL, true);
        }
    }

    /// Bytes that may be on their way at once.
    #[must_use]
    pub fn window(&self) -> u64 {
        self.ledbat.window()
    }

    /// Bytes in a second.
    #[must_use]
    pub fn rate(&self) -> Rate {
        Rate::of(self.ledbat.window(), self.rtt)
    }

    /// The bytes to be sent in one go: smooth on slow lines, cheap on fast ones.
    #[must_use]
    pub fn step_bytes(&self) -> usize {
        step_bytes(self.rate())
    }

    /// How long packets wait for the uplink; `None` while nobody knows.
    #[must_use]
    pub fn queueing(&self, now: Timestamp) -> Option<Duration> {
        self.line.queue(now).map(|queue| queue.queueing)
    }

    /// Bytes that were admitted and have not arrived.
    #[must_use]
    pub fn outstanding(&self) -> u64 {
        let in_flight: u64 = self.in_flight.values().sum();
        self.waiting.saturating_add(in_flight)
    }

    /// Takes note that the transport of a link has sent `bytes`, whatever they are.
    pub fn sent(&mut self, number: LinkNumber, bytes: u64) {
        // Transports send more than they are given, so this never lags behind for long.
        self.waiting = self.waiting.saturating_sub(bytes);
        if let Some(in_flight) = self.in_flight_of(number) {
            *in_flight = in_flight.saturating_add(bytes);
        }
    }

    /// Takes an acknowledgement.
    pub fn delivered(&mut self, now: Timestamp, number: LinkNumber, delivery: Delivery) {
        let Some(in_flight) = self.in_flight_of(number) else {
            return;
        };
        *in_flight = delivery.in_flight;
        self.line
            .heard(now, number, delivery.rtt, delivery.rtt_least);
        let Some(Queueing { queueing, base }) = self.line.queue(now) else {
            return;
        };
        let rtt = queueing + base;
        self.rtt = (self.rtt * (RTT_WEIGHT - 1) + rtt) / RTT_WEIGHT;
        let limited = self
            .limited_at
            .is_some_and(|at| now.since(at) <= 2 * self.rtt);
        self.ledbat
            .delivered(now, delivery.bytes, queueing, base, limited);
        let is_short = queueing <= TARGET_USUAL / 8;
        self.line.season(now, number, is_short);
    }

    /// Takes note that the transport of a link no longer waits for `bytes` that it has sent.
    pub fn abandoned(&mut self, number: LinkNumber, bytes: u64) {
        if let Some(in_flight) = self.in_flight.get_mut(&number) {
            *in_flight = in_flight.saturating_sub(bytes);
        }
    }

    /// Takes a loss.
    pub fn lost(&mut self, now: Timestamp, number: LinkNumber) {
        if let Some(Queueing { queueing, base }) = self.line.of(number) {
            self.ledbat.lost(now, queueing, base);
        }
    }

    /// Forgets a link.
    pub fn remove(&mut self, number: LinkNumber) {
        self.line.remove(number);
        self.in_flight.remove(&number);
    }

    /// Whether `bytes` may be sent now; if not, when to ask again.
    ///
    /// # Errors
    ///
    /// The moment at which there is room at the current rate.
    pub fn admit(&mut self, now: Timestamp, bytes: usize) -> Result<(), Timestamp> {
        if now.since(self.active_at) > IDLE_MAX {
            self.ledbat.restart();
            // Nothing of it waits any longer: its links are gone.
            self.waiting = 0;
        }
        self.active_at = now;
        if now.since(self.admitted_at) < FEELER_INTERVAL {
            let outstanding = self.outstanding();
            if self.ledbat.is_aside() {
                self.limited_at = Some(now);
                return Err(self.admitted_at + FEELER_INTERVAL);
            }
            if outstanding > 0 && outstanding + bytes as u64 > self.ledbat.window() {
                self.limited_at = Some(now);
                return Err(now + ACKNOWLEDGEMENT_WAIT);
            }
        }
        let rate = self.rate();
        if let Err(again) = self.bucket.take(now, bytes, rate) {
            self.limited_at = Some(now);
            return Err(again);
        }
        self.admitted_at = now;
        self.waiting = self.waiting.saturating_add(bytes as u64);
        Ok(())
    }

    fn in_flight_of(&mut self, number: LinkNumber) -> Option<&mut u64> {
        if self.in_flight.len() >= MEMBERS_MAX && !self.in_flight.contains_key(&number) {
            return None;
        }
        Some(self.in_flight.entry(number).or_default())
    }
}
