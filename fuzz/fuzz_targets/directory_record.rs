//! Any bytes as what control nodes write into a directory that they share, and tell each other.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerlift_control::exercise_directory_record(data));
