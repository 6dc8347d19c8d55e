//! What the edge-only twin believes, of edges, peers, seeds and liars.

use super::*;

const SIZE: u64 = 1 << 30;

fn begun(now: Timestamp) -> Twin {
    let mut twin = Twin::new(SIZE, now);
    twin.begin(0, now);
    twin
}

fn sight(edge: u64, peers: u64) -> Sight {
    Sight {
        done: 0,
        edge_bytes: 0,
        edge: Rate::from_bytes_per_s(edge),
        peers: Rate::from_bytes_per_s(peers),
        sum: Rate::from_bytes_per_s(edge + peers),
        edge_driven: true,
        drivers: 0,
        seeded: false,
    }
}

/// Lets so many quarter seconds pass under each sight, after one in which the edge began.
fn live(steps: &[(u64, Sight)]) -> Twin {
    let mut twin = begun(Timestamp::ZERO);
    let (mut now, mut edge_bytes, mut done) = (Timestamp::ZERO, 0, 0);
    for (times, sight) in steps {
        for _ in 0..*times {
            now = now + Duration::from_millis(250);
            edge_bytes += sight.edge.bytes_per_s() / 4;
            done += sight.sum.bytes_per_s() / 4;
            twin.observe(
                Sight {
                    done,
                    edge_bytes,
                    ..*sight
                },
                now,
            );
        }
    }
    twin
}

fn at(millis: u64) -> Timestamp {
    Timestamp::from_micros(millis * 1000)
}

fn rate(twin: &Twin) -> u64 {
    twin.rate().unwrap().bytes_per_s()
}

#[test]
fn it_listens_and_then_runs_at_the_edges_rate() {
    let slow_start = sight(200_000, 0);
    let young = live(&[(2, slow_start), (3, sight(1_000_000, 0))]);
    assert_eq!(young.rate(), None);
    let twin = live(&[(2, slow_start), (22, sight(1_000_000, 0))]);
    assert_eq!((rate(&twin), twin.progress()), (1_000_000, 5_600_000));
}

#[test]
fn until_it_is_looked_at_again_it_may_have_a_little_more() {
    let quarter = Duration::from_millis(250);
    let young = live(&[(2, sight(200_000, 0))]);
    assert!(young.may_have(SIZE, quarter), "nothing is known of it");
    let twin = live(&[(2, sight(200_000, 0)), (22, sight(1_000_000, 0))]);
    assert!(twin.may_have(5_850_000, quarter) && !twin.may_have(5_850_001, quarter));
}

#[test]
fn a_silent_edge_is_not_waited_for() {
    let twin = live(&[(4, sight(0, 0))]);
    assert_eq!(rate(&twin), 0);
    assert_eq!(rate(&live(&[(4, sight(0, 0)), (1, sight(9, 0))])), 9);
}

#[test]
fn peers_on_a_full_downlink_do_not_make_it_slower() {
    let twin = live(&[(8, sight(1_000_000, 0)), (40, sight(400_000, 600_000))]);
    assert_eq!(rate(&twin), 1_000_000);
}

/// Else every few percent of theirs would be the edge's again, at the next look from less.
#[test]
fn nor_do_peers_that_bring_next_to_nothing() {
    let few = sight(960_000, 40_000);
    let twin = live(&[(8, sight(1_000_000, 0)), (40, few)]);
    assert!(rate(&twin) >= 1_000_000, "{}", rate(&twin));
    let slower = live(&[(8, sight(1_000_000, 0)), (80, sight(700_000, 30_000))]);
    assert!(rate(&slower) < 740_000, "{}", rate(&slower));
}

#[test]
fn a_rate_that_was_heard_too_high_comes_down_to_what_a_full_downlink_carries() {
    let full = sight(400_000, 600_000);
    let twin = live(&[(8, sight(1_050_000, 0)), (11, full)]);
    assert_eq!(rate(&twin), 1_050_000, "one second may fall short");
    let twin = live(&[(8, sight(1_050_000, 0)), (24, full)]);
    assert_eq!(rate(&twin), 1_000_000 + 600_000 / 64);
    let idle = Sight {
        edge_driven: false,
        ..full
    };
    let twin = live(&[(8, sight(1_050_000, 0)), (24, idle)]);
    assert_eq!(rate(&twin), 1_050_000, "an edge at rest says nothing");
}

fn beside_seeds(edge: u64, peers: u64) -> Sight {
    Sight {
        seeded: true,
        ..sight(edge, peers)
    }
}

#[test]
fn beside_seeds_nobody_waits_and_the_sum_stands_for_the_edge() {
    let young = live(&[(4, beside_seeds(600_000, 400_000))]);
    assert!(!young.is_listening(|| true) && young.is_listening(|| false));
    let twin = live(&[(8, beside_seeds(360_000, 640_000))]);
    assert_eq!(rate(&twin), 1_010_000);
    let more = live(&[
        (8, beside_seeds(360_000, 640_000)),
        (8, beside_seeds(0, 1_100_000)),
    ]);
    assert_eq!(rate(&more), 1_100_000, "it was not all that they can");
}

#[test]
fn an_edge_that_was_missed_is_heard_alone_and_nothing_is_owed_to_the_mixture() {
    let missed = Sight {
        edge_driven: false,
        ..beside_seeds(0, 800_000)
    };
    let mut twin = live(&[(8, beside_seeds(200_000, 800_000)), (8, missed)]);
    assert_eq!(twin.progress(), 4_031_250);
    twin.on_needed(3_600_000, at(4000));
    assert!(twin.leaves_it_to_the_edge() && twin.is_listening(|| true));
    for quarter in 1..=9 {
        // It pauses for a moment at the end.
        let bytes = quarter.min(8) * 50_000;
        let alone = Sight {
            done: 3_600_000 + bytes,
            edge_bytes: 400_000 + bytes,
            ..beside_seeds(200_000, 0)
        };
        twin.observe(alone, at(4000 + quarter * 250));
    }
    assert!(!twin.leaves_it_to_the_edge());
    assert_eq!((rate(&twin), twin.progress()), (200_000, 1_250_000));
    twin.on_needed(5_000_000, at(7000));
    assert!(!twin.leaves_it_to_the_edge(), "it is known");
}

/// A twin of 1 MB/s that peers have put 1.7 % of the object behind, and the looks after that.
fn behind(alone: u64) -> (Twin, Timestamp, Sight) {
    let mut twin = live(&[(8, sight(1_000_000, 0)), (40, sight(400_000, 600_000))]);
    let mut now = at(12_000);
    let most = SIZE / 1000 * LAG_PER_MILLE - 25_000;
    twin.on_lag(most, 0, now);
    assert!(!twin.leaves_it_to_the_edge(), "not yet");
    twin.on_lag(most + 1, 0, now);
    assert!(twin.is_listening(|| true));
    let mut sight = Sight {
        done: 10_000_000,
        edge_bytes: 6_000_000,
        ..sight(alone, 0)
    };
    look(&mut twin, &mut sight, &mut now, 9);
    (twin, now, sight)
}

#[test]
fn what_peers_may_cost_is_spent_once_and_then_the_edge_brings_the_rest() {
    let (mut twin, mut now, mut sight) = behind(990_000);
    assert!(twin.is_listening(|| true));
    look(&mut twin, &mut sight, &mut now, 40);
    assert!(twin.is_listening(|| true));
    (sight.edge, sight.sum) = (Rate::default(), Rate::default());
    look(&mut twin, &mut sight, &mut now, 18);
    assert!(
        !twin.is_listening(|| true),
        "an edge that stops helps nobody"
    );
}

#[test]
fn an_edge_that_others_ask_has_no_time_to_give_back() {
    let (mut twin, mut now, mut sight) = behind(990_000);
    sight.drivers = 1;
    look(&mut twin, &mut sight, &mut now, 1);
    assert!(!twin.is_listening(|| true));
    twin.on_lag(SIZE / 10, 1, now);
    assert!(!twin.is_listening(|| true));
}

#[test]
fn a_line_that_became_slower_is_not_the_peers_fault() {
    let (mut twin, mut now, mut sight) = behind(800_000);
    assert!(!twin.is_listening(|| true));
    let lag = twin.progress().saturating_sub(sight.done);
    assert!(lag <= 200_000, "no more than one look: {lag}");
    look(&mut twin, &mut sight, &mut now, 4);
    assert!(rate(&twin) <= 810_000, "{}", rate(&twin));
}

#[test]
fn liars_that_promise_everything_do_not_stand_for_the_edge() {
    let listening = live(&[
        (5, beside_seeds(500_000, 500_000)),
        (4, sight(1_000_000, 0)),
    ]);
    assert_eq!(listening.rate(), None, "it begins anew");
    let heard = live(&[(5, beside_seeds(500_000, 500_000)), (6, sight(700_000, 0))]);
    assert_eq!(rate(&heard), 700_000);
}

#[test]
fn a_crowd_at_the_edge_makes_it_slower() {
    let twin = live(&[(8, sight(1_000_000, 0)), (40, sight(100_000, 300_000))]);
    assert!(rate(&twin) < 110_000, "{}", rate(&twin));
}

/// A twin that has heard 1 MB/s alone, when a peer came to the same edge.
fn crowded() -> (Twin, Timestamp, Sight) {
    let mut twin = live(&[(8, sight(1_000_000, 0))]);
    let now = Timestamp::ZERO + Duration::from_secs(2);
    twin.on_joined(SourceId(1), now);
    let both = Sight {
        drivers: 1,
        ..sight(600_000, 400_000)
    };
    (twin, now, both)
}

/// Looks at the same sight so many times, a quarter of a second apart.
fn look(twin: &mut Twin, sight: &mut Sight, now: &mut Timestamp, times: u64) {
    for _ in 0..times {
        *now = *now + Duration::from_millis(250);
        sight.edge_bytes += sight.edge.bytes_per_s() / 4;
        sight.done += sight.sum.bytes_per_s() / 4;
        twin.observe(*sight, *now);
    }
}

#[test]
fn a_slower_edge_is_listened_to_again_and_found_crowded() {
    let (mut twin, mut now, mut sight) = crowded();
    look(&mut twin, &mut sight, &mut now, 1);
    assert!(twin.leaves_it_to_the_edge() && rate(&twin) == 1_000_000);
    (sight.peers, sight.sum) = (Rate::default(), sight.edge);
    look(&mut twin, &mut sight, &mut now, 9);
    assert!(!twin.leaves_it_to_the_edge());
    assert_eq!(
        (rate(&twin), twin.measured_share(now)),
        (600_000, Some(sight.edge))
    );
}

#[test]
fn an_edge_with_gaps_between_short_requests_is_not_crowded() {
    let share_of = |alone: u64| {
        let (mut twin, mut now, mut sight) = crowded();
        look(&mut twin, &mut sight, &mut now, 1);
        sight.edge = Rate::from_bytes_per_s(alone);
        (sight.peers, sight.sum) = (Rate::default(), sight.edge);
        look(&mut twin, &mut sight, &mut now, 9);
        assert!(!twin.leaves_it_to_the_edge());
        twin.measured_share(now).map(Rate::bytes_per_s)
    };
    assert_eq!(share_of(760_000), None);
    assert_eq!(share_of(740_000), Some(740_000));
}

#[test]
fn an_edge_that_takes_the_place_of_peers_is_not_crowded() {
    let (mut twin, mut now, mut sight) = crowded();
    look(&mut twin, &mut sight, &mut now, 1);
    (sight.edge, sight.peers) = (sight.sum, Rate::default());
    look(&mut twin, &mut sight, &mut now, 9);
    assert_eq!((rate(&twin), twin.measured_share(now)), (1_000_000, None));
    (sight.edge, sight.peers) = (
        sight.sum.min(Rate::from_bytes_per_s(500_000)),
        Rate::default(),
    );
    sight.sum = Rate::from_bytes_per_s(1_000_000);
    look(&mut twin, &mut sight, &mut now, 9);
    assert!(
        !twin.leaves_it_to_the_edge(),
        "not again for the same crowd"
    );
}

#[test]
fn one_word_is_not_enough_and_one_liar_is_not_heard() {
    let mut twin = begun(Timestamp::ZERO);
    let mut say = |source, share| {
        let share = Rate::from_bytes_per_s(share);
        twin.on_fair_share(SourceId(source), share, Timestamp::ZERO);
        twin.rate().map(Rate::bytes_per_s)
    };
    assert_eq!(say(1, 1), None, "it is listened to");
    assert_eq!(say(2, 500), Some(500));
    assert_eq!(say(3, 600), Some(600));
    assert_eq!(say(4, u64::MAX), Some(600));
    twin.on_left(SourceId(4), Timestamp::ZERO);
    twin.on_left(SourceId(3), Timestamp::ZERO);
    twin.on_left(SourceId(2), Timestamp::ZERO);
    assert_eq!(twin.rate(), None);
}

#[test]
fn an_edge_at_rest_teaches_nothing() {
    let idle = Sight {
        edge_driven: false,
        ..sight(0, 900_000)
    };
    let twin = live(&[(8, sight(1_000_000, 0)), (40, idle)]);
    assert_eq!(rate(&twin), 1_000_000);
}

/// Peers have measured more than our downlink carries: what a driven edge and they bring together
/// refutes that, and nothing is owed to what was never possible.
#[test]
fn what_peers_say_of_an_edge_is_no_more_than_our_downlink_carries() {
    let mut twin = begun(at(0));
    for source in [1, 2] {
        twin.on_joined(SourceId(source), at(0));
        let said = Rate::from_bytes_per_s(2_000_000);
        twin.on_fair_share(SourceId(source), said, at(0));
    }
    let (mut now, mut full) = (at(0), sight(500_000, 500_000));
    look(&mut twin, &mut full, &mut now, 12);
    assert_eq!(rate(&twin), 2_000_000);
    assert!(twin.progress() > full.done + 1_000_000);
    look(&mut twin, &mut full, &mut now, 12);
    assert_eq!(rate(&twin), 1_000_000 + 500_000 / 64);
    let lag = twin.progress().saturating_sub(full.done);
    assert!(lag < 50_000, "{lag}");
}
