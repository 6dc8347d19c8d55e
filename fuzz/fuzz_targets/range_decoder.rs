//! Any bytes as an encoded range from a peer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerlift_content::fuzz_decode(data));
