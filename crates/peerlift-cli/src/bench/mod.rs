//! `peerlift bench control`: a node and thousands of clients on one machine.
//!
//! The clients' work is on the same processors as the node's: what a second brings is told per
//! second of the node's own CPU time as well, which is what a core would do that has nothing else
//! to do. Each module is a load: `idle` says nothing, `questions` asks, `visits` comes and goes,
//! `loss` tells a lost directory again, `overload` logs in; `kernel` looks at what sockets take.

mod child;
mod client;
mod failover;
mod idle;
mod kernel;
mod loss;
mod overload;
mod questions;
mod visits;

use std::sync::Arc;
use std::time::{Duration, Instant};

use peerlift_model::ObjectId;
use serde::Serialize;
use tokio::time::sleep;

use crate::args::BenchControlArgs;
use crate::console::{Console, print, print_json};
use crate::failure::{Exit, Failure};
use child::{Node, NodePlan};
use client::{Target, Trouble};
use idle::Idle;
use loss::Loss;
use overload::Logins;
use questions::Questions;
use visits::Visits;

pub(crate) use failover::failover;

/// Clients of one object that is asked for.
const HOLDERS: u32 = 2_000;

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    idle: Idle,
    questions: Questions,
    visits: Visits,
    loss: Loss,
    /// Questions that were answered without the shared directory, and why.
    directory_troubles: u64,
    logins: Logins,
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

    console.say(format_args!("{} sessions", args.sessions));
    let (idle, mut clients) = idle::settle_in(&node, &target, args.sessions).await?;
    console.say("queries");
    for client in clients.iter_mut().take(HOLDERS as usize) {
        client.announce(object(0)).await?;
    }
    settle(&node, u64::from(HOLDERS.min(args.sessions))).await?;
    let questions = questions::questions(&node, &target, args.queries_per_s, span).await?;
    console.say("visitors");
    let end = Instant::now() + span;
    let is_over = || Instant::now() >= end;
    let visits = visits::visits(&node, &target, args.visits_per_s, is_over).await?;
    let directory_troubles = node
        .sum("peerlift_control_directory_troubles_total")
        .await?;
    console.say("a lost directory");
    let loss = loss::lose_directory(&node, &target, clients, args.entries).await?;
    drop(node);
    console.say("logins, and too many of them");
    let logins = overload::logins(span).await?;
    Ok(Report {
        idle,
        questions,
        visits,
        loss,
        directory_troubles,
        logins,
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

impl Report {
    fn text(&self) -> String {
        let others = vec![
            ("visitors", self.visits.text()),
            (
                "without the directory",
                format!("{} answers", self.directory_troubles),
            ),
        ];
        let rows = [
            self.idle.rows(),
            self.questions.rows(),
            others,
            self.loss.rows(),
            self.logins.rows(),
        ];
        let lines = rows.into_iter().flatten();
        lines
            .map(|(name, value)| format!("{name:30}{value}\n"))
            .collect()
    }
}
