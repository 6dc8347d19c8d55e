//! Good manners on a line that belongs to somebody else: uploads and background downloads that give
//! way.
//!
//! ```text
//!   QUIC acknowledgements ─► quic::Watched┐
//!   TCP_INFO of sockets   ─► SocketSensor ├─► Uplink ─► Scavenger ─► rate ─► who may send next
//! ```
//!
//! The kernel and QUIC share a line *fairly* with whatever else goes over it: eight links take
//! eight shares, and fill its queue. A background transfer should take what is left over, and
//! nothing while somebody else wants it. [`Scavenger`] decides how much that is, by LEDBAT++
//! (draft-irtf-iccrg-ledbat-plus-plus): it watches how long packets wait in queues and keeps that
//! below a target; a sender that goes by loss fills the queue beyond it and finds the line free.
//!
//! There is **one** scavenger for all uploads of a process, over whatever transport. So the least
//! that it sends is sent once and not once for each peer, and its pauses, in which it learns how
//! long an empty line takes, are pauses of all. What single links do beneath, such as halving
//! after a loss, is left to their transports.
//!
//! Downloads are the same from the other end: [`Intake`] decides how much may be on its way to us, by
//! how long what we say takes to be answered, and [`Downlink`] tells senders so.
//!
//! ```text
//!   TCP_INFO of sockets ─► Inflow ─► Downlink ─► Intake ─► window ─► TCP_WINDOW_CLAMP of each socket
//!   QUIC's round trips ───────────┘                    └─► rate ─► who may take in what has come
//! ```
//!
//! [`Scavenger`] and [`Intake`] are cores: time is an argument. [`Uplink`] and [`Downlink`] are the
//! shells around them.

mod bucket;
mod delay;
mod downlink;
#[cfg(target_os = "linux")]
mod inflow;
mod intake;
mod ledbat;
mod line;
mod quic;
mod scavenger;
#[cfg(target_os = "linux")]
mod socket;
mod uplink;

pub use downlink::{Downlink, Receiving};
pub use intake::{Arrival, Intake};
pub use ledbat::{Ledbat, SEGMENT_BYTES, TARGET_FOREGROUND, TARGET_USUAL};
pub use scavenger::{Delivery, LinkNumber, Scavenger};
pub use uplink::{Errand, Uplink, WatchedSocket};

pub(crate) use quic::WatchedFactory;
