//! Any bytes as a message of a peer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerlift_wire::peer::fuzz_peer(data));
