//! What Peerlift did on this machine: an append-only log in which nothing can be changed unnoticed.
//!
//! ```text
//!   activity/                        a line: HASH PREVIOUS-HASH JSON
//!     activity-0000000001.log        sealed, named by its first entry
//!     activity-0000000731.log        being written: the one with the highest number
//!     activity.head                  the last entry written, and the first one kept
//! ```
//!
//! * Each line carries the hash of the line before it, so an edited, deleted or moved line breaks the
//!   chain ([`Fault`] says where and how). The head says how far the log goes, so a log that was cut
//!   short is noticed, too.
//! * A line is durable before the head names it. After a crash the log may be one line ahead of the
//!   head, or end in half a line beyond it: half a line is cut off and noted, never counted as
//!   tampering. What the head has named must be there.
//! * Files are sealed at [`SEGMENT_BYTES_MAX`], and the oldest of more than [`SEGMENTS_MAX`] goes. What
//!   `peerlift why` must never forget, how Peerlift came here, is carried over.
//!
//! Whoever may write all files of the user can also write a whole new log. The system log has the
//! hashes of the entries that matter most ([`crate::SystemLog`]), where only the administrator reaches.
//! The format is described in `docs/protocol/activity-log.md`.

mod chain;
mod entry;
mod line;
mod log;

pub use chain::{Checked, Fault};
pub use entry::{Entry, Happening, Origin};
pub use log::{ActivityError, ActivityLog};

/// Bytes at which a file of the log is sealed: some 400 entries.
pub const SEGMENT_BYTES_MAX: usize = 128 * 1024;

/// Files of the log that are kept: half a MiB in all, months of an ordinary user's entries.
pub const SEGMENTS_MAX: usize = 4;

/// Parses any bytes as a file of the log: the entry of the fuzz target, and of the test that
/// replays its corpus.
#[doc(hidden)]
pub fn fuzz_activity(bytes: &[u8]) {
    chain::fuzz(bytes);
}
