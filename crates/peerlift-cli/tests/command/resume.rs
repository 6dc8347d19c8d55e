//! Downloads that are ended in the middle, gently or not, and go on.

use crate::common::answer::put_published;
use crate::common::{Edge, File, MIB, Running, World, noise};
use rustix::process::Signal;
use serde_json::Value;

const SIZE: u64 = 24 * MIB;

/// What an ending in the middle may cost: fetches under way, and what was not yet noted.
const TWICE_MAX: u64 = 4 * MIB;

/// A world in which a download of `/f` has come some way and cannot go on.
struct Halted {
    world: World,
    edge: Edge,
    bytes: Vec<u8>,
    done: u64,
}

impl Halted {
    /// The download of a published file.
    fn published() -> (Self, Running) {
        let (world, edge) = (World::new(), Edge::new());
        put_published(&edge, "/f", &world.publish("published/f", &noise(SIZE)));
        Self::begin(world, edge)
    }

    /// The download of a file without a manifest.
    fn plain() -> (Self, Running) {
        Self::begin(World::new(), Edge::new())
    }

    fn begin(world: World, edge: Edge) -> (Self, Running) {
        let bytes = noise(SIZE);
        edge.put("/f", File::new(&bytes).stall_after(16 * MIB));
        let mut running = world.getting([edge.url("/f")]);
        let some = |progress: &Value| progress["done"].as_u64() >= Some(10 * MIB);
        let done = running.event_with("progress", some)["done"]
            .as_u64()
            .unwrap();
        (
            Self {
                world,
                edge,
                bytes,
                done,
            },
            running,
        )
    }

    /// The same command once more: it brings the rest, and little twice.
    fn go_on(self) {
        assert!(!self.world.path("f").exists());
        assert!(self.world.path("f.part").exists());
        self.edge.put("/f", File::new(&self.bytes));
        let before = self.edge.sent("/f");
        let ended = self
            .world
            .run(["get", "--json", &self.edge.url("/f")])
            .fine();
        let sent = self.edge.sent("/f") - before;
        assert!(
            sent <= SIZE - self.done + TWICE_MAX,
            "{sent} sent after {}",
            self.done
        );
        assert!(self.world.read("f") == self.bytes, "the file differs");
        let resumed = ended.event("started")["resumed"].as_u64().unwrap();
        assert!(
            resumed + TWICE_MAX >= self.done,
            "{resumed} of {}",
            self.done
        );
        assert_eq!(ended.event("completed")["resumed"], resumed);
        assert!(
            self.world
                .list("")
                .iter()
                .all(|name| !name.contains(".part"))
        );
    }
}

#[test]
fn ctrl_c_keeps_what_came() {
    for begin in [Halted::published, Halted::plain] {
        let (halted, running) = begin();
        running.signal(Signal::INT);
        let ended = running
            .wait()
            .failed(130, &["interrupted", "go on from here"]);
        assert_eq!(ended.event("failed")["exit_code"], 130);
        halted.go_on();
    }
}

#[test]
fn sigterm_and_sighup_end_in_good_order_too() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::HUP, 129)] {
        let (halted, running) = Halted::published();
        running.signal(signal);
        running.wait().failed(code, &["interrupted"]);
        halted.go_on();
    }
}

#[test]
fn kill_dash_nine_costs_little() {
    for begin in [Halted::published, Halted::plain] {
        let (halted, running) = begin();
        running.signal(Signal::KILL);
        assert_eq!(running.wait().status.code(), None);
        halted.go_on();
    }
}

#[test]
fn kills_in_a_row_make_progress() {
    let (world, edge) = (World::new(), Edge::new());
    let bytes = noise(SIZE);
    put_published(&edge, "/f", &world.publish("published/f", &bytes));
    for round in 1..6 {
        edge.put("/f", File::new(&bytes).stall_after(6 * MIB));
        let mut running = world.getting([edge.url("/f")]);
        let aim = (round * 2 * MIB).min(SIZE);
        running.event_with("progress", |progress| {
            progress["done"].as_u64() >= Some(aim)
        });
        running.signal(Signal::KILL);
        running.wait();
    }
    edge.put("/f", File::new(&bytes));
    world.get([edge.url("/f")]).fine();
    assert!(world.read("f") == bytes, "the file differs");
}

#[test]
fn a_published_file_resumes_from_a_mirror() {
    let (halted, running) = Halted::published();
    running.signal(Signal::INT);
    running.wait();
    let Halted {
        world,
        edge,
        bytes,
        done,
    } = halted;
    let mirror = Edge::new();
    put_published(&mirror, "/elsewhere/f", &world.path("published/f"));
    drop(edge);
    world.get([mirror.url("/elsewhere/f")]).fine();
    assert!(world.read("f") == bytes, "the file differs");
    let sent = mirror.sent("/elsewhere/f");
    assert!(sent <= SIZE - done + TWICE_MAX, "{sent} sent after {done}");
}

#[test]
fn damage_done_to_the_part_between_two_runs_is_noticed() {
    let (halted, running) = Halted::published();
    running.signal(Signal::KILL);
    running.wait();
    let part = halted.world.path("f.part");
    let mut stored = std::fs::read(&part).unwrap();
    // The state says that groups are there; the disk has forgotten them.
    stored.truncate(5 << 20);
    std::fs::write(&part, stored).unwrap();
    halted.edge.put("/f", File::new(&halted.bytes));
    halted.world.get([halted.edge.url("/f")]).fine();
    assert!(halted.world.read("f") == halted.bytes, "the file differs");
}

#[test]
fn a_state_that_is_damaged_costs_time_only() {
    let (halted, running) = Halted::published();
    running.signal(Signal::KILL);
    running.wait();
    std::fs::write(halted.world.path("f.part.state"), b"nonsense").unwrap();
    halted.edge.put("/f", File::new(&halted.bytes));
    halted.world.get([halted.edge.url("/f")]).fine();
    assert!(halted.world.read("f") == halted.bytes, "the file differs");
}

#[test]
fn a_new_version_does_not_grow_out_of_the_old_ones_part() {
    let (halted, running) = Halted::published();
    running.signal(Signal::INT);
    running.wait();
    let Halted { world, edge, .. } = halted;
    let new = noise(SIZE + 1);
    put_published(&edge, "/f", &world.publish("published/f", &new));
    world.get([edge.url("/f")]).fine();
    assert!(world.read("f") == new, "the file differs");
}
