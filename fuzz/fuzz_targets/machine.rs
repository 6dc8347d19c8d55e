//! Any bytes as a machine policy and as a routing table.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerlift_daemon::machine::fuzz_machine(data));
