//! The client's session with one control node.
//!
//! [`ControlSession::start`] spawns a task that logs in, keeps the session alive, and comes back
//! after it is lost: with jittered, capped back-off, saying again what it has announced unless the
//! node remembers. Nothing that happens here stops a download; failures arrive as
//! [`ControlEvent::Lost`] and are retried quietly.
//!
//! * `machine`: the order of things, without socket and clock;
//! * `pulse`: keep-alives, proxies that cut idle connections, machines that sleep;
//! * `backoff`: how long to wait before the next try;
//! * `connection`: one WebSocket.
//!
//! What to announce and when to ask is decided elsewhere.

mod backoff;
mod connection;
mod machine;
mod pulse;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use peerlift_model::{NatClass, ObjectId, PeerId, Timestamp};
use peerlift_wire::PeerAddress;
use peerlift_wire::control::{Blocked, Introductions, Query, ServerMessage};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::token::Wallet;
use connection::{Connection, Tls};
use machine::{Act, Machine};

pub use connection::ControlError;

/// Commands that wait for the task; a caller that gives more waits.
const COMMANDS_MAX: usize = 64;

/// Events that wait for the owner. When it does not read, the session waits.
const EVENTS_MAX: usize = 64;

/// Who a client is to a control node.
#[derive(Clone)]
pub struct Identity {
    /// The seed of its Ed25519 key, the same that its peers know it by.
    pub key_seed: [u8; 32],
    /// Program and version.
    pub agent: String,
    /// Whether the user has agreed to serve others.
    pub share: bool,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("agent", &self.agent)
            .field("share", &self.share)
            .finish_non_exhaustive()
    }
}

/// News from a control node.
#[derive(Debug)]
pub enum ControlEvent {
    /// The session is up.
    Connected {
        /// The client's address as the node sees it.
        observed: Option<IpAddr>,
        /// Keys whose tickets to take.
        ticket_keys: Vec<[u8; 32]>,
        /// The node's clock in Unix seconds.
        time: u64,
    },
    /// Peers, asked for or not.
    Introductions(Introductions),
    /// The operator of the node has forbidden an object: it is not to be served to peers, and
    /// nobody will be introduced for it.
    Blocked {
        /// The object.
        object: ObjectId,
    },
    /// All that the operator has blocked: neither to be fetched nor served. Replaces what was said
    /// before.
    BlockList(Blocked),
    /// Keys whose tickets to take as well: another node is there.
    TicketKeys {
        /// The keys.
        keys: Vec<[u8; 32]>,
    },
    /// A question was refused for want of a token, or a token was.
    Denied {
        /// What the node says.
        text: String,
    },
    /// The session is down; the task goes on trying.
    Lost {
        /// Why.
        error: ControlError,
        /// Tries since the last session.
        tries: u32,
    },
}

/// A handle on the session. Dropping the last one ends it.
#[derive(Clone, Debug)]
pub struct ControlSession {
    commands: mpsc::Sender<Command>,
}

#[derive(Debug)]
enum Command {
    Announce { object: ObjectId, complete: bool },
    Withdraw { object: ObjectId },
    Query(Query),
    Address(PeerAddress),
    Nat(NatClass),
    Show(Arc<Wallet>),
    Complain { ticket: Bytes },
}

impl ControlSession {
    /// Starts a session with the node at `url` (`ws`, `wss`, `http` or `https`), in a task of
    /// `tasks` that ends with `stop`.
    #[must_use]
    pub fn start(
        url: Url,
        identity: Identity,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> (Self, mpsc::Receiver<ControlEvent>) {
        let (commands, receiver) = mpsc::channel(COMMANDS_MAX);
        let (events, event_receiver) = mpsc::channel(EVENTS_MAX);
        let task = Task {
            url,
            machine: Machine::new(identity, Timestamp::ZERO),
            commands: receiver,
            events,
            started: Instant::now(),
            wire: Wire::None,
            tls: Tls::default(),
        };
        tasks.spawn(task.run(stop));
        (Self { commands }, event_receiver)
    }

    /// Tells the node that the client serves (some of) an object; said again after a reconnect.
    pub async fn announce(&self, object: ObjectId, complete: bool) {
        self.command(Command::Announce { object, complete }).await;
    }

    /// Tells the node that the client has no more to do with an object.
    pub async fn withdraw(&self, object: ObjectId) {
        self.command(Command::Withdraw { object }).await;
    }

    /// Asks for peers; the answer comes as [`ControlEvent::Introductions`].
    pub async fn query(&self, object: ObjectId, max: usize, known: Vec<PeerId>) {
        self.command(Command::Query(Query { object, max, known }))
            .await;
    }

    /// Tells the node where the client can be reached.
    pub async fn address(&self, address: PeerAddress) {
        self.command(Command::Address(address)).await;
    }

    /// Tells the node what NAT the client is behind, as far as it knows; unknown until then.
    pub async fn nat(&self, nat: NatClass) {
        self.command(Command::Nat(nat)).await;
    }

    /// Shows the node a publisher's token: now, after every reconnect, and whenever it is renewed.
    pub async fn show(&self, wallet: Arc<Wallet>) {
        self.command(Command::Show(wallet)).await;
    }

    /// Tells the node that the peer of this ticket has not what it announced, or sends what is not.
    /// Said at once or not at all.
    pub async fn complain(&self, ticket: Bytes) {
        self.command(Command::Complain { ticket }).await;
    }

    async fn command(&self, command: Command) {
        // The task ends before its handles only when the client closes.
        let _ = self.commands.send(command).await;
    }
}

/// The shell around the [`Machine`].
struct Task {
    url: Url,
    machine: Machine,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<ControlEvent>,
    started: Instant,
    wire: Wire,
    tls: Tls,
}

/// The way to the node, if there is one.
enum Wire {
    None,
    Opening(Pin<Box<dyn Future<Output = Result<Connection, ControlError>> + Send>>),
    Open(Box<Connection>),
}

impl Wire {
    /// What comes next: nothing but news of an opened connection, or a message. Cancel-safe.
    async fn next(&mut self) -> Result<ServerMessage, ControlError> {
        if let Self::Opening(opening) = self {
            let connection = opening.await?;
            *self = Self::Open(Box::new(connection));
        }
        match self {
            Self::Open(connection) => connection.receive().await,
            Self::None | Self::Opening(_) => std::future::pending().await,
        }
    }
}

/// How long one message may take to go out.
const SEND_MAX: Duration = Duration::from_secs(20);

/// All handles are gone, or nobody reads the events.
struct Dropped;

impl Task {
    async fn run(mut self, stop: CancellationToken) {
        loop {
            let step = stop.run_until_cancelled(self.step()).await;
            if !matches!(step, Some(Ok(()))) {
                break;
            }
        }
        if let Wire::Open(connection) = self.wire {
            // So that the node forgets the client at once. Best effort: it would notice anyway.
            let _ = timeout(GOODBYE_MAX, connection.close()).await;
        }
    }

    async fn step(&mut self) -> Result<(), Dropped> {
        self.machine.handle_clocks(self.now(), unix_now());
        while let Some(act) = self.machine.poll_output() {
            self.perform(act).await?;
        }
        let due = self.started + Duration::from_micros(self.machine.poll_timeout().as_micros());
        tokio::select! {
            message = self.wire.next() => match message {
                Ok(message) => {
                    let now = self.now();
                    self.machine.handle_message(message, now, random_fraction());
                }
                Err(error) => self.lose(error),
            },
            command = self.commands.recv() => {
                let now = self.now();
                self.machine.handle_command(command.ok_or(Dropped)?, now);
            }
            () = sleep_until(due) => {
                let now = self.now();
                self.machine.handle_timeout(now, random_fraction());
            }
        }
        Ok(())
    }

    async fn perform(&mut self, act: Act) -> Result<(), Dropped> {
        match act {
            Act::Connect => {
                let url = self.url.clone();
                let tls = self.tls.connector(&url);
                let opening = async move { Connection::open(&url, tls?).await };
                self.wire = Wire::Opening(Box::pin(opening));
            }
            Act::Send(message) => {
                let Wire::Open(connection) = &mut self.wire else {
                    return Ok(());
                };
                match timeout(SEND_MAX, connection.send(&message)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => self.lose(error),
                    Err(_) => self.lose(ControlError::Timeout),
                }
            }
            Act::Disconnect => self.wire = Wire::None,
            Act::Tell(event) => {
                if let ControlEvent::Lost { error, tries } = &event {
                    tracing::debug!(url = %self.url, %error, tries, "control session lost");
                }
                return self.events.send(event).await.map_err(|_| Dropped);
            }
        }
        Ok(())
    }

    fn lose(&mut self, error: ControlError) {
        self.tls.note(&error);
        self.wire = Wire::None;
        let now = self.now();
        self.machine.handle_lost(error, now, random_fraction());
    }

    fn now(&self) -> Timestamp {
        let micros = self.started.elapsed().as_micros();
        Timestamp::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }
}

/// How long a goodbye may take.
const GOODBYE_MAX: Duration = Duration::from_secs(2);

fn unix_now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
}

fn random_fraction() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness clients only come back more in step.
    let _ = getrandom::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}
