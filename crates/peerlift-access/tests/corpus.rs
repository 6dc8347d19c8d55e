//! Replays the fuzzers' corpora: what once was interesting stays tested.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::path::Path;

use peerlift_access::{fuzz_block_list, fuzz_key_set, fuzz_proof, fuzz_token};

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
fn tokens() {
    replay("token", fuzz_token);
}

#[test]
fn proofs() {
    replay("proof", fuzz_proof);
}

#[test]
fn key_sets() {
    replay("key_set", fuzz_key_set);
}

#[test]
fn block_lists() {
    replay("block_list", fuzz_block_list);
}
