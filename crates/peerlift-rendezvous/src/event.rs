//! What the shell tells the core, and what it gets back.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use peerlift_model::{NatClass, ObjectId, PeerId};

use crate::shared::{Found, Push};
use crate::{Digest, Network};

/// Names one session. The shell chooses the number and never uses it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// Something that happened. Events of sessions the core does not know are ignored: tasks of a
/// shell race.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A client has proven its key. Answered by [`Output::Joined`], or by [`Output::Close`] when
    /// the key logs in too often. Another session of the same key is closed.
    Joined {
        /// The new session.
        session: SessionId,
        /// Who it is.
        arrival: Arrival,
    },
    /// A session is over, and the client said so.
    Left {
        /// The session.
        session: SessionId,
    },
    /// The connection of a session broke. The client may be back soon, see [`Arrival::resume`];
    /// until then nobody is sent to it.
    Lost {
        /// The session.
        session: SessionId,
    },
    /// A client says where it can be reached, and what NAT it is behind.
    Address {
        /// Its session.
        session: SessionId,
        /// UDP addresses, best first.
        direct: Vec<SocketAddr>,
        /// The URL of its relay.
        relay: Option<String>,
        /// The TCP port that is open at these addresses as well.
        tcp_port: Option<u16>,
        /// Its NAT.
        nat: NatClass,
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
    /// A client looks for peers. Answered by [`Output::Introduce`], [`Output::Refuse`] or
    /// [`Output::Block`].
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
    /// A client was sent to a peer for an object and found that what it announced is not true. The
    /// shell has made sure that it was sent there.
    Complain {
        /// Its session.
        session: SessionId,
        /// The object.
        object: ObjectId,
        /// The peer.
        peer: PeerId,
    },
    /// The operator forbids an object, or allows it again.
    Block {
        /// The object.
        object: ObjectId,
        /// Whether it is forbidden.
        blocked: bool,
    },
    /// The directory is to be forgotten and told again by the clients.
    Flush,
    /// What the shared directory knows; answers [`Share::Ask`].
    ///
    /// [`Share::Ask`]: crate::shared::Share::Ask
    Found(Found),
    /// Another node has something told to this node's clients.
    Pushed(Push),
    /// The shared directory is to be told everything again.
    Republish,
    /// The node goes down: all sessions are to be closed within that time, one after another.
    Drain {
        /// How long it may take.
        within: Duration,
    },
}

/// Who a client says it is, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The client's key.
    pub peer: PeerId,
    /// Whether its user has agreed to serve others. Without it, nobody is sent there.
    pub share: bool,
    /// The address the session comes from.
    pub observed: Option<IpAddr>,
    /// What is known of that address.
    pub network: Network,
    /// Its NAT, as far as it knows.
    pub nat: NatClass,
    /// What it thinks that this node remembers of an earlier session.
    pub resume: Option<Digest>,
}

impl Arrival {
    /// A client of which no more is known.
    #[must_use]
    pub fn new(peer: PeerId, share: bool, observed: Option<IpAddr>) -> Self {
        Self {
            peer,
            share,
            observed,
            network: Network::default(),
            nat: NatClass::Unknown,
            resume: None,
        }
    }
}

/// Something the shell must do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Let a client in.
    Joined {
        /// Its session.
        session: SessionId,
        /// Whether what it announced in an earlier session still counts.
        resumed: bool,
    },
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
    /// Ask a client to announce again all that it has.
    Recall {
        /// Its session.
        session: SessionId,
    },
    /// Tell a client that an object is forbidden here.
    Block {
        /// Its session.
        session: SessionId,
        /// The object.
        object: ObjectId,
    },
    /// Close a session; it is forgotten already.
    Close {
        /// Which.
        session: SessionId,
        /// Why.
        reason: CloseReason,
    },
}

impl Output {
    /// Whose shell has to do it.
    #[must_use]
    pub fn session(&self) -> SessionId {
        match self {
            Self::Introduce { to: session, .. }
            | Self::Joined { session, .. }
            | Self::Refuse { session, .. }
            | Self::Recall { session }
            | Self::Block { session, .. }
            | Self::Close { session, .. } => *session,
        }
    }
}

/// One peer that a client may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// Its key.
    pub peer: PeerId,
    /// Where it is. Shared: the same peer is named to many.
    pub contact: Arc<Contact>,
    /// Whether it has all of the object.
    pub complete: bool,
    /// Whether the client should connect; otherwise the peer will.
    pub dial: bool,
}

/// Where a client can be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// UDP addresses, best first.
    pub direct: Vec<SocketAddr>,
    /// The URL of its relay.
    pub relay: Option<String>,
    /// The TCP port that is open at these addresses as well.
    pub tcp_port: Option<u16>,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Too many queries in a short time, of the client or of its neighbourhood.
    TooManyQueries {
        /// When the next one is welcome.
        retry_after: Duration,
    },
    /// Too many announcements in a short time. What was said is not noted.
    TooManyAnnounces {
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
    /// The key logs in too often: two machines may have it.
    TooManyLogins {
        /// When the next login is welcome.
        retry_after: Duration,
    },
    /// The node has as many clients as fit.
    Full,
    /// The node goes down.
    Draining,
}
