//! What a journal is worth after a restart of the machine. The restart is played by writing
//! another start's identity into the journal.

use std::os::unix::fs::FileExt;

use peerlift_content::{HashOptions, hash_file};
use peerlift_model::{GROUP_BYTES, GroupIndex};

use super::*;
use crate::partial::PartialObject;
use crate::plain::PlainPartial;

const GROUPS: u64 = 12;

/// A folder with a complete, uncommitted download of `file`.
fn downloaded() -> (tempfile::TempDir, ObjectId, Layout) {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let data: Vec<u8> = (0..=250)
        .cycle()
        .take(usize::try_from(GROUPS * GROUP_BYTES).unwrap())
        .collect();
    std::fs::write(at("source"), &data).unwrap();
    let outboard = File::create(at("obao")).unwrap();
    let options = HashOptions::default();
    let hashed = hash_file(&at("source"), Some(&outboard), options, &|_| ()).unwrap();
    let (root, layout) = (hashed.root, hashed.layout);
    let options = PartialOptions::default();
    let partial = PartialObject::open(&at("file"), root, layout, options).unwrap();
    let nodes = std::fs::read(at("obao")).unwrap();
    for range in partial.missing_nodes(layout.all_groups()) {
        partial.accept_nodes(range, &nodes).unwrap();
    }
    partial.write_groups(GroupIndex(0), &data).unwrap();
    drop(partial);
    (folder, root, layout)
}

/// Makes the journal at `path` one of another start of the machine.
fn restart(path: &Path) {
    let Journal {
        mut header,
        records,
    } = Journal::read(path).unwrap().unwrap();
    header.boot = BootId([7; 16]);
    JournalWriter::begin(path, &header, &records).unwrap();
}

fn damage(path: &Path, at: u64) {
    File::options()
        .write(true)
        .open(path)
        .unwrap()
        .write_all_at(b"damage", at)
        .unwrap();
}

fn have_after(folder: &Path, root: ObjectId, layout: Layout) -> GroupSet {
    let options = PartialOptions::default();
    PartialObject::open(&folder.join("file"), root, layout, options)
        .unwrap()
        .have()
}

#[test]
fn while_the_machine_runs_the_journal_is_believed() {
    let (folder, root, layout) = downloaded();
    // Nothing reads the data: even damage goes unnoticed here, and is noticed when it is served.
    damage(&folder.path().join("file.part"), 5 * GROUP_BYTES);
    assert_eq!(have_after(folder.path(), root, layout).len(), GROUPS);
}

#[test]
fn after_a_restart_it_is_checked() {
    let (folder, root, layout) = downloaded();
    damage(&folder.path().join("file.part"), 5 * GROUP_BYTES);
    restart(&folder.path().join("file.part.state"));
    let have = have_after(folder.path(), root, layout);
    assert_eq!(
        have.gaps_in(layout.all_groups()).collect::<Vec<_>>(),
        [GroupRange::new(5, 6)]
    );
    // What was checked is believed from then on.
    damage(&folder.path().join("file.part"), 7 * GROUP_BYTES);
    assert_eq!(have_after(folder.path(), root, layout), have);
}

#[test]
fn groups_beyond_the_end_in_a_journal_are_cut_off() {
    let layout = Layout::new(3 * GROUP_BYTES).unwrap();
    let records = [
        Record::Added(vec![(1, 2), (2, u64::MAX)]),
        Record::Removed(vec![(0, 2)]),
    ];
    assert_eq!(fold(&records, layout), GroupRange::new(2, 3).into());
}

#[test]
fn of_a_plain_file_only_what_the_disk_is_known_to_hold_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file");
    let size = 200 << 20;
    let open = || {
        let options = PartialOptions::default();
        PlainPartial::open(&target, Some("\"v1\""), Some(size), options).unwrap()
    };
    let total = |plain: &PlainPartial| plain.have().iter().map(|range| range.len()).sum::<u64>();
    let plain = open();
    let step = vec![1; 1 << 20];
    for at in 0..70 {
        plain.write(at << 20, &step).unwrap();
    }
    drop(plain);
    assert_eq!(total(&open()), 70 << 20);
    restart(&folder.path().join("file.part.state"));
    assert_eq!(total(&open()), 64 << 20);
    restart(&folder.path().join("file.part.state"));
    assert_eq!(
        total(&open()),
        64 << 20,
        "known to be on the disk after the second restart too"
    );
}
