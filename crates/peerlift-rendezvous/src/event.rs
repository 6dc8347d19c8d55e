//! What the shell tells the core, and what it gets back.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use peerlift_model::{ObjectId, PeerId};

/// Names one session. The shell chooses the number and never uses it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// Something that happened. Events of sessions the core does not know are ignored: tasks of a
/// shell race.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A client has proven its key. Another session of the same key is closed.
    Joined {
        /// The new session.
        session: SessionId,
        /// The client's key.
        peer: PeerId,
        /// Whether its user has agreed to serve others. Without it, nobody is sent there.
        share: bool,
        /// The address the session comes from.
        observed: Option<IpAddr>,
    },
    /// A session is over.
    Left {
        /// The session.
        session: SessionId,
    },
    /// A client says where it can be reached.
    Address {
        /// Its session.
        session: SessionId,
        /// UDP addresses, best first.
        direct: Vec<SocketAddr>,
        /// The URL of its relay.
        relay: Option<String>,
    },
    /// A client has (some of) an object.
    Announce {
        /// Its session.
        session: SessionId,
        /// The object.
        object: ObjectId,
        /// Whether all of it.
        complete: bool,
    },
    /// A client neither has nor wants an object any longer.
    Withdraw {
        /// Its session.
        session: SessionId,
        /// The object.
        object: ObjectId,
    },
    /// A client looks for peers. Answered by [`Output::Introduce`] or [`Output::Refuse`].
    Query {
        /// Its session.
        session: SessionId,
        /// The object.
        object: ObjectId,
        /// How many peers at most.
        max: usize,
        /// Peers that need no introduction.
        known: Vec<PeerId>,
    },
    /// A client shows that it is there.
    Ping {
        /// Its session.
        session: SessionId,
    },
}

/// Something the shell must do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send introductions, with a ticket for each that lets `to`'s client ask.
    Introduce {
        /// To whom.
        to: SessionId,
        /// For which object.
        object: ObjectId,
        /// Whom it may ask.
        peers: Vec<Meeting>,
        /// Where in the object it should begin to take from an edge; in answers to queries.
        spread: Option<u32>,
    },
    /// Tell a client that it asks for too much. The session goes on.
    Refuse {
        /// Whose.
        session: SessionId,
        /// Why.
        reason: Refusal,
    },
    /// Close a session; it is forgotten already.
    Close {
        /// Which.
        session: SessionId,
        /// Why.
        reason: CloseReason,
    },
}

/// One peer that a client may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// Its key.
    pub peer: PeerId,
    /// UDP addresses, best first.
    pub direct: Vec<SocketAddr>,
    /// The URL of its relay.
    pub relay: Option<String>,
    /// Whether it has all of the object.
    pub complete: bool,
    /// Whether the client should connect; otherwise the peer will.
    pub dial: bool,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too many queries in a short time.
    TooManyQueries {
        /// When the next one is welcome.
        retry_after: Duration,
    },
    /// The session has announced as many objects as it may.
    TooManyObjects,
}

/// Why a session is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Its key logged in again.
    Replaced,
    /// Nothing was heard for too long.
    Silent,
}
