//! Any bytes as a file of the activity log.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerlift_daemon::activity::fuzz_activity(data));
