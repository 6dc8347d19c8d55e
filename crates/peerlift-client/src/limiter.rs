//! A rate cap that many tasks share.

use std::sync::Mutex;
use std::time::Duration;

use peerlift_model::Rate;
use tokio::time::{Instant, sleep_until};

/// How far a cap may be overdrawn in one go: long enough for a timer to be exact, short enough
/// not to be seen as a burst.
const BURST: Duration = Duration::from_millis(50);

/// What passes at a time, in bytes: who brings much at once waits as often as who brings as much in
/// small parts. One group, so that neither edges nor peers have the cap to themselves.
const TURN: usize = 16 * 1024;

/// Lets bytes pass at a given rate, counted over all who ask.
#[derive(Debug)]
pub(crate) struct Limiter {
    rate: Mutex<Option<Rate>>,
    paid_until: Mutex<Instant>,
}

impl Limiter {
    /// A cap; `None` lets everything pass.
    pub(crate) fn new(rate: Option<Rate>) -> Self {
        Self {
            rate: Mutex::new(rate),
            paid_until: Mutex::new(Instant::now()),
        }
    }

    /// Changes the cap. Who waits already waits on by the old one.
    pub(crate) fn set_rate(&self, rate: Option<Rate>) {
        *self.rate.lock().unwrap_or_else(|e| e.into_inner()) = rate;
    }

    /// How much of so many bytes should pass at a time: all of them without a cap.
    pub(crate) fn turn(&self, bytes: usize) -> usize {
        let capped = self.rate().is_some();
        if capped { bytes.min(TURN) } else { bytes }
    }

    /// Accounts for `bytes` and returns when they may pass. Cancel-safe, but what was asked for
    /// stays accounted.
    pub(crate) async fn pass(&self, bytes: usize) {
        let Some(rate) = self.rate() else { return };
        let due = {
            let now = Instant::now();
            let mut paid_until = self.paid_until.lock().unwrap_or_else(|e| e.into_inner());
            *paid_until = (*paid_until).max(now) + rate.time_for(bytes as u64).min(DUE_MAX);
            *paid_until
        };
        sleep_until(due - BURST).await;
    }

    /// The cap.
    pub(crate) fn rate(&self) -> Option<Rate> {
        *self.rate.lock().unwrap_or_else(|e| e.into_inner())
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
    async fn who_brings_much_at_once_has_no_more_of_it() {
        let limiter = Limiter::new(Some(Rate::from_bytes_per_s(TURN as u64)));
        let passed = |bytes, times| {
            let limiter = &limiter;
            async move {
                for _ in 0..times {
                    let mut left = bytes;
                    while left > 0 {
                        let turn = limiter.turn(left);
                        limiter.pass(turn).await;
                        left -= turn;
                    }
                }
                Instant::now()
            }
        };
        let (large, small) = tokio::join!(passed(64 * TURN, 1), passed(TURN, 64));
        let apart = large.max(small) - large.min(small);
        assert!(apart <= Duration::from_secs(1), "{apart:?}");
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
        let limiter = Limiter::new(None);
        limiter.pass(limiter.turn(usize::MAX)).await;
        assert_eq!(limiter.turn(usize::MAX), usize::MAX);
        assert_eq!(started.elapsed(), Duration::ZERO);
    }
}
