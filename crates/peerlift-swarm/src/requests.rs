//! The requests that have not ended.

use std::collections::BTreeMap;
use std::time::Duration;

use peerlift_model::{GroupRange, GroupSet, Timestamp};

use crate::lateness::Ratio;
use crate::{Cause, RequestId, SourceId};

/// One request that has not ended.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) source: SourceId,
    pub(crate) groups: GroupRange,
    pub(crate) claim: Claim,
    pub(crate) cause: Cause,
    pub(crate) made: Timestamp,
    /// How long it was to take; `None` when nothing is known of its source.
    pub(crate) expected: Option<Duration>,
    /// When something of the answer last came, at first when it was made.
    pub(crate) progress: Timestamp,
    /// Groups that it has not delivered.
    pub(crate) pending: GroupSet,
    /// Its cancel was said; its claim is gone.
    pub(crate) cancelled: bool,
}

impl Request {
    /// How many times as long as expected it has taken; `None` when nothing was expected.
    pub(crate) fn ratio(&self, now: Timestamp) -> Option<Ratio> {
        self.expected
            .map(|expected| Ratio::of(now.since(self.made), expected))
    }

    /// Something of the answer came; says how long its beginning took, at the first time.
    pub(crate) fn note_progress(&mut self, now: Timestamp) -> Option<Duration> {
        let begins = self.progress == self.made;
        self.progress = now;
        begins.then(|| now.since(self.made))
    }
}

/// What a request means to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The groups are its own.
    First,
    /// It hurries groups that another request owns.
    Second,
    /// A test of a source on parole: the groups stay open to everybody.
    Nothing,
}

/// The table of requests: bounded by the windows of at most [`crate::Limits::peers`] peers and
/// the lanes of the edges.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    table: BTreeMap<RequestId, Request>,
    next: u64,
    /// Requests whose groups another one may bring as well.
    shared: usize,
}

impl Requests {
    /// Adds a request and names it.
    pub(crate) fn add(
        &mut self,
        source: SourceId,
        groups: GroupRange,
        (claim, cause): (Claim, Cause),
        expected: Option<Duration>,
        now: Timestamp,
    ) -> RequestId {
        let request = RequestId(self.next);
        self.next += 1;
        self.shared += usize::from(claim != Claim::First);
        let entry = Request {
            source,
            groups,
            claim,
            cause,
            made: now,
            expected,
            progress: now,
            pending: groups.into(),
            cancelled: false,
        };
        self.table.insert(request, entry);
        request
    }

    /// One request.
    pub(crate) fn find(&mut self, request: RequestId) -> Option<&mut Request> {
        self.table.get_mut(&request)
    }

    /// Why a request was made; `None`: it has ended.
    pub(crate) fn cause(&self, request: RequestId) -> Option<Cause> {
        self.table.get(&request).map(|entry| entry.cause)
    }

    /// Takes a request out.
    pub(crate) fn remove(&mut self, request: RequestId) -> Option<Request> {
        let removed = self.table.remove(&request)?;
        self.shared -= usize::from(removed.claim != Claim::First);
        Some(removed)
    }

    /// All of them, oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (RequestId, &Request)> {
        self.table.iter().map(|(request, entry)| (*request, entry))
    }

    /// Those of one source.
    pub(crate) fn of(&self, source: SourceId) -> Vec<RequestId> {
        let own = self.iter().filter(|(_, entry)| entry.source == source);
        own.map(|(request, _)| request).collect()
    }

    /// Those that cannot bring anything any more, because all they would bring is in `have`.
    pub(crate) fn useless(&self, have: &GroupSet) -> Vec<RequestId> {
        if self.shared == 0 {
            return Vec::new();
        }
        let useless = self.iter().filter(|(_, entry)| {
            !entry.cancelled
                && (entry.pending.runs().iter()).all(|run| have.contains_all(*run))
                && !entry.pending.is_empty()
        });
        useless.map(|(request, _)| request).collect()
    }

    /// The longest that was expected of each source's requests, where anything was.
    pub(crate) fn expected(&self) -> BTreeMap<SourceId, Duration> {
        let mut longest = BTreeMap::<SourceId, Duration>::new();
        for entry in self.table.values().filter(|entry| !entry.cancelled) {
            if let Some(expected) = entry.expected {
                let known = longest.entry(entry.source).or_default();
                *known = expected.max(*known);
            }
        }
        longest
    }

    /// Those of a source that have not moved for longer than `patience`.
    pub(crate) fn stuck(
        &self,
        source: SourceId,
        patience: Duration,
        now: Timestamp,
    ) -> Vec<RequestId> {
        let stuck = self.iter().filter(|(_, entry)| {
            entry.source == source && !entry.cancelled && now.since(entry.progress) > patience
        });
        stuck.map(|(request, _)| request).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_begins_once() {
        let at = |millis: u64| Timestamp::from_micros(millis * 1000);
        let mut requests = Requests::default();
        let range = GroupRange::new(0, 8);
        let one = requests.add(
            SourceId(1),
            range,
            (Claim::First, Cause::Alone),
            None,
            at(5),
        );
        let entry = requests.find(one).unwrap();
        assert_eq!(entry.note_progress(at(25)), Some(Duration::from_millis(20)));
        assert_eq!(entry.note_progress(at(90)), None);
        assert_eq!(entry.progress, at(90));
    }

    #[test]
    fn a_request_overtaken_by_its_double_is_useless() {
        let mut requests = Requests::default();
        let range = GroupRange::new;
        let first = (Claim::First, Cause::Peer);
        let slow = requests.add(SourceId(1), range(0, 8), first, None, Timestamp::ZERO);
        let mut have = GroupSet::from(range(0, 8));
        assert_eq!(
            requests.useless(&have),
            [],
            "it has just brought the last of it itself"
        );
        let second = (Claim::Second, Cause::Rescued);
        let fast = requests.add(SourceId(2), range(4, 8), second, None, Timestamp::ZERO);
        assert_eq!(requests.cause(fast), Some(Cause::Rescued));
        requests.find(fast).unwrap().pending = GroupSet::new();
        assert_eq!(requests.useless(&have), [slow]);
        have.remove(range(0, 1));
        assert_eq!(requests.useless(&have), []);
        requests.remove(fast);
        assert_eq!(requests.of(SourceId(1)), [slow]);
        let later = Timestamp::from_micros(5_000_000);
        assert_eq!(
            requests.stuck(SourceId(1), Duration::from_secs(4), later),
            [slow]
        );
        assert_eq!(
            requests.stuck(SourceId(1), Duration::from_secs(6), later),
            []
        );
    }
}
