//! Clients that come, tell what they have, ask, and go: what a node is for, all at once.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::child::Node;
use super::client::{Client, Target, Trouble};
use super::object;
use super::questions::quantile_ms;

/// What a visitor tells that it has.
const HELD: u32 = 5;

/// What it asks for.
const WANTED: u32 = 2;

/// Objects of visitors, beyond those of others.
const OBJECTS_FROM: u32 = 100_000;

/// How many there are: each is held by a few visitors at a time.
const OBJECTS: u32 = 200;

/// Numbers of clients that come only here.
static NUMBERS: AtomicU32 = AtomicU32::new(4_000_000);

/// What was measured, each time from when the visitor was due.
#[derive(Debug, Serialize)]
pub(super) struct Visits {
    per_s: u32,
    visits: u64,
    login_ms_p50: f64,
    login_ms_p99: f64,
    query_ms_p50: f64,
    query_ms_p99: f64,
    /// CPU time of the node for one visitor.
    cpu_us: u64,
}

/// So many visitors a second, whether the node is done with those before or not, until told to end.
pub(super) async fn visits(
    node: &Node,
    target: &Target,
    per_s: u32,
    mut is_over: impl FnMut() -> bool,
) -> Result<Visits, Trouble> {
    let (cpu, begin) = (node.cpu()?, Instant::now());
    let (mut due, mut visitors) = (begin, JoinSet::new());
    while !is_over() {
        sleep(due.saturating_duration_since(Instant::now())).await;
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        visitors.spawn(visit(target.clone(), number, due));
        due += Duration::from_secs(1) / per_s;
    }
    let (mut logins, mut queries) = (Vec::new(), Vec::new());
    while let Some(visitor) = visitors.join_next().await {
        let (login, asked) = visitor??;
        logins.push(login);
        queries.extend(asked);
    }
    let cpu = node.cpu()?.saturating_sub(cpu);
    let count = u32::try_from(logins.len())?;
    Ok(Visits {
        per_s,
        visits: count.into(),
        login_ms_p50: quantile_ms(&logins, 0.5),
        login_ms_p99: quantile_ms(&logins, 0.99),
        query_ms_p50: quantile_ms(&queries, 0.5),
        query_ms_p99: quantile_ms(&queries, 0.99),
        cpu_us: u64::try_from((cpu / count.max(1)).as_micros())?,
    })
}

/// One visitor; how long its login and its questions took.
async fn visit(
    target: Target,
    number: u32,
    due: Instant,
) -> Result<(Duration, Vec<Duration>), Trouble> {
    let mut client = Client::log_in(&target, number).await?;
    let login = due.elapsed();
    let mine = |n| object(OBJECTS_FROM + (number * 7 + n) % OBJECTS);
    for n in 0..HELD {
        client.announce(mine(n)).await?;
    }
    let mut asked = Vec::new();
    for n in HELD..HELD + WANTED {
        let began = Instant::now();
        client.ask(mine(n)).await?;
        asked.push(began.elapsed());
    }
    client.ping().await?;
    client.withdraw(mine(0)).await?;
    client.leave().await?;
    Ok((login, asked))
}

impl Visits {
    pub(super) fn text(&self) -> String {
        format!(
            "{} at {} a second; login p50 {:.1}, p99 {:.1} ms; query p50 {:.1}, p99 {:.1} ms; {} µs",
            self.visits,
            self.per_s,
            self.login_ms_p50,
            self.login_ms_p99,
            self.query_ms_p50,
            self.query_ms_p99,
            self.cpu_us
        )
    }
}
