//! Objects on disk: finished ones to serve, and partial ones to fill.
//!
//! A download lies beside its target as `NAME.part` (sparse data), `NAME.part.obao` (the hash tree
//! as far as it is known) and `NAME.part.state` (a journal of what is there), and becomes `NAME` in
//! one step when it is complete:
//!
//! ```text
//! accept_nodes ─ proven from the root ──> .part.obao ─┐
//! write_groups ─ verified against it ───> .part ──────┼─> have, encode, read ── commit ──> NAME
//!                 every 4 MiB ──────────> .part.state ┘
//! ```
//!
//! What a process has written survives its death, whatever kills it; after a restart of the machine
//! the journal is a claim that is checked against the hash tree. One process at a time fills a
//! target.
//!
//! * [`PartialObject`]: of a published object. Nothing unproven is ever in it.
//! * [`PlainPartial`]: of a file that has no manifest.
//! * [`CompleteObject`]: a finished file and its outboard; a [`FileMark`] tells whether it is still the same.
//!
//! Calls block for as long as the disk takes; there is no async runtime here. What the hashes are
//! is known to `peerlift-content`, whom to ask for which groups to `peerlift-swarm`.

mod boot;
mod byte_set;
mod complete;
mod error;
mod mark;
mod node_set;
mod part;
mod partial;
mod plain;
mod resume;
mod serve;
mod state;

pub use complete::CompleteObject;
pub use error::{Found, StoreError, WriteError};
pub use mark::FileMark;
pub use part::{ForeignPart, PartialOptions};
pub use partial::{CHECKPOINT_BYTES, PartialObject};
pub use plain::PlainPartial;
pub use state::fuzz_state;
