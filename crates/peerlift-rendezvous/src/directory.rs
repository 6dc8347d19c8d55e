//! Object → the sessions that have some of it and serve it.

use std::collections::BTreeMap;

use peerlift_model::ObjectId;
use rand::RngExt;
use rand_pcg::Pcg64Mcg;

use crate::SessionId;

/// Who has what. Entries are added and removed in logarithmic time; a sample costs as much as it
/// is large, however many holders there are.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    objects: BTreeMap<ObjectId, Holders>,
}

#[derive(Debug, Default)]
struct Holders {
    /// In no particular order, so that one is drawn by its place.
    list: Vec<SessionId>,
    /// The place of each in the list.
    places: BTreeMap<SessionId, usize>,
    /// How many clients have been given a spread number.
    spread: u32,
}

impl Directory {
    /// Adds a holder; says nothing when it is there already.
    pub(crate) fn add(&mut self, object: ObjectId, session: SessionId) {
        let holders = self.objects.entry(object).or_default();
        if let std::collections::btree_map::Entry::Vacant(place) = holders.places.entry(session) {
            place.insert(holders.list.len());
            holders.list.push(session);
        }
    }

    /// Takes a holder out. An object without holders is forgotten with its spread numbers.
    pub(crate) fn remove(&mut self, object: ObjectId, session: SessionId) {
        let Some(holders) = self.objects.get_mut(&object) else {
            return;
        };
        if let Some(place) = holders.places.remove(&session) {
            holders.list.swap_remove(place);
            if let Some(moved) = holders.list.get(place) {
                holders.places.insert(*moved, place);
            }
        }
        if holders.list.is_empty() {
            self.objects.remove(&object);
        }
    }

    /// The next spread number of an object: 0, 1, 2, … Always 0 while nobody serves it: a client
    /// alone may begin anywhere, and questions for made-up objects leave no trace.
    pub(crate) fn next_spread(&mut self, object: ObjectId) -> u32 {
        let Some(holders) = self.objects.get_mut(&object) else {
            return 0;
        };
        let number = holders.spread;
        holders.spread = holders.spread.wrapping_add(1);
        number
    }

    /// How many holders an object has.
    pub(crate) fn count(&self, object: ObjectId) -> usize {
        self.objects
            .get(&object)
            .map_or(0, |holders| holders.list.len())
    }

    /// How many objects somebody has.
    pub(crate) fn objects(&self) -> usize {
        self.objects.len()
    }

    /// Draws holders at random without repetition, as many as `wanted` accepts up to `max`, looking
    /// at no more than four times as many plus a few.
    pub(crate) fn sample(
        &self,
        object: ObjectId,
        max: usize,
        rng: &mut Pcg64Mcg,
        mut wanted: impl FnMut(SessionId) -> bool,
    ) -> Vec<SessionId> {
        let Some(holders) = self.objects.get(&object) else {
            return Vec::new();
        };
        let count = holders.list.len();
        let looks = count.min(4 * max + LOOKS_SPARE);
        let mut chosen = Vec::new();
        // Fisher and Yates' shuffle, of which only the moved places are kept.
        let mut moved: BTreeMap<usize, usize> = BTreeMap::new();
        for at in 0..looks {
            if chosen.len() == max {
                break;
            }
            let drawn = rng.random_range(at..count);
            let index = moved.get(&drawn).copied().unwrap_or(drawn);
            let displaced = moved.get(&at).copied().unwrap_or(at);
            moved.insert(drawn, displaced);
            let session = holders.list[index];
            if wanted(session) {
                chosen.push(session);
            }
        }
        chosen
    }
}

/// Looks beyond four times the answer, for small swarms in which most holders are known already.
const LOOKS_SPARE: usize = 64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use rand::SeedableRng;

    use super::*;

    const OBJECT: ObjectId = ObjectId::new([1; 32]);

    fn rng() -> Pcg64Mcg {
        Pcg64Mcg::seed_from_u64(7)
    }

    proptest! {
        #[test]
        fn equals_a_set(steps in proptest::collection::vec((any::<bool>(), 0u64..20), 0..60)) {
            let (mut directory, mut model) = (Directory::default(), BTreeSet::new());
            for (add, session) in steps {
                if add {
                    directory.add(OBJECT, SessionId(session));
                    model.insert(SessionId(session));
                } else {
                    directory.remove(OBJECT, SessionId(session));
                    model.remove(&SessionId(session));
                }
                prop_assert_eq!(directory.count(OBJECT), model.len());
            }
            let all = directory.sample(OBJECT, 100, &mut rng(), |_| true);
            prop_assert_eq!(all.len(), model.len(), "nobody twice");
            prop_assert_eq!(BTreeSet::from_iter(all), model);
        }
    }

    #[test]
    fn samples_are_spread_over_all_holders() {
        let mut directory = Directory::default();
        for session in 0..1000 {
            directory.add(OBJECT, SessionId(session));
        }
        let mut rng = rng();
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            seen.extend(directory.sample(OBJECT, 40, &mut rng, |_| true));
        }
        assert!(
            seen.len() > 990,
            "8000 draws out of 1000 miss next to nobody: {}",
            seen.len()
        );
    }

    #[test]
    fn a_sample_looks_at_few_however_many_there_are() {
        let mut directory = Directory::default();
        for session in 0..100_000 {
            directory.add(OBJECT, SessionId(session));
        }
        let mut looks = 0;
        let none = directory.sample(OBJECT, 40, &mut rng(), |_| {
            looks += 1;
            false
        });
        assert!(none.is_empty());
        assert_eq!(looks, 4 * 40 + LOOKS_SPARE);
    }

    #[test]
    fn an_object_without_holders_is_forgotten() {
        let mut directory = Directory::default();
        directory.add(OBJECT, SessionId(1));
        assert_eq!(
            (directory.next_spread(OBJECT), directory.next_spread(OBJECT)),
            (0, 1)
        );
        directory.remove(OBJECT, SessionId(1));
        assert_eq!(directory.objects(), 0);
    }
}
