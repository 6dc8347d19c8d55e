//! The aggregate: routes events to the policies and their answers to the shell.

use std::collections::{BTreeMap, VecDeque};

use peerlift_model::{GroupRange, GroupSet, Layout, Rate, Timestamp};

use crate::{
    Config, EdgeUse, Event, Fault, Output, Refusal, RequestEnd, RequestId, SourceId, Status,
};

/// The plan of one object's download and upload.
#[derive(Debug)]
pub struct Swarm {
    config: Config,
    layout: Layout,
    have: GroupSet,
    resumed: u64,
    open: GroupSet,
    requests: BTreeMap<RequestId, (SourceId, GroupRange)>,
    lanes: BTreeMap<SourceId, u8>,
    next_request: u64,
    outputs: VecDeque<Output>,
    finished: bool,
}

impl Swarm {
    /// A plan for the object that `layout` describes, of which `have` is here already.
    ///
    /// `seed` is all the randomness there will be. When everything is here, [`Output::Finished`]
    /// is the first output.
    #[must_use]
    pub fn new(config: Config, layout: Layout, have: GroupSet, seed: u64, now: Timestamp) -> Self {
        let _ = (seed, now);
        let mut open = GroupSet::from(layout.all_groups());
        for run in have.runs() {
            open.remove(*run);
        }
        let mut swarm = Self {
            config,
            layout,
            resumed: bytes(layout, &have),
            have,
            open,
            requests: BTreeMap::new(),
            lanes: BTreeMap::new(),
            next_request: 0,
            outputs: VecDeque::new(),
            finished: false,
        };
        swarm.finish_if_complete();
        swarm
    }

    /// Takes in what happened. Never fails: what makes no sense is ignored, see [`Event`].
    pub fn handle(&mut self, event: Event, now: Timestamp) {
        let _ = now;
        match event {
            Event::EdgeJoined { source, lanes } => {
                self.lanes.insert(source, lanes.max(1));
            }
            Event::Left { source } => {
                self.lanes.remove(&source);
                let gone: Vec<RequestId> = (self.requests.iter())
                    .filter(|(_, (of, _))| *of == source)
                    .map(|(request, _)| *request)
                    .collect();
                gone.into_iter().for_each(|request| self.release(request));
            }
            Event::Arrived { request, groups } => {
                if let Some((_, range)) = self.requests.get(&request) {
                    self.have.insert(groups.intersection(*range));
                    self.finish_if_complete();
                }
            }
            Event::Ended { request, end } => {
                let source = self.requests.get(&request).map(|(source, _)| *source);
                self.release(request);
                if let (Some(source), RequestEnd::Failed(Fault::Corrupt)) = (source, end) {
                    self.lanes.remove(&source);
                    let reason = crate::BanReason::Corrupt;
                    self.outputs.push_back(Output::Ban { source, reason });
                }
            }
            Event::Asked { serve, .. } => self.outputs.push_back(Output::RefuseServe {
                serve,
                reason: Refusal::Choked,
            }),
            Event::PeerJoined { .. }
            | Event::Have { .. }
            | Event::HaveAll { .. }
            | Event::Choked { .. }
            | Event::Unchoked { .. }
            | Event::Spread { .. }
            | Event::Goal { .. }
            | Event::Share { .. }
            | Event::Served { .. }
            | Event::ServeEnded { .. } => {}
        }
        self.plan();
    }

    /// Does what is due at `now`; harmless when nothing is.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let _ = now;
    }

    /// The next thing to do, in order; `None` when all is said.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call [`Swarm::handle_timeout`] at the latest; `None` for never.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        None
    }

    /// The groups that are here.
    #[must_use]
    pub fn have(&self) -> &GroupSet {
        &self.have
    }

    /// Whether every group is here.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// What the download looks like at `now`. Costs one look at every source.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> Status {
        let _ = now;
        let done = bytes(self.layout, &self.have);
        Status {
            goal: self.config.goal,
            size: self.layout.size(),
            done,
            resumed: self.resumed,
            from_edge: done - self.resumed,
            from_peers: 0,
            wasted: 0,
            uploaded: 0,
            rate_down: Rate::default(),
            rate_up: Rate::default(),
            eta: None,
            edge_use: EdgeUse::Full,
            sources: Vec::new(),
            serving: 0,
            serve_waiting: 0,
        }
    }

    fn plan(&mut self) {
        for (source, lanes) in &self.lanes {
            let busy = self
                .requests
                .values()
                .filter(|(of, _)| of == source)
                .count();
            for _ in busy..usize::from(*lanes) {
                let Some(run) = self.open.runs().first() else {
                    return;
                };
                let groups = GroupRange::new(run.start(), run.end().min(run.start() + 64));
                let request = RequestId(self.next_request);
                self.next_request += 1;
                self.open.remove(groups);
                self.requests.insert(request, (*source, groups));
                self.outputs.push_back(Output::Request {
                    request,
                    source: *source,
                    groups,
                });
            }
        }
    }

    fn release(&mut self, request: RequestId) {
        if let Some((_, range)) = self.requests.remove(&request) {
            self.open.extend(self.have.gaps_in(range));
        }
    }

    fn finish_if_complete(&mut self) {
        if !self.finished && self.have.contains_all(self.layout.all_groups()) {
            self.finished = true;
            self.outputs.push_back(Output::Finished);
        }
    }
}

fn bytes(layout: Layout, groups: &GroupSet) -> u64 {
    let of = |run: &GroupRange| layout.bytes_of(*run).len();
    groups.runs().iter().map(of).sum()
}
