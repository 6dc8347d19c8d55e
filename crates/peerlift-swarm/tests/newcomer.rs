//! What a thrifty download takes from an edge in its first second.

#![allow(
    clippy::unwrap_used,
    reason = "a test says by panicking what went wrong"
)]

use std::time::Duration;

use peerlift_model::{GroupRange, GroupSet, Layout, Rate, Timestamp};
use peerlift_swarm::{Cause, Config, Event, Output, RequestEnd, RequestId, SourceId, Swarm};

const EDGE: SourceId = SourceId(0);
const SHARE: Rate = Rate::from_bytes_per_s(500_000);

fn at(millis: u64) -> Timestamp {
    Timestamp::from_micros(millis * 1000)
}

/// A download whose edge delivers what it was asked for every fifty milliseconds, and whose peers
/// deliver nothing.
struct Newcomer {
    swarm: Swarm,
    asked: Vec<(RequestId, GroupRange)>,
}

impl Newcomer {
    fn new() -> Self {
        let config = Config {
            share: true,
            ..Config::default()
        };
        let layout = Layout::new(64 << 20).unwrap();
        let mut swarm = Swarm::new(config, layout, GroupSet::new(), 1, at(0));
        let lanes = 4;
        swarm.handle(
            Event::EdgeJoined {
                source: EDGE,
                lanes,
            },
            at(0),
        );
        let asked = Vec::new();
        Self { swarm, asked }
    }

    /// Goes on until then; says why the edge was asked for more meanwhile.
    fn play(&mut self, millis: std::ops::Range<u64>) -> Vec<Cause> {
        let mut causes = Vec::new();
        for now in millis.step_by(50).map(at) {
            if self.swarm.poll_timeout().is_some_and(|due| due <= now) {
                self.swarm.handle_timeout(now);
            }
            for (request, groups) in std::mem::take(&mut self.asked) {
                let end = RequestEnd::Done;
                for event in [
                    Event::Answered { request },
                    Event::Arrived { request, groups },
                    Event::Ended { request, end },
                ] {
                    self.swarm.handle(event, now);
                }
            }
            while let Some(output) = self.swarm.poll_output() {
                if let Output::Request {
                    request,
                    source: EDGE,
                    groups,
                } = output
                {
                    self.asked.push((request, groups));
                    causes.extend(self.swarm.cause(request));
                }
            }
        }
        causes
    }

    /// A peer that has a little, and knows what an edge gives here.
    fn meet(&mut self, peer: u32, now: Timestamp) {
        let (source, rtt) = (SourceId(peer), Duration::from_millis(50));
        let groups = GroupRange::new(peer * 8, peer * 8 + 8);
        for event in [
            Event::PeerJoined { source, rtt },
            Event::Have { source, groups },
            Event::Unchoked { source },
            Event::FairShare {
                source,
                share: SHARE,
            },
        ] {
            self.swarm.handle(event, now);
        }
    }
}

#[test]
fn what_the_first_peers_do_not_have_is_left_to_the_next_for_a_second() {
    let mut newcomer = Newcomer::new();
    let alone = newcomer.play(0..400);
    assert!(alone.iter().all(|cause| *cause == Cause::Alone) && !alone.is_empty());
    (1..=2).for_each(|peer| newcomer.meet(peer, at(400)));
    let met = newcomer.play(400..1000);
    assert!(!met.contains(&Cause::Injected), "{met:?}");
    let known = newcomer.play(1000..2000);
    assert!(known.contains(&Cause::Injected), "{known:?}");
}
