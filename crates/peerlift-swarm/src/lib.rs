//! Decides which part of an object to ask of whom and when, and whom to serve.
//!
//! One [`Swarm`] is one object on one machine. It is a pure state machine: it never reads a clock,
//! a socket or a file, and draws randomness only from its seed, so the client and the simulator
//! run the same code and one seed gives one history. The shell around it keeps this order:
//!
//! 1. call [`Swarm::handle`] with an [`Event`] and the time, or [`Swarm::handle_timeout`];
//! 2. drain [`Swarm::poll_output`] and carry out every [`Output`] in order;
//! 3. wait for the next event, at most until [`Swarm::poll_timeout`]. Time never goes back.
//!
//! ```
//! use peerlift_model::{GroupSet, Layout, Timestamp};
//! use peerlift_swarm::{Config, Event, Output, RequestEnd, SourceId, Swarm};
//!
//! let layout = Layout::new(100_000).expect("small enough");
//! let now = Timestamp::ZERO;
//! let mut swarm = Swarm::new(Config::default(), layout, GroupSet::new(), 7, now);
//! swarm.handle(Event::EdgeJoined { source: SourceId(0), lanes: 4 }, now);
//! let mut finished = false;
//! while let Some(output) = swarm.poll_output() {
//!     match output {
//!         // A real shell fetches, verifies and stores, then says so.
//!         Output::Request { request, groups, .. } => {
//!             swarm.handle(Event::Arrived { request, groups }, now);
//!             swarm.handle(Event::Ended { request, end: RequestEnd::Done }, now);
//!         }
//!         Output::Finished => finished = true,
//!         _ => {}
//!     }
//! }
//! assert!(finished);
//! ```
//!
//! This crate does not know hashes, messages or connections: bytes are verified and stored before
//! it hears of them.

mod announce;
mod bits;
mod cause;
mod claims;
mod closing;
mod conduct;
mod config;
mod crowd;
mod download;
mod edge;
mod endgame;
mod event;
mod holdings;
mod injection;
mod lanes;
mod lateness;
mod meter;
mod order;
mod output;
mod picker;
mod plan;
mod pledges;
mod rarity;
mod requests;
mod rescue;
mod serve;
mod source;
mod status;
mod stretch;
mod swarm;
mod twin;
mod uplink;
mod upload;
mod window;
mod yields;

pub use cause::Cause;
pub use config::{Config, Goal, Limits};
pub use event::{Event, Fault, RequestEnd, RequestId, ServeId, SourceId};
pub use output::{BanReason, Output, Refusal};
pub use status::{EdgeUse, SourceStatus, Standing, Status};
pub use swarm::Swarm;
pub use uplink::{Need, split_uplink};
