//! How often one session may ask.

use std::time::Duration;

use peerlift_model::Timestamp;

/// A bucket of tokens that refills at a steady pace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    burst: u32,
    interval: Duration,
    /// When the bucket is full again; each token taken moves it by one interval.
    full_at: Timestamp,
}

impl Bucket {
    /// A full bucket of `burst` tokens, one more every `interval`.
    pub(crate) fn new(burst: u32, interval: Duration) -> Self {
        Self {
            burst,
            interval,
            full_at: Timestamp::ZERO,
        }
    }

    /// Takes a token, or says how long until there is one.
    pub(crate) fn take(&mut self, now: Timestamp) -> Result<(), Duration> {
        let full_at = self.full_at.max(now) + self.interval;
        let overdraft = full_at.since(now + self.interval * self.burst);
        if overdraft.is_zero() {
            self.full_at = full_at;
            Ok(())
        } else {
            Err(overdraft)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_pace_rules() {
        let mut bucket = Bucket::new(3, Duration::from_secs(2));
        let at = |seconds: u64| Timestamp::ZERO + Duration::from_secs(seconds);
        for _ in 0..3 {
            assert_eq!(bucket.take(at(10)), Ok(()));
        }
        assert_eq!(bucket.take(at(10)), Err(Duration::from_secs(2)));
        assert_eq!(
            bucket.take(at(11)),
            Err(Duration::from_secs(1)),
            "refusals cost nothing"
        );
        assert_eq!(bucket.take(at(12)), Ok(()));
        assert_eq!(bucket.take(at(1000)), Ok(()));
    }
}
