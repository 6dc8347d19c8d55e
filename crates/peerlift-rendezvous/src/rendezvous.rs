//! The aggregate: routes events to sessions and directory, and makes introductions of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use peerlift_model::{ObjectId, PeerId, Timestamp};
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;

use crate::directory::Directory;
use crate::event::{CloseReason, Event, Meeting, Output, Refusal, SessionId};
use crate::session::{Interest, Session};

/// The bounds of a node.
#[derive(Clone, Debug)]
pub struct Config {
    /// Peers in one answer at most. Default 40: what NetSession's control plane returned, and more
    /// than a client keeps busy.
    pub peers_max: usize,
    /// Objects one session may have to do with. Default 1024: a cache of many small objects.
    pub objects_max: usize,
    /// How long a session may stay silent. Default 95 s: three keep-alives of 30 s, and a late
    /// one.
    pub silence_max: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            peers_max: 40,
            objects_max: 1024,
            silence_max: Duration::from_secs(95),
        }
    }
}

/// The sessions of one control node and what their clients have. See the crate's page for how to
/// drive it.
#[derive(Debug)]
pub struct Rendezvous {
    config: Config,
    rng: Pcg64Mcg,
    sessions: BTreeMap<SessionId, Session>,
    by_peer: BTreeMap<PeerId, SessionId>,
    by_silence: BTreeSet<(Timestamp, SessionId)>,
    directory: Directory,
    outputs: VecDeque<Output>,
}

impl Rendezvous {
    /// A node that knows nobody.
    #[must_use]
    pub fn new(config: Config, seed: u64) -> Self {
        Self {
            config,
            rng: Pcg64Mcg::seed_from_u64(seed),
            sessions: BTreeMap::new(),
            by_peer: BTreeMap::new(),
            by_silence: BTreeSet::new(),
            directory: Directory::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes note of something that happened.
    pub fn handle(&mut self, event: Event, now: Timestamp) {
        match event {
            Event::Joined {
                session,
                peer,
                share,
                observed,
            } => {
                self.join(session, Session::new(peer, share, observed, now));
            }
            Event::Left { session } => self.forget(session),
            Event::Address {
                session,
                direct,
                relay,
            } => {
                self.heard(session, now);
                self.move_to(session, direct, relay);
            }
            Event::Announce {
                session,
                object,
                complete,
            } => {
                self.heard(session, now);
                self.announce(session, object, complete);
            }
            Event::Withdraw { session, object } => {
                self.heard(session, now);
                self.withdraw(session, object);
            }
            Event::Query {
                session,
                object,
                max,
                known,
            } => {
                self.heard(session, now);
                self.query(session, object, max, &known, now);
            }
            Event::Ping { session } => self.heard(session, now),
        }
    }

    /// Closes the sessions that have been silent for too long.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        while let Some((heard_at, session)) = self.by_silence.first().copied() {
            if heard_at + self.config.silence_max > now {
                break;
            }
            self.forget(session);
            self.outputs.push_back(Output::Close {
                session,
                reason: CloseReason::Silent,
            });
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Self::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.by_silence
            .first()
            .map(|(heard_at, _)| *heard_at + self.config.silence_max)
    }

    /// How many sessions there are.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// How many objects somebody serves.
    #[must_use]
    pub fn objects(&self) -> usize {
        self.directory.objects()
    }

    /// How many clients serve an object.
    #[must_use]
    pub fn holders(&self, object: ObjectId) -> usize {
        self.directory.count(object)
    }

    fn join(&mut self, id: SessionId, session: Session) {
        if let Some(old) = self.by_peer.get(&session.peer).copied() {
            self.forget(old);
            self.outputs.push_back(Output::Close {
                session: old,
                reason: CloseReason::Replaced,
            });
        }
        self.by_peer.insert(session.peer, id);
        self.by_silence.insert((session.heard_at, id));
        self.sessions.insert(id, session);
    }

    fn forget(&mut self, id: SessionId) {
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        self.by_peer.remove(&session.peer);
        self.by_silence.remove(&(session.heard_at, id));
        for object in session.objects.keys() {
            self.directory.remove(*object, id);
        }
    }

    fn heard(&mut self, id: SessionId, now: Timestamp) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        self.by_silence.remove(&(session.heard_at, id));
        session.heard_at = now;
        self.by_silence.insert((now, id));
    }

    fn move_to(&mut self, id: SessionId, direct: Vec<SocketAddr>, relay: Option<String>) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        session.direct = with_observed(direct, session.observed);
        session.relay = relay;
    }

    fn announce(&mut self, id: SessionId, object: ObjectId, complete: bool) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let full = session.objects.len() >= self.config.objects_max;
        if full && !session.objects.contains_key(&object) {
            let reason = Refusal::TooManyObjects;
            self.outputs.push_back(Output::Refuse {
                session: id,
                reason,
            });
            return;
        }
        session.objects.entry(object).or_default().complete = complete;
        if session.share {
            self.directory.add(object, id);
        }
    }

    fn withdraw(&mut self, id: SessionId, object: ObjectId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.objects.remove(&object);
            self.directory.remove(object, id);
        }
    }

    fn query(
        &mut self,
        id: SessionId,
        object: ObjectId,
        max: usize,
        known: &[PeerId],
        now: Timestamp,
    ) {
        let Some(asker) = self.sessions.get_mut(&id) else {
            return;
        };
        let full = asker.objects.len() >= self.config.objects_max;
        let refusal = match asker.queries.take(now) {
            Err(retry_after) => Some(Refusal::TooManyQueries { retry_after }),
            Ok(()) if full && !asker.objects.contains_key(&object) => Some(Refusal::TooManyObjects),
            Ok(()) => None,
        };
        if let Some(reason) = refusal {
            self.outputs.push_back(Output::Refuse {
                session: id,
                reason,
            });
            return;
        }
        let interest = asker.objects.entry(object).or_default();
        interest.looking = true;
        let directory = &mut self.directory;
        let spread = *interest
            .spread
            .get_or_insert_with(|| directory.next_spread(object));
        let found = self.choose(id, object, max, known);
        self.introduce(id, object, &found, spread);
    }

    /// Holders of the object that the asker does not know and can be sent to.
    fn choose(
        &mut self,
        asker: SessionId,
        object: ObjectId,
        max: usize,
        known: &[PeerId],
    ) -> Vec<SessionId> {
        let known: BTreeSet<&PeerId> = known.iter().collect();
        let sessions = &self.sessions;
        self.directory.sample(
            object,
            max.min(self.config.peers_max),
            &mut self.rng,
            |holder| {
                holder != asker
                    && sessions
                        .get(&holder)
                        .is_some_and(|it| it.is_reachable() && !known.contains(&it.peer))
            },
        )
    }

    /// Introduces the found to the asker, who connects, and the asker to those of them that look
    /// for peers themselves and may be served by it.
    fn introduce(&mut self, asker: SessionId, object: ObjectId, found: &[SessionId], spread: u32) {
        let meetings = found
            .iter()
            .filter_map(|holder| self.meeting(*holder, object, true));
        self.outputs.push_back(Output::Introduce {
            to: asker,
            object,
            peers: meetings.collect(),
            spread: Some(spread),
        });
        let Some(back) = self.meeting(asker, object, false) else {
            return;
        };
        if !self.sessions[&asker].share {
            return;
        }
        let looking = found
            .iter()
            .copied()
            .filter(|holder| self.is_looking(*holder, object));
        let news: Vec<Output> = looking
            .map(|to| Output::Introduce {
                to,
                object,
                peers: vec![back.clone()],
                spread: None,
            })
            .collect();
        self.outputs.extend(news);
    }

    fn is_looking(&self, id: SessionId, object: ObjectId) -> bool {
        self.interest(id, object)
            .is_some_and(|interest| interest.looking && !interest.complete)
    }

    fn interest(&self, id: SessionId, object: ObjectId) -> Option<Interest> {
        self.sessions.get(&id)?.objects.get(&object).copied()
    }

    fn meeting(&self, id: SessionId, object: ObjectId, dial: bool) -> Option<Meeting> {
        let session = self.sessions.get(&id)?;
        Some(Meeting {
            peer: session.peer,
            direct: session.direct.clone(),
            relay: session.relay.clone(),
            complete: self
                .interest(id, object)
                .is_some_and(|interest| interest.complete),
            dial,
        })
    }
}

/// Adds the client's address as the node sees it, at the ports the client uses itself: NATs that
/// keep ports (RFC 4787 §4.2.1) map there.
fn with_observed(direct: Vec<SocketAddr>, observed: Option<IpAddr>) -> Vec<SocketAddr> {
    let Some(observed) = observed.map(|ip| ip.to_canonical()) else {
        return direct;
    };
    let mut addresses = Vec::with_capacity(direct.len() + 1);
    for address in &direct {
        let outside = SocketAddr::new(observed, address.port());
        if address.is_ipv4() == observed.is_ipv4() && !addresses.contains(&outside) {
            addresses.push(outside);
        }
    }
    for address in direct {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses.truncate(ADDRESSES_MAX);
    addresses
}

/// Addresses of one client that are passed on: as many as a message holds.
const ADDRESSES_MAX: usize = 16;
