//! What a partial object knows of its hash tree need not be sent to it again.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::fs;
use std::os::unix::fs::FileExt;

use common::Object;
use peerlift_model::{GROUP_BYTES, GroupRange, Height};
use peerlift_store::PartialObject;

/// Parents in a proof of `groups` for whoever knows what this object knows.
fn parents(object: &Object, partial: &PartialObject, groups: GroupRange) -> usize {
    let footing = partial.footing(groups).unwrap();
    let encoded = object.encode(groups, footing.height());
    (encoded.len() - object.bytes(groups).len()) / 64
}

#[test]
fn what_came_from_anywhere_is_not_asked_of_peers_again() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(64 * GROUP_BYTES));
    let target = folder.path().join("file");
    let partial = object.open(&target).unwrap();
    let groups = GroupRange::new;
    assert_eq!(parents(&object, &partial, groups(20, 21)), 6);
    object.fetch_from_peer(&partial, groups(20, 21)).unwrap();
    assert_eq!(parents(&object, &partial, groups(21, 22)), 0);
    assert_eq!(parents(&object, &partial, groups(22, 23)), 1);
    assert_eq!(parents(&object, &partial, groups(16, 32)), 8 + 4 + 2);
    object.fetch_from_edge(&partial, groups(40, 44)).unwrap();
    assert_eq!(parents(&object, &partial, groups(44, 48)), 3);
    drop(partial);
    let partial = object.open(&target).unwrap();
    assert_eq!(parents(&object, &partial, groups(21, 22)), 0, "found again");
    for at in [44, 22, 0, 63, 1, 62] {
        object
            .fetch_from_peer(&partial, groups(at, at + 1))
            .unwrap();
    }
    object.fetch_from_peer(&partial, object.all()).unwrap();
    assert_eq!(fs::read(partial.commit().unwrap()).unwrap(), object.data);
}

#[test]
fn a_disk_that_lost_parents_makes_no_liar_of_a_peer() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(16 * GROUP_BYTES));
    let partial = object.open(&folder.path().join("file")).unwrap();
    let groups = GroupRange::new(2, 3);
    object.fetch_from_peer(&partial, groups).unwrap();
    assert_eq!(partial.footing(groups).unwrap().height(), Height::GROUP);
    let outboard = fs::File::options()
        .write(true)
        .open(folder.path().join("file.part.obao"))
        .unwrap();
    outboard.write_all_at(b"rot", 70).unwrap();
    assert_eq!(partial.footing(groups).unwrap().height(), Height::MAX);
    object.fetch_from_peer(&partial, groups).unwrap();
}
