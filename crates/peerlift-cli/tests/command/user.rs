//! What whoever has Peerlift on their machine can ask and do: `docs/user-guide.md` is what it is
//! held to.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use serde_json::Value;

use super::common::disk::Disk;
use super::common::{File, KIB, MIB, Running, Serving, World, noise};

/// A background service, ready.
pub(crate) struct Service {
    pub(crate) running: Running,
}

impl Service {
    pub(crate) fn start(world: &World) -> Self {
        Self::start_with(world, &["--idle", "1h"])
    }

    pub(crate) fn start_with(world: &World, options: &[&str]) -> Self {
        let mut running = world.start([&["daemon", "--json"], options].concat());
        running.event("ready");
        Self { running }
    }

    pub(crate) fn kill(self) {
        self.running.signal(Signal::KILL);
        self.running.wait();
    }
}

/// Waits for something that nobody tells of; bounded by the patience with all processes.
#[track_caller]
pub(crate) fn wait_until(there: impl Fn() -> bool) {
    for _ in 0..600 {
        if there() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("it never came to be");
}

pub(crate) fn json(world: &World, args: &[&str]) -> Value {
    let text = world.run([args, &["--json"]].concat()).fine().text();
    serde_json::from_str(&text).expect(&text)
}

/// Everything below a folder: what it is and what it holds.
pub(crate) fn tree(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let is_folder = path.symlink_metadata().unwrap().is_dir();
            let holds = if path.symlink_metadata().unwrap().is_file() {
                fs::read(&path).unwrap()
            } else {
                Vec::new()
            };
            found.insert(path.clone(), holds);
            if is_folder {
                waiting.push(path);
            }
        }
    }
    found
}

/// Processes whose environment names this world's home.
fn processes(world: &World) -> Vec<String> {
    let home = world.root().display().to_string();
    let own = fs::metadata("/proc/self").unwrap().uid();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let path = entry.path();
        let is_ours = path.metadata().is_ok_and(|metadata| metadata.uid() == own);
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        if is_ours && String::from_utf8_lossy(&environment).contains(&home) {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn a_stranger_gets_every_answer_and_asking_leaves_nothing_behind() {
    let world = World::new();
    let before = tree(world.root());
    for command in [
        "why",
        "status",
        "share",
        "activity",
        "explain",
        "doctor",
        "verify-install",
    ] {
        let said = world.run([command]).fine().text();
        assert!(!said.is_empty(), "{command}");
        json(&world, &[command]);
    }
    let why = world.run(["why"]).fine().text();
    for answer in [
        "downloads large files",
        "does not run in the background",
        "sends nothing",
        "uninstall",
    ] {
        assert!(why.contains(answer), "{answer:?} is not in {why}");
    }
    assert_eq!(tree(world.root()), before, "asking is not using");
}

#[test]
fn a_download_is_noted_and_an_edited_log_is_told() {
    let world = World::new();
    let edge = super::common::Edge::new();
    edge.put("/a", File::new(&noise(100 * KIB)));
    world.get([edge.url("/a")]).fine();
    let activity = json(&world, &["activity"]);
    let kinds: Vec<&str> = { activity["entries"].as_array().unwrap() }
        .iter()
        .map(|entry| entry["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["installed", "downloaded"]);
    assert_eq!(activity["intact"], true);

    let log = world.data("activity/activity-0000000001.log");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replace("102400", "102401")).unwrap();
    let ended = world.run(["activity"]);
    assert_eq!(ended.status.code(), Some(5), "{}", ended.text());
    assert!(ended.text().contains("CAUTION"), "{}", ended.text());
    assert!(world.run(["why"]).fine().text().contains("CAUTION"));
    assert_eq!(world.run(["verify-install"]).status.code(), Some(1));
}

#[test]
fn a_file_is_explained_and_a_stranger_is_not() {
    let world = World::new();
    assert_eq!(json(&world, &["explain"]), serde_json::json!([]));
    let edge = super::common::Edge::new();
    edge.put("/a", File::new(&noise(100 * KIB)));
    world.get([edge.url("/a?token=secret")]).fine();
    let told = json(&world, &["explain", "a"]);
    let part = &told["parts"][0];
    assert_eq!(told["parts"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(
        (&part["kind"], &part["why"]),
        (&"edge".into(), &"alone".into())
    );
    assert_eq!(part["ranges"], serde_json::json!([[0, 100 * KIB]]));
    let path = world.path("a").display().to_string();
    for name in ["a", path.as_str()] {
        let text = world.run(["explain", name]).fine().text();
        assert!(text.contains("nobody else was there to ask"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }
    world
        .run(["explain", "b"])
        .failed(2, &["nothing is known about b"]);
}

#[test]
fn a_download_of_the_service_is_explained_by_its_number() {
    let world = World::new();
    let edge = super::common::Edge::new();
    edge.put("/a", File::new(&noise(100 * KIB)));
    let service = Service::start(&world);
    world.run(["get", &edge.url("/a"), "--queue"]).fine();
    wait_until(|| json(&world, &["status"])["downloads"][0]["state"] == "done");
    assert_eq!(json(&world, &["explain", "1"])["name"], "a");
    service.kill();
}

#[test]
fn the_doctor_looks_at_server_control_node_and_clock() {
    let publisher = World::new();
    publisher.write("site/a", &noise(100 * KIB));
    let serving = Serving::folder(&publisher, "site", &[]);
    serving.ask_until_found("/a.peerlift");
    let world = World::new();
    let looked = |url: &str| {
        let ended = world.run(["doctor", url, "--json"]);
        let text = ended.text();
        let findings: Vec<Value> = serde_json::from_str(&text).expect(&text);
        findings
    };
    let found = looked(&serving.url("/a"));
    let verdict = |what: &str| {
        let finding = found.iter().find(|finding| finding["what"] == what);
        finding.unwrap_or_else(|| panic!("{what}: {found:?}"))["verdict"].clone()
    };
    for what in [
        "server",
        "control node",
        "clock",
        "NAT",
        "firewall",
        "proxy",
        "disk",
    ] {
        assert_eq!(verdict(what), "good", "{what}: {found:?}");
    }
    drop(serving);
    let found = looked("http://127.0.0.1:9/a");
    let server = found.iter().find(|finding| finding["what"] == "server");
    assert_eq!(server.unwrap()["verdict"], "bad", "{found:?}");
}

#[test]
fn the_panel_starts_the_service_with_the_named_settings() {
    let world = World::new();
    let settings = world.write("mine.toml", b"[share]\nratio = 0.5\n");
    let settings = settings.display().to_string();
    let opened = json(&world, &["panel", "--no-open", "--config", &settings]);
    assert_eq!(opened["opened"], false);
    let link = opened["url"].as_str().unwrap();
    assert!(link.starts_with("http://127.0.0.1:"), "{link}");
    let again = json(&world, &["panel", "--no-open"]);
    assert_ne!(again["url"], link, "a link opens the panel once");
    assert_eq!(json(&world, &["status"])["running"], true);

    let mut socket = UnixStream::connect(world.data("run/daemon.sock")).unwrap();
    let request = "GET /v1/settings HTTP/1.1\r\nHost: peerlift\r\nConnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let told: Value = serde_json::from_str(body).expect(&answer);
    assert_eq!(told["file"], settings.as_str());
    assert_eq!(told["share"]["limits"]["ratio"], 0.5);
    world.run(["daemon", "--stop"]).fine();

    world.run(["uninstall", "--yes"]).fine();
    world
        .run(["panel", "--no-open"])
        .failed(1, &["removed", "--allow-again"]);
}

#[test]
fn there_is_one_service_and_it_ends_when_told() {
    let world = World::new();
    let service = Service::start(&world);
    assert_eq!(json(&world, &["status"])["running"], true);
    world
        .run(["daemon"])
        .failed(1, &["runs already", "process"]);
    world.run(["daemon", "--stop"]).fine();
    let ended = service.running.wait().fine().event("ended");
    assert_eq!(ended["why"], "it was told to");
    assert_eq!(json(&world, &["status"])["running"], false);
    world
        .run(["pause"])
        .failed(1, &["nothing runs in the background", "Ctrl-C"]);
}

#[test]
fn nobody_needs_it_and_it_leaves() {
    let world = World::new();
    let service = Service::start_with(&world, &["--idle", "0s"]);
    let why = service.running.wait().fine().event("ended")["why"].to_string();
    assert!(why.contains("nobody needs it"), "{why}");
}

#[test]
fn a_service_that_was_killed_starts_again_where_it_was() {
    let world = World::new();
    let key = "ab".repeat(32);
    for round in 0..4 {
        let service = Service::start(&world);
        // Killed while it answers: what it had said is kept, whatever it had not is as before.
        let queued = world.run(["get", "--queue", "http://127.0.0.1:9/a"]);
        queued.fine();
        let mut answering = world.start(["share", "allow", &key, "--yes", "--json"]);
        if round % 2 == 0 {
            answering.wait_for_output();
        }
        service.kill();
        let _ = answering.wait();
    }
    let service = Service::start(&world);
    let downloads = json(&world, &["status"])["downloads"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(downloads, 4);
    let consents = json(&world, &["share"])["consents"].clone();
    assert_eq!(consents[0]["share"], "in-background");
    let activity = json(&world, &["activity"]);
    assert_eq!(activity["intact"], true, "{activity}");
    world.run(["daemon", "--stop"]).fine();
    service.running.wait().fine();
}

#[test]
fn removal_leaves_the_marker_and_nothing_else_and_is_final() {
    let world = World::new();
    let edge = super::common::Edge::new();
    edge.put("/a", File::new(&noise(100 * KIB)));
    fs::create_dir_all(world.root().join("config")).unwrap();
    for folder in ["data", "cache"] {
        fs::create_dir_all(world.root().join(folder)).unwrap();
    }
    let before = tree(world.root());

    // Everything that leaves traces.
    world.get([edge.url("/a")]).fine();
    world.configure("[get]\njobs = 2\n");
    world.publish("signed", b"x");
    world.run(["daemon", "--install"]).fine();
    world.run(["app", "register", "org.example.game"]).fine();
    let key = "ab".repeat(32);
    world.run(["share", "allow", &key, "--yes"]).fine();
    let service = Service::start(&world);
    let shown = world.run(["uninstall", "--dry-run"]).fine().text();
    assert!(shown.contains("data/peerlift"), "{shown}");
    world
        .run(["uninstall"])
        .failed(2, &["no terminal", "--yes"]);

    let removal = json(&world, &["uninstall", "--yes"]);
    assert_eq!(removal["failed"], serde_json::json!([]));
    service.running.wait().fine();
    let mut after = tree(world.root());
    after.retain(|path, _| !path.starts_with(world.path("")));
    let marker = after.remove(&world.root().join("config/peerlift-removed"));
    assert!(
        String::from_utf8(marker.unwrap())
            .unwrap()
            .contains("removed from this account")
    );
    let mut expected = before;
    expected.retain(|path, _| !path.starts_with(world.path("")));
    assert_eq!(
        after.keys().collect::<Vec<_>>(),
        expected.keys().collect::<Vec<_>>()
    );
    assert_eq!(processes(&world), Vec::<String>::new());
    assert_eq!(
        world.read("a").len() as u64,
        100 * KIB,
        "downloads are the user's"
    );

    let why = world.run(["why"]).fine().text();
    assert!(why.contains("removed from this account"), "{why}");
    assert!(
        !why.contains("panel") && why.contains("--allow-again"),
        "{why}"
    );

    // It is honoured by whatever would bring it back.
    world
        .run(["app", "register", "org.example.game"])
        .failed(1, &["removed", "--allow-again"]);
    world
        .run(["app", "release", "org.example.game"])
        .failed(1, &["no application"]);
    let text = world.run(["app", "list"]).fine().text();
    assert_eq!(text, "No application uses Peerlift.\n");
    assert!(!world.data("applications.lock").exists(), "it left a trace");
    world
        .run(["daemon"])
        .failed(1, &["removed", "--allow-again"]);
    world
        .run(["daemon", "--install"])
        .failed(1, &["removed", "--allow-again"]);
    world
        .get([edge.url("/a"), "-o".to_owned(), "b".to_owned()])
        .fine();
    assert!(
        !world.data("activity").exists(),
        "a download after the removal leaves no record"
    );
    world.run(["daemon", "--allow-again"]).fine();
    assert_eq!(json(&world, &["activity"])["intact"], true);
    world.run(["app", "register", "org.example.game"]).fine();
}

#[test]
fn with_the_last_application_it_goes() {
    let world = World::new();
    for app in ["org.a", "org.b"] {
        world
            .run(["app", "register", app, "--name", "A game"])
            .fine();
    }
    assert!(world.run(["why"]).fine().text().contains("A game (org.b)"));
    world.run(["app", "release", "org.a"]).fine();
    assert!(world.data("applications.json").exists());
    world
        .run(["app", "release", "org.c"])
        .failed(1, &["org.c", "app list"]);
    world.run(["app", "release", "org.b"]).fine();
    assert!(!world.data("").exists());
    world
        .run(["app", "register", "org.a"])
        .failed(1, &["removed"]);
}

#[test]
fn a_yes_is_kept_shown_and_taken_back() {
    let world = World::new();
    let key = "ab".repeat(32);
    world
        .run(["share", "allow", &key])
        .failed(2, &["no terminal", "--yes"]);
    world.run(["share", "allow", &key, "--yes"]).fine();
    let sharing = json(&world, &["share"]);
    assert_eq!(sharing["consents"][0]["share"], "in-background");
    assert!(
        sharing["consents"][0]["text"]
            .as_str()
            .unwrap()
            .contains("while the background service runs")
    );
    assert_eq!(sharing["limits"]["month-bytes"], 20_000_000_000_u64);
    world.run(["share", "revoke"]).fine();
    assert_eq!(json(&world, &["share"])["consents"][0]["share"], "off");
    let activity = json(&world, &["activity"]);
    assert_eq!(
        activity["entries"].as_array().unwrap().len(),
        2,
        "{activity}"
    );
}

#[test]
fn a_pause_breaks_uploads_off_and_nothing_goes_until_it_is_lifted() {
    let (world, other) = (World::new(), World::new());
    world.publish("public/a", &noise(24 * MIB));
    let server = Serving::folder(&world, "public", &[]);
    let inspected = json(&world, &["inspect", &server.url("/a")]);
    let key = inspected["publisher"].as_str().unwrap().to_owned();
    world.run(["share", "allow", &key, "--yes"]).fine();
    let service = Service::start(&world);
    fs::create_dir(world.path("got")).unwrap();
    world
        .run([
            "get",
            "--queue",
            &server.url("/a"),
            "-o",
            &world.path("got").display().to_string(),
        ])
        .fine();
    let of_service = |member: &str| json(&world, &["status"])["downloads"][0][member].clone();
    wait_until(|| of_service("state") == "sharing");

    let url = server.url("/a");
    let mut getting = other.getting([&url, "--limit-down", "2M", "-o", "b"]);
    getting.event_with("progress", |now| now["from_peers"].as_u64() > Some(0));
    // What is shown is a second old at most; only from here on no rate means an end.
    wait_until(|| of_service("progress")["rate_up"].as_u64() > Some(0));
    world.run(["pause", "--sharing"]).fine();
    assert_eq!(
        json(&world, &["status"])["service"]["pauses"][0]["reason"],
        "user"
    );
    wait_until(|| of_service("progress")["rate_up"] == 0);
    let paused_at = of_service("progress")["uploaded"].as_u64().unwrap();
    assert!(other.path("b.part").exists(), "the download goes on");
    let report = getting.wait().fine().event("completed");
    assert_eq!(other.read("b"), noise(24 * MIB));
    assert!(report["from_peers"].as_u64() <= Some(paused_at), "{report}");
    assert_eq!(of_service("progress")["uploaded"], paused_at, "{report}");

    world.run(["resume"]).fine();
    world.run(["daemon", "--stop"]).fine();
    service.running.wait().fine();
    let activity = json(&world, &["activity"]);
    let kinds = activity["entries"].as_array().unwrap().iter();
    let kinds: Vec<&str> = kinds.map(|entry| entry["kind"].as_str().unwrap()).collect();
    for kind in ["listening", "downloaded", "paused", "shared", "stopped"] {
        assert!(kinds.contains(&kind), "{kind} is not among {kinds:?}");
    }
    let counts = json(&world, &["share"]);
    assert!(counts["sent"].as_u64() >= Some(paused_at), "{counts}");
    assert_eq!(counts["received"], 24 * MIB);
}

#[test]
fn a_full_disk_loses_no_record_and_shares_nothing() {
    let world = World::new();
    let Some(_disk) = Disk::mount(&world.root().join("data"), "size=256k") else {
        return;
    };
    let edge = super::common::Edge::new();
    edge.put("/a", File::new(&noise(100 * KIB)));
    let key = "ab".repeat(32);
    world.run(["share", "allow", &key, "--yes"]).fine();
    world.run(["share", "revoke"]).fine();
    let filler = fill(&world);
    let refused = world.run(["share", "allow", &key, "--yes"]);
    assert_eq!(refused.status.code(), Some(6), "{}", refused.stderr);
    let done = world.run(["get", &edge.url("/a")]).fine();
    assert!(done.stderr.contains("not noted"), "{}", done.stderr);

    fs::remove_file(&filler).unwrap();
    assert_eq!(json(&world, &["share"])["consents"][0]["share"], "off");
    assert_eq!(json(&world, &["activity"])["intact"], true);
    world.run(["share", "allow", &key, "--yes"]).fine();
    assert_eq!(json(&world, &["activity"])["intact"], true);
}

#[test]
fn a_disk_that_is_full_under_the_service_is_told_and_loses_nothing() {
    let world = World::new();
    let Some(_disk) = Disk::mount(&world.root().join("data"), "size=256k") else {
        return;
    };
    // Downloads go to another disk, and are to be refused by this one alone.
    world.configure("[share]\ndisk-free = \"0\"\n");
    let service = Service::start(&world);
    let queue = |name: &str| world.run(["get", "--queue", &format!("http://127.0.0.1:9/{name}")]);
    queue("first").fine();
    let filler = fill(&world);
    queue("second").failed(6, &["cannot be written down", "downloads.json"]);
    // It is there and can be asked, and says what is wrong.
    let status = json(&world, &["status"]);
    assert_eq!(status["downloads"].as_array().unwrap().len(), 2);
    let problems = status["service"]["problems"].to_string();
    assert!(problems.contains("downloads.json"), "{problems}");
    assert_eq!(json(&world, &["activity"])["intact"], true);
    fs::remove_file(&filler).unwrap();
    queue("third").fine();
    service.kill();

    let service = Service::start(&world);
    let urls = json(&world, &["status"])["downloads"].to_string();
    for name in ["first", "second", "third"] {
        assert!(urls.contains(&format!("/{name}\"")), "{name}: {urls}");
    }
    let filler = fill(&world);
    queue("fourth").failed(6, &["cannot be written down"]);
    service.kill();
    fs::remove_file(&filler).unwrap();

    let service = Service::start(&world);
    let status = json(&world, &["status"]);
    assert_eq!(status["downloads"].as_array().unwrap().len(), 3, "{status}");
    assert_eq!(status["service"]["problems"], serde_json::json!([]));
    assert_eq!(json(&world, &["activity"])["intact"], true);
    service.kill();
}

/// Fills the disk of the world's records to the last byte, with the file that is returned.
fn fill(world: &World) -> PathBuf {
    let filler = world.root().join("data/filler");
    // The last byte fits where the last whole block does not.
    for bytes in [4096, 1] {
        let file = fs::File::options()
            .append(true)
            .create(true)
            .open(&filler)
            .unwrap();
        while Write::write_all(&mut &file, &vec![0; bytes]).is_ok() {}
    }
    filler
}

#[test]
fn a_bundle_for_support_names_nobody() {
    let world = World::new();
    let edge = super::common::Edge::new();
    edge.put("/diary", File::new(b"dear diary"));
    world.get([edge.url("/diary")]).fine();
    let text = world.run(["support-bundle", "-o", "-"]).fine().text();
    serde_json::from_str::<Value>(&text).unwrap();
    for secret in ["diary", "127.0.0.1", &world.root().display().to_string()] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
