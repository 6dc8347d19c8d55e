//! The task that owns the service's state: what it does and when. What its downloads tell is in
//! `heard`, what its user changes about them in `asked`, what it
//! notes in `noted`, what it shows in `shown`.

mod asked;
mod heard;
mod noted;
mod shown;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use peerlift_client::{Client, ClientConfig, Snapshot};
use peerlift_model::ObjectId;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::questions::Met;
use super::queue::{DownloadId, Item, Order, Queue, QueueError, Wanted};
use super::run::Options;
use super::shared_files::SharedFiles;
use super::task::{News, Task};
use crate::activity::{ActivityLog, Happening};
use crate::applications::Applications;
use crate::consent::{Agreed, Consents};
use crate::explanations::{Explanation, shown_url};
use crate::machine::{DiskGuard, Hours};
use crate::state::StateFile;
use crate::steward::Steward;
use crate::time::UnixTime;

/// Jobs that wait for the owner; callers wait when it is behind.
const JOBS_MAX: usize = 64;

/// News of downloads that wait for the owner; downloads wait when it is behind.
const NEWS_MAX: usize = 256;

/// How long goodbyes to peers and control nodes may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// Problems that are shown; the log has all of them.
const PROBLEMS_MAX: usize = 16;

pub use shown::{Download, Status};

type Job = Box<dyn FnOnce(&mut Service) + Send>;

/// A way to the owner. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    jobs: mpsc::Sender<Job>,
}

/// Why what was asked for is not certain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Uncertain {
    /// The service has ended.
    #[error("the background service is ending")]
    Ending,
    /// It is done and will be forgotten with the service, unless it can be written down by then.
    #[error("it holds for now and cannot be written down: {0}")]
    Unsaved(String),
}

impl Handle {
    /// Lets the owner do something and waits for what comes of it.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Service) -> T + Send + 'static,
    ) -> Result<T, Uncertain> {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |service| {
            let before = service.changes;
            let result = job(service);
            let has_changed = service.changes != before;
            // What is answered is on disk: a crash takes nothing back that was said.
            service.carry_out();
            let unsaved = service.unsaved.clone().filter(|_| has_changed);
            // The caller may have hung up.
            let _ = reply.send(unsaved.map_or(Ok(result), |why| Err(Uncertain::Unsaved(why))));
        });
        self.jobs.send(job).await.map_err(|_| Uncertain::Ending)?;
        answer.await.map_err(|_| Uncertain::Ending)?
    }
}

/// The state.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) options: Options,
    pub(super) log: ActivityLog,
    pub(super) steward: Steward,
    pub(super) stop: CancellationToken,
    /// Publishers that downloads met.
    pub(super) met: Met,
    queue: Queue,
    queue_file: StateFile<Queue>,
    client: Client,
    /// What it takes to share again after a restart.
    shared: SharedFiles,
    /// The disks that downloads go to.
    disks: DiskGuard,
    active: BTreeMap<DownloadId, Active>,
    /// To be started once the run before has ended.
    again: BTreeSet<DownloadId>,
    /// Whether the ports are to be closed once no run needs them: nothing is agreed to any more.
    shut: bool,
    tasks: TaskTracker,
    news: mpsc::Sender<News>,
    started: UnixTime,
    listening: Vec<String>,
    /// When somebody last needed the service.
    used: Instant,
    problems: Vec<String>,
    unwritten: noted::Unwritten,
    dirty: bool,
    /// Counts changes of the queue.
    changes: u64,
    /// Why the queue could not be written down the last time, if it could not.
    unsaved: Option<String>,
}

/// A download under way.
#[derive(Debug)]
struct Active {
    stop: CancellationToken,
    object: Option<ObjectId>,
    snapshot: Snapshot,
    received: u64,
    uploaded_noted: u64,
    name: String,
    explanation: Option<Explanation>,
}

/// Makes the state and the way to it.
pub(super) fn new(options: Options, stop: CancellationToken) -> (Owner, Handle) {
    let home = &options.home;
    let log = ActivityLog::at(home.activity(), options.system.clone());
    let steward = Steward::new(
        home,
        options.rules,
        &options.policy_file,
        options.conditions.clone(),
    );
    let (news, news_receiver) = mpsc::channel(NEWS_MAX);
    let (jobs, job_receiver) = mpsc::channel(JOBS_MAX);
    let service = Service {
        log,
        client: client(&options, &steward),
        steward,
        stop,
        met: Met::default(),
        queue: Queue::default(),
        queue_file: StateFile::at(home.downloads()),
        shared: SharedFiles::of(home),
        disks: DiskGuard::default(),
        active: BTreeMap::new(),
        again: BTreeSet::new(),
        shut: false,
        tasks: TaskTracker::new(),
        news,
        started: UnixTime::now(),
        listening: Vec::new(),
        used: Instant::now(),
        problems: Vec::new(),
        unwritten: noted::Unwritten::default(),
        dirty: false,
        changes: 0,
        unsaved: None,
        options,
    };
    (
        Owner {
            service,
            jobs: job_receiver,
            news: news_receiver,
        },
        Handle { jobs },
    )
}

/// A client that listens nowhere until something is shared.
fn client(options: &Options, steward: &Steward) -> Client {
    let mut config = ClientConfig::new(options.home.data.clone(), options.home.cache.clone());
    // Whoever sits at the machine goes first.
    config.uploads = steward.uploads().giving_way();
    Client::new(config)
}

/// The state with what comes in.
#[derive(Debug)]
pub(super) struct Owner {
    service: Service,
    jobs: mpsc::Receiver<Job>,
    news: mpsc::Receiver<News>,
}

impl Owner {
    /// Reads the queue back. A damaged one was moved aside, and is told.
    pub(super) fn load(&mut self) -> Result<(), crate::state::StateError> {
        let service = &mut self.service;
        let loaded = service.queue_file.load()?;
        service.queue = loaded.record;
        service.queue.wake();
        service
            .steward
            .set_paused(service.queue.are_uploads_paused());
        if let Some(aside) = loaded.moved_aside {
            service.repaired(&format!(
                "the list of downloads was damaged; it was moved to {}",
                aside.display()
            ));
        }
        if let Some(aside) = service.shared.load()? {
            service.repaired(&format!(
                "the list of shared files was damaged; it was moved to {}",
                aside.display()
            ));
        }
        let (queue, shared) = (&service.queue, &mut service.shared);
        if let Err(error) = shared.keep_only(|id| queue.is_shared(id)) {
            service.problem(error.to_string());
        }
        service.again = service.queue.shared().collect();
        Ok(())
    }

    /// The state.
    pub(super) fn service(&mut self) -> &mut Service {
        &mut self.service
    }

    /// Runs until it is told to stop or nobody needs it. Says why it ended.
    pub(super) async fn run(mut self) -> &'static str {
        let steward = tokio::spawn(self.service.steward.clone().run());
        let why = self.serve().await;
        steward.abort();
        self.close(why).await;
        why
    }

    async fn serve(&mut self) -> &'static str {
        self.service.go_on();
        let mut sharing = self.service.steward.state();
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let stop = self.service.stop.clone();
        let mut open = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return "it was told to",
                Some(job) = self.jobs.recv() => {
                    self.service.used = Instant::now();
                    job(&mut self.service);
                }
                Some(news) = self.news.recv() => self.service.hear(news),
                Ok(()) = sharing.changed() => {
                    let state = sharing.borrow_and_update().clone();
                    self.service.note_pause(&mut open, &state);
                }
                _ = tick.tick() => {
                    let needed = self.service.look_around();
                    if !needed && self.service.is_idle() {
                        return "nobody needs it: no application, no consent, nothing to do";
                    }
                }
            }
            self.service.carry_out();
        }
    }

    async fn close(mut self, why: &str) {
        let service = &mut self.service;
        for active in service.active.values() {
            active.stop.cancel();
        }
        service.tasks.close();
        let farewell = async {
            while !service.active.is_empty() {
                let Some(news) = self.news.recv().await else {
                    break;
                };
                service.hear(news);
            }
            service.tasks.wait().await;
            service.client.close().await;
        };
        // Nobody is kept waiting for those who do not answer a goodbye.
        let _ = tokio::time::timeout(CLOSE_WITHIN, farewell).await;
        service.note_shared();
        service.save();
        service.shared.save_uses();
        if let Err(error) = service.steward.budget().settle() {
            tracing::warn!(%error, "counts stay as they are");
        }
        service.note(Happening::Stopped {
            why: why.to_owned(),
        });
    }
}

impl Service {
    /// Changes the queue and carries out what that means.
    pub(super) fn change<T>(&mut self, change: impl FnOnce(&mut Queue) -> T) -> T {
        self.dirty = true;
        self.changes += 1;
        change(&mut self.queue)
    }

    /// Puts a download into the queue.
    pub(super) fn add(&mut self, wanted: Wanted) -> Result<DownloadId, QueueError> {
        let id = self.change(|queue| queue.add(wanted, UnixTime::now()))?;
        self.look_at_disks();
        Ok(id)
    }

    /// Stops what an order says.
    pub(super) fn obey(&mut self, order: Option<Order>) {
        match order {
            Some(Order::Stop(id)) => {
                self.again.remove(&id);
                if let Some(active) = self.active.get(&id) {
                    active.stop.cancel();
                }
            }
            Some(Order::Start(id)) => self.start(id),
            None => {}
        }
    }

    /// Starts what waited for a run before it to end. Where nothing is agreed to any more, all runs
    /// end first, and their ports close with the client that opened them.
    fn go_on(&mut self) {
        if self.shut {
            if !self.active.is_empty() {
                return;
            }
            self.shut = false;
            let fresh = client(&self.options, &self.steward);
            let old = std::mem::replace(&mut self.client, fresh);
            self.tasks.spawn(async move { old.close().await });
        }
        let waiting = std::mem::take(&mut self.again);
        waiting.into_iter().for_each(|id| self.start(id));
    }

    pub(super) fn problem(&mut self, text: String) {
        tracing::warn!(%text, "a record of ours");
        if self.problems.len() < PROBLEMS_MAX && !self.problems.contains(&text) {
            self.problems.push(text);
        }
    }

    fn repaired(&mut self, what: &str) {
        self.problem(what.to_owned());
        self.note(Happening::Repaired {
            what: what.to_owned(),
        });
    }

    /// The hours that downloads wait for; none: they may run.
    fn waits_for(&self) -> Option<Hours> {
        let hours = self.options.download_hours;
        let early = !hours.contain(self.options.conditions.minute());
        early.then_some(hours)
    }

    /// Stops what runs at the wrong hour, or where there is no room for it.
    fn keep_hours_and_room(&mut self) {
        let early = self.waits_for().is_some();
        let disks = &self.disks;
        let must_rest = |item: &Item| early || disks.low(&item.wanted.folder).is_some();
        let orders = self.queue.rest(must_rest);
        self.dirty |= !orders.is_empty();
        for order in orders {
            self.obey(Some(order));
        }
    }

    fn look_at_disks(&mut self) {
        let folders = self.queue.pending().map(|item| &*item.wanted.folder);
        let kept_free = self.steward.disk_rules().free_bytes;
        let conditions = &self.options.conditions;
        self.disks
            .look(folders, kept_free, |folder| conditions.free(folder));
    }

    fn next_order(&mut self) -> Option<Order> {
        if self.waits_for().is_some() {
            return None;
        }
        let disks = &self.disks;
        let has_room = |item: &Item| disks.low(&item.wanted.folder).is_none();
        self.queue
            .next_order(self.options.jobs, UnixTime::now(), has_room)
    }

    fn carry_out(&mut self) {
        self.keep_hours_and_room();
        while let Some(order) = self.next_order() {
            self.dirty = true;
            self.obey(Some(order));
        }
        if self.dirty {
            self.save();
        }
    }

    fn save(&mut self) {
        match self.queue_file.save(&self.queue) {
            Ok(()) => (self.dirty, self.unsaved) = (false, None),
            Err(error) => {
                self.unsaved = Some(error.to_string());
                self.problem(error.to_string());
            }
        }
    }

    fn start(&mut self, id: DownloadId) {
        if self.active.contains_key(&id) || self.shut {
            // The run before has not let go of the file, or a port is about to close.
            self.again.insert(id);
        } else if self.queue.is_shared(id) {
            self.share_again(id);
        } else {
            self.download_now(id);
        }
    }

    /// Shares a complete file that an earlier run has left.
    fn share_again(&mut self, id: DownloadId) {
        let Some(file) = self.shared.file(id).cloned() else {
            self.unshare(id);
            return;
        };
        let name = file.kept.file.file_name().unwrap_or_default();
        let task = self.begin(id, name.to_string_lossy().into_owned());
        self.tasks.spawn(task.share_again(file));
    }

    /// Notes that a file is no longer shared.
    fn unshare(&mut self, id: DownloadId) {
        self.change(|queue| queue.sharing_ended(id));
        if let Err(error) = self.shared.forget(id) {
            self.problem(error.to_string());
        }
    }

    /// Lets go of the files that were not asked for longest, where the cache is too full.
    fn keep_quota(&mut self) {
        let quota = self.steward.disk_rules().cache_bytes;
        for id in self.shared.too_many(quota) {
            let why = format!("the cache is full: {} MB are allowed", quota / 1_000_000);
            if let Some(active) = self.active.get(&id) {
                active.stop.cancel();
            }
            self.note_end_of_sharing(id, why);
        }
    }

    fn download_now(&mut self, id: DownloadId) {
        let Some(item) = self.queue.item(id) else {
            return;
        };
        let mut request = match super::task::request(&item.wanted) {
            Ok(request) => request,
            Err(error) => {
                self.queue.failed(id, error.to_string(), UnixTime::now());
                return;
            }
        };
        let first = request.urls.first().map(shown_url).unwrap_or_default();
        let name = first.rsplit('/').next().unwrap_or_default().to_owned();
        self.note(Happening::DownloadStarted {
            name: name.clone(),
            url: first,
        });
        request.keep = Some(self.shared.base(id));
        let task = self.begin(id, name);
        self.tasks.spawn(task.run(request));
    }

    /// A new run of a download, among those that are active.
    fn begin(&mut self, id: DownloadId, name: String) -> Task {
        let stop = self.stop.child_token();
        let active = Active {
            stop: stop.clone(),
            object: None,
            snapshot: Snapshot::default(),
            received: 0,
            uploaded_noted: 0,
            name,
            explanation: None,
        };
        self.active.insert(id, active);
        Task {
            id,
            client: self.client.clone(),
            consents: Consents::at(self.options.home.consent()),
            policy_file: self.options.policy_file.clone(),
            news: self.news.clone(),
            stop,
        }
    }

    fn note_pause(&mut self, open: &mut bool, state: &crate::steward::SharingState) {
        self.note_listening();
        let why: Vec<String> = state.pauses.iter().map(ToString::to_string).collect();
        // Only what shares has something to pause.
        let shares = !self.listening.is_empty();
        if shares && why.is_empty() && !*open {
            self.note(Happening::Resumed {
                why: "nothing stands against it".to_owned(),
            });
        } else if shares && !why.is_empty() {
            self.note(Happening::Paused {
                why: why.join("; "),
            });
        }
        *open = why.is_empty();
    }

    /// Notes which ports are open, when that has changed.
    fn note_listening(&mut self) {
        let sockets = self.client.listening();
        if sockets != self.listening {
            self.listening.clone_from(&sockets);
            self.note(Happening::Listening { sockets });
        }
    }

    /// Looks after what changes by itself. True: somebody needs the service.
    fn look_around(&mut self) -> bool {
        self.write_notes();
        self.look_at_disks();
        self.keep_quota();
        self.note_listening();
        for aside in self.steward.budget().moved_aside() {
            self.repaired(&format!(
                "the counts of what was sent were damaged; they were moved to {}",
                aside.display()
            ));
        }
        let needed = self.needed();
        if needed {
            self.used = Instant::now();
        }
        needed
    }

    fn needed(&self) -> bool {
        let home = &self.options.home;
        let applications = Applications::of(home).list();
        // What cannot be read is no reason to leave.
        let registered = applications.map_or(true, |list| !list.is_empty());
        let consents = Consents::at(home.consent()).standing();
        let agreed = consents.map_or(true, |answers| {
            answers
                .iter()
                .any(|answer| answer.share == Agreed::InBackground)
        });
        registered || agreed || self.queue.is_busy() || !self.active.is_empty()
    }

    fn is_idle(&self) -> bool {
        self.used.elapsed() >= self.options.idle
    }
}
