//! No upload above its cap: nobody sends more than the line carries, nor a byte without having
//! agreed to share, nor much more of an object than the user allows.

use std::collections::BTreeMap;

use peerlift_model::{GROUP_BYTES, Timestamp};

use super::{Check, Sight};
use crate::plan::{Nature, Plan};

/// Answers that were begun before the cap was reached: as many as the core sends at once, of the
/// largest request each.
const UNDER_WAY: u64 = 6 * (4 << 20);

#[derive(Debug)]
pub(super) struct Caps {
    /// Of each visit: its line's rate, whether its user shares, and the most it may send.
    rules: Vec<Rule>,
    edge: Sender,
    tasks: BTreeMap<u32, Sender>,
    chunk: u64,
}

#[derive(Clone, Copy, Debug)]
struct Rule {
    rate: f64,
    shares: bool,
    most: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Sender {
    rule: Rule,
    began: Timestamp,
    sent: u64,
}

impl Caps {
    pub(super) fn new(plan: &Plan) -> Self {
        let rule = |visit: &crate::plan::Visit| {
            let user = &plan.users[visit.user as usize];
            let size = plan.objects[visit.object as usize];
            Rule {
                rate: user.up_bytes_per_s,
                shares: (user.shares && plan.peers) || user.nature != Nature::Honest,
                most: user.ratio_max.map(|ratio| most(size, ratio)),
            }
        };
        let edge = Rule {
            rate: plan.edge.up_bytes_per_s,
            shares: true,
            most: None,
        };
        Self {
            rules: plan.visits.iter().map(rule).collect(),
            edge: Sender {
                rule: edge,
                began: Timestamp::ZERO,
                sent: 0,
            },
            tasks: BTreeMap::new(),
            chunk: u64::from(plan.chunk_groups) * GROUP_BYTES,
        }
    }
}

impl Check for Caps {
    fn name(&self) -> &'static str {
        "caps"
    }

    fn see(&mut self, sight: &Sight, now: Timestamp) -> Result<(), String> {
        match *sight {
            Sight::Began { task, visit, .. } => {
                let rule = self.rules[visit as usize];
                let sender = Sender {
                    rule,
                    began: now,
                    sent: 0,
                };
                self.tasks.insert(task, sender);
                Ok(())
            }
            Sight::Sent { task, bytes } => {
                let chunk = self.chunk;
                let sender = match task {
                    None => Some(&mut self.edge),
                    Some(task) => self.tasks.get_mut(&task),
                };
                let sender = sender.ok_or("somebody sends who is not there")?;
                sender.sent += bytes;
                sender.judge(chunk, now)
            }
            Sight::Closed { task, .. } => {
                self.tasks.remove(&task);
                Ok(())
            }
            Sight::Told { .. }
            | Sight::Requested { .. }
            | Sight::Ended { .. }
            | Sight::Parted { .. }
            | Sight::Serves { .. }
            | Sight::Arrived { .. }
            | Sight::Lost { .. }
            | Sight::Finished { .. } => Ok(()),
        }
    }
}

impl Sender {
    fn judge(&self, chunk: u64, now: Timestamp) -> Result<(), String> {
        let Rule { rate, shares, most } = self.rule;
        let carried = rate * now.since(self.began).as_secs_f64();
        if self.sent as f64 > carried + chunk as f64 {
            return Err(format!("{} bytes sent, {carried:.0} possible", self.sent));
        }
        if !shares {
            return Err("a byte sent by somebody who does not share".to_owned());
        }
        match most {
            Some(most) if self.sent > most + UNDER_WAY => {
                Err(format!("{} bytes sent, {most} allowed", self.sent))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "positive, and saturating is right"
)]
fn most(size: u64, ratio: f64) -> u64 {
    (size as f64 * ratio) as u64
}
