//! Connections between peers: how they come about and how they end.

use std::time::Duration;

use peerlift_model::GroupRange;
use peerlift_swarm::{Event, SourceId};

use super::task::{EDGE_SOURCE, End};
use super::{Happening, World};
use crate::check::Sight;
use crate::plan::{Nat, Nature, Place};

/// From an introduction to a connection: QUIC's handshake and the hello over it.
const HANDSHAKE_RTTS: u32 = 2;
/// … and with hole punching: the candidates through the relay before.
const PUNCH_RTTS: u32 = 2;
/// How long until the clients of a dead edge have given it up.
const NOTICE_EDGE: Duration = Duration::from_secs(3);

impl World<'_> {
    /// One task was told of another and dials it.
    pub(super) fn dial(&mut self, from: u32, to: u32) {
        let (nat, other) = (self.nat_of(from), self.nat_of(to));
        if !nat.connects(other) || self.tasks[from as usize].linked.contains_key(&to) {
            return;
        }
        let open = nat == Nat::Open && other == Nat::Open;
        let punch = if open { 0 } else { PUNCH_RTTS };
        let after = self.rtt_between(from, to) * (HANDSHAKE_RTTS + punch);
        self.post(after, Happening::Meet(from, to));
    }

    pub(super) fn meet(&mut self, a: u32, b: u32) {
        let (one, other) = (&self.tasks[a as usize], &self.tasks[b as usize]);
        let useless = one.complete && other.complete;
        let shunned = one.banned.contains(&b) || other.banned.contains(&a);
        if !one.alive || !other.alive || useless || shunned || one.linked.contains_key(&b) {
            return;
        }
        let rtt = self.rtt_between(a, b);
        let next = |ends: &Vec<End>| SourceId(u32::try_from(ends.len()).expect("bounded"));
        let (b_at_a, a_at_b) = (next(&one.ends), next(&other.ends));
        for (task, peer, number, there) in [(a, b, b_at_a, a_at_b), (b, a, a_at_b, b_at_a)] {
            let task = &mut self.tasks[task as usize];
            task.linked.insert(peer, number);
            task.ends.push(End {
                peer: Some((peer, there)),
                rtt,
                open: true,
                channel: None,
            });
        }
        for (task, source) in [(a, b_at_a), (b, a_at_b)] {
            self.tell(task, Event::PeerJoined { source, rtt });
        }
        for (from, to, source) in [(a, b, a_at_b), (b, a, b_at_a)] {
            self.greet(from, to, source, rtt / 2);
        }
    }

    /// One task tells another what it has.
    fn greet(&mut self, from: u32, to: u32, source: SourceId, lag: Duration) {
        let task = &self.tasks[from as usize];
        if task.nature != Nature::Honest {
            self.post(lag, Happening::Tell(to, Event::HaveAll { source }));
            self.post(lag, Happening::Tell(to, Event::Unchoked { source }));
            return;
        }
        let (Some(swarm), true) = (&task.swarm, task.shares) else {
            return;
        };
        if swarm.is_finished() {
            self.post(lag, Happening::Tell(to, Event::HaveAll { source }));
            return;
        }
        let runs: std::rc::Rc<[GroupRange]> = swarm.have().runs().into();
        if !runs.is_empty() {
            let news = Happening::Have {
                task: to,
                source,
                runs,
            };
            self.post(lag, news);
        }
    }

    pub(super) fn ban(&mut self, id: u32, source: SourceId) {
        let task = &mut self.tasks[id as usize];
        task.record.banned += 1;
        task.banned
            .extend(task.ends[source.0 as usize].peer.map(|(peer, _)| peer));
    }

    /// A task wants nothing more to do with a source.
    pub(super) fn dismiss(&mut self, id: u32, source: SourceId) {
        let end = &self.tasks[id as usize].ends[source.0 as usize];
        let (peer, after) = (end.peer, end.rtt / 2);
        if !end.open {
            return;
        }
        self.let_go(id, source);
        if let Some((task, source)) = peer {
            self.post(after, Happening::Part { task, source });
        }
    }

    /// A task notices that a source is gone.
    pub(super) fn part(&mut self, id: u32, source: SourceId) {
        if !self.tasks[id as usize].ends[source.0 as usize].open {
            return;
        }
        self.let_go(id, source);
        self.tell(id, Event::Left { source });
    }

    fn let_go(&mut self, id: u32, source: SourceId) {
        let task = &mut self.tasks[id as usize];
        let end = &mut task.ends[source.0 as usize];
        end.open = false;
        let channel = end.channel.take();
        if let Some((peer, _)) = end.peer {
            task.linked.remove(&peer);
        }
        task.live.retain(|_, of| *of != source);
        let serves: Vec<_> = (task.serves.iter())
            .filter(|(_, upload)| upload.source == source)
            .map(|(serve, _)| *serve)
            .collect();
        for serve in serves {
            self.forget_serve(id, serve);
        }
        channel.and_then(|channel| self.channels.remove(channel));
        self.see(Sight::Parted { task: id, source });
    }

    /// The edge is gone, with all connections to it.
    pub(super) fn lose_edge(&mut self) {
        self.edge_alive = false;
        for id in 0..self.tasks.len() {
            let lanes = self.tasks[id].lanes.iter_mut();
            let channels: Vec<_> = lanes.filter_map(|lane| lane.channel.take()).collect();
            channels
                .into_iter()
                .for_each(|channel| self.hang_up(channel));
            let task = u32::try_from(id).expect("plans are in bounds");
            let source = EDGE_SOURCE;
            self.post(NOTICE_EDGE, Happening::Part { task, source });
        }
    }

    pub(super) fn rtt_between(&self, a: u32, b: u32) -> Duration {
        let (a, b) = (self.place_of(a), self.place_of(b));
        self.plan.distances.between(a, b)
    }

    pub(super) fn place_of(&self, task: u32) -> Place {
        self.plan.users[self.tasks[task as usize].user as usize].place
    }

    pub(super) fn nat_of(&self, task: u32) -> Nat {
        self.plan.users[self.tasks[task as usize].user as usize].nat
    }
}
