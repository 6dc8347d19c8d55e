//! The geometry of the hash tree, against the slow way of finding things out.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::collections::BTreeSet;

use common::SIZES;
use peerlift_content::{NODE_BYTES, Tree};
use peerlift_model::{ByteRange, GROUP_BYTES, GroupRange, Height, Layout};
use proptest::prelude::*;

fn tree(size: u64) -> Tree {
    Tree::new(Layout::new(size).unwrap())
}

/// The parents that prove `groups`, found by looking at all of them.
fn nodes_slowly(tree: Tree, groups: GroupRange) -> BTreeSet<u32> {
    let all = tree.walk(tree.layout().all_groups());
    all.filter(|subtree| subtree.leaf().is_none())
        .filter(|subtree| !subtree.groups().intersection(groups).is_empty())
        .map(|subtree| subtree.node())
        .collect()
}

fn expand(ranges: &[ByteRange]) -> Vec<u32> {
    let number = |offset: u64| u32::try_from(offset / NODE_BYTES).unwrap();
    ranges
        .iter()
        .flat_map(|range| number(range.start())..number(range.end()))
        .collect()
}

#[test]
fn has_one_parent_less_than_groups() {
    for (size, why) in SIZES {
        let groups = size.div_ceil(GROUP_BYTES);
        assert_eq!(
            tree(size).outboard_len(),
            groups.saturating_sub(1) * 64,
            "{size}: {why}"
        );
    }
}

#[test]
fn pre_order_numbers_every_parent_once_in_order() {
    for groups in 0..300 {
        let tree = tree(groups * GROUP_BYTES);
        let walked: Vec<_> = tree.walk(tree.layout().all_groups()).collect();
        let parents = walked.iter().filter(|subtree| subtree.leaf().is_none());
        let numbers: Vec<_> = parents.map(|subtree| subtree.node()).collect();
        assert!(
            numbers.iter().copied().eq(0..tree.node_count()),
            "{groups} groups"
        );
        let leaves = walked.iter().filter_map(|subtree| subtree.leaf());
        assert!(
            leaves.eq(tree.layout().all_groups().iter()),
            "{groups} groups"
        );
    }
}

proptest! {
    #[test]
    fn nodes_for_equals_looking_at_all(
        count in 0u64..300, start in 0u32..310, len in 0u32..310,
    ) {
        let tree = tree(count * GROUP_BYTES);
        let groups = GroupRange::new(start, start + len);
        let nodes = tree.nodes_for(groups);
        prop_assert!(expand(&nodes).into_iter().eq(nodes_slowly(tree, groups)));
        prop_assert!(nodes.windows(2).all(|pair| pair[0].end() < pair[1].start()));
        prop_assert!(nodes.iter().all(|range| !range.is_empty()));
    }

    #[test]
    fn find_inverts_groups(count in 1u64..300) {
        let tree = tree(count * GROUP_BYTES);
        for subtree in tree.walk(tree.layout().all_groups()) {
            prop_assert_eq!(tree.find(subtree.groups()), Some(subtree));
        }
    }
}

#[test]
fn the_end_of_a_20_gib_object_hangs_on_one_path() {
    let tree = tree(20 << 30);
    let last = tree.layout().group_count() - 1;
    let nodes = tree.nodes_for(GroupRange::new(last, last + 1));
    // 20 GiB = 16 + 4: one step to the right part, then 18 levels of a perfect tree of 2^18 groups.
    assert_eq!(
        nodes.iter().map(|range| range.len()).sum::<u64>(),
        19 * NODE_BYTES
    );
    assert_eq!(nodes.last().unwrap().end(), tree.outboard_len());
    assert_eq!(tree.outboard_len(), (80 << 20) - 64);
}

#[test]
fn the_largest_object_has_a_tree() {
    let tree = tree(Layout::SIZE_MAX);
    let count = tree.layout().group_count();
    let nodes = tree.nodes_for(GroupRange::new(count - 1, count));
    assert!(nodes.iter().all(|range| range.end() <= tree.outboard_len()));
    assert_eq!(tree.walk(GroupRange::new(0, 1)).count(), 33);
}

#[test]
fn ranges_beyond_the_end_are_empty() {
    let tree = tree(5 * GROUP_BYTES);
    assert!(tree.nodes_for(GroupRange::new(5, 9)).is_empty());
    assert_eq!(tree.encoded_len(GroupRange::new(7, 9), Height::MAX), 0);
    assert_eq!(
        tree.encoded_len(GroupRange::new(0, 99), Height::MAX),
        5 * GROUP_BYTES + 4 * 64
    );
}
