//! A simulated internet that runs the production cores.
//!
//! A [`Scenario`] says who comes with which line for which object, and what goes wrong; with a seed
//! it becomes a [`Plan`]; [`run`] plays the plan event by event, with a
//! [`peerlift_swarm::Swarm`] for every download and a [`peerlift_rendezvous::Rendezvous`] as the
//! control node, and comes back with an [`Outcome`]. One plan has one history, to the last event.
//! For a million people there is a coarser [`Model`], a fluid that runs none of the cores (`flow`).
//!
//! ```text
//! Scenario ── seed ──► Plan ── run ──► Outcome        visits, then what became of them
//!     ▲                  │
//!   TOML, trace          └─ edge_only ── run ──► the twin: the same people without each other
//! ```
//!
//! While it plays, checkers look on, one for each promise (`check`): every delivered byte was
//! verified, bytes in are bytes out and waste, nobody uploads above the cap, every download ends.
//! The fifth, [`never_slower`], compares a run with its twin.
//!
//! It models access lines, distances, congestion windows, NAT classes, the weight of headers and
//! proofs, outages and lies. It does not model packets, cross traffic, or processors. See
//! `docs/simulation.md`.

mod arena;
mod check;
mod dice;
mod flow;
mod library;
pub mod limit;
mod model;
mod outcome;
mod plan;
mod queue;
pub mod scenario;
pub mod study;
mod summary;
mod supply;
pub mod svg;
pub mod trace;
mod wire;
mod workers;
mod world;

pub use check::{TWIN_SLACK, never_slower};
pub use library::{library, named};
pub use model::{Model, run};
pub use outcome::{Ending, Outcome, Record};
pub use plan::{Aim, Control, Distances, Edge, Nat, Nature, Place, Plan, User, Visit};
pub use scenario::{Scenario, ScenarioError, fuzz_scenario};
pub use summary::{Quantiles, Summary};
pub use supply::peers_could;
pub use trace::{Trace, fuzz_trace};
pub use workers::{on_all_cores, run_beside_twin};
