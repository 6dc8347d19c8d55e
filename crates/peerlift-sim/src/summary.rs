//! The figures of a run, for people and programs.

use std::fmt;

use serde::Serialize;

use crate::check::{TWIN_SLACK, never_slower};
use crate::limit;
use crate::model::Model;
use crate::outcome::{Ending, Outcome};
use crate::plan::Plan;
use crate::supply::peers_could;

/// A run beside its edge-only twin. Bytes are payload, times seconds.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The model that was played.
    pub model: Model,
    /// Downloads that began, and how they ended.
    pub downloads: usize,
    /// … with everything.
    pub finished: usize,
    /// … as their user or machine was gone.
    pub killed: usize,
    /// … not at all.
    pub unfinished: usize,
    /// New bytes that clients took in.
    pub delivered_bytes: u64,
    /// Bytes that left the edge.
    pub edge_bytes: u64,
    /// Edge bytes by delivered bytes.
    pub edge_share: f64,
    /// What the edge's bytes cost, headers included.
    pub edge_cost: f64,
    /// Bytes from peers by delivered bytes.
    pub peer_share: f64,
    /// The most that it could have been: [`peers_could`]. Not counted of a fluid.
    pub peers_could: Option<f64>,
    /// Bytes that stayed within one network by bytes that left peers.
    pub near_share: f64,
    /// Bytes of hash trees that peers sent by the payload that left them. Not counted of a fluid.
    pub proof_share: Option<f64>,
    /// The mean of the downloads' peer efficiencies.
    pub mean_efficiency: f64,
    /// Bytes that arrived in vain, by delivered bytes.
    pub wasted_share: f64,
    /// Own times of finished downloads.
    pub own_s: Quantiles,
    /// The last completion, since the start.
    pub last_s: f64,
    /// The fluid limit of that, when there is one object.
    pub limit_s: Option<f64>,
    /// Time with peers by time without.
    pub twin: Quantiles,
    /// Downloads slower than 1.02 of their twins, or without an end that the twin had.
    pub slower: usize,
    /// How many of these finish in the twin. Alone, who still has a file would come for it again, which is no
    /// download here.
    pub finished_alone: usize,
    /// Bytes that leave the edge without peers.
    pub edge_bytes_alone: u64,
    /// Requests, announced runs times hearers, and events of the simulation.
    pub requests: u64,
    /// Announced runs, times the peers that were told.
    pub announcements: u64,
    /// Events of the simulation.
    pub events: u64,
    /// The fingerprint of the history, in hexadecimal.
    pub history: String,
    /// What checkers found; the comparison with the twin is in `slower`.
    pub complaints: Vec<String>,
}

/// Some quantiles of a distribution; zeros of nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Quantiles {
    /// One in a hundred is below.
    pub p1: f64,
    /// One in ten is below.
    pub p10: f64,
    /// The median.
    pub p50: f64,
    /// One in ten is above.
    pub p90: f64,
    /// One in a hundred is above.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Quantiles {
    /// Of some values, by nearest rank.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            let rank = (values.len() * percent).div_ceil(100).max(1);
            values.get(rank - 1).copied().unwrap_or_default()
        };
        Self {
            p1: at(1),
            p10: at(10),
            p50: at(50),
            p90: at(90),
            p99: at(99),
            max: at(100),
        }
    }
}

impl Summary {
    /// Sums up a run and its twin.
    #[must_use]
    pub fn of(plan: &Plan, outcome: &Outcome, twin: &Outcome) -> Self {
        let count = |ending: Ending| {
            let ended = |record: &&crate::outcome::Record| record.ending == ending;
            outcome.records.iter().filter(ended).count()
        };
        let delivered = outcome.delivered_bytes().max(1) as f64;
        let gib = outcome.edge_wire_bytes as f64 / GIB;
        let limit = (plan.objects.len() == 1).then(|| limit::of_plan(plan));
        let complaints = outcome.complaints.iter().cloned();
        let of_twin = twin.complaints.iter().map(|line| format!("alone: {line}"));
        Self {
            scenario: plan.name.clone(),
            seed: plan.seed,
            model: plan.model,
            downloads: outcome.records.len(),
            finished: count(Ending::Finished),
            killed: count(Ending::Killed),
            unfinished: count(Ending::Unfinished),
            delivered_bytes: outcome.delivered_bytes(),
            edge_bytes: outcome.edge_bytes,
            edge_share: outcome.edge_share(),
            edge_cost: gib * plan.edge.price_per_gib,
            peer_share: outcome.peer_share(),
            peers_could: (plan.model == Model::Groups).then(|| peers_could(plan, outcome)),
            near_share: outcome.near_share(),
            proof_share: (plan.model == Model::Groups).then(|| outcome.proof_share()),
            mean_efficiency: outcome.mean_efficiency(),
            wasted_share: outcome.wasted_bytes() as f64 / delivered,
            own_s: Quantiles::of(outcome.finished().map(|record| record.own_s).collect()),
            last_s: outcome.last_s,
            limit_s: limit.filter(|limit| limit.is_finite()),
            twin: Quantiles::of(outcome.twin_ratios(twin)),
            slower: never_slower(outcome, twin).len(),
            finished_alone: (outcome.beside(twin))
                .filter(|(_, alone)| alone.ending == Ending::Finished)
                .count(),
            edge_bytes_alone: twin.edge_bytes,
            requests: outcome.requests,
            announcements: outcome.announcements,
            events: outcome.events,
            history: format!("{:016x}", outcome.history),
            complaints: complaints.chain(of_twin).collect(),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gib = |bytes: u64| format!("{:.2} GiB", bytes as f64 / GIB);
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let quantiles = |q: &Quantiles, digits: usize| {
            format!(
                "p1 {:.d$}  p10 {:.d$}  p50 {:.d$}  p90 {:.d$}  p99 {:.d$}  max {:.d$}",
                q.p1,
                q.p10,
                q.p50,
                q.p90,
                q.p99,
                q.max,
                d = digits
            )
        };
        let ended = format!(
            "{} of {} finished, {} gone before, {} unfinished (alone: {} finished)",
            self.finished, self.downloads, self.killed, self.unfinished, self.finished_alone
        );
        let last = match self.limit_s {
            Some(limit) => format!(
                "{:.1} s, {:.3} of the limit",
                self.last_s,
                self.last_s / limit
            ),
            None => format!("{:.1} s", self.last_s),
        };
        let edge = format!(
            "{}, {} of what was delivered (alone: {}), costs {:.2}",
            gib(self.edge_bytes),
            percent(self.edge_share),
            gib(self.edge_bytes_alone),
            self.edge_cost
        );
        let could = self.peers_could.map(percent);
        let could = could.map(|most| format!(", of {most} that they could have brought"));
        let from_peers = percent(self.peer_share) + &could.unwrap_or_default();
        let twin = format!("{}, {} slower", quantiles(&self.twin, 3), self.slower);
        let of_proofs = |share: f64| format!("{:.2} % on top", share * 100.0);
        let proofs = self.proof_share.map(of_proofs);
        let (model, nearby) = match self.model {
            Model::Groups => ("", percent(self.near_share)),
            Model::Flow => (", as a fluid", "not modelled".to_owned()),
        };
        let rows = [
            (
                "scenario",
                format!("{}, seed {}{model}", self.scenario, self.seed),
            ),
            ("downloads", ended),
            ("delivered", gib(self.delivered_bytes)),
            ("edge", edge),
            ("from peers", from_peers),
            ("of it nearby", nearby),
            (
                "proofs",
                proofs.unwrap_or_else(|| "not modelled".to_owned()),
            ),
            ("peer efficiency", percent(self.mean_efficiency)),
            ("wasted", percent(self.wasted_share)),
            ("seconds", quantiles(&self.own_s, 1)),
            ("last", last),
            ("by time alone", twin),
            (
                "history",
                format!("{}, {} events", self.history, self.events),
            ),
        ];
        for (name, value) in rows {
            writeln!(f, "{name:16} {value}")?;
        }
        for complaint in &self.complaints {
            writeln!(f, "{:16} {complaint}", "WRONG")?;
        }
        if self.slower > 0 {
            writeln!(
                f,
                "{:16} {} beyond {TWIN_SLACK} of the time alone",
                "SLOWER", self.slower
            )?;
        }
        Ok(())
    }
}

const GIB: f64 = 1_073_741_824.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_of_the_distribution() {
        let all = Quantiles::of((1..=200).map(f64::from).collect());
        assert_eq!(
            (all.p1, all.p50, all.p99, all.max),
            (2.0, 100.0, 198.0, 200.0)
        );
        assert_eq!(Quantiles::of(vec![3.0]).p1, 3.0);
        assert_eq!(Quantiles::of(Vec::new()), Quantiles::default());
    }
}
