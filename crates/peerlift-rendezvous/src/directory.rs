//! Object → its holders and the number of clients that have to do with it.
//!
//! Objects get small numbers, so that a session remembers what it holds in a few bytes each. An
//! object is forgotten when nobody has to do with it any longer.

use std::collections::HashMap;

use peerlift_model::ObjectId;

use crate::holders::Holders;

/// The number of an object in memory; reused when nobody has to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ObjectIndex(u32);

/// What a node knows of one object.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) id: ObjectId,
    pub(crate) holders: Holders,
    /// How many sessions have to do with it, holders among them.
    interested: u32,
    /// How many clients have been given a spread number.
    spread: u32,
}

/// Who has what.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    numbers: HashMap<ObjectId, ObjectIndex>,
    objects: Vec<Object>,
    free: Vec<ObjectIndex>,
    /// Objects with holders, and holders of all objects together.
    served: usize,
    entries: usize,
}

impl Directory {
    pub(crate) fn find(&self, id: ObjectId) -> Option<ObjectIndex> {
        self.numbers.get(&id).copied()
    }

    pub(crate) fn object(&self, index: ObjectIndex) -> &Object {
        &self.objects[index.0 as usize]
    }

    /// One more session has to do with an object.
    pub(crate) fn enter(&mut self, id: ObjectId) -> ObjectIndex {
        if let Some(index) = self.numbers.get(&id).copied() {
            self.objects[index.0 as usize].interested += 1;
            return index;
        }
        let object = Object {
            id,
            holders: Holders::default(),
            interested: 1,
            spread: 0,
        };
        let index = if let Some(index) = self.free.pop() {
            self.objects[index.0 as usize] = object;
            index
        } else {
            // Fewer than sessions times objects of one; 2³² of them need 300 GiB before this.
            let index = ObjectIndex(u32::try_from(self.objects.len()).unwrap_or(u32::MAX));
            self.objects.push(object);
            index
        };
        self.numbers.insert(id, index);
        index
    }

    /// A session has no more to do with an object.
    pub(crate) fn leave(&mut self, index: ObjectIndex) {
        let object = &mut self.objects[index.0 as usize];
        object.interested -= 1;
        if object.interested == 0 {
            self.numbers.remove(&object.id);
            object.holders = Holders::default();
            self.free.push(index);
        }
    }

    /// Changes the holders of an object.
    pub(crate) fn change<R>(
        &mut self,
        index: ObjectIndex,
        change: impl FnOnce(&mut Holders) -> R,
    ) -> R {
        let holders = &mut self.objects[index.0 as usize].holders;
        let before = holders.len();
        let result = change(holders);
        let after = holders.len();
        self.entries = self.entries + after - before;
        self.served += usize::from(before == 0 && after > 0);
        self.served -= usize::from(before > 0 && after == 0);
        result
    }

    /// The next spread number of an object: 0, 1, 2, … The first client asks before it serves anything,
    /// and its number is taken all the same: the second would begin where it did.
    pub(crate) fn next_spread(&mut self, index: ObjectIndex) -> u32 {
        let object = &mut self.objects[index.0 as usize];
        let number = object.spread;
        object.spread = object.spread.wrapping_add(1);
        number
    }

    /// How many holders an object has.
    pub(crate) fn count(&self, id: ObjectId) -> usize {
        self.find(id)
            .map_or(0, |index| self.object(index).holders.len())
    }

    /// How many objects somebody serves.
    pub(crate) fn served(&self) -> usize {
        self.served
    }

    /// Holders of all objects together.
    pub(crate) fn entries(&self) -> usize {
        self.entries
    }

    /// An object that somebody has to do with, by any number; `None` now and then.
    pub(crate) fn draw(&self, number: u64) -> Option<&Object> {
        let count = u64::try_from(self.objects.len()).unwrap_or(u64::MAX);
        let at = number.checked_rem(count)?;
        let object = self.objects.get(usize::try_from(at).ok()?)?;
        (object.holders.len() > 0).then_some(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Locality;
    use crate::holders::{Holder, Seat};

    const A: ObjectId = ObjectId::new([1; 32]);
    const B: ObjectId = ObjectId::new([2; 32]);

    #[test]
    fn counts_follow_the_holders() {
        let places = [Locality::default(); 2];
        let mut directory = Directory::default();
        let a = directory.enter(A);
        for seat in [Seat(0), Seat(1)] {
            directory.change(a, |it| it.add(Holder::new(seat, true), &places));
        }
        assert_eq!((directory.served(), directory.entries()), (1, 2));
        for seat in [Seat(0), Seat(1)] {
            directory.change(a, |it| it.remove(seat, &places));
        }
        assert_eq!((directory.served(), directory.entries()), (0, 0));
    }

    #[test]
    fn everybody_who_has_to_do_with_an_object_counts() {
        let mut directory = Directory::default();
        let (a, b) = (directory.enter(A), directory.enter(B));
        assert_eq!((directory.next_spread(a), directory.next_spread(a)), (0, 1));
        assert_eq!(directory.next_spread(b), 0);
        directory.leave(a);
        let again = directory.enter(A);
        assert_eq!(
            directory.next_spread(again),
            0,
            "forgotten with the last of them"
        );
    }

    #[test]
    fn an_object_nobody_has_to_do_with_is_forgotten_and_its_number_reused() {
        let mut directory = Directory::default();
        let a = directory.enter(A);
        assert_eq!(directory.enter(A), a);
        directory.leave(a);
        assert_eq!(directory.find(A), Some(a));
        directory.leave(a);
        assert_eq!(directory.find(A), None);
        assert_eq!(directory.enter(B), a);
    }
}
