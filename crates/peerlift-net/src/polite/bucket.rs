//! What may pass at once at a rate.

use std::time::Duration;

use peerlift_model::{Rate, Timestamp};

use super::ledbat::SEGMENT_BYTES;

/// What may pass at once: as much as passes in this time. A timer is not more exact than a few
/// milliseconds, and 16 ms are a small part of the target.
const STEP: Duration = Duration::from_millis(16);

/// A step has at least two packets: receivers acknowledge every other one at once, and a single
/// one late (RFC 5681 §4.2), which looks like a queue.
const STEP_BYTES_MIN: u64 = 2 * SEGMENT_BYTES;

/// Bytes pass a little faster than acknowledgements come, so that it is the window that ends a round
/// trip and not the timer (RFC 9002 §7.7).
const PACING_GAIN: f64 = 1.25;

/// A token bucket that holds one step.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    bytes: f64,
    filled_at: Timestamp,
}

/// The bytes to pass in one go: smooth on slow lines, cheap on fast ones.
pub(super) fn step_bytes(rate: Rate) -> usize {
    let bytes = rate.bytes_in(STEP).max(STEP_BYTES_MIN);
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl Bucket {
    /// Takes out `bytes` at this rate. Whoever asks for more than there is ever room for owes the
    /// rest.
    ///
    /// # Errors
    ///
    /// The moment at which there is enough.
    pub(super) fn take(
        &mut self,
        now: Timestamp,
        bytes: usize,
        rate: Rate,
    ) -> Result<(), Timestamp> {
        let room = step_bytes(rate) as f64;
        let rate = rate.bytes_per_s().max(1) as f64 * PACING_GAIN;
        let passed = now.since(self.filled_at).as_secs_f64();
        self.bytes = (self.bytes + rate * passed).min(room);
        self.filled_at = now;
        let missing = (bytes as f64).min(room) - self.bytes;
        if missing > 0.0 {
            return Err(now + Duration::from_secs_f64((missing / rate).clamp(1e-3, 60.0)));
        }
        self.bytes -= bytes as f64;
        Ok(())
    }
}
