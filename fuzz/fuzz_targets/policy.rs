//! Any bytes as a policy file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerlift_control::exercise_policy(data));
