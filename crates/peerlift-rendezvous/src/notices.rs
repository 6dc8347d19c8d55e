//! Tells many sessions the same without telling all of them at once.

use std::collections::VecDeque;
use std::time::Duration;

use peerlift_model::Timestamp;

use crate::SessionId;

/// How often a few are told.
const TICK: Duration = Duration::from_millis(20);

/// A line of sessions that are told something at a steady pace.
#[derive(Debug)]
pub(crate) struct Notices<N> {
    waiting: VecDeque<(SessionId, N)>,
    a_tick: usize,
    next_at: Timestamp,
}

impl<N> Default for Notices<N> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            a_tick: 1,
            next_at: Timestamp::ZERO,
        }
    }
}

impl<N> Notices<N> {
    /// Puts more into the line; `per_s` of them are told each second, or one a tick at least.
    pub(crate) fn begin(
        &mut self,
        told: impl IntoIterator<Item = (SessionId, N)>,
        per_s: u64,
        now: Timestamp,
    ) {
        let ticks_a_s = 1_000 / TICK.as_millis();
        let a_tick = u128::from(per_s) / ticks_a_s;
        self.a_tick = usize::try_from(a_tick).unwrap_or(usize::MAX).max(1);
        if self.waiting.is_empty() {
            self.next_at = now;
        }
        self.waiting.extend(told);
    }

    /// Forgets those that wait.
    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }

    /// Those whose turn it is.
    pub(crate) fn due(&mut self, now: Timestamp) -> impl Iterator<Item = (SessionId, N)> + '_ {
        let count = if self.waiting.is_empty() || now < self.next_at {
            0
        } else {
            self.next_at = now + TICK;
            self.a_tick.min(self.waiting.len())
        };
        self.waiting.drain(..count)
    }

    /// When it is the next one's turn.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        (!self.waiting.is_empty()).then_some(self.next_at)
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_a_second_are_twenty_a_tick() {
        let mut notices = Notices::default();
        notices.begin((0..50).map(|n| (SessionId(n), ())), 1000, Timestamp::ZERO);
        let mut now = Timestamp::ZERO;
        for want in [20, 20, 10] {
            assert_eq!(notices.next_at(), Some(now));
            assert_eq!(notices.due(now).count(), want);
            assert_eq!(notices.due(now).count(), 0, "one tick, one turn");
            now = now + TICK;
        }
        assert_eq!(notices.next_at(), None);
    }
}
