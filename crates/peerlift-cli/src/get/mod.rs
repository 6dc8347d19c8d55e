//! `peerlift get`: from what was typed to downloads, and from their events to the screen.
//!
//! ```text
//! plan ── what goes where, with which options
//!   └─ sharing ── asks the user, when nobody has decided yet
//!        └─ run ── a few downloads at a time ── view ── bars, lines or JSON
//! ```

mod keeping;
mod plan;
mod queue;
mod sharing;
mod text;
mod view;

use std::sync::Arc;
use std::time::Duration;

use peerlift_client::{Client, ClientConfig, Download, DownloadError, Event};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::args::GetArgs;
use crate::config::Config;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::manners;
use crate::paths::Paths;
use crate::{signals, token};
use keeping::{Keeper, Kept};
pub(crate) use plan::header_map;
use plan::{Job, Plan};
use view::View;

/// How long goodbyes to peers and control nodes may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Downloads everything that was asked for.
pub(crate) fn run(
    args: &GetArgs,
    config: &Config,
    paths: &Paths,
    console: &Console,
) -> Result<Exit, Failure> {
    if args.queue {
        return queue::hand_over(args, config, paths);
    }
    let mut plan = Plan::new(args, &config.get)?;
    if let Some(wallet) = token::wallet(args.token.as_deref(), &config.get.token, paths)? {
        let wallet = Arc::new(wallet);
        for job in &mut plan.jobs {
            job.request.wallet = Some(Arc::clone(&wallet));
        }
    }
    let keeper = Keeper::new(paths, config, args.share.is_some());
    if args.background {
        // Before there are threads, which inherit it.
        manners::step_back();
    }
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::caused(Exit::Other, "cannot start", &error))?;
    let mut client_config = ClientConfig::new(paths.data().into(), paths.cache().into());
    client_config.uploads = keeper.uploads();
    if config.get.polite || args.background {
        client_config.uploads = client_config.uploads.giving_way();
    }
    let client = Client::new(client_config);
    let result = runtime.block_on(download_all(plan, &client, &keeper, paths, console));
    // A task that hangs in a system call must not keep the process.
    runtime.shutdown_timeout(CLOSE_WITHIN);
    result
}

async fn download_all(
    mut plan: Plan,
    client: &Client,
    keeper: &Keeper,
    paths: &Paths,
    console: &Console,
) -> Result<Exit, Failure> {
    // Before signals are caught: Ctrl-C answers the question, too.
    sharing::decide(&mut plan, client, paths, console).await?;
    let steward = keeper.begin(&mut plan, console);
    let stop = signals::stop_on_signal()?;
    let slots = Arc::new(Semaphore::new(plan.jobs_at_once));
    let mut running = JoinSet::new();
    for (number, job) in plan.jobs.into_iter().enumerate() {
        let one = One {
            client: client.clone(),
            console: console.clone(),
            stop: stop.clone(),
            kept: keeper.keep(&job),
        };
        let slots = Arc::clone(&slots);
        running.spawn(async move { (number, one.run(job, slots).await) });
    }
    let mut failures = Vec::new();
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok((_, Ok(()))) => {}
            Ok((number, Err(failure))) => failures.push((number, failure)),
            Err(crash) => std::panic::resume_unwind(crash.into_panic()),
        }
    }
    // Nobody is kept waiting for those who do not answer a goodbye.
    let _ = tokio::time::timeout(CLOSE_WITHIN, client.close()).await;
    drop(steward);
    keeper.end();
    Ok(tell(failures, console))
}

/// Tells every failure once; the first file's decides how the program ends.
fn tell(mut failures: Vec<(usize, Failure)>, console: &Console) -> Exit {
    failures.sort_by_key(|(number, _)| *number);
    let exit = failures
        .first()
        .map_or(Exit::Fine, |(_, failure)| failure.exit);
    let mut messages: Vec<String> = failures
        .iter()
        .map(|(_, failure)| failure.to_string())
        .collect();
    messages.dedup();
    for message in messages {
        console.complain(message);
    }
    exit
}

/// What a single download needs.
struct One {
    client: Client,
    console: Console,
    stop: CancellationToken,
    kept: Kept,
}

impl One {
    async fn run(mut self, job: Job, slots: Arc<Semaphore>) -> Result<(), Failure> {
        let mut view = View::new(self.console.clone(), &job);
        let permit = self.stop.run_until_cancelled(slots.acquire_owned()).await;
        let result = match permit {
            Some(Ok(permit)) => {
                let download = self.client.start(job.request);
                self.follow(download, &mut view, permit).await
            }
            Some(Err(_)) | None => Err(interrupted(DownloadError::Cancelled)),
        };
        if let Err(failure) = &result {
            view.failed(failure)?;
        }
        result
    }

    async fn follow(
        &mut self,
        mut download: Download,
        view: &mut View,
        permit: OwnedSemaphorePermit,
    ) -> Result<(), Failure> {
        let mut permit = Some(permit);
        let handle = download.stop_handle();
        let mut told_to_stop = false;
        loop {
            tokio::select! {
                event = download.next_event() => {
                    let Some(event) = event else { break };
                    if let Event::Completed(_) = event {
                        // What only shares makes room for the next download.
                        drop(permit.take());
                    }
                    self.kept.hear(&event);
                    view.show(&event)?;
                }
                () = self.stop.cancelled(), if !told_to_stop => {
                    told_to_stop = true;
                    handle.cancel();
                }
            }
        }
        let report = download.wait().await.map_err(interrupted)?;
        if let Some(text) = self.kept.ended(&report) {
            view.show(&Event::Warning { text })?;
        }
        view.ended(&report)
    }
}

/// A failure whose exit code names the signal that caused it.
fn interrupted(error: DownloadError) -> Failure {
    let is_ours = matches!(error, DownloadError::Cancelled);
    let mut failure = Failure::from(error);
    if let (true, Some(code)) = (is_ours, signals::exit_code()) {
        failure.exit = Exit::Code(code);
    }
    failure
}
