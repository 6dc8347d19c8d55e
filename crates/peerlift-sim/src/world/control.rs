//! The control plane: the shell around a rendezvous core, and the users' sessions with it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use peerlift_model::{NatClass, ObjectId, PeerId};
use peerlift_rendezvous::policy::AnswerSize;
use peerlift_rendezvous::{Arrival, Config, Event, Network, Output, Policy, Rendezvous, SessionId};

use super::{Happening, World};
use crate::plan::{Nat, Nature, Place, Plan};

/// How long a node takes to notice that a client has died: the core's own patience. The beats of
/// living clients are left out, as they would only fill the queue.
const SILENCE: Duration = Duration::from_secs(95);
/// Clients come back within this time after an outage, spread by their number.
const COMEBACK: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct ControlNode {
    core: Rendezvous,
    config: Config,
    seed: u64,
    alive: bool,
    users: Vec<UserSession>,
    next_session: u64,
    /// The user of each session.
    sessions: BTreeMap<SessionId, u32>,
}

/// What a user has to do with the control node.
#[derive(Debug, Default)]
struct UserSession {
    session: Option<SessionId>,
    logging_in: bool,
    /// The tasks that are there, by object.
    tasks: BTreeMap<u32, u32>,
}

impl ControlNode {
    pub(super) fn new(plan: &Plan) -> Self {
        let policy = Policy {
            answer: AnswerSize {
                peers_max: plan.control.peers_max,
            },
            ..Policy::default()
        };
        let config = Config {
            policy,
            // Silence is reported by the world, not waited for.
            silence_max: Duration::from_secs(1 << 40),
            ..Config::default()
        };
        let sessions = plan.users.iter().map(|_| UserSession::default());
        Self {
            core: Rendezvous::new(config.clone(), plan.seed),
            config,
            seed: plan.seed,
            alive: true,
            users: sessions.collect(),
            next_session: 0,
            sessions: BTreeMap::new(),
        }
    }

    pub(super) fn task_of(&self, user: u32, object: u32) -> Option<u32> {
        self.users[user as usize].tasks.get(&object).copied()
    }
}

impl World<'_> {
    /// A new task lets its user be known; that takes `after`.
    pub(super) fn enrol(&mut self, id: u32, after: Duration) {
        let task = &self.tasks[id as usize];
        let (user, object) = (task.user, task.object);
        let session = &mut self.control.users[user as usize];
        session.tasks.insert(object, id);
        if session.session.is_some() {
            self.introduce_task(id);
        } else if !std::mem::replace(&mut session.logging_in, true) {
            self.post(after, Happening::Login(user));
        }
    }

    pub(super) fn login(&mut self, user: u32) {
        let control = &mut self.control;
        let session = &mut control.users[user as usize];
        if !control.alive || session.tasks.is_empty() {
            // It tries again when the outage is over.
            session.logging_in = false;
            return;
        }
        session.logging_in = false;
        let id = SessionId(control.next_session);
        control.next_session += 1;
        session.session = Some(id);
        control.sessions.insert(id, user);
        let tasks: Vec<u32> = session.tasks.values().copied().collect();
        let plan = &self.plan.users[user as usize];
        let share = (plan.shares && self.plan.peers) || plan.nature != Nature::Honest;
        let (address, nat) = (address_of(user), class_of(plan.nat));
        let network = if self.plan.control.places {
            network_of(plan.place)
        } else {
            Network::default()
        };
        self.tell_control(Event::Joined {
            session: id,
            arrival: Arrival {
                network,
                nat,
                ..Arrival::new(peer_of(user), share, Some(address.ip()))
            },
        });
        self.tell_control(Event::Address {
            session: id,
            direct: vec![address],
            relay: None,
            tcp_port: None,
            nat,
        });
        for task in tasks {
            self.introduce_task(task);
        }
    }

    /// A task's object is announced and its peers asked for.
    fn introduce_task(&mut self, id: u32) {
        let task = &self.tasks[id as usize];
        let Some(session) = self.control.users[task.user as usize].session else {
            return;
        };
        let (object, complete) = (object_of(task.object), task.complete);
        let liar = task.nature != Nature::Honest;
        if task.shares || liar {
            self.tell_control(Event::Announce {
                session,
                object,
                complete,
            });
        }
        if !complete && !liar {
            self.want_peers(id);
        }
    }

    /// A core asks for more peers.
    pub(super) fn want_peers(&mut self, id: u32) {
        let task = &self.tasks[id as usize];
        let Some(session) = self.control.users[task.user as usize].session else {
            return;
        };
        if task.complete || !self.plan.peers {
            return;
        }
        let known = task.linked.keys();
        let known = known.map(|other| peer_of(self.tasks[*other as usize].user));
        let event = Event::Query {
            session,
            object: object_of(task.object),
            max: self.plan.control.peers_max,
            known: known.collect(),
        };
        self.tell_control(event);
    }

    pub(super) fn report_complete(&mut self, id: u32) {
        let task = &self.tasks[id as usize];
        let session = self.control.users[task.user as usize].session;
        if let (Some(session), true) = (session, task.shares) {
            self.tell_control(Event::Announce {
                session,
                object: object_of(task.object),
                complete: true,
            });
        }
    }

    /// A task is gone; the node hears of a death later.
    pub(super) fn withdraw(&mut self, id: u32, killed: bool) {
        let task = &self.tasks[id as usize];
        let (user, object) = (task.user, task.object);
        let known = &mut self.control.users[user as usize];
        if known.tasks.get(&object) == Some(&id) {
            known.tasks.remove(&object);
        }
        let Some(session) = known.session else {
            return;
        };
        let event = if known.tasks.is_empty() {
            known.session = None;
            self.control.sessions.remove(&session);
            Event::Left { session }
        } else {
            Event::Withdraw {
                session,
                object: object_of(object),
            }
        };
        let silence = if killed { SILENCE } else { Duration::ZERO };
        let after = silence + self.plan.distances.edge / 2;
        self.post(after, Happening::ToControl(Box::new(event)));
    }

    fn tell_control(&mut self, event: Event) {
        let after = self.plan.distances.edge / 2;
        self.post(after, Happening::ToControl(Box::new(event)));
    }

    pub(super) fn control_hears(&mut self, event: Event) {
        if !self.control.alive {
            return;
        }
        self.note_copies(&event);
        self.control.core.handle(event, self.now);
        self.drain_control();
    }

    /// Records how many hold the object of a first question.
    fn note_copies(&mut self, event: &Event) {
        let Event::Query {
            session, object, ..
        } = event
        else {
            return;
        };
        let copies = self.control.core.holders(*object);
        let Some(task) = self.task_in(*session, *object) else {
            return;
        };
        let task = &mut self.tasks[task as usize];
        if !task.introduced {
            let others = copies.saturating_sub(usize::from(task.shares));
            task.record.copies = u32::try_from(others).unwrap_or(u32::MAX);
        }
    }

    fn task_in(&self, session: SessionId, object: ObjectId) -> Option<u32> {
        let user = self.control.sessions.get(&session)?;
        self.control.task_of(*user, number_of(object.as_bytes()))
    }

    fn drain_control(&mut self) {
        let back = self.plan.distances.edge / 2;
        while let Some(output) = self.control.core.poll_output() {
            self.post(back, Happening::FromControl(Box::new(output)));
        }
    }

    pub(super) fn control_says(&mut self, output: Output) {
        let Output::Introduce {
            to,
            object,
            peers,
            spread,
        } = output
        else {
            return;
        };
        let Some(id) = self.task_in(to, object) else {
            return;
        };
        let task = &mut self.tasks[id as usize];
        if !task.alive || task.complete {
            return;
        }
        if let Some(spread) = spread {
            if !std::mem::replace(&mut task.introduced, true) {
                task.record.returned = u32::try_from(peers.len()).unwrap_or(u32::MAX);
            }
            self.tell(id, peerlift_swarm::Event::Spread { spread });
        }
        for meeting in peers.iter().filter(|meeting| meeting.dial) {
            let user = number_of(meeting.peer.as_bytes());
            if let Some(other) = self.control.task_of(user, number_of(object.as_bytes())) {
                self.dial(id, other);
            }
        }
    }

    pub(super) fn outage(&mut self, begins: bool) {
        let control = &mut self.control;
        if begins {
            control.alive = false;
            control.core = Rendezvous::new(control.config.clone(), control.seed);
            control.sessions.clear();
            for user in &mut control.users {
                user.session = None;
            }
            return;
        }
        control.alive = true;
        let count = control.users.len().max(1);
        for user in 0..count {
            let known = &mut self.control.users[user];
            if known.tasks.is_empty() || known.session.is_some() {
                continue;
            }
            known.logging_in = true;
            let after = COMEBACK.mul_f64(user as f64 / count as f64);
            let user = u32::try_from(user).expect("plans are in bounds");
            self.post(after, Happening::Login(user));
        }
    }
}

fn peer_of(user: u32) -> PeerId {
    PeerId::new(bytes_of(user))
}

fn object_of(object: u32) -> ObjectId {
    ObjectId::new(bytes_of(object))
}

fn bytes_of(number: u32) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn number_of(bytes: &[u8; 32]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// An address in a prefix of its own for every user, so that nobody is near by accident; nothing
/// is sent there.
fn address_of(user: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from_bits(user << 8)), 1)
}

/// What a database would know of a user's address.
fn network_of(place: Place) -> Network {
    let [_, _, high, low] = u32::from(place.country).to_be_bytes();
    Network {
        asn: (u32::from(place.country) << 16 | u32::from(place.network)) + 1,
        country: [b'A' + high, low],
    }
}

/// What a client finds out of its NAT and tells.
fn class_of(nat: Nat) -> NatClass {
    match nat {
        Nat::Open => NatClass::Open,
        Nat::PortRestricted => NatClass::Easy,
        Nat::Symmetric => NatClass::Hard,
        Nat::Blocked => NatClass::Blocked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_users_and_objects_can_be_read_back() {
        for number in [0, 1, 70_000, u32::MAX] {
            assert_eq!(number_of(peer_of(number).as_bytes()), number);
            assert_eq!(number_of(object_of(number).as_bytes()), number);
        }
    }
}
