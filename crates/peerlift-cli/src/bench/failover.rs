//! `peerlift bench failover`: three nodes, of which one is killed and started again.
//!
//! The clients are the ones of downloads, with their own way of coming back. They have no TLS, and
//! come from one address, of which the node lets a quarter of its door.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use peerlift_model::ObjectId;
use peerlift_net::control::{ControlEvent, ControlSession, Identity};
use peerlift_wire::control::PATH;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use super::child::{Node, NodePlan};
use super::client::Trouble;
use super::questions::quantile_ms;
use crate::args::BenchFailoverArgs;
use crate::console::Console;
use crate::failure::{Exit, Failure};

/// Nodes; the first one is killed.
const NODES: usize = 3;

/// Clients that ask the other nodes all the while.
const ASKERS: usize = 50;

/// How long a question may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// How long anything may take as a whole.
const PATIENCE: Duration = Duration::from_secs(300);

/// What was measured.
#[derive(Debug, Serialize)]
struct Report {
    sessions_each: u32,
    down_s: f64,
    logins_per_s_allowed: u32,
    /// In the busiest second after the node was back.
    logins_per_s_most: u64,
    back_s_p50: f64,
    back_s_p99: f64,
    back_s_last: f64,
    /// At the nodes that went on.
    questions: u64,
    questions_unanswered: u64,
}

/// Measures, and tells.
pub(crate) fn failover(args: &BenchFailoverArgs, console: &Console) -> Result<Exit, Failure> {
    super::tell(measure(args, console), Report::text, args.json)
}

/// A session, and the moment of its last login.
struct Member {
    session: ControlSession,
    events: mpsc::Receiver<ControlEvent>,
}

impl Member {
    fn start(url: &Url, tasks: &TaskTracker, stop: &CancellationToken) -> Result<Self, Trouble> {
        let mut key_seed = [0; 32];
        getrandom::fill(&mut key_seed).map_err(|error| error.to_string())?;
        let identity = Identity {
            key_seed,
            agent: "peerlift-bench/1".to_owned(),
            share: true,
        };
        let (session, events) = ControlSession::start(url.clone(), identity, tasks, stop.clone());
        Ok(Self { session, events })
    }

    /// Until the node has let it in.
    async fn connected(&mut self) -> Result<(), Trouble> {
        loop {
            match self.events.recv().await {
                Some(ControlEvent::Connected { .. }) => return Ok(()),
                Some(_) => {}
                None => return Err("a session ended".into()),
            }
        }
    }

    /// Whether a question is answered in time.
    async fn ask(&mut self, object: ObjectId) -> bool {
        self.session.query(object, 40, Vec::new()).await;
        let answer = async {
            loop {
                match self.events.recv().await {
                    Some(ControlEvent::Introductions(_)) => return true,
                    Some(_) => {}
                    None => return false,
                }
            }
        };
        timeout(ANSWER_MAX, answer).await.unwrap_or(false)
    }
}

async fn measure(args: &BenchFailoverArgs, console: &Console) -> Result<Report, Trouble> {
    let plan = NodePlan {
        sessions: args.sessions,
        logins_per_s: args.logins_per_s,
        directory: args.directory.clone(),
        tls: false,
    };
    let mut nodes = Vec::with_capacity(NODES);
    for _ in 0..NODES {
        nodes.push(Node::start(&plan).await?);
    }
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    console.say(format_args!(
        "{} sessions at each of {NODES} nodes",
        args.sessions
    ));
    let mut members = Vec::with_capacity(NODES);
    for node in &nodes {
        let url = Url::parse(&format!("ws://{}{PATH}", node.address))?;
        let here = (0..args.sessions).map(|_| Member::start(&url, &tasks, &stop));
        members.push(here.collect::<Result<Vec<_>, _>>()?);
    }
    for member in members.iter_mut().flatten() {
        timeout(PATIENCE, member.connected()).await??;
    }
    let mut elsewhere = members.split_off(1);
    let asking = Asking::start(&mut elsewhere);

    console.say("one is killed");
    let begin = Instant::now();
    let mut returning = JoinSet::new();
    for mut member in members.into_iter().flatten() {
        returning.spawn(async move {
            let back = timeout(PATIENCE, member.connected()).await;
            let took = begin.elapsed();
            // Kept: a session that ends would be another load.
            back?.map(|()| (took, member))
        });
    }
    let first = &mut nodes[0];
    first.kill()?;
    let down = Duration::from_secs(args.down.into());
    sleep(down).await;
    first.start_again()?;
    let most = busiest_second(first, args.sessions).await?;
    let (mut waits, mut kept) = (Vec::new(), Vec::new());
    while let Some(back) = returning.join_next().await {
        let (took, member) = back??;
        waits.push(took);
        kept.push(member);
    }
    let (questions, unanswered) = asking.end().await?;
    stop.cancel();
    let seconds = |quantile| quantile_ms(&waits, quantile) / 1000.0;
    Ok(Report {
        sessions_each: args.sessions,
        down_s: down.as_secs_f64(),
        logins_per_s_allowed: args.logins_per_s,
        logins_per_s_most: most,
        back_s_p50: seconds(0.5),
        back_s_p99: seconds(0.99),
        back_s_last: seconds(1.0),
        questions,
        questions_unanswered: unanswered,
    })
}

/// Looks every second until everybody is back; the most that logged in within one.
async fn busiest_second(node: &Node, sessions: u32) -> Result<u64, Trouble> {
    let (mut most, mut before, begin) = (0, 0, Instant::now());
    while begin.elapsed() < PATIENCE {
        sleep(Duration::from_secs(1)).await;
        let now = node.metric("peerlift_control_logins_total").await?;
        most = most.max(now - before);
        before = now;
        if now >= u64::from(sessions) {
            return Ok(most);
        }
    }
    Err("not everybody came back".into())
}

/// Questions to the nodes that go on.
struct Asking {
    done: Arc<AtomicBool>,
    counts: Arc<[AtomicU64; 2]>,
    askers: JoinSet<()>,
}

impl Asking {
    fn start(members: &mut [Vec<Member>]) -> Self {
        let mut asking = Self {
            done: Arc::default(),
            counts: Arc::default(),
            askers: JoinSet::new(),
        };
        for mut member in members.iter_mut().flat_map(|here| {
            let from = here.len().saturating_sub(ASKERS);
            here.drain(from..)
        }) {
            let (done, counts) = (Arc::clone(&asking.done), Arc::clone(&asking.counts));
            asking.askers.spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    let answered = member.ask(ObjectId::new([7; 32])).await;
                    counts[usize::from(!answered)].fetch_add(1, Ordering::Relaxed);
                    sleep(Duration::from_millis(500)).await;
                }
            });
        }
        asking
    }

    /// How many questions were answered or not, and how many were not.
    async fn end(mut self) -> Result<(u64, u64), Trouble> {
        self.done.store(true, Ordering::Relaxed);
        while let Some(asker) = self.askers.join_next().await {
            asker?;
        }
        let [answered, not] = &*self.counts;
        let not = not.load(Ordering::Relaxed);
        Ok((answered.load(Ordering::Relaxed) + not, not))
    }
}

impl Report {
    fn text(&self) -> String {
        let back = format!(
            "{:.1}; {:.1}; {:.1} s",
            self.back_s_p50, self.back_s_p99, self.back_s_last
        );
        let rows = [
            ("sessions a node", self.sessions_each.to_string()),
            ("one node was away for", format!("{:.0} s", self.down_s)),
            ("back p50; p99; last", back),
            (
                "logins in a second, most",
                format!(
                    "{} of {}",
                    self.logins_per_s_most, self.logins_per_s_allowed
                ),
            ),
            (
                "questions elsewhere",
                format!(
                    "{}, {} unanswered",
                    self.questions, self.questions_unanswered
                ),
            ),
        ];
        let lines = rows.map(|(name, value)| format!("{name:28}{value}\n"));
        lines.concat()
    }
}
