//! Replays the fuzzers' corpora: what once was interesting stays tested.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::path::Path;

use peerlift_control::{exercise_directory_record, exercise_policy};

fn replay(target: &str, entry: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().collect();
    assert!(!files.is_empty(), "no corpus in {}", folder.display());
    for file in files {
        entry(&std::fs::read(file.unwrap().path()).unwrap());
    }
}

#[test]
fn directory_records() {
    replay("directory_record", exercise_directory_record);
}

#[test]
fn policies() {
    replay("policy", exercise_policy);
}
