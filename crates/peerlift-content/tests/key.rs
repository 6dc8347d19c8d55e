//! The publisher's key file.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use peerlift_content::{KeyError, PublisherKey};

#[test]
fn is_made_on_first_use_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/peerlift/publisher.key");
    let key = PublisherKey::load_or_create(&path).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(PublisherKey::load_or_create(&path).unwrap().id(), key.id());
    let left: Vec<_> = fs::read_dir(path.parent().unwrap()).unwrap().collect();
    assert_eq!(left.len(), 1, "no temporary file stays behind");
}

#[test]
fn two_that_make_it_at_once_end_up_with_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("publisher.key");
    let ids: Vec<_> = std::thread::scope(|scope| {
        let make = || PublisherKey::load_or_create(&path).unwrap().id();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]));
}

/// RFC 8032 §7.1, test 1, in the form of `openssl genpkey -algorithm ed25519`.
const RFC_8032_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";

fn write(text: &str, mode: u32) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    (folder, path)
}

#[test]
fn has_the_form_that_openssl_writes() {
    let (_folder, path) = write(RFC_8032_KEY, 0o600);
    let id = PublisherKey::load(&path).unwrap().id().to_string();
    assert_eq!(
        id,
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    );
}

#[test]
fn is_never_shown() {
    let (_folder, path) = write(RFC_8032_KEY, 0o600);
    let shown = format!(
        "{:?} {:#?}",
        PublisherKey::load(&path),
        PublisherKey::load(&path)
    );
    for secret in ["9d61b1", "nWGxne", "157, 97, 177"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn open_to_others_it_is_refused() {
    for mode in [0o604, 0o620, 0o644, 0o666] {
        let (_folder, path) = write(RFC_8032_KEY, mode);
        let refused = PublisherKey::load_or_create(&path).unwrap_err();
        assert!(
            matches!(refused, KeyError::Exposed { .. }),
            "{mode:o}: {refused:?}"
        );
    }
    // Containers hand out secrets that a group may read.
    let (_folder, path) = write(RFC_8032_KEY, 0o440);
    assert!(PublisherKey::load(&path).is_ok());
}

#[test]
fn something_else_in_its_place_is_left_alone() {
    for text in [
        "",
        "hello",
        "-----BEGIN PRIVATE KEY-----\nMC4C\n-----END PRIVATE KEY-----\n",
    ] {
        let (_folder, path) = write(text, 0o600);
        let refused = PublisherKey::load_or_create(&path).unwrap_err();
        assert!(matches!(refused, KeyError::Malformed { .. }), "{refused:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}
