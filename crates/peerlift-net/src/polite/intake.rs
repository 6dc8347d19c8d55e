//! How fast all background downloads together may be, as their receiver sees it.

use std::time::Duration;

use peerlift_model::{Rate, Timestamp};

use super::bucket::{Bucket, step_bytes};
use super::ledbat::{Ledbat, SEGMENT_BYTES, TARGET_USUAL};
use super::line::{Line, Queueing};

/// The change of the mean round-trip time by one arrival (RFC 6298 §2).
const RTT_WEIGHT: u32 = 8;

/// What arrives is counted over this time, or a round trip where that is longer.
const METER: Duration = Duration::from_millis(100);

/// A sender that fills less than this part of the window has other reasons, and a larger window would
/// change nothing.
const WINDOW_IN_USE: f64 = 0.4;

/// So often a step is taken in while somebody else fills the line: a two-hundredth of a line of
/// 20 Mbit/s, and four looks a second at whether it is free.
const FEELER_INTERVAL: Duration = Duration::from_millis(250);

/// The least that a window can be told to be: Linux rounds less up to `SOCK_MIN_RCVBUF` / 2.
const SHARE_MIN: u64 = 2 * SEGMENT_BYTES;

/// Bytes that came over one way.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// How many.
    pub bytes: u64,
    /// How long something of ours takes to be answered by them.
    pub rtt: Duration,
    /// The least such time that the transport saw, if it keeps it.
    pub rtt_least: Option<Duration>,
}

/// The one window of all background downloads: rLEDBAT (RFC 9840).
///
/// Whoever receives tells its senders how much may be on its way to it. This decides how much that is
/// for all of them together, by the same rules as for uploads: `K` names the ways that bytes come.
#[derive(Clone, Debug)]
pub struct Intake<K> {
    ledbat: Ledbat,
    line: Line<K>,
    rtt: Duration,
    bucket: Bucket,
    meter: Meter,
    /// When bytes were last let in.
    admitted_at: Timestamp,
}

#[derive(Clone, Copy, Debug, Default)]
struct Meter {
    since: Timestamp,
    bytes: u64,
    rate: f64,
}

impl<K> Default for Intake<K> {
    fn default() -> Self {
        Self {
            ledbat: Ledbat::new(TARGET_USUAL),
            line: Line::default(),
            rtt: METER,
            bucket: Bucket::default(),
            meter: Meter::default(),
            admitted_at: Timestamp::ZERO,
        }
    }
}

impl<K: Ord + Copy> Intake<K> {
    /// Takes note of what has come over one way.
    pub fn arrived(&mut self, now: Timestamp, way: K, arrival: Arrival) {
        self.line.heard(now, way, arrival.rtt, arrival.rtt_least);
        let Some(Queueing { queueing, base }) = self.line.queue(now) else {
            return;
        };
        self.rtt = (self.rtt * (RTT_WEIGHT - 1) + queueing + base) / RTT_WEIGHT;
        self.meter.count(now, arrival.bytes, self.rtt);
        let limited = self.is_in_use() || self.ledbat.is_aside();
        self.ledbat
            .delivered(now, arrival.bytes, queueing, base, limited);
        let is_short = queueing <= TARGET_USUAL / 8;
        self.line.season(now, way, is_short);
    }

    /// Takes note that something was lost on a way.
    pub fn lost(&mut self, now: Timestamp, way: K) {
        if let Some(Queueing { queueing, base }) = self.line.of(way) {
            self.ledbat.lost(now, queueing, base);
        }
    }

    /// Bytes that may be on their way at once.
    #[must_use]
    pub fn window(&self) -> u64 {
        self.ledbat.window()
    }

    /// What of the window one of so many connections has, if `part` of what came lately came over it:
    /// half of the window is divided equally, so that a new one gets going, and half by what is used.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of the window"
    )]
    pub fn share(&self, connections: usize, part: f64) -> u64 {
        let equal = 1.0 / connections.max(1) as f64;
        let share = self.window() as f64 * f64::midpoint(equal, part.clamp(0.0, 1.0));
        (share as u64).max(SHARE_MIN)
    }

    /// Bytes in a second.
    #[must_use]
    pub fn rate(&self) -> Rate {
        Rate::of(self.window(), self.rtt)
    }

    /// How long packets wait for the line; `None` while nobody knows.
    #[must_use]
    pub fn queueing(&self, now: Timestamp) -> Option<Duration> {
        self.line.queue(now).map(|queue| queue.queueing)
    }

    /// The bytes to take in at once.
    #[must_use]
    pub fn step_bytes(&self) -> usize {
        step_bytes(self.rate())
    }

    /// Whether `bytes` that are here may be taken in now, which makes room for more; if not, when to
    /// ask again. While nobody is heard, nothing is held up.
    ///
    /// # Errors
    ///
    /// The moment at which there is room at the current rate.
    pub fn admit(&mut self, now: Timestamp, bytes: usize) -> Result<(), Timestamp> {
        if self.line.is_heard(now) {
            if self.ledbat.is_aside() {
                let again = self.admitted_at + FEELER_INTERVAL;
                if now < again {
                    return Err(again);
                }
            } else {
                self.bucket.take(now, bytes, self.rate())?;
            }
        }
        self.admitted_at = now;
        Ok(())
    }

    fn is_in_use(&self) -> bool {
        let flight = self.meter.rate * self.rtt.as_secs_f64();
        flight >= WINDOW_IN_USE * self.window() as f64
    }
}

impl Meter {
    fn count(&mut self, now: Timestamp, bytes: u64, rtt: Duration) {
        self.bytes = self.bytes.saturating_add(bytes);
        let passed = now.since(self.since);
        if passed >= METER.max(rtt) {
            self.rate = self.bytes as f64 / passed.as_secs_f64();
            (self.since, self.bytes) = (now, 0);
        }
    }
}
