//! Carries out what a core says.

use std::rc::Rc;
use std::time::Duration;

use peerlift_model::{GroupRange, GroupSet};
use peerlift_swarm::{
    Event, Fault, Output, Refusal, RequestEnd, RequestId, ServeId, SourceId, Swarm,
};

use super::line::Channel;
use super::task::{EDGE_SOURCE, End};
use super::{EDGE_LINE, Happening, Question, World};
use crate::check::Sight;
use crate::wire::{Carrier, have_delta, parents};

impl World<'_> {
    pub(super) fn drain(&mut self, id: u32, swarm: &mut Swarm) {
        let mut news: Vec<GroupRange> = Vec::new();
        while let Some(output) = swarm.poll_output() {
            self.remember(id, &output);
            if let Output::Announce { groups } = output {
                news.push(groups);
                continue;
            }
            self.spread_news(id, &mut news);
            self.perform(id, output, swarm.have());
        }
        self.spread_news(id, &mut news);
    }

    fn perform(&mut self, id: u32, output: Output, have: &GroupSet) {
        match output {
            Output::Request {
                request,
                source,
                groups,
            } => {
                let layout = self.layouts[self.tasks[id as usize].object as usize];
                let question = Question {
                    request,
                    groups,
                    parents: parents(layout, groups, have),
                };
                self.request(id, source, question);
            }
            Output::Cancel { request } => self.cancel(id, request),
            Output::Announce { .. } => {}
            Output::Serve { serve } => self.serve(id, serve),
            Output::RefuseServe { serve, reason } => self.refuse(id, serve, reason),
            Output::StopServe { serve } => self.stop_serve(id, serve),
            Output::Pledge { groups } => self.pledge(id, groups),
            Output::FairShare { source, share } => {
                self.say(id, source, |source| Event::FairShare { source, share });
            }
            Output::Choke { source } => self.say(id, source, |source| Event::Choked { source }),
            Output::Unchoke { source } => self.say(id, source, |source| Event::Unchoked { source }),
            Output::Ban { source, .. } => {
                self.ban(id, source);
                self.dismiss(id, source);
            }
            Output::Dismiss { source } => self.dismiss(id, source),
            Output::WantPeers => self.want_peers(id),
            Output::Finished => self.finish(id),
        }
    }

    /// Tells every connected peer of what arrived, in one message each.
    fn spread_news(&mut self, id: u32, news: &mut Vec<GroupRange>) {
        if news.is_empty() {
            return;
        }
        let runs: Rc<[GroupRange]> = std::mem::take(news).into();
        let line = self.line_of_task(id) as usize;
        let posts = self.audience(id);
        for (other, source, lag) in posts {
            if self.tasks[other as usize].complete {
                // It wants nothing any more; the message is sent all the same.
                self.lines[line].burden(have_delta(runs.len()), self.now);
                continue;
            }
            self.outcome.announcements += runs.len() as u64;
            self.lines[line].burden(have_delta(runs.len()), self.now);
            let runs = Rc::clone(&runs);
            let news = Happening::Have {
                task: other,
                source,
                runs,
            };
            self.post(lag, news);
        }
    }

    /// Tells every connected peer what is being fetched from the edge.
    fn pledge(&mut self, id: u32, groups: GroupRange) {
        let line = self.line_of_task(id) as usize;
        for (other, source, lag) in self.audience(id) {
            self.lines[line].burden(have_delta(1), self.now);
            let event = Event::Pledged { source, groups };
            self.post(lag, Happening::Tell(other, event));
        }
    }

    /// The connected peers: task, our number there, and how long a message takes.
    fn audience(&self, id: u32) -> Vec<(u32, SourceId, Duration)> {
        let ends = self.tasks[id as usize].ends.iter().filter(|end| end.open);
        let audience = |end: &End| {
            let lag = self.lag(id, end.rtt);
            end.peer.map(|(other, there)| (other, there, lag))
        };
        ends.filter_map(audience).collect()
    }

    fn request(&mut self, id: u32, source: SourceId, question: Question) {
        let Question {
            request, groups, ..
        } = question;
        self.outcome.requests += 1;
        let edge = source == EDGE_SOURCE;
        self.see(Sight::Requested {
            task: id,
            source,
            request,
            groups,
            edge,
        });
        self.tasks[id as usize].live.insert(request, source);
        let end = &self.tasks[id as usize].ends[source.0 as usize];
        let Some((other, there)) = end.peer else {
            self.request_edge(id, question.of_edge());
            return;
        };
        let ask = Happening::Ask {
            task: other,
            source: there,
            question,
        };
        let after = self.lag(id, end.rtt);
        self.post(after, ask);
    }

    fn request_edge(&mut self, id: u32, question: Question) {
        let (line, rtt) = (self.line_of_task(id), self.plan.distances.edge);
        let mut after = self.lag(id, rtt);
        let task = &mut self.tasks[id as usize];
        let free = |lane: &&mut super::task::Lane| lane.request.is_none();
        let lanes = task.lanes.iter_mut().filter(free);
        // An open connection rather than a new one.
        let Some(lane) = lanes.min_by_key(|lane| lane.channel.is_none()) else {
            return;
        };
        lane.request = Some(question.request);
        let channel = match lane.channel {
            Some(channel) => channel,
            None => {
                after += rtt * self.plan.edge.connect_rtts;
                let (ends, loss) = ((EDGE_LINE, line), self.lines[line as usize].loss);
                let chunk = self.plan.chunk_groups;
                let new = Channel::new(ends, Carrier::Edge, rtt, loss, chunk);
                *lane.channel.insert(self.channels.add(new))
            }
        };
        let ask = Happening::AskEdge {
            task: id,
            question,
            channel,
        };
        self.post(after, ask);
    }

    fn cancel(&mut self, id: u32, request: RequestId) {
        let task = &self.tasks[id as usize];
        let Some(source) = task.live.get(&request).copied() else {
            return;
        };
        let event = Event::Ended {
            request,
            end: RequestEnd::Cancelled,
        };
        let after = self.lag(id, task.ends[source.0 as usize].rtt);
        let task = &mut self.tasks[id as usize];
        let end = &task.ends[source.0 as usize];
        let stop = match end.peer {
            Some((other, there)) => Some(Happening::Stop {
                task: other,
                source: there,
                request,
            }),
            // What cancels an HTTP answer is the end of its connection.
            None => (task.lanes.iter_mut())
                .find(|lane| lane.request == Some(request))
                .and_then(|lane| lane.channel.take())
                .map(Happening::Hangup),
        };
        self.post(Duration::ZERO, Happening::Tell(id, event));
        if let Some(stop) = stop {
            self.post(after, stop);
        }
    }

    fn serve(&mut self, id: u32, serve: ServeId) {
        let Some(upload) = self.tasks[id as usize].serves.get(&serve).copied() else {
            return;
        };
        let groups = upload.question.groups;
        self.see(Sight::Serves { task: id, groups });
        self.start_upload(id, serve);
    }

    fn refuse(&mut self, id: u32, serve: ServeId, reason: Refusal) {
        self.fail_serve(id, serve, reason.into());
    }

    fn stop_serve(&mut self, id: u32, serve: ServeId) {
        self.fail_serve(id, serve, Fault::Closed);
        self.post(
            Duration::ZERO,
            Happening::Tell(id, Event::ServeEnded { serve }),
        );
    }

    fn fail_serve(&mut self, id: u32, serve: ServeId, fault: Fault) {
        let Some(upload) = self.forget_serve(id, serve) else {
            return;
        };
        let end = &self.tasks[id as usize].ends[upload.source.0 as usize];
        let (Some((other, _)), true) = (end.peer, end.open) else {
            return;
        };
        let event = Event::Ended {
            request: upload.question.request,
            end: RequestEnd::Failed(fault),
        };
        self.post(self.lag(id, end.rtt), Happening::Tell(other, event));
    }

    fn say(&mut self, id: u32, to: SourceId, event: impl FnOnce(SourceId) -> Event) {
        let end = &self.tasks[id as usize].ends[to.0 as usize];
        if let (Some((other, there)), true) = (end.peer, end.open) {
            self.post(self.lag(id, end.rtt), Happening::Tell(other, event(there)));
        }
    }

    /// Folds an output into the fingerprint: Fowler, Noll and Vo's hash.
    fn remember(&mut self, id: u32, output: &Output) {
        let groups =
            |groups: &GroupRange| u64::from(groups.start()) << 32 | u64::from(groups.end());
        let (kind, a, b) = match output {
            Output::Request {
                request,
                source,
                groups: range,
            } => (1, request.0 << 32 | u64::from(source.0), groups(range)),
            Output::Cancel { request } => (2, request.0, 0),
            Output::Announce { groups: range } => (3, groups(range), 0),
            Output::Serve { serve } => (4, serve.0, 0),
            Output::RefuseServe { serve, reason } => (5, serve.0, *reason as u64),
            Output::StopServe { serve } => (6, serve.0, 0),
            Output::Choke { source } => (7, u64::from(source.0), 0),
            Output::Unchoke { source } => (8, u64::from(source.0), 0),
            Output::Ban { source, reason } => (9, u64::from(source.0), *reason as u64),
            Output::Dismiss { source } => (10, u64::from(source.0), 0),
            Output::WantPeers => (11, 0, 0),
            Output::Finished => (12, 0, 0),
            Output::Pledge { groups: range } => (13, groups(range), 0),
            Output::FairShare { source, share } => (14, u64::from(source.0), share.bytes_per_s()),
        };
        for word in [self.now.as_micros(), u64::from(id), kind, a, b] {
            self.outcome.history = (self.outcome.history ^ word).wrapping_mul(0x100_0000_01b3);
            self.outcome.history ^= self.outcome.history >> 29;
        }
    }
}
