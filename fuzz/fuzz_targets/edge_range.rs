//! Any bytes as the Range header of a request to an edge.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerlift_edge::fuzz_range(data));
