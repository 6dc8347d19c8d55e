//! Hashing files: equal to the slow way, whatever the size and the number of threads.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{Object, SIZES, hash_bytes};
use peerlift_content::{HashError, HashOptions, hash_file};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

fn options(threads: usize, sha256: bool) -> HashOptions {
    HashOptions {
        threads: NonZeroUsize::new(threads),
        sha256,
    }
}

#[test]
fn equals_the_reference_at_every_interesting_size() {
    for (size, why) in SIZES {
        let object = Object::new(size);
        for threads in [1, 2, 7] {
            let (hashed, outboard) = hash_bytes(&object.data, options(threads, true));
            assert_eq!(hashed.root, object.root, "{size}: {why}");
            assert_eq!(hashed.layout, object.layout, "{size}: {why}");
            assert_eq!(
                hashed.sha256,
                Some(Sha256::digest(&object.data).into()),
                "{size}: {why}"
            );
            assert_eq!(outboard, object.outboard, "{size}: {why}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn equals_the_reference_at_any_size(size in 0u64..6_000_000, threads in 1usize..5) {
        let object = Object::new(size);
        let (hashed, outboard) = hash_bytes(&object.data, options(threads, false));
        prop_assert_eq!(hashed.root, object.root);
        prop_assert_eq!(hashed.sha256, None);
        prop_assert!(outboard == object.outboard);
    }
}

#[test]
fn progress_adds_up_to_the_size() {
    let folder = tempfile::tempdir().unwrap();
    let object = Object::new(5_000_001);
    let path = object.write(folder.path(), "file");
    let done = AtomicU64::new(0);
    let count = |bytes| {
        done.fetch_add(bytes, Ordering::Relaxed);
    };
    hash_file(&path, None, HashOptions::default(), &count).unwrap();
    assert_eq!(done.into_inner(), 5_000_001);
}

#[test]
fn a_file_that_grows_or_shrinks_meanwhile_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = Object::new(3_000_000).write(folder.path(), "file");
    for size in [2_999_999, 3_000_001] {
        std::fs::OpenOptions::new()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(3_000_000)
            .unwrap();
        // The first report comes while the file is open and not yet done.
        let change = |_| {
            std::fs::OpenOptions::new()
                .write(true)
                .open(&path)
                .unwrap()
                .set_len(size)
                .unwrap();
        };
        let result = hash_file(&path, None, options(1, true), &change);
        assert!(
            matches!(result, Err(HashError::Changed { .. })),
            "{size}: {result:?}"
        );
    }
}

#[test]
fn a_file_rewritten_in_place_meanwhile_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = Object::new(3_000_000).write(folder.path(), "file");
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
    let open = || std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    open().set_modified(old).unwrap();
    let change = |_| std::io::Write::write_all(&mut open(), b"other").unwrap();
    let result = hash_file(&path, None, options(2, true), &change);
    assert!(
        matches!(result, Err(HashError::Changed { .. })),
        "{result:?}"
    );
}

#[test]
fn what_is_no_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let of = |path| hash_file(path, None, HashOptions::default(), &|_| ());
    assert!(matches!(of(folder.path()), Err(HashError::NotAFile { .. })));
    assert!(matches!(
        of(&folder.path().join("none")),
        Err(HashError::Read { .. })
    ));
}

#[test]
fn a_file_beyond_four_gibibytes_hashes_as_b3sum_does() {
    // Sparse: nothing is on the disk. 4 GiB + 1 B has the smallest offset that 32 bits cannot hold.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sparse");
    let size = (4u64 << 30) + 1;
    std::fs::File::create(&path).unwrap().set_len(size).unwrap();
    let hashed = hash_file(&path, None, options(2, false), &|_| ()).unwrap();
    // What `b3sum` says of as many zeros.
    let root = "1c5383e3e425b8b27d54e1b6bf91bb3320b8ba1496f7483f87b5f4490a542794";
    assert_eq!(hashed.root.to_string(), root);
}
