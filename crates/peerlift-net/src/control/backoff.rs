//! How long to wait before the next try.

use std::time::Duration;

/// The wait after the first failure.
const FIRST: Duration = Duration::from_secs(1);

/// The longest wait. A node that comes back after an outage sees its clients within this time, and
/// no more than a sixtieth of them a second.
const LONGEST: Duration = Duration::from_secs(60);

/// The longest wait that a node may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(600);

/// Doubling waits with jitter: each is drawn from the upper half, so that clients that lost the
/// same node do not come back as one.
#[derive(Debug)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    pub(super) fn new() -> Self {
        Self { tries: 0 }
    }

    /// A session was up: the next failure is the first again.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }

    /// Failures in a row.
    pub(super) fn tries(&self) -> u32 {
        self.tries
    }

    /// The wait after another failure: never shorter than the node asked for. `jitter` is drawn
    /// from 0 to 1.
    pub(super) fn next_delay(&mut self, asked: Option<Duration>, jitter: f64) -> Duration {
        let full = FIRST.saturating_mul(1 << self.tries.min(16)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        let jitter = jitter.clamp(0.0, 1.0);
        let asked = asked.unwrap_or_default().min(LONGEST_ASKED);
        if asked <= full {
            return full.mul_f64(0.5 + jitter / 2.0).max(asked);
        }
        // What a node asks for, it asks of all: a quarter more for some spreads them.
        asked.mul_f64(1.0 + jitter / 4.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_again() {
        let mut backoff = Backoff::new();
        for full in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let full = Duration::from_secs(full);
            let mut twin = Backoff {
                tries: backoff.tries,
            };
            assert_eq!(twin.next_delay(None, 0.0), full / 2);
            assert_eq!(backoff.next_delay(None, 1.0), full);
        }
        backoff.reset();
        assert_eq!(backoff.next_delay(None, 1.0), FIRST);
    }

    #[test]
    fn clients_that_are_refused_together_come_back_apart() {
        // Knuth's MMIX generator; its upper half.
        let mut state = 1_u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            f64::from(u32::try_from(state >> 32).unwrap()) / f64::from(u32::MAX)
        };
        // A thousand clients, each refused at the same moment and then four times more.
        let mut seconds = std::collections::BTreeMap::<u64, u32>::new();
        for _ in 0..1000 {
            let mut backoff = Backoff::new();
            let waits = (0..5).map(|_| backoff.next_delay(None, random()));
            *seconds
                .entry(waits.sum::<Duration>().as_secs())
                .or_default() += 1;
        }
        // Between half and all of 1 + 2 + 4 + 8 + 16 seconds, no second with much more than an eighth.
        let (first, last) = (seconds.keys().min(), seconds.keys().max());
        assert!(first >= Some(&15) && last <= Some(&30), "{seconds:?}");
        assert!(seconds.values().all(|count| *count <= 160), "{seconds:?}");
    }

    #[test]
    fn a_node_may_ask_for_patience() {
        let asked = Some(Duration::from_secs(30));
        let delay = |asked, jitter| Backoff::new().next_delay(asked, jitter);
        assert_eq!(delay(asked, 0.0), Duration::from_secs(30));
        assert_eq!(delay(asked, 1.0), Duration::from_millis(37_500));
        let too_much = Some(Duration::MAX);
        assert_eq!(delay(too_much, 0.0), LONGEST_ASKED);
    }
}
