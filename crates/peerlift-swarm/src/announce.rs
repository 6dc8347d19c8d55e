//! Collects what arrived until it is worth a message to every peer.

use std::time::Duration;

use peerlift_model::{GroupRange, GroupSet, Timestamp};

/// Groups that peers have not heard of yet.
///
/// Bounded by nature: it never holds more runs than the object's own map.
#[derive(Debug)]
pub(crate) struct Announcer {
    interval: Duration,
    pending: GroupSet,
    due: Option<Timestamp>,
}

impl Announcer {
    /// Announces what waits at most `interval` after the first of it arrived.
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            pending: GroupSet::new(),
            due: None,
        }
    }

    /// Adds groups to the next batch.
    pub(crate) fn add(&mut self, groups: GroupRange, now: Timestamp) {
        self.pending.insert(groups);
        self.due.get_or_insert(now + self.interval);
    }

    /// When the next batch must go; `None` when nothing waits.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.due
    }

    /// The batch, when it is due or `now_or_never`.
    pub(crate) fn take(&mut self, now: Timestamp, now_or_never: bool) -> GroupSet {
        if !now_or_never && self.due.is_none_or(|due| now < due) {
            return GroupSet::new();
        }
        self.due = None;
        std::mem::take(&mut self.pending)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_goes_when_its_first_group_has_waited_long_enough() {
        let at = |millis: u64| Timestamp::from_micros(millis * 1000);
        let mut announcer = Announcer::new(Duration::from_millis(150));
        assert_eq!(announcer.due(), None);
        announcer.add(GroupRange::new(0, 2), at(0));
        announcer.add(GroupRange::new(2, 3), at(100));
        announcer.add(GroupRange::new(9, 10), at(140));
        assert_eq!(announcer.due(), Some(at(150)));
        assert!(announcer.take(at(149), false).is_empty());
        assert_eq!(announcer.take(at(150), false).runs().len(), 2);
        assert_eq!(announcer.due(), None);
        announcer.add(GroupRange::new(3, 4), at(200));
        assert_eq!(announcer.take(at(200), true).len(), 1);
    }
}
