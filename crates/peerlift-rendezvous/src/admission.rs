//! How often one client, and one neighbourhood, may ask.

use std::collections::HashMap;
use std::time::Duration;

use peerlift_model::Timestamp;

use crate::Locality;
use crate::policy::Pace;

/// A bucket of tokens that refills at a steady pace. Eight bytes: the pace is handed in.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    /// When the bucket is full again; each token taken moves it by one interval.
    full_at: Timestamp,
}

impl Bucket {
    /// Takes a token, or says how long until there is one.
    pub(crate) fn take(&mut self, pace: Pace, now: Timestamp) -> Result<(), Duration> {
        let full_at = self.full_at.max(now) + pace.interval;
        let overdraft = full_at.since(now + pace.interval * pace.burst);
        if overdraft.is_zero() {
            self.full_at = full_at;
            Ok(())
        } else {
            Err(overdraft)
        }
    }

    fn is_full(self, now: Timestamp) -> bool {
        self.full_at <= now
    }
}

/// A bucket for each prefix that asked lately.
#[derive(Debug, Default)]
pub(crate) struct Neighbourhoods {
    buckets: HashMap<Locality, Bucket>,
    /// How many there may be before the full ones are forgotten again.
    sweep_at: usize,
}

/// The fewest buckets that are looked through: 48 bytes each.
const SWEEP_MIN: usize = 4096;

impl Neighbourhoods {
    /// Takes a token of a prefix, or says how long until there is one.
    pub(crate) fn take(
        &mut self,
        prefix: Locality,
        pace: Pace,
        now: Timestamp,
    ) -> Result<(), Duration> {
        if self.buckets.len() >= self.sweep_at {
            // A full bucket is as good as none. Twice what is left, so that each is swept seldom.
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
            self.sweep_at = SWEEP_MIN.max(2 * self.buckets.len());
        }
        self.buckets.entry(prefix).or_default().take(pace, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Network;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_secs(seconds)
    }

    const PACE: Pace = Pace::new(3, Duration::from_secs(2));

    #[test]
    fn a_burst_passes_and_then_the_pace_rules() {
        let mut bucket = Bucket::default();
        for _ in 0..3 {
            assert_eq!(bucket.take(PACE, at(10)), Ok(()));
        }
        assert_eq!(bucket.take(PACE, at(10)), Err(Duration::from_secs(2)));
        assert_eq!(
            bucket.take(PACE, at(11)),
            Err(Duration::from_secs(1)),
            "refusals cost nothing"
        );
        assert_eq!(bucket.take(PACE, at(12)), Ok(()));
        assert_eq!(bucket.take(PACE, at(1000)), Ok(()));
    }

    #[test]
    fn neighbourhoods_are_counted_apart_and_forgotten_when_they_are_quiet() {
        let prefix = |n: u16| {
            let [a, b] = n.to_be_bytes();
            Locality::of(Some([10, a, b, 0].into()), Network::default())
        };
        let mut all = Neighbourhoods::default();
        for _ in 0..3 {
            assert_eq!(all.take(prefix(0), PACE, at(10)), Ok(()));
        }
        assert!(all.take(prefix(0), PACE, at(10)).is_err());
        assert_eq!(all.take(prefix(1), PACE, at(10)), Ok(()));
        for n in 0..20_000 {
            // Six seconds after its last token a bucket is full.
            let _ = all.take(prefix(n), PACE, at(20 + u64::from(n)));
        }
        assert!(all.buckets.len() <= SWEEP_MIN + 1, "{}", all.buckets.len());
    }
}
