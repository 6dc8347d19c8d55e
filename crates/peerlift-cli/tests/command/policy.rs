//! An administrator's `/etc/peerlift/policy.toml`, obeyed by the real command. Needs root, which may
//! mount a file system for the command alone.

use std::fs;

use serde_json::json;

use super::common::{KIB, MIB, Serving, World, noise};
use super::user::{self, Service, wait_until};

/// A publisher's server, and its key as others see it.
struct Publisher {
    _world: World,
    server: Serving,
    key: String,
}

impl Publisher {
    fn new() -> Self {
        let world = World::new();
        world.publish("public/a", &noise(4 * MIB));
        let server = Serving::folder(&world, "public", &[]);
        let inspected = user::json(&World::new(), &["inspect", &server.url("/a")]);
        let key = inspected["publisher"].as_str().unwrap().to_owned();
        Self {
            _world: world,
            server,
            key,
        }
    }

    /// This user agrees to share what it publishes.
    fn is_trusted_by(&self, user: &World) {
        user.run(["inspect", &self.server.url("/a")]).fine();
        user.run(["share", "allow", &self.key, "--yes"]).fine();
    }

    /// This user's service is to fetch its file.
    fn is_asked_by(&self, user: &World, folder: &str) {
        fs::create_dir(user.path(folder)).unwrap();
        { user }
            .run(["get", "--queue", &self.server.url("/a"), "-o", folder])
            .fine();
    }
}

#[test]
fn only_files_of_publishers_that_the_administrator_names_are_shared() {
    let (named, other) = (Publisher::new(), Publisher::new());
    let mut user = World::new();
    let policy = format!("publishers = [{:?}]\ncontact = \"ask Ada\"\n", named.key);
    if !user.obey_policy(&policy) {
        return;
    }
    named.is_trusted_by(&user);
    other.is_trusted_by(&user);
    let service = Service::start(&user);
    named.is_asked_by(&user, "named");
    other.is_asked_by(&user, "other");
    let states = || {
        let downloads = user::json(&user, &["status"])["downloads"].clone();
        [0, 1].map(|number| downloads[number]["state"].clone())
    };
    wait_until(|| states() == [json!("sharing"), json!("done")]);
    assert_eq!(user.read("other/a"), noise(4 * MIB));
    service.kill();

    // Nor does it help to ask for it by an option.
    let url = other.server.url("/a");
    let ended = user.run(["get", &url, "-o", "again", "--share", "while-downloading"]);
    let ended = ended.fine();
    let words = "not shared, this machine's administrator names other publishers ask Ada";
    assert!(ended.stderr.contains(words), "{}", ended.stderr);
}

#[test]
fn users_may_be_stricter_than_the_administrator_and_never_looser() {
    let publisher = Publisher::new();
    let mut user = World::new();
    let policy = "ratio = 0.5\nmonth-bytes = 100000\nobject-bytes = 90000\nuplink-percent = 20\n";
    if !user.obey_policy(policy) {
        return;
    }
    user.configure(
        "[share]\nratio = 100\nmonth = \"50GB\"\nfile = \"50kB\"\nuplink-percent = 90\n",
    );
    let sharing = user::json(&user, &["share"]);
    assert_eq!(sharing["limits"]["ratio"], 0.5);
    assert_eq!(sharing["limits"]["month-bytes"], 100_000);
    assert_eq!(sharing["limits"]["object-bytes"], 50_000, "the user's own");
    assert_eq!(sharing["uplink_percent"], 20);

    // And it is what really goes out.
    user.configure("[share]\nratio = 100\nmonth = \"50GB\"\nuplink-percent = 90\n");
    publisher.is_trusted_by(&user);
    let service = Service::start(&user);
    publisher.is_asked_by(&user, "got");
    wait_until(|| user::json(&user, &["status"])["downloads"][0]["state"] == "sharing");
    let asks = |share: &str| {
        let reader = World::new();
        let url = publisher.server.url("/a");
        reader.run(["get", &url, "-o", "a", "--json", "--share", share])
    };
    for _ in 0..3 {
        let ended = asks("off").fine();
        let given = ended.event("completed")["from_peers"].as_u64().unwrap();
        assert!(given <= 90_000, "{given} bytes of one file");
    }
    let sent = user::json(&user, &["share"])["sent_this_month"].clone();
    assert!(sent.as_u64().unwrap() <= 90_000 + 64 * KIB, "{sent} in all");
    service.kill();
}

#[test]
fn where_the_administrator_forbids_it_nothing_runs() {
    let mut user = World::new();
    if !user.obey_policy("allowed = false\ncontact = \"ask Ada\"\n") {
        return;
    }
    { user.run(["daemon"]) }.failed(1, &["administrator", "ask Ada"]);
    let said = user.run(["share"]).fine().text();
    assert!(said.contains("does not allow sharing. ask Ada"), "{said}");

    // What cannot be understood is a no.
    assert!(user.obey_policy("allowed = perhaps\n"));
    { user.run(["daemon"]) }.failed(1, &["policy.toml", "cannot be used"]);
}
