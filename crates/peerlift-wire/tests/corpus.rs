//! Replays the fuzzers' corpora: what once was interesting stays tested.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::path::Path;

use peerlift_wire::control::fuzz_control;
use peerlift_wire::parcel::fuzz_parcels;
use peerlift_wire::peer::fuzz_peer;
use peerlift_wire::ticket::fuzz_ticket;

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
fn peer_messages() {
    replay("peer", fuzz_peer);
}

#[test]
fn control_messages() {
    replay("control", fuzz_control);
}

#[test]
fn parcels() {
    replay("parcel", fuzz_parcels);
}

#[test]
fn tickets() {
    replay("ticket", fuzz_ticket);
}
