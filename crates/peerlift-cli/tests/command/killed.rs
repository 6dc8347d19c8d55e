//! A background service that is killed at any instant of what it is asked to do, many times.
//!
//! What was answered must hold afterwards, what was not may hold or not, and no record may be damaged.
//! The instants come from a seed; `PEERLIFT_KILL_ROUNDS`, up to 40, makes more of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::common::answer::put_published;
use super::common::{Edge, MIB, World, noise};
use super::user::{Service, json as told, tree, wait_until};

/// How often it is killed.
const ROUNDS: u64 = 12;

/// Requests of a round, at most: a bound on queues and lists.
const REQUESTS_MAX: u64 = 25;

/// The longest time from the first request of a round to its end, which as many requests take.
const ROUND_MS_MAX: u64 = 400;

/// The longest time until a removal is killed: as long as it takes on a busy machine.
const REMOVAL_MS_MAX: u64 = 120;

/// How long a removal may take to begin.
const FIRST_STEP_MAX: Duration = Duration::from_secs(60);

/// Numbers from a seed (splitmix64, Steele et al. 2014).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Asks the service. `None`: it was killed before it answered.
fn ask(socket: &PathBuf, method: &str, path: &str, content: &Value) -> Option<Value> {
    let mut stream = UnixStream::connect(socket).ok()?;
    let body = content.to_string();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: peerlift\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    assert!(head.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    serde_json::from_str(body).ok()
}

/// What must be found afterwards.
#[derive(Default)]
struct Said {
    /// The downloads and whether they were to go first.
    downloads: BTreeMap<u64, Option<&'static str>>,
    applications: BTreeSet<String>,
    /// The last answer about a publisher; `None`: it may be either.
    consent: Option<&'static str>,
    month: Option<u64>,
}

/// Asks one thing after another until the service is gone, and keeps what was answered.
fn converse(world: &World, edge: &Edge, draw: &mut Draw, round: u64, said: &mut Said) {
    let socket = world.data("run/daemon.sock");
    let publisher = format!("/v1/consents/{}", "ab".repeat(32));
    for number in 0..REQUESTS_MAX {
        let done = match draw.below(5) {
            0 => {
                let urls = [edge.url("/f")];
                let folder = world.path(&format!("got/{round}-{number}"));
                fs::create_dir_all(&folder).unwrap();
                let wanted = json!({"urls": urls, "folder": folder});
                ask(&socket, "POST", "/v1/downloads", &wanted).map(|added| {
                    said.downloads.insert(added["id"].as_u64().unwrap(), None);
                })
            }
            1 => {
                let agreed = ["in-background", "off"][usize::from(number % 2 == 0)];
                let answer = json!({"agreed": agreed, "asked_by": "a test", "text": "?"});
                said.consent = None;
                let done = ask(&socket, "PUT", &publisher, &answer);
                done.map(|_| said.consent = Some(agreed))
            }
            2 => {
                let app = format!("org.example.a{round}.n{number}");
                let application = json!({"id": app, "name": app});
                let done = ask(&socket, "POST", "/v1/applications", &application);
                done.map(|_| {
                    said.applications.insert(app);
                })
            }
            3 => {
                let month = 1_000_000_000 * (1 + draw.below(9));
                let share = json!({"limits": {"month-bytes": month}, "pause": {"metered": false}});
                said.month = None;
                let done = ask(&socket, "PUT", "/v1/settings", &json!({"share": share}));
                done.map(|_| said.month = Some(month))
            }
            _ => {
                // Kept for later, so that it can still be changed.
                let wanted = json!({"urls": [edge.url("/f")], "folder": world.path(""),
                    "not_before": "2099-01-01T00:00:00Z"});
                let added = ask(&socket, "POST", "/v1/downloads", &wanted);
                added.and_then(|added| {
                    let id = added["id"].as_u64().unwrap();
                    said.downloads.insert(id, None);
                    let path = format!("/v1/downloads/{id}/priority");
                    let done = ask(&socket, "PUT", &path, &json!({"priority": "high"}));
                    done.map(|_| {
                        said.downloads.insert(id, Some("high"));
                    })
                })
            }
        };
        if done.is_none() {
            return;
        }
    }
}

/// Checks that all of it is there, and nothing damaged.
fn check(world: &World, said: &Said) {
    let status = told(world, &["status"]);
    assert_eq!(status["service"]["problems"], json!([]), "{status}");
    let activity = told(world, &["activity"]);
    assert_eq!(activity["intact"], true, "{}", activity["faults"]);
    let found = status["downloads"].as_array().unwrap();
    for (id, priority) in &said.downloads {
        let item = found.iter().find(|item| item["id"] == *id);
        let item = item.unwrap_or_else(|| panic!("download {id} is lost"));
        assert_ne!(item["state"], "failed", "{item}");
        if let Some(priority) = priority {
            assert_eq!(item["wanted"]["priority"], *priority, "{item}");
        }
    }
    let socket = world.data("run/daemon.sock");
    let get = |path| ask(&socket, "GET", path, &json!({})).unwrap();
    let applications = get("/v1/applications");
    for app in &said.applications {
        let mut all = applications.as_array().unwrap().iter();
        assert!(all.any(|one| one["id"] == app.as_str()), "{app} is lost");
    }
    if let Some(agreed) = said.consent {
        assert_eq!(get("/v1/consents")[0]["share"], agreed);
    }
    if let Some(month) = said.month {
        assert_eq!(get("/v1/settings")["share"]["limits"]["month-bytes"], month);
    }
}

#[test]
fn whenever_it_is_killed_what_it_said_holds() {
    let rounds = std::env::var("PEERLIFT_KILL_ROUNDS").map_or(ROUNDS, |text| text.parse().unwrap());
    let (world, publisher, edge) = (World::new(), World::new(), Edge::new());
    let bytes = noise(5 * MIB);
    put_published(&edge, "/f", &publisher.publish("f", &bytes));
    let (mut said, mut draw) = (Said::default(), Draw(0x6b69_6c6c));
    for round in 0..rounds {
        let service = Service::start(&world);
        check(&world, &said);
        let after = Duration::from_millis(draw.below(ROUND_MS_MAX));
        std::thread::scope(|scope| {
            scope.spawn(|| converse(&world, &edge, &mut draw, round, &mut said));
            // The instant is what is drawn; nothing is waited for.
            std::thread::sleep(after);
            service.running.signal(Signal::KILL);
        });
        service.running.wait();
    }
    let service = Service::start(&world);
    check(&world, &said);
    assert!(said.downloads.len() > 2, "too little was asked");
    let settled =
        |item: &Value| item["wanted"]["not_before"] != Value::Null || item["state"] == "done";
    let all_there = || {
        let status = told(&world, &["status"]);
        status["downloads"].as_array().unwrap().iter().all(settled)
    };
    wait_until(all_there);
    check(&world, &said);
    for folder in fs::read_dir(world.path("got")).into_iter().flatten() {
        let file = folder.unwrap().path().join("f");
        // One that was not answered may not have been queued.
        assert!(!file.exists() || fs::read(&file).unwrap() == bytes);
    }
    service.kill();
}

/// As after a crash between the last step of a download and the record of it.
#[test]
fn a_file_that_was_put_in_place_and_not_noted_counts_as_downloaded() {
    let (world, publisher, edge) = (World::new(), World::new(), Edge::new());
    let bytes = noise(MIB);
    put_published(&edge, "/f", &publisher.publish("f", &bytes));
    let mut other = bytes.clone();
    other[500_000] ^= 1;
    world.write("ours/f", &bytes);
    world.write("theirs/f", &other);
    let service = Service::start(&world);
    for folder in ["ours", "theirs"] {
        let folder = world.path(folder).display().to_string();
        world
            .run(["get", "--queue", &edge.url("/f"), "-o", &folder])
            .fine();
    }
    let states = || {
        let status = told(&world, &["status"]);
        [0, 1].map(|number| status["downloads"][number].clone())
    };
    wait_until(|| states().iter().all(|item| item["ended"] != Value::Null));
    let [ours, theirs] = states();
    assert_eq!(ours["state"], "done", "{ours}");
    assert_eq!(theirs["state"], "failed", "{theirs}");
    assert!(
        theirs["why"].as_str().unwrap().contains("exists already"),
        "{theirs}"
    );
    assert_eq!(world.read("theirs/f"), other);
    // Nothing was fetched but the first byte, to know what it is.
    assert!(edge.sent("/f") < 100, "{}", edge.sent("/f"));
    service.kill();
}

/// A removal that was killed is undone as a whole, or honoured, and finished by the next one.
#[test]
fn a_removal_that_is_killed_is_none_or_is_honoured() {
    let mut draw = Draw(0x7265_6d76);
    for round in 0..ROUNDS {
        let world = World::new();
        world.run(["app", "register", "org.example.game"]).fine();
        let before = tree(&world.data(""));
        let marker = world.root().join("config/peerlift-removed");
        let (tell, told_of) = mpsc::channel();
        let mut watcher = notify::recommended_watcher(tell).unwrap();
        let folder = marker.parent().unwrap();
        fs::create_dir_all(folder).unwrap();
        watcher.watch(folder, RecursiveMode::NonRecursive).unwrap();
        let removing = world.start(["uninstall", "--yes"]);
        if round % 2 == 0 {
            // The first step leaves the marker.
            while !marker.exists() {
                let changed = told_of.recv_timeout(FIRST_STEP_MAX);
                changed.expect("a removal begins").unwrap();
            }
        } else {
            // The instant is what is drawn; nothing is waited for.
            std::thread::sleep(Duration::from_millis(draw.below(REMOVAL_MS_MAX)));
        }
        removing.signal(Signal::KILL);
        removing.wait();
        if marker.exists() {
            for words in [&["daemon"][..], &["app", "register", "org.example.other"]] {
                world.run(words).failed(1, &["removed", "--allow-again"]);
            }
        } else {
            assert_eq!(tree(&world.data("")), before);
        }
        let removal = told(&world, &["uninstall", "--yes"]);
        assert_eq!(removal["failed"], json!([]));
        assert!(!world.data("").exists());
    }
}
