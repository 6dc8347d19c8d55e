//! Verifying files against their manifests: where exactly is it wrong?

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use common::{SIZES, content};
use peerlift_content::{
    OutboardState, PublishSettings, PublisherKey, Sidecars, Verification, publish_file, verify_file,
};
use peerlift_model::{ByteRange, GroupRange};

/// A published file.
fn published(folder: &Path, size: u64) -> Sidecars {
    let path = folder.join("file");
    fs::write(&path, content(size)).unwrap();
    let key = PublisherKey::from_seed(&[7; 32]);
    publish_file(&path, &key, &PublishSettings::default(), &|_| ())
        .unwrap()
        .sidecars
}

fn verify(folder: &Path) -> Verification {
    let sidecars = Sidecars::beside(&folder.join("file"));
    let manifest = sidecars.read_manifest().unwrap().manifest;
    verify_file(
        &folder.join("file"),
        &manifest,
        &sidecars.outboard,
        None,
        &|_| (),
    )
    .unwrap()
}

fn flip(path: &Path, at: u64) {
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

#[test]
fn a_good_file_of_any_size_is_good() {
    for (size, why) in SIZES {
        let folder = tempfile::tempdir().unwrap();
        published(folder.path(), size);
        let expected = Verification {
            good: true,
            size,
            bad: Vec::new(),
            outboard: OutboardState::Good,
        };
        assert_eq!(verify(folder.path()), expected, "{size}: {why}");
    }
}

#[test]
fn damage_is_located() {
    let folder = tempfile::tempdir().unwrap();
    published(folder.path(), 3_000_000);
    for at in [40_000, 49_152, 2_999_999] {
        flip(&folder.path().join("file"), at);
    }
    let found = verify(folder.path());
    assert!(!found.good);
    let last = 2_999_999 / 16384 * 16384;
    assert_eq!(
        found.bad,
        [
            ByteRange::new(32_768, 65_536),
            ByteRange::new(last, 3_000_000)
        ]
    );
}

#[test]
fn a_cut_file_lacks_its_end_and_a_grown_one_has_a_surplus() {
    let folder = tempfile::tempdir().unwrap();
    published(folder.path(), 100_000);
    let file = fs::File::options()
        .write(true)
        .open(folder.path().join("file"))
        .unwrap();
    file.set_len(50_000).unwrap();
    let cut = verify(folder.path());
    assert_eq!((cut.good, cut.size), (false, 50_000));
    assert_eq!(cut.bad, [ByteRange::new(49_152, 100_000)]);
    fs::write(folder.path().join("file"), content(100_001)).unwrap();
    let grown = verify(folder.path());
    assert_eq!((grown.good, grown.size), (false, 100_001));
    assert_eq!(grown.bad, [ByteRange::new(100_000, 100_001)]);
}

#[test]
fn without_an_outboard_it_is_good_or_not() {
    let folder = tempfile::tempdir().unwrap();
    let sidecars = published(folder.path(), 100_000);
    fs::remove_file(&sidecars.outboard).unwrap();
    let found = verify(folder.path());
    assert_eq!((found.good, found.outboard), (true, OutboardState::Missing));
    flip(&folder.path().join("file"), 7);
    let found = verify(folder.path());
    assert_eq!((found.good, found.bad), (false, Vec::new()));
}

#[test]
fn a_damaged_outboard_does_not_condemn_a_good_file() {
    let folder = tempfile::tempdir().unwrap();
    let sidecars = published(folder.path(), 100_000);
    // 7 groups: the root, then the parent of groups 0..4, then that of 0 and 1.
    flip(&sidecars.outboard, 2 * 64);
    let damaged = OutboardState::Damaged(GroupRange::new(0, 2).into());
    let found = verify(folder.path());
    assert_eq!((found.good, &found.outboard), (true, &damaged));
    let manifest = sidecars.read_manifest().unwrap();
    assert_eq!(sidecars.check_outboard(&manifest).unwrap(), damaged);
    // Damage below good parents is still located, damage below the bad one is noticed.
    flip(&folder.path().join("file"), 90_000);
    assert_eq!(verify(folder.path()).bad, [ByteRange::new(81_920, 98_304)]);
    flip(&folder.path().join("file"), 90_000);
    flip(&folder.path().join("file"), 0);
    let found = verify(folder.path());
    assert_eq!((found.good, found.bad), (false, Vec::new()));
}

#[test]
fn inspecting_tells_what_became_of_the_outboard() {
    let folder = tempfile::tempdir().unwrap();
    let sidecars = published(folder.path(), 100_000);
    let manifest = sidecars.read_manifest().unwrap();
    assert_eq!(
        sidecars.check_outboard(&manifest).unwrap(),
        OutboardState::Good
    );
    let outboard = fs::File::options()
        .write(true)
        .open(&sidecars.outboard)
        .unwrap();
    outboard.set_len(64).unwrap();
    let state = sidecars.check_outboard(&manifest).unwrap();
    assert!(matches!(state, OutboardState::Damaged(_)), "{state:?}");
    fs::remove_file(&sidecars.outboard).unwrap();
    assert_eq!(
        sidecars.check_outboard(&manifest).unwrap(),
        OutboardState::Missing
    );
}
