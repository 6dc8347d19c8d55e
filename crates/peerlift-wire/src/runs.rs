//! Sets of chunk groups on the wire: the lengths of gaps and runs in turn.

use peerlift_model::{GroupRange, GroupSet};

use crate::WireError;
use crate::error::malformed;
use crate::proto::peer as proto;

/// The most runs in one message. A map of more is cut there and continued in deltas.
pub(crate) const RUNS_MAX: usize = 6 * 1024;

pub(crate) fn to_proto(groups: &GroupSet) -> proto::Runs {
    let mut at = 0;
    let pairs = groups.runs().iter().flat_map(|run| {
        let gap = run.start() - at;
        at = run.end();
        [gap, run.len()]
    });
    proto::Runs {
        gaps_and_lengths: pairs.collect(),
    }
}

pub(crate) fn from_proto(runs: &proto::Runs) -> Result<GroupSet, WireError> {
    let (pairs, rest) = runs.gaps_and_lengths.as_chunks::<2>();
    if pairs.len() > RUNS_MAX {
        return Err(WireError::TooLong {
            field: "runs",
            max: RUNS_MAX,
        });
    }
    if !rest.is_empty() {
        return Err(malformed("runs"));
    }
    let mut at = 0u32;
    let mut groups = GroupSet::new();
    for [gap, length] in pairs {
        let touches = *gap == 0 && at > 0;
        let start = at.checked_add(*gap).ok_or(malformed("runs"))?;
        let end = start.checked_add(*length).ok_or(malformed("runs"))?;
        if touches || *length == 0 {
            return Err(malformed("runs"));
        }
        groups.insert(GroupRange::new(start, end));
        at = end;
    }
    Ok(groups)
}

/// Cuts a set into parts that fit into one message each; one empty part for the empty set.
pub(crate) fn parts(groups: &GroupSet) -> Vec<GroupSet> {
    if groups.is_empty() {
        return vec![GroupSet::new()];
    }
    groups
        .runs()
        .chunks(RUNS_MAX)
        .map(|runs| runs.iter().copied().collect())
        .collect()
}
