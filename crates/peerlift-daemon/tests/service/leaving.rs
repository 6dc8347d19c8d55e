//! When it ends, and when it does not begin.

use std::fs;
use std::time::Duration;

use peerlift_daemon::SystemLog;
use peerlift_daemon::activity::{ActivityLog, Happening};
use peerlift_daemon::applications::{Application, Applications};
use peerlift_daemon::home::Home;
use peerlift_daemon::service::{Options, ServiceError, run};
use peerlift_daemon::time::UnixTime;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::running::{Running, options};

#[tokio::test]
async fn nobody_needs_it_and_it_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options {
        idle: Duration::ZERO,
        ..options(folder.path())
    };
    let home = options.home.clone();
    let why = run(options, CancellationToken::new(), || ()).await.unwrap();
    assert!(why.contains("nobody needs it"), "{why}");
    let log = ActivityLog::at(home.activity(), SystemLog::of_machine());
    let entries = log.check().unwrap().entries;
    assert!(
        matches!(&entries.last().unwrap().what, Happening::Stopped { why } if why.contains("nobody"))
    );
}

#[tokio::test]
async fn it_stays_for_an_application_and_a_consent() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::below(folder.path());
    let at_once = || Options {
        idle: Duration::ZERO,
        ..options(folder.path())
    };
    let application = Application {
        id: "org.a".to_owned(),
        name: "A game".to_owned(),
        program: None,
        since: UnixTime::now(),
    };
    let applications = Applications::of(&home);
    applications.register(application).unwrap();
    let key = format!("/v1/consents/{}", "ab".repeat(32));
    let answer = |agreed| Some(json!({"agreed": agreed, "asked_by": "a test", "text": "?"}));
    let service = Running::start_with(at_once()).await;
    service.ask("PUT", &key, answer("in-background")).await;
    // Nobody is asked whether Peerlift is to go: this one never was the last.
    applications.release("org.a").unwrap();
    service.ask("GET", "/v1/status", None).await;
    service.ask("PUT", &key, answer("off")).await;
    let why = service.task.await.unwrap().unwrap();
    assert!(why.contains("nobody needs it"), "{why}");
}

#[tokio::test]
async fn a_removal_and_an_administrator_keep_it_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::below(folder.path());
    fs::write(
        folder.path().join("policy.toml"),
        "allowed = false\ncontact = \"ask Kim\"\n",
    )
    .unwrap();
    let ended = run(options(folder.path()), CancellationToken::new(), || ()).await;
    assert!(ended.unwrap_err().to_string().contains("ask Kim"));
    fs::create_dir_all(home.marker.parent().unwrap()).unwrap();
    fs::write(&home.marker, "").unwrap();
    let ended = run(options(folder.path()), CancellationToken::new(), || ()).await;
    assert!(matches!(ended, Err(ServiceError::Removed)));
    assert!(
        !home.data.exists() && !home.runtime.exists(),
        "nothing came back"
    );
}

#[tokio::test]
async fn a_removal_from_within_ends_the_service_and_is_honoured() {
    let folder = tempfile::tempdir().unwrap();
    let service = Running::start(folder.path()).await;
    let unsure = Some(json!({"confirm": false}));
    assert_eq!(service.refused("POST", "/v1/remove", unsure).await, 400);
    service
        .ask("POST", "/v1/remove", Some(json!({"confirm": true})))
        .await;
    let why = service.task.await.unwrap().unwrap();
    assert_eq!(why, "it was removed");
    let home = Home::below(folder.path());
    assert!(home.marker.exists() && !home.data.exists());
    let again = run(options(folder.path()), CancellationToken::new(), || ()).await;
    assert!(matches!(again, Err(ServiceError::Removed)));
}

#[tokio::test]
async fn with_the_last_application_it_removes_itself() {
    let folder = tempfile::tempdir().unwrap();
    let service = Running::start(folder.path()).await;
    for id in ["org.a", "org.b"] {
        let application = json!({"id": id, "name": "A game"});
        service
            .ask("POST", "/v1/applications", Some(application))
            .await;
    }
    let released = service.ask("DELETE", "/v1/applications/org.a", None).await;
    assert_eq!(released["last"], false);
    let released = service.ask("DELETE", "/v1/applications/org.b", None).await;
    assert_eq!(released["last"], true);
    assert_eq!(service.task.await.unwrap().unwrap(), "it was removed");
    let home = Home::below(folder.path());
    assert!(home.marker.exists() && !home.data.exists());
}
