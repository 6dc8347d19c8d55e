//! The client's session with one control node.
//!
//! [`ControlSession::start`] spawns a task that logs in, keeps the session alive, and comes back
//! after it is lost: with jittered, capped back-off, saying again what it has announced. Nothing
//! that happens here stops a download; failures arrive as [`ControlEvent::Lost`] and are retried
//! quietly.
//!
//! What to announce and when to ask is decided elsewhere.

mod backoff;
mod connection;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use peerlift_model::{ObjectId, PeerId};
use peerlift_wire::PeerAddress;
use peerlift_wire::control::{
    ClientMessage, ErrorCode, Introductions, Login, Query, ServerMessage, Welcome,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use backoff::Backoff;
use connection::Connection;

pub use connection::ControlError;

/// How long connecting and logging in may take together.
const LOGIN_MAX: Duration = Duration::from_secs(20);

/// Commands that wait for the task; a caller that gives more waits.
const COMMANDS_MAX: usize = 64;

/// Events that wait for the owner. When it does not read, the session waits.
const EVENTS_MAX: usize = 64;

/// Questions that wait for a connection. The oldest go first: whoever waits asks again.
const QUERIES_MAX: usize = 64;

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
            key: SigningKey::from_bytes(&identity.key_seed),
            identity,
            commands: receiver,
            events,
            announced: BTreeMap::new(),
            address: PeerAddress::default(),
            queries: VecDeque::new(),
        };
        tasks.spawn(async move {
            // The task keeps no state that outlives it.
            let _ = stop.run_until_cancelled(task.run()).await;
        });
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

    async fn command(&self, command: Command) {
        // The task ends before its handles only when the client closes.
        let _ = self.commands.send(command).await;
    }
}

struct Task {
    url: Url,
    key: SigningKey,
    identity: Identity,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<ControlEvent>,
    announced: BTreeMap<ObjectId, bool>,
    address: PeerAddress,
    queries: VecDeque<Query>,
}

/// Why a session ended.
enum End {
    Lost(ControlError),
    /// All handles are gone.
    Dropped,
}

impl From<ControlError> for End {
    fn from(error: ControlError) -> Self {
        Self::Lost(error)
    }
}

impl Task {
    async fn run(mut self) {
        let mut backoff = Backoff::new();
        loop {
            let error = match self.session(&mut backoff).await {
                End::Dropped => return,
                End::Lost(error) => error,
            };
            let delay = backoff.next_delay(error.retry_after());
            tracing::debug!(url = %self.url, %error, ?delay, "control session lost");
            let lost = ControlEvent::Lost {
                error,
                tries: backoff.tries(),
            };
            if self.events.send(lost).await.is_err() || self.wait(delay).await.is_none() {
                return;
            }
        }
    }

    /// Waits between two tries, taking commands all the while.
    async fn wait(&mut self, delay: Duration) -> Option<()> {
        let due = Instant::now() + delay;
        loop {
            tokio::select! {
                () = sleep_until(due) => return Some(()),
                command = self.commands.recv() => {
                    self.note(command?);
                }
            }
        }
    }

    async fn session(&mut self, backoff: &mut Backoff) -> End {
        let login = tokio::time::timeout(LOGIN_MAX, self.log_in());
        let (mut connection, welcome) = match login.await {
            Ok(Ok(in_session)) => in_session,
            Ok(Err(error)) => return error.into(),
            Err(_) => return ControlError::Timeout.into(),
        };
        backoff.reset();
        match self.serve(&mut connection, welcome).await {
            Err(end) => end,
            Ok(never) => match never {},
        }
    }

    async fn log_in(&mut self) -> Result<(Connection, (Welcome, u64)), ControlError> {
        let mut connection = Connection::open(&self.url).await?;
        let ServerMessage::Challenge(challenge) = connection.receive().await? else {
            return Err(ControlError::Nonsense("the first message is no challenge"));
        };
        let login = Login {
            peer: PeerId::new(self.key.verifying_key().to_bytes()),
            signature: Login::sign(&self.key, &challenge),
            agent: self.identity.agent.clone(),
            share: self.identity.share,
            address: self.address.clone(),
        };
        connection.send(&ClientMessage::Login(login)).await?;
        match connection.receive().await? {
            ServerMessage::Welcome(welcome) => Ok((connection, (welcome, challenge.time))),
            ServerMessage::Error {
                code,
                text,
                retry_after_s,
            } => Err(refused(code, text, retry_after_s)),
            ServerMessage::Challenge(_)
            | ServerMessage::Introductions(_)
            | ServerMessage::Pong
            | ServerMessage::Drain { .. } => Err(ControlError::Nonsense(
                "the answer to a login is no welcome",
            )),
        }
    }

    async fn serve(
        &mut self,
        connection: &mut Connection,
        (welcome, time): (Welcome, u64),
    ) -> Result<std::convert::Infallible, End> {
        let keep_alive = Duration::from_secs(u64::from(welcome.keep_alive_s));
        let connected = ControlEvent::Connected {
            observed: welcome.observed,
            ticket_keys: welcome.ticket_keys,
            time,
        };
        self.tell(connected).await?;
        for (object, complete) in self.announced.clone() {
            connection
                .send(&ClientMessage::Announce { object, complete })
                .await?;
        }
        for query in std::mem::take(&mut self.queries) {
            connection.send(&ClientMessage::Query(query)).await?;
        }
        let mut heard_at = Instant::now();
        // Not put off by what is heard: the node counts what is said.
        let mut say_by = Instant::now() + keep_alive;
        loop {
            tokio::select! {
                message = connection.receive() => {
                    heard_at = Instant::now();
                    self.take(message?).await?;
                }
                command = self.commands.recv() => {
                    let message = self.note(command.ok_or(End::Dropped)?);
                    self.queries.clear();
                    connection.send(&message).await?;
                    say_by = Instant::now() + keep_alive;
                }
                () = sleep_until(say_by) => {
                    // Three beats without an answer: the node, or the way to it, is gone.
                    if heard_at.elapsed() > keep_alive * 3 {
                        return Err(ControlError::Timeout.into());
                    }
                    connection.send(&ClientMessage::Ping).await?;
                    say_by = Instant::now() + keep_alive;
                }
            }
        }
    }

    async fn take(&mut self, message: ServerMessage) -> Result<(), End> {
        match message {
            ServerMessage::Introductions(introductions) => {
                self.tell(ControlEvent::Introductions(introductions)).await
            }
            ServerMessage::Pong => Ok(()),
            ServerMessage::Drain { .. } => Err(ControlError::Closed.into()),
            ServerMessage::Error {
                code: ErrorCode::Busy,
                text,
                ..
            } => {
                tracing::debug!(%text, "the control node is busy");
                Ok(())
            }
            ServerMessage::Error {
                code,
                text,
                retry_after_s,
            } => Err(refused(code, text, retry_after_s).into()),
            ServerMessage::Challenge(_) | ServerMessage::Welcome(_) => {
                Err(ControlError::Nonsense("logged in already").into())
            }
        }
    }

    /// Remembers what a reconnect must say again, and makes the message of it.
    fn note(&mut self, command: Command) -> ClientMessage {
        match command {
            Command::Announce { object, complete } => {
                self.announced.insert(object, complete);
                ClientMessage::Announce { object, complete }
            }
            Command::Withdraw { object } => {
                self.announced.remove(&object);
                self.queries.retain(|query| query.object != object);
                ClientMessage::Withdraw { object }
            }
            Command::Query(query) => {
                self.queries
                    .retain(|waiting| waiting.object != query.object);
                if self.queries.len() == QUERIES_MAX {
                    self.queries.pop_front();
                }
                self.queries.push_back(query.clone());
                ClientMessage::Query(query)
            }
            Command::Address(address) => {
                self.address = address.clone();
                ClientMessage::Address(address)
            }
        }
    }

    async fn tell(&mut self, event: ControlEvent) -> Result<(), End> {
        self.events.send(event).await.map_err(|_| End::Dropped)
    }
}

fn refused(code: ErrorCode, text: String, retry_after_s: u32) -> ControlError {
    let retry_after = Duration::from_secs(u64::from(retry_after_s));
    ControlError::Refused {
        code,
        text,
        retry_after,
    }
}
