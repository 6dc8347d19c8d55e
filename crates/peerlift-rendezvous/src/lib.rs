//! Decides who is introduced to whom: the core of a control node.
//!
//! [`Rendezvous`] knows the sessions of one node and what their clients have. It is a pure state
//! machine: the shell says what happened ([`Event`]) and when, drains [`Rendezvous::poll_output`],
//! and calls [`Rendezvous::handle_timeout`] at [`Rendezvous::poll_timeout`]. Randomness comes from
//! its seed, so one seed gives one history.
//!
//! Everything it knows is soft state: clients say it again when they reconnect, and a node that
//! forgets all of it has lost nothing else.
//!
//! * `directory`: object → who has some of it, and sampling in time proportional to the answer;
//! * `admission`: how much one session may ask for;
//!
//! It does not sign tickets, speak WebSocket, or see a key other than a client's public one.

mod admission;
mod directory;
mod event;
mod rendezvous;
mod session;

pub use event::{CloseReason, Event, Meeting, Output, Refusal, SessionId};
pub use rendezvous::{Config, Rendezvous};
