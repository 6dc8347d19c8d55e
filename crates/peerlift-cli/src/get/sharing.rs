//! Decides whether to share, when neither an option nor a setting has.
//!
//! An answer given earlier counts. Without one, a person at a terminal is asked, once for each
//! publisher; without a terminal nothing is shared.

use std::io;

use peerlift_client::{Client, Share};

use super::plan::{Job, Plan};
use crate::args::ShareWord;
use crate::consent::{Agreed, Consents, Subject};
use crate::console::Console;
use crate::failure::Failure;
use crate::paths::Paths;

/// Fills in what the user wants of each job.
pub(super) async fn decide(
    plan: &mut Plan,
    client: &Client,
    paths: &Paths,
    console: &Console,
) -> Result<(), Failure> {
    let consents = Consents::at(paths.consent());
    let nobody_to_ask = consents.is_empty() && !console.is_interactive();
    if plan.share != ShareWord::Ask || nobody_to_ask {
        return Ok(());
    }
    for job in &mut plan.jobs {
        let Some(subject) = subject(job, client).await else {
            continue;
        };
        let agreed = match consents.recall(subject.publisher)? {
            Some(agreed) => agreed,
            None if console.is_interactive() => {
                let stdin = io::stdin();
                consents.ask(&subject, &mut stdin.lock(), &mut io::stderr())?
            }
            None => Agreed::Off,
        };
        job.request.share = match agreed {
            Agreed::Off => Share::Off,
            Agreed::WhileDownloading => Share::WhileDownloading,
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
        .find_manifest(&job.request.urls, &job.request.headers)
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
