//! Any bytes as a message of a client or a control node.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerlift_wire::control::fuzz_control(data));
