//! Its records: over restarts, damaged, of a later version, and without room.

use std::fs;

use peerlift_daemon::home::Home;
use peerlift_daemon::service::{ServiceError, run};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::running::{Running, options, wanted};

#[tokio::test]
async fn a_damaged_queue_is_moved_aside_and_told_and_a_later_one_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::below(folder.path());
    fs::create_dir_all(&home.data).unwrap();
    fs::write(home.downloads(), "{\"version\":1,\"rec").unwrap();
    let service = Running::start(folder.path()).await;
    let status = service.ask("GET", "/v1/status", None).await;
    assert!(
        status["problems"][0]
            .as_str()
            .unwrap()
            .contains("damaged-1"),
        "{status}"
    );
    service.end().await;

    let later = "{\"version\":7,\"whatever\":true}";
    fs::write(home.downloads(), later).unwrap();
    let ended = run(options(folder.path()), CancellationToken::new(), || ()).await;
    assert!(matches!(ended, Err(ServiceError::State(_))), "{ended:?}");
    assert_eq!(fs::read_to_string(home.downloads()).unwrap(), later);
}

#[tokio::test]
async fn what_has_no_room_in_the_log_is_written_when_there_is_some() {
    let folder = tempfile::tempdir().unwrap();
    let service = Running::start(folder.path()).await;
    let in_the_way = Home::below(folder.path()).activity().join("activity.new");
    fs::create_dir(&in_the_way).unwrap();
    let app = |id: &str| Some(json!({"id": id, "name": "A game"}));
    service.ask("POST", "/v1/applications", app("org.a")).await;
    let status = service.ask("GET", "/v1/status", None).await;
    let problem = status["problems"][0].as_str().unwrap();
    assert!(problem.contains("activity"), "{problem}");
    fs::remove_dir(in_the_way).unwrap();
    service.ask("POST", "/v1/applications", app("org.b")).await;
    let activity = service.ask("GET", "/v1/activity", None).await;
    assert_eq!(activity["intact"], true);
    let entries = activity["entries"].as_array().unwrap();
    let apps: Vec<&Value> = entries.iter().map(|entry| &entry["app"]).collect();
    assert_eq!(apps[apps.len() - 2..], ["org.a", "org.b"]);
    let status = service.ask("GET", "/v1/status", None).await;
    assert_eq!(status["problems"], json!([]));
    service.end().await;
}

#[tokio::test]
async fn the_queue_outlives_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let service = Running::start(folder.path()).await;
    service
        .ask("POST", "/v1/downloads", wanted(folder.path()))
        .await;
    service.end().await;
    let service = Running::start(folder.path()).await;
    assert_eq!(
        service.ask("GET", "/v1/downloads/1", None).await["state"],
        "waiting"
    );
    assert_eq!(
        service
            .ask("POST", "/v1/downloads", wanted(folder.path()))
            .await["id"],
        2
    );
    service.end().await;
}

#[tokio::test]
async fn a_pause_outlives_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let paused = async |service: &Running| {
        let status = service.ask("GET", "/v1/status", None).await;
        [&status["sharing_paused"], &status["downloads_paused"]].map(|it| it.as_bool().unwrap())
    };
    for (path, expected) in [
        ("/v1/sharing/pause", [true, false]),
        ("/v1/pause", [true, true]),
        ("/v1/sharing/resume", [false, true]),
        ("/v1/resume", [false, false]),
    ] {
        let service = Running::start(folder.path()).await;
        service.ask("POST", path, None).await;
        service.end().await;
        let service = Running::start(folder.path()).await;
        assert_eq!(paused(&service).await, expected, "{path}");
        service.end().await;
    }
}

/// Each of its records, half of which is gone after a loss of power.
#[tokio::test]
async fn a_damaged_record_is_told_and_costs_no_other() {
    let key = "ab".repeat(32);
    for name in [
        "downloads.json",
        "shared.json",
        "applications.json",
        "counts.json",
        "consent.json",
        "activity/activity.head",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::below(folder.path());
        let service = Running::start(folder.path()).await;
        let yes = json!({"agreed": "in-background", "asked_by": "a test", "text": "?"});
        let consent = format!("/v1/consents/{key}");
        service.ask("PUT", &consent, Some(yes)).await;
        let app = json!({"id": "org.a", "name": "A game"});
        service.ask("POST", "/v1/applications", Some(app)).await;
        let later = wanted(folder.path());
        service.ask("POST", "/v1/downloads", later).await;
        service.end().await;

        let file = home.data.join(name);
        let whole = fs::read(&file).unwrap_or_else(|_| b"{\"version\":1,\"rec".to_vec());
        fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        let service = Running::start(folder.path()).await;
        let why = service.ask("GET", "/v1/why", None).await;
        let told = format!("{}{}", why["problems"], why["tampering"]);
        let stem = name.trim_start_matches("activity/");
        let stem = stem.split('.').next().unwrap();
        assert!(told.contains(stem), "{name}: {told}");

        let downloads = service.ask("GET", "/v1/downloads", None).await;
        let kept = usize::from(name != "downloads.json");
        assert_eq!(downloads.as_array().unwrap().len(), kept, "{name}");
        let applications = service.ask("GET", "/v1/applications", None).await;
        let kept = usize::from(name != "applications.json");
        assert_eq!(applications.as_array().unwrap().len(), kept, "{name}");
        if name == "consent.json" {
            // Never guessed at, and never written over.
            assert_eq!(service.refused("GET", "/v1/consents", None).await, 500);
            assert_eq!(fs::read(&file).unwrap(), &whole[..whole.len() / 2]);
        } else {
            let consents = service.ask("GET", "/v1/consents", None).await;
            assert_eq!(consents[0]["share"], "in-background", "{name}");
        }
        service.end().await;
    }
}
