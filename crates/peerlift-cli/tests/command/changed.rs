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

#[test]
fn what_holds_from_now_on_is_told_as_json() {
    let (world, edge) = (World::new(), Edge::new());
    let service = Service::start(&world);
    let folder = world.root().display().to_string();
    let url = edge.url("/a");
    let queued = json(
        &world,
        &["get", "--queue", &url, "-o", &folder, "--at", "22:00"],
    );
    assert_eq!(queued["event"], "queued");
    let status = json(&world, &["status"]);
    let download = &status["downloads"][0];
    assert_eq!(download["state"], "waiting");
    let not_before = download["wanted"]["not_before"].as_str().unwrap();
    assert!(not_before.ends_with(":00Z"), "{not_before}");
    let text = world.run(["status"]).fine().text();
    assert!(text.contains(&format!("not before {not_before}")), "{text}");

    assert_eq!(json(&world, &["pause", "1"])["state"], "paused");
    assert_eq!(json(&world, &["resume", "1"])["state"], "waiting");
    let all = json(&world, &["pause"]);
    assert_eq!(
        (&all["downloads_paused"], &all["sharing_paused"]),
        (&true.into(), &true.into())
    );
    let uploads = json(&world, &["resume", "--sharing"]);
    assert_eq!(
        (&uploads["downloads_paused"], &uploads["sharing_paused"]),
        (&true.into(), &false.into())
    );
    let changed = json(&world, &["change", "1", "--priority", "high"]);
    assert_eq!(changed["wanted"]["priority"], "high");
    assert_eq!(json(&world, &["change", "1", "--remove"])["removed"], 1);
    let refused = world.run(["get", "--queue", &url, "--at", "25:00"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(refused.stderr.contains("22:00"), "{}", refused.stderr);
    service.kill();
}
