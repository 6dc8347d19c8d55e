//! The control node: sessions over WebSocket around the rendezvous core, and the embedded relay.
//!
//! ```text
//!  WebSocket ── session task ──┐  events (bounded)   ┌──────────────┐
//!  WebSocket ── session task ──┼────────────────────►│  core task   │ owns peerlift_rendezvous
//!  WebSocket ── session task ◄─┘◄────────────────────│              │
//!                                orders (bounded)    └──────────────┘
//! ```
//!
//! A session task moves messages between its WebSocket, its `conversation`, which knows the order of
//! things and signs tickets, and the core task, which decides. Everything is soft state: a node that
//! is restarted learns it again from its clients.
//!
//! [`ControlNode::router`] is mounted beside an edge on one port; [`ControlServer`] serves a node
//! alone, with a `gate` before it; [`admin`] is what its operator asks; [`NodeAccess`] is who may fetch
//! what.

mod access;
pub mod admin;
mod atlas;
mod backlog;
mod conversation;
mod core_task;
mod directory;
mod gate;
mod lean_tls;
mod mailbox;
mod metrics;
mod node;
mod policy_file;
mod relay;
mod server;
mod session;

pub use access::{BLOCKS_PATH, BlockError, NodeAccess, ObjectAccess};
pub use atlas::{Atlas, AtlasError};
pub use directory::{DirectoryUrl, DirectoryUrlError, exercise_directory_record};
pub use node::{ControlConfig, ControlNode};
pub use peerlift_rendezvous::{Event, Policy, Rendezvous};
pub use policy_file::{PolicyError, exercise_policy, parse_policy};
pub use relay::{Relay, RelayError, RelayOptions};
pub use server::{ControlServer, ListenError, ServerOptions};
