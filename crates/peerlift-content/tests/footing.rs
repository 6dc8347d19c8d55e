//! Proofs that begin at what is known: they are short, whole, and nothing but the truth gets through.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::collections::BTreeSet;

use common::{Object, SIZES};
use peerlift_content::{Corrupt, Footing, Item, NODE_BYTES, RangeDecoder, Tree, encode_range};
use peerlift_model::{GROUP_BYTES, GroupIndex, GroupRange, Height, Layout};
use proptest::prelude::*;

/// The receiving side: the parents it has verified, in its own outboard.
struct Receiver<'a> {
    object: &'a Object,
    known: BTreeSet<u32>,
    outboard: Vec<u8>,
}

impl<'a> Receiver<'a> {
    fn new(object: &'a Object) -> Self {
        let outboard = vec![0; object.outboard.len()];
        Self {
            object,
            known: BTreeSet::new(),
            outboard,
        }
    }

    fn footing(&self, groups: GroupRange) -> Footing {
        let known = |node| self.known.contains(&node);
        let (root, layout) = (self.object.root, self.object.layout);
        Footing::find(root, layout, groups, &self.outboard, known).unwrap()
    }

    /// Takes an encoding in; returns the data.
    fn take(&mut self, footing: Footing, encoded: &[u8]) -> Result<Vec<u8>, Corrupt> {
        let mut decoder = RangeDecoder::on(footing);
        let (mut data, mut rest) = (Vec::new(), encoded);
        while let Some(len) = decoder.next_len() {
            let (next, after) = rest.split_at(len.min(rest.len()));
            match decoder.accept(next)? {
                Item::Parent {
                    outboard_offset,
                    pair,
                    ..
                } => {
                    let at = usize::try_from(outboard_offset).unwrap();
                    assert_eq!(pair, self.object.outboard[at..at + 64]);
                    self.outboard[at..at + 64].copy_from_slice(&pair);
                    let node = u32::try_from(outboard_offset / NODE_BYTES).unwrap();
                    self.known.insert(node);
                }
                Item::Group { .. } => data.extend_from_slice(next),
            }
            rest = after;
        }
        assert!(rest.is_empty(), "nothing is sent that is not read");
        Ok(data)
    }
}

fn encode(object: &Object, groups: GroupRange, from: Height) -> Vec<u8> {
    let mut encoded = Vec::new();
    let (data, outboard) = (&object.data, &object.outboard);
    let asked = (groups, from);
    encode_range(
        object.root,
        object.layout,
        asked,
        data,
        outboard,
        &mut encoded,
    )
    .unwrap();
    encoded
}

fn bytes(object: &Object, groups: GroupRange) -> &[u8] {
    let bytes = object.layout.bytes_of(groups);
    let at = |offset: u64| usize::try_from(offset).unwrap();
    &object.data[at(bytes.start())..at(bytes.end())]
}

/// Ranges of groups, as fractions of an object.
fn ranges() -> impl Strategy<Value = Vec<(f64, f64)>> {
    proptest::collection::vec((0.0..1.0, 0.0..0.5), 1..12)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small"
)]
fn range(layout: Layout, (start, len): (f64, f64)) -> GroupRange {
    let count = f64::from(layout.group_count());
    let groups = GroupRange::new((start * count) as u32, ((start + len) * count) as u32 + 1);
    groups.intersection(layout.all_groups())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_groups_in_any_order_verify_with_no_parent_that_was_there(
        size in 1u64..3_000_000, ranges in ranges(),
    ) {
        let object = Object::new(size);
        let tree = Tree::new(object.layout);
        let mut receiver = Receiver::new(&object);
        for groups in ranges.into_iter().map(|at| range(object.layout, at)) {
            let footing = receiver.footing(groups);
            let (from, before) = (footing.height(), receiver.known.clone());
            let encoded = encode(&object, groups, from);
            prop_assert_eq!(encoded.len() as u64, tree.encoded_len(groups, from));
            let data = receiver.take(footing, &encoded).unwrap();
            prop_assert!(data == bytes(&object, groups));
            // The lowest height at which nothing is missing: a parent of that height was unknown.
            let proof: Vec<_> = tree.walk(groups).filter(|subtree| subtree.leaf().is_none()).collect();
            let unknown = proof.iter().filter(|subtree| !before.contains(&subtree.node()));
            let highest = unknown.map(|subtree| subtree.height()).max();
            let top = tree.root().unwrap().height();
            let expected = highest.unwrap_or(Height::GROUP);
            prop_assert_eq!(from, if expected == top { Height::MAX } else { expected });
            prop_assert!(proof.iter().all(|subtree| receiver.known.contains(&subtree.node())));
        }
    }

    #[test]
    fn a_lie_beneath_what_is_known_is_refused(
        size in 20_000u64..2_000_000, ranges in ranges(), last in (0.0..1.0, 0.0..0.5),
        at in 0.0..1.0f64, bit in 0u8..8,
    ) {
        let object = Object::new(size);
        let mut receiver = Receiver::new(&object);
        for groups in ranges.into_iter().map(|at| range(object.layout, at)) {
            let footing = receiver.footing(groups);
            let encoded = encode(&object, groups, footing.height());
            receiver.take(footing, &encoded).unwrap();
        }
        let groups = range(object.layout, last);
        let footing = receiver.footing(groups);
        let mut encoded = encode(&object, groups, footing.height());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss,
            clippy::cast_precision_loss, reason = "small")]
        let at = (at * encoded.len() as f64) as usize;
        encoded[at] ^= 1 << bit;
        prop_assert!(receiver.take(footing, &encoded).is_err());
    }

    /// Whatever is said to be known: parents are believed only when they hang on the root.
    #[test]
    fn a_damaged_store_costs_a_whole_proof_and_nobodys_name(
        size in 40_000u64..1_000_000, known in proptest::collection::btree_set(0u32..64, 0..64),
        at in any::<prop::sample::Index>(), bit in 0u8..8, groups in (0.0..1.0, 0.0..0.5),
    ) {
        let object = Object::new(size);
        let (tree, groups) = (Tree::new(object.layout), range(object.layout, groups));
        let mut outboard = object.outboard.clone();
        let damaged = at.index(outboard.len());
        outboard[damaged] ^= 1 << bit;
        let footing = Footing::find(
            object.root, object.layout, groups, &outboard, |node| known.contains(&node),
        ).unwrap();
        let height = footing.height();
        let node = u32::try_from(damaged / 64).unwrap();
        let needed = tree.walk(groups).any(|subtree| subtree.leaf().is_none()
            && subtree.node() == node && height < Height::MAX && subtree.height() > height);
        prop_assert!(!needed, "a footing stands on a parent that is damaged");
        let encoded = encode(&object, groups, height);
        prop_assert!(Receiver::new(&object).take(footing, &encoded).unwrap() == bytes(&object, groups));
    }
}

#[test]
fn every_height_of_every_interesting_size_is_cut_there() {
    for (size, why) in SIZES {
        let object = Object::new(size);
        let (tree, all) = (Tree::new(object.layout), object.layout.all_groups());
        let mut receiver = Receiver::new(&object);
        receiver.outboard.clone_from(&object.outboard);
        for height in 0..=tree.root().map_or(0, |top| top.height().number()) {
            let from = Height::new(height).unwrap();
            let above = tree.walk(all).filter(|subtree| subtree.height() > from);
            receiver.known = above.map(|subtree| subtree.node()).collect();
            let footing = receiver.footing(all);
            assert!(footing.height() == from || receiver.known.is_empty());
            let encoded = encode(&object, all, footing.height());
            let data = receiver.take(footing, &encoded).unwrap();
            assert!(data == object.data, "{size} from {height}: {why}");
        }
    }
}

#[test]
fn an_outboard_that_ends_early_is_the_disks_fault() {
    let object = Object::new(9 * GROUP_BYTES);
    let groups = GroupRange::new(8, 9);
    let cut = &object.outboard[..63];
    let found = Footing::find(object.root, object.layout, groups, cut, |_| true);
    assert!(found.is_err());
}

/// What peers send of the hash tree of a 150 MiB object, when its groups are asked for one by one.
#[test]
fn each_parent_is_sent_once_and_not_once_for_every_group() {
    let layout = Layout::new(150 << 20).unwrap();
    let (tree, all) = (Tree::new(layout), layout.all_groups());
    let one = |group: GroupIndex| GroupRange::one(group);
    let whole: u64 = all
        .iter()
        .map(|group| tree.parents_beneath(Height::MAX, one(group)))
        .sum();
    let mut known = BTreeSet::new();
    let mut sent = 0;
    for group in all.iter() {
        let height = tree.unknown_height(one(group), |subtree| known.contains(&subtree.node()));
        sent += tree.parents_beneath(height, one(group));
        let parents = tree.walk(one(group)).filter(|it| it.leaf().is_none());
        known.extend(parents.map(|subtree| subtree.node()));
    }
    assert_eq!(all.len(), 9600);
    // 14 or fewer for each group, 5.3 % of what they prove; and once each, 0.39 %.
    assert_eq!((whole, sent), (131_072, 9599));
}

#[test]
fn heights_of_huge_trees_are_found_at_once() {
    let tree = Tree::new(Layout::new(Layout::SIZE_MAX).unwrap());
    let all = tree.layout().all_groups();
    assert_eq!(tree.unknown_height(all, |_| false), Height::MAX);
    assert_eq!(
        tree.parents_beneath(Height::MAX, all),
        u64::from(all.len()) - 1
    );
    let first = GroupRange::new(0, 1);
    assert_eq!(tree.unknown_height(first, |_| true), Height::GROUP);
    assert_eq!(tree.parents_beneath(Height::MAX, first), 32);
    let third = Height::new(3).unwrap();
    assert_eq!(tree.parents_beneath(third, first), 3);
}
