//! The holders of one object, sorted by place, four bytes each.
//!
//! Sorted, because then everybody in the same site, prefix, AS or country is one range of ranks,
//! and a random holder of that range is one random number. Small swarms are one sorted list;
//! larger ones a row of lists of at most [`CHUNK_MAX`], whose lengths are summed in a Fenwick tree
//! (Fenwick 1994, "A new data structure for cumulative frequency tables"), so that adding,
//! removing, counting below a place and finding by rank all take a number of steps that grows
//! with the logarithm. Where each list begins is kept beside the row, so that finding one reads no
//! list: with many holders every list is far from the processor.
//!
//! It does not know what a place is or who holds what: places are handed in by seat.

use std::ops::{Range, RangeInclusive};

use crate::Locality;

/// One list of holders. 256 entries, 1 KiB: moving half of it costs less than a cache miss or two.
const CHUNK_MAX: usize = 256;

/// Lists that are smaller than this join a neighbour.
const CHUNK_MIN: usize = CHUNK_MAX / 4;

/// The number of a session's place in memory; reused when the session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Seat(pub(crate) u32);

impl Seat {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A seat, and in the top bit whether it has all of the object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder(u32);

const COMPLETE: u32 = 1 << 31;

/// The most seats: what is left beside the top bit.
pub(crate) const SEATS_MAX: u32 = COMPLETE;

impl Holder {
    pub(crate) fn new(seat: Seat, complete: bool) -> Self {
        debug_assert!(seat.0 < SEATS_MAX);
        Self(seat.0 | if complete { COMPLETE } else { 0 })
    }

    pub(crate) fn seat(self) -> Seat {
        Seat(self.0 & !COMPLETE)
    }

    pub(crate) fn is_complete(self) -> bool {
        self.0 & COMPLETE != 0
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) enum Holders {
    Few(Vec<Holder>),
    Many(Box<Chunks>),
}

impl Default for Holders {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Holders {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few(list) => list.len(),
            Self::Many(chunks) => chunks.len,
        }
    }

    /// Adds a holder, or notes anew how much of the object it has. Says whether it is new.
    pub(crate) fn add(&mut self, holder: Holder, places: &[Locality]) -> bool {
        match self {
            Self::Few(list) => {
                let added = add_sorted(list, holder, places);
                if list.len() > CHUNK_MAX {
                    *self = Self::Many(Box::new(Chunks::split(std::mem::take(list), places)));
                }
                added
            }
            Self::Many(chunks) => chunks.add(holder, places),
        }
    }

    /// Takes a holder out. Says whether it was there.
    pub(crate) fn remove(&mut self, seat: Seat, places: &[Locality]) -> bool {
        match self {
            Self::Few(list) => {
                let removed = remove_sorted(list, seat, places);
                if list.capacity() > 4 * (list.len() + 1) {
                    list.shrink_to(2 * list.len());
                }
                removed
            }
            Self::Many(chunks) => {
                let removed = chunks.remove(seat, places);
                if let [one] = &mut chunks.lists[..] {
                    *self = Self::Few(std::mem::take(one));
                }
                removed
            }
        }
    }

    /// The ranks of the holders whose places are in the range.
    pub(crate) fn ranks(
        &self,
        range: &RangeInclusive<Locality>,
        places: &[Locality],
    ) -> Range<u32> {
        let before = |place: Locality| place < *range.start();
        let until = |place: Locality| place <= *range.end();
        match self {
            Self::Few(list) => count(list, before, places)..count(list, until, places),
            Self::Many(chunks) => chunks.count(before, places)..chunks.count(until, places),
        }
    }

    /// The holder of that rank.
    pub(crate) fn at(&self, rank: u32) -> Option<Holder> {
        match self {
            Self::Few(list) => list.get(rank as usize).copied(),
            Self::Many(chunks) => chunks.at(rank),
        }
    }

    /// All of them, by place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Holder> + '_ {
        let (few, many) = match self {
            Self::Few(list) => (&list[..], &[][..]),
            Self::Many(chunks) => (&[][..], &chunks.lists[..]),
        };
        few.iter().chain(many.iter().flatten()).copied()
    }
}

fn key(seat: Seat, places: &[Locality]) -> (Locality, Seat) {
    (places[seat.index()], seat)
}

fn find(list: &[Holder], seat: Seat, places: &[Locality]) -> Result<usize, usize> {
    let wanted = key(seat, places);
    list.binary_search_by(|holder| key(holder.seat(), places).cmp(&wanted))
}

/// How many of a list come before the first whose place is not `before`.
fn count(list: &[Holder], before: impl Fn(Locality) -> bool, places: &[Locality]) -> u32 {
    let before = |holder: &Holder| before(places[holder.seat().index()]);
    narrow(list.partition_point(before))
}

fn add_sorted(list: &mut Vec<Holder>, holder: Holder, places: &[Locality]) -> bool {
    match find(list, holder.seat(), places) {
        Ok(at) => {
            list[at] = holder;
            false
        }
        Err(at) => {
            if list.len() == list.capacity() {
                // A quarter more, not twice as much: most of the memory of a directory is here.
                list.reserve_exact(1 + list.len() / 4);
            }
            list.insert(at, holder);
            true
        }
    }
}

fn remove_sorted(list: &mut Vec<Holder>, seat: Seat, places: &[Locality]) -> bool {
    find(list, seat, places).is_ok_and(|at| {
        list.remove(at);
        true
    })
}

/// A row of sorted lists, none of them empty.
#[derive(Debug)]
pub(crate) struct Chunks {
    lists: Vec<Vec<Holder>>,
    /// Of each list the first key.
    firsts: Vec<(Locality, Seat)>,
    /// Fenwick tree over the lengths of the lists.
    sums: Vec<u32>,
    len: usize,
}

impl Chunks {
    fn split(mut list: Vec<Holder>, places: &[Locality]) -> Self {
        let upper = list.split_off(list.len() / 2);
        let first = |list: &[Holder]| key(list[0].seat(), places);
        let mut chunks = Self {
            len: list.len() + upper.len(),
            firsts: vec![first(&list), first(&upper)],
            lists: vec![list, upper],
            sums: Vec::new(),
        };
        chunks.sum_up();
        chunks
    }

    /// The list in which a key belongs.
    fn list_of(&self, seat: Seat, places: &[Locality]) -> usize {
        let wanted = key(seat, places);
        let after = self.firsts.partition_point(|first| *first <= wanted);
        after.saturating_sub(1)
    }

    /// Notes where a list begins.
    fn note_first(&mut self, at: usize, places: &[Locality]) {
        if let Some(first) = self.lists[at].first() {
            self.firsts[at] = key(first.seat(), places);
        }
    }

    fn insert(&mut self, at: usize, list: Vec<Holder>, places: &[Locality]) {
        self.firsts.insert(at, key(list[0].seat(), places));
        self.lists.insert(at, list);
    }

    fn add(&mut self, holder: Holder, places: &[Locality]) -> bool {
        let at = self.list_of(holder.seat(), places);
        let list = &mut self.lists[at];
        if !add_sorted(list, holder, places) {
            return false;
        }
        self.len += 1;
        if list.len() > CHUNK_MAX {
            let mut upper = list.split_off(list.len() / 2);
            list.shrink_to_fit();
            upper.shrink_to_fit();
            self.insert(at + 1, upper, places);
            self.sum_up();
        } else {
            self.shift(at, 1);
        }
        self.note_first(at, places);
        true
    }

    fn remove(&mut self, seat: Seat, places: &[Locality]) -> bool {
        let at = self.list_of(seat, places);
        let list = &mut self.lists[at];
        if !remove_sorted(list, seat, places) {
            return false;
        }
        self.len -= 1;
        if list.len() < CHUNK_MIN && self.lists.len() > 1 {
            self.join(at, places);
        } else {
            self.shift(at, u32::MAX);
            self.note_first(at, places);
        }
        true
    }

    /// Joins a list with a neighbour; together they are split again if they are too many.
    fn join(&mut self, at: usize, places: &[Locality]) {
        let left = at.min(self.lists.len() - 2);
        let right = self.lists.remove(left + 1);
        self.firsts.remove(left + 1);
        let list = &mut self.lists[left];
        list.extend(right);
        if list.len() > CHUNK_MAX {
            let mut upper = list.split_off(list.len() / 2);
            upper.shrink_to_fit();
            self.insert(left + 1, upper, places);
        }
        self.lists[left].shrink_to_fit();
        self.note_first(left, places);
        self.sum_up();
    }

    /// How many come before the first whose place is not `before`.
    fn count(&self, before: impl Fn(Locality) -> bool, places: &[Locality]) -> u32 {
        let after = self.firsts.partition_point(|(place, _)| before(*place));
        let Some(at) = after.checked_sub(1) else {
            return 0;
        };
        self.sum_until(at) + count(&self.lists[at], before, places)
    }

    fn at(&self, rank: u32) -> Option<Holder> {
        let (mut at, mut rest) = (0, rank);
        let mut step = self.sums.len().next_power_of_two();
        while step > 0 {
            // Without a branch: which way it goes is random, and a wrong guess costs more.
            let sum = self.sums.get(at + step - 1).copied().unwrap_or(u32::MAX);
            let right = sum <= rest;
            at += if right { step } else { 0 };
            rest -= if right { sum } else { 0 };
            step /= 2;
        }
        self.lists.get(at)?.get(rest as usize).copied()
    }

    fn sum_up(&mut self) {
        self.sums.clear();
        self.sums
            .extend(self.lists.iter().map(|list| narrow(list.len())));
        for at in 0..self.sums.len() {
            let parent = at | (at + 1);
            if parent < self.sums.len() {
                self.sums[parent] += self.sums[at];
            }
        }
    }

    /// Adds to the length of a list; `u32::MAX` takes one away.
    fn shift(&mut self, mut at: usize, by: u32) {
        while let Some(sum) = self.sums.get_mut(at) {
            *sum = sum.wrapping_add(by);
            at |= at + 1;
        }
    }

    /// The lengths of all lists before this one.
    fn sum_until(&self, mut at: usize) -> u32 {
        let mut sum = 0;
        while at > 0 {
            sum += self.sums[at - 1];
            at &= at - 1;
        }
        sum
    }
}

/// A directory has fewer holders of an object than seats, and of these there are fewer than 2³¹.
fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::{Level, Network};

    /// Seats spread over a few sites, networks and countries, in no order.
    fn places(count: u32) -> Vec<Locality> {
        let place = |seat: u32| {
            let mixed = seat.wrapping_mul(2_654_435_761);
            let [a, b, c, d] = mixed.to_be_bytes();
            let network = Network {
                asn: u32::from(b % 5),
                country: [b'A' + a % 3, b'A'],
            };
            Locality::of(Some([10, a % 4, c % 8, d % 4].into()), network)
        };
        (0..count).map(place).collect()
    }

    /// The same as [`Holders`], obvious and slow.
    #[derive(Default)]
    struct Model(BTreeSet<(Locality, Seat)>);

    fn check(holders: &Holders, model: &Model, places: &[Locality]) {
        assert_eq!(holders.len(), model.0.len());
        let seats: Vec<Seat> = holders.iter().map(Holder::seat).collect();
        let wanted: Vec<Seat> = model.0.iter().map(|(_, seat)| *seat).collect();
        assert_eq!(seats, wanted);
        for (rank, seat) in (0..).zip(&wanted) {
            assert_eq!(holders.at(rank).map(Holder::seat), Some(*seat));
        }
        assert_eq!(holders.at(narrow(wanted.len())), None);
        for level in Level::ALL {
            let Some(range) = places[0].surroundings(level) else {
                continue;
            };
            let ranks = holders.ranks(&range, places);
            let inside = wanted.iter().map(|seat| places[seat.index()]);
            let inside = inside.filter(|place| range.contains(place)).count();
            assert_eq!(ranks.len(), inside, "{level:?}");
            for rank in ranks {
                let seat = holders.at(rank).unwrap().seat();
                assert!(range.contains(&places[seat.index()]));
            }
        }
    }

    proptest! {
        #[test]
        fn equals_a_sorted_set(steps in proptest::collection::vec((0u8..3, 0u32..40), 0..120)) {
            let places = places(40);
            let (mut holders, mut model) = (Holders::default(), Model::default());
            for (kind, seat) in steps {
                let seat = Seat(seat);
                if kind > 0 {
                    let new = model.0.insert(key(seat, &places));
                    prop_assert_eq!(holders.add(Holder::new(seat, kind > 1), &places), new);
                } else {
                    let was = model.0.remove(&key(seat, &places));
                    prop_assert_eq!(holders.remove(seat, &places), was);
                }
            }
            check(&holders, &model, &places);
        }
    }

    #[test]
    fn grows_and_shrinks_through_all_its_forms() {
        const COUNT: u32 = 5000;
        let places = places(COUNT);
        let (mut holders, mut model) = (Holders::default(), Model::default());
        let order = |step: u32| Seat(step.wrapping_mul(1013) % COUNT);
        for step in 0..COUNT {
            assert!(holders.add(Holder::new(order(step), false), &places));
            model.0.insert(key(order(step), &places));
            if step % 499 == 0 {
                check(&holders, &model, &places);
            }
        }
        assert!(matches!(holders, Holders::Many(_)));
        for step in 0..COUNT {
            assert!(holders.remove(order(step), &places));
            model.0.remove(&key(order(step), &places));
            if step % 499 == 0 || step + 300 > COUNT {
                check(&holders, &model, &places);
            }
        }
        assert!(matches!(holders, Holders::Few(_)));
    }

    #[test]
    fn what_is_said_last_of_completeness_counts() {
        let places = places(1);
        let mut holders = Holders::default();
        assert!(holders.add(Holder::new(Seat(0), false), &places));
        assert!(!holders.add(Holder::new(Seat(0), true), &places));
        assert!(holders.at(0).unwrap().is_complete());
    }
}
