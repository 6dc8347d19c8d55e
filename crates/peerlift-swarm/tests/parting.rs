//! Who has everything parts from who has everything.

#![allow(
    clippy::unwrap_used,
    reason = "a test says by panicking what went wrong"
)]

use std::time::Duration;

use peerlift_model::{GroupSet, Layout, Timestamp};
use peerlift_swarm::{Config, Event, Limits, Output, RequestEnd, SourceId, Swarm};

const NOW: Timestamp = Timestamp::ZERO;
const RTT: Duration = Duration::from_millis(20);

fn layout() -> Layout {
    Layout::new(1 << 20).unwrap()
}

/// A client that shares, with places for two.
fn client(have: GroupSet) -> Swarm {
    let limits = Limits {
        unchoked: 2,
        ..Limits::default()
    };
    let config = Config {
        share: true,
        limits,
        ..Config::default()
    };
    Swarm::new(config, layout(), have, 1, NOW)
}

fn join(swarm: &mut Swarm, source: SourceId) {
    swarm.handle(Event::PeerJoined { source, rtt: RTT }, NOW);
}

fn said(swarm: &mut Swarm) -> Vec<Output> {
    std::iter::from_fn(|| swarm.poll_output()).collect()
}

/// The places of a seed are for who lacks something: whoever has everything by now makes room,
/// whether it says so at once or run by run.
#[test]
fn a_seed_gives_the_places_of_the_complete_to_others() {
    let mut seed = client(layout().all_groups().into());
    (1..=4).for_each(|peer| join(&mut seed, SourceId(peer)));
    said(&mut seed);
    let source = SourceId(1);
    seed.handle(Event::HaveAll { source }, NOW);
    let dismissed = Output::Dismiss { source };
    let unchoked = |source| Output::Unchoke {
        source: SourceId(source),
    };
    assert_eq!(said(&mut seed), [dismissed, unchoked(3)]);
    let (source, groups) = (SourceId(2), layout().all_groups());
    seed.handle(Event::Have { source, groups }, NOW);
    assert_eq!(said(&mut seed), [Output::Dismiss { source }, unchoked(4)]);
}

/// … and who has just got the last group takes leave of its seeds, not of the others.
#[test]
fn a_client_that_is_done_leaves_the_seeds() {
    let mut client = client(GroupSet::new());
    let (seed, other) = (SourceId(1), SourceId(2));
    join(&mut client, seed);
    join(&mut client, other);
    client.handle(Event::HaveAll { source: seed }, NOW);
    client.handle(Event::Unchoked { source: seed }, NOW);
    let mut dismissed = Vec::new();
    for _ in 0..1000 {
        for output in said(&mut client) {
            if let Output::Request {
                request, groups, ..
            } = output
            {
                client.handle(Event::Arrived { request, groups }, NOW);
                let end = RequestEnd::Done;
                client.handle(Event::Ended { request, end }, NOW);
            } else if let Output::Dismiss { source } = output {
                dismissed.push(source);
            }
        }
    }
    assert!(client.is_finished());
    assert_eq!(dismissed, [seed]);
}
