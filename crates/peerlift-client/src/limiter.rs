//! A rate cap that many tasks share.

use std::sync::Mutex;
use std::time::Duration;

use peerlift_model::Rate;
use tokio::time::{Instant, sleep_until};

/// How far a cap may be overdrawn in one go: long enough for a timer to be exact, short enough
/// not to be seen as a burst.
const BURST: Duration = Duration::from_millis(50);

/// Lets bytes pass at a given rate, counted over all who ask.
#[derive(Debug)]
pub(crate) struct Limiter {
    rate: Option<Rate>,
    paid_until: Mutex<Instant>,
}

impl Limiter {
    /// A cap; `None` lets everything pass.
    pub(crate) fn new(rate: Option<Rate>) -> Self {
        Self {
            rate,
            paid_until: Mutex::new(Instant::now()),
        }
    }

    /// Accounts for `bytes` and returns when they may pass. Cancel-safe, but what was asked for
    /// stays accounted.
    pub(crate) async fn pass(&self, bytes: usize) {
        let Some(rate) = self.rate else { return };
        let due = {
            let now = Instant::now();
            let mut paid_until = self.paid_until.lock().unwrap_or_else(|e| e.into_inner());
            *paid_until = (*paid_until).max(now) + rate.time_for(bytes as u64).min(DUE_MAX);
            *paid_until
        };
        sleep_until(due - BURST).await;
    }
}

/// Keeps a cap of zero from overflowing the clock.
const DUE_MAX: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lets_pass_what_the_rate_allows() {
        let started = Instant::now();
        let limiter = Limiter::new(Some(Rate::from_bytes_per_s(1000)));
        for _ in 0..10 {
            limiter.pass(500).await;
        }
        assert_eq!(
            started.elapsed().as_millis() / 10,
            495,
            "5000 bytes less the burst"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn idle_time_is_not_saved_up() {
        let limiter = Limiter::new(Some(Rate::from_bytes_per_s(1000)));
        tokio::time::advance(Duration::from_secs(60)).await;
        let started = Instant::now();
        limiter.pass(1000).await;
        assert_eq!(started.elapsed().as_millis() / 10, 95);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_rate_nothing_waits() {
        let started = Instant::now();
        Limiter::new(None).pass(usize::MAX).await;
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}
