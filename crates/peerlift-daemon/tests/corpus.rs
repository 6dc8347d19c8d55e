//! Replays the fuzzer's corpora: what once was interesting stays tested.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::path::Path;

fn replay(name: &str, target: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(name);
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().collect();
    assert!(!files.is_empty(), "no corpus in {}", folder.display());
    for file in files {
        target(&std::fs::read(file.unwrap().path()).unwrap());
    }
}

#[test]
fn activity_logs() {
    replay("activity", peerlift_daemon::activity::fuzz_activity);
}

#[test]
fn state_files() {
    replay("state_file", peerlift_daemon::state::fuzz_state_file);
}

#[test]
fn policies_and_routes() {
    replay("machine", peerlift_daemon::machine::fuzz_machine);
}
