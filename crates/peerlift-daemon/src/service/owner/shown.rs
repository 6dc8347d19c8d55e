//! The service and its downloads as they are shown.

use peerlift_client::Snapshot;
use serde::Serialize;

use super::Service;
use crate::machine::Hours;
use crate::report::Live;
use crate::service::queue::{DownloadId, Item, Phase};
use crate::service::settings::Settings;

/// A download as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct Download {
    /// What is kept of it.
    #[serde(flatten)]
    pub item: Item,
    /// How far it is; `None` while it does not run.
    pub progress: Option<Snapshot>,
    /// What it waits for besides its turn, for people.
    pub waits_for: Option<String>,
}

/// The service as it is shown.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The version of the program.
    pub version: &'static str,
    /// The process and what it may do now.
    #[serde(flatten)]
    pub live: Live,
    /// Whether all downloads rest.
    pub downloads_paused: bool,
    /// The hours in which it downloads, while it is not one of them.
    pub downloads_wait_for: Option<Hours>,
    /// Whether the user has paused uploads.
    pub sharing_paused: bool,
    /// Downloads that run.
    pub running: usize,
    /// Downloads that wait.
    pub waiting: usize,
    /// Objects that are shared.
    pub sharing: usize,
    /// Bytes a second coming in.
    pub rate_down: u64,
    /// Bytes a second going out.
    pub rate_up: u64,
    /// What went wrong with records of ours.
    pub problems: Vec<String>,
}

impl Service {
    /// The service as it is shown.
    pub(in crate::service) fn status(&self) -> Status {
        let with = |phase: Phase| {
            self.queue
                .items()
                .filter(|item| item.phase == phase)
                .count()
        };
        let sum = |rate: fn(&Snapshot) -> u64| {
            self.active
                .values()
                .map(|active| rate(&active.snapshot))
                .sum()
        };
        Status {
            version: env!("CARGO_PKG_VERSION"),
            live: self.live(),
            downloads_paused: self.queue.is_paused(),
            downloads_wait_for: self.waits_for(),
            sharing_paused: self.steward.is_paused(),
            running: with(Phase::Running),
            waiting: with(Phase::Waiting),
            sharing: with(Phase::Sharing),
            rate_down: sum(|snapshot| snapshot.rate_down),
            rate_up: sum(|snapshot| snapshot.rate_up),
            problems: self.problems.clone(),
        }
    }

    /// What can be changed while it runs.
    pub(in crate::service) fn settings(&self) -> Settings {
        Settings {
            share: self.steward.rules(),
            download_hours: self.options.download_hours,
        }
    }

    /// What only the running service knows.
    pub(in crate::service) fn live(&self) -> Live {
        let state = self.steward.state().borrow().clone();
        Live {
            process: std::process::id(),
            started_by: self.options.started_by.clone(),
            since: self.started,
            listening: self.listening.clone(),
            pauses: state.pauses,
            uplink: state.uplink,
            cap: state.cap,
        }
    }

    /// All downloads.
    pub(in crate::service) fn downloads(&self) -> Vec<Download> {
        self.queue.items().map(|item| self.shown(item)).collect()
    }

    /// One download.
    pub(in crate::service) fn download(&self, id: DownloadId) -> Option<Download> {
        self.queue.item(id).map(|item| self.shown(item))
    }

    fn shown(&self, item: &Item) -> Download {
        let active = self.active.get(&item.id);
        let low = self.disks.low(&item.wanted.folder);
        let waiting = low.filter(|_| item.phase == Phase::Waiting);
        Download {
            item: item.clone(),
            progress: active.map(|active| active.snapshot),
            waits_for: waiting.map(ToString::to_string),
        }
    }
}
