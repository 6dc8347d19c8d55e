//! The user's side of Peerlift: what it did on this machine, what it may do, and how to end it.
//!
//! Whoever finds Peerlift on a machine gets every answer from here: who put it there, what it has
//! sent, which limits hold, how to stop it. Much of it works without the background service: a
//! single `peerlift get` writes the same log and counts against the same limits.
//!
//! ```text
//!   activity ── what happened: append-only, hash-chained, bounded
//!   consent, question ── who was asked to share, in which words, and what was answered
//!   limits   ── how much may be sent, counted before it goes
//!   machine  ── the administrator's policy; metered network, battery, VPN
//!   applications, removal ── who uses it; how it leaves
//!   report   ── the answers to "what is this?" as data
//!   explanations ── where downloads came from, part by part
//!   service  ── the background service and its local API
//!   steward  ── all of these together, at the switch of the client's uploads
//!   state    ── how small records survive crashes, full disks and older programs
//!   time     ── the time of day as an argument
//! ```
//!
//! What is decided here is decided by pure types that take the time as an argument; files, clocks
//! and sockets are at their edges.

pub mod activity;
pub mod applications;
pub mod consent;
pub mod explanations;
pub mod home;
pub mod limits;
pub mod machine;
pub mod question;
pub mod removal;
pub mod report;
pub mod service;
pub mod state;
pub mod steward;
mod system_log;
pub mod time;

pub use system_log::SystemLog;
