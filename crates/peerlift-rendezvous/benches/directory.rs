//! What a directory of ten million entries costs: memory an entry, answers a second on one core,
//! and how long single answers take.
//!
//! `cargo bench -p peerlift-rendezvous` runs it; `ENTRIES=1000000` makes it smaller. Memory is what
//! the process has resident, from `/proc/self/statm`.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measurement reads clocks and prints; a failed step fails it"
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use peerlift_model::{NatClass, ObjectId, PeerId, Timestamp};
use peerlift_rendezvous::policy::{Limits, Pace};
use peerlift_rendezvous::{Arrival, Config, Event, Network, Policy, Rendezvous, SessionId};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// Clients have this many objects each.
const HELD: usize = 10;

/// One client in this many has the most popular object.
const POPULAR: u64 = 2;

fn main() {
    let entries: usize = std::env::var("ENTRIES").map_or(10_000_000, |text| text.parse().unwrap());
    let clients = entries / HELD;
    let objects = entries / 50;
    let mut rng = Pcg64Mcg::seed_from_u64(1);
    let mut node = Rendezvous::new(unlimited(), 1);
    for number in 0..clients {
        join(&mut node, number as u64, &mut rng);
    }
    let before = resident();
    let began = Instant::now();
    for number in 0..clients {
        for n in 0..HELD {
            let popular = n == 0 && (number as u64).is_multiple_of(POPULAR);
            let object = if popular {
                0
            } else {
                skewed(objects, &mut rng)
            };
            announce(&mut node, number as u64, object);
        }
    }
    let took = began.elapsed();
    let held = node.entries();
    let bytes = resident().saturating_sub(before);
    println!(
        "entries                 {held} of {} objects",
        node.objects()
    );
    println!(
        "memory an entry         {:.1} bytes, both directions and the objects",
        bytes as f64 / held as f64
    );
    println!(
        "announcements a second  {:.0}",
        held as f64 / took.as_secs_f64()
    );
    println!("holders of one object   {}", node.holders(object(0)));
    for (name, pick) in [
        ("popular", Pick::Popular),
        ("drawn like announced", Pick::Skewed),
        ("unknown", Pick::Unknown),
    ] {
        measure(&mut node, name, pick, clients, objects, &mut rng);
    }
}

#[derive(Clone, Copy)]
enum Pick {
    Popular,
    Skewed,
    Unknown,
}

fn measure(
    node: &mut Rendezvous,
    name: &str,
    pick: Pick,
    clients: usize,
    objects: usize,
    rng: &mut Pcg64Mcg,
) {
    const QUERIES: usize = 200_000;
    let mut times = Vec::with_capacity(QUERIES);
    let looks = node.stats().looks;
    let mut named = 0;
    for n in 0..QUERIES {
        let object = match pick {
            Pick::Popular => object(0),
            Pick::Skewed => object(skewed(objects, rng)),
            Pick::Unknown => object(objects + n),
        };
        let session = SessionId(rng.random_range(0..clients as u64));
        let query = Event::Query {
            session,
            object,
            max: 40,
            known: Vec::new(),
        };
        let now = Timestamp::from_micros(1_000_000 + n as u64 * 20);
        let began = Instant::now();
        node.handle(query, now);
        while let Some(output) = node.poll_output() {
            if let peerlift_rendezvous::Output::Introduce { peers, .. } = output {
                named += peers.len();
            }
        }
        times.push(began.elapsed());
        node.handle(Event::Withdraw { session, object }, now);
    }
    let total: Duration = times.iter().sum();
    times.sort_unstable();
    let at = |quantile: usize| times[QUERIES * quantile / 1000 - 1].as_secs_f64() * 1e6;
    println!(
        "queries, {name:22} {:8.0} a second; p50 {:.1} µs, p99 {:.1} µs, p99.9 {:.1} µs; \
         {:.1} named, {:.1} looks each",
        QUERIES as f64 / total.as_secs_f64(),
        at(500),
        at(990),
        at(999),
        named as f64 / QUERIES as f64,
        (node.stats().looks - looks) as f64 / QUERIES as f64,
    );
}

fn unlimited() -> Config {
    let all = Pace::new(u32::MAX, Duration::from_micros(1));
    let limits = Limits {
        objects_max: 1024,
        queries: all,
        prefix_queries: all,
        announces: all,
        logins: all,
    };
    Config {
        policy: Policy {
            limits,
            ..Policy::default()
        },
        silence_max: Duration::from_secs(1_000_000),
        ..Config::default()
    }
}

fn join(node: &mut Rendezvous, number: u64, rng: &mut Pcg64Mcg) {
    let session = SessionId(number);
    let mut key = [0; 32];
    rng.fill(&mut key);
    let address: [u8; 4] = rng.random();
    let arrival = Arrival {
        network: Network {
            asn: u32::from(address[0]) * 16 + u32::from(address[1] >> 4),
            country: [b'A' + address[0] / 32, b'A'],
        },
        nat: NatClass::Easy,
        ..Arrival::new(PeerId::new(key), true, Some(address.into()))
    };
    node.handle(Event::Joined { session, arrival }, Timestamp::ZERO);
    let address = Event::Address {
        session,
        direct: vec![SocketAddr::from(([10, 0, 0, 1], 4433))],
        relay: None,
        tcp_port: None,
        nat: NatClass::Easy,
    };
    node.handle(address, Timestamp::ZERO);
    while node.poll_output().is_some() {}
}

fn announce(node: &mut Rendezvous, number: u64, which: usize) {
    let announce = Event::Announce {
        session: SessionId(number),
        object: object(which),
        complete: true,
    };
    node.handle(announce, Timestamp::ZERO);
    assert_eq!(node.poll_output(), None);
}

/// Some objects are had by many: the square of a uniform draw.
fn skewed(objects: usize, rng: &mut Pcg64Mcg) -> usize {
    let drawn: f64 = rng.random();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "below the number of objects"
    )]
    let index = (drawn * drawn * objects as f64) as usize;
    1 + index
}

/// Ids are hashes; these look like some.
fn object(number: usize) -> ObjectId {
    let mut bytes = [0; 32];
    let mut rng = Pcg64Mcg::seed_from_u64(number as u64);
    rng.fill(&mut bytes);
    ObjectId::new(bytes)
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}
