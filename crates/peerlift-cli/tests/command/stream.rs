//! `-o -`: in order, and not a byte that was not verified.

use crate::common::answer::put_published;
use crate::common::{Edge, File, MIB, World, noise};
use rustix::process::Signal;

const SIZE: u64 = 6 * MIB + 77;

fn published() -> (World, Edge, Vec<u8>) {
    let (world, edge) = (World::new(), Edge::new());
    let bytes = noise(SIZE);
    put_published(&edge, "/f", &world.publish("published/f", &bytes));
    (world, edge, bytes)
}

/// Nothing may be left of a stream.
fn assert_no_scratch(world: &World) {
    let left = std::fs::read_dir(world.cache()).map_or(0, Iterator::count);
    assert_eq!(left, 0, "files in {}", world.cache().display());
    assert_eq!(world.list(""), ["published"]);
}

#[test]
fn a_stream_is_the_file() {
    let (world, edge, bytes) = published();
    let ended = world.get([&edge.url("/f"), "-o", "-"]).fine();
    assert!(ended.stdout == bytes, "the stream differs");
    assert!(ended.stderr.is_empty(), "{}", ended.stderr);
    assert_no_scratch(&world);
}

#[test]
fn a_corrupt_stream_ends_before_the_corruption() {
    let (world, edge, bytes) = published();
    let wrong = 4 * 1024 * 1024 + 100;
    let mut bad = bytes.clone();
    bad[wrong] ^= 1;
    edge.put("/f", File::new(&bad));
    let ended = world.get([&edge.url("/f"), "-o", "-", "--timeout=5s"]);
    let ended = ended.failed(5, &["do not match the manifest"]);
    assert!(ended.stdout.len() <= wrong, "{} bytes", ended.stdout.len());
    assert!(
        bytes.starts_with(&ended.stdout),
        "what was printed is a beginning of the file"
    );
    assert_no_scratch(&world);
}

#[test]
fn a_stream_that_is_cut_has_printed_a_beginning() {
    let (world, edge, bytes) = published();
    edge.put("/f", File::new(&bytes).stall_after(3 * MIB));
    let running = world.start(["get", "--quiet", "-o", "-", &edge.url("/f")]);
    edge.wait_for_stall();
    running.signal(Signal::INT);
    let ended = running.wait().failed(130, &["interrupted"]);
    assert!(
        bytes.starts_with(&ended.stdout),
        "what was printed is a beginning of the file"
    );
    assert_no_scratch(&world);
}

#[test]
fn bytes_are_printed_while_others_are_on_their_way() {
    let (world, edge, bytes) = published();
    edge.put("/f", File::new(&bytes).stall_after(5 * MIB));
    let mut running = world.start(["get", "--quiet", "-x1", "-o", "-", &edge.url("/f")]);
    edge.wait_for_stall();
    // The edge is silent now, and the first bytes must come all the same.
    running.wait_for_output();
    edge.release();
    assert!(running.wait().fine().stdout == bytes, "the stream differs");
}

#[test]
fn a_plain_stream_is_the_file_too() {
    let (world, edge) = (World::new(), Edge::new());
    let bytes = noise(SIZE);
    edge.put("/f", File::new(&bytes));
    edge.put("/g", File::new(&bytes).without_ranges());
    for path in ["/f", "/g"] {
        let ended = world.get([&edge.url(path), "-o", "-"]).fine();
        assert!(ended.stdout == bytes, "{path} differs");
    }
    assert!(world.list("").is_empty());
}

#[test]
fn a_plain_stream_cut_off_is_told() {
    let (world, edge) = (World::new(), Edge::new());
    let bytes = noise(SIZE);
    edge.put("/f", File::new(&bytes).without_ranges().cut_after(2 * MIB));
    let ended = world
        .get([&edge.url("/f"), "-o", "-"])
        .failed(4, &["ended early"]);
    assert!(
        bytes.starts_with(&ended.stdout),
        "what was printed is a beginning of the file"
    );
}

#[test]
fn standard_output_is_not_shared_with_events_or_files() {
    let world = World::new();
    world
        .get(["http://h/a", "http://h/b", "-o", "-"])
        .failed(2, &["one file"]);
    let ended = world.run(["get", "--json", "http://h/a", "-o", "-"]);
    ended.failed(2, &["--json"]);
}
