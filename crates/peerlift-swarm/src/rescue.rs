//! Lets sources with nothing left to do help those that will end last.
//!
//! Which part of a request is worth asking for a second time is decided in `endgame`.

use std::collections::BTreeMap;
use std::time::Duration;

use peerlift_model::{GroupRange, Rate, Timestamp};

use crate::endgame::{Helper, Straggler, late_from, rescue, with_neighbours};
use crate::holdings::Holdings;
use crate::requests::{Claim, Request};
use crate::source::{Kind, Source};
use crate::swarm::Swarm;
use crate::{Cause, Goal, RequestId, SourceId};

impl Swarm {
    /// So near the end a tick is too long to wait for the next look at who could help:
    const NEAR: Duration = Duration::from_secs(1);
    /// it comes after about the round trip to an edge, which is what help takes.
    const LOOK_AGAIN: Duration = Duration::from_millis(20);

    /// Lets every source with nothing to do help the slowest.
    pub(crate) fn rescue(&mut self, now: Timestamp) {
        let until = self.ends_in(now);
        self.help_at = (until < Self::NEAR).then(|| now + Self::LOOK_AGAIN);
        self.relieve(now);
        let helpers: Vec<SourceId> = self.sources.keys().copied().collect();
        // Who reads a stream waits for its next bytes, not for the end.
        let late_from = match self.config.goal {
            Goal::InOrder => Duration::ZERO,
            Goal::Fastest | Goal::Thrifty | Goal::Floor(_) | Goal::Deadline(_) => late_from(until),
        };
        let mut waits = None;
        for id in helpers {
            let Some(source) = self.sources.get(&id) else {
                continue;
            };
            let helper = Helper {
                latency: source.latency(now),
                rate: source.rate(now),
                until,
                late_from,
            };
            if !self.may_help(source, helper, now) {
                continue;
            }
            let waits_now = waits.get_or_insert_with(|| self.waits(now));
            let slowest = slowest(id, source, waits_now);
            let run = rescue(&slowest, helper).map(|run| match source.edge() {
                Some(edge) => with_neighbours(run, &others(id, waits_now), helper.lane(edge.lanes)),
                None => run,
            });
            if let Some(run) = run.and_then(|run| self.budget.spend(run)) {
                self.ask(id, run, (Claim::Second, Cause::Rescued), now);
                waits = None;
            }
        }
    }

    /// Takes back what helpers owe that are late themselves, so that others can help.
    fn relieve(&mut self, now: Timestamp) {
        let helpers = (self.requests.iter())
            .filter(|(_, entry)| entry.claim == Claim::Second && !entry.cancelled);
        let late = helpers.filter(|(_, entry)| {
            let owner = self.sources.get(&entry.source);
            owner.is_some_and(|owner| self.is_late(entry, owner, now)) && !self.is_sole(entry)
        });
        let late: Vec<RequestId> = late.map(|(request, _)| request).collect();
        late.into_iter()
            .for_each(|request| self.cancel(request, now));
    }

    /// Whether something that a request would bring is asked of nobody else.
    fn is_sole(&self, entry: &Request) -> bool {
        let missing = entry.pending.difference(self.claims.have());
        !missing.difference(self.claims.doubled()).is_empty()
    }

    fn may_help(&self, source: &Source, helper: Helper, now: Timestamp) -> bool {
        if source.conduct.is_resting(now) || source.conduct.is_on_parole() {
            return false;
        }
        match &source.kind {
            // What the edge brings twice is paid for twice: the valve counts even in the last moment.
            Kind::Edge(edge) => {
                source.requests < usize::from(edge.lanes) && self.valve.fill_groups() > 0
            }
            Kind::Peer(peer) => {
                let quick = || helper.is_quick() || !self.has_edge();
                !peer.choking && source.has_room(peer) && quick()
            }
        }
    }

    /// The requests that could be hurried, what will end last first.
    fn waits(&self, now: Timestamp) -> Vec<Wait> {
        let mut queued: BTreeMap<SourceId, u64> = BTreeMap::new();
        let mut waits = Vec::new();
        for (_, entry) in self.requests.iter().filter(|(_, entry)| !entry.cancelled) {
            let own = self.bytes(entry.pending.runs());
            let queue = queued.entry(entry.source).or_default();
            *queue += own;
            let (Some(owner), Some(single)) =
                (self.sources.get(&entry.source), self.single_tail(entry))
            else {
                continue;
            };
            if entry.claim == Claim::Nothing {
                continue;
            }
            // An edge answers side by side, a peer one after the other.
            let lanes = if owner.edge().is_some() {
                owner.requests.max(1)
            } else {
                1
            };
            let owed = if owner.edge().is_some() { own } else { *queue };
            let rate = Rate::from_bytes_per_s(owner.rate(now).bytes_per_s() / lanes as u64);
            waits.push(Wait {
                source: entry.source,
                single,
                ends_in: expected_end(owed, rate, self.overdue(entry, owner, now)),
                rate,
            });
        }
        waits.sort_by_key(|wait| std::cmp::Reverse(wait.ends_in));
        waits
    }

    /// For how long a request will probably last yet, by how it went so far: what has been silent
    /// for long will be so for as long again, and what is late takes as long again as it has taken.
    fn overdue(&self, entry: &Request, owner: &Source, now: Timestamp) -> Duration {
        let late = self.is_late(entry, owner, now);
        now.since(if late { entry.made } else { entry.progress })
    }

    fn is_late(&self, entry: &Request, owner: &Source, now: Timestamp) -> bool {
        let late_from = owner.lateness.limit(&self.lateness);
        entry.ratio(now).is_some_and(|ratio| ratio > late_from)
    }

    /// The last run of a request that is missing and asked for only once.
    fn single_tail(&self, entry: &Request) -> Option<GroupRange> {
        let last = entry.pending.runs().last()?;
        (self.claims.doubled().gaps_in(*last))
            .filter_map(|gap| self.claims.have().gaps_in(gap).last())
            .last()
    }
}

/// A request that is waited for.
#[derive(Debug)]
struct Wait {
    source: SourceId,
    /// Its last run that is missing and asked for only once.
    single: GroupRange,
    /// When it will end, from now.
    ends_in: Duration,
    /// What its source delivers.
    rate: Rate,
}

impl Wait {
    /// What of it somebody could hurry who has `tail` of its last run.
    fn straggler(&self, tail: GroupRange) -> Straggler {
        Straggler {
            tail,
            ends_in: self.ends_in,
            rate: self.rate,
        }
    }
}

/// Those of other sources that will end last of all that the helper could hurry.
fn slowest(id: SourceId, helper: &Source, waits: &[Wait]) -> Vec<Straggler> {
    let everything = Holdings::All;
    let holdings = helper.peer().map_or(&everything, |peer| &peer.holdings);
    let mut slowest: Vec<Straggler> = Vec::new();
    for wait in waits.iter().filter(|wait| wait.source != id) {
        let ends_in = wait.ends_in;
        if slowest.first().is_some_and(|one| one.ends_in > ends_in) {
            break;
        }
        let tail = holdings.runs_in(wait.single).pop();
        slowest.extend(tail.map(|tail| wait.straggler(tail)));
    }
    slowest
}

/// What an edge could hurry: all that others owe.
fn others(edge: SourceId, waits: &[Wait]) -> Vec<Straggler> {
    let others = waits.iter().filter(|wait| wait.source != edge);
    others.map(|wait| wait.straggler(wait.single)).collect()
}

/// When a request will have ended, from now, when its source still owes `bytes` up to its end, and
/// what went wrong so far says `least`.
fn expected_end(bytes: u64, rate: Rate, least: Duration) -> Duration {
    /// A source that has never delivered is taken to need so long.
    const UNKNOWN: Duration = Duration::from_secs(8);
    rate.time_for(bytes).min(UNKNOWN).max(least)
}
