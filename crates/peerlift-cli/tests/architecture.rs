//! The walls of the house: which crate may depend on what. It reads what cargo resolved.

#![allow(
    clippy::unwrap_used,
    reason = "a test says by panicking what went wrong"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Crates that decide and do no IO, or only such as blocks and is short. None of them may wait.
const WITHOUT_RUNTIME: [&str; 8] = [
    "peerlift-access",
    "peerlift-content",
    "peerlift-model",
    "peerlift-rendezvous",
    "peerlift-sim",
    "peerlift-store",
    "peerlift-swarm",
    "peerlift-wire",
];

/// Async runtimes, and what they wait with.
const RUNTIMES: [&str; 7] = [
    "async-executor",
    "async-io",
    "async-std",
    "futures-executor",
    "mio",
    "smol",
    "tokio",
];

/// Who may use whom among ours, as in ARCHITECTURE.md: down, never sideways.
const WALLS: [(&str, &[&str]); 13] = [
    ("peerlift-model", &[]),
    ("peerlift-access", &["peerlift-model"]),
    ("peerlift-content", &["peerlift-model"]),
    ("peerlift-wire", &["peerlift-model"]),
    ("peerlift-swarm", &["peerlift-model"]),
    ("peerlift-rendezvous", &["peerlift-model"]),
    (
        "peerlift-sim",
        &[
            "peerlift-content",
            "peerlift-model",
            "peerlift-rendezvous",
            "peerlift-swarm",
        ],
    ),
    ("peerlift-store", &["peerlift-content", "peerlift-model"]),
    (
        "peerlift-net",
        &[
            "peerlift-access",
            "peerlift-content",
            "peerlift-model",
            "peerlift-wire",
        ],
    ),
    (
        "peerlift-edge",
        &["peerlift-access", "peerlift-content", "peerlift-model"],
    ),
    (
        "peerlift-control",
        &[
            "peerlift-access",
            "peerlift-model",
            "peerlift-rendezvous",
            "peerlift-wire",
        ],
    ),
    (
        "peerlift-client",
        &[
            "peerlift-access",
            "peerlift-content",
            "peerlift-model",
            "peerlift-net",
            "peerlift-store",
            "peerlift-swarm",
            "peerlift-wire",
        ],
    ),
    ("peerlift-daemon", &["peerlift-client", "peerlift-model"]),
];

/// What cargo resolved for this machine.
struct Graph {
    /// Package id → name.
    names: BTreeMap<String, String>,
    /// Package id → ids of what it is built with, tests and build scripts left out.
    uses: BTreeMap<String, Vec<String>>,
}

impl Graph {
    fn read() -> Self {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version=1", "--locked", "--offline"])
            .arg(format!("--filter-platform={}", host()))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let list = |value: &Value| value.as_array().unwrap().clone();
        let names = list(&metadata["packages"])
            .iter()
            .map(|package| (text(&package["id"]), text(&package["name"])))
            .collect();
        let is_normal = |dependency: &Value| {
            list(&dependency["dep_kinds"])
                .iter()
                .any(|kind| kind["kind"].is_null())
        };
        let uses = list(&metadata["resolve"]["nodes"])
            .iter()
            .map(|node| {
                let dependencies = list(&node["deps"]);
                let normal = dependencies
                    .iter()
                    .filter(|dependency| is_normal(dependency));
                (
                    text(&node["id"]),
                    normal.map(|dependency| text(&dependency["pkg"])).collect(),
                )
            })
            .collect();
        Self { names, uses }
    }

    fn id(&self, name: &str) -> &String {
        let found = self.names.iter().find(|(_, named)| *named == name);
        found
            .unwrap_or_else(|| panic!("there is no crate {name}"))
            .0
    }

    fn direct(&self, name: &str) -> BTreeSet<&str> {
        self.uses[self.id(name)]
            .iter()
            .map(|id| self.names[id].as_str())
            .collect()
    }

    fn all(&self, name: &str) -> BTreeSet<&str> {
        let mut found = BTreeSet::new();
        let mut waiting = vec![self.id(name)];
        while let Some(id) = waiting.pop() {
            if found.insert(id) {
                waiting.extend(&self.uses[id]);
            }
        }
        found
            .into_iter()
            .map(|id| self.names[id].as_str())
            .collect()
    }
}

/// The target triple of this machine: other systems' packages need not be there.
fn host() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("rustc names its host").to_owned()
}

#[test]
fn cores_have_no_async_runtime_among_their_dependencies() {
    let graph = Graph::read();
    for core in WITHOUT_RUNTIME {
        let all = graph.all(core);
        let runtimes: Vec<_> = RUNTIMES
            .iter()
            .filter(|runtime| all.contains(*runtime))
            .collect();
        assert!(runtimes.is_empty(), "{core} depends on {runtimes:?}");
    }
    // The test looks in the right place: shells do have one.
    assert!(graph.all("peerlift-client").contains("tokio"));
}

#[test]
fn the_vocabulary_depends_on_nothing() {
    assert!(Graph::read().direct("peerlift-model").is_empty());
}

#[test]
fn crates_use_those_below_and_never_their_neighbours() {
    let graph = Graph::read();
    for (name, may) in WALLS {
        let direct = graph.direct(name);
        let ours = direct.iter().filter(|used| used.starts_with("peerlift-"));
        let wrong: Vec<_> = ours.filter(|used| !may.contains(*used)).collect();
        assert!(wrong.is_empty(), "{name} uses {wrong:?}");
    }
}
