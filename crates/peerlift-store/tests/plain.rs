//! Downloads without a manifest.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::fs;
use std::path::Path;

use common::names;
use peerlift_model::ByteRange;
use peerlift_store::{ForeignPart, Found, PartialOptions, PlainPartial, StoreError};

fn open(target: &Path, validator: Option<&str>, size: Option<u64>) -> PlainPartial {
    PlainPartial::open(target, validator, size, PartialOptions::default()).unwrap()
}

#[test]
fn arrives_in_any_order_and_is_taken_up_again() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file");
    let content: Vec<u8> = (0..=255).cycle().take(10_000).collect();
    let plain = open(&target, Some("\"v1\""), Some(10_000));
    plain.write(5_000, &content[5_000..]).unwrap();
    assert_eq!(plain.have(), [ByteRange::new(5_000, 10_000)]);
    assert!(matches!(
        plain.commit(),
        Err(StoreError::Incomplete { missing: 5_000 })
    ));
    drop(plain);
    let plain = open(&target, Some("\"v1\""), Some(10_000));
    assert_eq!(plain.have(), [ByteRange::new(5_000, 10_000)]);
    plain.write(0, &content[..5_000]).unwrap();
    assert_eq!(
        plain.read(ByteRange::new(4_990, 5_010)).unwrap(),
        content[4_990..5_010]
    );
    assert_eq!(plain.commit().unwrap(), target);
    assert_eq!(plain.read(ByteRange::new(0, 10_000)).unwrap(), content);
    assert_eq!(fs::read(&target).unwrap(), content);
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn two_versions_are_never_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file");
    open(&target, Some("\"v1\""), Some(100))
        .write(0, &[1; 50])
        .unwrap();
    for (validator, size) in [("\"v2\"", 100), ("\"v1\"", 101)] {
        let options = PartialOptions::default();
        let refused = PlainPartial::open(&target, Some(validator), Some(size), options);
        let Err(StoreError::OtherObject { found, .. }) = refused else {
            panic!("{refused:?}")
        };
        assert_eq!(found, Found::Version("\"v1\"".to_owned()));
    }
    let discard = PartialOptions {
        foreign: ForeignPart::Discard,
        ..PartialOptions::default()
    };
    let plain = PlainPartial::open(&target, Some("\"v2\""), Some(100), discard).unwrap();
    assert!(plain.have().is_empty());
    plain.write(0, &[2; 100]).unwrap();
    plain.commit().unwrap();
    assert_eq!(fs::read(&target).unwrap(), [2; 100]);
}

#[test]
fn without_a_validator_every_download_begins_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file");
    open(&target, None, Some(100)).write(0, &[1; 50]).unwrap();
    assert!(open(&target, None, Some(100)).have().is_empty());
}

#[test]
fn of_unknown_size_it_ends_where_its_bytes_end() {
    let folder = tempfile::tempdir().unwrap();
    let plain = open(&folder.path().join("file"), None, None);
    plain.write(0, &[1; 50]).unwrap();
    plain.write(60, &[1; 10]).unwrap();
    assert!(matches!(
        plain.commit(),
        Err(StoreError::Incomplete { missing: 10 })
    ));
    plain.write(50, &[1; 10]).unwrap();
    assert_eq!(fs::read(plain.commit().unwrap()).unwrap(), [1; 70]);
    let plain = open(&folder.path().join("empty"), None, None);
    assert!(fs::read(plain.commit().unwrap()).unwrap().is_empty());
    let plain = open(&folder.path().join("zero"), None, Some(0));
    assert!(fs::read(plain.commit().unwrap()).unwrap().is_empty());
}

#[test]
fn bytes_beyond_the_end_and_absent_bytes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let plain = open(&folder.path().join("file"), Some("\"v1\""), Some(100));
    assert!(matches!(
        plain.write(90, &[1; 11]),
        Err(StoreError::WrongSize { .. })
    ));
    assert!(matches!(
        plain.write(u64::MAX, &[1; 1]),
        Err(StoreError::WrongSize { .. })
    ));
    plain.write(0, &[1; 10]).unwrap();
    let absent = plain.read(ByteRange::new(5, 11));
    assert!(
        matches!(absent, Err(StoreError::AbsentBytes { .. })),
        "{absent:?}"
    );
    assert!(plain.read(ByteRange::new(0, 0)).unwrap().is_empty());
}
