//! The service from start to end.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::api::Api;
use super::listen::{ListenError, Listening};
use super::owner;
use crate::activity::Happening;
use crate::home::Home;
use crate::machine::{Conditions, Hours, MachinePolicy, PolicyError};
use crate::removal;
use crate::report;
use crate::state::StateError;
use crate::steward::ShareRules;
use crate::system_log::SystemLog;
use crate::time::UnixTime;

/// How the service runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where everything lies.
    pub home: Home,
    /// How the user wants to share.
    pub rules: ShareRules,
    /// Downloads that run at a time.
    pub jobs: usize,
    /// The hours in which it downloads.
    pub download_hours: Hours,
    /// How long nobody may need it before it ends.
    pub idle: Duration,
    /// The settings file, which the panel changes.
    pub settings: PathBuf,
    /// The administrator's policy.
    pub policy_file: PathBuf,
    /// Where the machine tells of its condition.
    pub conditions: Conditions,
    /// The machine's log.
    pub system: SystemLog,
    /// What started it, for people.
    pub started_by: String,
}

/// The service cannot start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A record of its own cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The user has removed Peerlift.
    #[error("Peerlift was removed from this account")]
    Removed,
    /// The administrator's policy cannot be read.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The administrator does not want it.
    #[error("this machine's administrator does not allow Peerlift{}", in_brackets(.contact))]
    Forbidden {
        /// Whom to ask.
        contact: String,
    },
}

fn in_brackets(contact: &str) -> String {
    if contact.is_empty() {
        String::new()
    } else {
        format!(" ({contact})")
    }
}

/// Runs the service until `stop` is cancelled or nobody needs it; `ready` is called when it answers.
/// Says why it ended.
///
/// # Errors
///
/// A [`ServiceError`] when it cannot start.
pub async fn run(
    options: Options,
    stop: CancellationToken,
    ready: impl FnOnce(),
) -> Result<&'static str, ServiceError> {
    if removal::is_removed(&options.home) {
        return Err(ServiceError::Removed);
    }
    let policy = MachinePolicy::load(&options.policy_file)?;
    if !policy.allowed {
        return Err(ServiceError::Forbidden {
            contact: policy.contact,
        });
    }
    let listening = Listening::start(&options.home)?;
    let (mut owner, handle) = owner::new(options.clone(), stop.clone());
    owner.load()?;
    owner.announce(&options.started_by);
    let (home, system) = (options.home.clone(), options.system.clone());
    let api = Api::new(handle, options, stop);
    let served = api.serve(listening);
    ready();
    let why = owner.run().await;
    served.end().await;
    if let Some(asked_by) = api.removal() {
        removal::remove_from_within(&home, &system, asked_by);
        return Ok("it was removed");
    }
    Ok(why)
}

impl owner::Owner {
    /// Notes that the service is here, and since when it has been on this machine.
    fn announce(&mut self, started_by: &str) {
        let service = self.service();
        if let Err(error) = service.log.note_presence(report::presence(UnixTime::now())) {
            service.problem(error.to_string());
        }
        service.note(Happening::Started {
            started_by: started_by.to_owned(),
        });
    }
}
