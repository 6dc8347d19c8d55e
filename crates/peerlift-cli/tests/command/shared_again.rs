//! What the background service shares, it shares again; and not what is its user's business by now.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::common::{MIB, Serving, World, noise};
use super::user::{Service, json, tree, wait_until};

/// A service that shares one file of a publisher's whose server introduces downloaders.
struct Sharer {
    world: World,
    server: Serving,
    service: Option<Service>,
}

impl Sharer {
    fn new(size: u64) -> Self {
        let world = World::new();
        // How much it may give is not what is tested.
        world.configure("[share]\nratio = 100\n");
        world.publish("public/a", &noise(size));
        let server = Serving::folder(&world, "public", &[]);
        let inspected = json(&world, &["inspect", &server.url("/a")]);
        let key = inspected["publisher"].as_str().unwrap().to_owned();
        world.run(["share", "allow", &key, "--yes"]).fine();
        fs::create_dir(world.path("got")).unwrap();
        let mut sharer = Self {
            world,
            server,
            service: None,
        };
        sharer.start();
        sharer.queue();
        sharer.wait_for("sharing");
        sharer
    }

    fn queue(&self) {
        let (url, folder) = (self.server.url("/a"), self.world.path("got"));
        let folder = folder.display().to_string();
        { &self.world }
            .run(["get", "--queue", &url, "-o", &folder])
            .fine();
    }

    fn start(&mut self) {
        self.service = Some(Service::start(&self.world));
    }

    fn kill(&mut self) {
        self.service.take().unwrap().kill();
    }

    /// The only download, as the service shows it.
    fn download(&self) -> Value {
        json(&self.world, &["status"])["downloads"][0].clone()
    }

    fn wait_for(&self, state: &str) {
        wait_until(|| self.download()["state"] == state);
    }

    /// Lets others get the file, one after another, until something comes to be; returns what they
    /// had from peers. The first may come before the control node knows the service again.
    fn give_until(&self, there: impl Fn(u64) -> bool) -> u64 {
        let mut given = 0;
        for _ in 0..10 {
            let other = World::new();
            let url = self.server.url("/a");
            let mut getting = other.getting([&url, "--limit-down", "4M", "-o", "b"]);
            given += getting.event("completed")["from_peers"].as_u64().unwrap();
            getting.wait().fine();
            if there(given) {
                return given;
            }
        }
        panic!("it never came to be; {given} bytes came from peers");
    }

    /// Why it is no longer shared, as the activity log tells.
    fn ends_of_sharing(&self) -> Vec<String> {
        let activity = json(&self.world, &["activity"]);
        assert_eq!(activity["intact"], true);
        let entries = activity["entries"].as_array().unwrap().iter();
        entries
            .filter(|entry| entry["kind"] == "sharing-ended")
            .map(|entry| entry["why"].as_str().unwrap().to_owned())
            .collect()
    }

    fn kept(&self) -> Vec<PathBuf> {
        tree(&self.world.cache()).into_keys().collect()
    }
}

#[test]
fn what_was_shared_is_shared_again_after_a_crash_and_an_end() {
    let mut sharer = Sharer::new(16 * MIB);
    for killed in [true, false] {
        if killed {
            sharer.kill();
        } else {
            sharer.world.run(["daemon", "--stop"]).fine();
            sharer.service.take().unwrap().running.wait().fine();
        }
        sharer.start();
        sharer.wait_for("sharing");
        sharer.give_until(|given| given > 0);
    }
    assert_eq!(sharer.world.read("got/a"), noise(16 * MIB));
    assert_eq!(sharer.ends_of_sharing(), Vec::<String>::new());

    // Whoever takes the yes back while nothing runs is obeyed.
    sharer.kill();
    sharer.world.run(["share", "revoke"]).fine();
    sharer.start();
    sharer.wait_for("done");
    let listening = json(&sharer.world, &["status"])["service"]["listening"].clone();
    assert_eq!(listening, serde_json::json!([]));
    assert!(!sharer.kept().iter().any(|path| path.is_file()));
    sharer.kill();
}

#[test]
fn a_file_that_a_crash_left_complete_is_shared_as_well() {
    let mut sharer = Sharer::new(4 * MIB);
    sharer.kill();
    // As after a crash between the last step of a download and the record of it.
    fs::remove_file(sharer.world.data("downloads.json")).unwrap();
    sharer.start();
    sharer.queue();
    for crashes in [1, 0] {
        sharer.wait_for("sharing");
        sharer.give_until(|given| given > 0);
        sharer.kill();
        if crashes > 0 {
            sharer.start();
        }
    }
    assert_eq!(sharer.ends_of_sharing(), Vec::<String>::new());
    assert_eq!(sharer.world.read("got/a"), noise(4 * MIB));
}

#[test]
fn a_cache_without_room_ends_sharing_and_says_so() {
    let mut sharer = Sharer::new(2 * MIB);
    let settings = "[share]\nratio = 100\ncache = \"1\"\n";
    assert!(json(&sharer.world, &["share"])["cached"].as_u64() > Some(2 * MIB / 256 - 64));
    sharer.kill();
    sharer.world.configure(settings);
    sharer.start();
    sharer.wait_for("done");
    let why = sharer.ends_of_sharing().remove(0);
    assert!(why.contains("the cache is full"), "{why}");
    assert_eq!(json(&sharer.world, &["share"])["cached"], 0);
    assert_eq!(sharer.world.read("got/a"), noise(2 * MIB));
    sharer.kill();
}

#[test]
fn a_file_that_was_changed_meanwhile_is_left_alone_and_told() {
    let mut sharer = Sharer::new(2 * MIB);
    sharer.kill();
    fs::write(sharer.world.path("got/a"), "mine now").unwrap();
    sharer.start();
    sharer.wait_for("done");
    assert_eq!(sharer.world.read("got/a"), b"mine now");
    let [why] = &sharer.ends_of_sharing()[..] else {
        panic!("{:?}", sharer.ends_of_sharing());
    };
    assert!(why.ends_with("got/a was changed"), "{why}");
    assert!(!sharer.kept().iter().any(|path| path.is_file()));
    sharer.kill();
}

#[test]
fn a_file_that_is_deleted_while_it_is_shared_is_let_go() {
    let mut sharer = Sharer::new(2 * MIB);
    fs::remove_file(sharer.world.path("got/a")).unwrap();
    sharer.wait_for("done");
    let why = sharer.ends_of_sharing().remove(0);
    assert!(why.ends_with("got/a was moved or deleted"), "{why}");
    sharer.kill();
    sharer.start();
    assert_eq!(sharer.download()["state"], "done");
    assert_eq!(sharer.ends_of_sharing().len(), 1);
    sharer.kill();
}

#[test]
fn a_file_whose_bytes_turn_out_to_be_others_is_no_longer_shared() {
    let mut sharer = Sharer::new(16 * MIB);
    sharer.kill();
    // Size and time are as they were: only reading it tells.
    let path = sharer.world.path("got/a");
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, noise(16 * MIB + 1).split_off(1)).unwrap();
    let file = fs::File::options().append(true).open(&path).unwrap();
    file.set_modified(modified).unwrap();
    sharer.start();
    sharer.wait_for("sharing");
    let given = sharer.give_until(|_| sharer.download()["state"] == "done");
    assert_eq!(given, 0);
    let why = sharer.ends_of_sharing().remove(0);
    assert!(why.contains("is damaged"), "{why}");
    sharer.kill();
}

#[test]
fn a_publisher_that_a_download_met_is_named_in_the_answer() {
    let world = World::new();
    world.publish("public/a", &noise(MIB));
    let server = Serving::folder(&world, "public", &["--name", "Example OS"]);
    let inspected = json(&world, &["inspect", &server.url("/a")]);
    let key = inspected["publisher"].as_str().unwrap();
    let service = Service::start(&world);
    let folder = world.root().display().to_string();
    { &world }
        .run(["get", "--queue", &server.url("/a"), "-o", &folder])
        .fine();
    wait_until(|| json(&world, &["status"])["downloads"][0]["state"] == "done");
    let answer = json(&world, &["share", "allow", key, "--yes"]);
    assert_eq!(answer["publisher_name"], "Example OS", "{answer}");
    service.kill();
}
