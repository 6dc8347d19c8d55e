//! The activity log from outside: whatever is done to its files is noticed; whatever a crash leaves
//! is mended.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

use peerlift_daemon::SystemLog;
use peerlift_daemon::activity::{
    ActivityLog, Fault, Happening, Origin, SEGMENT_BYTES_MAX, SEGMENTS_MAX,
};
use peerlift_daemon::time::UnixTime;

struct Home {
    folder: tempfile::TempDir,
    log: ActivityLog,
}

impl Home {
    /// A log with `Installed` and so many entries after it.
    fn with(entries: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = SystemLog::at("/nonexistent".into(), "/nonexistent".into());
        let log = ActivityLog::at(folder.path().join("activity"), nowhere);
        log.note_presence(origin("1.0")).unwrap();
        let home = Self { folder, log };
        home.shared(entries);
        home
    }

    fn shared(&self, entries: u64) {
        for bytes in 1..=entries {
            let name = format!("file {bytes}");
            self.log
                .note(Happening::Shared { name, bytes }, at(bytes))
                .unwrap();
        }
    }

    fn faults(&self) -> Vec<Fault> {
        self.log.check().unwrap().faults
    }

    fn files(&self) -> Vec<PathBuf> {
        let found = fs::read_dir(self.log.folder()).unwrap();
        let mut files: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|end| end == "log"));
        files.sort();
        files
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.files()[0]).unwrap();
        text.lines().map(|line| format!("{line}\n")).collect()
    }

    fn rewrite(&self, lines: &[String]) {
        fs::write(&self.files()[0], lines.concat()).unwrap();
    }
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::from_secs(1_780_000_000 + seconds)
}

fn origin(version: &str) -> Origin {
    Origin {
        at: at(0),
        program: "/usr/bin/peerlift".to_owned(),
        version: version.to_owned(),
        installed_by: "a test".to_owned(),
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn an_untouched_log_is_whole() {
    let home = Home::with(5);
    let checked = home.log.check().unwrap();
    assert_eq!(checked.faults, []);
    assert!(!checked.torn);
    assert_eq!(checked.entries.len(), 6);
    assert_eq!(checked.origin().unwrap().installed_by, "a test");
}

#[test]
fn presence_is_noted_once_and_versions_when_they_change() {
    let home = Home::with(0);
    home.log.note_presence(origin("1.0")).unwrap();
    home.log.note_presence(origin("1.1")).unwrap();
    home.log.note_presence(origin("1.1")).unwrap();
    let entries = home.log.check().unwrap().entries;
    assert_eq!(entries.len(), 2);
    let update = Happening::Updated {
        from: "1.0".to_owned(),
        to: "1.1".to_owned(),
    };
    assert_eq!(entries[1].what, update);
}

#[test]
fn every_edited_byte_is_noticed() {
    let home = Home::with(3);
    let path = home.files()[0].clone();
    let good = fs::read(&path).unwrap();
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 1;
        fs::write(&path, &bad).unwrap();
        assert_ne!(home.faults(), [], "byte {place}");
    }
    fs::write(&path, &good).unwrap();
    assert_eq!(home.faults(), []);
}

#[test]
fn an_edited_line_is_named() {
    let home = Home::with(4);
    let mut lines = home.lines();
    lines[2] = lines[2].replace("file 2", "file 9");
    home.rewrite(&lines);
    let file = file_name(&home.files()[0]);
    assert_eq!(home.faults(), [Fault::Edited { file, line: 3 }]);
}

#[test]
fn deleted_entries_are_named() {
    let home = Home::with(5);
    let mut lines = home.lines();
    lines.drain(2..4);
    home.rewrite(&lines);
    assert_eq!(home.faults(), [Fault::Missing { first: 3, last: 4 }]);
}

#[test]
fn the_first_entry_cannot_be_deleted_unnoticed() {
    let home = Home::with(2);
    let lines = home.lines();
    home.rewrite(&lines[1..]);
    assert_eq!(home.faults(), [Fault::Missing { first: 1, last: 1 }]);
}

#[test]
fn reordered_entries_are_named() {
    let home = Home::with(4);
    let mut lines = home.lines();
    lines.swap(1, 2);
    home.rewrite(&lines);
    let file = file_name(&home.files()[0]);
    let faults = home.faults();
    assert!(
        faults.contains(&Fault::OutOfOrder {
            file,
            line: 3,
            seq: 2
        }),
        "{faults:?}"
    );
}

#[test]
fn a_log_cut_at_any_line_is_noticed_and_stays_so() {
    let home = Home::with(5);
    let lines = home.lines();
    for kept in 0..lines.len() {
        home.rewrite(&lines[..kept]);
        let last = kept as u64;
        assert_eq!(
            home.faults(),
            [Fault::CutShort { last, written: 6 }],
            "{kept} lines"
        );
    }
    // Going on does not hide it.
    home.rewrite(&lines[..3]);
    home.shared(1);
    assert_eq!(home.faults(), [Fault::Missing { first: 4, last: 6 }]);
}

#[test]
fn a_log_cut_within_a_line_is_noticed() {
    let home = Home::with(2);
    let text = home.lines().concat();
    for length in 0..text.len() {
        fs::write(&home.files()[0], &text[..length]).unwrap();
        assert_ne!(home.faults(), [], "{length} bytes");
    }
}

#[test]
fn a_log_without_its_head_is_noticed() {
    let home = Home::with(2);
    fs::remove_file(home.log.folder().join("activity.head")).unwrap();
    assert_eq!(home.faults(), [Fault::NoHead]);
}

#[test]
fn an_entry_appended_by_somebody_else_is_noticed() {
    let home = Home::with(2);
    let mut lines = home.lines();
    lines.push(lines[1].clone());
    home.rewrite(&lines);
    let file = file_name(&home.files()[0]);
    assert_eq!(
        home.faults(),
        [Fault::OutOfOrder {
            file,
            line: 4,
            seq: 2
        }]
    );
}

#[test]
fn half_a_line_after_a_crash_is_cut_off_and_noted() {
    let home = Home::with(2);
    let path = home.files()[0].clone();
    let whole = fs::read(&path).unwrap();
    let head = fs::read(home.log.folder().join("activity.head")).unwrap();
    home.shared(1);
    let longer = fs::read(&path).unwrap();
    let head_path = home.log.folder().join("activity.head");
    // The crash came after any byte of the line, and before the head named it.
    for length in whole.len()..=longer.len() {
        fs::write(&path, &longer[..length]).unwrap();
        fs::write(&head_path, &head).unwrap();
        let torn = length != whole.len() && length != longer.len();
        let checked = home.log.check().unwrap();
        assert_eq!((checked.faults, checked.torn), (vec![], torn), "{length}");
        home.shared(1);
        let checked = home.log.check().unwrap();
        assert_eq!((checked.faults, checked.torn), (vec![], false), "{length}");
        let repairs = checked.entries.iter().filter(|entry| {
            matches!(&entry.what, Happening::Repaired { what } if what.contains("half written"))
        });
        assert_eq!(repairs.count(), usize::from(torn), "{length}");
    }
}

#[test]
fn an_entry_that_is_refused_is_not_found_later() {
    let home = Home::with(2);
    let before = fs::read(&home.files()[0]).unwrap();
    // The line has room, what follows it has not.
    let in_the_way = home.log.folder().join("activity.new");
    fs::create_dir(&in_the_way).unwrap();
    let name = "refused".to_owned();
    let what = Happening::Shared { name, bytes: 1 };
    assert!(home.log.note(what, at(9)).is_err());
    assert_eq!(fs::read(&home.files()[0]).unwrap(), before);
    assert_eq!(home.faults(), []);
    fs::remove_dir(in_the_way).unwrap();
    home.shared(1);
    let checked = home.log.check().unwrap();
    assert_eq!((checked.entries.len(), checked.faults), (4, vec![]));
}

#[test]
fn the_system_hears_of_what_matters_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let socket = std::os::unix::net::UnixDatagram::bind(&journal).unwrap();
    socket.set_nonblocking(true).unwrap();
    let system = SystemLog::at(journal, "/nonexistent".into());
    let log = ActivityLog::at(folder.path().join("activity"), system);
    let heard = || {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).ok()?;
        Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
    };
    for (version, kind) in [("1.0", "installed"), ("1.1", "updated")] {
        log.note_presence(origin(version)).unwrap();
        let text = heard().expect(kind);
        assert!(text.contains(&format!("{{\"kind\":\"{kind}\"")), "{text}");
    }
    let text = |text: &str| text.to_owned();
    let consent = Happening::Consent {
        publisher: "ab".repeat(32),
        publisher_name: text("Example OS"),
        agreed: text("in-background"),
        asked_by: text("a test"),
        answered_by: text("kim (uid 1000)"),
    };
    let asked_by = text("kim");
    for (what, kind) in [
        (consent, "consent"),
        (Happening::Removed { asked_by }, "removed"),
    ] {
        log.note(what, at(1)).unwrap();
        let text = heard().expect(kind);
        assert!(text.contains(&format!("{{\"kind\":\"{kind}\"")), "{text}");
        assert!(text.contains("PEERLIFT_HASH="), "{text}");
    }
    // Not with everything.
    let why = text("a test");
    log.note(Happening::Paused { why }, at(2)).unwrap();
    assert_eq!(heard(), None);
}

#[test]
fn full_files_are_sealed_and_the_log_stays_bounded_without_forgetting_its_origin() {
    let home = Home::with(0);
    let long = "x".repeat(400);
    while home.log.check().unwrap().entries[0].seq == 1 {
        for _ in 0..100 {
            let what = Happening::Paused { why: long.clone() };
            home.log.note(what, at(1)).unwrap();
        }
    }
    assert_eq!(home.files().len(), SEGMENTS_MAX);
    let bytes: u64 = home
        .files()
        .iter()
        .map(|file| fs::metadata(file).unwrap().len())
        .sum();
    assert!(bytes < (SEGMENTS_MAX * (SEGMENT_BYTES_MAX + 4096)) as u64);
    let checked = home.log.check().unwrap();
    assert_eq!(checked.faults, []);
    assert_eq!(checked.origin().unwrap().installed_by, "a test");
    home.log.note_presence(origin("1.0")).unwrap();
    assert_eq!(
        home.log.check().unwrap().entries.len(),
        checked.entries.len()
    );

    // A whole file that goes is noticed, wherever it stood.
    for file in home.files() {
        let bytes = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        assert_ne!(home.faults(), [], "{}", file.display());
        fs::write(&file, bytes).unwrap();
    }
    assert_eq!(home.faults(), []);
}

#[test]
fn two_programs_write_one_log() {
    let home = Home::with(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| home.shared(10));
        }
    });
    let checked = home.log.check().unwrap();
    assert_eq!((checked.entries.len(), checked.faults), (41, vec![]));
}

#[test]
fn strangers_cannot_flood_an_entry_or_break_a_line() {
    let home = Home::with(0);
    let name = format!("a\nb\u{1b}[2J{}", "é".repeat(100_000));
    home.log
        .note(Happening::Shared { name, bytes: 1 }, at(1))
        .unwrap();
    let checked = home.log.check().unwrap();
    assert_eq!(checked.faults, []);
    let Happening::Shared { name, .. } = &checked.entries[1].what else {
        panic!()
    };
    assert!(
        name.starts_with("ab[2Jé") && name.chars().count() == 512,
        "{name}"
    );
    drop(home.folder);
}
