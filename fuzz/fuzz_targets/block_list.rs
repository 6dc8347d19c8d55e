//! Any text as a block list.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerlift_access::fuzz_block_list(data));
