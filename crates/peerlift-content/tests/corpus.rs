//! Replays the fuzzers' corpora: what once was interesting stays tested.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::path::Path;

use peerlift_content::{fuzz_decode, fuzz_footing, fuzz_manifest};

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
fn manifests() {
    replay("manifest", fuzz_manifest);
}

#[test]
fn encoded_ranges() {
    replay("range_decoder", fuzz_decode);
}

#[test]
fn encoded_ranges_on_what_is_known() {
    replay("footing", fuzz_footing);
}
