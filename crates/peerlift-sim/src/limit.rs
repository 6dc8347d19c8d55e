//! The fluid lower bound of the last completion: no scheme can beat it.
//!
//! Bytes are a fluid. Until some time, the copies that have arrived weigh no more than what all
//! downlinks could take in, nor than what all uplinks, the edge's among them, could give out; and
//! nobody is done before a whole copy went through its own downlink. Headers are not deducted.

use std::time::Duration;

use crate::plan::{Nature, Plan};

/// One client: when it is there, and what its line carries in bytes a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stay {
    /// Seconds.
    pub arrives: f64,
    /// Seconds, of one that is gone before it is done.
    pub dies: Option<f64>,
    /// Towards it.
    pub down: f64,
    /// From it; 0 when it does not share.
    pub up: f64,
    /// Whether it has everything already.
    pub seed: bool,
}

/// When the last of the surviving downloads of the first object can end, in seconds from the
/// start.
///
/// Infinite when what is there can never supply everybody.
#[must_use]
pub fn of_plan(plan: &Plan) -> f64 {
    let stays: Vec<Stay> = (plan.visits.iter())
        .filter(|visit| {
            visit.object == 0 && plan.users[visit.user as usize].nature == Nature::Honest
        })
        .map(|visit| {
            let user = &plan.users[visit.user as usize];
            let arrives = visit.at.as_secs_f64();
            let dies = |after: Duration| arrives + after.as_secs_f64();
            Stay {
                arrives,
                dies: visit.killed_after.map(dies),
                down: user.down_bytes_per_s,
                up: if user.shares && plan.peers {
                    user.up_bytes_per_s
                } else {
                    0.0
                },
                seed: visit.seed,
            }
        })
        .collect();
    last_completion(plan.objects[0] as f64, plan.edge.up_bytes_per_s, &stays)
}

/// When the last that stays can have `size` bytes. `edge_up` in bytes a second.
#[must_use]
pub fn last_completion(size: f64, edge_up: f64, stays: &[Stay]) -> f64 {
    let survivors = || {
        stays
            .iter()
            .filter(|stay| stay.dies.is_none() && !stay.seed)
    };
    let own = survivors().map(|stay| stay.arrives + size / stay.down);
    let need = survivors().count() as f64 * size;
    own.fold(supplied(need, edge_up, stays), f64::max)
}

/// When the lines that are there have carried so many bytes.
fn supplied(need: f64, edge_up: f64, stays: &[Stay]) -> f64 {
    let mut changes: Vec<(f64, f64, f64)> = Vec::with_capacity(2 * stays.len());
    for stay in stays {
        let down = if stay.seed { 0.0 } else { stay.down };
        changes.push((stay.arrives, down, stay.up));
        if let Some(dies) = stay.dies {
            changes.push((dies, -down, -stay.up));
        }
    }
    changes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut done, mut down, mut up) = (0.0, 0.0, edge_up);
    for (at, (time, more_down, more_up)) in changes.iter().enumerate() {
        down += more_down;
        up += more_up;
        let until = changes.get(at + 1).map_or(f64::INFINITY, |next| next.0);
        let rate = f64::min(down, up);
        if rate <= 0.0 {
            continue;
        }
        if done + rate * (until - time) >= need {
            return time + (need - done) / rate;
        }
        done += rate * (until - time);
    }
    f64::INFINITY
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stay(arrives: f64, dies: Option<f64>, down: f64, up: f64) -> Stay {
        Stay {
            arrives,
            dies,
            down,
            up,
            seed: false,
        }
    }

    #[test]
    fn the_slower_of_downlink_and_supply_decides() {
        let alone = last_completion(100.0, 10.0, &[stay(3.0, None, 5.0, 1.0)]);
        assert_eq!(alone, 23.0);
        let two = last_completion(100.0, 10.0, &[stay(0.0, None, 50.0, 0.0); 2]);
        assert_eq!(two, 20.0);
        let dies = stay(0.0, Some(4.0), 50.0, 5.0);
        let helped = last_completion(100.0, 10.0, &[stay(0.0, None, 50.0, 5.0), dies]);
        // 20 bytes/s for 4 s, then 15: the dead one had no use of what it took, the bound ignores
        // that.
        assert!((helped - (4.0 + 20.0 / 15.0)).abs() < 1e-9);
    }
}
