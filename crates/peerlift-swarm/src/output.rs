//! What the core tells the shell to do.

use peerlift_model::{GroupRange, Rate};

use crate::{Fault, RequestId, ServeId, SourceId};

/// Something the shell must do, taken from [`Swarm::poll_output`](crate::Swarm::poll_output) and
/// carried out in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Ask a source for a range.
    ///
    /// One contiguous run of groups, never empty, within what the source has. Answered by exactly
    /// one [`Event::Ended`](crate::Event::Ended), before that by any number of
    /// [`Event::Arrived`](crate::Event::Arrived). The shell starts it at once: it never queues
    /// requests of its own, an edge gets at most as many at a time as it has lanes.
    Request {
        /// Its name.
        request: RequestId,
        /// Whom to ask.
        source: SourceId,
        /// What to ask for.
        groups: GroupRange,
    },
    /// Stop a request: nothing more of it is needed. The shell resets the stream (or closes the
    /// HTTP connection) and says [`RequestEnd::Cancelled`](crate::RequestEnd::Cancelled).
    ///
    /// What arrives until then is still welcome.
    Cancel {
        /// The request.
        request: RequestId,
    },
    /// Tell every connected peer that we can serve these groups.
    ///
    /// One [`Output::Announce`] a run; the runs of one batch follow one another without another
    /// output between them, so that a shell can put them into one message. A peer that joins
    /// later gets the whole map from the shell (the store's `have`).
    Announce {
        /// The groups.
        groups: GroupRange,
    },
    /// Tell every connected peer that these groups are being fetched from an edge and will be
    /// announced soon, so that nobody else fetches them there. Not worth a message of its own
    /// when the link is slow; lost ones cost some edge bytes.
    Pledge {
        /// The groups.
        groups: GroupRange,
    },
    /// Tell a peer what an equal client's share of the crowded edge is, as measured here.
    FairShare {
        /// The peer.
        source: SourceId,
        /// The share.
        share: Rate,
    },
    /// Send the range that a peer [asked](crate::Event::Asked) for. Followed by any number of
    /// [`Event::Served`](crate::Event::Served) and one
    /// [`Event::ServeEnded`](crate::Event::ServeEnded).
    Serve {
        /// The upload.
        serve: ServeId,
    },
    /// Refuse what a peer asked for. The upload is over; no [`Event::ServeEnded`](crate::Event)
    /// is expected.
    RefuseServe {
        /// The upload.
        serve: ServeId,
        /// Why.
        reason: Refusal,
    },
    /// Stop sending: the user stopped sharing. The shell says
    /// [`Event::ServeEnded`](crate::Event::ServeEnded).
    StopServe {
        /// The upload.
        serve: ServeId,
    },
    /// Tell a peer that its requests will be refused.
    Choke {
        /// The peer.
        source: SourceId,
    },
    /// Tell a peer that its requests will be served.
    Unchoke {
        /// The peer.
        source: SourceId,
    },
    /// Disconnect a source and never use it again for this object. Its requests are over; the
    /// shell need not end them, nor say [`Event::Left`](crate::Event::Left).
    ///
    /// When it was the last edge and no peer is connected, nothing can happen any more: the shell
    /// sees no source in [`Status`](crate::Status) and gives up or finds another.
    Ban {
        /// The source.
        source: SourceId,
        /// What it did.
        reason: BanReason,
    },
    /// Disconnect a peer politely: there are enough. As final as [`Event::Left`](crate::Event::Left).
    Dismiss {
        /// The peer.
        source: SourceId,
    },
    /// More peers would help: ask the control plane for introductions. Said at most every few
    /// seconds, and never after [`Output::Finished`].
    WantPeers,
    /// Every group is here. Said once; serving goes on.
    ///
    /// [`Output::Cancel`]s for what is still under way come before it.
    Finished,
}

/// Why a source was banned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BanReason {
    /// It sent bytes that do not verify.
    Corrupt,
}

/// Why a peer's request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Refusal {
    /// We do not have all of it, or it is empty or outside the object.
    NotHere,
    /// The peer is choked, or we do not share.
    Choked,
    /// The peer has too many requests waiting with us.
    Busy,
}

impl From<Refusal> for Fault {
    /// What the refusal is on the other side.
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotHere => Self::Refused,
            Refusal::Choked => Self::Choked,
            Refusal::Busy => Self::Busy,
        }
    }
}
