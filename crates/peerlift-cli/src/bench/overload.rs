//! More logins than a node can take.
//!
//! Node and clients have a processor each where there are two, so that the tries take nothing of
//! the node's. A try that is turned away costs its client a connection and no TLS; each that is not
//! is a real login.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::child::{Node, NodePlan};
use super::client::{Client, Target, Trouble};

/// Clients that log in one after another, as fast as the node lets them.
const WORKERS: usize = 64;

/// Tries under way at once: each takes a descriptor, beside those of the sessions.
const UNDER_WAY: usize = 4000;

/// Numbers of clients that come only here.
static NUMBERS: AtomicU32 = AtomicU32::new(3_000_000);

/// Logins that succeeded.
pub(super) struct Best {
    pub(super) count: f64,
    pub(super) per_s: f64,
}

/// As many logins as go.
pub(super) async fn as_many_as_go(target: &Target, span: Duration) -> Best {
    let done = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..WORKERS {
        let (target, done) = (target.clone(), Arc::clone(&done));
        workers.spawn(async move {
            while begin.elapsed() < span {
                if Client::log_in(&target, next()).await.is_ok() {
                    done.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    while workers.join_next().await.is_some() {}
    let count = count(&done);
    let per_s = count / begin.elapsed().as_secs_f64();
    Best { count, per_s }
}

/// What came of so many tries.
#[derive(Debug, Serialize)]
pub(super) struct Storm {
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

impl Storm {
    pub(super) fn text(&self) -> String {
        format!(
            "{:.0} ({:.0} %) of {:.0} ({:.1} x the best); {:.0} a core, {:.2} processors",
            self.logins_per_s,
            100.0 * self.logins_by_best,
            self.attempts_per_s,
            self.attempts_by_best,
            self.logins_per_core_s,
            self.processors
        )
    }
}

/// Ten times as many tries as the best, begun whether others end or not, as long as not too many
/// are under way.
pub(super) async fn storm(
    node: &Node,
    target: &Target,
    span: Duration,
    best_per_s: f64,
) -> Result<Storm, Trouble> {
    let per_s = 10.0 * best_per_s;
    let (begun, accepted) = (AtomicU64::new(0), Arc::new(AtomicU64::new(0)));
    let mut tries = JoinSet::new();
    let (cpu, begin) = (node.cpu()?, Instant::now());
    while begin.elapsed() < span {
        let due = begin.elapsed().as_secs_f64() * per_s;
        while count(&begun) < due && tries.len() < UNDER_WAY {
            begun.fetch_add(1, Ordering::Relaxed);
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
    let seconds = begin.elapsed().as_secs_f64();
    let cpu = node.cpu()?.saturating_sub(cpu).as_secs_f64();
    let storm = Storm {
        attempts_per_s: count(&begun) / seconds,
        attempts_by_best: count(&begun) / seconds / best_per_s,
        logins_per_s: count(&accepted) / seconds,
        logins_by_best: count(&accepted) / seconds / best_per_s,
        logins_per_core_s: count(&accepted) / cpu,
        processors: cpu / seconds,
    };
    // Nobody waits for those that still try.
    let _ = timeout(Duration::from_secs(5), tries.shutdown()).await;
    Ok(storm)
}

/// A node with a limit on logins, and ten times as many tries.
#[derive(Debug, Serialize)]
pub(super) struct Gated {
    pub(super) logins_per_s: u32,
    pub(super) storm: Storm,
}

/// Measures a node of its own that lets so many in.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate of logins"
)]
pub(super) async fn gated(sessions: u32, span: Duration, per_s: f64) -> Result<Gated, Trouble> {
    let logins_per_s = per_s.max(1.0) as u32;
    let plan = NodePlan {
        sessions,
        logins_per_s,
        ..NodePlan::default()
    };
    let node = Node::start(&plan).await?;
    node.take_processor(0);
    let target = Target::new(node.address, node.certificate.clone())?;
    let storm = storm(&node, &target, span, f64::from(logins_per_s)).await?;
    Ok(Gated {
        logins_per_s,
        storm,
    })
}

fn next() -> u32 {
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

#[expect(clippy::cast_precision_loss, reason = "fewer than 2⁵³")]
fn count(number: &AtomicU64) -> f64 {
    number.load(Ordering::Relaxed) as f64
}
