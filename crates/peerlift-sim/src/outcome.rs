//! What a run came to.

use std::collections::BTreeMap;

use serde::Serialize;

/// How a download ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// With every byte.
    Finished,
    /// Its user or machine was gone before.
    Killed,
    /// It was still there when the run was given up.
    Unfinished,
}

/// One download. Bytes are payload.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// Its place among the plan's visits.
    pub visit: u32,
    /// Who.
    pub user: u32,
    /// What.
    pub object: u32,
    /// Bytes of the object.
    pub size: u64,
    /// Seconds from the start of the run to its arrival.
    pub at_s: f64,
    /// How it ended.
    pub ending: Ending,
    /// Seconds from its arrival to its end.
    pub own_s: f64,
    /// New bytes from the edge.
    pub from_edge: u64,
    /// New bytes from peers.
    pub from_peers: u64,
    /// Bytes that arrived although they were here, or did not verify.
    pub wasted: u64,
    /// Groups that did not verify.
    pub corrupt_groups: u32,
    /// Bytes sent to others in the run.
    pub uploaded: u64,
    /// How many held the object when it first asked for peers.
    pub copies: u32,
    /// How many peers it was told of then.
    pub returned: u32,
    /// Peers that it banned.
    pub banned: u32,
}

/// What a run came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// The downloads, in order of arrival.
    pub records: Vec<Record>,
    /// Payload that left the edge.
    pub edge_bytes: u64,
    /// What it weighed on the edge's wire.
    pub edge_wire_bytes: u64,
    /// Payload that left peers.
    pub peer_bytes: u64,
    /// As much of that as stayed within one network.
    pub near_bytes: u64,
    /// Bytes of hash trees that went with it. Not counted of a fluid.
    pub proof_bytes: u64,
    /// Payload that was sent and not taken in: under way when it was cancelled or somebody died.
    pub lost_bytes: u64,
    /// Seconds to the last completion.
    pub last_s: f64,
    /// Requests made.
    pub requests: u64,
    /// Announced runs, times the peers that were told.
    pub announcements: u64,
    /// Events of the simulation.
    pub events: u64,
    /// A fingerprint of everything that every core said, in order.
    pub history: u64,
    /// What checkers found to be wrong: nothing, if all is well.
    pub complaints: Vec<String>,
}

impl Record {
    /// Bytes from peers by all new bytes; 0 without any.
    #[must_use]
    pub fn efficiency(&self) -> f64 {
        ratio(self.from_peers, self.from_peers + self.from_edge)
    }
}

impl Outcome {
    /// New bytes that clients took in.
    #[must_use]
    pub fn delivered_bytes(&self) -> u64 {
        let new = self
            .records
            .iter()
            .map(|record| record.from_edge + record.from_peers);
        new.sum()
    }

    /// Bytes that arrived in vain.
    #[must_use]
    pub fn wasted_bytes(&self) -> u64 {
        self.records.iter().map(|record| record.wasted).sum()
    }

    /// Edge bytes by delivered bytes.
    #[must_use]
    pub fn edge_share(&self) -> f64 {
        ratio(self.edge_bytes, self.delivered_bytes())
    }

    /// Bytes from peers by delivered bytes.
    #[must_use]
    pub fn peer_share(&self) -> f64 {
        let peers = self.records.iter().map(|record| record.from_peers).sum();
        ratio(peers, self.delivered_bytes())
    }

    /// Bytes that stayed within one network by bytes that left peers.
    #[must_use]
    pub fn near_share(&self) -> f64 {
        ratio(self.near_bytes, self.peer_bytes)
    }

    /// Bytes of hash trees that peers sent by the payload that left them.
    #[must_use]
    pub fn proof_share(&self) -> f64 {
        ratio(self.proof_bytes, self.peer_bytes)
    }

    /// The downloads that finished.
    pub fn finished(&self) -> impl Iterator<Item = &Record> {
        let done = |record: &&Record| record.ending == Ending::Finished;
        self.records.iter().filter(done)
    }

    /// The mean of the finished downloads' peer efficiencies: each counts once, as in NetSession's
    /// figures.
    #[must_use]
    pub fn mean_efficiency(&self) -> f64 {
        let count = self.finished().count().max(1) as f64;
        self.finished().map(Record::efficiency).sum::<f64>() / count
    }

    /// Every download that is in both runs, here and there. A run may hold downloads that the
    /// other has not: who still has a file does not fetch it again.
    pub(crate) fn beside<'a>(
        &'a self,
        twin: &'a Self,
    ) -> impl Iterator<Item = (&'a Record, &'a Record)> {
        let there: BTreeMap<u32, &Record> =
            (twin.records.iter().map(|record| (record.visit, record))).collect();
        let pair = move |record: &'a Record| Some((record, *there.get(&record.visit)?));
        self.records.iter().filter_map(pair)
    }

    /// For every download that finished both here and in `twin`: time here by time there.
    #[must_use]
    pub fn twin_ratios(&self, twin: &Self) -> Vec<f64> {
        let done = |record: &Record| record.ending == Ending::Finished;
        let both = self.beside(twin).filter(|(a, b)| done(a) && done(b));
        both.map(|(a, b)| a.own_s / b.own_s.max(1e-6)).collect()
    }
}

/// A share; 0 of nothing.
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}
