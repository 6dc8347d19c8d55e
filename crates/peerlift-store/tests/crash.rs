//! A process that dies at any moment loses a few MiB at most, and never gains a wrong byte.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Object, names};
use peerlift_model::{GROUP_BYTES, GroupRange};
use peerlift_store::{CHECKPOINT_BYTES, PartialOptions, PlainPartial};

/// Copies a download as a crash may leave it: same inodes are not kept, so it will be checked.
fn snapshot(from: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    for name in names(from) {
        fs::copy(from.join(&name), to.path().join(&name)).unwrap();
    }
    to
}

#[test]
fn a_state_file_cut_anywhere_is_believed_up_to_the_cut() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(40 * GROUP_BYTES));
    let target = folder.path().join("file");
    let state = folder.path().join("file.part.state");
    // Three checkpoints: three records.
    let partial = object.open(&target).unwrap();
    let mut lens = vec![fs::metadata(&state).unwrap().len()];
    for (start, end) in [(0, 10), (20, 30), (10, 20)] {
        object
            .fetch_from_edge(&partial, GroupRange::new(start, end))
            .unwrap();
        partial.checkpoint().unwrap();
        lens.push(fs::metadata(&state).unwrap().len());
    }
    drop(partial);
    let whole = fs::read(&state).unwrap();
    assert_eq!(whole.len() as u64, lens[3], "dropping had nothing to add");
    for cut in 0..=whole.len() {
        fs::write(&state, &whole[..cut]).unwrap();
        let partial = object.open(&target).unwrap();
        let records = lens.iter().filter(|len| **len <= cut as u64).count();
        // Without even a header, everything is found by looking.
        let expected = [30, 0, 10, 20, 30][records];
        assert_eq!(
            partial.have().len(),
            expected,
            "cut at {cut} of {}",
            whole.len()
        );
    }
}

#[test]
fn any_flipped_bit_in_the_state_file_is_noticed() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(40 * GROUP_BYTES));
    let target = folder.path().join("file");
    let state = folder.path().join("file.part.state");
    let partial = object.open(&target).unwrap();
    object
        .fetch_from_edge(&partial, GroupRange::new(5, 15))
        .unwrap();
    drop(partial);
    let whole = fs::read(&state).unwrap();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&state, &bytes).unwrap();
        let have = object.open(&target).unwrap().have();
        assert!(
            have.is_empty() || have == GroupRange::new(5, 15).into(),
            "byte {at}: {have:?}"
        );
    }
}

#[test]
fn data_that_did_not_reach_the_disk_are_fetched_again() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(40 * GROUP_BYTES));
    let partial = object.open(&folder.path().join("file")).unwrap();
    object.fetch_from_edge(&partial, object.all()).unwrap();
    partial.checkpoint().unwrap();
    let crashed = snapshot(folder.path());
    // The journal claims all; a stretch of data and a part of the outboard were lost.
    let zero = |name: &str, at: u64, len: usize| {
        let file = fs::File::options()
            .write(true)
            .open(crashed.path().join(name))
            .unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &vec![0; len], at).unwrap();
    };
    zero("file.part", 3 * GROUP_BYTES, 2 * 16384);
    let again = object.open(&crashed.path().join("file")).unwrap();
    assert_eq!(
        again.have().gaps_in(object.all()).collect::<Vec<_>>(),
        [GroupRange::new(3, 5)]
    );
    drop(again);
    let crashed = snapshot(crashed.path());
    let file = fs::File::options()
        .write(true)
        .open(crashed.path().join("file.part.obao"))
        .unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0; 64], 64).unwrap();
    let again = object.open(&crashed.path().join("file")).unwrap();
    // Node 1 is above groups 0..32.
    assert_eq!(again.have(), GroupRange::new(32, 40).into());
    object.fetch_from_edge(&again, object.all()).unwrap();
    assert!(fs::read(again.commit().unwrap()).unwrap() == object.data);
}

#[test]
fn dying_between_the_final_rename_and_the_clearing_up_leaves_only_litter() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(40 * GROUP_BYTES));
    let target = folder.path().join("file");
    let partial = object.open(&target).unwrap();
    object.fetch_from_edge(&partial, object.all()).unwrap();
    drop(partial);
    fs::rename(
        folder.path().join("file.part"),
        folder.path().join("elsewhere"),
    )
    .unwrap();
    // The next download of that name is another one, and not confused by what is left.
    let other = Object::seeded(3 * GROUP_BYTES, b"other");
    let partial = other.open(&target).unwrap();
    assert!(partial.have().is_empty());
    other.fetch_from_edge(&partial, other.all()).unwrap();
    partial.commit().unwrap();
    assert_eq!(names(folder.path()), ["elsewhere", "file"]);
}

/// The victim of the next test: fills an object group by group and says how far it is.
#[test]
fn victim() {
    let Some(target) = std::env::var_os("PEERLIFT_TEST_VICTIM") else {
        return;
    };
    let object = Object::new(SIZE);
    let partial = object.open(Path::new(&target)).unwrap();
    let mut out = std::io::stdout();
    for group in object.all().iter() {
        object
            .fetch_from_edge(&partial, GroupRange::one(group))
            .unwrap();
        writeln!(out, "\nwrote {}", group.0).unwrap();
    }
    out.flush().unwrap();
    // Complete, but never to be dropped: the parent kills it.
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

const SIZE: u64 = 5 * CHECKPOINT_BYTES / 2;

#[test]
fn kill_9_loses_one_checkpoint_at_most() {
    let (folder, object) = (tempfile::tempdir().unwrap(), Object::new(SIZE));
    let target = folder.path().join("file");
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "victim", "--nocapture"])
        .env("PEERLIFT_TEST_VICTIM", &target)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let last = object.all().end() - 1;
    let mut reached = lines
        .map_while(Result::ok)
        .filter(|line| *line == format!("wrote {last}"));
    assert!(reached.next().is_some(), "the victim wrote everything");
    victim.kill().unwrap();
    victim.wait().unwrap();
    let partial = object.open(&target).unwrap();
    let lost = (u64::from(object.all().end()) - partial.have().len()) * GROUP_BYTES;
    assert!(lost < CHECKPOINT_BYTES, "{lost} bytes lost");
    assert!(lost > 0, "the victim died without a last word");
    object.fetch_from_edge(&partial, object.all()).unwrap();
    assert!(fs::read(partial.commit().unwrap()).unwrap() == object.data);
}

#[test]
fn a_plain_state_file_cut_anywhere_is_believed_up_to_the_cut() {
    let folder = tempfile::tempdir().unwrap();
    let target = folder.path().join("file");
    let state = folder.path().join("file.part.state");
    let open = || {
        let options = PartialOptions::default();
        PlainPartial::open(&target, Some("\"v1\""), Some(300), options)
    };
    let plain = open().unwrap();
    let header = fs::metadata(&state).unwrap().len();
    plain.write(100, &[1; 50]).unwrap();
    drop(plain);
    let whole = fs::read(&state).unwrap();
    for cut in 0..=whole.len() {
        fs::write(&state, &whole[..cut]).unwrap();
        let have = open().map(|plain| plain.have().iter().map(|range| range.len()).sum::<u64>());
        match have {
            Ok(have) => assert_eq!(
                have,
                if cut == whole.len() { 50 } else { 0 },
                "cut at {cut}"
            ),
            // Nothing says whose bytes these are.
            Err(error) => assert!((cut as u64) < header, "cut at {cut}: {error}"),
        }
        // A download that starts over empties the file; the next cut needs its length.
        fs::File::options()
            .write(true)
            .open(folder.path().join("file.part"))
            .unwrap()
            .set_len(300)
            .unwrap();
    }
}
