//! Moves bytes: answers become chunks, chunks cross lines.

use peerlift_content::NODE_BYTES;
use peerlift_model::GroupRange;
use peerlift_swarm::{Event, Fault, RequestEnd, RequestId, ServeId, SourceId};

use super::line::Channel;
use super::task::Serve;
use super::{Chunk, Happening, Question, World};
use crate::arena::Key;
use crate::check::Sight;
use crate::plan::{Nat, Nature};
use crate::wire::Carrier;

/// How much of an upload is told to the core at a time.
const REPORT_BYTES: u64 = 256 * 1024;
/// What a late liar delivers correctly.
const LATE_LIAR_BYTES: u64 = 4 << 20;

/// One answer being sent.
#[derive(Debug)]
pub(super) struct Flow {
    /// Who asked, and by which name.
    client: u32,
    question: Question,
    /// The next group to send.
    next: u32,
    /// Who sends; `None` for the edge.
    server: Option<u32>,
    /// Its name there; liars have none.
    serve: Option<ServeId>,
    unreported: u64,
}

impl World<'_> {
    pub(super) fn edge_asked(&mut self, task: u32, question: Question, channel: Key) {
        let waits = self.tasks[task as usize]
            .live
            .contains_key(&question.request);
        if waits && self.edge_alive {
            self.start(task, question, (None, None), channel);
        }
    }

    /// A request reaches a peer.
    pub(super) fn asked(&mut self, id: u32, source: SourceId, question: Question) {
        let task = &mut self.tasks[id as usize];
        let end = &task.ends[source.0 as usize];
        let (Some((client, _)), true, true) = (end.peer, end.open, task.alive) else {
            return;
        };
        match task.nature {
            Nature::Staller => {}
            Nature::Liar | Nature::LateLiar | Nature::LastLiar | Nature::Dripper => {
                let channel = self.channel_to(id, source);
                self.start(client, question, (Some(id), None), channel);
            }
            Nature::Honest => {
                let serve = ServeId(task.next_serve);
                task.next_serve += 1;
                let upload = Serve {
                    source,
                    question,
                    flow: None,
                };
                task.serves.insert(serve, upload);
                task.served.insert((source, question.request), serve);
                let event = Event::Asked {
                    source,
                    serve,
                    groups: question.groups,
                };
                self.tell(id, event);
            }
        }
    }

    /// The core lets an upload begin.
    pub(super) fn start_upload(&mut self, id: u32, serve: ServeId) {
        let upload = self.tasks[id as usize].serves[&serve];
        let end = &self.tasks[id as usize].ends[upload.source.0 as usize];
        let Some((client, _)) = end.peer else {
            return;
        };
        let channel = self.channel_to(id, upload.source);
        let server = (Some(id), Some(serve));
        let flow = self.start(client, upload.question, server, channel);
        if let Some(upload) = self.tasks[id as usize].serves.get_mut(&serve) {
            upload.flow = Some(flow);
        }
    }

    fn channel_to(&mut self, id: u32, source: SourceId) -> Key {
        let end = &self.tasks[id as usize].ends[source.0 as usize];
        if let Some(channel) = end.channel {
            return channel;
        }
        let client = end.peer.map_or(id, |(client, _)| client);
        let ends = (self.line_of_task(id), self.line_of_task(client));
        let keep = |line: u32| 1.0 - self.lines[line as usize].loss;
        let loss = 1.0 - keep(ends.0) * keep(ends.1);
        let (rtt, chunk) = (end.rtt, self.plan.chunk_groups);
        let open = self.nat_of(id) == Nat::Open || self.nat_of(client) == Nat::Open;
        let carrier = if open {
            Carrier::Reached
        } else {
            Carrier::Peer
        };
        let new = Channel::new(ends, carrier, rtt, loss, chunk);
        let channel = self.channels.add(new);
        self.tasks[id as usize].ends[source.0 as usize].channel = Some(channel);
        channel
    }

    fn start(
        &mut self,
        client: u32,
        question: Question,
        (server, serve): (Option<u32>, Option<ServeId>),
        channel: Key,
    ) -> Key {
        let flow = self.flows.add(Flow {
            client,
            question,
            next: question.groups.start(),
            server,
            serve,
            unreported: 0,
        });
        if let Some(known) = self.channels.get_mut(channel) {
            known.flows.push_back(flow);
        }
        self.enqueue(channel);
        flow
    }

    /// Puts a connection among those whose turn it is, if it can send.
    fn enqueue(&mut self, key: Key) {
        let Some(channel) = self.channels.get_mut(key) else {
            return;
        };
        if channel.queued || !channel.is_ready() {
            return;
        }
        channel.queued = true;
        let line = channel.from;
        self.lines[line as usize].ready.push_back(key);
        self.pump(line);
    }

    pub(super) fn line_free(&mut self, line: u32) {
        self.lines[line as usize].sending = false;
        self.pump(line);
    }

    /// Lets the next chunk leave a line that is free.
    fn pump(&mut self, line: u32) {
        while !self.lines[line as usize].sending {
            let Some(key) = self.lines[line as usize].ready.pop_front() else {
                return;
            };
            let Some(channel) = self.channels.get_mut(key) else {
                continue;
            };
            channel.queued = false;
            while let Some(flow) = channel.flows.front()
                && self.flows.get(*flow).is_none()
            {
                channel.flows.pop_front();
            }
            if channel.is_ready() {
                self.send(line, key);
                self.enqueue_quietly(key);
            }
        }
    }

    /// As `enqueue`, while its line is being pumped.
    fn enqueue_quietly(&mut self, key: Key) {
        if let Some(channel) = self.channels.get_mut(key)
            && channel.is_ready()
        {
            channel.queued = true;
            self.lines[channel.from as usize].ready.push_back(key);
        }
    }

    fn send(&mut self, line: u32, key: Key) {
        let Some(channel) = self.channels.get_mut(key) else {
            return;
        };
        let Some(flow_key) = channel.flows.front().copied() else {
            return;
        };
        let Some(flow) = self.flows.get_mut(flow_key) else {
            return;
        };
        let layout = self.layouts[self.tasks[flow.client as usize].object as usize];
        let asked = flow.question.groups;
        let end = asked.end().min(flow.next + self.plan.chunk_groups);
        let groups = GroupRange::new(flow.next, end);
        let first = flow.next == asked.start();
        let parents = flow.question.parents_until(end) - flow.question.parents_until(flow.next);
        flow.next = end;
        let payload = layout.bytes_of(groups).len();
        let wire = channel.carrier.bytes(payload, parents, first);
        flow.unreported += payload;
        let done = end == asked.end();
        let (client, server, serve) = (flow.client, flow.server, flow.serve);
        let report = done || flow.unreported >= REPORT_BYTES;
        let told = if report {
            std::mem::take(&mut flow.unreported)
        } else {
            0
        };
        channel.sent();
        if done {
            channel.flows.pop_front();
        }
        let (rtt, now) = (channel.rtt, self.now);
        let leaves = self.lines[line as usize].send(wire, now);
        self.post(leaves, Happening::Sent(line));
        let chunk = Chunk {
            channel: key,
            flow: flow_key,
            groups,
            wire_bytes: whole(wire),
            payload: u32::try_from(payload).expect("a chunk is a megabyte at most"),
        };
        self.post(leaves + rtt / 2, Happening::Reached(chunk));
        self.count_sent(server, client, (payload, parents), wire);
        if let (Some(server), Some(serve), true) = (server, serve, report) {
            self.report(server, serve, told, done);
        }
    }

    fn count_sent(
        &mut self,
        server: Option<u32>,
        client: u32,
        (payload, parents): (u64, u64),
        wire: f64,
    ) {
        match server {
            None => {
                self.outcome.edge_bytes += payload;
                self.outcome.edge_wire_bytes += u64::from(whole(wire));
            }
            Some(server) => {
                self.outcome.peer_bytes += payload;
                self.outcome.proof_bytes += parents * NODE_BYTES;
                if self.place_of(server) == self.place_of(client) {
                    self.outcome.near_bytes += payload;
                }
                self.tasks[server as usize].uploaded += payload;
            }
        }
        self.see(Sight::Sent {
            task: server,
            bytes: payload,
        });
    }

    /// Tells the core how an upload goes.
    fn report(&mut self, id: u32, serve: ServeId, bytes: u64, done: bool) {
        let zero = std::time::Duration::ZERO;
        self.post(zero, Happening::Tell(id, Event::Served { serve, bytes }));
        if done {
            if let Some(upload) = self.tasks[id as usize].serves.remove(&serve) {
                let name = (upload.source, upload.question.request);
                self.tasks[id as usize].served.remove(&name);
            }
            self.post(zero, Happening::Tell(id, Event::ServeEnded { serve }));
        }
        let task = &self.tasks[id as usize];
        let size = self.layouts[task.object as usize].size() as f64;
        let ratio = self.plan.users[task.user as usize].ratio_max;
        if ratio.is_some_and(|ratio| task.uploaded as f64 >= size * ratio) {
            self.post(zero, Happening::Tell(id, Event::Share { share: false }));
        }
    }

    /// A chunk reaches a downlink.
    pub(super) fn reach(&mut self, chunk: Chunk) {
        let Some(channel) = self.channels.get_mut(chunk.channel) else {
            self.lose(chunk);
            return;
        };
        let now = self.now;
        let line = &mut self.lines[channel.to as usize];
        let (through, full) = line.receive(f64::from(chunk.wire_bytes), now);
        if full {
            channel.congested(through.since(now), now);
        }
        let acks = channel.carrier.acks(f64::from(chunk.wire_bytes));
        line.burden(acks, now);
        self.queue.post(through, Happening::Taken(chunk));
    }

    /// A chunk is through a downlink.
    pub(super) fn take(&mut self, chunk: Chunk) {
        if let Some(channel) = self.channels.get(chunk.channel) {
            let back = channel.rtt / 2;
            self.post(back, Happening::Acked(chunk.channel));
        }
        let Some(flow) = self.flows.get(chunk.flow) else {
            self.lose(chunk);
            return;
        };
        let (client, server) = (flow.client, flow.server);
        let Question {
            request, groups, ..
        } = flow.question;
        let done = chunk.groups.end() == groups.end();
        if done {
            self.flows.remove(chunk.flow);
        }
        let task = &self.tasks[client as usize];
        if !task.alive || !task.live.contains_key(&request) {
            self.lose(chunk);
            return;
        }
        let correct = server.is_none_or(|server| self.is_correct(server, chunk.groups));
        let bytes = u64::from(chunk.payload);
        self.see(Sight::Arrived {
            task: client,
            groups: chunk.groups,
            bytes,
            correct,
        });
        if !correct {
            self.reject(client, request, chunk, bytes);
            return;
        }
        let groups = chunk.groups;
        self.tell(client, Event::Arrived { request, groups });
        if done {
            let end = RequestEnd::Done;
            self.tell(client, Event::Ended { request, end });
        }
    }

    fn is_correct(&self, server: u32, groups: GroupRange) -> bool {
        let task = &self.tasks[server as usize];
        match task.nature {
            Nature::Honest | Nature::Dripper | Nature::Staller => true,
            Nature::Liar => false,
            Nature::LateLiar => task.uploaded <= LATE_LIAR_BYTES,
            Nature::LastLiar => groups.end() < self.layouts[task.object as usize].group_count(),
        }
    }

    fn reject(&mut self, client: u32, request: RequestId, chunk: Chunk, bytes: u64) {
        let record = &mut self.tasks[client as usize].record;
        record.wasted += bytes;
        record.corrupt_groups += chunk.groups.len();
        let end = RequestEnd::Failed(Fault::Corrupt);
        self.flows.remove(chunk.flow);
        self.tell(client, Event::Ended { request, end });
    }

    pub(super) fn acknowledge(&mut self, key: Key) {
        if let Some(channel) = self.channels.get_mut(key) {
            channel.acknowledged();
            self.enqueue(key);
        }
    }

    /// Whoever wanted a chunk is gone, or has cancelled.
    pub(super) fn lose(&mut self, chunk: Chunk) {
        let bytes = u64::from(chunk.payload);
        self.outcome.lost_bytes += bytes;
        self.see(Sight::Lost { bytes });
    }

    /// A cancel reaches a peer.
    pub(super) fn stopped(&mut self, id: u32, source: SourceId, request: RequestId) {
        let serve = self.tasks[id as usize].served.get(&(source, request));
        if let Some(serve) = serve.copied() {
            self.forget_serve(id, serve);
            self.tell(id, Event::ServeEnded { serve });
        }
    }

    /// Forgets an upload with what of it has not been sent.
    pub(super) fn forget_serve(&mut self, id: u32, serve: ServeId) -> Option<Serve> {
        let task = &mut self.tasks[id as usize];
        let upload = task.serves.remove(&serve)?;
        task.served
            .remove(&(upload.source, upload.question.request));
        upload.flow.and_then(|flow| self.flows.remove(flow));
        Some(upload)
    }

    /// A connection to the edge is closed.
    pub(super) fn hang_up(&mut self, channel: Key) {
        if let Some(channel) = self.channels.remove(channel) {
            for flow in channel.flows {
                self.flows.remove(flow);
            }
        }
    }
}

/// Wire bytes of a chunk: at most 64 groups.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a chunk is a few megabytes at most"
)]
fn whole(wire: f64) -> u32 {
    wire.round() as u32
}
