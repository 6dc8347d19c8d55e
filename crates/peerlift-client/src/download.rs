//! One download from the request to the report. What comes before it is in `first`, what after it in
//! `seeding`.

mod existing;
mod first;
mod seeding;
mod target;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use peerlift_content::{Manifest, Policy, VerifiedManifest};
use peerlift_model::Layout;
use peerlift_net::http::{Body, HttpClient, Opened};
use peerlift_swarm::{Config, Limits, Swarm};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::client::Shared;
use crate::context::{Context, Input};
use crate::error::DownloadError;
use crate::event::{Event, Report, Started, Verified};
use crate::fetch_edge::EdgeUrls;
use crate::hub::unix_now;
use crate::known_publishers::Trust;
use crate::limiter::Limiter;
use crate::manifest::{self, Signed};
use crate::peers::Peers;
use crate::progress::Progress;
use crate::provenance::Provenance;
use crate::request::{DownloadRequest, Goal, Output};
use crate::single::{self, Sink};
use crate::storage::{Scratch, Storage};
use crate::stream;
use crate::transfer::{self, Clock, Parts, Transfer};
use crate::whole::{self, WholeFault};
use target::Target;

pub(crate) use first::{contact_any, http_client};
pub(crate) use seeding::share_again;

/// Runs a download to its end, sharing included.
pub(crate) async fn run(
    shared: Arc<Shared>,
    request: DownloadRequest,
    mut progress: Progress,
    stop: CancellationToken,
) -> Result<Report, DownloadError> {
    let started = Instant::now();
    let first_contact = async {
        let wallet = request.wallet.clone();
        let http = http_client(&shared, &request.urls, &request.headers, wallet)?;
        let http = http.over(shared.downlink(&request));
        let contact = contact_any(&http, &request.urls, |error| progress.warn_once(error)).await?;
        Ok::<_, DownloadError>((http, contact))
    };
    let (http, (url, contact)) = stop
        .run_until_cancelled(first_contact)
        .await
        .ok_or(DownloadError::Cancelled)??;
    let job = Job {
        shared,
        request,
        progress,
        stop,
        http,
        url,
        started,
        signed: None,
    };
    match contact.manifest {
        Some(signed) => job.verified(contact.opened, signed).await,
        None if job.request.publisher.is_some() => Err(DownloadError::Unsigned { url: job.url }),
        None => job.unverified(contact.opened).await,
    }
}

/// A download after its first contact.
struct Job {
    shared: Arc<Shared>,
    request: DownloadRequest,
    progress: Progress,
    stop: CancellationToken,
    http: HttpClient,
    /// The URL that answered.
    url: Url,
    started: Instant,
    /// What the manifest was, once it has been believed.
    signed: Option<Signed>,
}

impl Job {
    /// An object with a manifest: from edges and peers, every group verified.
    async fn verified(mut self, opened: Opened, signed: Signed) -> Result<Report, DownloadError> {
        self.signed = Some(signed.clone());
        let as_found = signed.clone();
        let (signed, found_at) = (signed.verified, signed.found_at);
        let about = &signed.manifest;
        self.check(&opened, &signed, &found_at)?;
        self.show_token_to_edges(&signed, &found_at);
        let layout = about.layout;
        let target = self.target(Some(about), &opened, |path, overwrite| {
            Storage::verified(path, about.root, layout, overwrite)
        });
        let target = match target {
            Ok(target) => target,
            Err(error) => return self.already_there(error, &as_found).await,
        };
        let have = target.storage.have();
        self.announce_start(&target, &opened, Some(&signed), Some(about.size()))
            .await;

        let verified = Verified::Manifest {
            publisher: signed.publisher,
            object: about.root,
        };
        let mut edges = self.edges(&opened, about, &found_at);
        if !opened.ranges && !layout.all_groups().is_empty() {
            let edge = edges.remove(0);
            if edges.is_empty() {
                return self
                    .whole(opened.body, edge, target, layout, verified)
                    .await;
            }
        }
        let mut tasks = JoinSet::new();
        let complete = have.contains_all(layout.all_groups());
        let peers = self.peers(&signed, &found_at, complete, &mut tasks);
        let (transfer, context) =
            self.transfer(layout, target.storage, Some(&about.policy), peers, tasks);
        let scratch = target.scratch;
        self.finish(transfer, context, edges, target.path, verified, scratch)
            .await
    }

    /// An object whose only server sends it whole or not at all.
    async fn whole(
        mut self,
        body: Body,
        edge: EdgeUrls,
        target: Target,
        layout: Layout,
        verified: Verified,
    ) -> Result<Report, DownloadError> {
        let (context, _inputs) = self.context(layout, target.storage);
        let output = std::mem::replace(&mut self.request.output, Output::Folder(PathBuf::new()));
        let reader = match output {
            Output::Stream(reader) => Some(reader),
            Output::File(_) | Output::Folder(_) => None,
        };
        let copy = whole::copy(&context, &edge, body, reader, &self.progress);
        match self.stop.run_until_cancelled(copy).await {
            Some(Ok(())) => {}
            ended => {
                context.storage.checkpoint()?;
                return Err(match ended {
                    Some(Err(WholeFault::Fetch(fault))) => transfer::judge(fault).1,
                    Some(Err(WholeFault::Output(error))) => DownloadError::Output(error),
                    Some(Ok(())) | None => DownloadError::Cancelled,
                });
            }
        }
        if target.path.is_some() {
            context.storage.commit()?;
        }
        self.complete(target.path, layout.size(), verified).await
    }

    /// Reports a file that came from one edge from beginning to end.
    async fn complete(
        &self,
        path: Option<PathBuf>,
        size: u64,
        verified: Verified,
    ) -> Result<Report, DownloadError> {
        let provenance = Provenance::all_from(&self.url, size);
        self.progress.deliver(Event::Explained(provenance)).await;
        let report = Report {
            path,
            size,
            time: self.started.elapsed(),
            from_edge: size,
            from_peers: 0,
            from_peers_relayed: 0,
            resumed: 0,
            wasted: 0,
            uploaded: 0,
            peers: 0,
            verified,
            kept: None,
        };
        self.progress
            .deliver(Event::Completed(report.clone()))
            .await;
        Ok(report)
    }

    /// A file that nobody described: as well as HTTP allows.
    async fn unverified(mut self, opened: Opened) -> Result<Report, DownloadError> {
        let (Some(size), true, Some(validator)) =
            (opened.size, opened.ranges, opened.validator.clone())
        else {
            return self.single(opened).await;
        };
        let Some(layout) = Layout::new(size) else {
            return self.single(opened).await;
        };
        if let Output::Stream(_) = self.request.output {
            return self.single(opened).await;
        }
        let target = self.target(None, &opened, |path, overwrite| {
            Storage::plain(path, validator.as_str(), layout, overwrite)
        })?;
        self.announce_start(&target, &opened, None, Some(size))
            .await;
        let edge = EdgeUrls {
            file: opened.url,
            outboard: None,
            validator: Some(validator),
        };
        let (transfer, context) =
            self.transfer(layout, target.storage, None, Peers::none(), JoinSet::new());
        self.finish(
            transfer,
            context,
            vec![edge],
            target.path,
            Verified::Length,
            None,
        )
        .await
    }

    /// A file that can only be read from beginning to end.
    async fn single(mut self, opened: Opened) -> Result<Report, DownloadError> {
        let size = opened.size;
        let url = opened.url.clone();
        let path = self.path(None, &opened)?;
        let started = Started {
            name: path
                .as_deref()
                .map_or_else(|| self.url.to_string(), display_name),
            path: path.clone(),
            size,
            resumed: 0,
            publisher: None,
            publisher_name: None,
            object: None,
        };
        self.progress.deliver(Event::Started(started)).await;
        let limit = Limiter::new(self.request.limit_down);
        let downlink = self.shared.downlink(&self.request);
        let body = if opened.ranges {
            self.http.whole(&url).await?.0
        } else {
            opened.body
        };
        let output = std::mem::replace(&mut self.request.output, Output::Folder(PathBuf::new()));
        let mut sink = match output {
            Output::Stream(stream) => Sink::Stream(stream),
            Output::File(file) | Output::Folder(file) => {
                let file = path.as_ref().unwrap_or(&file);
                Sink::file(file, size, self.request.overwrite)?
            }
        };
        let copy = single::copy(body, size, &mut sink, (&limit, &downlink), &self.progress);
        let (bytes, path) = self
            .stop
            .run_until_cancelled(copy)
            .await
            .ok_or(DownloadError::Cancelled)??;
        self.complete(path, bytes, Verified::Length).await
    }

    fn check(
        &mut self,
        opened: &Opened,
        signed: &VerifiedManifest,
        found_at: &Url,
    ) -> Result<(), DownloadError> {
        let about = &signed.manifest;
        let known = &self.shared.known_publishers;
        let trust = manifest::check_publisher(known, (signed, found_at), self.request.publisher)?;
        if trust == Trust::FirstUse {
            tracing::info!(publisher = %signed.publisher, "first use of this publisher's key");
        }
        if is_expired(about) {
            return Err(DownloadError::Expired {
                url: found_at.clone(),
            });
        }
        match opened.size {
            Some(actual) if actual != about.size() => {
                let promised = about.size();
                Err(DownloadError::Size {
                    url: opened.url.clone(),
                    promised,
                    actual,
                })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// The edges that the publisher's own manifest names may see the publisher's token.
    fn show_token_to_edges(&mut self, signed: &VerifiedManifest, found_at: &Url) {
        let wallet = self.request.wallet.as_ref();
        if wallet.is_some_and(|wallet| wallet.publisher() == signed.publisher) {
            let edges = signed.manifest.edges.iter();
            let origins = edges.filter_map(|edge| Some(found_at.join(edge).ok()?.origin()));
            self.http = self.http.showing_token_to(origins);
        }
    }

    fn edges(&self, opened: &Opened, about: &Manifest, found_at: &Url) -> Vec<EdgeUrls> {
        let first = EdgeUrls {
            file: opened.url.clone(),
            outboard: Some(manifest::outboard_beside(found_at)),
            validator: opened.validator.clone(),
        };
        let mirrors = self
            .request
            .urls
            .iter()
            .filter(|url| **url != self.url)
            .cloned();
        let named = about
            .edges
            .iter()
            .filter_map(|edge| found_at.join(edge).ok());
        let mut edges = vec![first];
        for file in mirrors.chain(named) {
            if file != self.url && edges.iter().all(|edge| edge.file != file) {
                let outboard = Some(manifest::outboard_url(&file));
                edges.push(EdgeUrls {
                    file,
                    outboard,
                    validator: None,
                });
            }
        }
        edges.truncate(EDGES_MAX);
        edges
    }

    fn peers(
        &self,
        signed: &VerifiedManifest,
        found_at: &Url,
        complete: bool,
        tasks: &mut JoinSet<()>,
    ) -> Peers {
        let about = &signed.manifest;
        if !self.request.peers || !about.policy.peers {
            return Peers::none();
        }
        let share = self.request.share.is_on();
        Peers::start(
            Arc::clone(&self.shared),
            (about, signed.publisher),
            found_at,
            self.request.wallet.clone(),
            share,
            complete,
            tasks,
        )
    }

    fn context(&self, layout: Layout, storage: Storage) -> (Arc<Context>, mpsc::Receiver<Input>) {
        Context::new(
            self.http.clone(),
            layout,
            storage,
            Arc::new(Limiter::new(self.request.limit_down)),
            self.shared.downlink(&self.request),
            Arc::new(Limiter::new(self.request.limit_up)),
            self.shared.config.uploads.clone(),
        )
    }

    fn transfer(
        &mut self,
        layout: Layout,
        storage: Storage,
        policy: Option<&Policy>,
        peers: Peers,
        tasks: JoinSet<()>,
    ) -> (Transfer, Arc<Context>) {
        let have = storage.have();
        let (context, inputs) = self.context(layout, storage);
        let clock = Clock::start();
        let config = Config {
            goal: core_goal(&self.request, policy, clock),
            spread: None,
            share: self.request.share.is_on() && context.uploads.is_open(),
            limits: Limits::default(),
        };
        let swarm = Swarm::new(config, layout, have, random_seed(), clock.now());
        let parts = Parts {
            context: Arc::clone(&context),
            inputs,
            swarm,
            clock,
            peers,
            tasks,
            progress: self.progress.clone(),
            patience: self.request.patience,
            share: self.request.share.is_on(),
            upload_cap: policy.and_then(|policy| policy.upload_cap_bytes),
        };
        (Transfer::new(parts), context)
    }

    /// Downloads, puts the file in place, and shares it for as long as was asked.
    async fn finish(
        mut self,
        mut transfer: Transfer,
        context: Arc<Context>,
        edges: Vec<EdgeUrls>,
        path: Option<PathBuf>,
        verified: Verified,
        scratch: Option<Scratch>,
    ) -> Result<Report, DownloadError> {
        for edge in edges {
            transfer.add_edge(edge, self.request.connections.clamp(1, 16));
        }
        let output = std::mem::replace(&mut self.request.output, Output::Folder(PathBuf::new()));
        let frontier = transfer.frontier();
        let foreground = !self.request.background;
        let work = async {
            let _errand = foreground.then(|| context.uploads.uplink().errand());
            match output {
                Output::Stream(writer) => {
                    let writing = stream::write_in_order(Arc::clone(&context), frontier, writer);
                    tokio::try_join!(transfer.download(), writing).map(|_| ())
                }
                Output::File(_) | Output::Folder(_) => transfer.download().await,
            }
        };
        let result = self.stop.run_until_cancelled(work).await;
        self.progress
            .deliver(Event::Explained(transfer.provenance()))
            .await;
        if let Err(error) = result.unwrap_or(Err(DownloadError::Cancelled)) {
            transfer.close().await;
            context.storage.checkpoint()?;
            return Err(error);
        }
        let kept = match &path {
            Some(path) => self.put_in_place(&context, path)?,
            None => None,
        };
        let mut report = self.report(&transfer, &context, path, verified);
        report.kept = kept;
        self.progress
            .deliver(Event::Completed(report.clone()))
            .await;
        self.seed(&mut transfer, &mut report).await;
        transfer.close().await;
        drop(scratch);
        Ok(report)
    }

    fn report(
        &self,
        transfer: &Transfer,
        context: &Context,
        path: Option<PathBuf>,
        verified: Verified,
    ) -> Report {
        let status = transfer.status();
        let counts = transfer.peer_counts();
        let useful = status.from_edge + status.from_peers;
        Report {
            path,
            size: status.size,
            time: self.started.elapsed(),
            from_edge: status.from_edge,
            from_peers: status.from_peers,
            from_peers_relayed: counts.relayed,
            resumed: status.resumed,
            wasted: context.received_total().saturating_sub(useful),
            uploaded: status.uploaded,
            peers: counts.peers,
            verified,
            kept: None,
        }
    }

    async fn announce_start(
        &self,
        target: &Target,
        opened: &Opened,
        signed: Option<&VerifiedManifest>,
        size: Option<u64>,
    ) {
        let name = match (&target.path, signed) {
            (Some(path), _) => display_name(path),
            (None, Some(signed)) => signed.manifest.name.clone(),
            (None, None) => opened.url.to_string(),
        };
        let started = Started {
            path: target.path.clone(),
            name,
            size,
            resumed: target.storage.bytes_present(),
            publisher: signed.map(|signed| signed.publisher),
            publisher_name: signed.map(|signed| signed.manifest.publisher_name.clone()),
            object: signed.map(|signed| signed.manifest.root),
        };
        self.progress.deliver(Event::Started(started)).await;
    }
}

fn is_expired(about: &Manifest) -> bool {
    about.policy.expires.is_some_and(|at| at <= unix_now())
}

/// Edges used at once; more would be idle.
const EDGES_MAX: usize = 8;

fn core_goal(
    request: &DownloadRequest,
    policy: Option<&Policy>,
    clock: Clock,
) -> peerlift_swarm::Goal {
    if let Output::Stream(_) = request.output {
        return peerlift_swarm::Goal::InOrder;
    }
    let recommended = policy.and_then(|policy| Goal::recommended(policy.goal.as_deref()?));
    match request.goal.or(recommended).unwrap_or_default() {
        Goal::Fastest => peerlift_swarm::Goal::Fastest,
        Goal::Thrifty => peerlift_swarm::Goal::Thrifty,
        Goal::Floor(rate) => peerlift_swarm::Goal::Floor(rate),
        Goal::Deadline(time) => peerlift_swarm::Goal::Deadline(clock.now() + time),
        Goal::InOrder => peerlift_swarm::Goal::InOrder,
    }
}

fn display_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

fn random_seed() -> u64 {
    let mut seed = [0; 8];
    // Without randomness the plan is still right, only less spread.
    let _ = getrandom::fill(&mut seed);
    u64::from_le_bytes(seed)
}
