//! When to show that one is there, when to believe that the other is not, and whether the machine
//! slept in between.

use std::time::Duration;

use peerlift_model::Timestamp;

/// How long an answer to a ping may take.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// How often the clocks are compared while nothing happens; no message is sent for it.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The shortest interval of pings that broken sessions lead to: proxies that cut idle connections
/// do so after half a minute at the earliest.
const INTERVAL_MIN: Duration = Duration::from_secs(25);

/// A session that broke after a silence of at least this long may have been cut for it.
const CUT_AFTER: Duration = Duration::from_secs(30);

/// The beats of one session.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// How often to say something, as the node asked for, or less after cuts.
    interval: Duration,
    /// The longest interval that the way to the node can be trusted with.
    tolerated: Option<Duration>,
    spoke_at: Timestamp,
    heard_at: Timestamp,
    looked_at: Timestamp,
    /// Since when a ping has been waiting for any word.
    asked_at: Option<Timestamp>,
}

impl Pulse {
    /// A session is up.
    pub(super) fn begin(&mut self, keep_alive: Duration, now: Timestamp) {
        self.interval = keep_alive.min(self.tolerated.unwrap_or(keep_alive));
        (self.spoke_at, self.heard_at, self.looked_at) = (now, now, now);
        self.asked_at = None;
    }

    pub(super) fn said(&mut self, now: Timestamp) {
        self.spoke_at = now;
    }

    pub(super) fn heard(&mut self, now: Timestamp) {
        self.heard_at = now;
        self.asked_at = None;
    }

    pub(super) fn looked(&mut self, now: Timestamp) {
        self.looked_at = now;
    }

    /// A ping goes out.
    pub(super) fn asked(&mut self, now: Timestamp) {
        self.spoke_at = now;
        self.asked_at = self.asked_at.or(Some(now));
    }

    /// Whether it is time to say something.
    pub(super) fn wants_beat(&self, now: Timestamp) -> bool {
        now >= self.spoke_at + self.interval
    }

    /// Whether a ping has been unanswered for too long.
    pub(super) fn is_dead(&self, now: Timestamp) -> bool {
        self.asked_at
            .is_some_and(|asked_at| now >= asked_at + ANSWER_MAX)
    }

    /// When there is something to do.
    pub(super) fn due(&self) -> Timestamp {
        let answer = self.asked_at.map(|asked_at| asked_at + ANSWER_MAX);
        let beat = self.spoke_at + self.interval;
        let look = self.looked_at + LOOK_EVERY;
        answer.into_iter().fold(beat.min(look), Timestamp::min)
    }

    /// The connection broke. After a long silence that may have been the reason: a proxy on the way
    /// cuts what is idle, and TCP keep-alive does not reach beyond it. The next session speaks twice
    /// as often as this one was silent.
    pub(super) fn broke(&mut self, now: Timestamp) {
        let silence = now.since(self.spoke_at.max(self.heard_at));
        if silence >= CUT_AFTER {
            self.tolerated = Some((silence / 2).max(INTERVAL_MIN));
        }
    }
}

/// Notices that the machine slept: the time of day went on, monotonic time did not.
///
/// On Linux, macOS and Windows the clocks behind tokio's timers stop while a machine sleeps. A time
/// of day that was set forward looks the same; then a ping too many is sent.
#[derive(Debug, Default)]
pub(super) struct SleepDetector {
    last: Option<(Timestamp, Duration)>,
}

/// The least sleep that is noticed.
const SLEEP_MIN: Duration = Duration::from_secs(15);

impl SleepDetector {
    pub(super) fn has_slept(&mut self, now: Timestamp, unix: Duration) -> bool {
        let Some((then, unix_then)) = self.last.replace((now, unix)) else {
            return false;
        };
        let awake = now.since(then);
        // A time of day that was set back is no sleep.
        unix.checked_sub(unix_then)
            .is_some_and(|passed| passed > awake + SLEEP_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_secs(seconds)
    }

    const TEN_MINUTES: Duration = Duration::from_secs(600);

    #[test]
    fn beats_come_as_often_as_asked_for_and_have_to_be_answered() {
        let mut pulse = Pulse::default();
        pulse.begin(TEN_MINUTES, at(0));
        assert_eq!(pulse.due(), at(60), "the clocks are compared");
        pulse.looked(at(590));
        assert!(!pulse.wants_beat(at(599)) && pulse.wants_beat(at(600)));
        pulse.asked(at(600));
        assert_eq!(pulse.due(), at(620));
        assert!(pulse.is_dead(at(620)));
        pulse.heard(at(605));
        assert!(!pulse.is_dead(at(10_000)));
    }

    #[test]
    fn a_way_that_cuts_idle_connections_is_kept_busy() {
        let mut pulse = Pulse::default();
        pulse.begin(TEN_MINUTES, at(0));
        pulse.broke(at(60));
        pulse.begin(TEN_MINUTES, at(100));
        assert!(!pulse.wants_beat(at(129)) && pulse.wants_beat(at(130)));
        pulse.heard(at(200));
        pulse.broke(at(201));
        pulse.begin(TEN_MINUTES, at(300));
        assert!(
            pulse.wants_beat(at(330)),
            "a cut in the middle changes nothing"
        );
    }

    #[test]
    fn a_sleep_is_a_gap_between_the_clocks() {
        let unix = |seconds: u64| Duration::from_secs(1_800_000_000 + seconds);
        let mut sleep = SleepDetector::default();
        assert!(!sleep.has_slept(at(0), unix(0)));
        assert!(!sleep.has_slept(at(60), unix(60)));
        assert!(sleep.has_slept(at(61), unix(8 * 3600)), "a night");
        assert!(!sleep.has_slept(at(121), unix(8 * 3600 + 60)));
        assert!(!sleep.has_slept(at(181), unix(0)), "set back");
        assert!(!sleep.has_slept(at(241), unix(60)));
    }
}
