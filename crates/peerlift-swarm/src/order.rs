//! The open pieces in the order of their copies; among those of as many, in a random order that is
//! drawn once.
//!
//! The map of every peer that comes or goes moves up to all pieces by one copy, and in a sorted tree
//! that was most of what a large download computed: a search to take each piece out, and one to put it
//! back. Here a move is two bits. There is one shelf for each number of copies, one more than
//! there are peers at most, and on it one bit for each place in the random order.

use peerlift_model::PieceIndex;

use crate::bits::Bits;

/// How many copies of a piece there are, rounded up.
pub(crate) type Copies = u32;

/// Open pieces, rarest first.
#[derive(Debug)]
pub(crate) struct Order {
    /// Where each piece is in the random order.
    places: Vec<u32>,
    /// The random order.
    pieces: Vec<PieceIndex>,
    /// For each number of copies, the places of the open pieces that have so many.
    shelves: Vec<Bits>,
}

impl Order {
    /// No piece open; the random order is that of the `ranks`, of which each piece has one.
    pub(crate) fn new(ranks: impl Iterator<Item = u32>) -> Self {
        let mut ranked: Vec<(u32, PieceIndex)> = ranks.zip((0..).map(PieceIndex)).collect();
        ranked.sort_unstable();
        let pieces: Vec<PieceIndex> = ranked.into_iter().map(|(_, piece)| piece).collect();
        let mut places = vec![0; pieces.len()];
        for (place, piece) in (0..).zip(&pieces) {
            places[piece.0 as usize] = place;
        }
        Self {
            places,
            pieces,
            shelves: Vec::new(),
        }
    }

    /// Adds a piece of which there are so many copies.
    pub(crate) fn insert(&mut self, piece: PieceIndex, copies: Copies) {
        let place = self.place(piece);
        let shelf = copies as usize;
        while self.shelves.len() <= shelf {
            self.shelves.push(Bits::new(self.pieces.len()));
        }
        self.shelves[shelf].insert(place);
    }

    /// Takes out a piece of which there are so many copies; says whether it was in.
    pub(crate) fn remove(&mut self, piece: PieceIndex, copies: Copies) -> bool {
        let place = self.place(piece);
        let shelf = self.shelves.get_mut(copies as usize);
        shelf.is_some_and(|shelf| shelf.remove(place))
    }

    /// Those of which there are so many copies or more, rarest first.
    pub(crate) fn from(&self, copies: Copies) -> impl Iterator<Item = PieceIndex> {
        let shelves = self.shelves.iter().skip(copies as usize);
        shelves
            .flat_map(Bits::ascending)
            .map(|place| self.pieces[place])
    }

    /// All of them, commonest first.
    pub(crate) fn commonest_first(&self) -> impl Iterator<Item = PieceIndex> {
        let shelves = self.shelves.iter().rev();
        shelves
            .flat_map(Bits::descending)
            .map(|place| self.pieces[place])
    }

    fn place(&self, piece: PieceIndex) -> usize {
        self.places[piece.0 as usize] as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// Two pieces share a rank: the lower number goes first.
    const RANKS: [u32; 8] = [50, 7, 90, 7, 0, u32::MAX, 12, 13];

    #[test]
    fn among_equals_the_rank_decides() {
        let mut order = Order::new(RANKS.into_iter());
        (0..8).for_each(|piece| order.insert(PieceIndex(piece), 3));
        let pieces: Vec<u32> = order.from(0).map(|piece| piece.0).collect();
        assert_eq!(pieces, [4, 1, 3, 6, 7, 0, 2, 5]);
        assert_eq!(order.from(4).next(), None);
        assert_eq!(order.from(9).next(), None);
        assert!(!order.remove(PieceIndex(4), 9));
        assert!(order.remove(PieceIndex(4), 3));
        assert_eq!(order.commonest_first().last(), Some(PieceIndex(1)));
    }

    proptest! {
        #[test]
        fn equals_a_sorted_tree(steps in proptest::collection::vec((any::<bool>(), 0u32..8, 0u32..5), 0..60), least in 0u32..6) {
            let (mut order, mut model) = (Order::new(RANKS.into_iter()), BTreeSet::new());
            for (add, piece, copies) in steps {
                let (key, piece) = ((copies, RANKS[piece as usize], piece), PieceIndex(piece));
                if add {
                    order.insert(piece, copies);
                    model.insert(key);
                } else {
                    prop_assert_eq!(order.remove(piece, copies), model.remove(&key));
                }
            }
            let piece = |(_, _, piece): &(u32, u32, u32)| PieceIndex(*piece);
            prop_assert!(order.from(0).eq(model.iter().map(piece)));
            prop_assert!(order.from(least).eq(model.range((least, 0, 0)..).map(piece)));
            prop_assert!(order.commonest_first().eq(model.iter().rev().map(piece)));
        }
    }
}
