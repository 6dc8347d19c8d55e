//! The commands for whoever has Peerlift on their machine. Each works without the background
//! service, and shows more while it runs.

pub(crate) mod activity;
pub(crate) mod app;
pub(crate) mod change;
pub(crate) mod daemon;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod panel;
pub(crate) mod pause;
pub(crate) mod share;
pub(crate) mod status;
pub(crate) mod support;
pub(crate) mod uninstall;
pub(crate) mod why;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use peerlift_daemon::SystemLog;
use peerlift_daemon::activity::ActivityLog;
use peerlift_daemon::home::Home;
use peerlift_daemon::report::Live;
use peerlift_daemon::service::{Local, LocalError};
use peerlift_daemon::time::UnixTime;
use serde_json::Value;

use crate::config::Config;
use crate::failure::{Exit, Failure};
use crate::paths::Paths;

/// What every one of these commands needs.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) config: Config,
    pub(crate) home: Home,
    /// The settings file, which may not be there.
    pub(crate) settings: PathBuf,
    runtime: tokio::runtime::Runtime,
}

impl User {
    pub(crate) fn new(
        paths: &Paths,
        config: Config,
        named: Option<&Path>,
    ) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::caused(Exit::Other, "cannot start", &error))?;
        Ok(Self {
            config,
            home: paths.home(),
            settings: std::path::absolute(named.unwrap_or(&paths.config_file()))
                .map_err(|error| Failure::caused(Exit::Usage, "--config", &error))?,
            runtime,
        })
    }

    /// The activity log.
    pub(crate) fn log(&self) -> ActivityLog {
        ActivityLog::at(self.home.activity(), SystemLog::of_machine())
    }

    /// Waits for something that takes its time.
    fn wait_for<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Asks the background service; `None`: it does not run.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        content: Option<Value>,
    ) -> Result<Option<Value>, Failure> {
        let local = Local::of(&self.home);
        match self.runtime.block_on(local.ask(method, path, content)) {
            Ok(value) => Ok(Some(value)),
            Err(LocalError::Absent) => Ok(None),
            Err(error) => Err(unanswered(&error)),
        }
    }

    /// Asks the background service, which has to run.
    pub(crate) fn demand(
        &self,
        method: &str,
        path: &str,
        content: Option<Value>,
    ) -> Result<Value, Failure> {
        self.ask(method, path, content)?.ok_or_else(|| {
            Failure::new(Exit::Other, "the background service does not run")
                .hint("start it with `peerlift daemon`")
        })
    }

    /// Notes something, as long as there is a place for it.
    pub(crate) fn note(&self, what: peerlift_daemon::activity::Happening) -> Result<(), Failure> {
        self.log().note(what, UnixTime::now()).map_err(|error| {
            Failure::caused(Exit::Storage, "cannot write the activity log", &error)
                .hint("check the folder's permissions and the room on its disk")
        })
    }
}

/// The service has no room for what it was asked to keep (RFC 4918 §11.5).
const INSUFFICIENT_STORAGE: u16 = 507;

/// It knows nothing of that name or number.
const NOT_FOUND: u16 = 404;

fn unanswered(error: &LocalError) -> Failure {
    if let LocalError::Refused {
        status: INSUFFICIENT_STORAGE,
        ..
    } = error
    {
        return Failure::caused(Exit::Storage, "the background service", error)
            .hint("make room on that disk, and it is kept");
    }
    if let LocalError::Refused {
        status: NOT_FOUND, ..
    } = error
    {
        return Failure::caused(Exit::Usage, "the background service", error)
            .hint("`peerlift status` shows the downloads and their numbers");
    }
    Failure::caused(Exit::Other, "the background service", error)
        .hint("`peerlift daemon --stop` ends it; `peerlift doctor` looks for the reason")
}

/// How the service runs, in a line or two.
fn service_lines(live: Option<&Live>) -> String {
    let Some(live) = live else {
        return "It does not run in the background now.\n".to_owned();
    };
    let mut text = format!(
        "It runs in the background (process {}) since {}, started by {}.\n",
        live.process, live.since, live.started_by
    );
    if live.listening.is_empty() {
        text.push_str("It lets nobody in: no port is open.\n");
    } else {
        let _ = writeln!(
            text,
            "It lets other downloaders in at {}.",
            live.listening.join(", ")
        );
    }
    for pause in &live.pauses {
        let _ = writeln!(text, "Uploads rest: {pause}.");
    }
    text
}
