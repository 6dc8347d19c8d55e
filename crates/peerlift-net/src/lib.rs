//! Connections to everything outside: HTTP edges, peers and control nodes.
//!
//! Three independent shells, one folder each. They move bytes, frames and messages and report
//! faults by who caused them; what to ask of whom is decided elsewhere (`peerlift-swarm`), and
//! whether bytes are right is decided in `peerlift-content`.

pub mod control;
pub mod http;
pub mod peer;
pub mod polite;
pub mod token;

#[cfg(target_os = "linux")]
mod descriptors;
#[cfg(target_os = "linux")]
mod sockopt;
mod threshold;
mod tls;
