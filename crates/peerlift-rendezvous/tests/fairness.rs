//! Over many answers every holder of an object is named about equally often.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use peerlift_model::{NatClass, ObjectId, PeerId, Timestamp};
use peerlift_rendezvous::policy::{Limits, Pace, Rotation};
use peerlift_rendezvous::{Arrival, Config, Event, Output, Policy, Rendezvous, SessionId};

const OBJECT: ObjectId = ObjectId::new([9; 32]);

/// Holders, a number without divisors so that no stride favours some.
const HOLDERS: u32 = 401;

/// Answers, of forty peers each.
const ANSWERS: u32 = 4_000;

struct Node {
    core: Rendezvous,
    now: Timestamp,
}

impl Node {
    fn new(choices: usize) -> Self {
        let often = Pace::new(1_000_000, Duration::from_millis(1));
        let policy = Policy {
            rotation: Rotation {
                choices,
                ..Rotation::default()
            },
            limits: Limits {
                queries: often,
                prefix_queries: often,
                ..Limits::default()
            },
            ..Policy::default()
        };
        let config = Config {
            policy,
            silence_max: Duration::from_secs(1_000_000),
            ..Config::default()
        };
        Self {
            core: Rendezvous::new(config, 1),
            now: Timestamp::ZERO,
        }
    }

    fn tell(&mut self, event: Event) -> Vec<Output> {
        self.core.handle(event, self.now);
        std::iter::from_fn(|| self.core.poll_output()).collect()
    }

    /// A client of a site of its own, as near to any other as all are.
    fn join(&mut self, number: u32) -> SessionId {
        let session = SessionId(number.into());
        let address = address(number);
        let arrival = Arrival::new(peer(number), true, Some(address.ip()));
        self.tell(Event::Joined { session, arrival });
        self.tell(Event::Address {
            session,
            direct: vec![address],
            relay: None,
            tcp_port: None,
            nat: NatClass::Open,
        });
        session
    }

    /// The keys that an answer names.
    fn ask(&mut self, session: SessionId) -> Vec<PeerId> {
        let outputs = self.tell(Event::Query {
            session,
            object: OBJECT,
            max: 40,
            known: Vec::new(),
        });
        let Some(Output::Introduce { peers, .. }) = outputs.first() else {
            panic!("{outputs:?}")
        };
        peers.iter().map(|meeting| meeting.peer).collect()
    }
}

fn peer(number: u32) -> PeerId {
    let mut bytes = [1; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    PeerId::new(bytes)
}

/// A prefix for each.
fn address(number: u32) -> SocketAddr {
    let [_, _, a, b] = number.to_be_bytes();
    SocketAddr::from(([20, a, b, 1], 5000))
}

/// How often each holder is named.
fn counts(choices: usize) -> Vec<u32> {
    let mut node = Node::new(choices);
    for number in 0..HOLDERS {
        let session = node.join(number);
        let complete = true;
        node.tell(Event::Announce {
            session,
            object: OBJECT,
            complete,
        });
    }
    let asker = node.join(HOLDERS);
    let mut counts: BTreeMap<PeerId, u32> = (0..HOLDERS).map(|it| (peer(it), 0)).collect();
    for _ in 0..ANSWERS {
        let named = node.ask(asker);
        assert_eq!(named.len(), 40);
        for peer in named {
            *counts.get_mut(&peer).unwrap() += 1;
        }
        node.now = node.now + Duration::from_millis(100);
    }
    counts.into_values().collect()
}

/// Pearson's test: the sum of squared deviations from the mean, over the mean.
fn chi_square(counts: &[u32]) -> f64 {
    let mean = f64::from(40 * ANSWERS) / f64::from(HOLDERS);
    let deviations = counts.iter().map(|count| f64::from(*count) - mean);
    deviations.map(|off| off * off).sum::<f64>() / mean
}

/// Four hundred degrees of freedom: 550 is passed by pure chance once in a million times (Wilson and
/// Hilferty's approximation). The seed is fixed, so that it is passed always or never.
const CHI_SQUARE_MAX: f64 = 550.0;

#[test]
fn by_chance_alone_all_holders_are_named_equally_often() {
    let counts = counts(1);
    let chi_square = chi_square(&counts);
    assert!(chi_square < CHI_SQUARE_MAX, "{chi_square}: {counts:?}");
}

/// Whoever was named is passed over for a while: the counts lie closer than chance has them.
#[test]
fn by_load_they_are_named_more_equally_than_by_chance() {
    let (by_chance, by_load) = (chi_square(&counts(1)), chi_square(&counts(2)));
    assert!(by_load < by_chance / 2.0, "{by_load} of {by_chance}");
}
