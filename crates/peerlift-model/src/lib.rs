//! The vocabulary of Peerlift: who, what, which part, how much and when.
//!
//! Every id, index, range and rate that crosses a wall between two rooms is a type of this crate,
//! so that a piece index is never taken for a chunk-group index, nor bytes for groups. The types
//! convert, compare and print; they decide nothing.
//!
//! An object of `size` bytes is cut twice (see [`Layout`]):
//!
//! ```text
//! bytes   0 ............................................... size
//! groups  |0|1|2|3|4|5|6|7|8|9|...                             16 KiB each, the unit of verification
//! pieces  |   0   |   1   |  ...                               2^k groups, the unit of scheduling
//! ```
//!
//! This crate has no dependencies and does no IO: see `peerlift-content` for hashes and
//! `peerlift-store` for files.

mod group_set;
mod height;
mod id;
mod layout;
mod nat;
mod range;
mod rate;
mod time;

pub use group_set::GroupSet;
pub use height::Height;
pub use id::{IdError, ObjectId, PeerId, PublisherId};
pub use layout::{GROUP_BYTES, Layout, PIECE_BYTES_MAX, PIECE_BYTES_MIN, PIECES_AIM};
pub use nat::NatClass;
pub use range::{ByteRange, GroupIndex, GroupRange, PieceIndex};
pub use rate::Rate;
pub use time::Timestamp;
