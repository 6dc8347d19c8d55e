//! How fast all uploads together may be, and who waits until when.

use std::collections::BTreeMap;
use std::time::Duration;

use peerlift_model::{Rate, Timestamp};

use super::delay::LinkDelay;
use super::ledbat::{Ledbat, SEGMENT_BYTES, TARGET_FOREGROUND, TARGET_USUAL};

/// Links that are watched at once: four times the peers of a download. Others are served and
/// not watched.
const LINKS_MAX: usize = 160;

/// How long a link's delay says something about now.
const FRESH: Duration = Duration::from_secs(1);

/// A line that was idle for so long is felt out anew.
const IDLE_MAX: Duration = Duration::from_secs(10);

/// The round-trip time before there is any.
const RTT_ASSUMED: Duration = Duration::from_millis(100);

/// What may be sent at once: as much as passes in this time. A timer is not more exact than a
/// few milliseconds, and 16 ms are a small part of the target.
const STEP: Duration = Duration::from_millis(16);

/// A step has at least two packets: receivers acknowledge every other one at once, and a single
/// one late (RFC 5681 §4.2), which looks like a queue.
const STEP_BYTES_MIN: u64 = 2 * SEGMENT_BYTES;

/// Bytes go out a little faster than acknowledgements come, so that it is the window that ends a
/// round trip and not the timer (RFC 9002 §7.7).
const PACING_GAIN: f64 = 1.25;

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
/// How long packets wait in the queue of the *uplink* is the least that any link sees: what one
/// sees more is at its other end. A link counts once it was there when the queue was short,
/// since before it may take a queue for the length of the way.
#[derive(Clone, Debug)]
pub struct Scavenger {
    ledbat: Ledbat,
    links: BTreeMap<LinkNumber, Link>,
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

#[derive(Clone, Debug, Default)]
struct Link {
    delay: LinkDelay,
    heard_at: Timestamp,
    in_flight: u64,
    seasoned: bool,
}

/// What may be sent at once.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    bytes: f64,
    filled_at: Timestamp,
}

impl Default for Scavenger {
    fn default() -> Self {
        Self {
            ledbat: Ledbat::new(TARGET_USUAL),
            links: BTreeMap::new(),
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
        let bytes = self.rate().bytes_in(STEP).max(STEP_BYTES_MIN);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// How long packets wait for the uplink; `None` while nobody knows.
    #[must_use]
    pub fn queueing(&self, now: Timestamp) -> Option<Duration> {
        self.least_loaded(now).map(|link| link.delay.queueing())
    }

    /// Bytes that were admitted and have not arrived.
    #[must_use]
    pub fn outstanding(&self) -> u64 {
        let in_flight: u64 = self.links.values().map(|link| link.in_flight).sum();
        self.waiting.saturating_add(in_flight)
    }

    /// Takes note that the transport of a link has sent `bytes`, whatever they are.
    pub fn sent(&mut self, number: LinkNumber, bytes: u64) {
        // Transports send more than they are given, so this never lags behind for long.
        self.waiting = self.waiting.saturating_sub(bytes);
        if let Some(link) = self.link(number) {
            link.in_flight = link.in_flight.saturating_add(bytes);
        }
    }

    /// Takes an acknowledgement.
    pub fn delivered(&mut self, now: Timestamp, number: LinkNumber, delivery: Delivery) {
        let Some(link) = self.link(number) else {
            return;
        };
        link.delay.sample(now, delivery.rtt, delivery.rtt_least);
        link.heard_at = now;
        link.in_flight = delivery.in_flight;
        let Some((queueing, base)) = self.line(now) else {
            return;
        };
        let rtt = queueing + base;
        self.rtt = (self.rtt * (RTT_WEIGHT - 1) + rtt) / RTT_WEIGHT;
        let limited = self
            .limited_at
            .is_some_and(|at| now.since(at) <= 2 * self.rtt);
        self.ledbat
            .delivered(now, delivery.bytes, queueing, base, limited);
        if self.ledbat.is_pausing() || queueing <= TARGET_USUAL / 8 {
            self.season(now);
        }
    }

    /// Takes note that the transport of a link no longer waits for `bytes` that it has sent.
    pub fn abandoned(&mut self, number: LinkNumber, bytes: u64) {
        if let Some(link) = self.links.get_mut(&number) {
            link.in_flight = link.in_flight.saturating_sub(bytes);
        }
    }

    /// Takes a loss.
    pub fn lost(&mut self, now: Timestamp, number: LinkNumber) {
        if let Some(link) = self.links.get(&number) {
            self.ledbat
                .lost(now, link.delay.queueing(), link.delay.base());
        }
    }

    /// Forgets a link.
    pub fn remove(&mut self, number: LinkNumber) {
        self.links.remove(&number);
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
        let rate = self.rate().bytes_per_s().max(1) as f64 * PACING_GAIN;
        let room = self.step_bytes() as f64;
        let passed = now.since(self.bucket.filled_at).as_secs_f64();
        self.bucket.bytes = (self.bucket.bytes + rate * passed).min(room);
        self.bucket.filled_at = now;
        // Whoever asks for more than there is ever room for owes the rest.
        let missing = (bytes as f64).min(room) - self.bucket.bytes;
        if missing > 0.0 {
            self.limited_at = Some(now);
            return Err(now + Duration::from_secs_f64((missing / rate).clamp(1e-3, 60.0)));
        }
        self.admitted_at = now;
        self.bucket.bytes -= bytes as f64;
        self.waiting = self.waiting.saturating_add(bytes as u64);
        Ok(())
    }

    fn link(&mut self, number: LinkNumber) -> Option<&mut Link> {
        if self.links.len() >= LINKS_MAX && !self.links.contains_key(&number) {
            return None;
        }
        Some(self.links.entry(number).or_default())
    }

    fn line(&self, now: Timestamp) -> Option<(Duration, Duration)> {
        self.least_loaded(now)
            .map(|link| (link.delay.queueing(), link.delay.base()))
    }

    fn least_loaded(&self, now: Timestamp) -> Option<&Link> {
        let fresh = self
            .links
            .values()
            .filter(|link| now.since(link.heard_at) <= FRESH);
        // `false` comes first: the seasoned before all others.
        fresh.min_by_key(|link| (!link.seasoned, link.delay.queueing()))
    }

    fn season(&mut self, now: Timestamp) {
        for link in self.links.values_mut() {
            link.seasoned |= now.since(link.heard_at) <= FRESH;
        }
    }
}
