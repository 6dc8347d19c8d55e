//! Who signed what: a download ends with exactly what its publisher published, or not at all.

use std::fs;

use crate::common::answer::{put_published, put_sidecars, status};
use crate::common::world::beside;
use crate::common::{Edge, File, KIB, MIB, World, forge, noise};

/// A world with a file that is published on an edge at `/f`.
struct Published {
    world: World,
    edge: Edge,
    bytes: Vec<u8>,
    manifest: Vec<u8>,
    outboard: Vec<u8>,
}

impl Published {
    fn new(size: u64) -> Self {
        let (world, edge) = (World::new(), Edge::new());
        let bytes = noise(size);
        let path = world.publish("published/f", &bytes);
        put_published(&edge, "/f", &path);
        let [manifest, outboard] =
            [".peerlift", ".obao"].map(|suffix| fs::read(beside(&path, suffix)).unwrap());
        Self {
            world,
            edge,
            bytes,
            manifest,
            outboard,
        }
    }

    fn get(&self, options: &[&str]) -> crate::common::Ended {
        let url = self.edge.url("/f");
        self.world.get([&[url.as_str()], options].concat())
    }

    fn put_manifest(&self, bytes: &[u8]) {
        self.edge.put("/f.peerlift", File::new(bytes));
    }

    /// Nothing of a file was put in place, not even its beginning.
    fn assert_nothing_kept(&self) {
        assert_eq!(self.world.list(""), ["published"]);
    }
}

#[test]
fn what_was_published_arrives() {
    let it = Published::new(3 * MIB + 5);
    it.get(&[]).fine();
    assert_eq!(it.world.read("f"), it.bytes);
    assert_eq!(it.world.list(""), ["f", "published"]);
}

#[test]
fn a_bad_signature_is_refused() {
    let it = Published::new(KIB);
    it.put_manifest(&forge::altered(&it.manifest, |said| {
        said["revision"] = 9.into()
    }));
    it.get(&[])
        .failed(5, &["signature is wrong", "tell the publisher"]);
    it.assert_nothing_kept();
}

#[test]
fn a_manifest_of_a_later_version_needs_a_later_program() {
    let it = Published::new(KIB);
    it.put_manifest(&forge::signed(&it.manifest, |said| {
        said["version"] = 2.into()
    }));
    it.get(&[]).failed(7, &["version 2", "newer peerlift"]);
    it.assert_nothing_kept();
}

#[test]
fn a_manifest_of_nonsense_is_refused() {
    let it = Published::new(KIB);
    it.put_manifest(b"{\"payload\": 1}");
    it.get(&[]).failed(5, &["not a Peerlift manifest"]);
    it.put_manifest(&vec![b'x'; 70_000]);
    let ended = it.get(&[]);
    assert!([0, 5].map(Some).contains(&ended.status.code()), "{ended:?}");
}

#[test]
fn a_page_for_everything_is_no_manifest() {
    let it = Published::new(KIB);
    it.put_manifest(b"<!doctype html><title>Not here</title>");
    let ended = it.world.run(["get", "--json", &it.edge.url("/f")]).fine();
    assert_eq!(ended.event("completed")["verified"]["by"], "length");
    assert_eq!(it.world.read("f"), it.bytes);
}

#[test]
fn another_key_than_before_is_refused_until_it_is_named() {
    let it = Published::new(KIB);
    it.get(&[]).fine();
    assert!(it.world.data("known_publishers.json").exists());

    let forged = forge::signed(&it.manifest, |_| {});
    it.put_manifest(&forged);
    let ended = it
        .get(&["--overwrite"])
        .failed(5, &["key changed", "--publisher"]);
    assert_eq!(it.world.read("f"), it.bytes, "the file of the first run");

    // The advice can be followed to the letter.
    let key = ended.stderr.split("--publisher ").nth(1).unwrap().trim();
    it.get(&["--overwrite", "--publisher", key]).fine();
    it.get(&["--overwrite"]).fine();
    it.put_manifest(&it.manifest);
    it.get(&["--overwrite"]).fine();
}

#[test]
fn only_the_publisher_that_was_named_will_do() {
    let it = Published::new(KIB);
    let other = "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29";
    it.get(&["--publisher", other])
        .failed(5, &[other, "check the key"]);
    it.assert_nothing_kept();

    it.edge.remove("/f.peerlift");
    it.get(&["--publisher", other])
        .failed(5, &["no manifest", "--publisher"]);
    it.assert_nothing_kept();
}

#[test]
fn a_file_of_another_size_than_was_signed_is_refused() {
    let it = Published::new(MIB);
    it.edge.put("/f", File::new(&it.bytes[1..]));
    it.get(&[]).failed(5, &["1048575", "1048576"]);
    it.assert_nothing_kept();
}

#[test]
fn what_has_expired_is_not_fetched() {
    let it = Published::new(KIB);
    it.put_manifest(&forge::signed(&it.manifest, |said| {
        said["policy"]["expires"] = 1_000_000_000.into();
    }));
    it.get(&[]).failed(5, &["expired", "fresh manifest"]);
    it.assert_nothing_kept();
    it.put_manifest(&forge::signed(&it.manifest, |said| {
        said["policy"]["expires"] = 32_000_000_000_u64.into();
    }));
    it.get(&["--overwrite"]).fine();
}

#[test]
fn corrupt_content_is_never_put_in_place() {
    let it = Published::new(4 * MIB);
    let mut bad = it.bytes.clone();
    bad[3 * (1 << 20)] ^= 1;
    it.edge.put("/f", File::new(&bad));
    it.get(&["--timeout=5s"])
        .failed(5, &["do not match the manifest"]);
    assert!(!it.world.path("f").exists());

    it.edge.put("/f", File::new(&it.bytes));
    it.get(&[]).fine();
    assert_eq!(it.world.read("f"), it.bytes);
}

#[test]
fn a_lying_edge_costs_nothing_when_a_mirror_is_honest() {
    let it = Published::new(4 * MIB);
    let mirror = Edge::new();
    put_published(&mirror, "/m", &it.world.path("published/f"));
    let mut bad = it.bytes.clone();
    for at in (0..bad.len()).step_by(64 * 1024) {
        bad[at] ^= 1;
    }
    it.edge.put("/f", File::new(&bad));
    it.get(&["-m", &mirror.url("/m")]).fine();
    assert_eq!(it.world.read("f"), it.bytes);
}

#[test]
fn a_corrupt_hash_tree_proves_nothing() {
    let it = Published::new(4 * MIB);
    let mut bad = it.outboard.clone();
    bad[0] ^= 1;
    it.edge.put("/f.obao", File::new(&bad));
    it.get(&["--timeout=5s"])
        .failed(5, &["outboard", "publish"]);
    assert!(!it.world.path("f").exists());
}

#[test]
fn a_hash_tree_that_is_missing_is_named() {
    let it = Published::new(4 * MIB);
    it.edge.remove("/f.obao");
    let ended = it.get(&["--timeout=5s"]);
    assert!([3, 5].map(Some).contains(&ended.status.code()), "{ended:?}");
    assert!(ended.stderr.contains("f.obao"), "{}", ended.stderr);
    assert!(!it.world.path("f").exists());
    put_sidecars(&it.edge, "/f", &it.world.path("published/f"));
    it.get(&[]).fine();
    assert_eq!(it.world.read("f"), it.bytes);
}

#[test]
fn a_record_of_known_keys_that_is_damaged_is_not_forgotten() {
    let it = Published::new(KIB);
    it.get(&[]).fine();
    fs::write(it.world.data("known_publishers.json"), "{").unwrap();
    let ended = it.get(&["--overwrite"]);
    assert_eq!(ended.status.code(), Some(6), "{ended:?}");
    assert!(
        ended.stderr.contains("known_publishers.json"),
        "{}",
        ended.stderr
    );
    assert_eq!(it.world.read("f"), it.bytes);
}

#[test]
fn a_control_node_that_is_gone_or_raves_is_survived() {
    let (world, edge) = (World::new(), Edge::new());
    let bytes = noise(2 * MIB);
    let path = world.write("published/f", &bytes);
    edge.answer("/garbage", crate::common::answer::garbage());
    edge.answer("/refuses", status("500 Internal Server Error"));
    // Port 9, discard: nobody listens there.
    for control in [
        "ws://127.0.0.1:9/control".to_owned(),
        edge.url("/garbage").replace("http:", "ws:"),
        edge.url("/refuses").replace("http:", "ws:"),
        "ws://name.invalid/".to_owned(),
    ] {
        world.publish_as(&path, &["--control", &control]);
        put_published(&edge, "/f", &path);
        let url = edge.url("/f");
        let ended = world.run([
            "get",
            "--json",
            "--overwrite",
            "--share=while-downloading",
            &url,
        ]);
        assert_eq!(
            ended.fine().event("completed")["from_peers"],
            0,
            "{control}"
        );
        assert_eq!(world.read("f"), bytes);
    }
}

#[test]
fn a_server_that_sends_only_whole_files_will_do() {
    let it = Published::new(4 * MIB + 3);
    let whole = |bytes: &[u8]| File::new(bytes).without_ranges().without_etag();
    it.edge.put("/f", whole(&it.bytes));
    it.edge.put("/f.obao", whole(&it.outboard));
    it.edge.put("/f.peerlift", whole(&it.manifest));
    let ended = it.world.run(["get", "--json", &it.edge.url("/f")]).fine();
    assert!(it.world.read("f") == it.bytes, "the file differs");
    assert_eq!(ended.event("completed")["verified"]["by"], "manifest");

    let mut bad = it.bytes.clone();
    bad[3 << 20] ^= 1;
    it.edge.put("/f", whole(&bad));
    it.get(&["--overwrite", "--timeout=5s"])
        .failed(5, &["do not match the manifest"]);
    assert!(it.world.read("f") == it.bytes, "the file of the first run");
}
