//! `peerlift bench control`: a node and thousands of clients on one machine.
//!
//! The clients' work is on the same processors as the node's: what a second brings is told per
//! second of the node's own CPU time as well, which is what a core would do that has nothing else
//! to do. `questions` asks, `overload` logs in, `kernel` looks at what sockets take.

mod child;
mod client;
mod failover;
mod kernel;
mod overload;
mod questions;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use peerlift_model::ObjectId;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::args::BenchControlArgs;
use crate::console::{Console, print, print_json};
use crate::failure::{Exit, Failure};
use child::{Node, NodePlan};
use client::{Client, Target, Trouble};
use overload::{Gated, Storm, gated, storm};
use questions::{Answers, ask_at, ask_for, ask_gently, steady_askers};

pub(crate) use failover::failover;

/// Logins under way at once while sessions are made.
const LOGINS_AT_ONCE: usize = 128;

/// Clients of one object that is asked for.
const HOLDERS: u32 = 2_000;

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    sessions: u32,
    /// Memory of the node before and after the clients came, divided by their number.
    memory_per_session_bytes: u64,
    /// The kernel's, for the sockets at both ends of a session.
    kernel_per_session_bytes: u64,
    /// CPU time of the node for one login.
    login_cpu_us: u64,
    logins_per_core_s: u64,
    queries_per_s: u64,
    queries_per_core_s: u64,
    query_ms_p50: f64,
    query_ms_p99: f64,
    /// The same with so many asked a second.
    offered: Offered,
    readd_entries: u64,
    readd_s: f64,
    readd_query_ms_p99: f64,
    /// Questions that were answered without the shared directory, and why.
    directory_troubles: u64,
    best_logins_per_s: f64,
    best_logins_per_core_s: f64,
    /// Whether node and clients had a processor each from here on.
    pinned: bool,
    overload: Storm,
    /// A node that lets half of the best in, with ten times as many tries.
    gated: Gated,
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

/// Measures, and tells.
pub(crate) fn control(args: &BenchControlArgs, console: &Console) -> Result<Exit, Failure> {
    tell(measure(args, console), Report::text, args.json)
}

/// Runs a measurement and tells its report, as a table or as JSON.
fn tell<R: Serialize>(
    measurement: impl Future<Output = Result<R, Trouble>>,
    text: impl Fn(&R) -> String,
    json: bool,
) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Runtime::new()
        .map_err(|error| Failure::caused(Exit::Other, "cannot start", &error))?;
    crate::control::raise_descriptor_limit();
    let report = runtime
        .block_on(measurement)
        .map_err(|error| Failure::new(Exit::Other, format!("the measurement failed: {error}")))?;
    if json {
        print_json(&report)?;
    } else {
        print(text(&report))?;
    }
    Ok(Exit::Fine)
}

async fn measure(args: &BenchControlArgs, console: &Console) -> Result<Report, Trouble> {
    let plan = NodePlan {
        sessions: args.sessions,
        directory: args.directory.clone(),
        ..NodePlan::default()
    };
    let node = Arc::new(Node::start(&plan).await?);
    let target = Target::new(node.address, node.certificate.clone())?;
    let span = Duration::from_secs(args.seconds.into());

    let (memory, cpu, sockets) = (node.memory()?, node.cpu()?, kernel::memory()?);
    console.say(format_args!("{} sessions", args.sessions));
    let mut clients = log_in_many(&target, args.sessions).await?;
    let login_cpu = node.cpu()?.saturating_sub(cpu) / args.sessions;
    // What the last handshakes took for a moment is given back.
    sleep(Duration::from_secs(2)).await;
    let per_session = node.memory()?.saturating_sub(memory) / u64::from(args.sessions);
    let kernel = kernel::memory()?.saturating_sub(sockets) / u64::from(args.sessions);

    console.say("queries");
    for client in clients.iter_mut().take(HOLDERS as usize) {
        client.announce(object(0)).await?;
    }
    settle(&node, u64::from(HOLDERS.min(args.sessions))).await?;
    let cpu = node.cpu()?;
    let answers = ask_for(&target, span).await?;
    let query_cpu = node.cpu()?.saturating_sub(cpu);
    console.say(format_args!("{} queries a second", args.queries_per_s));
    let offered = offer(&node, &target, args.queries_per_s, span).await?;
    let directory_troubles = node
        .sum("peerlift_control_directory_troubles_total")
        .await?;

    console.say("a lost directory");
    let readd = lose_directory(&node, &target, clients, args.entries).await?;

    console.say("too many logins");
    let pinned = node.take_processor(0) && child::pin(std::process::id(), 1);
    let cpu = node.cpu()?;
    let best = overload::as_many_as_go(&target, span).await;
    let best_cpu = node.cpu()?.saturating_sub(cpu);
    let overload = storm(&node, &target, span, best.per_s).await?;
    drop(node);
    console.say("too many logins, of which half as many as go are let in");
    let gated = gated(args.sessions, span, best.per_s / 2.0).await?;
    Ok(Report {
        sessions: args.sessions,
        memory_per_session_bytes: per_session,
        kernel_per_session_bytes: kernel,
        login_cpu_us: u64::try_from(login_cpu.as_micros())?,
        logins_per_core_s: per_core(1, login_cpu),
        queries_per_s: per_core(answers.count(), span),
        queries_per_core_s: per_core(answers.count(), query_cpu),
        query_ms_p50: answers.milliseconds(0.5),
        query_ms_p99: answers.milliseconds(0.99),
        offered,
        readd_entries: readd.entries,
        readd_s: readd.took.as_secs_f64(),
        readd_query_ms_p99: readd.answers.milliseconds(0.99),
        directory_troubles,
        best_logins_per_s: best.per_s,
        best_logins_per_core_s: best.count / best_cpu.as_secs_f64(),
        pinned,
        overload,
        gated,
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

fn per_core(count: u64, time: Duration) -> u64 {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1);
    count.saturating_mul(1_000_000) / micros
}

fn object(number: u32) -> ObjectId {
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    ObjectId::new(bytes)
}

async fn log_in_many(target: &Target, count: u32) -> Result<Vec<Client>, Trouble> {
    let logins = stream::iter(0..count).map(|number| {
        let target = target.clone();
        async move { tokio::spawn(async move { Client::log_in(&target, number).await }).await? }
    });
    let mut logins = logins.buffer_unordered(LOGINS_AT_ONCE);
    let mut clients = Vec::with_capacity(count as usize);
    while let Some(client) = logins.next().await {
        clients.push(client?);
    }
    Ok(clients)
}

/// Waits until the directory has as many entries.
async fn settle(node: &Node, entries: u64) -> Result<(), Trouble> {
    let deadline = Instant::now() + Duration::from_secs(300);
    while node.metric("peerlift_control_directory_entries").await? < entries {
        if Instant::now() > deadline {
            return Err("the directory does not fill".into());
        }
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

struct Readd {
    entries: u64,
    took: Duration,
    answers: Answers,
}

/// Everybody announces; the directory is lost; everybody is asked again, while others ask.
async fn lose_directory(
    node: &Arc<Node>,
    target: &Target,
    clients: Vec<Client>,
    each: u32,
) -> Result<Readd, Trouble> {
    let before = node.metric("peerlift_control_directory_entries").await?;
    let added = u64::try_from(clients.len())? * u64::from(each);
    let mut holders = JoinSet::new();
    for (number, mut client) in (0u32..).zip(clients) {
        // Each holds a run of objects that overlaps with those of others.
        let mine = move |n: u32| object(1 + (number * 7 + n) % 20_000);
        holders.spawn(async move {
            for n in 0..each {
                client.announce(mine(n)).await?;
            }
            loop {
                // Anything said is a recall; the first object of some is not said again.
                client.receive().await?;
                for n in 0..each {
                    client.announce(mine(n)).await?;
                }
            }
            #[expect(unreachable_code, reason = "gives the block its type")]
            Ok::<(), Trouble>(())
        });
    }
    settle(node, before + added).await?;
    let (done, asking) = (Arc::new(AtomicBool::new(false)), target.clone());
    let asked = tokio::spawn(ask_gently(asking, Arc::clone(&done)));
    let begin = Instant::now();
    node.flush().await?;
    settle(node, added).await?;
    let took = begin.elapsed();
    done.store(true, Ordering::Relaxed);
    let answers = asked.await??;
    holders.shutdown().await;
    Ok(Readd {
        entries: added,
        took,
        answers,
    })
}

impl Report {
    fn text(&self) -> String {
        let rows = [
            ("idle sessions", self.sessions.to_string()),
            (
                "memory a session",
                format!("{:.1} KiB", kibi(self.memory_per_session_bytes)),
            ),
            (
                "the kernel's, both ends",
                format!("{:.1} KiB", kibi(self.kernel_per_session_bytes)),
            ),
            ("node's CPU a login", format!("{} µs", self.login_cpu_us)),
            (
                "logins a second and core",
                self.logins_per_core_s.to_string(),
            ),
            (
                "queries a second; and core",
                format!("{}; {}", self.queries_per_s, self.queries_per_core_s),
            ),
            (
                "query p50; p99",
                format!("{:.2}; {:.2} ms", self.query_ms_p50, self.query_ms_p99),
            ),
            ("and at a steady rate", self.offered.text()),
            (
                "lost directory",
                format!("{} entries in {:.1} s", self.readd_entries, self.readd_s),
            ),
            (
                "query p99 meanwhile",
                format!("{:.2} ms", self.readd_query_ms_p99),
            ),
            (
                "without the directory",
                format!("{} answers", self.directory_troubles),
            ),
            (
                "logins a second; and core",
                format!(
                    "{:.0}; {:.0}",
                    self.best_logins_per_s, self.best_logins_per_core_s
                ),
            ),
            (
                "a processor each",
                if self.pinned { "yes" } else { "no" }.to_owned(),
            ),
            ("with too many tries", self.overload.text()),
            (
                "and as many let in",
                format!("{}: {}", self.gated.logins_per_s, self.gated.storm.text()),
            ),
        ];
        let lines = rows.map(|(name, value)| format!("{name:28}{value}\n"));
        lines.concat()
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

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn kibi(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}
