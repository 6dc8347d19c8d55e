//! A control node alone, and what its operator asks of it.

use crate::common::{Running, World};
use rustix::process::Signal;
use serde_json::Value;

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

#[test]
fn a_log_of_objects_has_one_a_line_with_time_level_place_and_words() {
    let world = World::new();
    world.write("policy.toml", b"");
    let line = ["control", "-vv", "--log-format", "json"];
    let mut command = world.command(line);
    command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let mut running = Running::start(command.args(["--policy", "policy.toml"]));
    running.told("operators at");
    world.write("policy.toml", b"[selektion]\n");
    running.told("; the policy in force stays");
    running.signal(Signal::TERM);
    let ended = running.wait().fine();
    let mut logged = Vec::new();
    for line in ended.stderr.lines() {
        let object: Value = serde_json::from_str(line).expect(line);
        for field in ["timestamp", "level", "target", "message"] {
            assert!(object[field].is_string(), "{field} in {line}");
        }
        let time = object["timestamp"].as_str().unwrap();
        assert!(time.ends_with('Z') && time.contains('T'), "{time}");
        logged.push(object);
    }
    // What happened has fields of its own.
    let wrong = "the policy in force stays";
    let about = logged.iter().find(|object| object["message"] == wrong);
    let about = about.expect(&ended.stderr);
    assert_eq!(about["level"], "ERROR");
    let error = about["error"].as_str().unwrap();
    assert!(error.contains("line 1"), "{error}");
    let said = logged
        .iter()
        .filter(|object| object["target"] == "peerlift");
    assert!(said.count() >= 3, "{}", ended.stderr);

    // Nor is what ends the command an exception.
    let line = ["control", "--policy", "none.toml", "--log-format", "json"];
    let ended = world.run(line);
    let object: Value = serde_json::from_str(&ended.stderr).expect(&ended.stderr);
    assert_eq!(
        (ended.status.code(), &object["level"]),
        (Some(2), &"ERROR".into())
    );
    assert!(object["message"].as_str().unwrap().contains("none.toml"));
}
