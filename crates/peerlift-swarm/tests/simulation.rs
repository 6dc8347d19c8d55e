//! Whole downloads on a small simulated internet, run by the production core.
//!
//! The world itself checks every output (no source is asked for what it has not announced, no
//! request twice by one name, lanes and windows bounded, nothing served that is not there, books
//! that balance); these tests check what comes of it. The simulation is deterministic, so none of
//! them can flake; the bounds are generous, the `flash` example prints the figures.

mod sim;

use std::time::Duration;

use peerlift_model::{Rate, Timestamp};
use peerlift_swarm::Goal;
use sim::scenario::{Client, Nature, Scenario};
use sim::world::{Outcome, World};

/// Plays a scenario. Everybody who was not killed must get everything, with at most 3 % wasted.
fn play(scenario: &Scenario) -> Outcome {
    let outcome = World::run(scenario.clone());
    for (client, own) in scenario.clients.iter().zip(&outcome.own_s) {
        let awaited = client.nature == Nature::Honest && client.killed.is_none();
        assert!(!awaited || own.is_some(), "somebody did not finish");
    }
    let wasted = outcome.wasted_bytes as f64 / outcome.delivered_bytes as f64;
    assert!(wasted < 0.03, "wasted {wasted}");
    outcome
}

/// The last completion over the fluid limit.
fn ratio(scenario: &Scenario, outcome: &Outcome) -> f64 {
    outcome.last_s / scenario.limit()
}

/// How often the object left the edge.
fn copies(scenario: &Scenario, outcome: &Outcome) -> f64 {
    outcome.edge_bytes as f64 / scenario.size as f64
}

/// Nobody is more than 2 % slower than in the same download without peers.
fn assert_never_slower(outcome: &Outcome, twin: &Outcome) {
    for (own, twin) in outcome.own_s.iter().zip(&twin.own_s) {
        if let (Some(own), Some(twin)) = (own, twin) {
            assert!(*own <= twin * 1.02, "{own} s, alone {twin} s");
        }
    }
}

#[test]
fn a_flash_crowd_comes_close_to_the_fluid_limit() {
    let scenario = Scenario::flash12(Goal::Fastest, 1);
    let outcome = play(&scenario);
    assert!(ratio(&scenario, &outcome) < 1.2);
}

#[test]
fn a_thrifty_flash_crowd_pulls_about_one_copy_and_is_not_slower_than_alone() {
    let scenario = Scenario::flash12(Goal::Thrifty, 1);
    let outcome = play(&scenario);
    assert!(copies(&scenario, &outcome) < 1.5);
    assert_never_slower(&outcome, &play(&scenario.edge_only()));
}

#[test]
fn clients_that_come_one_by_one_live_off_those_before() {
    for goal in [Goal::Fastest, Goal::Thrifty] {
        let scenario = Scenario::trickle(goal, 1);
        let outcome = play(&scenario);
        assert!(outcome.edge_share() < 0.5);
        assert_never_slower(&outcome, &play(&scenario.edge_only()));
    }
}

#[test]
fn clients_that_leave_or_die_do_not_stop_the_others() {
    for goal in [Goal::Fastest, Goal::Thrifty] {
        let scenario = Scenario::leave(goal, 1);
        let outcome = play(&scenario);
        assert!(ratio(&scenario, &outcome) < 2.2);
        assert!(outcome.edge_share() < 0.5);
    }
}

#[test]
fn a_liar_is_out_after_its_first_bad_group() {
    for nature in [Nature::Liar, Nature::LateLiar] {
        let scenario = Scenario::flash12(Goal::Fastest, 2).with(nature);
        let outcome = play(&scenario);
        let liar = u32::try_from(scenario.clients.len()).unwrap();
        for status in outcome.status.iter().flatten() {
            assert!(status.sources.iter().all(|source| source.source.0 != liar));
        }
        assert!(ratio(&scenario, &outcome) < 1.25);
    }
}

#[test]
fn sources_that_stall_or_drip_hold_nobody_up() {
    for nature in [Nature::Staller, Nature::Dripper] {
        for goal in [Goal::Fastest, Goal::Thrifty] {
            let scenario = Scenario::flash12(goal, 3).with(nature);
            let outcome = play(&scenario);
            assert!(ratio(&scenario, &outcome) < 1.6, "{nature:?} {goal:?}");
        }
    }
}

#[test]
fn peers_finish_what_a_dead_edge_began() {
    for goal in [Goal::Fastest, Goal::Thrifty] {
        let mut scenario = Scenario::flash12(goal, 4);
        scenario.edge_dies_at = Some(20.0);
        let outcome = play(&scenario);
        assert!(copies(&scenario, &outcome) < 2.5);
    }
}

#[test]
fn the_edge_finishes_what_dead_peers_began() {
    for goal in [Goal::Fastest, Goal::Thrifty] {
        let mut scenario = Scenario::flash12(goal, 5);
        (scenario.clients.iter_mut().skip(1)).for_each(|client| client.killed = Some(15.0));
        let outcome = play(&scenario);
        // What was left at 15 s over its own downlink, and the time to notice that all are dead.
        assert!(outcome.own_s[0].unwrap() < 45.0, "{:?}", outcome.own_s[0]);
    }
}

#[test]
fn when_nobody_shares_the_edge_is_shared_evenly() {
    let scenario = Scenario::flash12(Goal::Thrifty, 6).edge_only();
    let outcome = play(&scenario);
    assert_eq!(outcome.delivered_bytes, 12 * scenario.size);
    let floor = 12.0 * scenario.size as f64 / (scenario.edge_up_mbit * 1e6 / 8.0);
    assert!(outcome.last_s < floor * 1.1);
    assert_eq!(outcome.wasted_bytes, 0);
}

#[test]
fn a_lone_client_keeps_the_edge_busy() {
    let scenario = Scenario::single(Goal::Thrifty, 7);
    let outcome = play(&scenario);
    assert!(ratio(&scenario, &outcome) < 1.08, "headers are 5 %");
    assert_eq!(
        (outcome.edge_bytes, outcome.wasted_bytes),
        (scenario.size, 0)
    );
    assert!(outcome.requests < 120, "{}", outcome.requests);
}

#[test]
fn thrift_lives_off_seeds_that_fill_the_downlink() {
    let scenario = Scenario::single(Goal::Thrifty, 8).with_seeds(4);
    let outcome = play(&scenario);
    assert!(
        copies(&scenario, &outcome) < 0.3,
        "{}",
        copies(&scenario, &outcome)
    );
    assert_never_slower(&outcome, &play(&scenario.edge_only()));
}

#[test]
fn thrift_fills_what_a_single_seed_cannot_give() {
    let scenario = Scenario::single(Goal::Thrifty, 9).with_seeds(1);
    let outcome = play(&scenario);
    assert!(
        copies(&scenario, &outcome) < 0.8,
        "{}",
        copies(&scenario, &outcome)
    );
    assert_never_slower(&outcome, &play(&scenario.edge_only()));
}

#[test]
fn floors_and_deadlines_are_kept_with_few_edge_bytes() {
    let floor = Goal::Floor(Rate::from_bytes_per_s(2_000_000));
    let deadline = Goal::Deadline(Timestamp::ZERO + Duration::from_secs(45));
    for goal in [floor, deadline] {
        let scenario = Scenario::single(goal, 10).with_seeds(1);
        let outcome = play(&scenario);
        assert!(outcome.last_s < 45.0, "{goal:?} {}", outcome.last_s);
        assert!(
            copies(&scenario, &outcome) < 0.6,
            "{goal:?} {}",
            copies(&scenario, &outcome)
        );
    }
}

#[test]
fn streams_finish_too() {
    let scenario = Scenario::flash12(Goal::InOrder, 11);
    let outcome = play(&scenario);
    assert!(ratio(&scenario, &outcome) < 2.0);
}

#[test]
fn a_late_client_among_finished_ones_is_served_by_them() {
    let mut scenario = Scenario::flash12(Goal::Thrifty, 12);
    scenario.clients.push(Client::honest(90.0));
    let outcome = play(&scenario);
    let last = outcome.status.last().unwrap().as_ref().unwrap();
    assert!(last.from_peers > last.size * 3 / 4, "{last:?}");
}

#[test]
fn one_seed_is_one_history() {
    let leave = |seed| play(&Scenario::leave(Goal::Thrifty, seed));
    assert_eq!(leave(13), leave(13));
    assert_ne!(leave(13).history, leave(14).history);
}
