//! The control node: sessions over WebSocket around the rendezvous core, and the embedded relay.
//!
//! ```text
//!  WebSocket ── session task ──┐  events (bounded)   ┌──────────────┐
//!  WebSocket ── session task ──┼────────────────────►│  core task   │ owns peerlift_rendezvous
//!  WebSocket ── session task ◄─┘◄────────────────────│              │
//!                                orders (bounded)    └──────────────┘
//! ```
//!
//! A session task logs its client in, converts messages to events and orders to messages, and
//! signs tickets. The core task decides. Everything is soft state: a node that is restarted
//! learns it again from its clients.
//!
//! [`ControlNode::router`] is mounted beside an edge on one port, or served alone.

mod core_task;
mod metrics;
mod node;
mod relay;
mod session;

pub use node::{ControlConfig, ControlNode};
pub use relay::{Relay, RelayError, RelayOptions};
