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
use peerlift_model::PublisherId;

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
    let policy = MachinePolicy::load(POLICY_PATH.as_ref());
    if let Ok(policy) = &policy
        && plan.share != ShareWord::Ask
    {
        obey(policy, plan, client, console).await;
    }
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
        let publisher = subject.publisher.to_string();
        let allowed = { policy.as_ref() }.is_ok_and(|policy| policy.allows(&publisher));
        job.request.share = match agreed {
            _ if !allowed => Share::Off,
            Agreed::Off => Share::Off,
            Agreed::WhileDownloading | Agreed::InBackground => Share::WhileDownloading,
        };
    }
    Ok(())
}

/// Keeps what the user wants within what the administrator allows. What holds for all publishers, and a
/// policy that cannot be read, is the steward's business.
async fn obey(policy: &MachinePolicy, plan: &mut Plan, client: &Client, console: &Console) {
    if policy.publishers.is_empty() {
        return;
    }
    for job in &mut plan.jobs {
        if !job.request.share.is_on() {
            continue;
        }
        let publisher = subject(job, client).await.map(|subject| subject.publisher);
        job.request.share = within(policy, job.request.share, publisher);
        if !job.request.share.is_on() {
            console.say(format_args!(
                "{}: not shared, this machine's administrator names other publishers {}",
                job.url, policy.contact
            ));
        }
    }
}

/// What is left of a wish to share. Files of nobody known are not shared where publishers are named.
fn within(policy: &MachinePolicy, share: Share, publisher: Option<PublisherId>) -> Share {
    let allowed = publisher.is_some_and(|publisher| policy.allows(&publisher.to_string()));
    if allowed { share } else { Share::Off }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publisher_that_the_administrator_does_not_name_is_not_shared_however_it_was_asked_for() {
        let named = PublisherId::new([1; 32]);
        let policy = MachinePolicy {
            publishers: vec![named.to_string()],
            ..MachinePolicy::default()
        };
        let wish = Share::WhileDownloading;
        assert_eq!(within(&policy, wish, Some(named)), wish);
        let other = PublisherId::new([2; 32]);
        assert_eq!(within(&policy, wish, Some(other)), Share::Off);
        assert_eq!(within(&policy, wish, None), Share::Off);
    }
}
