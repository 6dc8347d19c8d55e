//! How much of the edge a download asks for in a step: what `peerlift-swarm` decides request by
//! request, in one formula a goal.

use peerlift_model::Timestamp;
use peerlift_swarm::Goal;

use super::task::Task;

/// Within what time a shortfall is to be made up (`edge::HORIZON`).
const HORIZON_S: f64 = 1.0;
/// What a thrifty download may lag while peers keep its pace (`yields::Yield::LAG`), and while they
/// do not (`edge::LATENESS`), in parts of the object.
const LAG_KEPT: f64 = 100.0;
const LAG: f64 = 800.0;
/// The part of the pace at which it is kept (`yields::Yield::KEPT`).
const KEPT: f64 = 0.98;
/// A deadline keeps a tenth of the time for what goes wrong.
const DEADLINE_PART: f64 = 0.9;

/// What a download sees of the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// Whether any peer serves it.
    pub(super) helped: bool,
    /// Whether the swarm lacks a part of the object.
    pub(super) lacks: bool,
    /// What peers could bring it, a second.
    pub(super) peers: f64,
    /// How many peers serve it.
    pub(super) uploaders: f64,
    /// What its line takes in, a second.
    pub(super) down: f64,
    /// How many requests the edge answers it at a time.
    pub(super) lanes: f64,
}

/// Bytes a second.
pub(super) fn of_edge(task: &Task, goal: Goal, view: View, now: f64) -> f64 {
    // On a full downlink every connection gets the same: the edge's lanes, and one of each peer.
    let beside =
        (view.down - view.peers).max(view.down * view.lanes / (view.lanes + view.uploaders));
    if !view.helped || now < task.peers_at {
        return view.down;
    }
    let short = |wanted: f64| (wanted - view.peers).clamp(0.0, view.down);
    match goal {
        Goal::Fastest | Goal::InOrder => beside,
        Goal::Thrifty if view.lacks => beside,
        Goal::Thrifty => {
            let kept = task.rate >= KEPT * task.pace;
            let lag = task.size / if kept { LAG_KEPT } else { LAG };
            let due = task.twin + task.pace * HORIZON_S - lag;
            short((due - task.have) / HORIZON_S)
        }
        Goal::Floor(rate) => short(rate.bytes_per_s() as f64),
        Goal::Deadline(at) => {
            let at = at.since(Timestamp::ZERO).as_secs_f64();
            let left = (at - now) * DEADLINE_PART;
            if left < HORIZON_S {
                return beside;
            }
            short(task.missing() / left)
        }
    }
}
