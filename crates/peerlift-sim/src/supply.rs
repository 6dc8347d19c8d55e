//! How much peers could have delivered at most, without anybody waiting: no scheme can beat it.
//!
//! Bytes are a fluid that peers send as fast as their lines carry it, from the moment the
//! download begins: no connection is set up, no header sent, no peer is busy with another
//! download. A download takes in what its downlink carries and the uplinks of who shares the object
//! and can connect to it, from that one's own beginning on.

use std::collections::BTreeMap;

use crate::outcome::{Ending, Outcome, Record};
use crate::plan::{Nat, Nature, Plan, User, Visit};

const NATS: [Nat; 4] = [Nat::Open, Nat::PortRestricted, Nat::Symmetric, Nat::Blocked];

/// Bytes that peers could have delivered by bytes delivered, when every download took what time
/// it took.
#[must_use]
pub fn peers_could(plan: &Plan, outcome: &Outcome) -> f64 {
    let supply = Supply::of(plan, outcome);
    let (mut could, mut all) = (0.0, 0.0);
    for record in &outcome.records {
        let bytes = (record.from_edge + record.from_peers) as f64;
        all += bytes;
        could += supply.within(plan, record).min(bytes);
    }
    if all > 0.0 { could / all } else { 0.0 }
}

/// What the uplinks of all who share an object carry together, over time.
struct Supply {
    /// By object and the NAT of who asks: times in seconds and the bytes a second from then on.
    steps: BTreeMap<(u32, usize), Vec<(f64, f64)>>,
}

impl Supply {
    fn of(plan: &Plan, outcome: &Outcome) -> Self {
        let mut steps: BTreeMap<(u32, usize), Vec<(f64, f64)>> = BTreeMap::new();
        let mut note = |visit: &Visit, from_s: f64, to_s: f64| {
            let user = &plan.users[visit.user as usize];
            for nat in reached(user) {
                let steps = steps.entry((visit.object, nat)).or_default();
                steps.push((from_s, user.up_bytes_per_s));
                steps.push((to_s, -user.up_bytes_per_s));
            }
        };
        let stays = |visit: &Visit| {
            visit
                .stays
                .map_or(f64::INFINITY, |stays| stays.as_secs_f64())
        };
        for visit in plan.visits.iter().filter(|visit| visit.seed) {
            let from_s = visit.at.as_secs_f64();
            note(visit, from_s, from_s + stays(visit));
        }
        for record in &outcome.records {
            let visit = &plan.visits[record.visit as usize];
            let end_s = record.at_s + record.own_s;
            let finished = record.ending == Ending::Finished;
            note(
                visit,
                record.at_s,
                if finished {
                    end_s + stays(visit)
                } else {
                    end_s
                },
            );
        }
        steps.values_mut().for_each(|steps| accumulate(steps));
        Self { steps }
    }

    /// Bytes that it and the download's own line could have carried while the download lasted.
    fn within(&self, plan: &Plan, record: &Record) -> f64 {
        let user = &plan.users[record.user as usize];
        let Some(steps) = self.steps.get(&(record.object, user.nat as usize)) else {
            return 0.0;
        };
        // Nobody serves itself.
        let own = reached(user).any(|nat| nat == user.nat as usize);
        let own = if own { user.up_bytes_per_s } else { 0.0 };
        let carried =
            |rate: f64, seconds: f64| (rate - own).clamp(0.0, user.down_bytes_per_s) * seconds;
        let (mut at, end) = (record.at_s, record.at_s + record.own_s);
        let first = steps.partition_point(|(time, _)| *time <= at);
        let mut rate = first.checked_sub(1).map_or(0.0, |before| steps[before].1);
        let mut bytes = 0.0;
        for (time, next) in steps[first..].iter().take_while(|(time, _)| *time < end) {
            bytes += carried(rate, time - at);
            (at, rate) = (*time, *next);
        }
        bytes + carried(rate, end - at)
    }
}

/// The NATs whose users can fetch from a user.
fn reached(user: &User) -> impl Iterator<Item = usize> {
    let serves = user.shares && user.nature == Nature::Honest;
    let nats = NATS
        .into_iter()
        .filter(move |nat| serves && nat.connects(user.nat));
    nats.map(|nat| nat as usize)
}

/// Turns changes into what holds from then on.
fn accumulate(steps: &mut [(f64, f64)]) {
    steps.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut rate = 0.0;
    for (_, step) in steps {
        rate += *step;
        *step = rate;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Scenario, run};

    /// One download of 10 MiB at 80 Mbit/s beside seeds of 20 Mbit/s behind such NATs.
    fn could(seeds: u32, nat: Nat) -> f64 {
        let text = "name = \"one\"\nabout = \"one\"\n[objects]\nsize = { mib = 10 }\n\
                    [[lines]]\nshare = 1.0\ndown_mbit = 80\nup_mbit = 20\n\
                    [arrivals]\nkind = \"steady\"\ncount = 1\nevery_s = 1\n";
        let mut plan = Scenario::parse(text).unwrap().plan(1, None).unwrap();
        plan.users[0].shares = false;
        for _ in 0..seeds {
            let seed = Visit {
                seed: true,
                ..Visit::at(Duration::ZERO)
            };
            plan.add(seed, Nature::Honest);
        }
        plan.users[1..].iter_mut().for_each(|user| user.nat = nat);
        let alone = run(&plan.edge_only());
        peers_could(&plan, &alone)
    }

    #[test]
    fn uplinks_bound_it_and_then_the_downlink() {
        assert_eq!(could(0, Nat::Open), 0.0);
        let one = could(1, Nat::Open);
        assert!((0.25..0.35).contains(&one), "{one}");
        assert!((could(2, Nat::Open) / one - 2.0).abs() < 1e-9);
        assert_eq!(could(6, Nat::Open), 1.0);
    }

    #[test]
    fn who_cannot_be_reached_could_bring_nothing() {
        assert_eq!(could(6, Nat::Blocked), 0.0);
        assert_eq!(could(6, Nat::Symmetric), could(6, Nat::Open));
    }
}
