//! Any bytes as the stream of a TCP link.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| peerlift_wire::parcel::fuzz_parcels(data));
