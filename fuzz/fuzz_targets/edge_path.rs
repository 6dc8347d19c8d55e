//! Any bytes as the path of a request to an edge.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerlift_edge::fuzz_path(data));
