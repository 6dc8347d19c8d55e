//! When a transfer has waited long enough.

use std::time::Duration;

use tokio::time::Instant;

/// Tells when waiting has become pointless.
#[derive(Debug)]
pub(super) struct Watchdog {
    patience: Duration,
    done: u64,
    progress_at: Instant,
    source_at: Instant,
}

/// What a [`Watchdog`] says.
pub(super) enum Patience {
    Left,
    Over { waited: Duration },
}

impl Watchdog {
    pub(super) fn new(patience: Duration) -> Self {
        let now = Instant::now();
        Self {
            patience,
            done: 0,
            progress_at: now,
            source_at: now,
        }
    }

    pub(super) fn check(&mut self, done: u64, sources: bool, search: Duration) -> Patience {
        let now = Instant::now();
        if done != self.done {
            (self.done, self.progress_at) = (done, now);
        }
        if sources {
            self.source_at = now;
        }
        let waited = now - self.progress_at;
        let alone = now - self.source_at;
        if waited >= self.patience || (!sources && alone >= search) {
            Patience::Over { waited }
        } else {
            Patience::Left
        }
    }
}
