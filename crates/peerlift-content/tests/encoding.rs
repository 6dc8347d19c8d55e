//! Encoding and decoding of ranges: the reference's bytes, and nothing but the truth gets through.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use common::{Object, SIZES};
use peerlift_content::{Corrupt, EncodeError, Item, RangeDecoder, Tree, encode_range};
use peerlift_model::{GROUP_BYTES, GroupIndex, GroupRange, Height, ObjectId};
use proptest::prelude::*;

fn encode(object: &Object, groups: GroupRange) -> Vec<u8> {
    let mut out = Vec::new();
    encode_range(
        object.root,
        object.layout,
        (groups, Height::MAX),
        &object.data,
        &object.outboard,
        &mut out,
    )
    .unwrap();
    out
}

/// Parents, and where they belong in the outboard.
type Parents = Vec<(u64, [u8; 64])>;

/// Decodes a whole stream; returns the data of the range, and its parents.
fn decode(
    root: ObjectId,
    object: &Object,
    groups: GroupRange,
    mut stream: &[u8],
) -> Result<(Vec<u8>, Parents), Corrupt> {
    let mut decoder = RangeDecoder::new(root, object.layout, groups);
    let (mut data, mut parents) = (Vec::new(), Vec::new());
    while let Some(len) = decoder.next_len() {
        let (next, rest) = stream.split_at(len.min(stream.len()));
        match decoder.accept(next)? {
            Item::Parent {
                outboard_offset,
                pair,
                ..
            } => parents.push((outboard_offset, pair)),
            Item::Group { group, .. } => {
                let start = object.layout.bytes_of(GroupRange::one(group)).start();
                let first = object.layout.bytes_of(groups).start();
                assert_eq!(start - first, data.len() as u64, "groups come in order");
                data.extend_from_slice(next);
            }
        }
        stream = rest;
    }
    assert!(decoder.is_done() && stream.is_empty());
    Ok((data, parents))
}

fn check_round_trip(object: &Object, groups: GroupRange) {
    let encoded = encode(object, groups);
    assert!(
        encoded == object.encode(groups),
        "the reference encodes {groups:?} otherwise"
    );
    assert_eq!(
        encoded.len() as u64,
        Tree::new(object.layout).encoded_len(groups, Height::MAX)
    );
    let (data, parents) = decode(object.root, object, groups, &encoded).unwrap();
    let bytes = object.layout.bytes_of(groups);
    let at = |offset: u64| usize::try_from(offset).unwrap();
    assert!(data == object.data[at(bytes.start())..at(bytes.end())]);
    for (offset, pair) in parents {
        assert_eq!(pair, object.outboard[at(offset)..at(offset) + 64]);
    }
}

#[test]
fn equals_the_reference_at_every_interesting_size() {
    for (size, _) in SIZES {
        let object = Object::new(size);
        let all = object.layout.all_groups();
        check_round_trip(&object, all);
        if let Some(last) = all.iter().next_back() {
            check_round_trip(&object, GroupRange::one(last));
            check_round_trip(&object, GroupRange::new(last.0 / 2, last.0 + 1));
            check_round_trip(&object, GroupRange::new(0, last.0.max(1)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn equals_the_reference_for_any_range(
        size in 1u64..2_000_000, start in 0.0..1.0f64, len in 0.0..1.0f64,
    ) {
        let object = Object::new(size);
        let count = f64::from(object.layout.group_count());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
        let groups = GroupRange::new((start * count) as u32, ((start + len) * count) as u32 + 1);
        check_round_trip(&object, groups.intersection(object.layout.all_groups()));
    }

    #[test]
    fn any_flipped_bit_is_found_before_its_group_is_believed(
        size in 1u64..1_000_000, at in 0.0..1.0f64, bit in 0u8..8,
    ) {
        let object = Object::new(size);
        let groups = object.layout.all_groups();
        let mut encoded = encode(&object, groups);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss,
            clippy::cast_precision_loss, reason = "small")]
        let at = (at * encoded.len() as f64) as usize;
        encoded[at] ^= 1 << bit;
        prop_assert!(decode(object.root, &object, groups, &encoded).is_err());
    }
}

#[test]
fn a_stream_that_ends_early_is_never_done() {
    let object = Object::new(5 * GROUP_BYTES + 7);
    let groups = object.layout.all_groups();
    let encoded = encode(&object, groups);
    for end in [0, 1, 63, 64, 200, encoded.len() - 1] {
        let cut = decode(object.root, &object, groups, &encoded[..end]);
        assert!(cut.is_err(), "cut at {end}");
    }
}

#[test]
fn another_objects_bytes_are_refused_at_once() {
    let (object, other) = (
        Object::new(3 * GROUP_BYTES),
        Object::new(3 * GROUP_BYTES + 1),
    );
    let groups = object.layout.all_groups();
    let encoded = encode(&object, groups);
    let refused = decode(other.root, &object, groups, &encoded);
    assert_eq!(refused.unwrap_err(), Corrupt::Node { outboard_offset: 0 });
}

#[test]
fn a_finished_decoder_takes_no_more() {
    let object = Object::new(10);
    let mut decoder = RangeDecoder::new(object.root, object.layout, object.layout.all_groups());
    assert_eq!(decoder.next_len(), Some(10));
    assert!(decoder.accept(&object.data).is_ok());
    assert_eq!(decoder.next_len(), None);
    assert!(decoder.accept(&object.data).is_err());
    assert!(decoder.accept(&[]).is_err());
}

#[test]
fn nothing_of_an_empty_object_is_everything() {
    let object = Object::new(0);
    let groups = GroupRange::new(0, 5);
    assert!(encode(&object, groups).is_empty());
    assert!(RangeDecoder::new(object.root, object.layout, groups).is_done());
}

#[test]
fn a_damaged_copy_is_not_encoded() {
    let object = Object::new(6 * GROUP_BYTES);
    let groups = object.layout.all_groups();
    let mut out = b"before".to_vec();
    let mut data = object.data.clone();
    data[2 * 16384 + 5] ^= 1;
    let result = encode_range(
        object.root,
        object.layout,
        (groups, Height::MAX),
        &data,
        &object.outboard,
        &mut out,
    );
    let expected = Corrupt::Group(GroupIndex(2));
    assert!(matches!(result, Err(EncodeError::Corrupt(found)) if found == expected));
    let mut outboard = object.outboard.clone();
    outboard[64 + 3] ^= 1;
    let result = encode_range(
        object.root,
        object.layout,
        (groups, Height::MAX),
        &object.data,
        &outboard,
        &mut out,
    );
    let expected = Corrupt::Node {
        outboard_offset: 64,
    };
    assert!(matches!(result, Err(EncodeError::Corrupt(found)) if found == expected));
    let result = encode_range(
        object.root,
        object.layout,
        (groups, Height::MAX),
        &object.data,
        &vec![0; 64],
        &mut out,
    );
    assert!(matches!(result, Err(EncodeError::Io(_))));
    assert_eq!(out, b"before");
}
