//! Scenario files and traces, read and drawn.

#![allow(
    clippy::unwrap_used,
    reason = "a test says by panicking what went wrong"
)]

use std::time::Duration;

use peerlift_sim::{Ending, Nature, Scenario, Trace, library, named, run};

fn mistake(old: &str, new: &str) -> String {
    let (_, text) = library().find(|(name, _)| *name == "flash12").unwrap();
    assert!(text.contains(old));
    let text = text.replace(old, new);
    Scenario::parse(&text).unwrap_err().to_string()
}

#[test]
fn a_mistake_is_told_with_its_place_in_one_line() {
    for (old, new, want) in [
        ("count = 12", "count = twelve", "line 16, column 9: "),
        ("up_mbit = 10", "speed = 10", "unknown field `speed`"),
        ("kind = \"flash\"", "kind = \"flood\"", "flood"),
        (
            "count = 12",
            "count = 0",
            "arrivals.count: 0 is not between 1 and",
        ),
        (
            "up_mbit = 50",
            "up_mbit = -1",
            "edge.up_mbit: -1 is not between",
        ),
        ("within_s = 2", "within_s = nan", "arrivals.within_s: NaN"),
        ("uploaders = 1.0", "uploaders = 1.5", "users.uploaders: 1.5"),
        ("name = \"flash12\"", "name = \"a b\"", "name: 1 to 40"),
        (
            "name = \"flash12\"",
            "name = \"flash12\"\ngoal = \"cheap\"",
            "goal: `cheap` is no goal",
        ),
    ] {
        let said = mistake(old, new);
        assert!(said.contains(want), "{new}: {said}");
        assert!(!said.contains('\n'), "{said}");
    }
}

#[test]
fn one_seed_is_one_plan_and_more_uploaders_change_nothing_else() {
    let mut scenario = named("month").unwrap();
    let plan = scenario.plan(1, None).unwrap();
    let again = scenario.plan(1, None).unwrap();
    assert_eq!((&plan.users, &plan.visits), (&again.users, &again.visits));
    assert_ne!(plan.visits, scenario.plan(2, None).unwrap().visits);
    scenario.users.uploaders = 0.9;
    let more = scenario.plan(1, None).unwrap();
    assert_eq!(plan.visits, more.visits);
    let lines = |plan: &peerlift_sim::Plan| -> Vec<f64> {
        plan.users
            .iter()
            .map(|user| user.down_bytes_per_s)
            .collect()
    };
    assert_eq!(lines(&plan), lines(&more));
    let uploaders =
        |plan: &peerlift_sim::Plan| plan.users.iter().filter(|user| user.shares).count();
    assert!(
        (800..1000).contains(&uploaders(&plan)),
        "{}",
        uploaders(&plan)
    );
    assert!(uploaders(&more) > 2600);
}

#[test]
fn arrivals_keep_their_mean_and_their_order() {
    let plan = named("month").unwrap().plan(3, None).unwrap();
    let times: Vec<Duration> = plan.visits.iter().map(|visit| visit.at).collect();
    assert!(times.is_sorted());
    let days = times.last().unwrap().as_secs_f64() / 86_400.0;
    assert!((27.0..33.0).contains(&days), "{days}");
}

#[test]
fn a_trace_decides_who_comes_when() {
    let trace = Trace::parse(
        "at_s,object,size_bytes,user,down_mbit,shares,killed_after_s\n\
         0,a,4000000,ann,20,true,\n3,a,4000000,bob,20,false,\n3,b,9000000,cleo,20,false,0.5\n",
    )
    .unwrap();
    let plan = named("flash12").unwrap().plan(1, Some(&trace)).unwrap();
    assert_eq!(plan.objects, [4_000_000, 9_000_000]);
    assert!(plan.users.iter().all(|user| user.nature == Nature::Honest));
    let outcome = run(&plan);
    assert_eq!(outcome.complaints, [""; 0]);
    let endings: Vec<Ending> = outcome.records.iter().map(|record| record.ending).collect();
    let want = [Ending::Finished, Ending::Finished, Ending::Killed];
    assert_eq!(endings, want);
    assert_eq!(outcome.records[1].uploaded, 0, "bob does not share");
    assert!(outcome.records[1].own_s > 1.6, "20 Mbit/s");
}

#[test]
fn an_upload_ratio_is_kept() {
    let mut scenario = named("flash12").unwrap();
    scenario.users.upload_ratio = 0.25;
    let outcome = run(&scenario.plan(1, None).unwrap());
    assert_eq!(outcome.complaints, [""; 0]);
    let free = run(&named("flash12").unwrap().plan(1, None).unwrap());
    let most = |outcome: &peerlift_sim::Outcome| {
        let sent = outcome.records.iter().map(|record| record.uploaded);
        sent.max().unwrap()
    };
    assert!(most(&outcome) < most(&free) / 2, "{}", most(&outcome));
}

#[test]
fn a_trace_decides_who_leaves_when() {
    let trace = Trace::parse(
        "at_s,object,size_bytes,leaves_after_s\n0,a,40000000,0\n40,a,40000000,\n80,a,40000000,\n",
    )
    .unwrap();
    let plan = named("flash12").unwrap().plan(1, Some(&trace)).unwrap();
    let outcome = run(&plan);
    let from_peers: Vec<u64> = outcome
        .records
        .iter()
        .map(|record| record.from_peers)
        .collect();
    assert_eq!(from_peers[1], 0, "the first was gone");
    assert!(from_peers[2] > 0, "the second stays");
}
