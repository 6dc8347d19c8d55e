//! What a download looks like from outside: for progress bars, `explain` and tests.

use std::time::Duration;

use peerlift_model::Rate;

use crate::{Goal, SourceId};

/// A snapshot of a [`Swarm`](crate::Swarm). Bytes are payload: no proofs, no headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The goal.
    pub goal: Goal,
    /// The object's size in bytes.
    pub size: u64,
    /// Bytes of it that are here, those from an earlier run included.
    pub done: u64,
    /// Bytes that were here at the start.
    pub resumed: u64,
    /// Bytes that came from edges.
    pub from_edge: u64,
    /// Bytes that came from peers.
    pub from_peers: u64,
    /// Bytes that came although they were here already.
    pub wasted: u64,
    /// Bytes handed to peers.
    pub uploaded: u64,
    /// What arrives, over about the last two seconds.
    pub rate_down: Rate,
    /// What leaves, over about the last two seconds.
    pub rate_up: Rate,
    /// The time to the end at the present rate; `None` when nothing arrives.
    pub eta: Option<Duration>,
    /// How the edges are used, and why.
    pub edge_use: EdgeUse,
    /// Every connected source in the order of its number.
    pub sources: Vec<SourceStatus>,
    /// Uploads being sent.
    pub serving: usize,
    /// Uploads waiting.
    pub serve_waiting: usize,
}

/// One source of a [`Status`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceStatus {
    /// The source.
    pub source: SourceId,
    /// Whether it is an edge.
    pub edge: bool,
    /// Bytes that came from it, waste included.
    pub delivered: u64,
    /// Its rate while it had something to deliver.
    pub rate: Rate,
    /// Bytes asked of it and not yet arrived.
    pub in_flight: u64,
    /// Groups that it has.
    pub groups: u64,
    /// What it is to us.
    pub standing: Standing,
}

/// Whether and how a source is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Asked for as much as it delivers.
    Good,
    /// It does not answer our requests at present.
    Choking,
    /// It stalled: asked for a little at a time until it proves itself.
    Parole,
    /// Left alone for a while after a fault.
    Resting,
}

/// How edges are used at the moment: the answer to "why did this come from the edge?".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeUse {
    /// For everything: the goal says so, or peers do not keep up with the goal.
    Full,
    /// For groups that no connected peer has.
    Inject,
    /// Not at all: peers are ahead of the goal.
    Rest,
}
