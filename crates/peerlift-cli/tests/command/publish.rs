//! `publish`, `verify` and `inspect`: what is signed, when work is done, and what is kept secret.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::common::answer::put_published;
use crate::common::world::beside;
use crate::common::{Edge, KIB, MIB, World, forge, noise};

/// Changes whenever a file is written or replaced.
fn stamp(path: &Path) -> (u64, i64, i64) {
    let about = fs::metadata(path).unwrap();
    (about.ino(), about.mtime(), about.mtime_nsec())
}

#[test]
fn the_key_is_made_for_its_owner_only_and_never_printed() {
    let world = World::new();
    world.write("f", &noise(KIB));
    let ended = world.run(["-vv", "publish", "f"]).fine();
    let key = world.data("publisher.key");
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let pem = fs::read_to_string(&key).unwrap();
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n"), "PKCS#8");
    let secret: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    for text in [ended.text(), ended.stderr] {
        assert!(
            !text.contains(&secret) && !text.contains("PRIVATE KEY"),
            "{text}"
        );
    }
    for line in [
        "inspect f",
        "verify f",
        "inspect f --json",
        "verify f --json",
    ] {
        let ended = world.run(line.split(' ')).fine();
        assert!(
            !ended.text().contains(&secret) && !ended.stderr.contains(&secret),
            "{line}"
        );
    }
}

#[test]
fn the_key_stays_the_same() {
    let world = World::new();
    world.write("a", b"a");
    world.write("b", b"b");
    let first = world
        .run(["publish", "--json", "a"])
        .fine()
        .event("published");
    let pem = fs::read(world.data("publisher.key")).unwrap();
    let second = world
        .run(["publish", "--json", "b"])
        .fine()
        .event("published");
    assert_eq!(first["publisher"], second["publisher"]);
    assert_eq!(fs::read(world.data("publisher.key")).unwrap(), pem);
    let other = world
        .run(["publish", "--json", "a", "--key", "other.key"])
        .fine();
    assert_ne!(other.event("published")["publisher"], first["publisher"]);
}

#[test]
fn a_key_that_is_damaged_is_not_replaced() {
    let world = World::new();
    world.publish("f", b"x");
    fs::write(world.data("publisher.key"), "nonsense").unwrap();
    world.run(["publish", "f"]).failed(6, &["key", "backup"]);
    assert_eq!(fs::read(world.data("publisher.key")).unwrap(), b"nonsense");
}

#[test]
fn a_key_that_others_can_read_is_refused() {
    let world = World::new();
    world.publish("f", b"x");
    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(world.data("publisher.key"), open).unwrap();
    let ended = world.run(["publish", "f"]);
    assert_eq!(ended.status.code(), Some(6), "{ended:?}");
    assert!(ended.stderr.contains("publisher.key"), "{}", ended.stderr);
}

#[test]
fn nothing_is_done_for_what_did_not_change() {
    let world = World::new();
    let path = world.write_settled("f", &noise(MIB));
    let first = world
        .run(["publish", "--json", "f"])
        .fine()
        .event("published");
    assert_eq!(
        (&first["outcome"], &first["revision"]),
        (&"new".into(), &1.into())
    );
    assert_eq!(first["size"], MIB);
    assert_eq!(world.list(""), ["f", "f.obao", "f.peerlift"]);
    let stamps = || [".peerlift", ".obao"].map(|suffix| stamp(&beside(&path, suffix)));
    let before = stamps();
    let again = world
        .run(["publish", "--json", "f"])
        .fine()
        .event("published");
    assert_eq!(
        (&again["outcome"], &again["revision"]),
        (&"unchanged".into(), &1.into())
    );
    assert_eq!(again["object"], first["object"]);
    assert_eq!(stamps(), before);

    world.write("f", &noise(MIB + 1));
    let changed = world
        .run(["publish", "--json", "f"])
        .fine()
        .event("published");
    assert_eq!(
        (&changed["outcome"], &changed["revision"]),
        (&"changed".into(), &2.into())
    );
    assert_ne!(changed["object"], first["object"]);
    world.run(["verify", "f"]).fine();
}

#[test]
fn other_words_about_the_same_file_are_signed_without_reading_it() {
    let world = World::new();
    let path = world.write_settled("f", &noise(MIB));
    world.run(["publish", "f"]).fine();
    let outboard = stamp(&beside(&path, ".obao"));
    let signed = world
        .run(["publish", "--json", "f", "--name", "ACME"])
        .fine()
        .event("published");
    assert_eq!(signed["outcome"], "re-signed");
    assert_eq!(stamp(&beside(&path, ".obao")), outboard);
    let said = world.run(["inspect", "--json", "f"]).fine();
    assert_eq!(said.events()[0]["publisher_name"], "ACME");
}

#[test]
fn a_file_that_changed_but_kept_its_size_is_noticed() {
    let world = World::new();
    world.publish("f", b"one");
    world.write("f", b"two");
    let event = world
        .run(["publish", "--json", "f"])
        .fine()
        .event("published");
    assert_eq!(event["outcome"], "changed");
    world.run(["verify", "f"]).fine();
}

#[test]
fn sidecars_that_are_lost_or_damaged_are_made_anew() {
    let world = World::new();
    let path = world.publish("f", &noise(MIB));
    for suffix in [".obao", ".peerlift"] {
        fs::remove_file(beside(&path, suffix)).unwrap();
        world.run(["publish", "f"]).fine();
        world.run(["verify", "f"]).fine();
    }
    fs::write(beside(&path, ".peerlift"), "nonsense").unwrap();
    world.run(["publish", "f"]).fine();
    world.run(["verify", "f"]).fine();
}

#[test]
fn folders_are_published_with_everything_in_them() {
    let world = World::new();
    for name in [
        "site/a.bin",
        "site/deep/er/b.bin",
        "site/.hidden",
        "site/.git/config",
    ] {
        world.write(name, name.as_bytes());
    }
    std::os::unix::fs::symlink("a.bin", world.path("site/link")).unwrap();
    for outcome in ["new", "unchanged"] {
        let events = world.run(["publish", "--json", "site"]).fine().events();
        let mut paths: Vec<&str> = events.iter().map(|e| e["path"].as_str().unwrap()).collect();
        paths.sort_unstable();
        assert_eq!(paths, ["site/a.bin", "site/deep/er/b.bin"]);
        assert!(events.iter().all(|event| event["outcome"] == outcome));
    }
}

#[test]
fn sidecars_may_lie_elsewhere() {
    let world = World::new();
    world.write("site/deep/f", &noise(KIB));
    world
        .run(["publish", "site", "--sidecar-dir", "sidecars"])
        .fine();
    assert_eq!(world.list("site/deep"), ["f"]);
    assert_eq!(world.list("sidecars/deep"), ["f.obao", "f.peerlift"]);
    world
        .run([
            "verify",
            "site/deep/f",
            "--manifest",
            "sidecars/deep/f.peerlift",
        ])
        .fine();
}

#[test]
fn what_cannot_be_published_is_said() {
    let world = World::new();
    world.write("good", b"x");
    let ended = world.run(["publish", "nowhere"]);
    assert_eq!(ended.status.code(), Some(6), "{ended:?}");
    assert!(ended.stderr.starts_with("peerlift: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("nowhere"), "{}", ended.stderr);
}

#[test]
fn verify_tells_good_from_bad_and_where() {
    let world = World::new();
    let bytes = noise(MIB);
    let path = world.publish("f", &bytes);
    let good = world
        .run(["verify", "--json", "f"])
        .fine()
        .event("verified");
    assert_eq!(
        (&good["good"], &good["outboard"]),
        (&true.into(), &"good".into())
    );
    assert_eq!(good["bad"], serde_json::json!([]));
    assert!(world.run(["verify", "f"]).fine().text().contains("good"));
    assert!(
        world
            .run(["verify", "--quiet", "f"])
            .fine()
            .stdout
            .is_empty()
    );

    let mut bad = bytes.clone();
    bad[200_000] ^= 1;
    fs::write(&path, &bad).unwrap();
    let ended = world
        .run(["verify", "--json", "f"])
        .failed(5, &["f: damaged", "get it again"]);
    let event = ended.event("verified");
    assert_eq!(event["good"], false);
    assert_eq!(
        event["bad"],
        serde_json::json!([[196_608, 212_992]]),
        "the group of 16 KiB"
    );

    fs::write(&path, &bytes[1..]).unwrap();
    world
        .run(["verify", "f"])
        .failed(5, &["1048575", "1048576"]);

    fs::write(&path, &bytes).unwrap();
    fs::remove_file(beside(&path, ".obao")).unwrap();
    let event = world
        .run(["verify", "--json", "f"])
        .fine()
        .event("verified");
    assert_eq!(
        (&event["good"], &event["outboard"]),
        (&true.into(), &"missing".into())
    );
}

#[test]
fn verify_wants_a_manifest_and_the_right_key() {
    let world = World::new();
    let path = world.publish("f", b"x");
    world.write("unsigned", b"x");
    world
        .run(["verify", "unsigned"])
        .failed(6, &["unsigned.peerlift"]);
    let key = world
        .run(["verify", "--json", "f"])
        .fine()
        .event("verified")["publisher"]
        .clone();
    world
        .run(["verify", "f", "--publisher", key.as_str().unwrap()])
        .fine();
    let other = "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29";
    world
        .run(["verify", "f", "--publisher", other])
        .failed(5, &[other]);

    let manifest = fs::read(beside(&path, ".peerlift")).unwrap();
    let altered = forge::altered(&manifest, |said| said["revision"] = 9.into());
    fs::write(beside(&path, ".peerlift"), altered).unwrap();
    world
        .run(["verify", "f"])
        .failed(5, &["signature is wrong"]);
    let later = forge::signed(&manifest, |said| said["version"] = 2.into());
    fs::write(beside(&path, ".peerlift"), later).unwrap();
    world
        .run(["verify", "f"])
        .failed(7, &["version 2", "newer"]);
}

#[test]
fn inspect_shows_what_was_signed() {
    let (world, edge) = (World::new(), Edge::new());
    let path = world.write("f", &noise(MIB));
    world.publish_as(
        &path,
        &["--name", "ACME", "--upload-cap", "2M", "--expires", "30d"],
    );
    put_published(&edge, "/f", &path);
    let mut seen = Vec::new();
    for target in ["f".to_owned(), "f.peerlift".to_owned(), edge.url("/f")] {
        let table = world.run(["inspect", &target]).fine().text();
        assert!(
            table.contains("ACME") && table.contains("1048576"),
            "{table}"
        );
        seen.push(
            world
                .run(["inspect", "--json", &target])
                .fine()
                .events()
                .remove(0),
        );
    }
    assert!(seen.iter().all(|said| *said == seen[0]));
    assert_eq!(seen[0]["size"], MIB);
    assert_eq!(seen[0]["policy"]["upload_cap_bytes"], 2 * MIB);
    assert_eq!(seen[0]["publisher"].as_str().unwrap().len(), 64);
    assert!(
        world.list("").iter().all(|name| name.starts_with('f')),
        "nothing was downloaded"
    );

    edge.remove("/f.peerlift");
    world
        .run(["inspect", &edge.url("/f")])
        .failed(1, &["no manifest"]);
    world
        .run(["inspect", &edge.url("/missing")])
        .failed(3, &["404"]);
}

#[test]
fn a_manifest_cannot_colour_the_terminal() {
    let world = World::new();
    let path = world.publish("f", b"x");
    let manifest = fs::read(beside(&path, ".peerlift")).unwrap();
    let evil = forge::signed(&manifest, |said| {
        said["publisher_name"] = "a\u{1b}[31mb".into()
    });
    fs::write(beside(&path, ".peerlift"), evil).unwrap();
    for line in ["inspect f", "verify f"] {
        let ended = world.run(line.split(' '));
        assert!(
            !ended.text().contains('\u{1b}') && !ended.stderr.contains('\u{1b}'),
            "{ended:?}"
        );
    }
}
