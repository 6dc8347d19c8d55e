//! Any bytes as a ticket, and as what is signed in one.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerlift_wire::ticket::fuzz_ticket(data));
