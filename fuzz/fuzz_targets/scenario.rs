//! Any bytes as a scenario of the simulator.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerlift_sim::fuzz_scenario(data));
