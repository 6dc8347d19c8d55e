//! A seed wakes for what there is to do, and for nothing else.

#![allow(
    clippy::unwrap_used,
    reason = "a test says by panicking what went wrong"
)]

use std::time::Duration;

use peerlift_model::{GroupSet, Layout, Timestamp};
use peerlift_swarm::{Config, Event, Limits, Output, SourceId, Swarm};

const MINUTE: Duration = Duration::from_secs(60);

/// A seed with places for two, and so many peers; with what it says in a minute, and how often it
/// wakes.
fn a_minute(peers: u32, late_by: Duration) -> (usize, Vec<(Timestamp, Output)>) {
    let layout = Layout::new(1 << 20).unwrap();
    let limits = Limits {
        unchoked: 2,
        ..Limits::default()
    };
    let config = Config {
        share: true,
        limits,
        ..Config::default()
    };
    let have: GroupSet = layout.all_groups().into();
    let mut swarm = Swarm::new(config, layout, have, 1, Timestamp::ZERO);
    for number in 1..=peers {
        let source = SourceId(number);
        let rtt = Duration::from_millis(20);
        swarm.handle(Event::PeerJoined { source, rtt }, Timestamp::ZERO);
    }
    let (mut wakes, mut said) = (0, Vec::new());
    while let Some(due) = swarm.poll_timeout()
        && due < Timestamp::ZERO + MINUTE
    {
        let now = due + late_by;
        wakes += 1;
        swarm.handle_timeout(now);
        while let Some(output) = swarm.poll_output() {
            said.push((now, output));
        }
    }
    (wakes, said)
}

#[test]
fn a_seed_with_room_for_all_sleeps() {
    assert_eq!(a_minute(2, Duration::ZERO).0, 0);
}

#[test]
fn a_crowded_seed_wakes_for_turns_only() {
    let (wakes, said) = a_minute(3, Duration::ZERO);
    let turns = said
        .iter()
        .filter(|(_, output)| matches!(output, Output::Choke { .. }));
    assert_eq!(turns.count(), 5, "one every ten seconds");
    assert!(wakes <= 8, "{wakes}");
}

/// Timers of a busy machine come late.
#[test]
fn turns_come_although_wakes_are_late() {
    let (wakes, said) = a_minute(3, Duration::from_millis(7));
    let turns = said
        .iter()
        .filter(|(_, output)| matches!(output, Output::Choke { .. }));
    assert_eq!(turns.count(), 5);
    assert!(wakes <= 8, "{wakes}");
}
