//! Things with names that are never taken for one another's, in one vector.

/// Names one thing of an [`Arena`]. A name outlives its thing: looking it up then finds nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    index: u32,
    generation: u32,
}

/// A vector whose places are used again under new names.
#[derive(Debug)]
pub(crate) struct Arena<T> {
    places: Vec<(u32, Option<T>)>,
    free: Vec<u32>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Arena<T> {
    pub(crate) fn add(&mut self, thing: T) -> Key {
        if let Some(index) = self.free.pop() {
            let place = &mut self.places[index as usize];
            place.1 = Some(thing);
            return Key {
                index,
                generation: place.0,
            };
        }
        let index = u32::try_from(self.places.len()).expect("fewer than 2³² things");
        self.places.push((0, Some(thing)));
        Key {
            index,
            generation: 0,
        }
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        let (generation, thing) = &self.places[key.index as usize];
        thing.as_ref().filter(|_| *generation == key.generation)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let (generation, thing) = &mut self.places[key.index as usize];
        thing.as_mut().filter(|_| *generation == key.generation)
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let (generation, thing) = &mut self.places[key.index as usize];
        if *generation != key.generation {
            return None;
        }
        let thing = thing.take()?;
        *generation = generation.wrapping_add(1);
        self.free.push(key.index);
        Some(thing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_name_finds_nothing() {
        let mut arena = Arena::default();
        let first = arena.add('a');
        assert_eq!(arena.remove(first), Some('a'));
        let second = arena.add('b');
        assert_eq!(first.index, second.index);
        assert_eq!((arena.get(first), arena.get(second)), (None, Some(&'b')));
        assert_eq!(arena.remove(first), None);
        *arena.get_mut(second).unwrap() = 'c';
        assert_eq!(arena.remove(second), Some('c'));
    }
}
