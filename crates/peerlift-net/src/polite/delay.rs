//! How long packets of one link wait in queues, by their round-trip times.

use std::collections::VecDeque;
use std::time::Duration;

use peerlift_model::Timestamp;

/// The latest round-trip times of which the least counts: a single late one says little
/// (draft-irtf-iccrg-ledbat-plus-plus §4.1, filter of 4 samples).
const RECENT: usize = 4;

/// What is older says nothing of a queue that comes and goes: a link that only says now and then
/// that it is alive would report the past.
const RECENT_AGE_MAX: Duration = Duration::from_millis(500);

/// How long a least round-trip time is remembered, and in how many pieces: ten minutes (RFC 6817
/// §3.4.2, `BASE_HISTORY`). A path that got longer is believed after that.
const MINUTES: usize = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// The delay of one link.
#[derive(Clone, Debug, Default)]
pub(super) struct LinkDelay {
    recent: VecDeque<(Timestamp, Duration)>,
    /// The least of each of the last minutes, the current one last.
    least: VecDeque<Duration>,
    minute_began: Timestamp,
}

impl LinkDelay {
    /// Takes a round-trip time, and a smaller one if the transport saw one before.
    pub(super) fn sample(&mut self, now: Timestamp, rtt: Duration, least: Option<Duration>) {
        self.recent
            .retain(|(at, _)| now.since(*at) <= RECENT_AGE_MAX);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((now, rtt));
        if self.least.is_empty() || now.since(self.minute_began) >= MINUTE {
            self.minute_began = now;
            self.least.push_back(rtt);
            if self.least.len() > MINUTES {
                self.least.pop_front();
            }
        }
        let seen = least.map_or(rtt, |least| least.min(rtt));
        if let Some(minute) = self.least.back_mut() {
            *minute = (*minute).min(seen);
        }
    }

    /// The latest round-trip time.
    pub(super) fn latest(&self) -> Duration {
        self.recent.back().map_or(Duration::ZERO, |(_, rtt)| *rtt)
    }

    /// The time on the way without any queue, as far as it is known.
    pub(super) fn base(&self) -> Duration {
        self.least.iter().min().copied().unwrap_or_default()
    }

    /// The time in queues.
    pub(super) fn queueing(&self) -> Duration {
        let recent = self.recent.iter().map(|(_, rtt)| *rtt).min();
        let recent = recent.unwrap_or_default();
        recent.saturating_sub(self.base())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_secs(seconds)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_queue_is_what_is_more_than_the_least() {
        let mut delay = LinkDelay::default();
        assert_eq!(delay.queueing(), Duration::ZERO);
        delay.sample(at(0), ms(40), None);
        assert_eq!(delay.queueing(), Duration::ZERO);
        for _ in 0..RECENT {
            delay.sample(at(1), ms(100), None);
        }
        assert_eq!(delay.queueing(), ms(60));
        delay.sample(at(1), ms(70), None);
        delay.sample(at(1), ms(200), None);
        assert_eq!(delay.queueing(), ms(30), "one late packet is no queue");
    }

    #[test]
    fn a_link_that_is_mostly_silent_does_not_report_the_past() {
        let mut delay = LinkDelay::default();
        delay.sample(at(0), ms(40), None);
        delay.sample(at(5), ms(100), None);
        assert_eq!(delay.queueing(), ms(60));
    }

    #[test]
    fn what_the_transport_saw_before_counts() {
        let mut delay = LinkDelay::default();
        delay.sample(at(0), ms(100), Some(ms(30)));
        assert_eq!((delay.base(), delay.queueing()), (ms(30), ms(70)));
    }

    #[test]
    fn a_longer_path_is_believed_after_ten_minutes() {
        let mut delay = LinkDelay::default();
        delay.sample(at(0), ms(20), None);
        for second in 1..600 {
            delay.sample(at(second), ms(120), None);
            assert_eq!(delay.base(), ms(20), "{second} s");
        }
        for second in 600..=660 {
            delay.sample(at(second), ms(120), None);
        }
        assert_eq!(delay.queueing(), Duration::ZERO);
    }

    #[test]
    fn a_shorter_path_is_believed_at_once() {
        let mut delay = LinkDelay::default();
        delay.sample(at(0), ms(120), None);
        delay.sample(at(1), ms(20), None);
        assert_eq!((delay.base(), delay.queueing()), (ms(20), Duration::ZERO));
    }
}
