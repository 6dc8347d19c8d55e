//! Cores ask politely: only for what a source has told it has, by a name that is used once, with
//! no more requests to an edge than it has lanes, and not without bound to a peer.

use std::collections::BTreeMap;

use peerlift_model::{GroupSet, Layout, Timestamp};
use peerlift_swarm::{RequestId, SourceId};

use super::{Check, Sight};
use crate::plan::Plan;

/// More requests to one peer than any window holds: 8 MiB in requests of a group.
const REQUESTS_MAX: usize = 600;

#[derive(Debug)]
pub(super) struct Asked {
    group_counts: Vec<u32>,
    lanes: usize,
    tasks: BTreeMap<u32, Task>,
}

#[derive(Debug)]
struct Task {
    group_count: u32,
    told: BTreeMap<SourceId, GroupSet>,
    /// The source of each request that has not ended.
    live: BTreeMap<RequestId, SourceId>,
    counts: BTreeMap<SourceId, usize>,
    newest: Option<RequestId>,
}

impl Asked {
    pub(super) fn new(plan: &Plan, layouts: &[Layout]) -> Self {
        let count = |visit: &crate::plan::Visit| layouts[visit.object as usize].group_count();
        Self {
            group_counts: plan.visits.iter().map(count).collect(),
            lanes: usize::from(plan.edge.lanes),
            tasks: BTreeMap::new(),
        }
    }
}

impl Check for Asked {
    fn name(&self) -> &'static str {
        "asked"
    }

    fn see(&mut self, sight: &Sight, _now: Timestamp) -> Result<(), String> {
        match *sight {
            Sight::Began { task, visit, .. } => {
                let known = Task {
                    group_count: self.group_counts[visit as usize],
                    told: BTreeMap::new(),
                    live: BTreeMap::new(),
                    counts: BTreeMap::new(),
                    newest: None,
                };
                self.tasks.insert(task, known);
            }
            Sight::Told {
                task,
                source,
                groups,
            } => {
                if let Some(known) = self.tasks.get_mut(&task) {
                    known.told.entry(source).or_default().insert(groups);
                }
            }
            Sight::Requested { task, edge, .. } => {
                let most = if edge { self.lanes } else { REQUESTS_MAX };
                let known = self.tasks.get_mut(&task).ok_or("nobody asks")?;
                return known.request(sight, most);
            }
            Sight::Ended { task, request } => {
                if let Some(known) = self.tasks.get_mut(&task) {
                    known.end(request);
                }
            }
            Sight::Parted { task, source } => {
                if let Some(known) = self.tasks.get_mut(&task) {
                    known.told.remove(&source);
                    known.counts.remove(&source);
                    known.live.retain(|_, of| *of != source);
                }
            }
            Sight::Closed { task, .. } => {
                self.tasks.remove(&task);
            }
            Sight::Serves { .. }
            | Sight::Sent { .. }
            | Sight::Arrived { .. }
            | Sight::Lost { .. }
            | Sight::Finished { .. } => {}
        }
        Ok(())
    }
}

impl Task {
    fn request(&mut self, sight: &Sight, most: usize) -> Result<(), String> {
        let Sight::Requested {
            source,
            request,
            groups,
            edge,
            ..
        } = *sight
        else {
            return Ok(());
        };
        let told = self.told.get(&source);
        let has = edge || told.is_some_and(|told| told.contains_all(groups));
        let new = self.newest.is_none_or(|newest| request > newest);
        self.newest = self.newest.max(Some(request));
        self.live.insert(request, source);
        let count = self.counts.entry(source).or_default();
        *count += 1;
        if groups.is_empty() || groups.end() > self.group_count {
            Err(format!("asks for {groups:?}, which does not exist"))
        } else if !has {
            Err(format!(
                "asks {source:?} for {groups:?}, which it has not told"
            ))
        } else if !new {
            Err(format!("{request:?} is not new"))
        } else if *count > most {
            Err(format!("{count} requests to {source:?} at once"))
        } else {
            Ok(())
        }
    }

    fn end(&mut self, request: RequestId) {
        if let Some(source) = self.live.remove(&request)
            && let Some(count) = self.counts.get_mut(&source)
        {
            *count = count.saturating_sub(1);
        }
    }
}
