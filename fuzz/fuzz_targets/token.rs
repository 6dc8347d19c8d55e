//! Any text as a publisher's token.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerlift_access::fuzz_token(data));
