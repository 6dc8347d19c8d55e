//! How long a silent source is waited for, by how its requests went before.

use std::time::Duration;

use peerlift_model::{GroupRange, GroupSet, Layout, Timestamp};
use peerlift_swarm::{Config, Event, Goal, Output, RequestEnd, RequestId, SourceId, Swarm};

const SIZE: u64 = 4 << 30;
/// Until the first byte of an answer.
const THINKS: Duration = Duration::from_secs(5);
/// Between two groups of it.
const GAP: Duration = Duration::from_millis(20);

/// A download from an edge of one lane that thinks before it answers.
struct Alone {
    swarm: Swarm,
    now: Timestamp,
}

impl Alone {
    fn new() -> Self {
        let config = Config {
            goal: Goal::Fastest,
            ..Config::default()
        };
        let layout = Layout::new(SIZE).expect("small enough");
        let now = Timestamp::ZERO;
        let mut swarm = Swarm::new(config, layout, GroupSet::new(), 1, now);
        let source = SourceId(0);
        swarm.handle(Event::EdgeJoined { source, lanes: 1 }, now);
        Self { swarm, now }
    }

    fn request(&mut self) -> (RequestId, GroupRange) {
        while let Some(output) = self.swarm.poll_output() {
            if let Output::Request {
                request, groups, ..
            } = output
            {
                return (request, groups);
            }
        }
        panic!("nothing is asked for");
    }

    /// Lets ticks pass.
    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.swarm.poll_timeout().filter(|at| *at <= until) {
            self.now = at;
            self.swarm.handle_timeout(at);
        }
        self.now = until;
    }

    /// Answers one request, with so much time between two groups.
    fn answer(&mut self, gap: Duration) {
        let (request, groups) = self.request();
        self.wait(THINKS);
        for group in groups.start()..groups.end() {
            self.wait(gap);
            let groups = GroupRange::new(group, group + 1);
            self.swarm
                .handle(Event::Arrived { request, groups }, self.now);
        }
        let end = RequestEnd::Done;
        self.swarm.handle(Event::Ended { request, end }, self.now);
    }

    /// How long the next request is waited for in vain.
    fn patience(&mut self) -> Duration {
        let (silent, _) = self.request();
        let since = self.now;
        loop {
            self.wait(Swarm::TICK);
            let outputs = std::iter::from_fn(|| self.swarm.poll_output());
            let cancel = Output::Cancel { request: silent };
            if outputs.into_iter().any(|output| output == cancel) {
                return self.now.since(since);
            }
        }
    }
}

#[test]
fn who_was_always_on_time_is_late_sooner() {
    let patience = |gaps: [Duration; 2]| {
        let mut alone = Alone::new();
        (0..15).for_each(|_| gaps.into_iter().for_each(|gap| alone.answer(gap)));
        // What is expected from here on is the same.
        (0..2).for_each(|_| alone.answer(GAP));
        alone.patience()
    };
    let (steady, unsteady) = (patience([GAP, GAP]), patience([GAP, GAP * 350]));
    assert!(steady + THINKS / 2 < unsteady, "{steady:?} {unsteady:?}");
}
