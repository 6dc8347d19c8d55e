//! Decides whether to share, when neither an option nor a setting has.
//!
//! An answer given earlier counts. Without one, a person at a terminal is asked, once for each
//! publisher; without a terminal nothing is shared.

use std::io;

use peerlift_client::{Client, Share};
use peerlift_daemon::SystemLog;
use peerlift_daemon::activity::ActivityLog;
use peerlift_daemon::consent::{Agreed, Consents, Subject};
use peerlift_daemon::machine::{MachinePolicy, POLICY_PATH};
use peerlift_daemon::time::UnixTime;

use super::plan::{Job, Plan};
use crate::args::ShareWord;
use crate::consent;
use crate::console::Console;
use crate::failure::Failure;
use crate::paths::Paths;
use crate::user::share::happening;

/// Fills in what the user wants of each job.
pub(super) async fn decide(
    plan: &mut Plan,
    client: &Client,
    paths: &Paths,
    console: &Console,
) -> Result<(), Failure> {
    let home = paths.home();
    let consents = Consents::at(home.consent());
    let nobody_to_ask = consents.is_empty() && !console.is_interactive();
    if plan.share != ShareWord::Ask || nobody_to_ask {
        return Ok(());
    }
    for job in &mut plan.jobs {
        let Some(subject) = subject(job, client).await else {
            continue;
        };
        let agreed = match consents
            .recall(subject.publisher)
            .map_err(consent::unusable)?
        {
            Some(agreed) => agreed,
            None if console.is_interactive() => {
                let stdin = io::stdin();
                let (mut input, mut output) = (stdin.lock(), io::stderr());
                let yes = Agreed::WhileDownloading;
                let asked = consent::ask(&consents, &subject, yes, &mut input, &mut output)?;
                if let Some(answer) = &asked.answer {
                    let log = ActivityLog::at(home.activity(), SystemLog::of_machine());
                    let noted = log.note(happening(answer), UnixTime::now());
                    // The answer itself is kept; the log may have no room.
                    noted.unwrap_or_else(|error| tracing::warn!(%error, "not noted"));
                }
                asked.agreed
            }
            None => Agreed::Off,
        };
        let allowed = MachinePolicy::load(POLICY_PATH.as_ref())
            .is_ok_and(|policy| policy.allows(&subject.publisher.to_string()));
        job.request.share = match agreed {
            _ if !allowed => Share::Off,
            Agreed::Off => Share::Off,
            Agreed::WhileDownloading | Agreed::InBackground => Share::WhileDownloading,
        };
    }
    Ok(())
}

/// Whom the question would be about; `None`: there is nothing to share, or nobody to share with.
/// An error is left to the download, which meets it again.
async fn subject(job: &Job, client: &Client) -> Option<Subject> {
    if !job.request.peers {
        return None;
    }
    let found = client
        .find_manifest(
            &job.request.urls,
            &job.request.headers,
            job.request.wallet.clone(),
        )
        .await
        .ok()??;
    let about = found.signed.manifest;
    let can_share = about.policy.peers && !about.control.is_empty();
    can_share.then(|| Subject {
        publisher: found.signed.publisher,
        publisher_name: about.publisher_name,
        origin: found.url.origin().ascii_serialization(),
    })
}
