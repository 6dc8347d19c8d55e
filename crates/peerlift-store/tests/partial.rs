//! Filling, serving and finishing a partial object.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use common::{Object, SIZES, names, slice};
use peerlift_content::{Corrupt, Footing};
use peerlift_model::{
    ByteRange, GROUP_BYTES, GroupIndex, GroupRange, GroupSet, Height, Layout, ObjectId,
};
use peerlift_store::{CompleteObject, PartialObject, PartialOptions, StoreError, WriteError};
use proptest::prelude::*;

#[test]
fn every_interesting_size_arrives_from_the_edge() {
    for (size, why) in SIZES {
        let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(size));
        let target = folder.path().join("file");
        let partial = object.open(&target).unwrap();
        assert!(
            partial.have().is_empty() && !target.exists(),
            "{size}: {why}"
        );
        assert_eq!(
            object.fetch_from_edge(&partial, object.all()).unwrap(),
            object.all()
        );
        assert!(partial.is_complete(), "{size}: {why}");
        assert_eq!(partial.commit().unwrap(), target);
        assert!(fs::read(&target).unwrap() == object.data, "{size}: {why}");
        assert_eq!(names(folder.path()), ["file"], "{size}: {why}");
    }
}

#[test]
fn every_interesting_size_arrives_from_a_peer() {
    for (size, why) in SIZES {
        let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(size));
        let partial = object.open(&folder.path().join("file")).unwrap();
        object.fetch_from_peer(&partial, object.all()).unwrap();
        assert!(
            fs::read(partial.commit().unwrap()).unwrap() == object.data,
            "{size}: {why}"
        );
    }
}

#[test]
fn a_committed_object_goes_on_serving() {
    let (folder, object) = (
        tempfile::tempdir().unwrap(),
        Object::new(10 * GROUP_BYTES + 3),
    );
    let partial = object.open(&folder.path().join("file")).unwrap();
    object.fetch_from_edge(&partial, object.all()).unwrap();
    let before = partial.encode(object.all(), Height::MAX).unwrap();
    partial.commit().unwrap();
    assert_eq!(partial.encode(object.all(), Height::MAX).unwrap(), before);
    assert_eq!(partial.read(object.all()).unwrap(), object.data);
    assert_eq!(partial.commit().unwrap(), folder.path().join("file"));
    drop(partial);
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn what_one_encodes_another_takes() {
    let (folder, object) = (
        tempfile::tempdir().unwrap(),
        Object::new(9 * GROUP_BYTES + 1),
    );
    let first = object.open(&folder.path().join("first")).unwrap();
    object
        .fetch_from_edge(&first, GroupRange::new(2, 7))
        .unwrap();
    let encoded = first.encode(GroupRange::new(3, 6), Height::MAX).unwrap();
    let complete_path = folder.path().join("complete");
    fs::write(&complete_path, &object.data).unwrap();
    fs::write(folder.path().join("outboard"), &object.outboard).unwrap();
    let complete = CompleteObject::open(
        &complete_path,
        &folder.path().join("outboard"),
        object.root,
        object.layout,
    )
    .unwrap();
    assert_eq!(
        complete.encode(GroupRange::new(3, 6), Height::MAX).unwrap(),
        encoded
    );
    assert_eq!(complete.read(object.all()).unwrap(), object.data);
}

#[test]
fn absent_groups_are_neither_read_nor_served() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(9 * GROUP_BYTES));
    let partial = object.open(&folder.path().join("file")).unwrap();
    object
        .fetch_from_edge(&partial, GroupRange::new(2, 4))
        .unwrap();
    for groups in [
        GroupRange::new(1, 3),
        GroupRange::new(3, 5),
        GroupRange::new(90, 91),
    ] {
        assert!(matches!(
            partial.encode(groups, Height::MAX),
            Err(StoreError::Absent { .. })
        ));
        assert!(matches!(
            partial.read(groups),
            Err(StoreError::Absent { .. })
        ));
    }
    let Err(StoreError::Incomplete { missing }) = partial.commit() else {
        panic!("finished")
    };
    assert_eq!(missing, 7 * GROUP_BYTES);
}

#[test]
fn a_corrupt_group_is_named_and_those_before_it_are_kept() {
    let (folder, object) = (
        tempfile::tempdir().unwrap(),
        Object::new(9 * GROUP_BYTES + 1),
    );
    let partial = object.open(&folder.path().join("file")).unwrap();
    object
        .fetch_from_edge(&partial, GroupRange::new(0, 1))
        .unwrap();
    for range in partial.missing_nodes(object.all()) {
        partial
            .accept_nodes(range, slice(&object.outboard, range))
            .unwrap();
    }
    let groups = GroupRange::new(4, 10);
    let mut data = object.bytes(groups).to_vec();
    data[2 * 16384 + 1] ^= 4;
    let error = partial.write_groups(GroupIndex(4), &data).unwrap_err();
    let WriteError::Corrupt(corrupt) = error else {
        panic!("{error:?}")
    };
    assert_eq!(corrupt, Corrupt::Group(GroupIndex(6)));
    let expected: GroupSet = [GroupRange::new(0, 1), GroupRange::new(4, 6)]
        .into_iter()
        .collect();
    assert_eq!(partial.have(), expected);
    assert_eq!(
        partial.read(GroupRange::new(4, 6)).unwrap(),
        object.bytes(GroupRange::new(4, 6))
    );
}

#[test]
fn corrupt_nodes_are_refused_and_nothing_of_them_is_kept() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(9 * GROUP_BYTES));
    let partial = object.open(&folder.path().join("file")).unwrap();
    let all = ByteRange::new(0, object.outboard.len() as u64);
    for at in 0..object.outboard.len() {
        let mut outboard = object.outboard.clone();
        outboard[at] ^= 1;
        let error = partial.accept_nodes(all, &outboard).unwrap_err();
        let expected = Corrupt::Node {
            outboard_offset: at as u64 / 64 * 64,
        };
        assert!(
            matches!(error, WriteError::Corrupt(found) if found == expected),
            "{error:?}"
        );
    }
    assert_eq!(partial.missing_nodes(object.all()), [all]);
}

#[test]
fn nodes_may_come_with_known_ones_and_over_gaps() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(200 * GROUP_BYTES));
    let partial = object.open(&folder.path().join("file")).unwrap();
    object
        .fetch_from_edge(&partial, GroupRange::new(0, 3))
        .unwrap();
    // One stretch from the first missing node to the last, whatever lies between.
    let missing = partial.missing_nodes(GroupRange::new(60, 190));
    let stretch = ByteRange::new(missing[0].start(), missing[missing.len() - 1].end());
    partial
        .accept_nodes(stretch, slice(&object.outboard, stretch))
        .unwrap();
    assert!(partial.missing_nodes(GroupRange::new(60, 190)).is_empty());
    let all = ByteRange::new(0, object.outboard.len() as u64);
    partial.accept_nodes(all, &object.outboard).unwrap();
    assert!(partial.missing_nodes(object.all()).is_empty());
}

#[test]
fn what_cannot_be_proven_yet_is_refused_without_blame() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(9 * GROUP_BYTES));
    let partial = object.open(&folder.path().join("file")).unwrap();
    let error = partial.write_groups(GroupIndex(0), object.bytes(GroupRange::new(0, 1)));
    assert!(
        matches!(error, Err(WriteError::NodesMissing { .. })),
        "{error:?}"
    );
    let last = ByteRange::new(7 * 64, 8 * 64);
    let error = partial.accept_nodes(last, slice(&object.outboard, last));
    assert!(
        matches!(error, Err(WriteError::ParentMissing { .. })),
        "{error:?}"
    );
}

#[test]
fn what_does_not_fit_is_refused_without_blame() {
    let (folder, object) = (
        tempfile::tempdir().unwrap(),
        Object::new(2 * GROUP_BYTES + 5),
    );
    let partial = object.open(&folder.path().join("file")).unwrap();
    let misfit = |result| matches!(result, Err(WriteError::Misfit { .. }));
    for (first, len) in [
        (0, 1),
        (0, 16385),
        (2, 4),
        (2, 6),
        (3, 1),
        (u32::MAX, 16384),
    ] {
        let result = partial
            .write_groups(GroupIndex(first), &vec![0; len])
            .map(drop);
        assert!(misfit(result), "{len} bytes from group {first}");
    }
    let nodes = |start, end, len| partial.accept_nodes(ByteRange::new(start, end), &vec![0; len]);
    for (start, end, len) in [(0, 63, 63), (1, 65, 64), (0, 64, 63), (0, 192, 192)] {
        assert!(
            misfit(nodes(start, end, len)),
            "{len} bytes at {start}..{end}"
        );
    }
    assert!(misfit(nodes(u64::MAX - 63, u64::MAX, 63)));
    assert_eq!(partial.write_groups(GroupIndex(1), &[]).unwrap().len(), 0);
}

#[test]
fn an_item_of_a_larger_object_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let (small, large) = (Object::new(3 * GROUP_BYTES), Object::new(90 * GROUP_BYTES));
    let partial = small.open(&folder.path().join("file")).unwrap();
    let footing = Footing::root(large.root, large.layout, GroupRange::new(80, 90));
    let error = large.fetch_from_peer_on(&partial, footing).unwrap_err();
    assert!(matches!(error, WriteError::Misfit { .. }), "{error:?}");
}

#[test]
fn no_other_root_belongs_to_an_empty_object() {
    let folder = tempfile::tempdir().unwrap();
    let (root, layout) = (ObjectId::new([1; 32]), Layout::new(0).unwrap());
    let options = PartialOptions::default();
    let result = PartialObject::open(&folder.path().join("file"), root, layout, options);
    assert!(
        matches!(result, Err(StoreError::NotEmpty { .. })),
        "{result:?}"
    );
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_group_that_the_disk_lost_is_forgotten_and_fetched_again() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(9 * GROUP_BYTES));
    let target = folder.path().join("file");
    let partial = object.open(&target).unwrap();
    object.fetch_from_edge(&partial, object.all()).unwrap();
    let part = fs::File::options()
        .write(true)
        .open(folder.path().join("file.part"))
        .unwrap();
    std::os::unix::fs::FileExt::write_all_at(&part, b"rot", 5 * GROUP_BYTES).unwrap();
    let result = partial.encode(GroupRange::new(4, 7), Height::MAX);
    assert!(
        matches!(result, Err(StoreError::Damaged { .. })),
        "{result:?}"
    );
    assert!(!partial.have().contains(GroupIndex(5)));
    drop(partial);
    let partial = object.open(&target).unwrap();
    assert_eq!(partial.have().len(), 8);
    object
        .fetch_from_edge(&partial, GroupRange::new(5, 6))
        .unwrap();
    partial.commit().unwrap();
    assert!(fs::read(&target).unwrap() == object.data);
}

/// Writes over a file as a tool does that restores its time: only the content tells.
fn overwrite_in_secret(path: &Path, content: &[u8]) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    fs::write(path, content).unwrap();
    let file = fs::File::options().append(true).open(path).unwrap();
    file.set_modified(modified).unwrap();
}

fn touch(path: &Path) {
    let file = fs::File::options().append(true).open(path).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.set_modified(modified + Duration::from_secs(1))
        .unwrap();
}

#[test]
fn a_finished_file_that_was_changed_is_not_served() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(9 * GROUP_BYTES));
    let target = folder.path().join("file");
    let partial = object.open(&target).unwrap();
    object.fetch_from_edge(&partial, object.all()).unwrap();
    partial.commit().unwrap();
    overwrite_in_secret(&target, &vec![1; object.data.len()]);
    let result = partial.encode(GroupRange::new(4, 7), Height::MAX);
    assert!(
        matches!(result, Err(StoreError::Damaged { .. })),
        "{result:?}"
    );
    touch(&target);
    let result = partial.encode(GroupRange::new(4, 7), Height::MAX);
    assert!(
        matches!(result, Err(StoreError::Changed { .. })),
        "{result:?}"
    );
    fs::write(&target, "short").unwrap();
    assert!(partial.encode(GroupRange::new(4, 7), Height::MAX).is_err());
    assert!(partial.read(GroupRange::new(4, 7)).is_err());
    // Open, it could still be read.
    fs::rename(&target, folder.path().join("moved")).unwrap();
    let result = partial.encode(GroupRange::new(4, 7), Height::MAX);
    assert!(matches!(result, Err(StoreError::Gone { .. })), "{result:?}");
}

#[test]
fn a_finished_file_is_served_later_with_the_outboard_that_was_kept() {
    for size in [0, 1, GROUP_BYTES, 9 * GROUP_BYTES + 5] {
        let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(size));
        let (target, kept) = (folder.path().join("file"), folder.path().join("kept"));
        fs::write(&kept, "of an earlier download").unwrap();
        let partial = object.open(&target).unwrap();
        object.fetch_from_peer(&partial, object.all()).unwrap();
        assert_eq!(partial.mark(), None);
        partial.keep_outboard(&kept).unwrap();
        partial.commit().unwrap();
        let encoded = partial.encode(object.all(), Height::MAX).unwrap();
        let mark = partial.mark();
        drop(partial);
        assert_eq!(names(folder.path()), ["file", "kept"]);

        let open = || CompleteObject::open(&target, &kept, object.root, object.layout).unwrap();
        let complete = open();
        assert_eq!(mark, Some(complete.mark()));
        assert_eq!(complete.encode(object.all(), Height::MAX).unwrap(), encoded);
        touch(&target);
        let refused = complete.encode(object.all(), Height::MAX);
        assert!(
            matches!(refused, Err(StoreError::Changed { .. })),
            "{refused:?}"
        );
        assert_ne!(mark, Some(open().mark()));
        fs::remove_file(&target).unwrap();
        assert!(matches!(complete.check(), Err(StoreError::Gone { .. })));
    }
}

#[test]
fn a_complete_object_of_another_size_is_refused() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(9 * GROUP_BYTES));
    let (path, outboard) = (folder.path().join("file"), folder.path().join("obao"));
    fs::write(&path, &object.data[1..]).unwrap();
    fs::write(&outboard, &object.outboard).unwrap();
    let open = || CompleteObject::open(&path, &outboard, object.root, object.layout);
    assert!(matches!(open(), Err(StoreError::WrongSize { .. })));
    fs::write(&path, &object.data).unwrap();
    fs::write(&outboard, &object.outboard[64..]).unwrap();
    assert!(matches!(open(), Err(StoreError::WrongSize { .. })));
}

#[test]
fn many_threads_fill_one_object() {
    let (folder, object) = (
        tempfile::tempdir().unwrap(),
        Object::new(600 * GROUP_BYTES + 9),
    );
    let partial = object.open(&folder.path().join("file")).unwrap();
    std::thread::scope(|scope| {
        for lane in 0..6u32 {
            let (object, partial) = (&object, &partial);
            scope.spawn(move || {
                // Lanes overlap: every range is brought in by two of them.
                for start in (0..601).step_by(20).skip(lane as usize % 3).step_by(3) {
                    let groups = GroupRange::new(start, start + 20).intersection(object.all());
                    if lane < 3 {
                        object.fetch_from_edge(partial, groups).unwrap();
                    } else {
                        object.fetch_from_peer(partial, groups).unwrap();
                    }
                    assert!(partial.have().contains_all(groups));
                    assert_eq!(partial.read(groups).unwrap(), object.bytes(groups));
                }
            });
        }
    });
    assert!(fs::read(partial.commit().unwrap()).unwrap() == object.data);
}

/// What may happen to a partial object.
#[derive(Clone, Copy, Debug)]
enum Step {
    Edge(GroupRange),
    Peer(GroupRange),
    CorruptEdge(GroupRange, u32),
    Reopen,
}

fn step(count: u32) -> impl Strategy<Value = Step> {
    let range = (0..count, 1..=count / 2 + 1)
        .prop_map(move |(start, len)| GroupRange::new(start, (start + len).min(count)));
    prop_oneof![
        4 => range.clone().prop_map(Step::Edge),
        4 => range.clone().prop_map(Step::Peer),
        2 => (range, any::<u32>()).prop_map(|(range, at)| Step::CorruptEdge(range, at)),
        1 => Just(Step::Reopen),
    ]
}

fn steps() -> impl Strategy<Value = (u64, Vec<Step>)> {
    (1u64..40 * GROUP_BYTES).prop_flat_map(|size| {
        let count = Layout::new(size).unwrap().group_count();
        (Just(size), proptest::collection::vec(step(count), 0..16))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn equals_a_set_of_groups((size, steps) in steps()) {
        let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(size));
        let target = folder.path().join("file");
        let mut partial = object.open(&target).unwrap();
        let mut model = BTreeSet::new();
        for step in steps {
            match step {
                Step::Edge(groups) => {
                    object.fetch_from_edge(&partial, groups).unwrap();
                    model.extend(groups.start()..groups.end());
                }
                Step::Peer(groups) => {
                    object.fetch_from_peer(&partial, groups).unwrap();
                    model.extend(groups.start()..groups.end());
                }
                Step::CorruptEdge(groups, at) => {
                    for range in partial.missing_nodes(groups) {
                        partial.accept_nodes(range, slice(&object.outboard, range)).unwrap();
                    }
                    let mut data = object.bytes(groups).to_vec();
                    let at = at as usize % data.len();
                    data[at] ^= 1;
                    let known = (groups.start()..groups.end()).all(|group| model.contains(&group));
                    let result = partial.write_groups(GroupIndex(groups.start()), &data);
                    prop_assert_eq!(result.is_ok(), known);
                    let bad = groups.start() + u32::try_from(at).unwrap() / 16384;
                    model.extend(groups.start()..bad);
                }
                Step::Reopen => {
                    drop(partial);
                    partial = object.open(&target).unwrap();
                }
            }
            let have = partial.have();
            let groups: BTreeSet<u32> =
                have.runs().iter().flat_map(|run| run.start()..run.end()).collect();
            prop_assert_eq!(&groups, &model);
            for run in have.runs() {
                prop_assert!(partial.read(*run).unwrap() == object.bytes(*run));
                prop_assert!(partial.encode(*run, Height::MAX).is_ok());
                prop_assert!(partial.missing_nodes(*run).is_empty());
            }
        }
    }
}
