//! A background service that runs in the test's process, and what it is asked.

use std::path::Path;
use std::time::Duration;

use peerlift_daemon::SystemLog;
use peerlift_daemon::home::Home;
use peerlift_daemon::machine::{Conditions, Hours, PauseRules};
use peerlift_daemon::service::{Local, LocalError, Options, ServiceError, run};
use peerlift_daemon::steward::ShareRules;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) struct Running {
    pub(crate) local: Local,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<Result<&'static str, ServiceError>>,
}

pub(crate) fn options(root: &Path) -> Options {
    Options {
        home: Home::below(root),
        rules: ShareRules {
            pause: PauseRules {
                metered: false,
                ..PauseRules::default()
            },
            ..ShareRules::default()
        },
        jobs: 1,
        download_hours: Hours::Always,
        idle: Duration::from_secs(3600),
        settings: root.join("config.toml"),
        policy_file: root.join("policy.toml"),
        conditions: Conditions::below(root),
        system: SystemLog::at("/nonexistent".into(), "/nonexistent".into()),
        started_by: "a test".to_owned(),
    }
}

impl Running {
    pub(crate) async fn start(root: &Path) -> Self {
        Self::start_with(options(root)).await
    }

    pub(crate) async fn start_with(options: Options) -> Self {
        let (sender, ready) = oneshot::channel();
        let stop = CancellationToken::new();
        let local = Local::of(&options.home);
        let task = tokio::spawn(run(options, stop.clone(), move || sender.send(()).unwrap()));
        ready.await.expect("the service starts");
        Self { local, stop, task }
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, content: Option<Value>) -> Value {
        self.local.ask(method, path, content).await.unwrap()
    }

    pub(crate) async fn refused(&self, method: &str, path: &str, content: Option<Value>) -> u16 {
        match self.local.ask(method, path, content).await {
            Err(LocalError::Refused { status, .. }) => status,
            other => panic!("{method} {path}: {other:?}"),
        }
    }

    pub(crate) async fn end(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

pub(crate) fn wanted(folder: &Path) -> Option<Value> {
    // Port 9 of this machine refuses, or nobody answers: it fails or waits, and needs no network.
    Some(
        json!({"urls": ["http://127.0.0.1:9/a"], "folder": folder, "not_before": "2099-01-01T00:00:00Z"}),
    )
}
