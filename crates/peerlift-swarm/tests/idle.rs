//! A seed wakes for what there is to do, and for nothing else.

#![allow(
    clippy::unwrap_used,
    reason = "a test says by panicking what went wrong"
)]

use std::collections::VecDeque;
use std::time::Duration;

use peerlift_model::{GroupRange, GroupSet, Layout, Timestamp};
use peerlift_swarm::{Config, Event, Limits, Output, RequestEnd, RequestId, SourceId, Swarm};

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

const STEP: Duration = Duration::from_millis(100);

/// A download of 16 MiB from an edge that answers a mebibyte a second, and in its second half
/// a peer that downloads as well; what it says of the edge within a minute after it is done.
fn shares_told_when_done() -> usize {
    let layout = Layout::new(16 << 20).unwrap();
    let config = Config {
        share: true,
        ..Config::default()
    };
    let (mut now, mut due) = (Timestamp::ZERO, VecDeque::<(RequestId, GroupRange)>::new());
    let mut swarm = Swarm::new(config, layout, GroupSet::new(), 1, now);
    let (edge, peer, rtt) = (SourceId(1), SourceId(2), Duration::from_millis(20));
    let (edge_joined, mut peer_joined) = (
        Event::EdgeJoined {
            source: edge,
            lanes: 1,
        },
        Some(Event::PeerJoined { source: peer, rtt }),
    );
    swarm.handle(edge_joined, now);
    let (mut done, mut told) = (None, 0);
    let mut missing = layout.all_groups().len();
    while done.is_none_or(|at| now < at + MINUTE) {
        assert!(now < Timestamp::ZERO + MINUTE * 3, "it ends");
        now = now + STEP;
        swarm.handle_timeout(now);
        if missing <= 16 * 64 / 2
            && let Some(event) = peer_joined.take()
        {
            swarm.handle(event, now);
        }
        // The last comes at once, so that the edge is at work until it is done.
        let asked: u32 = due.iter().map(|(_, groups)| groups.len()).sum();
        let at_once = if asked == missing { missing } else { 6 };
        let mut ended = Vec::new();
        for _ in 0..at_once {
            let Some((request, groups)) = due.pop_front() else {
                break;
            };
            let (next, rest) = (groups.start() + 1, groups.end());
            let groups = GroupRange::new(groups.start(), next);
            swarm.handle(Event::Arrived { request, groups }, now);
            missing -= 1;
            if next < rest {
                due.push_back((request, GroupRange::new(next, rest)));
            } else {
                ended.push(request);
            }
        }
        for request in ended {
            let end = RequestEnd::Done;
            swarm.handle(Event::Ended { request, end }, now);
        }
        while let Some(output) = swarm.poll_output() {
            if let Output::Request {
                request, groups, ..
            } = output
            {
                due.push_back((request, groups));
            } else if let Output::Finished = output {
                done = Some(now);
            } else if let Output::FairShare { .. } = output {
                told += usize::from(done.is_some());
            }
        }
    }
    told
}

/// What its rates fade to is nobody's share of the edge.
#[test]
fn who_is_done_measures_the_edge_no_more() {
    assert_eq!(shares_told_when_done(), 0);
}
