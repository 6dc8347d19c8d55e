//! How many seeds that have never delivered are asked at a time.

#![allow(
    clippy::unwrap_used,
    reason = "a test says by panicking what went wrong"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use peerlift_model::{GROUP_BYTES, GroupRange, GroupSet, Layout, Timestamp};
use peerlift_swarm::{Config, Event, Goal, Output, RequestEnd, RequestId, SourceId, Swarm};

const PEERS: u32 = 40;

/// A download of so many groups that meets many peers at once. All have everything: some say so, others say
/// that they have every group.
fn meet(groups: u64, seeds: bool) -> (Swarm, Timestamp) {
    let now = Timestamp::from_micros(0);
    let layout = Layout::new(groups * GROUP_BYTES).unwrap();
    let config = Config {
        goal: Goal::Fastest,
        ..Config::default()
    };
    let mut swarm = Swarm::new(config, layout, GroupSet::new(), 1, now);
    for source in (1..=PEERS).map(SourceId) {
        let rtt = Duration::from_millis(50);
        for event in [
            Event::PeerJoined { source, rtt },
            if seeds {
                Event::HaveAll { source }
            } else {
                let groups = layout.all_groups();
                Event::Have { source, groups }
            },
            Event::Unchoked { source },
        ] {
            swarm.handle(event, now);
        }
    }
    (swarm, now)
}

fn asked(swarm: &mut Swarm) -> Vec<(RequestId, SourceId, GroupRange)> {
    let outputs = std::iter::from_fn(|| swarm.poll_output());
    let mut asked = Vec::new();
    for output in outputs {
        if let Output::Request {
            request,
            source,
            groups,
        } = output
        {
            asked.push((request, source, groups));
        }
    }
    asked
}

#[test]
fn a_small_download_tries_a_sixteenth_of_itself_and_a_large_one_everybody() {
    let tried = |groups| {
        let (mut swarm, _) = meet(groups, true);
        asked(&mut swarm)
    };
    let sources = |groups| {
        let asked = tried(groups).into_iter().map(|(_, source, _)| source);
        asked.collect::<BTreeSet<SourceId>>().len()
    };
    assert_eq!((sources(8), sources(64 * 1024)), (1, PEERS as usize));
    for groups in [160, 320, 1600] {
        let runs: Vec<u32> = tried(groups).iter().map(|(_, _, run)| run.len()).collect();
        let (asked, last) = (runs.iter().sum::<u32>(), runs.last().unwrap());
        let part = u32::try_from(groups / 16).unwrap();
        assert!(asked > part && asked - last <= part, "{groups}: {runs:?}");
    }
}

#[test]
fn who_delivers_makes_room_for_the_next() {
    let (mut swarm, now) = meet(160, true);
    let first = asked(&mut swarm);
    let mut known: BTreeSet<SourceId> = first.iter().map(|(_, source, _)| *source).collect();
    let (request, _, groups) = first[0];
    let now = now + Duration::from_millis(60);
    swarm.handle(Event::Arrived { request, groups }, now);
    let end = RequestEnd::Done;
    swarm.handle(Event::Ended { request, end }, now);
    swarm.handle_timeout(now + Duration::from_millis(250));
    let more = asked(&mut swarm).into_iter().map(|(_, source, _)| source);
    let new = more.filter(|source| known.insert(*source)).count();
    assert_eq!(new, 1);
}

#[test]
fn of_a_crowd_everybody_is_tried() {
    let (mut swarm, _) = meet(4 * 160, false);
    let sources = asked(&mut swarm).into_iter().map(|(_, source, _)| source);
    assert_eq!(
        sources.collect::<BTreeSet<SourceId>>().len(),
        PEERS as usize
    );
}
