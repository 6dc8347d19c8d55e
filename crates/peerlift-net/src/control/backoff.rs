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

    /// The wait after another failure: never shorter than the node asked for.
    pub(super) fn next_delay(&mut self, asked: Option<Duration>) -> Duration {
        let full = FIRST.saturating_mul(1 << self.tries.min(16)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        full.mul_f64(0.5 + random_fraction() / 2.0)
            .max(asked.unwrap_or_default().min(LONGEST_ASKED))
    }
}

fn random_fraction() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness clients only come back more in step.
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_again() {
        let mut backoff = Backoff::new();
        for full in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let delay = backoff.next_delay(None).as_secs_f64();
            assert!(
                (f64::from(full) / 2.0..=f64::from(full)).contains(&delay),
                "{delay} of {full}"
            );
        }
        backoff.reset();
        assert!(backoff.next_delay(None) <= FIRST);
    }

    #[test]
    fn a_node_may_ask_for_patience() {
        let asked = Some(Duration::from_secs(30));
        assert_eq!(Backoff::new().next_delay(asked), Duration::from_secs(30));
        let too_much = Some(Duration::MAX);
        assert_eq!(Backoff::new().next_delay(too_much), LONGEST_ASKED);
    }
}
