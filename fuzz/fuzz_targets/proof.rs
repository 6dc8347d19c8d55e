//! Any text as a proof of possession.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerlift_access::fuzz_proof(data));
