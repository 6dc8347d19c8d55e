//! Publishes what is put into the folder, once it has been quiet for a moment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use peerlift_content::{is_sidecar, publishable_files};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::catalogue::{Catalogue, FileState};
use crate::config::{EdgeError, PublishFn};
use crate::handler::{below, is_gone};
use crate::metrics::Metrics;
use crate::path::is_servable;

/// How long a file must stay as it is before it is published: longer than the pauses of a copy
/// over a slow network, short enough for a person who waits.
const QUIET: Duration = Duration::from_secs(1);

/// Changes that wait to be looked at. When there are more, the whole folder is looked through.
const CHANGES_MAX: usize = 4096;

/// The task that keeps the catalogue true.
pub(crate) struct Watcher {
    root: PathBuf,
    publish: PublishFn,
    catalogue: Arc<Catalogue>,
    metrics: Metrics,
    changes: mpsc::Receiver<PathBuf>,
    /// Set when changes were lost.
    missed: Arc<AtomicBool>,
    /// Files that changed, in the state last seen, and when they are looked at again.
    restless: BTreeMap<PathBuf, (Option<FileState>, Instant)>,
    /// Ends with the task.
    _watch: RecommendedWatcher,
}

impl Watcher {
    /// Begins to watch the folder.
    pub(crate) fn new(
        root: PathBuf,
        publish: PublishFn,
        catalogue: Arc<Catalogue>,
        metrics: Metrics,
    ) -> Result<Self, EdgeError> {
        let (sender, changes) = mpsc::channel(CHANGES_MAX);
        let error = |source| EdgeError::Watch {
            path: root.clone(),
            source,
        };
        let missed = Arc::new(AtomicBool::new(false));
        let (lost, whole) = (Arc::clone(&missed), root.clone());
        let mut watch = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let paths = match event {
                Ok(event) if event.need_rescan() => {
                    lost.store(true, Ordering::Release);
                    vec![whole.clone()]
                }
                Ok(event) if event.kind.is_access() => return,
                Ok(event) => event.paths,
                Err(error) => {
                    tracing::warn!(%error, "changes to the folder were lost");
                    lost.store(true, Ordering::Release);
                    vec![whole.clone()]
                }
            };
            for path in paths {
                if sender.try_send(path).is_err() {
                    // The channel is full, so the mark is seen with what is in it.
                    lost.store(true, Ordering::Release);
                }
            }
        })
        .map_err(error)?;
        let error = |source| EdgeError::Watch {
            path: root.clone(),
            source,
        };
        watch
            .watch(&root, RecursiveMode::Recursive)
            .map_err(error)?;
        let restless = BTreeMap::new();
        Ok(Self {
            root,
            publish,
            catalogue,
            metrics,
            changes,
            missed,
            restless,
            _watch: watch,
        })
    }

    /// Publishes what lies in the folder, then what changes, until stopped.
    pub(crate) async fn run(mut self, ready: CancellationToken) {
        for path in self.scan(self.root.clone()).await {
            self.publish_now(path).await;
        }
        ready.cancel();
        loop {
            let due = self.restless.values().map(|(_, due)| *due).min();
            tokio::select! {
                change = self.changes.recv() => match change {
                    Some(path) => {
                        self.changed(path).await;
                        if self.missed.swap(false, Ordering::Acquire) {
                            self.all_changed().await;
                        }
                    }
                    None => return,
                },
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    self.look().await;
                }
            }
        }
    }

    /// Looks at everything that is there, and everything that was.
    async fn all_changed(&mut self) {
        let due = Instant::now() + QUIET;
        for name in self.catalogue.paths() {
            self.restless.insert(self.root.join(name), (None, due));
        }
        self.changed(self.root.clone()).await;
    }

    async fn changed(&mut self, path: PathBuf) {
        let is_folder = tokio::fs::symlink_metadata(&path)
            .await
            .is_ok_and(|m| m.is_dir());
        let files = if is_folder {
            self.scan(path).await
        } else {
            vec![path]
        };
        let due = Instant::now() + QUIET;
        for file in files {
            if self.concerns_us(&file) {
                self.restless.insert(file, (None, due));
            }
        }
    }

    /// Looks at the files whose time has come: the unchanged are published, the others wait on.
    async fn look(&mut self) {
        let now = Instant::now();
        let due: Vec<PathBuf> = self
            .restless
            .iter()
            .filter(|(_, (_, due))| *due <= now)
            .map(|(path, _)| path.clone())
            .collect();
        for path in due {
            let seen = self.restless.remove(&path).and_then(|(state, _)| state);
            match tokio::fs::symlink_metadata(&path).await {
                Ok(metadata) if metadata.is_file() => {
                    let state = FileState::of(&metadata);
                    if seen == Some(state) {
                        self.publish_now(path).await;
                    } else {
                        self.restless.insert(path, (Some(state), now + QUIET));
                    }
                }
                Err(error) if is_gone(&error) => self.forget(&path),
                Ok(_) | Err(_) => {}
            }
        }
    }

    async fn publish_now(&self, path: PathBuf) {
        let Some(name) = below(&self.root, &path) else {
            return;
        };
        let publish = Arc::clone(&self.publish);
        let file = path.clone();
        let work = tokio::task::spawn_blocking(move || {
            let state = FileState::of(&std::fs::metadata(&file)?);
            publish(&file)
                .map(|published| (state, published))
                .map_err(std::io::Error::other)
        });
        match work.await {
            Ok(Ok((state, published))) => {
                self.catalogue.publish(name, state, &published);
                tracing::info!(
                    file = %path.display(),
                    object = %published.manifest.root,
                    outcome = ?published.outcome,
                    "published"
                );
            }
            Ok(Err(error)) => tracing::warn!(file = %path.display(), %error, "cannot publish"),
            Err(error) => tracing::error!(file = %path.display(), %error, "publishing failed"),
        }
        self.measure();
    }

    fn forget(&self, path: &Path) {
        if let Some(name) = below(&self.root, path) {
            self.catalogue.forget(&name);
            self.measure();
        }
    }

    fn measure(&self) {
        self.metrics
            .published
            .set(i64::try_from(self.catalogue.len()).unwrap_or(i64::MAX));
    }

    async fn scan(&self, folder: PathBuf) -> Vec<PathBuf> {
        let root = folder.clone();
        let scan = tokio::task::spawn_blocking(move || publishable_files(&root));
        match scan.await {
            Ok(Ok(files)) => files,
            Ok(Err(error)) => {
                tracing::warn!(folder = %folder.display(), %error, "cannot look through");
                Vec::new()
            }
            Err(error) => {
                tracing::error!(%error, "looking through a folder failed");
                Vec::new()
            }
        }
    }

    /// Whether a file is to be published: visible, finished, and no sidecar of ours.
    fn concerns_us(&self, path: &Path) -> bool {
        let Some(name) = below(&self.root, path) else {
            return false;
        };
        let servable =
            |part: std::path::Component<'_>| part.as_os_str().to_str().is_some_and(is_servable);
        name.components().all(servable) && !is_sidecar(path)
    }
}
