//! Publishing files and folders: what is done, and what is left undone.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use common::{Object, content};
use peerlift_content::{
    Manifest, Outcome, PublishError, PublishSettings, Published, PublisherKey, Sidecars,
    publish_file, publish_path, publishable_files,
};

fn key() -> PublisherKey {
    PublisherKey::from_seed(&[7; 32])
}

/// Publishes; returns how many bytes were read too.
fn publish_with(path: &Path, settings: &PublishSettings) -> (Published, u64) {
    let read = AtomicU64::new(0);
    let progress = |bytes| {
        read.fetch_add(bytes, Ordering::Relaxed);
    };
    let published = publish_file(path, &key(), settings, &progress).unwrap();
    (published, read.into_inner())
}

fn publish(path: &Path) -> (Published, u64) {
    publish_with(path, &PublishSettings::default())
}

/// Makes the file look as if it had been written an hour (and some seconds) ago.
fn age(path: &Path, seconds: u64) {
    let then = SystemTime::now() - Duration::from_secs(3600 + seconds);
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(then)
        .unwrap();
}

fn a_file(folder: &Path, size: u64) -> PathBuf {
    let path = folder.join("file.zip");
    fs::write(&path, content(size)).unwrap();
    age(&path, 0);
    path
}

fn manifest(path: &Path) -> Manifest {
    Sidecars::beside(path).read_manifest().unwrap().manifest
}

#[test]
fn writes_both_sidecars_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = a_file(folder.path(), 2_000_001);
    let object = Object::new(2_000_001);
    let (published, read) = publish(&path);
    assert_eq!((published.outcome, read), (Outcome::New, 2_000_001));
    assert_eq!(published.manifest, manifest(&path));
    assert_eq!(published.manifest.root, object.root);
    assert_eq!(published.manifest.name, "file.zip");
    assert_eq!(published.manifest.media_type, "application/zip");
    assert_eq!(published.manifest.revision, 1);
    assert_eq!(
        fs::read(folder.path().join("file.zip.obao")).unwrap(),
        object.outboard
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn an_unchanged_file_is_not_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = a_file(folder.path(), 100_000);
    let (first, _) = publish(&path);
    let written = fs::metadata(&first.sidecars.manifest)
        .unwrap()
        .modified()
        .unwrap();
    let (second, read) = publish(&path);
    assert_eq!((second.outcome, read), (Outcome::Unchanged, 0));
    assert_eq!(second.manifest, first.manifest);
    assert_eq!(
        fs::metadata(&first.sidecars.manifest)
            .unwrap()
            .modified()
            .unwrap(),
        written
    );
}

#[test]
fn a_changed_file_gets_a_new_revision() {
    let folder = tempfile::tempdir().unwrap();
    let path = a_file(folder.path(), 100_000);
    publish(&path);
    fs::write(&path, content(100_001)).unwrap();
    let (second, read) = publish(&path);
    assert_eq!((second.outcome, read), (Outcome::NewRevision, 100_001));
    assert_eq!(
        (second.manifest.revision, manifest(&path).size()),
        (2, 100_001)
    );
}

#[test]
fn a_file_of_the_same_size_and_time_but_another_inode_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = a_file(folder.path(), 100_000);
    publish(&path);
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let other = folder.path().join("other");
    fs::write(&other, vec![0; 100_000]).unwrap();
    fs::File::options()
        .write(true)
        .open(&other)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    fs::rename(&other, &path).unwrap();
    assert_eq!(publish(&path).0.outcome, Outcome::NewRevision);
}

#[test]
fn a_touched_file_is_read_once_and_keeps_its_revision() {
    let folder = tempfile::tempdir().unwrap();
    let path = a_file(folder.path(), 100_000);
    let (first, _) = publish(&path);
    age(&path, 5);
    let (second, read) = publish(&path);
    assert_eq!((second.outcome, read), (Outcome::Unchanged, 100_000));
    assert_eq!(second.manifest, first.manifest);
    assert_eq!(publish(&path).1, 0);
}

#[test]
fn a_file_written_this_moment_is_not_taken_at_its_word_next_time() {
    let folder = tempfile::tempdir().unwrap();
    let path = a_file(folder.path(), 100_000);
    // A clock that lags behind by an hour, as on a network file system, keeps it that way.
    let soon = SystemTime::now() + Duration::from_secs(3600);
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(soon)
        .unwrap();
    publish(&path);
    assert_eq!(publish(&path).1, 100_000);
}

#[test]
fn copied_elsewhere_with_its_sidecars_it_keeps_its_revision() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = a_file(here.path(), 100_000);
    let (first, _) = publish(&path);
    for entry in fs::read_dir(here.path()).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), there.path().join(entry.file_name())).unwrap();
    }
    let (copy, read) = publish(&there.path().join("file.zip"));
    assert_eq!((copy.outcome, read), (Outcome::Unchanged, 100_000));
    assert_eq!(copy.manifest, first.manifest);
}

#[test]
fn other_settings_sign_again_without_reading() {
    let folder = tempfile::tempdir().unwrap();
    let path = a_file(folder.path(), 100_000);
    let (first, _) = publish(&path);
    let control = vec!["/.peerlift/control".to_owned()];
    let settings = PublishSettings {
        control: control.clone(),
        ..PublishSettings::default()
    };
    let (second, read) = publish_with(&path, &settings);
    assert_eq!((second.outcome, read), (Outcome::Resigned, 0));
    assert_eq!(second.manifest.revision, 2);
    assert_eq!(second.manifest.root, first.manifest.root);
    assert_eq!(second.manifest.sha256, first.manifest.sha256);
    assert_eq!(manifest(&path).control, control);
    assert_eq!(publish_with(&path, &settings).0.outcome, Outcome::Unchanged);
}

#[test]
fn another_key_signs_again_without_reading() {
    let folder = tempfile::tempdir().unwrap();
    let path = a_file(folder.path(), 100_000);
    publish(&path);
    let other = PublisherKey::from_seed(&[9; 32]);
    let no_reading = |_| panic!("read again");
    let published = publish_file(&path, &other, &PublishSettings::default(), &no_reading).unwrap();
    assert_eq!(
        (published.outcome, published.publisher),
        (Outcome::Resigned, other.id())
    );
    assert_eq!(
        Sidecars::beside(&path).read_manifest().unwrap().publisher,
        other.id()
    );
}

#[test]
fn a_missing_outboard_or_sha256_is_made_up_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = a_file(folder.path(), 100_000);
    let without = PublishSettings {
        sha256: false,
        ..PublishSettings::default()
    };
    let (first, _) = publish_with(&path, &without);
    assert_eq!(first.manifest.sha256, None);
    let (second, read) = publish(&path);
    assert_eq!((second.outcome, read), (Outcome::Resigned, 100_000));
    assert!(second.manifest.sha256.is_some());
    fs::remove_file(&second.sidecars.outboard).unwrap();
    let (third, read) = publish(&path);
    assert_eq!((third.outcome, read), (Outcome::Unchanged, 100_000));
    assert!(third.sidecars.outboard.exists());
    // Once known, the SHA-256 stays, though it is not asked for.
    assert_eq!(publish_with(&path, &without).0.outcome, Outcome::Unchanged);
}

#[test]
fn a_spoilt_manifest_counts_for_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = a_file(folder.path(), 100_000);
    let (first, _) = publish(&path);
    fs::write(&first.sidecars.manifest, "{").unwrap();
    assert_eq!(publish(&path).0.outcome, Outcome::New);
}

#[test]
fn sidecars_may_lie_elsewhere() {
    let (folder, sidecars) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::create_dir(folder.path().join("sub")).unwrap();
    let path = a_file(&folder.path().join("sub"), 100);
    let settings = PublishSettings {
        sidecar_dir: Some(sidecars.path().to_owned()),
        ..PublishSettings::default()
    };
    let results = publish_path(folder.path(), &key(), &settings, &mut |_, _| (), &|_| ()).unwrap();
    let published = results[0].1.as_ref().unwrap();
    assert_eq!(
        published.sidecars.manifest,
        sidecars.path().join("sub/file.zip.peerlift")
    );
    assert!(published.sidecars.outboard.exists());
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1);
}

#[test]
fn a_folder_yields_its_visible_plain_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("b/.hidden")).unwrap();
    let files = [
        "c",
        "a.zip",
        "a.zip.peerlift",
        "a.zip.obao",
        "x.part",
        "x.part.state",
        ".dot",
    ];
    for name in files.into_iter().chain(["b/d", "b/.hidden/e"]) {
        fs::write(at(name), name).unwrap();
    }
    std::os::unix::fs::symlink(at("c"), at("link")).unwrap();
    let found = publishable_files(folder.path()).unwrap();
    assert_eq!(found, [at("a.zip"), at("b/d"), at("c")]);
    let mut begun = Vec::new();
    let mut begin = |path: &Path, size| begun.push((path.to_owned(), size));
    let settings = PublishSettings::default();
    let results = publish_path(folder.path(), &key(), &settings, &mut begin, &|_| ()).unwrap();
    assert!(results.iter().all(|(_, result)| result.is_ok()));
    assert_eq!(begun, [(at("a.zip"), 5), (at("b/d"), 3), (at("c"), 1)]);
    assert_eq!(publishable_files(folder.path()).unwrap(), found);
}

#[test]
fn failures_leave_the_former_sidecars_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = a_file(folder.path(), 100_000);
    let (first, _) = publish(&path);
    fs::write(&path, content(90_000)).unwrap();
    let bad = PublishSettings {
        publisher_name: "\n".to_owned(),
        ..PublishSettings::default()
    };
    let result = publish_file(&path, &key(), &bad, &|_| ());
    assert!(
        matches!(result, Err(PublishError::Manifest(_))),
        "{result:?}"
    );
    assert_eq!(manifest(&path), first.manifest);
    assert_eq!(
        fs::read(&first.sidecars.outboard).unwrap(),
        Object::new(100_000).outboard
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

#[test]
fn what_is_not_there_cannot_be_published() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none");
    let result = publish_file(&missing, &key(), &PublishSettings::default(), &|_| ());
    assert!(matches!(result, Err(PublishError::Io { .. })), "{result:?}");
    assert!(publishable_files(&missing).is_err());
}
