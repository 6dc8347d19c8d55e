//! A set of numbers below a bound, which are changed one by one and walked in order.
//!
//! One bit a number; above every 64 words lies one that says which of them are not empty, and so on
//! up to a single word. A change touches one word as a rule, and the next member is as near in an
//! almost empty set as in a full one.

/// Some of the numbers below the bound.
#[derive(Debug)]
pub(crate) struct Bits {
    /// The members; then, for each level, which words of the one before it are not empty.
    levels: Vec<Vec<u64>>,
}

const WORD: usize = u64::BITS as usize;

impl Bits {
    /// None of the numbers below `bound`.
    pub(crate) fn new(bound: usize) -> Self {
        let mut levels = Vec::new();
        let mut words = bound.div_ceil(WORD);
        while words > 0 {
            levels.push(vec![0; words]);
            words = if words > 1 { words.div_ceil(WORD) } else { 0 };
        }
        Self { levels }
    }

    /// Puts a number in, which must be below the bound.
    pub(crate) fn insert(&mut self, number: usize) {
        let mut at = number;
        for level in &mut self.levels {
            let word = &mut level[at / WORD];
            let was_empty = *word == 0;
            *word |= bit(at);
            if !was_empty {
                break;
            }
            at /= WORD;
        }
    }

    /// Takes a number out, which must be below the bound; says whether it was in.
    pub(crate) fn remove(&mut self, number: usize) -> bool {
        let was_in =
            (self.levels.first()).is_some_and(|level| level[number / WORD] & bit(number) != 0);
        if !was_in {
            return false;
        }
        let mut at = number;
        for level in &mut self.levels {
            let word = &mut level[at / WORD];
            *word &= !bit(at);
            if *word != 0 {
                break;
            }
            at /= WORD;
        }
        true
    }

    /// The members, smallest first.
    pub(crate) fn ascending(&self) -> impl Iterator<Item = usize> {
        std::iter::successors(self.first_from(0), |at| self.first_from(at + 1))
    }

    /// The members, largest first.
    pub(crate) fn descending(&self) -> impl Iterator<Item = usize> {
        let bound = self.levels.first().map_or(0, |level| level.len() * WORD);
        std::iter::successors(self.last_before(bound), |at| self.last_before(*at))
    }

    /// The smallest member that is not below `from`.
    fn first_from(&self, from: usize) -> Option<usize> {
        let mut at = from;
        for (height, level) in self.levels.iter().enumerate() {
            let rest = level.get(at / WORD)? & (u64::MAX << (at % WORD));
            if rest != 0 {
                let found = at / WORD * WORD + rest.trailing_zeros() as usize;
                let below = self.levels[..height].iter().rev();
                return Some(below.fold(found, |word, level| {
                    word * WORD + level[word].trailing_zeros() as usize
                }));
            }
            at = at / WORD + 1;
        }
        None
    }

    /// The largest member below `end`.
    fn last_before(&self, end: usize) -> Option<usize> {
        let mut end = end;
        for (height, level) in self.levels.iter().enumerate() {
            let last = end.checked_sub(1)?;
            let rest = level[last / WORD] & (u64::MAX >> (WORD - 1 - last % WORD));
            if rest != 0 {
                let found = last / WORD * WORD + rest.ilog2() as usize;
                let below = self.levels[..height].iter().rev();
                return Some(below.fold(found, |word, level| {
                    word * WORD + level[word].ilog2() as usize
                }));
            }
            end = last / WORD;
        }
        None
    }
}

fn bit(at: usize) -> u64 {
    1 << (at % WORD)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_set_without_room_is_empty() {
        let none = Bits::new(0);
        assert_eq!(none.ascending().next(), None);
        assert_eq!(none.descending().next(), None);
    }

    #[test]
    fn the_last_number_of_every_level_fits() {
        for bound in [1, 64, 65, 4096, 4097, 262_144, 262_145] {
            let mut bits = Bits::new(bound);
            bits.insert(bound - 1);
            assert_eq!(bits.ascending().collect::<Vec<_>>(), [bound - 1]);
            assert_eq!(bits.descending().collect::<Vec<_>>(), [bound - 1]);
            assert!(bits.remove(bound - 1) && !bits.remove(bound - 1));
            assert_eq!(bits.ascending().next(), None);
        }
    }

    proptest! {
        /// Bounds of one to three levels.
        #[test]
        fn equals_a_sorted_set(
            bound in prop::sample::select(vec![1usize, 63, 64, 130, 4096, 10_000]),
            steps in proptest::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..200),
        ) {
            let (mut bits, mut model) = (Bits::new(bound), BTreeSet::new());
            for (add, at) in steps {
                let number = at.index(bound);
                if add {
                    bits.insert(number);
                    model.insert(number);
                } else {
                    prop_assert_eq!(bits.remove(number), model.remove(&number));
                }
                prop_assert!(bits.ascending().eq(model.iter().copied()));
                prop_assert!(bits.descending().eq(model.iter().rev().copied()));
            }
        }
    }
}
