//! Whose announcements clients found to be untrue.
//!
//! A node cannot look whether a client has what it announces; those it sends there can. Each
//! complaint is of one peer and one object, and counts once for the prefix it comes from, so that
//! one household, or one machine with many keys, does not silence a neighbour. The shell has seen to
//! it that the one who complains was really sent there.
//!
//! It does not know the directory: `rendezvous` takes suspects out of it.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use peerlift_model::{ObjectId, PeerId, Timestamp};

use crate::Locality;

/// Prefixes that have to agree. Two may be the same person at home and at work.
const WITNESSES: usize = 3;

/// How long a complaint waits for others: as long as the ticket is good that it comes with.
const CASE_LIFE: Duration = Duration::from_secs(600);

/// How long a suspect is left out. Long beside a download, short beside a mistake.
const SUSPECT_FOR: Duration = Duration::from_secs(3600);

/// Objects after which a suspect is believed nothing.
const OBJECTS: usize = 3;

/// Cases at once, some 200 bytes each; further complaints are passed over until some are over.
const CASES_MAX: usize = 65_536;

/// What is said of one peer and one object.
#[derive(Debug)]
struct Case {
    /// Until when it lasts.
    until: Timestamp,
    /// Which prefixes complained; once there are [`WITNESSES`], the peer is a suspect.
    witnesses: Vec<Locality>,
}

impl Case {
    fn is_proven(&self) -> bool {
        self.witnesses.len() >= WITNESSES
    }
}

/// All that is complained of.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    cases: HashMap<(PeerId, ObjectId), Case>,
    /// For how many objects each is a suspect.
    suspects: HashMap<PeerId, usize>,
    /// When to look whether a case is over; one that went on in the meantime is put back.
    ends: BinaryHeap<Reverse<(Timestamp, PeerId, ObjectId)>>,
}

impl Complaints {
    /// Notes a complaint. Says whether the peer is a suspect from here on.
    pub(crate) fn note(
        &mut self,
        (peer, object): (PeerId, ObjectId),
        from: Locality,
        now: Timestamp,
    ) -> bool {
        let known = self.cases.contains_key(&(peer, object));
        if !known && self.cases.len() >= CASES_MAX {
            return false;
        }
        let case = self.cases.entry((peer, object)).or_insert(Case {
            until: now,
            witnesses: Vec::new(),
        });
        if case.is_proven() || case.witnesses.contains(&from) {
            return false;
        }
        case.witnesses.push(from);
        let proven = case.is_proven();
        case.until = now + if proven { SUSPECT_FOR } else { CASE_LIFE };
        if !known {
            self.ends.push(Reverse((case.until, peer, object)));
        }
        if proven {
            *self.suspects.entry(peer).or_default() += 1;
        }
        proven
    }

    /// Whether what a peer announces is not believed.
    pub(crate) fn doubt(&self, peer: PeerId, object: ObjectId) -> bool {
        // Most nodes have no suspects at all.
        let Some(objects) = self.suspects.get(&peer) else {
            return false;
        };
        let case = self.cases.get(&(peer, object));
        *objects >= OBJECTS || case.is_some_and(Case::is_proven)
    }

    /// How many peers are suspects.
    pub(crate) fn suspects(&self) -> usize {
        self.suspects.len()
    }

    /// When [`Self::next_over`] may have something to say.
    pub(crate) fn next_at(&self) -> Option<Timestamp> {
        self.ends.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next suspect whose time is over. Cases that came to nothing are forgotten on the way.
    pub(crate) fn next_over(&mut self, now: Timestamp) -> Option<PeerId> {
        while self.next_at()? <= now {
            let Reverse((_, peer, object)) = self.ends.pop()?;
            let until = self.cases.get(&(peer, object))?.until;
            if until > now {
                self.ends.push(Reverse((until, peer, object)));
                continue;
            }
            let case = self.cases.remove(&(peer, object))?;
            if case.is_proven() {
                self.clear(peer);
                return Some(peer);
            }
        }
        None
    }

    fn clear(&mut self, peer: PeerId) {
        if let Some(objects) = self.suspects.get_mut(&peer) {
            *objects -= 1;
            if *objects == 0 {
                self.suspects.remove(&peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Network;

    const LIAR: PeerId = PeerId::new([1; 32]);

    fn object(number: u8) -> ObjectId {
        ObjectId::new([number; 32])
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_secs(seconds)
    }

    fn prefix(number: u8) -> Locality {
        Locality::of(Some([198, 51, number, 0].into()), Network::default())
    }

    fn convict(complaints: &mut Complaints, number: u8, now: Timestamp) {
        for from in 0..3 {
            complaints.note((LIAR, object(number)), prefix(from), now);
        }
    }

    #[test]
    fn three_prefixes_make_a_suspect_and_one_alone_never_does() {
        let mut complaints = Complaints::default();
        let case = (LIAR, object(1));
        for _ in 0..10 {
            assert!(!complaints.note(case, prefix(1), at(0)));
        }
        assert!(!complaints.note(case, prefix(2), at(1)));
        assert!(!complaints.doubt(LIAR, object(1)));
        assert!(complaints.note(case, prefix(3), at(2)));
        assert!(complaints.doubt(LIAR, object(1)));
        assert!(!complaints.doubt(LIAR, object(2)), "only for that object");
        assert!(!complaints.note(case, prefix(4), at(3)), "already");
    }

    #[test]
    fn complaints_that_are_far_apart_do_not_add_up() {
        let mut complaints = Complaints::default();
        for from in 0..4 {
            let now = at(700 * u64::from(from));
            assert_eq!(complaints.next_over(now), None);
            assert!(!complaints.note((LIAR, object(1)), prefix(from), now));
        }
    }

    #[test]
    fn a_suspect_of_many_objects_is_believed_nothing_until_its_time_is_over() {
        let mut complaints = Complaints::default();
        for number in 1..=3 {
            convict(&mut complaints, number, at(0));
        }
        assert!(complaints.doubt(LIAR, object(9)));
        assert_eq!(complaints.suspects(), 1);
        // Looked at first when the case would have ended without a verdict.
        assert_eq!(complaints.next_over(at(600)), None);
        let over = std::iter::from_fn(|| complaints.next_over(at(3600)));
        assert_eq!(over.collect::<Vec<_>>(), [LIAR; 3]);
        assert!(!complaints.doubt(LIAR, object(1)));
        assert_eq!((complaints.suspects(), complaints.next_at()), (0, None));
    }

    #[test]
    fn there_are_so_many_cases_and_no_more() {
        let mut complaints = Complaints::default();
        for number in 0..=CASES_MAX {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(number as u64).to_be_bytes());
            complaints.note((PeerId::new(id), object(1)), prefix(1), at(0));
        }
        assert_eq!(complaints.cases.len(), CASES_MAX);
        convict(&mut complaints, 1, at(0));
        assert!(!complaints.doubt(LIAR, object(1)));
        assert_eq!(complaints.next_over(at(600)), None);
        convict(&mut complaints, 1, at(600));
        assert!(complaints.doubt(LIAR, object(1)));
    }
}
