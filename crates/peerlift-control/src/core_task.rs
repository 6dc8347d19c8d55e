//! The task that owns the rendezvous core.

use std::collections::BTreeMap;
use std::time::Duration;

use peerlift_model::Timestamp;
use peerlift_rendezvous::{Config, Event, Output, Rendezvous, SessionId};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Events that wait for the core. It handles one in microseconds, so a queue this long is a
/// burst of logins; when it is full, session tasks wait, and with them their sockets.
const EVENTS_MAX: usize = 4096;

/// Orders that wait for one session. A client that does not read sixteen messages is gone, or does
/// not want them: it is dropped.
pub(crate) const ORDERS_MAX: usize = 16;

/// What the core tells a session task.
pub(crate) type Order = Output;

/// What session tasks tell the core task.
#[derive(Debug)]
pub(crate) enum Input {
    /// A client is in; its orders go here.
    Open {
        session: SessionId,
        orders: mpsc::Sender<Order>,
        joined: Event,
    },
    /// Something happened.
    Event(Event),
}

/// The way to the core task.
#[derive(Clone, Debug)]
pub(crate) struct CoreHandle(mpsc::Sender<Input>);

impl CoreHandle {
    /// Tells the core; waits while it is behind. After the node's end nobody hears it.
    pub(crate) async fn tell(&self, input: Input) {
        let _ = self.0.send(input).await;
    }
}

/// The task.
pub(crate) struct CoreTask {
    core: Rendezvous,
    inputs: mpsc::Receiver<Input>,
    sessions: BTreeMap<SessionId, mpsc::Sender<Order>>,
    metrics: Metrics,
    stop: CancellationToken,
    started: Instant,
}

pub(crate) fn new(
    config: Config,
    seed: u64,
    metrics: Metrics,
    stop: CancellationToken,
) -> (CoreHandle, CoreTask) {
    let (sender, inputs) = mpsc::channel(EVENTS_MAX);
    let task = CoreTask {
        core: Rendezvous::new(config, seed),
        inputs,
        sessions: BTreeMap::new(),
        metrics,
        stop,
        started: Instant::now(),
    };
    (CoreHandle(sender), task)
}

impl CoreTask {
    pub(crate) async fn run(mut self) {
        loop {
            while let Some(output) = self.core.poll_output() {
                self.deliver(output);
            }
            self.metrics.measure(&self.core);
            let timeout = self.core.poll_timeout().map(|at| self.instant(at));
            tokio::select! {
                input = self.inputs.recv() => match input {
                    Some(input) => self.take(input),
                    None => return,
                },
                () = sleep_until(timeout.unwrap_or(self.started)), if timeout.is_some() => {
                    let now = self.now();
                    self.core.handle_timeout(now);
                }
                () = self.stop.cancelled() => return,
            }
        }
    }

    fn take(&mut self, input: Input) {
        let event = match input {
            Input::Open {
                session,
                orders,
                joined,
            } => {
                self.sessions.insert(session, orders);
                joined
            }
            Input::Event(event) => event,
        };
        if let Event::Left { session } = event {
            self.sessions.remove(&session);
        }
        let now = self.now();
        self.core.handle(event, now);
    }

    fn deliver(&mut self, output: Output) {
        let session = match &output {
            Output::Introduce { to, .. } => *to,
            Output::Refuse { session, .. } | Output::Close { session, .. } => *session,
        };
        let closing = matches!(output, Output::Close { .. });
        let Some(orders) = self.sessions.get(&session) else {
            return;
        };
        let lost = orders.try_send(output).is_err();
        if lost || closing {
            // Without its sender the session task ends.
            self.sessions.remove(&session);
        }
        if lost && !closing {
            let now = self.now();
            self.core.handle(Event::Left { session }, now);
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
