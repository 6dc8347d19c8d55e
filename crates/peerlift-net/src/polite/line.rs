//! How long packets wait for a line, by everything that goes over it.

use std::collections::BTreeMap;
use std::time::Duration;

use peerlift_model::Timestamp;

use super::delay::LinkDelay;

/// Members that are watched at once: four times the peers of a download. Others are served and not
/// watched.
pub(super) const MEMBERS_MAX: usize = 160;

/// How long a member's delay says something about now.
const FRESH: Duration = Duration::from_secs(1);

/// For so long a seasoned member that is silent is waited for, before others are believed: where little
/// is sent each is heard every few seconds.
const SEASONED_AWAITED: Duration = Duration::from_secs(10);

/// A packet that was sent into a short queue is heard of after one round trip; what TCP tells lags behind.
const SEASONING_ROUND_TRIPS: u32 = 2;

/// A line and what goes over it.
///
/// How long packets wait in the queue of *our* line is the least that any member sees: what one sees
/// more is at its other end. A member counts once it was there when the queue was short, since before
/// it may take a queue for the length of the way.
#[derive(Clone, Debug)]
pub(super) struct Line<K> {
    members: BTreeMap<K, Member>,
    /// Since when the queue has been short.
    short_since: Option<Timestamp>,
}

#[derive(Clone, Debug, Default)]
struct Member {
    delay: LinkDelay,
    heard_at: Timestamp,
    seasoned: bool,
}

/// Where the time of a round trip goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Queueing {
    /// In queues.
    pub(super) queueing: Duration,
    /// On the way.
    pub(super) base: Duration,
}

impl<K> Default for Line<K> {
    fn default() -> Self {
        Self {
            members: BTreeMap::new(),
            short_since: None,
        }
    }
}

impl<K: Ord + Copy> Line<K> {
    /// Takes a round-trip time, and a smaller one if the transport saw one before. Who was silent for
    /// longest makes room for whoever is one too many.
    pub(super) fn heard(&mut self, now: Timestamp, who: K, rtt: Duration, least: Option<Duration>) {
        if self.members.len() >= MEMBERS_MAX && !self.members.contains_key(&who) {
            let stalest = self
                .members
                .iter()
                .min_by_key(|(_, member)| member.heard_at);
            if let Some(stalest) = stalest.map(|(who, _)| *who) {
                self.members.remove(&stalest);
            }
        }
        let member = self.members.entry(who).or_default();
        member.delay.sample(now, rtt, least);
        member.heard_at = now;
    }

    /// Whether anybody was heard just now.
    pub(super) fn is_heard(&self, now: Timestamp) -> bool {
        self.fresh(now).next().is_some()
    }

    /// What the line is like now; `None` while nobody knows.
    pub(super) fn queue(&self, now: Timestamp) -> Option<Queueing> {
        let awaited =
            |member: &Member| member.seasoned && now.since(member.heard_at) <= SEASONED_AWAITED;
        let only_seasoned = self.members.values().any(awaited);
        let least = self
            .fresh(now)
            .filter(|member| member.seasoned || !only_seasoned)
            .min_by_key(|member| member.delay.queueing());
        least.map(Member::queueing)
    }

    /// What one member sees.
    pub(super) fn of(&self, who: K) -> Option<Queueing> {
        self.members.get(&who).map(Member::queueing)
    }

    /// Takes note of whether the queue is short, now that this member was heard. What it has sent since
    /// the queue is short shows how long its way is; those that are silent meanwhile learn nothing.
    pub(super) fn season(&mut self, now: Timestamp, who: K, is_short: bool) {
        if !is_short {
            self.short_since = None;
            return;
        }
        let since = *self.short_since.get_or_insert(now);
        if let Some(member) = self.members.get_mut(&who) {
            member.seasoned |= now.since(since) >= SEASONING_ROUND_TRIPS * member.delay.latest();
        }
    }

    /// Forgets a member.
    pub(super) fn remove(&mut self, who: K) {
        self.members.remove(&who);
    }

    fn fresh(&self, now: Timestamp) -> impl Iterator<Item = &Member> {
        self.members
            .values()
            .filter(move |member| member.is_fresh(now))
    }
}

impl Member {
    fn is_fresh(&self, now: Timestamp) -> bool {
        now.since(self.heard_at) <= FRESH
    }

    fn queueing(&self) -> Queueing {
        Queueing {
            queueing: self.delay.queueing(),
            base: self.delay.base(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(millis)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn what_one_member_sees_more_is_at_its_other_end() {
        let mut line = Line::default();
        assert_eq!(line.queue(at(0)), None);
        for (who, before, now) in [(1, 20, 50), (2, 70, 80)] {
            line.heard(at(0), who, ms(before), None);
            line.season(at(0), who, true);
            line.season(at(200), who, true);
            line.heard(at(800), who, ms(now), None);
        }
        let queue = line.queue(at(800)).unwrap();
        assert_eq!((queue.queueing, queue.base), (ms(10), ms(70)));
        assert_eq!(line.of(1).unwrap().queueing, ms(30));
        line.remove(2);
        assert_eq!(line.queue(at(800)).unwrap().queueing, ms(30));
        assert_eq!(line.queue(at(1801)), None, "it is too long ago");
    }

    #[test]
    fn who_came_into_a_full_queue_counts_last() {
        let mut line = Line::default();
        line.heard(at(0), 1, ms(20), None);
        line.season(at(0), 1, true);
        line.season(at(40), 1, true);
        line.heard(at(600), 1, ms(100), None);
        line.heard(at(600), 2, ms(130), None);
        assert_eq!(line.queue(at(600)).unwrap().queueing, ms(80));
        line.season(at(600), 1, false);
        line.heard(at(1200), 1, ms(20), None);
        line.season(at(1200), 1, true);
        line.heard(at(1210), 2, ms(130), None);
        line.season(at(1210), 2, true);
        line.heard(at(1800), 1, ms(100), None);
        line.heard(at(1800), 2, ms(130), None);
        let queue = line.queue(at(1800)).unwrap().queueing;
        assert_eq!(
            queue,
            ms(80),
            "what it heard was sent before the queue was short"
        );
        line.heard(at(9000), 2, ms(130), None);
        assert_eq!(line.queue(at(9000)), None, "the other one is waited for");
        line.heard(at(12_000), 2, ms(130), None);
        assert_eq!(line.queue(at(12_000)).unwrap().queueing, ms(0));
    }

    #[test]
    fn who_is_silent_for_longest_makes_room() {
        let mut line = Line::default();
        for who in 0..=MEMBERS_MAX as u64 {
            line.heard(at(who), who, ms(20), None);
        }
        assert!(line.of(0).is_none() && line.of(1).is_some());
        assert!(line.of(MEMBERS_MAX as u64).is_some());
    }
}
