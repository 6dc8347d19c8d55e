//! What a node knows of one client.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use peerlift_model::{ObjectId, PeerId, Timestamp};

use crate::admission::Bucket;

/// Queries a session may make at once: a client that starts a dozen downloads asks for each.
const QUERIES_BURST: u32 = 16;

/// The pace of queries after that. A client in want asks every few seconds for each object.
const QUERY_INTERVAL: Duration = Duration::from_millis(500);

/// One client.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) peer: PeerId,
    pub(crate) share: bool,
    pub(crate) observed: Option<IpAddr>,
    pub(crate) direct: Vec<SocketAddr>,
    pub(crate) relay: Option<String>,
    pub(crate) objects: BTreeMap<ObjectId, Interest>,
    pub(crate) heard_at: Timestamp,
    pub(crate) queries: Bucket,
}

/// What one client has to do with one object.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Interest {
    /// Whether it has all of it.
    pub(crate) complete: bool,
    /// Whether it has asked for peers, and so wants to hear of new ones.
    pub(crate) looking: bool,
    /// Its number among the object's clients.
    pub(crate) spread: Option<u32>,
}

impl Session {
    pub(crate) fn new(peer: PeerId, share: bool, observed: Option<IpAddr>, now: Timestamp) -> Self {
        Self {
            peer,
            share,
            observed,
            direct: Vec::new(),
            relay: None,
            objects: BTreeMap::new(),
            heard_at: now,
            queries: Bucket::new(QUERIES_BURST, QUERY_INTERVAL),
        }
    }

    /// Whether anybody can be sent to this client.
    pub(crate) fn is_reachable(&self) -> bool {
        self.share && (!self.direct.is_empty() || self.relay.is_some())
    }
}
