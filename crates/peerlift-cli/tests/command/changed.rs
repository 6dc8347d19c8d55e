//! Downloads in the background that are to go otherwise than they do: `peerlift change`.

use std::fs;

use super::common::{Edge, File, KIB, World, noise};
use super::user::{Service, json, wait_until};

#[test]
fn a_download_that_runs_gives_way_no_more_and_goes_on_where_it_was() {
    let (world, edge) = (World::new(), Edge::new());
    let bytes = noise(300 * KIB);
    edge.put("/a", File::new(&bytes).stall_after(64 * KIB));
    let service = Service::start(&world);
    let folder = world.root().display().to_string();
    world
        .run(["get", "--queue", &edge.url("/a"), "-o", &folder])
        .fine();
    edge.wait_for_stall();
    let first = || json(&world, &["status"])["downloads"][0].clone();
    assert!(first()["wanted"]["foreground"].is_null(), "{}", first());

    // Only a run that begins again gets past the silence.
    edge.put("/a", File::new(&bytes));
    world.run(["change", "1", "--foreground"]).fine();
    wait_until(|| first()["state"] == "done");
    assert_eq!(first()["wanted"]["foreground"], true);
    assert_eq!(fs::read(world.root().join("a")).unwrap(), bytes);

    world
        .run(["change", "1", "--background"])
        .failed(1, &["download 1 is over"]);
    world.run(["change", "1", "--remove"]).fine();
    world
        .run(["change", "1", "--remove"])
        .failed(2, &["there is no download 1", "peerlift status"]);
    assert!(world.root().join("a").exists(), "its file stays");
    service.kill();
}

#[test]
fn what_is_to_change_has_to_be_said() {
    let world = World::new();
    world
        .run(["change", "1"])
        .failed(2, &["what is to change", "--foreground"]);
    world
        .run(["change", "1", "--priority", "high"])
        .failed(1, &["does not run", "peerlift daemon"]);
}
