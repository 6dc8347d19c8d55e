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
//! * `locality`: where a client is: site, prefix, AS, country;
//! * `holders`: who has one object, sorted by place, four bytes each;
//! * `directory`: object → holders;
//! * `selection`: which of them an answer names, in time proportional to the answer;
//! * [`policy`]: what an operator decides about that, one small type each;
//! * `admission`: how much one client and one neighbourhood may ask for;
//! * `complaints`: whose announcements clients found to be untrue;
//! * `notices`: how everybody is told something without a stampede;
//! * `session`: one client, and the digest by which it resumes;
//! * [`shared`]: what is told to and asked of a directory that several nodes share;
//! * `preview`: what another policy would change.
//!
//! It does not sign tickets, speak WebSocket, look addresses up, or see a key other than a client's
//! public one.

mod admission;
mod attendance;
mod census;
mod complaints;
mod directory;
mod event;
mod holders;
mod locality;
mod notices;
pub mod policy;
mod preview;
mod query;
mod rendezvous;
mod selection;
mod session;
pub mod shared;
mod suspects;

pub use event::{Arrival, CloseReason, Contact, Event, Meeting, Output, Refusal, SessionId};
pub use locality::{Level, Locality, Network};
pub use policy::Policy;
pub use preview::{Effect, Preview};
pub use rendezvous::{Config, Rendezvous, Stats};
pub use session::Digest;
