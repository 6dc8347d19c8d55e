//! What a node tells and asks a directory that it shares with other nodes.
//!
//! A node always knows its own clients itself. With [`Config::shared`] it also says what they have
//! ([`Share`]), asks for the whole swarm before it answers a query, and has other nodes' clients
//! told of its own. Whoever carries that out, and over what, is the shell's concern; a shell that
//! cannot reach the directory answers [`Share::Ask`] with an empty [`Event::Found`], and the node
//! answers from its own clients.
//!
//! [`Config::shared`]: crate::Config::shared
//! [`Event::Found`]: crate::Event::Found

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use peerlift_model::{NatClass, ObjectId, PeerId, Timestamp};

use crate::directory::ObjectIndex;
use crate::event::{Contact, Meeting, Output, SessionId};
use crate::holders::Seat;
use crate::query::{Fit, is_looking, meeting};
use crate::rendezvous::Rendezvous;
use crate::selection::Judge;
use crate::session::Presence;
use crate::{Level, Locality};

/// Looks beyond those that an answer and the known peers need: holders whose lease is over, or who
/// cannot be reached from behind the asker's NAT.
const SPARE: usize = 16;

/// The most that is asked for at once: what an answer may name, all that a client may know, and
/// the spare ones.
pub const WANTED_MAX: usize = 128;

/// Something for, or from, the directory that nodes share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Share {
    /// A client of this node serves an object. Replaces what was said of it before, by any node.
    Offer {
        /// The object.
        object: ObjectId,
        /// Who, where, and how much of it.
        neighbour: Neighbour,
    },
    /// It does not any longer, unless it moved to another node in the meantime.
    Retract {
        /// The object.
        object: ObjectId,
        /// Who.
        peer: PeerId,
    },
    /// Who serves an object, wherever? Answered by [`crate::Event::Found`].
    Ask(Ask),
    /// Tell clients of another node of one of this node's.
    Push {
        /// The other node.
        node: NodeId,
        /// What.
        push: Push,
    },
}

/// Names a node from its start to its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// A client as other nodes see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its key.
    pub peer: PeerId,
    /// Where it is.
    pub place: Locality,
    /// Its NAT.
    pub nat: NatClass,
    /// Whether it has all of the object.
    pub complete: bool,
    /// How it can be reached.
    pub contact: Arc<Contact>,
}

/// A question to the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Whose question it is.
    pub session: SessionId,
    /// The object.
    pub object: ObjectId,
    /// How many peers the client wants at most.
    pub max: usize,
    /// Peers that need no introduction.
    pub known: Vec<PeerId>,
    /// How many holders to look at, up to [`WANTED_MAX`].
    pub wanted: usize,
    /// How many of them are to come from the last ring where it has so many.
    pub reserve: usize,
    /// Wider and wider surroundings of the asker; the last is the world.
    pub rings: Vec<RangeInclusive<Locality>>,
    /// A random number to choose by.
    pub draw: u32,
    /// Whether the asker has yet to be given a spread number.
    pub wants_spread: bool,
}

/// What the directory knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The question.
    pub ask: Ask,
    /// Holders, and the nodes that hold their sessions; nearer rings first. Empty as well when
    /// the directory did not answer.
    pub holders: Vec<(NodeId, Neighbour)>,
    /// The next spread number of the object, if it was asked for.
    pub spread: Option<u32>,
}

/// What one node has another tell its clients: a peer that will ask them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// For which object.
    pub object: ObjectId,
    /// Whom to tell, those of them who look for peers themselves.
    pub to: Vec<PeerId>,
    /// Of whom.
    pub neighbour: Neighbour,
}

impl Rendezvous {
    /// The next thing to tell the shared directory; nothing without [`crate::Config::shared`].
    pub fn poll_share(&mut self) -> Option<Share> {
        self.shares.pop_front()
    }

    /// Says everything that a client serves.
    pub(crate) fn offer_all(&mut self, seat: Seat) {
        let held: Vec<ObjectIndex> = { &self.sessions[seat.index()].held }
            .iter()
            .filter(|held| held.announced)
            .map(|held| held.object)
            .collect();
        for object in held {
            self.offer(seat, object);
        }
    }

    /// Says that a client serves an object, if it does and can be reached.
    pub(crate) fn offer(&mut self, seat: Seat, index: ObjectIndex) {
        let session = &self.sessions[seat.index()];
        if !self.config.shared || !session.is_reachable() {
            return;
        }
        let object = self.directory.object(index).id;
        if self.complaints.doubt(session.peer, object) {
            return;
        }
        if let Some(neighbour) = self.neighbour(seat, index) {
            self.shares.push_back(Share::Offer { object, neighbour });
        }
    }

    /// Takes back everything that was said of a client.
    pub(crate) fn retract_all(&mut self, seat: Seat) {
        let session = &self.sessions[seat.index()];
        if !self.config.shared || !session.share {
            return;
        }
        let peer = session.peer;
        for held in session.held.iter().filter(|held| held.announced) {
            let object = self.directory.object(held.object).id;
            self.shares.push_back(Share::Retract { object, peer });
        }
    }

    pub(crate) fn retract(&mut self, seat: Seat, object: ObjectId) {
        let session = &self.sessions[seat.index()];
        if self.config.shared && session.share {
            let peer = session.peer;
            self.shares.push_back(Share::Retract { object, peer });
        }
    }

    /// Begins to say everything again: leases end, and directories forget.
    pub(crate) fn republish(&mut self, now: Timestamp) {
        let sharing = { &self.sessions }
            .iter()
            .filter(|session| session.presence == Presence::Here && session.share);
        let told: Vec<(SessionId, ())> = sharing.map(|session| (session.id, ())).collect();
        let entries = u64::try_from(self.entries()).unwrap_or(u64::MAX).max(1);
        let sessions = u64::try_from(told.len()).unwrap_or(u64::MAX);
        let per_s = self.config.recall_entries_per_s.saturating_mul(sessions) / entries;
        self.renewals.clear();
        self.renewals.begin(told, per_s, now);
    }

    fn neighbour(&self, seat: Seat, index: ObjectIndex) -> Option<Neighbour> {
        let session = &self.sessions[seat.index()];
        Some(Neighbour {
            peer: session.peer,
            place: self.places[seat.index()],
            nat: session.nat,
            complete: session.held.get(index).is_some_and(|held| held.complete),
            contact: Arc::clone(session.contact.as_ref()?),
        })
    }

    pub(crate) fn ask(
        &mut self,
        seat: Seat,
        object: ObjectId,
        index: ObjectIndex,
        max: usize,
        known: Vec<PeerId>,
    ) {
        let policy = &self.config.policy;
        let session = &self.sessions[seat.index()];
        let max = max.min(policy.answer.peers_max);
        let place = self.places[seat.index()];
        let rings = policy.preference.levels();
        let rings = rings.filter_map(|level| place.surroundings(level));
        let ask = Ask {
            session: session.id,
            object,
            max,
            wanted: (max + known.len() + SPARE).min(WANTED_MAX),
            reserve: policy.diversity.reserve(max),
            known,
            rings: rings.collect(),
            draw: rand::RngExt::random(&mut self.rng),
            wants_spread: session.held.get(index).is_some_and(|held| !held.is_spread),
        };
        self.shares.push_back(Share::Ask(ask));
    }

    /// Answers a query with what the directory knows, and with this node's own clients where that
    /// is not enough.
    pub(crate) fn answer(&mut self, found: Found, now: Timestamp) {
        let Found {
            mut ask,
            holders,
            spread,
        } = found;
        let Some(seat) = self.seats.get(&ask.session).copied() else {
            return;
        };
        let here = self.sessions[seat.index()].presence == Presence::Here;
        let Some(index) = self.directory.find(ask.object).filter(|_| here) else {
            return;
        };
        if let Some(held) = self.sessions[seat.index()].held.get_mut(index)
            && let Some(number) = spread.filter(|_| !held.is_spread)
        {
            (held.is_spread, held.spread) = (true, number);
        }
        let spread = self.spread(seat, index);
        ask.known.sort_unstable();
        let named = self.name_found(seat, &ask, holders, now);
        let mut meetings: Vec<Meeting> = { &named }
            .iter()
            .map(|(_, neighbour)| met(neighbour, true))
            .collect();
        self.push_back(seat, ask.object, index, &named);
        let left = ask.max.saturating_sub(meetings.len());
        // Whoever was just named needs no second introduction.
        let mut known = ask.known;
        known.extend(meetings.iter().map(|meeting| meeting.peer));
        let own = self.choose(seat, index, left, known, now);
        let own = own.iter().filter_map(|choice| {
            let session = &self.sessions[choice.holder.seat().index()];
            meeting(session, choice.holder.is_complete(), true)
        });
        meetings.extend(own);
        let to = ask.session;
        self.outputs.push_back(Output::Introduce {
            to,
            object: ask.object,
            peers: meetings,
            spread: Some(spread),
        });
    }

    /// Those of the found that may be named to a client, near ones first, as many far ones as the
    /// policy keeps room for.
    fn name_found(
        &mut self,
        seat: Seat,
        ask: &Ask,
        holders: Vec<(NodeId, Neighbour)>,
        now: Timestamp,
    ) -> Vec<(NodeId, Neighbour)> {
        let place = self.places[seat.index()];
        let fit = Fit {
            sessions: &self.sessions,
            places: &self.places,
            asker: seat,
            place,
            class: self.sessions[seat.index()].nat,
            known: &ask.known,
            rule: self.config.policy.nat,
            now,
        };
        let mut seen = BTreeSet::new();
        let fitting = holders.into_iter().filter(|(_, neighbour)| {
            let fits = match self.by_peer.get(&neighbour.peer) {
                // A client of this node: nobody knows it better.
                Some(own) => fit.look_at(*own).is_some(),
                None => {
                    let level = place.nearness(neighbour.place);
                    fit.welcomes(&neighbour.peer, neighbour.nat, level)
                }
            };
            // Other nodes have clients of whom this one's complained.
            let doubted = self.complaints.doubt(neighbour.peer, ask.object);
            fits && !doubted && seen.insert(neighbour.peer)
        });
        let is_far = |(_, found): &(NodeId, Neighbour)| place.nearness(found.place) == Level::World;
        let (far, mut named): (Vec<_>, Vec<_>) = fitting.partition(is_far);
        let kept = ask.max.saturating_sub(ask.reserve.min(far.len()));
        let spare = named.split_off(kept.min(named.len()));
        named.extend(far);
        named.extend(spare);
        named.truncate(ask.max);
        for (_, neighbour) in &named {
            self.stats.named[place.nearness(neighbour.place) as usize] += 1;
        }
        let cost = self.config.policy.rotation.cost;
        for (_, neighbour) in &named {
            if let Some(own) = self.by_peer.get(&neighbour.peer) {
                let session = &mut self.sessions[own.index()];
                session.busy_until = session.busy_until.max(now) + cost;
            }
        }
        named
    }

    /// Has the found that may look for peers themselves told of the asker: this node's clients at
    /// once, those of others by their nodes.
    fn push_back(
        &mut self,
        asker: Seat,
        object: ObjectId,
        index: ObjectIndex,
        named: &[(NodeId, Neighbour)],
    ) {
        let session = &self.sessions[asker.index()];
        if !session.is_reachable() || named.is_empty() {
            return;
        }
        let Some(neighbour) = self.neighbour(asker, index) else {
            return;
        };
        let mut by_node: BTreeMap<NodeId, Vec<PeerId>> = BTreeMap::new();
        let mut own = Vec::new();
        for (node, found) in named.iter().filter(|(_, found)| !found.complete) {
            match self.by_peer.contains_key(&found.peer) {
                true => own.push(found.peer),
                false => by_node.entry(*node).or_default().push(found.peer),
            }
        }
        self.hear_of(&Push {
            object,
            to: own,
            neighbour: neighbour.clone(),
        });
        for (node, to) in by_node {
            let push = Push {
                object,
                to,
                neighbour: neighbour.clone(),
            };
            self.shares.push_back(Share::Push { node, push });
        }
    }

    /// Tells those clients of a peer that will ask them who look for peers themselves.
    pub(crate) fn hear_of(&mut self, push: &Push) {
        let Some(index) = self.directory.find(push.object) else {
            return;
        };
        if self.is_blocked(push.object) {
            return;
        }
        for peer in &push.to {
            let Some(seat) = self.by_peer.get(peer) else {
                continue;
            };
            let session = &self.sessions[seat.index()];
            let complete = session.held.get(index).is_some_and(|held| held.complete);
            if session.presence == Presence::Here && !complete && is_looking(session, index) {
                self.outputs.push_back(Output::Introduce {
                    to: session.id,
                    object: push.object,
                    peers: vec![met(&push.neighbour, false)],
                    spread: None,
                });
            }
        }
    }
}

impl Fit<'_> {
    fn look_at(&self, seat: Seat) -> Option<Timestamp> {
        self.look(crate::holders::Holder::new(seat, false))
    }

    /// Whether a client of another node can be named.
    fn welcomes(&self, peer: &PeerId, nat: NatClass, level: Level) -> bool {
        let connects = self.rule.allows(self.class, nat, false) || level == Level::Site;
        connects && self.known.binary_search(peer).is_err()
    }
}

fn met(neighbour: &Neighbour, dial: bool) -> Meeting {
    Meeting {
        peer: neighbour.peer,
        contact: Arc::clone(&neighbour.contact),
        complete: neighbour.complete,
        dial,
    }
}
