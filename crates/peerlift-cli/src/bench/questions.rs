//! Questions to the node: as many as go, so many a second, and a few while something else happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::client::{Client, Target, Trouble};
use super::object;

/// Clients that ask at once.
const ASKERS: u32 = 64;

/// Clients that ask at a steady rate: so many that one answer that is late keeps few waiting.
const STEADY_ASKERS: u32 = 500;

/// How long answers took.
#[derive(Default)]
pub(super) struct Answers(Vec<Duration>);

impl Answers {
    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn milliseconds(&self, quantile: f64) -> f64 {
        quantile_ms(&self.0, quantile)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rank"
)]
pub(super) fn quantile_ms(times: &[Duration], quantile: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len().saturating_sub(1) as f64 * quantile) as usize;
    sorted
        .get(rank)
        .map_or(0.0, |time| time.as_secs_f64() * 1000.0)
}

/// Numbers of clients beyond those that are idle.
const ASKERS_FROM: u32 = 2_000_000;

/// Many ask for an object, each again as soon as it is answered.
pub(super) async fn ask_for(target: &Target, span: Duration) -> Result<Answers, Trouble> {
    let mut askers = JoinSet::new();
    for number in 0..ASKERS {
        let target = target.clone();
        askers.spawn(async move {
            let mut client = Client::log_in(&target, ASKERS_FROM + number).await?;
            let (begin, mut times) = (Instant::now(), Vec::new());
            while begin.elapsed() < span {
                let asked = Instant::now();
                client.ask(object(0)).await?;
                times.push(asked.elapsed());
            }
            Ok::<_, Trouble>(times)
        });
    }
    let mut answers = Answers::default();
    while let Some(times) = askers.join_next().await {
        answers.0.extend(times??);
    }
    Ok(answers)
}

/// Clients for [`ask_at`].
pub(super) async fn steady_askers(target: &Target, per_s: u32) -> Result<Vec<Client>, Trouble> {
    let mut clients = Vec::new();
    for number in 0..STEADY_ASKERS.min(per_s) {
        clients.push(Client::log_in(target, ASKERS_FROM + number).await?);
    }
    Ok(clients)
}

/// So many questions a second, whether answers come or not: each client asks in its turn, and when
/// an answer is late, the next question has waited since it was due. Ends with the last answer.
pub(super) async fn ask_at(
    clients: Vec<Client>,
    per_s: u32,
    span: Duration,
) -> Result<Answers, Trouble> {
    let askers = u32::try_from(clients.len())?;
    let (begin, every) = (Instant::now(), Duration::from_secs(1) * askers / per_s);
    let mut asking = JoinSet::new();
    for (turn, mut client) in (0u32..).zip(clients) {
        asking.spawn(async move {
            let (mut due, mut times) = (begin + every * turn / askers, Vec::new());
            while due < begin + span {
                sleep(due.saturating_duration_since(Instant::now())).await;
                client.ask(object(0)).await?;
                times.push(due.elapsed());
                due += every;
            }
            Ok::<_, Trouble>(times)
        });
    }
    let mut answers = Answers::default();
    while let Some(times) = asking.join_next().await {
        answers.0.extend(times??);
    }
    Ok(answers)
}

/// A hundred questions a second from one client, until told to end.
pub(super) async fn ask_gently(target: Target, done: Arc<AtomicBool>) -> Result<Answers, Trouble> {
    let mut client = Client::log_in(&target, ASKERS_FROM + ASKERS).await?;
    let mut answers = Answers::default();
    while !done.load(Ordering::Relaxed) {
        let asked = Instant::now();
        client.ask(object(5)).await?;
        answers.0.push(asked.elapsed());
        sleep(Duration::from_millis(10)).await;
    }
    client.ping().await?;
    Ok(answers)
}
