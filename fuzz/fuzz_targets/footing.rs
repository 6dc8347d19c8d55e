//! Any bytes as an encoded range from a peer, on any part of a hash tree that is known.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerlift_content::fuzz_footing(data));
