//! The flow-level model says what the group-level one says, as far as it can be expected to.

#![allow(
    clippy::unwrap_used,
    reason = "a test says by panicking what went wrong"
)]

use peerlift_sim::{Model, Outcome, Plan, Summary, named, on_all_cores, run, run_beside_twin};

/// Scenarios, and by what part the figures may differ: a tenth, and more where what is left out
/// matters. Behind mixed NATs every one of twelve meets others; after an outage clients come back
/// one by one.
const SCENARIOS: [(&str, f64); 13] = [
    ("single", 0.01),
    ("flash12", 0.10),
    ("flash12-fastest", 0.10),
    ("flash12-slow", 0.10),
    ("flash12-large", 0.10),
    ("flash20", 0.10),
    ("trickle", 0.10),
    ("trickle-fastest", 0.10),
    ("leave", 0.10),
    ("leave-fastest", 0.10),
    ("nat-easy", 0.10),
    ("nat-mixed", 0.20),
    ("outage", 0.20),
];

fn plan(name: &str, model: Model) -> Plan {
    let plan = named(name).unwrap().plan(1, None).unwrap();
    Plan { model, ..plan }
}

/// Median and last completion, and the copies that left the edge.
fn figures(plan: &Plan) -> [(&'static str, f64); 3] {
    let (outcome, twin) = run_beside_twin(plan);
    let summary = Summary::of(plan, &outcome, &twin);
    assert_eq!(summary.complaints, [""; 0], "{}", plan.name);
    assert_eq!(summary.unfinished, 0, "{}", plan.name);
    [
        ("median", summary.own_s.p50),
        ("last", summary.last_s),
        ("copies", summary.edge_bytes as f64 / plan.objects[0] as f64),
    ]
}

#[test]
fn both_models_agree_on_small_swarms() {
    let complaints = on_all_cores(&SCENARIOS, |(name, bound)| {
        let (groups, flow) = (
            figures(&plan(name, Model::Groups)),
            figures(&plan(name, Model::Flow)),
        );
        let pairs = groups.into_iter().zip(flow);
        let off = pairs.filter(|((_, one), (_, other))| (other / one - 1.0).abs() > *bound);
        off.map(|((what, one), (_, other))| format!("{name}, {what}: {one:.2} and {other:.2}"))
            .collect::<Vec<_>>()
    });
    assert_eq!(complaints.concat(), [""; 0]);
}

#[test]
fn both_models_agree_without_peers() {
    for name in ["flash12", "trickle", "leave"] {
        let medians = [Model::Groups, Model::Flow].map(|model| {
            let outcome = run(&plan(name, model).edge_only());
            let mut own: Vec<f64> = outcome.finished().map(|record| record.own_s).collect();
            own.sort_by(f64::total_cmp);
            own[own.len() / 2]
        });
        assert!(
            (medians[1] / medians[0] - 1.0).abs() < 0.02,
            "{name}: {medians:?}"
        );
    }
}

#[test]
fn a_fluid_run_keeps_its_promises_and_has_one_history() {
    let play = |name: &str| -> (Outcome, Outcome) {
        let mut scenario = named(name).unwrap();
        scenario.model = Model::Flow;
        run_beside_twin(&scenario.plan(3, None).unwrap())
    };
    for name in ["flash10k", "month", "leave", "nat-mixed"] {
        let (own, twin) = play(name);
        assert_eq!(
            [&own.complaints[..], &twin.complaints[..]].concat(),
            [""; 0],
            "{name}"
        );
        assert_eq!(twin.peer_bytes, 0, "{name}");
        let sizes: u64 = own.finished().map(|record| record.size).sum();
        assert!(own.delivered_bytes() >= sizes, "{name}");
        assert_eq!((own, twin), play(name), "{name}");
    }
}
