//! Every download ends: with everything, or because its user or machine is gone.

use std::collections::BTreeSet;

use peerlift_model::Timestamp;

use super::{Check, Sight};
use crate::plan::Plan;

#[derive(Debug)]
pub(super) struct Ends {
    /// The visits that are downloads of honest clients.
    downloads: BTreeSet<u32>,
    open: BTreeSet<u32>,
}

impl Ends {
    pub(super) fn new(plan: &Plan) -> Self {
        let number = |at: usize| u32::try_from(at).expect("bounded");
        Self {
            downloads: plan.downloads().map(|(at, _)| number(at)).collect(),
            open: BTreeSet::new(),
        }
    }
}

impl Check for Ends {
    fn name(&self) -> &'static str {
        "ends"
    }

    fn see(&mut self, sight: &Sight, _now: Timestamp) -> Result<(), String> {
        match *sight {
            Sight::Began { task, visit, .. } => {
                if self.downloads.contains(&visit) {
                    self.open.insert(task);
                }
            }
            Sight::Finished { task } | Sight::Closed { task, .. } => {
                self.open.remove(&task);
            }
            Sight::Told { .. }
            | Sight::Requested { .. }
            | Sight::Ended { .. }
            | Sight::Parted { .. }
            | Sight::Serves { .. }
            | Sight::Sent { .. }
            | Sight::Arrived { .. }
            | Sight::Lost { .. } => {}
        }
        Ok(())
    }

    fn end(&mut self, now: Timestamp) -> Result<(), String> {
        if self.open.is_empty() {
            return Ok(());
        }
        let (count, first) = (self.open.len(), self.open.first());
        Err(format!(
            "{count} downloads have not ended at {now}, the first is {first:?}"
        ))
    }
}
