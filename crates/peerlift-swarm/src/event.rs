//! What the shell tells the core.

use std::time::Duration;

use peerlift_model::{GroupRange, Rate};

use crate::Goal;

/// Names one source within one [`Swarm`](crate::Swarm).
///
/// The shell chooses the number, for edges and peers from the same space, and never uses it again
/// within the same swarm, not even for the same machine coming back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u32);

/// Names one request for a range. The core chooses the number and never uses it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Names one upload. The shell chooses the number and never uses it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServeId(pub u64);

/// Something that happened outside, told to [`Swarm::handle`](crate::Swarm::handle).
///
/// Tasks of a shell race, therefore an event that names a source, request or upload the core does
/// not know (any more) is ignored. Nothing a stranger can cause is an error here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An edge can be asked. It has every group; at most `lanes` requests are put to it at once.
    ///
    /// Sent again for a known source it changes the number of lanes. 0 lanes count as 1.
    EdgeJoined {
        /// The edge.
        source: SourceId,
        /// How many requests it may be asked at a time: connections, for HTTP/1.1.
        lanes: u8,
    },
    /// A peer is connected. Both sides begin choked, and the peer holds nothing until told.
    ///
    /// The core answers with [`Output::Unchoke`](crate::Output::Unchoke) when it will serve it, or
    /// with [`Output::Dismiss`](crate::Output::Dismiss) when there are enough peers.
    PeerJoined {
        /// The peer.
        source: SourceId,
        /// The round trip time as the handshake measured it.
        rtt: Duration,
    },
    /// A source is gone for good, with all its requests and uploads.
    ///
    /// The shell need not end them one by one; what it still says of them is ignored. Their
    /// unfinished groups are asked of others at once.
    Left {
        /// The source.
        source: SourceId,
    },
    /// A peer says that it can serve these groups (too). Ignored of an edge.
    Have {
        /// The peer.
        source: SourceId,
        /// What it has beside what it said before.
        groups: GroupRange,
    },
    /// A peer says that it can serve every group.
    HaveAll {
        /// The peer.
        source: SourceId,
    },
    /// A peer says that it is fetching these groups from an edge and will have them soon. Ignored
    /// of an edge.
    Pledged {
        /// The peer.
        source: SourceId,
        /// What it fetches.
        groups: GroupRange,
    },
    /// A peer says what an equal client's share of the crowded edge is, as it has measured.
    FairShare {
        /// The peer.
        source: SourceId,
        /// The share.
        share: Rate,
    },
    /// A peer will not answer our requests until further notice.
    ///
    /// No new requests are put to it. Those under way stay until they end: the peer may still
    /// answer what it has accepted, otherwise it refuses and the shell says so.
    Choked {
        /// The peer.
        source: SourceId,
    },
    /// A peer answers our requests.
    Unchoked {
        /// The peer.
        source: SourceId,
    },
    /// The source has begun to answer a request, although nothing of it is verified yet.
    ///
    /// Told of edges, whose bytes wait for the proofs: how far an edge is must not depend on that.
    /// Without it the first groups that [arrive](Event::Arrived) are the beginning.
    Answered {
        /// The request.
        request: RequestId,
    },
    /// Groups of a request were verified and stored. The only way progress happens.
    ///
    /// Comes any number of times before the request ends, in any portion, at best for every read
    /// from the network: what arrived is announced to other peers from that moment (cut-through).
    /// Groups that were here already count as waste; groups outside the request are ignored.
    Arrived {
        /// The request they belong to.
        request: RequestId,
        /// The groups.
        groups: GroupRange,
    },
    /// A request is over: exactly once for every [`Output::Request`](crate::Output::Request),
    /// unless its source [left](Event::Left).
    ///
    /// Groups of it that have not [arrived](Event::Arrived) are asked again, of whoever is best.
    Ended {
        /// The request.
        request: RequestId,
        /// How it ended.
        end: RequestEnd,
    },
    /// A control node has answered: its low-discrepancy number, where this client begins to take from an
    /// edge. Unless it is the first, others are being met from now on.
    Spread {
        /// The number, counted up by the control plane for every client of the object.
        spread: u32,
    },
    /// The user changed the goal.
    Goal {
        /// The new goal.
        goal: Goal,
    },
    /// The user or a policy allowed or stopped uploads.
    ///
    /// Stopping refuses what waits, stops what runs ([`Output::StopServe`](crate::Output)) and
    /// chokes every peer.
    Share {
        /// Whether to upload.
        share: bool,
    },
    /// A peer asks us for a range. Answered by exactly one of
    /// [`Serve`](crate::Output::Serve) or [`RefuseServe`](crate::Output::RefuseServe), perhaps
    /// later, unless the peer leaves or gives up ([`Event::ServeEnded`]) before.
    Asked {
        /// The peer.
        source: SourceId,
        /// The shell's name for the upload.
        serve: ServeId,
        /// What it asks for.
        groups: GroupRange,
    },
    /// Bytes of an upload were handed to the network.
    Served {
        /// The upload.
        serve: ServeId,
        /// How many since the last time it was said.
        bytes: u64,
    },
    /// An upload is over, whoever ended it: all was sent, the peer reset it, or we stopped it.
    ServeEnded {
        /// The upload.
        serve: ServeId,
    },
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestEnd {
    /// The source delivered everything it was asked for.
    Done,
    /// The core's [`Output::Cancel`](crate::Output::Cancel) was carried out.
    ///
    /// A request that was done before the cancel reached it may end as [`RequestEnd::Done`].
    Cancelled,
    /// The source did not deliver.
    Failed(Fault),
}

/// Why a source did not deliver a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Its bytes do not verify. The source is banned at once, edge or peer.
    Corrupt,
    /// It does not have the groups, or does not give them to us. A peer is not asked again for
    /// these groups until it announces them once more; an edge after a back-off.
    Refused,
    /// It has choked us: it may answer later. Asked again after a back-off. (Its
    /// [`Event::Choked`] may come before or after, streams race; either order is fine.)
    Choked,
    /// The connection or stream broke. Asked again after a back-off.
    Closed,
    /// The shell lost patience. Treated as [`Fault::Closed`].
    Timeout,
    /// It has too much to do (a peer's queue is full, HTTP 429 or 503). Asked again after a
    /// back-off, with less at once.
    Busy,
}
