//! The task that owns the rendezvous core.
//!
//! Two lanes lead to it. What somebody waits for (logins, queries, the end of a session) goes
//! before what nobody waits for (announcements, complaints, pings): a million announcements after an outage do
//! not make a query wait. Within a session the order may change between lanes, which is harmless: an
//! announcement that comes after the end of its session is ignored.

use std::collections::HashMap;
use std::time::Duration;

use peerlift_model::Timestamp;
use peerlift_rendezvous::{Config, Event, Output, Rendezvous, SessionId};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::directory::DirectoryHandle;
use crate::mailbox;
use crate::metrics::Metrics;

/// Events that wait for the core in each lane. It handles one in microseconds, so a queue this long
/// is a burst of logins; when it is full, session tasks wait, and with them their sockets.
const EVENTS_MAX: usize = 4096;

/// Events of the slow lane that are handled before the fast one is looked at again.
const SLOW_BATCH: usize = 64;

/// Orders that wait for one session. A client that does not read sixteen messages is gone, or does
/// not want them: it is dropped.
pub(crate) const ORDERS_MAX: usize = 16;

/// How often sizes are measured while events go on and on.
const MEASURE_EVERY: Duration = Duration::from_secs(1);

/// What session tasks and operators tell the core task.
pub(crate) enum Input {
    /// A client is at the door; its orders go here.
    Open {
        orders: mailbox::Sender<Output>,
        joined: Event,
    },
    /// Something happened.
    Event(Event),
    /// An operator looks at the core, or changes it.
    Visit(Visit),
}

/// What an operator does.
pub(crate) type Visit = Box<dyn FnOnce(&mut Rendezvous, Timestamp) + Send>;

/// The way to the core task.
#[derive(Clone, Debug)]
pub(crate) struct CoreHandle {
    fast: mpsc::Sender<Input>,
    slow: mpsc::Sender<Event>,
}

impl CoreHandle {
    /// Tells the core; waits while it is behind. After the node's end nobody hears it.
    pub(crate) async fn tell(&self, input: Input) {
        let _ = match input {
            Input::Event(
                event @ (Event::Announce { .. }
                | Event::Withdraw { .. }
                | Event::Complain { .. }
                | Event::Ping { .. }),
            ) => self.slow.send(event).await.is_ok(),
            input @ (Input::Open { .. } | Input::Event(_) | Input::Visit(_)) => {
                self.fast.send(input).await.is_ok()
            }
        };
    }
}

/// The task.
pub(crate) struct CoreTask {
    core: Rendezvous,
    fast: mpsc::Receiver<Input>,
    slow: mpsc::Receiver<Event>,
    sessions: HashMap<SessionId, mailbox::Sender<Output>>,
    directory: Option<DirectoryHandle>,
    metrics: Metrics,
    stop: CancellationToken,
    started: Instant,
    measure_at: Instant,
}

pub(crate) fn new(
    config: Config,
    seed: u64,
    metrics: Metrics,
    stop: CancellationToken,
) -> (CoreHandle, CoreTask) {
    let (fast_sender, fast) = mpsc::channel(EVENTS_MAX);
    let (slow_sender, slow) = mpsc::channel(EVENTS_MAX);
    let task = CoreTask {
        core: Rendezvous::new(config, seed),
        fast,
        slow,
        sessions: HashMap::new(),
        directory: None,
        metrics,
        stop,
        started: Instant::now(),
        measure_at: Instant::now(),
    };
    let handle = CoreHandle {
        fast: fast_sender,
        slow: slow_sender,
    };
    (handle, task)
}

impl CoreTask {
    /// Shares what the core knows with other nodes.
    pub(crate) fn share(&mut self, directory: DirectoryHandle) {
        self.directory = Some(directory);
    }

    pub(crate) async fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            self.deliver_all();
            self.measure();
            let timeout = self.core.poll_timeout().map(|at| self.instant(at));
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                () = sleep_until(timeout.unwrap_or(self.started)), if timeout.is_some() => {
                    let now = self.now();
                    self.core.handle_timeout(now);
                }
                input = self.fast.recv() => match input {
                    Some(input) => self.take(input),
                    None => return,
                },
                _ = self.slow.recv_many(&mut batch, SLOW_BATCH) => {
                    let now = self.now();
                    for event in batch.drain(..) {
                        self.core.handle(event, now);
                    }
                }
            }
        }
    }

    fn take(&mut self, input: Input) {
        let now = self.now();
        match input {
            Input::Open { orders, joined } => {
                if let Event::Joined { session, .. } = &joined {
                    self.sessions.insert(*session, orders);
                }
                self.core.handle(joined, now);
            }
            Input::Event(event) => {
                if let Event::Left { session } | Event::Lost { session } = event {
                    self.sessions.remove(&session);
                }
                self.core.handle(event, now);
            }
            Input::Visit(visit) => visit(&mut self.core, now),
        }
    }

    fn deliver_all(&mut self) {
        loop {
            while let Some(output) = self.core.poll_output() {
                self.deliver(output);
            }
            let Some(share) = self.core.poll_share() else {
                return;
            };
            let answer = self.directory.as_ref().and_then(|it| it.take(share));
            if let Some(answer) = answer {
                let now = self.now();
                self.core.handle(answer, now);
            }
        }
    }

    fn deliver(&mut self, output: Output) {
        let session = output.session();
        let closing = matches!(output, Output::Close { .. });
        let Some(orders) = self.sessions.get(&session) else {
            return;
        };
        let lost = !orders.send(output);
        if lost || closing {
            // Without its sender the session task ends.
            self.sessions.remove(&session);
        }
        if lost && !closing {
            let now = self.now();
            self.core.handle(Event::Lost { session }, now);
        }
    }

    /// Gauges are for people: once a second under load, and at once when it is quiet.
    fn measure(&mut self) {
        let now = Instant::now();
        let quiet = self.fast.is_empty() && self.slow.is_empty();
        if quiet || now >= self.measure_at {
            self.metrics.measure(&self.core);
            self.measure_at = now + MEASURE_EVERY;
        }
    }

    fn now(&self) -> Timestamp {
        let micros = self.started.elapsed().as_micros();
        Timestamp::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    fn instant(&self, at: Timestamp) -> Instant {
        self.started + Duration::from_micros(at.as_micros())
    }
}
