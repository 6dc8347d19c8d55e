//! Disks that are full, closed or taken: the user is told, and no file that was there is harmed.

use std::fs;

use crate::common::answer::put_published;
use crate::common::disk::Disk;
use crate::common::{Edge, File, KIB, MIB, World, noise};

#[test]
fn a_target_that_exists_is_left_alone_and_nothing_is_fetched() {
    let (world, edge) = (World::new(), Edge::new());
    edge.put("/f", File::new(&noise(2 * MIB)));
    world.write("f", b"precious");
    world
        .get([edge.url("/f")])
        .failed(6, &["exists already", "--overwrite"]);
    world
        .get([&edge.url("/f"), "--no-clobber"])
        .failed(6, &["exists already"]);
    assert_eq!(world.read("f"), b"precious");
    assert_eq!(world.list(""), ["f"]);
    assert!(edge.sent("/f") <= 64 * KIB, "{}", edge.sent("/f"));
    world.get([&edge.url("/f"), "--overwrite"]).fine();
    assert_eq!(world.read("f"), noise(2 * MIB));
}

#[test]
fn a_published_target_that_exists_is_left_alone() {
    let (world, edge) = (World::new(), Edge::new());
    put_published(&edge, "/f", &world.publish("published/f", &noise(2 * MIB)));
    world.write("f", b"precious");
    world
        .get([edge.url("/f")])
        .failed(6, &["exists already", "--overwrite"]);
    assert_eq!(world.read("f"), b"precious");
    assert!(edge.sent("/f") <= 64 * KIB, "{}", edge.sent("/f"));
}

#[test]
fn what_is_overwritten_stays_until_the_new_file_is_complete() {
    let (world, edge) = (World::new(), Edge::new());
    let bytes = noise(2 * MIB);
    edge.put("/f", File::new(&bytes).cut_after(MIB));
    world.write("f", b"precious");
    world
        .get([&edge.url("/f"), "--overwrite", "--timeout=1s"])
        .failed(4, &[]);
    assert_eq!(world.read("f"), b"precious");
    edge.put("/f", File::new(&bytes));
    world.get([&edge.url("/f"), "--overwrite"]).fine();
    assert_eq!(world.read("f"), bytes);
    assert_eq!(world.list(""), ["f"]);
}

#[test]
fn the_second_download_to_a_target_steps_back() {
    let (world, edge) = (World::new(), Edge::new());
    let bytes = noise(4 * MIB);
    edge.put("/f", File::new(&bytes).stall_after(2 * MIB));
    let first = world.start(["get", "--quiet", &edge.url("/f")]);
    edge.wait_for_stall();
    world
        .get([edge.url("/f")])
        .failed(6, &["in use by another download"]);
    edge.release();
    first.wait().fine();
    assert_eq!(world.read("f"), bytes);
    assert_eq!(world.list(""), ["f"]);
}

#[test]
fn a_part_that_is_none_of_ours_is_not_destroyed() {
    let (world, edge) = (World::new(), Edge::new());
    let bytes = noise(2 * MIB);
    edge.put("/f", File::new(&bytes));
    world.write("f.part", b"somebody else's");
    let ended = world.get([edge.url("/f")]);
    let names = world.list("");
    let kept = names
        .iter()
        .any(|name| world.read(name) == b"somebody else's");
    assert!(kept, "{ended:?}, {names:?}");
    if ended.status.success() {
        assert_eq!(world.read("f"), bytes);
    } else {
        ended.failed(6, &["f.part"]);
    }
}

#[test]
fn a_full_disk_is_said_and_the_part_goes_on_when_there_is_room() {
    let (world, edge) = (World::new(), Edge::new());
    let Some(disk) = Disk::mount(&world.path("disk"), "size=1m") else {
        return;
    };
    let bytes = noise(4 * MIB);
    put_published(&edge, "/f", &world.publish("published/f", &bytes));
    edge.put("/plain", File::new(&bytes));
    edge.put("/stream", File::new(&bytes).without_ranges());
    for path in ["/plain", "/f", "/stream"] {
        world
            .get([&edge.url(path), "-o", "disk/f"])
            .failed(6, &["disk"]);
        assert!(!world.path("disk/f").exists(), "{path}");
        disk.remount("size=64m");
        world.get([&edge.url(path), "-o", "disk/f"]).fine();
        assert_eq!(world.read("disk/f"), bytes);
        for name in world.list("disk") {
            fs::remove_file(world.path("disk").join(name)).unwrap();
        }
        disk.remount("size=1m");
    }
}

#[test]
fn a_stream_without_room_for_its_scratch_is_said() {
    let (world, edge) = (World::new(), Edge::new());
    let Some(_disk) = Disk::mount(&world.cache(), "size=256k") else {
        return;
    };
    let bytes = noise(4 * MIB);
    put_published(&edge, "/f", &world.publish("published/f", &bytes));
    let ended = world.get([&edge.url("/f"), "-o", "-"]).failed(6, &["disk"]);
    assert!(
        bytes.starts_with(&ended.stdout),
        "what was printed is a beginning of the file"
    );
}

#[test]
fn a_folder_that_may_not_be_written_to_is_said() {
    let (world, edge) = (World::new(), Edge::new());
    let Some(disk) = Disk::mount(&world.path("disk"), "size=8m") else {
        return;
    };
    edge.put("/f", File::new(&noise(MIB)));
    world.write("disk/kept", b"precious");
    disk.remount("ro");
    world
        .get([&edge.url("/f"), "-o", "disk/"])
        .failed(6, &["may not write", "disk/f"]);
    world
        .get([&edge.url("/f"), "-o", "disk/kept", "--overwrite"])
        .failed(6, &["may not write"]);
    assert_eq!(world.read("disk/kept"), b"precious");
}

#[test]
fn a_folder_that_does_not_exist_is_said() {
    let (world, edge) = (World::new(), Edge::new());
    edge.put("/f", File::new(b"hello"));
    world
        .get([&edge.url("/f"), "-o", "no/such/f"])
        .failed(6, &["no folder", "no/such/f"]);
    // A slash at the end says that a folder is meant, so it is made.
    world.get([&edge.url("/f"), "-o", "made/for/it/"]).fine();
    assert_eq!(world.read("made/for/it/f"), b"hello");
}

#[test]
fn an_output_that_nobody_reads_is_said() {
    let (world, edge) = (World::new(), Edge::new());
    put_published(&edge, "/f", &world.publish("published/f", &noise(8 * MIB)));
    edge.put("/f", File::new(&noise(8 * MIB)).stall_after(4 * MIB));
    let mut running = world.start(["get", "--quiet", "-o", "-", &edge.url("/f")]);
    edge.wait_for_stall();
    running.stop_reading();
    edge.release();
    let ended = running.wait();
    assert_eq!(ended.status.code(), Some(6), "{}", ended.stderr);
    assert!(
        ended
            .stderr
            .starts_with("peerlift: cannot write the output: "),
        "{}",
        ended.stderr
    );
}
