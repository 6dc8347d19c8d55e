//! What will happen, in order: the clock of a simulation.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use peerlift_model::Timestamp;

/// Events by time; those of one moment in the order in which they were put in.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Entry<E>>,
    posted: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at: Timestamp,
    number: u64,
    event: E,
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            posted: 0,
        }
    }

    pub(crate) fn post(&mut self, at: Timestamp, event: E) {
        self.posted += 1;
        let number = self.posted;
        self.heap.push(Entry { at, number, event });
    }

    pub(crate) fn next(&mut self) -> Option<(Timestamp, E)> {
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }

    /// How many events there have been.
    pub(crate) fn posted(&self) -> u64 {
        self.posted
    }
}

impl<E> Entry<E> {
    fn key(&self) -> (Timestamp, u64) {
        (self.at, self.number)
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    /// The earliest is the greatest: it leaves the heap first.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_in_order() {
        let mut queue = Queue::new();
        for (at, event) in [(5, 'b'), (1, 'a'), (5, 'c'), (9, 'd')] {
            queue.post(Timestamp::from_micros(at), event);
        }
        let order: String = std::iter::from_fn(|| queue.next().map(|(_, event)| event)).collect();
        assert_eq!((order.as_str(), queue.posted()), ("abcd", 4));
    }
}
