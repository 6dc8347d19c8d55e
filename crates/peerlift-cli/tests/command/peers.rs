//! Downloads that fetch from one another.

use std::net::TcpListener;

use crate::common::answer::{put_published, put_sidecars};
use crate::common::{Edge, File, KIB, MIB, Running, Serving, World, noise};
use rustix::process::Signal;
use serde_json::Value;

const SIZE: u64 = 8 * MIB;

/// A world with a control node, and a file on an edge of ours whose manifest names that node.
struct Swarm {
    publisher: World,
    /// Runs for as long as the test.
    _serving: Serving,
    edge: Edge,
    bytes: Vec<u8>,
}

impl Swarm {
    fn new() -> Self {
        Self::that_also_names(&[])
    }

    /// One whose manifest names these control nodes first.
    fn that_also_names(others: &[&str]) -> Self {
        let publisher = World::new();
        publisher.write("site/any", b"any");
        let serving = Serving::folder(&publisher, "site", &[]);
        // Where the node is, its own manifests say.
        let any = publisher
            .run(["inspect", "--json", &serving.url("/any")])
            .fine();
        let said: Value = any.events().remove(0);
        let control = serving
            .url(said["control"][0].as_str().unwrap())
            .replace("http:", "ws:");
        let bytes = noise(SIZE);
        let path = publisher.write("published/f", &bytes);
        let named = others.iter().copied().chain([control.as_str()]);
        let options: Vec<&str> = named.flat_map(|node| ["--control", node]).collect();
        publisher.publish_as(&path, &options);
        let edge = Edge::new();
        put_published(&edge, "/f", &path);
        Self {
            publisher,
            _serving: serving,
            edge,
            bytes,
        }
    }

    /// From now on the edge tells what the file is, and gives no byte of it but the first.
    fn edge_gives_out(&self) {
        let (good, bytes) = (File::new(&self.bytes), self.bytes.len());
        self.edge.answer("/f", move |request, wire| {
            assert!(bytes > 1);
            match request.range() {
                Some((0, Some(0))) => good.answer(request, wire),
                _ => crate::common::answer::status("503 Service Unavailable")(request, wire),
            }
        });
        put_sidecars(&self.edge, "/f", &self.publisher.path("published/f"));
    }

    /// Somebody who has the file and shares it.
    fn sharer(&self) -> (World, Running) {
        let world = World::new();
        let mut running = world.getting([&self.edge.url("/f"), "--share", "for=10m"]);
        running.event("completed");
        (world, running)
    }
}

#[test]
fn what_the_edge_no_longer_gives_comes_from_a_peer() {
    let swarm = Swarm::new();
    let (_first, sharing) = swarm.sharer();
    swarm.edge_gives_out();
    let second = World::new();
    let url = swarm.edge.url("/f");
    let ended = second
        .run(["get", "--json", &url, "--share", "while-downloading"])
        .fine();
    assert!(second.read("f") == swarm.bytes, "the file differs");
    let completed = ended.event("completed");
    assert_eq!(completed["from_peers"], SIZE, "{completed}");
    assert_eq!(completed["peers"], 1);
    let explained = second.run(["explain", "f", "--json"]).fine().events();
    let parts = explained[0]["parts"].as_array().unwrap();
    let bytes: u64 = parts.iter().filter_map(|part| part["bytes"].as_u64()).sum();
    assert_eq!(bytes, SIZE, "{parts:?}");
    for part in parts {
        assert_eq!(part["kind"], "peer", "{part}");
        let key = part["source"].as_str().unwrap();
        assert!(!key.is_empty() && !key.contains('.'), "no address: {key}");
    }

    sharing.signal(Signal::INT);
    let ended = sharing.wait().fine();
    assert!(
        ended.event("ended")["uploaded"].as_u64() >= Some(SIZE),
        "{}",
        ended.text()
    );
}

#[test]
fn of_several_control_nodes_one_that_lives_is_enough() {
    // The system takes connections for it, and nobody ever answers.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("ws://{}/", listener.local_addr().unwrap());
    // Port 9, discard: nobody listens there.
    let swarm = Swarm::that_also_names(&["ws://127.0.0.1:9/control", &silent]);
    let (_first, _sharing) = swarm.sharer();
    swarm.edge_gives_out();
    let second = World::new();
    let url = swarm.edge.url("/f");
    let ended = second.run(["get", "--json", &url, "--share", "off"]).fine();
    assert!(second.read("f") == swarm.bytes, "the file differs");
    assert_eq!(ended.event("completed")["from_peers"], SIZE);
}

#[test]
fn whoever_does_not_share_may_fetch_all_the_same() {
    let swarm = Swarm::new();
    let (_first, _sharing) = swarm.sharer();
    swarm.edge_gives_out();
    let second = World::new();
    let ended = second
        .run(["get", "--json", &swarm.edge.url("/f"), "--share", "off"])
        .fine();
    assert!(second.read("f") == swarm.bytes, "the file differs");
    assert_eq!(ended.event("completed")["uploaded"], 0);
}

#[test]
fn a_stream_comes_from_peers_too() {
    let swarm = Swarm::new();
    let (_first, _sharing) = swarm.sharer();
    swarm.edge_gives_out();
    let ended = World::new().get([&swarm.edge.url("/f"), "-o", "-"]).fine();
    assert!(ended.stdout == swarm.bytes, "the stream differs");
}

#[test]
fn no_peers_means_no_peers() {
    let swarm = Swarm::new();
    let (_first, _sharing) = swarm.sharer();
    let second = World::new();
    let ended = second
        .run(["get", "--json", &swarm.edge.url("/f"), "--no-peers"])
        .fine();
    assert_eq!(ended.event("completed")["from_edge"], SIZE);
    assert_eq!(ended.event("completed")["from_peers"], 0);
}

#[test]
fn a_peer_that_is_killed_is_replaced_by_the_edge() {
    let swarm = Swarm::new();
    let (_first, sharing) = swarm.sharer();
    sharing.signal(Signal::KILL);
    sharing.wait();
    let second = World::new();
    second.get([swarm.edge.url("/f")]).fine();
    assert!(second.read("f") == swarm.bytes, "the file differs");
}

#[test]
fn two_who_download_at_once_both_finish() {
    let swarm = Swarm::new();
    let worlds = [World::new(), World::new()];
    swarm
        .edge
        .put("/f", File::new(&swarm.bytes).stall_after(4 * MIB));
    let url = swarm.edge.url("/f");
    let runs = [&worlds[0], &worlds[1]]
        .map(|world| world.getting([url.as_str(), "--share", "while-downloading"]));
    swarm.edge.wait_for_stall();
    swarm.edge.release();
    for (world, running) in worlds.iter().zip(runs) {
        let completed = running.wait().fine().event("completed");
        assert!(world.read("f") == swarm.bytes, "the file differs");
        let [edge, peers] = ["from_edge", "from_peers"].map(|from| completed[from].as_u64());
        assert_eq!(edge.unwrap() + peers.unwrap(), SIZE, "{completed}");
    }
}

#[test]
fn nobody_shares_without_having_agreed() {
    let swarm = Swarm::new();
    let first = World::new();
    let completed = first
        .run(["get", "--json", &swarm.edge.url("/f")])
        .fine()
        .event("completed");
    assert_eq!(completed["uploaded"], 0);
    assert!(!first.data("consent.json").exists(), "nobody was asked");
}

#[test]
fn a_small_file_needs_no_peers() {
    let swarm = Swarm::new();
    let path = swarm.publisher.publish("published/tiny", &noise(KIB));
    put_published(&swarm.edge, "/tiny", &path);
    World::new().get([swarm.edge.url("/tiny")]).fine();
}
