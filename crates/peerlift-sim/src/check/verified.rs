//! Every delivered byte was verified: a download has all its groups from correct answers when it
//! says that it is done, and nobody sends on what he has not got that way.

use std::collections::BTreeMap;

use peerlift_model::{GroupSet, Layout, Timestamp};

use super::{Check, Sight};
use crate::plan::Plan;

#[derive(Debug)]
pub(super) struct Verified {
    /// The layout of each visit's object.
    layouts: Vec<Layout>,
    tasks: BTreeMap<u32, (Layout, GroupSet)>,
}

impl Verified {
    pub(super) fn new(plan: &Plan, layouts: &[Layout]) -> Self {
        let of_visit = plan
            .visits
            .iter()
            .map(|visit| layouts[visit.object as usize]);
        Self {
            layouts: of_visit.collect(),
            tasks: BTreeMap::new(),
        }
    }
}

impl Check for Verified {
    fn name(&self) -> &'static str {
        "verified"
    }

    fn see(&mut self, sight: &Sight, _now: Timestamp) -> Result<(), String> {
        match *sight {
            Sight::Began { task, visit, whole } => {
                let layout = self.layouts[visit as usize];
                let have = if whole {
                    layout.all_groups().into()
                } else {
                    GroupSet::new()
                };
                self.tasks.insert(task, (layout, have));
            }
            Sight::Arrived {
                task,
                groups,
                correct: true,
                ..
            } => {
                if let Some((_, have)) = self.tasks.get_mut(&task) {
                    have.insert(groups);
                }
            }
            Sight::Serves { task, groups } => {
                let known = self.tasks.get(&task);
                if known.is_none_or(|(_, have)| !have.contains_all(groups)) {
                    return Err(format!(
                        "{task} sends on {groups:?}, which was not verified"
                    ));
                }
            }
            Sight::Finished { task } => {
                let whole =
                    |(layout, have): &(Layout, GroupSet)| have.contains_all(layout.all_groups());
                if self.tasks.get(&task).is_none_or(|known| !whole(known)) {
                    return Err(format!("{task} is done without everything"));
                }
            }
            Sight::Closed { task, .. } => {
                self.tasks.remove(&task);
            }
            Sight::Arrived { correct: false, .. }
            | Sight::Told { .. }
            | Sight::Requested { .. }
            | Sight::Ended { .. }
            | Sight::Parted { .. }
            | Sight::Sent { .. }
            | Sight::Lost { .. } => {}
        }
        Ok(())
    }
}
