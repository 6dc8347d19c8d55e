//! Questions to the node: as many as go, and so many a second.

use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::child::Node;
use super::client::{Client, Target, Trouble};
use super::{object, per_core};

/// Clients that ask at once.
const ASKERS: u32 = 64;

/// Clients that ask at a steady rate: so many that one answer that is late keeps few waiting.
const STEADY_ASKERS: u32 = 500;

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Questions {
    per_s: u64,
    per_core_s: u64,
    ms_p50: f64,
    ms_p99: f64,
    /// The same with so many asked a second.
    offered: Offered,
}

/// Queries at a rate that does not follow the answers.
#[derive(Debug, Serialize)]
struct Offered {
    queries_per_s: u32,
    answers_per_s: u64,
    /// From when each was due.
    query_ms_p50: f64,
    query_ms_p99: f64,
    processors: f64,
}

/// How long answers took.
#[derive(Default)]
struct Answers(Vec<Duration>);

impl Answers {
    fn count(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }

    fn milliseconds(&self, quantile: f64) -> f64 {
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
async fn ask_for(target: &Target, span: Duration) -> Result<Answers, Trouble> {
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
async fn steady_askers(target: &Target, per_s: u32) -> Result<Vec<Client>, Trouble> {
    let mut clients = Vec::new();
    for number in 0..STEADY_ASKERS.min(per_s) {
        clients.push(Client::log_in(target, ASKERS_FROM + number).await?);
    }
    Ok(clients)
}

/// So many questions a second, whether answers come or not: each client asks in its turn, and when
/// an answer is late, the next question has waited since it was due. Ends with the last answer.
async fn ask_at(clients: Vec<Client>, per_s: u32, span: Duration) -> Result<Answers, Trouble> {
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

/// Asks as much as goes, then at a steady rate.
pub(super) async fn questions(
    node: &Node,
    target: &Target,
    per_s: u32,
    span: Duration,
) -> Result<Questions, Trouble> {
    let cpu = node.cpu()?;
    let answers = ask_for(target, span).await?;
    let cpu = node.cpu()?.saturating_sub(cpu);
    Ok(Questions {
        per_s: per_core(answers.count(), span),
        per_core_s: per_core(answers.count(), cpu),
        ms_p50: answers.milliseconds(0.5),
        ms_p99: answers.milliseconds(0.99),
        offered: offer(node, target, per_s, span).await?,
    })
}

async fn offer(
    node: &Node,
    target: &Target,
    per_s: u32,
    span: Duration,
) -> Result<Offered, Trouble> {
    let clients = steady_askers(target, per_s).await?;
    let (cpu, begin) = (node.cpu()?, Instant::now());
    let answers = ask_at(clients, per_s, span).await?;
    let (cpu, took) = (node.cpu()?.saturating_sub(cpu), begin.elapsed());
    Ok(Offered {
        queries_per_s: per_s,
        answers_per_s: per_core(answers.count(), took),
        query_ms_p50: answers.milliseconds(0.5),
        query_ms_p99: answers.milliseconds(0.99),
        processors: cpu.as_secs_f64() / took.as_secs_f64(),
    })
}

impl Questions {
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        vec![
            (
                "queries a second; and core",
                format!("{}; {}", self.per_s, self.per_core_s),
            ),
            (
                "query p50; p99",
                format!("{:.2}; {:.2} ms", self.ms_p50, self.ms_p99),
            ),
            ("and at a steady rate", self.offered.text()),
        ]
    }
}

impl Offered {
    fn text(&self) -> String {
        format!(
            "{} of {}; p50 {:.2}, p99 {:.2} ms, {:.2} processors",
            self.answers_per_s,
            self.queries_per_s,
            self.query_ms_p50,
            self.query_ms_p99,
            self.processors
        )
    }
}
