//! Any bytes as a manifest from an HTTP server.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerlift_content::fuzz_manifest(data));
