//! What `get` keeps for its user: the activity log, and the counts that limit sharing.
//!
//! The same log and counts as the background service's. Where they cannot be written, a download goes
//! on all the same, and nothing is shared.

use peerlift_client::{Event, Provenance, Report, Share, Uploads};
use peerlift_daemon::SystemLog;
use peerlift_daemon::activity::{ActivityError, ActivityLog, Happening};
use peerlift_daemon::explanations::{Explanation, Explanations};
use peerlift_daemon::home::Home;
use peerlift_daemon::limits::{Budget, Limits};
use peerlift_daemon::machine::{Conditions, POLICY_PATH};
use peerlift_daemon::removal;
use peerlift_daemon::report;
use peerlift_daemon::steward::{ShareRules, Steward};
use peerlift_daemon::time::UnixTime;
use peerlift_model::ObjectId;
use url::Url;

use super::plan::{Job, Plan};
use crate::config::Config;
use crate::console::Console;
use crate::paths::Paths;

/// The keeper of one run.
#[derive(Debug)]
pub(super) struct Keeper {
    home: Home,
    steward: Steward,
    /// The user has removed Peerlift from this account: nothing is written down, nothing shared.
    removed: bool,
}

/// What is kept of one download.
#[derive(Debug)]
pub(super) struct Kept {
    log: Option<ActivityLog>,
    explanations: Explanations,
    explanation: Option<Explanation>,
    url: Url,
    budget: Budget,
    name: String,
    object: Option<ObjectId>,
    received: u64,
}

/// Ends the steward when dropped.
pub(super) struct Watching(Option<tokio::task::JoinHandle<()>>);

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

impl Keeper {
    /// A keeper to the user's rules. With an `explicit` --share the user has said for this run how
    /// much to give: the ratio and the share of the uplink are for standing consents.
    pub(super) fn new(paths: &Paths, config: &Config, explicit: bool) -> Self {
        let home = paths.home();
        let mut rules = config.share.rules();
        if explicit {
            rules = ShareRules {
                limits: Limits {
                    ratio: f64::INFINITY,
                    object_bytes: u64::MAX,
                    ..rules.limits
                },
                uplink_percent: 100,
                ..rules
            };
        }
        let steward = Steward::new(&home, rules, POLICY_PATH.as_ref(), Conditions::of_machine());
        Self {
            removed: removal::is_removed(&home),
            home,
            steward,
        }
    }

    pub(super) fn uploads(&self) -> Uploads {
        self.steward.uploads()
    }

    /// Begins to keep uploads within the rules, where anything is shared.
    pub(super) fn begin(&self, plan: &mut Plan, console: &Console) -> Watching {
        let shares = plan.jobs.iter().any(|job| job.request.share.is_on());
        if !shares {
            return Watching(None);
        }
        if self.removed {
            let marker = self.home.marker.display();
            console.say(format_args!(
                "nothing is shared: {marker} says that Peerlift was removed"
            ));
            plan.jobs
                .iter_mut()
                .for_each(|job| job.request.share = Share::Off);
            return Watching(None);
        }
        Watching(Some(tokio::spawn(self.steward.clone().run())))
    }

    /// Begins to keep a download.
    pub(super) fn keep(&self, job: &Job) -> Kept {
        let log = ActivityLog::at(self.home.activity(), SystemLog::of_machine());
        let path = job.url.path();
        Kept {
            log: (!self.removed).then_some(log),
            explanations: Explanations::of(&self.home),
            explanation: None,
            url: job.url.clone(),
            budget: self.steward.budget().clone(),
            name: path.rsplit('/').next().unwrap_or(path).to_owned(),
            object: None,
            received: 0,
        }
    }

    /// Writes down what is left to be.
    pub(super) fn end(&self) {
        if self.removed {
            return;
        }
        if let Err(error) = self.steward.budget().settle() {
            tracing::warn!(%error, "what was received and sent is not counted");
        }
    }
}

impl Kept {
    /// Hears of an event of the download.
    pub(super) fn hear(&mut self, event: &Event) {
        match event {
            Event::Started(started) => {
                (self.object, self.name) = (started.object, started.name.clone());
                self.explanation = Some(Explanation::begin(&self.url, started));
            }
            Event::Progress(now) => self.received(now.from_edge + now.from_peers),
            Event::Explained(provenance) => self.explain(provenance),
            Event::Completed(report) => self.received(report.from_edge + report.from_peers),
            Event::Warning { .. } | _ => {}
        }
    }

    /// Hears of its good end. What comes back is why that is not in the activity log, if it is not: a
    /// home that cannot be written to is no reason to fail a download.
    pub(super) fn ended(&self, report: &Report) -> Option<String> {
        let downloaded = self.note(Happening::Downloaded {
            name: self.name.clone(),
            size: report.size,
            from_edge: report.from_edge,
            from_peers: report.from_peers,
        });
        let shared = || {
            self.note(Happening::Shared {
                name: self.name.clone(),
                bytes: report.uploaded,
            })
        };
        let noted = downloaded.and_then(|()| match report.uploaded {
            0 => Ok(()),
            _ => shared(),
        });
        let error = noted.err()?;
        Some(format!("not noted, `peerlift activity` lacks it: {error}"))
    }

    fn explain(&mut self, provenance: &Provenance) {
        let (Some(explanation), Some(_)) = (&mut self.explanation, &self.log) else {
            return;
        };
        explanation.end(provenance.clone(), UnixTime::now());
        let kept = self.explanations.keep(explanation.clone());
        // A home that cannot be written to is no reason to fail a download.
        kept.unwrap_or_else(|error| tracing::warn!(%error, "not explained"));
    }

    fn received(&mut self, total: u64) {
        let more = total.saturating_sub(self.received);
        self.received = self.received.max(total);
        if let (Some(object), Some(_), true) = (self.object, &self.log, more > 0) {
            self.budget.receive(object, more);
        }
    }

    fn note(&self, what: Happening) -> Result<(), ActivityError> {
        let Some(log) = &self.log else { return Ok(()) };
        let now = UnixTime::now();
        log.note_presence(report::presence(now))?;
        log.note(what, now)
    }
}
