//! How many connections may wait in the kernel to be taken.
//!
//! Those who come to a full queue are not answered and try again by TCP's own timers, which costs the
//! node next to nothing; those who wait in it for longer than they have patience cost it work that
//! nobody has any use for. So a queue that never gets empty is only as long as what the node takes
//! out of it within a few seconds (Little's law): whoever gets into it is let in in time.

use std::time::Duration;

use peerlift_model::Timestamp;

/// The longest queue, for those who come at once to a node that is not busy.
pub(crate) const BACKLOG_MAX: u32 = 1024;

/// The shortest, for a node of a few logins a second.
const BACKLOG_MIN: u32 = 16;

/// How long one may wait in the queue: a fraction of the twenty seconds that a login may take.
const WAIT_MAX_S: u32 = 3;

/// How long it is counted what goes out of the queue.
const COUNT_FOR: Duration = Duration::from_secs(1);

/// Follows what goes out of the queue.
#[derive(Debug)]
pub(crate) struct Backlog {
    length: u32,
    since: Timestamp,
    taken: u32,
    was_empty: bool,
}

impl Backlog {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            length: BACKLOG_MAX,
            since: now,
            taken: 0,
            was_empty: false,
        }
    }

    /// Nobody waits.
    pub(crate) fn note_empty(&mut self) {
        self.was_empty = true;
    }

    /// One was taken out; how long the queue is to be from now on, if that changes.
    pub(crate) fn take(&mut self, now: Timestamp) -> Option<u32> {
        self.taken = self.taken.saturating_add(1);
        let counted_for = now.since(self.since);
        if counted_for < COUNT_FOR {
            return None;
        }
        let length = match self.was_empty {
            true => BACKLOG_MAX,
            false => {
                let each = counted_for / self.taken;
                let in_time =
                    Duration::from_secs(WAIT_MAX_S.into()).as_micros() / each.as_micros().max(1);
                u32::try_from(in_time).map_or(BACKLOG_MAX, |it| it.clamp(BACKLOG_MIN, BACKLOG_MAX))
            }
        };
        (self.since, self.taken, self.was_empty) = (now, 0, false);
        let changes = length != self.length;
        self.length = length;
        changes.then_some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(milliseconds)
    }

    /// Takes one out every so many milliseconds, for three seconds; the last length it is told.
    fn take_every(backlog: &mut Backlog, from: u64, milliseconds: usize) -> Option<u32> {
        let times = (from..from + 3000).step_by(milliseconds);
        times.filter_map(|time| backlog.take(at(time))).last()
    }

    #[test]
    fn a_queue_that_never_gets_empty_is_as_long_as_what_goes_out_in_three_seconds() {
        let mut backlog = Backlog::new(at(0));
        let told = take_every(&mut backlog, 0, 10).unwrap();
        assert!((290..=300).contains(&told), "{told}");
        assert_eq!(take_every(&mut backlog, 3000, 500), Some(BACKLOG_MIN));
        assert_eq!(take_every(&mut backlog, 6000, 1), Some(BACKLOG_MAX));
    }

    #[test]
    fn who_finds_nobody_waiting_has_room_for_many_at_once() {
        let mut backlog = Backlog::new(at(0));
        assert_eq!(take_every(&mut backlog, 0, 500), Some(BACKLOG_MIN));
        backlog.note_empty();
        assert_eq!(backlog.take(at(5000)), Some(BACKLOG_MAX));
    }
}
