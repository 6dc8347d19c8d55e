//! What an object says it needs of an uplink that it shares with others.

#![allow(
    clippy::unwrap_used,
    reason = "a test says by panicking what went wrong"
)]

use std::time::Duration;

use peerlift_model::{GroupRange, GroupSet, Layout, Rate, Timestamp};
use peerlift_swarm::{Config, Event, Need, ServeId, SourceId, Swarm, split_uplink};

const NOW: Timestamp = Timestamp::ZERO;
const UPLINK: Rate = Rate::from_bytes_per_s(1_600_000);

/// Somebody with nearly all of an object that so many ask for, and that so many others have.
fn holder(askers: u32, holders: u32) -> Swarm {
    let layout = Layout::new(1 << 20).unwrap();
    let have: GroupSet = GroupRange::new(0, layout.group_count() - 1).into();
    let config = Config {
        share: true,
        ..Config::default()
    };
    let mut swarm = Swarm::new(config, layout, have, 1, NOW);
    let rtt = Duration::from_millis(20);
    for number in 0..askers + holders {
        let source = SourceId(number);
        swarm.handle(Event::PeerJoined { source, rtt }, NOW);
    }
    for number in askers..askers + holders {
        let source = SourceId(number);
        swarm.handle(Event::HaveAll { source }, NOW);
    }
    for number in 0..askers {
        let (source, serve) = (SourceId(number), ServeId(number.into()));
        let groups = GroupRange::new(0, 1);
        swarm.handle(
            Event::Asked {
                source,
                serve,
                groups,
            },
            NOW,
        );
    }
    swarm
}

fn need(swarm: &Swarm) -> Need {
    swarm.need(Rate::from_bytes_per_s(u64::MAX))
}

#[test]
fn the_askers_and_the_copies_of_the_rarest_piece_are_counted() {
    let mut swarm = holder(3, 2);
    assert_eq!((need(&swarm).askers, need(&swarm).copies), (3, 2));
    swarm.handle(Event::ServeEnded { serve: ServeId(0) }, NOW);
    swarm.handle(
        Event::Left {
            source: SourceId(1),
        },
        NOW,
    );
    swarm.handle(
        Event::Left {
            source: SourceId(3),
        },
        NOW,
    );
    assert_eq!((need(&swarm).askers, need(&swarm).copies), (1, 1));
}

#[test]
fn an_object_that_nobody_else_has_gets_more_of_the_uplink() {
    let needs = [(0, need(&holder(4, 0))), (1, need(&holder(4, 8)))];
    let parts = split_uplink(UPLINK, &needs.into_iter().collect());
    assert_eq!(parts[&0].bytes_per_s(), 1_500_000);
    assert_eq!(parts[&1].bytes_per_s(), 100_000);
}
