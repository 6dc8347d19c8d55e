//! Whom we serve, and in which order: unchoked peers, their queues, and the upload slots.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use peerlift_model::{GroupRange, Timestamp};

use crate::order::Copies;
use crate::{Limits, ServeId, SourceId};

/// The uploads of one object.
///
/// A bounded number runs at a time, so that each ends soon and what it brought can be passed on.
/// Peers take turns; within that, what only we have leaves first, because every further copy
/// of it is somebody else's upload.
#[derive(Debug)]
pub(crate) struct Serving {
    slots: usize,
    queue_max: usize,
    clients: BTreeMap<SourceId, Client>,
    /// The peer of each upload, waiting or running.
    peers: BTreeMap<ServeId, SourceId>,
    running: usize,
    turn: u64,
}

#[derive(Debug, Default)]
struct Client {
    waiting: VecDeque<(ServeId, GroupRange)>,
    running: usize,
    /// The turn at which it was last served; the smallest waits longest.
    served: u64,
}

impl Serving {
    /// Nobody asks.
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            slots: limits.serve_slots.max(1),
            queue_max: limits.serve_queue.max(1),
            clients: BTreeMap::new(),
            peers: BTreeMap::new(),
            running: 0,
            turn: 0,
        }
    }

    /// Puts an upload in its peer's queue; `false` when that is full.
    pub(crate) fn ask(&mut self, source: SourceId, serve: ServeId, groups: GroupRange) -> bool {
        let client = self.clients.entry(source).or_default();
        if client.waiting.len() >= self.queue_max || self.peers.contains_key(&serve) {
            return false;
        }
        client.waiting.push_back((serve, groups));
        self.peers.insert(serve, source);
        true
    }

    /// The next upload to start, while a slot is free. `copies` tells how many others have a range.
    pub(crate) fn next(&mut self, copies: impl Fn(GroupRange) -> Copies) -> Option<ServeId> {
        if self.running >= self.slots {
            return None;
        }
        let (_, _, _, source) = (self.clients.iter())
            .filter_map(|(source, client)| {
                let (_, groups) = client.waiting.front()?;
                // The asker does not have it; one copy more would not be ours alone.
                let common = copies(*groups) > 0;
                Some((client.running, common, client.served, *source))
            })
            .min()?;
        self.turn += 1;
        self.running += 1;
        let client = self.clients.get_mut(&source).expect("just seen");
        client.running += 1;
        client.served = self.turn;
        client.waiting.pop_front().map(|(serve, _)| serve)
    }

    /// An upload is over, in whatever state.
    pub(crate) fn ended(&mut self, serve: ServeId) {
        let Some(source) = self.peers.remove(&serve) else {
            return;
        };
        let client = self
            .clients
            .get_mut(&source)
            .expect("a peer of an upload has a queue");
        let waiting = client.waiting.len();
        client.waiting.retain(|(other, _)| *other != serve);
        if client.waiting.len() == waiting {
            client.running -= 1;
            self.running -= 1;
        }
    }

    /// A peer is gone with all its uploads.
    pub(crate) fn left(&mut self, source: SourceId) {
        if let Some(client) = self.clients.remove(&source) {
            self.running -= client.running;
            self.peers.retain(|_, of| *of != source);
        }
    }

    /// Takes out what waits, of one peer or of all, to be refused.
    pub(crate) fn refuse_waiting(&mut self, of: Option<SourceId>) -> Vec<ServeId> {
        let mut refused = Vec::new();
        for (source, client) in &mut self.clients {
            if of.is_none_or(|of| of == *source) {
                refused.extend(client.waiting.drain(..).map(|(serve, _)| serve));
            }
        }
        for serve in &refused {
            self.peers.remove(serve);
        }
        refused
    }

    /// The uploads that run. Meaningful after [`Serving::refuse_waiting`] of all, as nothing waits.
    pub(crate) fn all(&self) -> impl Iterator<Item = ServeId> {
        self.peers.keys().copied()
    }

    /// Whether the upload is known.
    pub(crate) fn knows(&self, serve: ServeId) -> bool {
        self.peers.contains_key(&serve)
    }

    /// Whether the peer has an upload running.
    pub(crate) fn is_serving(&self, source: SourceId) -> bool {
        self.clients
            .get(&source)
            .is_some_and(|client| client.running > 0)
    }

    /// The peers that wait for something, or get it.
    pub(crate) fn askers(&self) -> usize {
        let asks = |client: &&Client| client.running > 0 || !client.waiting.is_empty();
        self.clients.values().filter(asks).count()
    }

    /// How many run.
    pub(crate) fn running(&self) -> usize {
        self.running
    }

    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        self.peers.len() - self.running
    }
}

/// Which peers may ask us: everybody as long as there is room, in turns beyond that.
#[derive(Debug)]
pub(crate) struct Unchoker {
    places: usize,
    /// Peers with a place, and since when.
    unchoked: BTreeMap<SourceId, Timestamp>,
    /// Peers without, longest first.
    waiting: VecDeque<SourceId>,
    rotated: Timestamp,
}

impl Unchoker {
    /// How often one place goes to somebody else when there are too few: long enough to be worth
    /// the peer's slow start.
    const ROTATION: Duration = Duration::from_secs(10);

    /// Nobody is here.
    pub(crate) fn new(places: usize, now: Timestamp) -> Self {
        Self {
            places,
            unchoked: BTreeMap::new(),
            waiting: VecDeque::new(),
            rotated: now,
        }
    }

    /// A peer came, choked; [`Unchoker::fill`] may give it a place.
    pub(crate) fn join(&mut self, source: SourceId) {
        self.waiting.push_back(source);
    }

    /// A peer is gone.
    pub(crate) fn leave(&mut self, source: SourceId) {
        self.unchoked.remove(&source);
        self.waiting.retain(|other| *other != source);
    }

    /// Gives free places to those who wait; says to whom.
    pub(crate) fn fill(&mut self, now: Timestamp) -> Vec<SourceId> {
        let free = self
            .places
            .saturating_sub(self.unchoked.len())
            .min(self.waiting.len());
        let lucky: Vec<SourceId> = self.waiting.drain(..free).collect();
        self.unchoked
            .extend(lucky.iter().map(|source| (*source, now)));
        lucky
    }

    /// Takes the place of the peer that had one for longest, when it is time and somebody waits.
    pub(crate) fn rotate(
        &mut self,
        now: Timestamp,
        busy: impl Fn(SourceId) -> bool,
    ) -> Option<SourceId> {
        if self.waiting.is_empty() || now.since(self.rotated) < Self::ROTATION {
            return None;
        }
        self.rotated = now;
        let (_, _, oldest) = (self.unchoked.iter())
            .map(|(source, since)| (busy(*source), *since, *source))
            .min()?;
        self.unchoked.remove(&oldest);
        self.waiting.push_back(oldest);
        Some(oldest)
    }

    /// When a place may next go to somebody else.
    pub(crate) fn rotates_at(&self) -> Timestamp {
        self.rotated + Self::ROTATION
    }

    /// Takes every place; says whose.
    pub(crate) fn clear(&mut self) -> Vec<SourceId> {
        let choked: Vec<SourceId> = std::mem::take(&mut self.unchoked).into_keys().collect();
        self.waiting.extend(&choked);
        choked
    }

    /// Whether somebody waits for a place.
    pub(crate) fn is_crowded(&self) -> bool {
        !self.waiting.is_empty() && !self.unchoked.is_empty()
    }

    /// Whether the peer may ask us.
    pub(crate) fn is_unchoked(&self, source: SourceId) -> bool {
        self.unchoked.contains_key(&source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serving(slots: usize) -> Serving {
        Serving::new(&Limits {
            serve_slots: slots,
            serve_queue: 3,
            ..Limits::default()
        })
    }

    fn piece(at: u32) -> GroupRange {
        GroupRange::new(at, at + 1)
    }

    fn copies(_: GroupRange) -> Copies {
        1
    }

    #[test]
    fn peers_take_turns_and_slots_are_bounded() {
        let mut serving = serving(2);
        for n in 0..3 {
            assert!(serving.ask(SourceId(1), ServeId(10 + n), piece(0)));
            assert!(serving.ask(SourceId(2), ServeId(20 + n), piece(0)));
        }
        assert!(!serving.ask(SourceId(1), ServeId(13), piece(0)), "full");
        assert_eq!(serving.next(copies), Some(ServeId(10)));
        assert_eq!(serving.next(copies), Some(ServeId(20)));
        assert_eq!(serving.next(copies), None);
        serving.ended(ServeId(20));
        assert_eq!(
            serving.next(copies),
            Some(ServeId(21)),
            "1 is still being served"
        );
        serving.ended(ServeId(10));
        serving.ended(ServeId(21));
        assert_eq!(serving.next(copies), Some(ServeId(11)));
        assert_eq!((serving.running(), serving.waiting()), (1, 2));
    }

    #[test]
    fn what_only_we_have_leaves_first() {
        let mut serving = serving(1);
        assert!(serving.ask(SourceId(1), ServeId(1), piece(1)));
        assert!(serving.ask(SourceId(2), ServeId(2), piece(2)));
        let copies = |groups: GroupRange| u32::from(groups.start() == 1);
        assert_eq!(serving.next(copies), Some(ServeId(2)));
    }

    #[test]
    fn ends_are_counted_once_whoever_ends() {
        let mut serving = serving(2);
        assert!(serving.ask(SourceId(1), ServeId(1), piece(0)));
        assert!(serving.ask(SourceId(1), ServeId(2), piece(0)));
        assert!(
            !serving.ask(SourceId(2), ServeId(2), piece(0)),
            "a name is used once"
        );
        assert_eq!(serving.next(copies), Some(ServeId(1)));
        serving.ended(ServeId(2));
        serving.ended(ServeId(2));
        assert_eq!((serving.running(), serving.waiting()), (1, 0));
        serving.left(SourceId(1));
        serving.ended(ServeId(1));
        assert_eq!((serving.running(), serving.waiting()), (0, 0));
        assert!(serving.ask(SourceId(3), ServeId(5), piece(0)));
        assert_eq!(serving.refuse_waiting(None), [ServeId(5)]);
        assert_eq!(serving.waiting(), 0);
    }

    #[test]
    fn places_are_bounded_and_rotate() {
        let at = |secs: u64| Timestamp::from_micros(secs * 1_000_000);
        let mut unchoker = Unchoker::new(2, at(0));
        (0..3).for_each(|n| unchoker.join(SourceId(n)));
        assert_eq!(unchoker.fill(at(0)), [SourceId(0), SourceId(1)]);
        assert_eq!(unchoker.rotate(at(9), |_| false), None);
        assert_eq!(
            unchoker.rotate(at(10), |one| one == SourceId(0)),
            Some(SourceId(1))
        );
        assert_eq!(unchoker.fill(at(10)), [SourceId(2)]);
        unchoker.leave(SourceId(0));
        assert_eq!(unchoker.fill(at(11)), [SourceId(1)]);
        assert_eq!(unchoker.rotate(at(60), |_| false), None, "nobody waits");
        assert_eq!(unchoker.clear(), [SourceId(1), SourceId(2)]);
        assert!(!unchoker.is_unchoked(SourceId(2)));
    }
}
