//! A node's core, and clients of it that say what a test has them say.

#![allow(dead_code, reason = "every test binary uses a part of it")]

use std::net::SocketAddr;
use std::time::Duration;

use peerlift_model::{NatClass, ObjectId, PeerId, Timestamp};
use peerlift_rendezvous::{Arrival, Config, Event, Meeting, Output, Rendezvous, SessionId};

pub(crate) const OBJECT: ObjectId = ObjectId::new([9; 32]);

pub(crate) struct Node {
    pub(crate) core: Rendezvous,
    pub(crate) now: Timestamp,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        Self {
            core: Rendezvous::new(config, 1),
            now: Timestamp::ZERO,
        }
    }

    pub(crate) fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }

    pub(crate) fn wake(&mut self) -> Vec<Output> {
        self.core.handle_timeout(self.now);
        std::iter::from_fn(|| self.core.poll_output()).collect()
    }

    pub(crate) fn tell(&mut self, event: Event) -> Vec<Output> {
        self.core.handle(event, self.now);
        std::iter::from_fn(|| self.core.poll_output()).collect()
    }

    /// A client that is online and can be reached.
    pub(crate) fn client(&mut self, id: u8, share: bool) -> SessionId {
        let session = SessionId(u64::from(id));
        let outputs = self.join(session, arrival(id, share));
        let resumed = false;
        assert_eq!(outputs, [Output::Joined { session, resumed }]);
        self.place(session, id, NatClass::Unknown);
        session
    }

    pub(crate) fn join(&mut self, session: SessionId, arrival: Arrival) -> Vec<Output> {
        self.tell(Event::Joined { session, arrival })
    }

    pub(crate) fn place(&mut self, session: SessionId, id: u8, nat: NatClass) {
        let direct = vec![SocketAddr::from(([192, 168, 0, id], 5000))];
        self.tell(Event::Address {
            session,
            direct,
            relay: None,
            tcp_port: Some(5001),
            nat,
        });
    }

    pub(crate) fn announce(&mut self, session: SessionId, complete: bool) -> Vec<Output> {
        self.tell(Event::Announce {
            session,
            object: OBJECT,
            complete,
        })
    }

    pub(crate) fn query(&mut self, session: SessionId) -> Vec<Output> {
        self.tell(Event::Query {
            session,
            object: OBJECT,
            max: 40,
            known: Vec::new(),
        })
    }
}

pub(crate) fn peer(id: u8) -> PeerId {
    PeerId::new([id; 32])
}

/// A client of its own site, in a prefix with all others.
pub(crate) fn arrival(id: u8, share: bool) -> Arrival {
    Arrival::new(peer(id), share, Some([198, 51, 100, id].into()))
}

pub(crate) fn introduced(output: &Output) -> (SessionId, Vec<Meeting>) {
    let Output::Introduce { to, peers, .. } = output else {
        panic!("{output:?}")
    };
    (*to, peers.clone())
}
