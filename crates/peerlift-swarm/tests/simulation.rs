//! Whole downloads on the simulated internet, run by the production core.
//!
//! The simulator's checkers look at every step (no source is asked for what it has not announced,
//! nothing is served that is not there, books that balance, caps, ends); these tests check what
//! comes of it. One plan has one history, so none of them can flake; the bounds are generous,
//! `peerlift sim run` prints the figures.

#![allow(
    clippy::unwrap_used,
    reason = "a test says by panicking what went wrong"
)]

use std::time::Duration;

use peerlift_model::Rate;
use peerlift_sim::{Aim, Nature, Outcome, Plan, Record, Visit, limit, named, never_slower, run};

fn plan(name: &str, goal: Aim, seed: u64) -> Plan {
    let plan = named(name).unwrap().plan(seed, None).unwrap();
    Plan { goal, ..plan }
}

/// Plays a plan: no checker may complain, and at most 3 % may be wasted.
fn play(plan: &Plan) -> Outcome {
    let outcome = run(plan);
    let replay = format!("peerlift sim run {} --seed {}", plan.name, plan.seed);
    assert_eq!(outcome.complaints, [""; 0], "see `{replay}`");
    let wasted = outcome.wasted_bytes() as f64 / outcome.delivered_bytes() as f64;
    assert!(wasted < 0.03, "wasted {wasted}, see `{replay}`");
    outcome
}

/// The last completion over the fluid limit.
fn ratio(plan: &Plan, outcome: &Outcome) -> f64 {
    outcome.last_s / limit::of_plan(plan)
}

/// How often the object left the edge.
fn copies(plan: &Plan, outcome: &Outcome) -> f64 {
    outcome.edge_bytes as f64 / plan.objects[0] as f64
}

/// Nobody is more than 2 % slower than in the same download without peers.
fn assert_never_slower(plan: &Plan, outcome: &Outcome) {
    let complaints = never_slower(outcome, &play(&plan.edge_only()));
    assert_eq!(complaints, [""; 0]);
}

#[test]
fn a_flash_crowd_comes_close_to_the_fluid_limit() {
    let plan = plan("flash12", Aim::Fastest, 1);
    let outcome = play(&plan);
    assert!(ratio(&plan, &outcome) < 1.2);
}

#[test]
fn a_thrifty_flash_crowd_pulls_about_one_copy_and_is_not_slower_than_alone() {
    let plan = plan("flash12", Aim::Thrifty, 1);
    let outcome = play(&plan);
    assert!(copies(&plan, &outcome) < 1.1);
    assert_never_slower(&plan, &outcome);
}

#[test]
fn clients_that_come_one_by_one_live_off_those_before() {
    for (goal, most) in [(Aim::Fastest, 6.0), (Aim::Thrifty, 1.3)] {
        let plan = plan("trickle", goal, 1);
        let outcome = play(&plan);
        assert!(
            copies(&plan, &outcome) < most,
            "{}",
            copies(&plan, &outcome)
        );
        assert_never_slower(&plan, &outcome);
    }
}

#[test]
fn clients_that_leave_or_die_do_not_stop_the_others() {
    for goal in [Aim::Fastest, Aim::Thrifty] {
        let plan = plan("leave", goal, 1);
        let outcome = play(&plan);
        assert!(ratio(&plan, &outcome) < 2.2);
        assert!(outcome.edge_share() < 0.5);
    }
}

#[test]
fn a_liar_is_out_after_its_first_bad_group() {
    for name in ["poison", "poison-late", "poison-last"] {
        let plan = plan(name, Aim::Fastest, 2);
        let outcome = play(&plan);
        let bad = outcome.records.iter().map(|record| record.corrupt_groups);
        assert!(bad.clone().max().unwrap() <= 1, "{name}");
        let banned = outcome.records.iter().map(|record| record.banned);
        assert_eq!(bad.sum::<u32>(), banned.sum::<u32>(), "{name}");
        assert!(ratio(&plan, &outcome) < 1.25, "{name}");
    }
}

#[test]
fn sources_that_stall_or_drip_hold_nobody_up() {
    for name in ["stall", "drip", "poison-quarter"] {
        for goal in [Aim::Fastest, Aim::Thrifty] {
            let plan = plan(name, goal, 3);
            let outcome = play(&plan);
            assert!(ratio(&plan, &outcome) < 1.6, "{name} {goal:?}");
            assert_never_slower(&plan, &outcome);
        }
    }
}

#[test]
fn peers_finish_what_a_dead_edge_began() {
    for goal in [Aim::Fastest, Aim::Thrifty] {
        let mut plan = plan("flash12", goal, 4);
        plan.edge.dies_at = Some(Duration::from_secs(20));
        let outcome = play(&plan);
        assert!(copies(&plan, &outcome) < 2.5);
    }
}

#[test]
fn the_edge_finishes_what_dead_peers_began() {
    for goal in [Aim::Fastest, Aim::Thrifty] {
        let mut plan = plan("flash12", goal, 5);
        let others = plan.visits.iter_mut().skip(1);
        others.for_each(|visit| visit.killed_after = Some(Duration::from_secs(15)));
        let outcome = play(&plan);
        // What was left at 15 s over its own downlink, and the time to notice that all are dead.
        assert!(outcome.records[0].own_s < 45.0, "{:?}", outcome.records[0]);
    }
}

#[test]
fn when_nobody_shares_the_edge_is_shared_evenly() {
    let plan = plan("flash12", Aim::Thrifty, 6).edge_only();
    let outcome = play(&plan);
    assert_eq!(outcome.delivered_bytes(), 12 * plan.objects[0]);
    assert!(ratio(&plan, &outcome) < 1.1);
    assert_eq!(outcome.wasted_bytes(), 0);
}

#[test]
fn without_a_way_through_the_nats_peers_change_nothing() {
    let plan = plan("nat-symmetric", Aim::Thrifty, 6);
    let outcome = play(&plan);
    assert!(outcome.records.iter().all(|record| record.from_peers == 0));
    assert_never_slower(&plan, &outcome);
}

#[test]
fn a_lone_client_keeps_the_edge_busy() {
    let plan = plan("single", Aim::Thrifty, 7);
    let outcome = play(&plan);
    assert!(ratio(&plan, &outcome) < 1.08, "headers are 5 %");
    assert_eq!(
        (outcome.edge_bytes, outcome.wasted_bytes()),
        (plan.objects[0], 0)
    );
    assert!(outcome.requests < 120, "{}", outcome.requests);
}

#[test]
fn thrift_lives_off_seeds_that_fill_the_downlink() {
    let plan = with_seeds(plan("single", Aim::Thrifty, 8), 4);
    let outcome = play(&plan);
    // A tenth of the time goes by until they are there and the edge has been heard.
    assert!(copies(&plan, &outcome) < 0.2, "{}", copies(&plan, &outcome));
    assert_never_slower(&plan, &outcome);
}

#[test]
fn thrift_fills_what_a_single_seed_cannot_give() {
    let plan = with_seeds(plan("single", Aim::Thrifty, 9), 1);
    let outcome = play(&plan);
    assert!(copies(&plan, &outcome) < 0.8, "{}", copies(&plan, &outcome));
}

#[test]
fn thrift_with_a_single_seed_is_not_slower_than_alone() {
    let plan = with_seeds(plan("single", Aim::Thrifty, 9), 1);
    assert_never_slower(&plan, &play(&plan));
}

#[test]
fn floors_and_deadlines_are_kept_with_few_edge_bytes() {
    let floor = Aim::Floor(Rate::from_bytes_per_s(2_000_000));
    let deadline = Aim::Deadline(Duration::from_secs(45));
    for goal in [floor, deadline] {
        let plan = with_seeds(plan("single", goal, 10), 1);
        let outcome = play(&plan);
        assert!(outcome.last_s < 45.0, "{goal:?} {}", outcome.last_s);
        let copies = copies(&plan, &outcome);
        assert!(copies < 0.6, "{goal:?} {copies}");
    }
}

#[test]
fn streams_finish_too() {
    let plan = plan("flash12", Aim::InOrder, 11);
    let outcome = play(&plan);
    assert!(ratio(&plan, &outcome) < 2.0);
}

#[test]
fn a_late_client_among_finished_ones_is_served_by_them() {
    let mut plan = plan("flash12", Aim::Thrifty, 12);
    plan.add(Visit::at(Duration::from_secs(90)), Nature::Honest);
    let outcome = play(&plan);
    let last: &Record = outcome.records.last().unwrap();
    assert!(last.from_peers > last.size * 3 / 4, "{last:?}");
}

#[test]
fn clients_come_back_when_the_control_node_does() {
    let outcome = play(&plan("outage", Aim::Thrifty, 13));
    let (during, after) = (&outcome.records[5], &outcome.records[11]);
    assert!(during.from_peers > 0, "{during:?}");
    assert!(after.returned > 8 && after.from_peers > 0, "{after:?}");
}

fn with_seeds(mut plan: Plan, seeds: usize) -> Plan {
    let seed = Visit {
        seed: true,
        ..Visit::at(Duration::ZERO)
    };
    (0..seeds).for_each(|_| plan.add(seed.clone(), Nature::Honest));
    plan
}
