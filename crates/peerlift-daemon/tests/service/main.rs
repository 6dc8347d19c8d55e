//! The background service from outside, in this process: its API, its socket, its queue on disk.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod leaving;
mod records;
mod running;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use peerlift_daemon::home::Home;
use peerlift_daemon::machine::{Conditions, MinuteOfDay};
use peerlift_daemon::service::{Options, ROUTES, run};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use running::{Running, options, wanted};

#[test]
fn the_document_describes_exactly_what_is_answered() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/local-api.openapi.json");
    let document: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let mut described: Vec<(String, String)> = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let methods = methods.as_object().unwrap().keys();
        described.extend(methods.map(|method| (path.clone(), method.to_uppercase())));
    }
    let mut answered: Vec<(String, String)> = ROUTES
        .iter()
        .map(|route| (route.path.to_owned(), route.method.to_owned()))
        .collect();
    described.sort();
    answered.sort();
    assert_eq!(described, answered);
}

#[tokio::test]
async fn every_route_answers() {
    let folder = tempfile::tempdir().unwrap();
    let service = Running::start(folder.path()).await;
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/local-api.openapi.json");
    let document: Value = serde_json::from_slice(&fs::read(document).unwrap()).unwrap();
    let key = "ab".repeat(32);
    for route in ROUTES.iter().filter(|route| route.path != "/v1/stop") {
        let path = route.path.replace("{publisher}", &key).replace("{id}", "1");
        let answer = service
            .local
            .request(route.method, &path, Some(json!({})))
            .await
            .unwrap();
        assert_ne!(answer.status, 405, "{path}");
        assert_ne!(answer.status, 500, "{path}: {}", answer.value);
        // What is answered well has the members that the document names, and no others.
        let described = &document["paths"][route.path][route.method.to_lowercase()]["responses"]["200"]
            ["content"]["application/json"]["schema"]["$ref"];
        let Some(name) = described.as_str().and_then(|text| text.rsplit('/').next()) else {
            continue;
        };
        if answer.status == 200 {
            let properties = document["components"]["schemas"][name]["properties"]
                .as_object()
                .unwrap();
            for member in answer.value.as_object().unwrap().keys() {
                assert!(
                    properties.contains_key(member),
                    "{name}.{member} is not described"
                );
            }
        }
    }
    service.end().await;
}

#[tokio::test]
async fn downloads_are_queued_paused_and_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let service = Running::start(folder.path()).await;
    assert_eq!(
        service
            .ask("POST", "/v1/downloads", wanted(folder.path()))
            .await["id"],
        1
    );
    let state = |value: Value| value["state"].as_str().unwrap().to_owned();
    assert_eq!(
        state(service.ask("GET", "/v1/downloads/1", None).await),
        "waiting"
    );
    service.ask("POST", "/v1/downloads/1/pause", None).await;
    assert_eq!(
        state(service.ask("GET", "/v1/downloads/1", None).await),
        "paused"
    );
    service.ask("POST", "/v1/downloads/1/resume", None).await;
    let high = Some(json!({"priority": "high"}));
    service.ask("PUT", "/v1/downloads/1/priority", high).await;
    let download = service.ask("GET", "/v1/downloads/1", None).await;
    assert_eq!(download["wanted"]["priority"], "high");
    let awaited = Some(json!({"foreground": true}));
    let path = "/v1/downloads/1/foreground";
    service.ask("PUT", path, awaited.clone()).await;
    let download = service.ask("GET", "/v1/downloads/1", None).await;
    assert_eq!(download["wanted"]["foreground"], true);
    assert_eq!(service.refused("PUT", path, Some(json!({}))).await, 400);
    let unknown = "/v1/downloads/2/foreground";
    assert_eq!(service.refused("PUT", unknown, awaited).await, 404);
    service.ask("DELETE", "/v1/downloads/1", None).await;
    assert_eq!(service.refused("GET", "/v1/downloads/1", None).await, 404);
    service.end().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let service = Running::start(folder.path()).await;
    for (method, path, content, status) in [
        ("GET", "/v1/nothing", None, 404),
        ("GET", "/", None, 404),
        ("DELETE", "/v1/status", None, 405),
        ("POST", "/v1/downloads", None, 400),
        (
            "POST",
            "/v1/downloads",
            Some(json!({"urls": [], "folder": "/tmp"})),
            400,
        ),
        (
            "POST",
            "/v1/downloads",
            Some(json!({"urls": ["file:///etc/passwd"], "folder": "/tmp"})),
            400,
        ),
        (
            "POST",
            "/v1/downloads",
            Some(json!({"urls": ["http://h/a"], "folder": "here"})),
            400,
        ),
        (
            "POST",
            "/v1/downloads",
            Some(json!({"urls": ["http://h/a"], "folder": "/", "x": 1})),
            400,
        ),
        (
            "POST",
            "/v1/downloads",
            Some(json!("x".repeat(100_000))),
            413,
        ),
        ("POST", "/v1/downloads/9/pause", None, 404),
        ("POST", "/v1/downloads/nine/pause", None, 400),
        (
            "PUT",
            "/v1/consents/zz",
            Some(json!({"agreed": "off", "asked_by": "", "text": ""})),
            400,
        ),
        ("DELETE", "/v1/applications/org.none", None, 404),
    ] {
        assert_eq!(
            service.refused(method, path, content).await,
            status,
            "{method} {path}"
        );
    }
    service.end().await;
}

#[tokio::test]
async fn downloads_wait_for_their_hours() {
    static HOUR: AtomicU16 = AtomicU16::new(12);
    let clock = || MinuteOfDay::at(HOUR.load(Ordering::Relaxed), 0).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let service = Running::start_with(Options {
        download_hours: "22:00-06:00".parse().unwrap(),
        conditions: Conditions::below(folder.path()).with_clock(clock),
        ..options(folder.path())
    })
    .await;
    let wanted = json!({"urls": ["http://127.0.0.1:9/a"], "folder": folder.path()});
    service.ask("POST", "/v1/downloads", Some(wanted)).await;
    let status = service.ask("GET", "/v1/status", None).await;
    assert_eq!(
        (&status["downloads_wait_for"], &status["waiting"]),
        (&json!("22:00-06:00"), &json!(1))
    );
    HOUR.store(23, Ordering::Relaxed);
    // Whatever is asked, the queue is looked at.
    let status = service.ask("GET", "/v1/status", None).await;
    assert_eq!(status["downloads_wait_for"], Value::Null);
    let download = service.ask("GET", "/v1/downloads/1", None).await;
    assert_ne!(download["state"], "waiting");
    service.end().await;
}

#[tokio::test]
async fn downloads_wait_for_room_and_say_so() {
    static FREE: AtomicU64 = AtomicU64::new(1_000_000);
    let disks = |_: &Path| Some(FREE.load(Ordering::Relaxed));
    let folder = tempfile::tempdir().unwrap();
    let service = Running::start_with(Options {
        conditions: Conditions::below(folder.path()).with_disks(disks),
        ..options(folder.path())
    })
    .await;
    let now = json!({"urls": ["http://127.0.0.1:9/a"], "folder": folder.path()});
    service.ask("POST", "/v1/downloads", Some(now)).await;
    let download = service.ask("GET", "/v1/downloads/1", None).await;
    assert_eq!(download["state"], "waiting");
    let why = download["waits_for"].as_str().unwrap();
    assert!(why.contains("nearly full: 1 MB are free, 250 MB"), "{why}");
    FREE.store(u64::MAX, Ordering::Relaxed);
    // Whatever is added, the disks are looked at.
    let later = wanted(folder.path());
    service.ask("POST", "/v1/downloads", later).await;
    let download = service.ask("GET", "/v1/downloads/1", None).await;
    assert_ne!(download["state"], "waiting");
    assert_eq!(download["waits_for"], Value::Null);
    service.end().await;
}

#[tokio::test]
async fn settings_hold_from_now_on_and_are_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let clock = || MinuteOfDay::at(12, 0).unwrap();
    let service = Running::start_with(Options {
        conditions: Conditions::below(folder.path()).with_clock(clock),
        ..options(folder.path())
    })
    .await;
    let new = json!({
        "share": {"pause": {"metered": false}, "disk": {"cache-bytes": 7, "free-bytes": 0}},
        "download-hours": "22:00-06:00",
    });
    service.ask("PUT", "/v1/settings", Some(new)).await;
    let settings = service.ask("GET", "/v1/settings", None).await;
    assert_eq!(settings["share"]["disk"]["cache-bytes"], 7);
    assert_eq!(settings["download-hours"], "22:00-06:00");
    let status = service.ask("GET", "/v1/status", None).await;
    assert_eq!(status["downloads_wait_for"], "22:00-06:00");
    let sharing = service.ask("GET", "/v1/sharing", None).await;
    assert_eq!(
        (&sharing["disk"]["cache-bytes"], &sharing["cached"]),
        (&json!(7), &json!(0))
    );
    let file = fs::read_to_string(folder.path().join("config.toml")).unwrap();
    assert!(
        file.contains("background-hours = \"22:00-06:00\""),
        "{file}"
    );
    for wrong in [
        json!({"download-hours": "6-22"}),
        json!({"share": {"disk": {"x": 1}}}),
    ] {
        assert_eq!(
            service.refused("PUT", "/v1/settings", Some(wrong)).await,
            400
        );
    }
    service.end().await;
}

#[tokio::test]
async fn a_second_service_says_that_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let service = Running::start(folder.path()).await;
    let second = run(options(folder.path()), CancellationToken::new(), || ()).await;
    let error = second.unwrap_err().to_string();
    assert!(
        error.contains(&format!("process {}", std::process::id())),
        "{error}"
    );
    // And the first one is none the worse for it.
    service.ask("GET", "/v1/status", None).await;
    service.end().await;
}

#[tokio::test]
async fn only_the_user_can_open_the_socket_and_it_goes_with_the_service() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::below(folder.path());
    let service = Running::start(folder.path()).await;
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home.socket()), 0o600);
    assert_eq!(mode(&home.runtime), 0o700);
    service.end().await;
    assert!(!home.socket().exists());
}

#[tokio::test]
async fn a_pause_is_seen_at_once_and_consents_are_noted() {
    let folder = tempfile::tempdir().unwrap();
    let service = Running::start(folder.path()).await;
    service.ask("POST", "/v1/sharing/pause", None).await;
    let status = service.ask("GET", "/v1/status", None).await;
    assert_eq!(
        (&status["sharing_paused"], &status["downloads_paused"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(status["pauses"][0]["reason"], "user");
    assert_eq!(
        status["listening"],
        json!([]),
        "nothing listens before a yes"
    );

    let key = "ab".repeat(32);
    let yes = json!({"agreed": "in-background", "asked_by": "a test", "text": "May we?"});
    service
        .ask("PUT", &format!("/v1/consents/{key}"), Some(yes))
        .await;
    let consents = service.ask("GET", "/v1/consents", None).await;
    assert_eq!(consents[0]["text"], "May we?");
    let activity = service.ask("GET", "/v1/activity", None).await;
    let last = activity["entries"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["kind"], &last["agreed"]),
        (&json!("consent"), &json!("in-background"))
    );
    assert_eq!(activity["intact"], true);
    service.end().await;
}

#[tokio::test]
async fn the_port_answers_only_who_knows_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    let service = Running::start(folder.path()).await;
    let opened = service.ask("POST", "/v1/port", None).await;
    let port = u16::try_from(opened["port"].as_u64().unwrap()).unwrap();
    let secret = opened["secret"].as_str().unwrap().to_owned();
    let ask = move |lines: String| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let request = format!("GET /v1/status HTTP/1.1\r\n{lines}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answers = tokio::task::spawn_blocking(move || {
        let host = format!("Host: 127.0.0.1:{port}\r\n");
        let knows = format!("Authorization: Bearer {secret}\r\n");
        [
            ask(format!("{host}{knows}")),
            ask(host.clone()),
            ask(format!("Host: evil.example\r\n{knows}")),
            ask(format!("{host}{knows}Origin: https://evil.example\r\n")),
        ]
    });
    let answers = answers.await.unwrap();
    let status: Vec<&str> = answers.iter().map(|answer| &answer[9..12]).collect();
    assert_eq!(status, ["200", "401", "403", "403"]);
    let head = answers[0].to_ascii_lowercase();
    assert!(
        head.contains("content-security-policy: default-src 'none'"),
        "{head}"
    );
    assert!(!head.contains("access-control-allow"), "{head}");
    // Asked again, it is the same port.
    assert_eq!(service.ask("POST", "/v1/port", None).await["port"], port);
    service.end().await;
}

#[tokio::test]
async fn settings_are_written_and_hold_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let service = Running::start(folder.path()).await;
    let mut share = service.ask("GET", "/v1/settings", None).await["share"].clone();
    share["limits"]["month-bytes"] = json!(7_000_000_000_u64);
    let answer = service
        .ask("PUT", "/v1/settings", Some(json!({"share": share})))
        .await;
    assert_eq!(answer["share"], share);
    let sharing = service.ask("GET", "/v1/sharing", None).await;
    assert_eq!(sharing["limits"]["month-bytes"], 7_000_000_000_u64);
    let file = folder.path().join("config.toml");
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.contains("month = \"7000000000\""), "{written}");

    for (member, nonsense) in [("uplink-percent", json!(0)), ("shaer", json!(true))] {
        let mut wrong = share.clone();
        wrong[member] = nonsense;
        let wrong = Some(json!({"share": wrong}));
        let status = service.refused("PUT", "/v1/settings", wrong).await;
        assert_eq!(status, 400, "{member}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), written);
    service.end().await;
}

#[tokio::test]
async fn whoever_has_an_answer_can_be_asked_again_in_the_same_words() {
    let folder = tempfile::tempdir().unwrap();
    let service = Running::start(folder.path()).await;
    assert_eq!(service.ask("GET", "/v1/questions", None).await, json!([]));
    let key = "ab".repeat(32);
    let answer = json!({"agreed": "in-background", "asked_by": "a test", "text": "May we?", "publisher_name": "Example OS"});
    let path = format!("/v1/consents/{key}");
    service.ask("PUT", &path, Some(answer)).await;
    let questions = service.ask("GET", "/v1/questions", None).await;
    assert_eq!(questions[0]["publisher"], key);
    assert_eq!(questions[0]["answer"], "in-background");
    for yes in ["while-downloading", "in-background"] {
        let text = questions[0]["texts"][yes].as_str().unwrap();
        assert!(
            text.contains("Example OS") && text.contains("IP address"),
            "{text}"
        );
    }
    service.end().await;
}
