//! Logins: as many as go, and ten times as many.
//!
//! Node and clients have a processor each where there are two, so that the tries take nothing of
//! the node's. The clients' processor does not make ten times as many tries as a node takes that has
//! one to itself: such a storm is for a node that lets few in, and for one that gets a fiftieth of
//! its processor.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::child::{self, Node, NodePlan, Slowed};
use super::client::{Client, PATIENCE, Target, Trouble};

/// Clients that log in one after another, as fast as the node lets them.
const WORKERS: usize = 64;

/// Tries by what the node takes at best.
const TIMES: f64 = 10.0;

/// Tries under way at once: each takes a descriptor.
const UNDER_WAY: usize = 15_000;

/// Numbers of clients that come only here.
static NUMBERS: AtomicU32 = AtomicU32::new(3_000_000);

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct Logins {
    /// Whether node and clients had a processor each.
    pinned: bool,
    full: Best,
    /// Clients that were there before, and need no signature (RFC 8446 §2.2).
    resumed: Best,
    /// A node that lets a tenth of the best in, with ten times as many tries.
    gated_logins_per_s: u32,
    gated: Storm,
    /// A node that is at its limit with a fiftieth of a processor, with ten times as many tries.
    slow: Best,
    storm: Storm,
}

/// Measures nodes of its own.
pub(super) async fn logins(span: Duration) -> Result<Logins, Trouble> {
    let start = async |plan: NodePlan| {
        let node = Node::start(&plan).await?;
        let pinned = node.take_processor(0) && child::pin(std::process::id(), 1);
        let target = Target::new(node.address, node.certificate.clone())?;
        Ok::<_, Trouble>((node, target, pinned))
    };
    let (node, target, pinned) = start(NodePlan::default()).await?;
    let full = as_many_as_go(&node, || target.clone(), span).await?;
    let resumed = as_many_as_go(&node, || target.that_resumes(), span).await?;
    drop(node);

    let gated_logins_per_s = whole(full.per_s / TIMES);
    let (node, target, _) = start(NodePlan {
        logins_per_s: gated_logins_per_s,
        ..NodePlan::default()
    })
    .await?;
    let gated = storm(&node, &target, span, f64::from(gated_logins_per_s)).await?;
    drop(node);

    let (node, target, _) = start(NodePlan::default()).await?;
    let slowed = Slowed::start(&node)?;
    let slow = as_many_as_go(&node, || target.clone(), span).await?;
    let storm = storm(&node, &target, span, slow.per_s).await?;
    drop(slowed);
    Ok(Logins {
        pinned,
        full,
        resumed,
        gated_logins_per_s,
        gated,
        slow,
        storm,
    })
}

/// Logins that succeeded, each after the one before.
#[derive(Debug, Serialize)]
struct Best {
    per_s: f64,
    per_core_s: f64,
}

/// As many logins as go; each worker has a target of its own.
async fn as_many_as_go(
    node: &Node,
    target: impl Fn() -> Target,
    span: Duration,
) -> Result<Best, Trouble> {
    let done = Arc::new(AtomicU64::new(0));
    let (cpu, begin) = (node.cpu()?, Instant::now());
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let (target, done) = (target(), Arc::clone(&done));
        workers.spawn(async move {
            while begin.elapsed() < span {
                if Client::log_in(&target, next()).await.is_ok() {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    while workers.join_next().await.is_some() {}
    let cpu = node.cpu()?.saturating_sub(cpu);
    Ok(Best {
        per_s: count(&done) / begin.elapsed().as_secs_f64(),
        per_core_s: count(&done) / cpu.as_secs_f64(),
    })
}

/// What came of so many tries.
#[derive(Debug, Serialize)]
struct Storm {
    attempts_per_s: f64,
    /// Tries by what the node takes at best.
    attempts_by_best: f64,
    logins_per_s: f64,
    /// Logins by what the node takes at best.
    logins_by_best: f64,
    logins_per_core_s: f64,
    /// Of the node, on average.
    processors: f64,
}

/// Ten times as many tries as the best, begun whether others end or not, as long as not too many
/// are under way. Counted once those who were there first have been let in or given up.
async fn storm(
    node: &Node,
    target: &Target,
    span: Duration,
    best_per_s: f64,
) -> Result<Storm, Trouble> {
    let accepted = Arc::new(AtomicU64::new(0));
    let (mut tries, mut begun, begin) = (JoinSet::new(), 0.0, Instant::now());
    let mut at_first = None;
    while begin.elapsed() < PATIENCE + span {
        if at_first.is_none() && begin.elapsed() >= PATIENCE {
            at_first = Some((Instant::now(), begun, count(&accepted), node.cpu()?));
        }
        let due = begin.elapsed().as_secs_f64() * TIMES * best_per_s;
        while begun < due && tries.len() < UNDER_WAY {
            begun += 1.0;
            let (target, accepted) = (target.clone(), Arc::clone(&accepted));
            tries.spawn(async move {
                if Client::knock(&target, next()).await.is_ok() {
                    accepted.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        sleep(Duration::from_millis(5)).await;
        // Those that ended are no load; their memory goes back.
        while tries.try_join_next().is_some() {}
    }
    let (since, begun_before, accepted_before, cpu_before) = at_first.ok_or("no time")?;
    let seconds = since.elapsed().as_secs_f64();
    let cpu = node.cpu()?.saturating_sub(cpu_before).as_secs_f64();
    let (attempts, logins) = (begun - begun_before, count(&accepted) - accepted_before);
    // Nobody waits for those that still try.
    let _ = timeout(Duration::from_secs(5), tries.shutdown()).await;
    Ok(Storm {
        attempts_per_s: attempts / seconds,
        attempts_by_best: attempts / seconds / best_per_s,
        logins_per_s: logins / seconds,
        logins_by_best: logins / seconds / best_per_s,
        logins_per_core_s: logins / cpu,
        processors: cpu / seconds,
    })
}

impl Logins {
    pub(super) fn rows(&self) -> Vec<(&'static str, String)> {
        let pinned = if self.pinned { "yes" } else { "no" };
        let best = |best: &Best| format!("{:.0}; {:.0}", best.per_s, best.per_core_s);
        vec![
            ("a processor each", pinned.to_owned()),
            ("logins a second; and core", best(&self.full)),
            ("the same, resumed", best(&self.resumed)),
            (
                "so many are let in, and come",
                format!("{}: {}", self.gated_logins_per_s, self.gated.text()),
            ),
            ("a fiftieth of a processor", best(&self.slow)),
            ("and too many tries", self.storm.text()),
        ]
    }
}

impl Storm {
    fn text(&self) -> String {
        format!(
            "{:.0} ({:.0} %) of {:.0} ({:.1} x the best); {:.0} a core, {:.3} processors",
            self.logins_per_s,
            100.0 * self.logins_by_best,
            self.attempts_per_s,
            self.attempts_by_best,
            self.logins_per_core_s,
            self.processors
        )
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate of logins"
)]
fn whole(per_s: f64) -> u32 {
    per_s.max(1.0) as u32
}

fn next() -> u32 {
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

#[expect(clippy::cast_precision_loss, reason = "fewer than 2⁵³")]
fn count(number: &AtomicU64) -> f64 {
    number.load(Ordering::Relaxed) as f64
}
