//! A control node alone, and what its operator asks of it.

use crate::common::{Running, World};
use rustix::process::Signal;

/// A node on free ports, and its address for operators.
fn node(world: &World) -> (Running, String) {
    let mut command = world.command(["control", "--json", "--listen", "127.0.0.1:0"]);
    command.args(["--admin", "127.0.0.1:0"]);
    let mut running = Running::start(&mut command);
    let ready = running.event("ready");
    let admin = ready["admin"].as_str().unwrap().to_owned();
    assert_eq!(ready["key"].as_str().unwrap().len(), 64);
    (running, admin)
}

#[test]
fn a_node_says_when_it_is_ready_and_ends_when_told() {
    let world = World::new();
    let (running, admin) = node(&world);
    world.run(["control", "flush", "--admin", &admin]).fine();
    running.signal(Signal::TERM);
    running.wait().fine();
}

#[test]
fn a_policy_is_tried_before_it_is_in_force() {
    let world = World::new();
    let (running, admin) = node(&world);
    world.write("good.toml", b"[selection]\npeers = 20\n");
    world.write("wrong.toml", b"[selection]\npeers = 200\n");
    let line = [
        "control",
        "policy",
        "--dry-run",
        "good.toml",
        "--admin",
        &admin,
    ];
    let told = world.run(line).fine().text();
    assert!(told.contains("nothing to compare"), "{told}");
    world
        .run(["control", "policy", "good.toml", "--admin", &admin])
        .fine();
    world
        .run(["control", "policy", "wrong.toml", "--admin", &admin])
        .failed(2, &["line 2", "200"]);
    drop(running);
}

#[test]
fn a_policy_file_that_changes_is_read_again_and_its_mistakes_are_told() {
    let world = World::new();
    world.write("policy.toml", b"");
    let line = ["control", "--listen", "127.0.0.1:0"];
    let mut command = world.command(line);
    command.args(["--admin", "127.0.0.1:0", "--policy", "policy.toml"]);
    let mut running = Running::start(&mut command);
    running.told("operators at");
    world.write("policy.toml", b"[selection]\npeers = 20\n");
    running.told("policy.toml: in force");
    world.write("policy.toml", b"[selection]\n\npeers = 200\n");
    let complaint = running.told("the policy in force stays");
    assert!(complaint.contains("policy.toml: line 3"), "{complaint}");
    world.write("policy.toml", b"[selection]\npeers = 30\n");
    running.told("policy.toml: in force");
    running.signal(Signal::TERM);
    running.wait().fine();
}

#[test]
fn a_node_does_not_start_with_a_wrong_policy_or_database() {
    let world = World::new();
    world.write("wrong.toml", b"\n[selektion]\n");
    world
        .run([
            "control",
            "--listen",
            "127.0.0.1:0",
            "--policy",
            "wrong.toml",
        ])
        .failed(2, &["wrong.toml", "line 2"]);
    world.write("as.mmdb", b"no database");
    world
        .run([
            "control",
            "--listen",
            "127.0.0.1:0",
            "--as-database",
            "as.mmdb",
        ])
        .failed(6, &["as.mmdb"]);
}

#[test]
fn nobody_at_the_operators_address_is_said_so() {
    let world = World::new();
    world
        .run(["control", "flush", "--admin", "127.0.0.1:1"])
        .failed(1, &["127.0.0.1:1", "--admin"]);
    let ended = world.run(["control", "block", "1234"]);
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.stderr.contains("64 hexadecimal"), "{}", ended.stderr);
}
