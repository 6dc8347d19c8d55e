//! A small simulated internet that runs the production core: for tests and the `flash` example.
//!
//! Nodes have an uplink and a downlink, shared max-min fairly among the transfers that cross them
//! ([`fair`]); every message and every byte takes half a round trip. Transfers carry 5 % of headers
//! and the proofs of a bao range. What it does not model: TCP's and QUIC's own ramp-up, loss, and
//! the bytes of control messages (it counts those, see [`world::Outcome`]).

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each user needs another part of it; a simulation that cannot go on says where"
)]

pub(crate) mod fair;
pub(crate) mod limit;
pub(crate) mod scenario;
pub(crate) mod world;
