//! The tasks behind a shared directory: one keeps the connection, one asks, one writes, one hears,
//! one renews.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use peerlift_model::{ObjectId, PeerId};
use peerlift_rendezvous::Event;
use peerlift_rendezvous::shared::{Ask, Found, Share};
use redis::{RedisError, cmd};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::link::{self, HELLO_CHANNEL, Link};
use super::record::{self, Hello};
use super::scripts::{Drawn, Told};
use super::{ASK_MAX, LEASE, RENEW_EVERY, State, unanswered};
use crate::core_task::Input;

/// How often the connection is tried, and other nodes are greeted.
const BEAT: Duration = Duration::from_secs(1);

/// How soon everything may be said again after the last time: a server that takes some writes and
/// not others is not flooded.
const REPUBLISH_EVERY: Duration = Duration::from_secs(5);

/// How questions travel.
struct Trips {
    at_once: usize,
    /// Questions in each.
    asks_max: usize,
}

/// Few at once, so that what comes meanwhile travels together: each trip has a price of its own at
/// both ends. As many as keep the server busy; 256 questions at once are more than it answers in time
/// when it is slow.
const TRIPS: Trips = Trips {
    at_once: 4,
    asks_max: 64,
};

/// In a cluster questions are for different servers.
const CLUSTER_TRIPS: Trips = Trips {
    at_once: 256,
    asks_max: 1,
};

/// Writes that are gathered before they go: a script with so many is done in a millisecond or two.
const BATCH_MAX: usize = 512;

/// Scripts of writes at the server at once.
const WRITES_AT_ONCE: usize = 32;

/// Keys of other nodes that are remembered: as many as a client takes.
const TICKET_KEYS_MAX: usize = peerlift_wire::control::TICKET_KEYS_MAX;

impl State {
    fn link(&self) -> Option<Link> {
        self.link.borrow().clone()
    }

    /// Some writes did not go out.
    pub(super) fn lose(&self, count: u64) {
        self.lossy.store(true, Ordering::Relaxed);
        self.metrics.directory_lost.inc_by(count);
    }

    /// Notes what is wrong; said once, until it is something else or over.
    fn note(&self, trouble: Option<&'static str>, error: Option<&RedisError>) {
        self.metrics.directory_up.set(i64::from(trouble.is_none()));
        let mut noted = { &self.trouble }
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if *noted == trouble {
            return;
        }
        let was = std::mem::replace(&mut *noted, trouble);
        drop(noted);
        match (trouble, error) {
            (Some(trouble), Some(error)) => tracing::warn!(
                directory = %self.url, trouble, %error,
                "the shared directory fails; queries are answered from this node's own clients"
            ),
            (Some(trouble), None) => tracing::warn!(directory = %self.url, trouble),
            (None, _) => {
                tracing::info!(directory = %self.url, was, "the shared directory works");
            }
        }
    }

    fn fail(&self, error: &RedisError) {
        let trouble = link::trouble(error);
        self.metrics.directory_trouble(trouble);
        self.note(Some(trouble), Some(error));
    }
}

/// Connects, and connects again: whoever is the master then. Says that the node is there, which
/// shows that the server takes writes, too.
pub(super) async fn keep_connected(state: Arc<State>) {
    let mut republish_at = Instant::now();
    loop {
        match beat(&state).await {
            Ok(()) => {
                state.note(None, None);
                let due = Instant::now() >= republish_at;
                if due && state.lossy.swap(false, Ordering::Relaxed) {
                    republish_at = Instant::now() + REPUBLISH_EVERY;
                    state.core.tell(Input::Event(Event::Republish)).await;
                }
            }
            Err(error) => {
                state.metrics.directory_failures.inc();
                state.fail(&error);
                state.lossy.store(true, Ordering::Relaxed);
                // A replica answers, and is of no use: the master is somewhere else.
                state.link.send_replace(None);
            }
        }
        sleep(BEAT).await;
    }
}

async fn beat(state: &State) -> Result<(), RedisError> {
    let mut link = match state.link() {
        Some(link) => link,
        None => Link::connect(&state.url).await?,
    };
    let mut mark = cmd("SET");
    mark.arg(link::channel(state.node)).arg(1);
    mark.arg("EX").arg(LEASE.as_secs());
    link.query::<()>(&mark).await?;
    let hello = record::encode_hello(Hello {
        node: state.node,
        ticket_key: state.ticket_key,
    });
    let mut greet = cmd("PUBLISH");
    greet.arg(HELLO_CHANNEL).arg(hello);
    link.query::<u64>(&greet).await?;
    state.link.send_if_modified(|kept| {
        let new = kept.is_none();
        *kept = Some(link);
        new
    });
    Ok(())
}

/// Puts the core's questions, those that wait together in one round trip.
pub(super) async fn ask(state: Arc<State>, mut asks: mpsc::Receiver<Ask>) {
    let trips = if state.url.is_cluster() {
        CLUSTER_TRIPS
    } else {
        TRIPS
    };
    let places = Arc::new(Semaphore::new(trips.at_once));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let mut batch = Vec::new();
        if asks.recv_many(&mut batch, trips.asks_max).await == 0 {
            return;
        }
        let state = Arc::clone(&state);
        tokio::spawn(async move {
            // Ends by itself, soon: the time for an answer is limited.
            put(&state, batch).await;
            drop(place);
        });
    }
}

async fn put(state: &State, asks: Vec<Ask>) {
    let (drawn, trouble) = draw_all(state, &asks).await;
    let mut drawn = drawn.into_iter();
    for ask in asks {
        let (answer, trouble) = match drawn.next() {
            Some(Ok(drawn)) => (found(state, ask, &drawn), None),
            Some(Err(error)) => (unanswered(ask), Some(link::trouble(&error))),
            None => (unanswered(ask), trouble),
        };
        if let Some(trouble) = trouble {
            state.metrics.directory_trouble(trouble);
        }
        state.core.tell(Input::Event(answer)).await;
    }
}

/// What came of each question; nothing, and why, when the server did not answer.
async fn draw_all(
    state: &State,
    asks: &[Ask],
) -> (Vec<Result<Drawn, RedisError>>, Option<&'static str>) {
    let Some(mut link) = state.link() else {
        return (Vec::new(), None);
    };
    match timeout(ASK_MAX, state.scripts.ask_all(&mut link, asks)).await {
        Ok(Ok(drawn)) => (drawn, None),
        Ok(Err(error)) => (Vec::new(), Some(link::trouble(&error))),
        Err(_) => (Vec::new(), Some("slow")),
    }
}

/// What was drawn, as the core hears of it; members whose leases are over are removed.
fn found(state: &State, ask: Ask, drawn: &Drawn) -> Event {
    let holders = record::decode_members(&drawn.members, drawn.unix_s);
    if !holders.over.is_empty()
        && let Some(mut link) = state.link()
    {
        let scripts = Arc::clone(&state.scripts);
        let members: Vec<Vec<u8>> = holders.over.into_iter().map(<[u8]>::to_vec).collect();
        let object = ask.object;
        // Not written: another draw, or a write, comes across them.
        tokio::spawn(async move { scripts.forget(&mut link, object, &members).await });
    }
    Event::Found(Found {
        ask,
        holders: holders.living,
        spread: drawn.spread,
    })
}

/// Writes what the core says, a batch at a time.
pub(super) async fn write(state: Arc<State>, mut writes: mpsc::Receiver<Share>) {
    let mut batch = Vec::new();
    while writes.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let Some(link) = state.link() else {
            state.lose(u64::try_from(batch.len()).unwrap_or(u64::MAX));
            batch.clear();
            continue;
        };
        let mut by_object: BTreeMap<ObjectId, Vec<(PeerId, Vec<u8>)>> = BTreeMap::new();
        let mut pushes = Vec::new();
        for share in batch.drain(..) {
            match share {
                Share::Offer { object, neighbour } => {
                    let record = record::encode(state.node, &neighbour);
                    let told = by_object.entry(object).or_default();
                    told.push((neighbour.peer, record));
                }
                Share::Retract { object, peer } => {
                    by_object
                        .entry(object)
                        .or_default()
                        .push((peer, Vec::new()));
                }
                Share::Push { node, push } => {
                    pushes.push((link::channel(node), record::encode_push(state.node, &push)))
                }
                Share::Ask(_) => {}
            }
        }
        // One after another where it is the same object: the last word counts.
        stream::iter(by_object)
            .for_each_concurrent(WRITES_AT_ONCE, |(object, records)| {
                tell(&state, link.clone(), object, records)
            })
            .await;
        stream::iter(pushes)
            .for_each_concurrent(WRITES_AT_ONCE, |(channel, bytes)| {
                publish(&state, link.clone(), channel, bytes)
            })
            .await;
    }
}

async fn tell(state: &State, mut link: Link, object: ObjectId, records: Vec<(PeerId, Vec<u8>)>) {
    let told = Told {
        node: state.node,
        lease: LEASE,
        draw: draw(),
        records: &records,
    };
    let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
    match state.scripts.tell(&mut link, object, &told).await {
        Ok(()) => drop(state.metrics.directory_writes.inc_by(count)),
        Err(error) => {
            state.fail(&error);
            state.lose(count);
        }
    }
}

async fn publish(state: &State, mut link: Link, channel: String, bytes: Vec<u8>) {
    let mut publish = cmd("PUBLISH");
    publish.arg(channel).arg(bytes);
    if let Err(error) = link.query::<u64>(&publish).await {
        // The clients will ask again.
        state.metrics.directory_trouble(link::trouble(&error));
    }
}

/// Passes on what other nodes say.
pub(super) async fn hear(state: Arc<State>) {
    let mut attempt = 0;
    loop {
        if let Ok(mut pubsub) = link::listen(&state.url, attempt, state.node).await {
            let mut messages = pubsub.on_message();
            while let Some(message) = messages.next().await {
                let bytes = message.get_payload_bytes();
                if message.get_channel_name() == HELLO_CHANNEL {
                    greet(&state, record::decode_hello(bytes));
                } else if let Some(push) = record::decode_push(bytes) {
                    state.metrics.directory_pushes.inc();
                    state.core.tell(Input::Event(Event::Pushed(push))).await;
                }
            }
        }
        attempt += 1;
        sleep(BEAT).await;
    }
}

/// Another node is there: clients are to take its tickets.
fn greet(state: &State, hello: Option<Hello>) {
    let Some(hello) = hello.filter(|hello| hello.node != state.node) else {
        return;
    };
    state.ticket_keys.send_if_modified(|keys| {
        let new = !keys.contains(&hello.ticket_key) && keys.len() < TICKET_KEYS_MAX;
        if new {
            keys.push(hello.ticket_key);
        }
        new
    });
}

/// Says everything again before the leases end.
pub(super) async fn renew(state: Arc<State>) {
    let mut at = Instant::now() + RENEW_EVERY;
    loop {
        sleep_until(at).await;
        at += RENEW_EVERY;
        state.core.tell(Input::Event(Event::Republish)).await;
    }
}

fn draw() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness the same ones are looked at again.
    let _ = getrandom::fill(&mut bytes);
    u32::from_le_bytes(bytes)
}
