//! The files of a download: whose they are, who may write them, what becomes of them.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use common::{Object, names};
use peerlift_model::{GROUP_BYTES, GroupRange};
use peerlift_store::{ForeignPart, Found, PartialOptions, PlainPartial, StoreError, WriteError};

fn foreign(foreign: ForeignPart) -> PartialOptions {
    PartialOptions {
        foreign,
        ..PartialOptions::default()
    }
}

/// A folder with the beginnings of an object.
fn begun(object: &Object, groups: GroupRange) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let partial = object.open(&folder.path().join("file")).unwrap();
    object.fetch_from_edge(&partial, groups).unwrap();
    folder
}

#[test]
fn a_download_is_taken_up_where_it_ended() {
    let object = Object::new(50 * GROUP_BYTES);
    let folder = begun(&object, GroupRange::new(7, 9));
    assert_eq!(
        names(folder.path()),
        ["file.part", "file.part.obao", "file.part.state"]
    );
    let partial = object.open(&folder.path().join("file")).unwrap();
    assert_eq!(partial.have(), GroupRange::new(7, 9).into());
    assert!(partial.missing_nodes(GroupRange::new(7, 9)).is_empty());
}

#[test]
fn a_second_opener_is_turned_away_until_the_first_is_gone() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(5 * GROUP_BYTES));
    let target = folder.path().join("file");
    let first = object.open(&target).unwrap();
    assert!(matches!(
        object.open(&target),
        Err(StoreError::InUse { .. })
    ));
    let plain = PlainPartial::open(&target, None, None, PartialOptions::default());
    assert!(matches!(plain, Err(StoreError::InUse { .. })));
    drop(first);
    object.open(&target).unwrap();
}

#[test]
fn a_finished_download_blocks_nobody() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(5 * GROUP_BYTES));
    let target = folder.path().join("file");
    let first = object.open(&target).unwrap();
    object.fetch_from_edge(&first, object.all()).unwrap();
    first.commit().unwrap();
    assert!(matches!(
        object.open(&target),
        Err(StoreError::TargetExists { .. })
    ));
    let overwrite = PartialOptions {
        overwrite: true,
        ..PartialOptions::default()
    };
    let second = object.open_with(&target, overwrite).unwrap();
    assert!(second.have().is_empty());
}

#[test]
fn an_existing_target_is_kept_unless_told_otherwise() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(5 * GROUP_BYTES));
    let target = folder.path().join("file");
    fs::write(&target, "precious").unwrap();
    assert!(matches!(
        object.open(&target),
        Err(StoreError::TargetExists { .. })
    ));
    assert_eq!(names(folder.path()), ["file"]);
    let overwrite = PartialOptions {
        overwrite: true,
        ..PartialOptions::default()
    };
    let partial = object.open_with(&target, overwrite).unwrap();
    object.fetch_from_edge(&partial, object.all()).unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    partial.commit().unwrap();
    assert!(fs::read(&target).unwrap() == object.data);
}

#[test]
fn a_target_that_appears_meanwhile_is_kept() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(5 * GROUP_BYTES));
    let target = folder.path().join("file");
    let partial = object.open(&target).unwrap();
    object.fetch_from_edge(&partial, object.all()).unwrap();
    fs::write(&target, "precious").unwrap();
    assert!(matches!(
        partial.commit(),
        Err(StoreError::TargetExists { .. })
    ));
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    fs::remove_file(&target).unwrap();
    partial.commit().unwrap();
    assert!(fs::read(&target).unwrap() == object.data);
}

#[test]
fn parts_of_another_object_are_refused_by_its_name() {
    let (object, other) = (
        Object::new(50 * GROUP_BYTES),
        Object::seeded(50 * GROUP_BYTES, b"x"),
    );
    let folder = begun(&other, GroupRange::new(7, 9));
    let refused = object.open(&folder.path().join("file")).unwrap_err();
    let StoreError::OtherObject { found, .. } = &refused else {
        panic!("{refused:?}")
    };
    assert_eq!(*found, Found::Object(other.root));
    assert!(refused.to_string().contains(&other.root.to_string()));
    assert_eq!(
        other
            .open(&folder.path().join("file"))
            .unwrap()
            .have()
            .len(),
        2
    );
}

#[test]
fn parts_of_another_object_are_moved_aside_whole() {
    let (object, other) = (
        Object::new(50 * GROUP_BYTES),
        Object::seeded(50 * GROUP_BYTES, b"x"),
    );
    let folder = begun(&other, GroupRange::new(7, 9));
    let target = folder.path().join("file");
    let partial = object
        .open_with(&target, foreign(ForeignPart::MoveAside))
        .unwrap();
    assert!(partial.have().is_empty());
    assert_eq!(names(folder.path()).len(), 6);
    // Given its names back, the other download goes on.
    drop(partial);
    for suffix in ["", ".obao", ".state"] {
        let name = |middle| folder.path().join(format!("file.part{middle}{suffix}"));
        fs::rename(name(".1"), name("")).unwrap();
    }
    assert_eq!(other.open(&target).unwrap().have().len(), 2);
}

#[test]
fn parts_of_another_object_are_thrown_away_on_demand() {
    let (object, other) = (
        Object::new(50 * GROUP_BYTES),
        Object::seeded(90 * GROUP_BYTES, b"x"),
    );
    let folder = begun(&other, GroupRange::new(7, 90));
    let target = folder.path().join("file");
    let partial = object
        .open_with(&target, foreign(ForeignPart::Discard))
        .unwrap();
    assert!(partial.have().is_empty());
    object.fetch_from_edge(&partial, object.all()).unwrap();
    partial.commit().unwrap();
    assert!(fs::read(&target).unwrap() == object.data);
    assert_eq!(names(folder.path()), ["file"]);
}

#[test]
fn a_part_that_is_not_ours_is_never_thrown_away() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(5 * GROUP_BYTES));
    let part = folder.path().join("file.part");
    fs::write(&part, "another program's").unwrap();
    for choice in [ForeignPart::Refuse, ForeignPart::Discard] {
        let refused = object.open_with(&folder.path().join("file"), foreign(choice));
        assert!(
            matches!(refused, Err(StoreError::NotOurs { .. })),
            "{refused:?}"
        );
        assert_eq!(fs::read(&part).unwrap(), b"another program's");
    }
    let choice = foreign(ForeignPart::MoveAside);
    object
        .open_with(&folder.path().join("file"), choice)
        .unwrap();
    assert_eq!(
        fs::read(folder.path().join("file.part.1")).unwrap(),
        b"another program's"
    );
}

#[test]
fn without_its_state_the_rest_proves_itself() {
    let object = Object::new(50 * GROUP_BYTES);
    let folder = begun(&object, GroupRange::new(7, 9));
    fs::remove_file(folder.path().join("file.part.state")).unwrap();
    let partial = object.open(&folder.path().join("file")).unwrap();
    assert_eq!(partial.have(), GroupRange::new(7, 9).into());
}

#[test]
fn copied_elsewhere_the_parts_are_checked() {
    let object = Object::new(50 * GROUP_BYTES);
    let (from, to) = (
        begun(&object, GroupRange::new(7, 12)),
        tempfile::tempdir().unwrap(),
    );
    for name in names(from.path()) {
        fs::copy(from.path().join(&name), to.path().join(&name)).unwrap();
    }
    let part = fs::File::options()
        .write(true)
        .open(to.path().join("file.part"))
        .unwrap();
    part.write_all_at(b"bad copy", 9 * GROUP_BYTES).unwrap();
    let partial = object.open(&to.path().join("file")).unwrap();
    let expected = [GroupRange::new(7, 9), GroupRange::new(10, 12)]
        .into_iter()
        .collect();
    assert_eq!(partial.have(), expected);
}

#[test]
fn a_damaged_or_cut_outboard_is_not_built_upon() {
    let object = Object::new(50 * GROUP_BYTES);
    for len in [0, 64, 1000] {
        let folder = begun(&object, GroupRange::new(7, 12));
        let target = folder.path().join("file");
        let outboard = fs::File::options()
            .write(true)
            .open(folder.path().join("file.part.obao"));
        outboard.unwrap().set_len(len).unwrap();
        let partial = object.open(&target).unwrap();
        assert!(
            partial
                .have()
                .difference(&GroupRange::new(7, 12).into())
                .is_empty()
        );
        assert!(len > 64 || partial.have().is_empty());
        object.fetch_from_edge(&partial, object.all()).unwrap();
        assert!(fs::read(partial.commit().unwrap()).unwrap() == object.data);
    }
}

#[test]
fn what_the_system_refuses_has_a_name() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(5 * GROUP_BYTES));
    let refused = |path: &Path| object.open(path).unwrap_err();
    let no_folder = refused(&folder.path().join("none/file"));
    assert!(
        matches!(no_folder, StoreError::NoFolder { .. }),
        "{no_folder:?}"
    );
    let long = refused(&folder.path().join("n".repeat(252)));
    assert!(matches!(long, StoreError::NameTooLong { .. }), "{long:?}");
    assert!(
        names(folder.path()).is_empty(),
        "{:?}",
        names(folder.path())
    );
}

#[test]
fn a_read_only_folder_has_a_name_too() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(5 * GROUP_BYTES));
    let Some(mount) = Mount::tmpfs(folder.path(), "size=1m,ro") else {
        return;
    };
    let refused = object.open(&folder.path().join("file")).unwrap_err();
    assert!(
        matches!(refused, StoreError::ReadOnly { .. }),
        "{refused:?}"
    );
    drop(mount);
    if !rustix::process::geteuid().is_root() {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
        let refused = object.open(&folder.path().join("file")).unwrap_err();
        assert!(
            matches!(refused, StoreError::ReadOnly { .. }),
            "{refused:?}"
        );
    }
}

#[test]
fn what_has_no_room_is_not_begun() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(100 * GROUP_BYTES));
    let Some(_mount) = Mount::tmpfs(folder.path(), "size=1m") else {
        return;
    };
    let refused = object.open(&folder.path().join("file")).unwrap_err();
    let StoreError::TooLittleRoom {
        needed, available, ..
    } = refused
    else {
        panic!("{refused:?}")
    };
    assert_eq!(needed, 100 * GROUP_BYTES);
    assert!(available <= 1 << 20);
    assert!(
        names(folder.path()).is_empty(),
        "{:?}",
        names(folder.path())
    );
}

#[test]
fn a_disk_that_fills_up_stops_the_download_and_loses_nothing() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(100 * GROUP_BYTES));
    let Some(_mount) = Mount::tmpfs(folder.path(), "size=4m") else {
        return;
    };
    let target = folder.path().join("file");
    let partial = object.open(&target).unwrap();
    object
        .fetch_from_edge(&partial, GroupRange::new(0, 10))
        .unwrap();
    let hog = folder.path().join("hog");
    let error = fs::write(&hog, vec![1; 8 << 20]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    let error = object
        .fetch_from_edge(&partial, GroupRange::new(10, 100))
        .unwrap_err();
    assert!(
        matches!(error, WriteError::Storage(StoreError::Full { .. })),
        "{error:?}"
    );
    assert_eq!(partial.have(), GroupRange::new(0, 10).into());
    // Room again: the same download goes on, in this process and in the next.
    fs::remove_file(&hog).unwrap();
    object
        .fetch_from_edge(&partial, GroupRange::new(10, 60))
        .unwrap();
    drop(partial);
    let partial = object.open(&target).unwrap();
    assert_eq!(partial.have(), GroupRange::new(0, 60).into());
    object.fetch_from_edge(&partial, object.all()).unwrap();
    partial.commit().unwrap();
    assert!(fs::read(&target).unwrap() == object.data);
}

/// A small file system, for as long as the value lives.
struct Mount<'a>(&'a Path);

impl<'a> Mount<'a> {
    /// `None`, said aloud, where mounting is not allowed.
    fn tmpfs(path: &'a Path, options: &str) -> Option<Self> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "peerlift-test"])
            .arg(path)
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(path)),
            other => {
                eprintln!("NOT TESTED: mounting a tmpfs needs root: {other:?}");
                None
            }
        }
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        // Lazily: files may still be open in the test.
        let unmounted = Command::new("umount").arg("-l").arg(self.0).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}
