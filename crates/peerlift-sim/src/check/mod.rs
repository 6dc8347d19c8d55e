//! What must hold in every run: one checker an invariant, one file a checker.
//!
//! The world tells every checker what happens ([`Sight`]); a checker keeps books of its own and
//! believes nobody. What it finds is a sentence in the outcome.

mod asked;
mod books;
mod caps;
mod ends;
mod twin;
mod verified;

use peerlift_model::{GroupRange, Timestamp};
use peerlift_swarm::{RequestId, SourceId};

pub use twin::{TWIN_SLACK, never_slower};

use crate::plan::Plan;

/// Complaints of one checker that are kept: the first tells most.
const COMPLAINTS_MAX: usize = 5;

/// Something that happened, as checkers are told. Tasks are downloads or seeds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sight {
    /// A task begins; `whole` with everything.
    Began { task: u32, visit: u32, whole: bool },
    /// A source told a task what it has.
    Told {
        task: u32,
        source: SourceId,
        groups: GroupRange,
    },
    /// The core asks.
    Requested {
        task: u32,
        source: SourceId,
        request: RequestId,
        groups: GroupRange,
        edge: bool,
    },
    /// A request is over.
    Ended { task: u32, request: RequestId },
    /// A source is gone, with all its requests.
    Parted { task: u32, source: SourceId },
    /// An honest task begins to send what it was asked for.
    Serves { task: u32, groups: GroupRange },
    /// Payload left a line; `task` is the sender's, `None` the edge's.
    Sent { task: Option<u32>, bytes: u64 },
    /// Payload was taken in by a task.
    Arrived {
        task: u32,
        groups: GroupRange,
        bytes: u64,
        correct: bool,
    },
    /// Payload was lost.
    Lost { bytes: u64 },
    /// A core says that all is here.
    Finished { task: u32 },
    /// A task is gone, or the run over.
    Closed {
        task: u32,
        /// From the core's own books: new bytes and wasted bytes; `None` without a core.
        books: Option<(u64, u64)>,
    },
}

/// One invariant.
pub(crate) trait Check {
    /// Its name.
    fn name(&self) -> &'static str;
    /// Takes note; says what is wrong.
    fn see(&mut self, sight: &Sight, now: Timestamp) -> Result<(), String>;
    /// The run is over; nothing has been closed yet because of that.
    fn end(&mut self, _now: Timestamp) -> Result<(), String> {
        Ok(())
    }
    /// Everything is closed.
    fn close(&mut self) -> Result<(), String> {
        Ok(())
    }
}

/// All checkers of a run.
pub(crate) struct Checkers {
    checks: Vec<(Box<dyn Check>, usize)>,
    complaints: Vec<String>,
}

impl Checkers {
    /// Those of a run; `asked` is the one that remembers who told what to whom.
    pub(crate) fn new(plan: &Plan, layouts: &[peerlift_model::Layout], asked: bool) -> Self {
        let mut checks: Vec<Box<dyn Check>> = vec![
            Box::new(verified::Verified::new(plan, layouts)),
            Box::new(books::Books::default()),
            Box::new(caps::Caps::new(plan)),
            Box::new(ends::Ends::new(plan)),
        ];
        if asked {
            checks.push(Box::new(asked::Asked::new(plan, layouts)));
        }
        Self {
            checks: checks.into_iter().map(|check| (check, 0)).collect(),
            complaints: Vec::new(),
        }
    }

    pub(crate) fn see(&mut self, sight: Sight, now: Timestamp) {
        for (check, count) in &mut self.checks {
            if let Err(what) = check.see(&sight, now) {
                *count += 1;
                if *count <= COMPLAINTS_MAX {
                    self.complaints
                        .push(format!("{} at {now}: {what}", check.name()));
                }
            }
        }
    }

    /// The run is over.
    pub(crate) fn end(&mut self, now: Timestamp) {
        for (check, _) in &mut self.checks {
            if let Err(what) = check.end(now) {
                self.complaints.push(format!("{}: {what}", check.name()));
            }
        }
    }

    /// Everything is closed: what was wrong.
    pub(crate) fn close(mut self) -> Vec<String> {
        for (check, count) in &mut self.checks {
            if let Err(what) = check.close() {
                self.complaints.push(format!("{}: {what}", check.name()));
            }
            let more = count.saturating_sub(COMPLAINTS_MAX);
            if more > 0 {
                self.complaints
                    .push(format!("{}: {more} more of them", check.name()));
            }
        }
        self.complaints
    }
}

impl std::fmt::Debug for Checkers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checkers")
            .field("complaints", &self.complaints)
            .finish_non_exhaustive()
    }
}
