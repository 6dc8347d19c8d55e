//! Any bytes as a state file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerlift_daemon::state::fuzz_state_file(data));
