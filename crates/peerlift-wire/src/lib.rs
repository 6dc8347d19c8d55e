//! What Peerlift says over the wire: messages, frames and tickets. The only home of formats.
//!
//! Bytes from outside become the types of this crate and of `peerlift-model`, or an error that
//! says why not; generated protobuf types never leave it. Every field that a stranger fills has a
//! limit, checked here once:
//!
//! * [`peer`]: between two peers about one object, `docs/protocol/peer.md`;
//! * [`control`]: between a client and a control node, `docs/protocol/control.md`;
//! * [`ticket`]: a control node's word that A may ask B, `docs/protocol/ticket.md`;
//! * [`frame`]: length-prefixed frames on a stream of bytes;
//! * [`parcel`]: what the one stream of a TCP link is cut into, `docs/protocol/peer-transport.md`.
//!
//! It moves no bytes and decides nothing.

pub mod control;
pub mod frame;
pub mod parcel;
pub mod peer;
pub mod ticket;

mod address;
mod error;
mod fields;
mod runs;

pub use address::{ADDRESSES_MAX, PeerAddress, RELAY_BYTES_MAX};
pub use error::WireError;

/// The messages that prost generates from `proto/`.
#[expect(
    unnameable_types,
    unreachable_pub,
    clippy::all,
    reason = "generated code"
)]
mod proto {
    pub mod peer {
        include!(concat!(env!("OUT_DIR"), "/peerlift.peer.v1.rs"));
    }
    pub mod control {
        include!(concat!(env!("OUT_DIR"), "/peerlift.control.v1.rs"));
    }
    pub mod ticket {
        include!(concat!(env!("OUT_DIR"), "/peerlift.ticket.v1.rs"));
    }
}
