//! Any bytes as the state file of a partial download.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerlift_store::fuzz_state(data));
