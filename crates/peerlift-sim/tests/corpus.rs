//! Replays the fuzzers' corpora: what once was interesting stays tested.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::path::Path;

use peerlift_sim::{fuzz_scenario, fuzz_trace};

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
fn scenarios() {
    replay("scenario", fuzz_scenario);
}

#[test]
fn traces() {
    replay("trace", fuzz_trace);
}
