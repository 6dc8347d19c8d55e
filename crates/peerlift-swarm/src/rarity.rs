//! How many connected peers have each piece, and which open piece is the rarest.
//!
//! Counted in groups a piece, so that a piece of which four peers have a quarter is as rare as one
//! that a single peer has whole. Peers that have everything are one number for all pieces: they
//! change nothing about the order. Ties are broken by a random rank a piece, drawn once: different
//! clients then fetch different pieces, and one client finishes the piece it has begun.

use peerlift_model::{GroupRange, Layout, PieceIndex};
use rand::RngExt;

use crate::order::{Copies, Order};

/// The pieces in the order in which peers should be asked for them.
#[derive(Debug)]
pub(crate) struct Rarity {
    layout: Layout,
    /// For each piece, the sum of the groups of it that peers have, complete peers apart.
    held: Vec<u32>,
    /// Open pieces, rarest first.
    order: Order,
    /// Peers that have everything.
    complete: u32,
}

impl Rarity {
    /// No peers, no piece open.
    pub(crate) fn new(layout: Layout, rng: &mut impl rand::Rng) -> Self {
        let pieces = layout.piece_count();
        Self {
            layout,
            held: vec![0; pieces as usize],
            order: Order::new((0..pieces).map(|_| rng.random())),
            complete: 0,
        }
    }

    /// Says whether a piece has open groups.
    pub(crate) fn set_open(&mut self, piece: PieceIndex, open: bool) {
        let copies = self.partial_copies(piece);
        if open {
            self.order.insert(piece, copies);
        } else {
            self.order.remove(piece, copies);
        }
    }

    /// A peer got groups that it did not have.
    pub(crate) fn add(&mut self, groups: GroupRange) {
        self.change(groups, u32::saturating_add);
    }

    /// A peer that had the groups is gone.
    pub(crate) fn subtract(&mut self, groups: GroupRange) {
        self.change(groups, u32::saturating_sub);
    }

    /// A peer that has everything came.
    pub(crate) fn add_complete(&mut self) {
        self.complete += 1;
    }

    /// A peer that has everything is gone.
    pub(crate) fn subtract_complete(&mut self) {
        self.complete = self.complete.saturating_sub(1);
    }

    /// How many peers have the piece.
    pub(crate) fn copies(&self, piece: PieceIndex) -> Copies {
        self.partial_copies(piece).saturating_add(self.complete)
    }

    /// The fewest copies among the pieces of a range; 0 for an empty one.
    pub(crate) fn fewest_copies(&self, groups: GroupRange) -> Copies {
        let pieces = self.pieces_of(groups);
        pieces.map(|piece| self.copies(piece)).min().unwrap_or(0)
    }

    /// Open pieces, rarest first.
    pub(crate) fn rarest_first(&self) -> impl Iterator<Item = PieceIndex> {
        self.order.from(0)
    }

    /// … that some peer has a part of, complete peers apart.
    pub(crate) fn rarest_first_held(&self) -> impl Iterator<Item = PieceIndex> {
        self.order.from(1)
    }

    /// Open pieces, commonest first.
    pub(crate) fn commonest_first(&self) -> impl Iterator<Item = PieceIndex> {
        self.order.commonest_first()
    }

    /// The pieces that a range touches.
    pub(crate) fn pieces_of(&self, groups: GroupRange) -> impl Iterator<Item = PieceIndex> + use<> {
        let a_piece = self.layout.groups_per_piece();
        let end = groups.end().div_ceil(a_piece);
        let start = if groups.is_empty() {
            end
        } else {
            groups.start() / a_piece
        };
        (start..end).map(PieceIndex)
    }

    fn partial_copies(&self, piece: PieceIndex) -> Copies {
        copies_in(self.held[piece.0 as usize], self.layout.groups_of(piece))
    }

    fn change(&mut self, groups: GroupRange, apply: impl Fn(u32, u32) -> u32) {
        for piece in self.pieces_of(groups) {
            let of_piece = self.layout.groups_of(piece);
            let by = of_piece.intersection(groups).len();
            let held = &mut self.held[piece.0 as usize];
            let before = copies_in(*held, of_piece);
            *held = apply(*held, by);
            let after = copies_in(*held, of_piece);
            if before != after && self.order.remove(piece, before) {
                self.order.insert(piece, after);
            }
        }
    }
}

fn copies_in(held: u32, of_piece: GroupRange) -> Copies {
    held.div_ceil(of_piece.len().max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand_pcg::Pcg32;

    use super::*;

    /// Ten pieces of four groups, the last with two.
    fn rarity() -> Rarity {
        let layout = Layout::new(38 * 16 * 1024).unwrap();
        assert_eq!((layout.groups_per_piece(), layout.piece_count()), (4, 10));
        let mut rarity = Rarity::new(layout, &mut Pcg32::seed_from_u64(1));
        (0..10).for_each(|piece| rarity.set_open(PieceIndex(piece), true));
        rarity
    }

    #[test]
    fn what_nobody_has_comes_first_and_complete_peers_change_nothing() {
        let mut rarity = rarity();
        let before: Vec<_> = rarity.rarest_first().collect();
        rarity.add_complete();
        assert_eq!(before, rarity.rarest_first().collect::<Vec<_>>());
        assert_eq!(rarity.copies(PieceIndex(3)), 1);
        rarity.add(GroupRange::new(0, 37));
        assert_eq!(rarity.copies(PieceIndex(9)), 2);
        rarity.subtract(GroupRange::new(12, 16));
        assert_eq!(rarity.rarest_first().next(), Some(PieceIndex(3)));
        assert_eq!(rarity.fewest_copies(GroupRange::new(8, 13)), 1);
        assert_eq!(rarity.fewest_copies(GroupRange::new(8, 12)), 2);
        rarity.set_open(PieceIndex(3), false);
        assert_ne!(rarity.rarest_first().next(), Some(PieceIndex(3)));
    }

    #[test]
    fn clients_break_ties_differently() {
        let order = |seed| {
            let layout = Layout::new(64 << 20).unwrap();
            let mut rarity = Rarity::new(layout, &mut Pcg32::seed_from_u64(seed));
            (0..1024).for_each(|piece| rarity.set_open(PieceIndex(piece), true));
            rarity.rarest_first().take(8).collect::<Vec<_>>()
        };
        assert_ne!(order(1), order(2));
        assert_eq!(order(1), order(1));
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_the_copies(sets in proptest::collection::vec((0u32..38, 1u32..38), 0..12), gone in 0usize..12) {
            let mut rarity = rarity();
            let ranges: Vec<_> = sets.iter().map(|(s, l)| GroupRange::new(*s, (s + l).min(38))).collect();
            ranges.iter().for_each(|range| rarity.add(*range));
            ranges.iter().take(gone).for_each(|range| rarity.subtract(*range));
            let mut model = [0u32; 10];
            for range in ranges.iter().skip(gone) {
                range.iter().for_each(|g| model[g.0 as usize / 4] += 1);
            }
            let copies = |piece: PieceIndex| model[piece.0 as usize].div_ceil(if piece.0 == 9 { 2 } else { 4 });
            let order: Vec<_> = rarity.rarest_first().collect();
            prop_assert_eq!(order.len(), 10);
            prop_assert!(order.windows(2).all(|w| copies(w[0]) <= copies(w[1])));
            prop_assert!(order.iter().all(|piece| rarity.copies(*piece) == copies(*piece)));
            let held: Vec<_> = order.iter().copied().filter(|piece| copies(*piece) > 0).collect();
            prop_assert!(rarity.rarest_first_held().eq(held));
            prop_assert!(rarity.commonest_first().eq(order.into_iter().rev()));
        }
    }
}
