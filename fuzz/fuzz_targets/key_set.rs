//! Any bytes as a publisher's set of keys.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerlift_access::fuzz_key_set(data));
