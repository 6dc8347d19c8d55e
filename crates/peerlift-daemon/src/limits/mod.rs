//! How much may be sent to others: counted before it goes, remembered over restarts and crashes.
//!
//! ```text
//!   Counts  ── core: what was sent and received, and what may still be sent     (pure)
//!   Uplink  ── core: how fast this machine can send, and the share of it we use (pure)
//!   Budget  ── shell: the counts in a file, reserved in blocks before use
//! ```
//!
//! A block of bytes is written down as sent *before* any of it is. What is left of a block when the
//! program ends in good order is given back; after a crash it stays counted. So a crash may cost
//! the user's generosity a few seconds, and never sends a byte above a limit.

mod budget;
mod counts;
mod uplink;

pub use budget::Budget;
pub use counts::{Counts, Denied, Limits, ObjectCounts};
pub use uplink::Uplink;
