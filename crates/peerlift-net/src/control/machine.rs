//! The life of a client's session with one control node, without its socket.
//!
//! ```text
//!  Waiting ──due──► Connecting ──challenge──► LoggingIn ──welcome──► Up
//!     ▲                 │                         │                  │
//!     └───── lost, refused, or not in time ───────┴──────────────────┘
//! ```
//!
//! The shell reports what happens and when; [`Machine::poll_output`] says what to do and
//! [`Machine::poll_timeout`] when to come back. It keeps what a reconnect must say again, and tells
//! by a digest when nothing has to be said. It reads no clock: monotonic time, which stops while a
//! machine sleeps, and the time of day, which does not, are arguments; that they drift apart is how
//! a sleep is noticed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use peerlift_model::{NatClass, ObjectId, PeerId, Timestamp};
use peerlift_wire::PeerAddress;
use peerlift_wire::control::{
    Challenge, ClientMessage, ErrorCode, Login, Query, ServerMessage, ShownToken, Welcome,
};

use super::backoff::Backoff;
use super::pulse::{Pulse, SleepDetector};
use super::{Command, ControlError, ControlEvent, Identity};
use crate::token::Wallet;

/// How long connecting and logging in may take together.
const LOGIN_MAX: Duration = Duration::from_secs(20);

/// How long a session must have lasted for its end to be the first failure again. Shorter ones count
/// as failures: a node that lets everybody in and drops them at once is not stormed.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Questions that wait for a connection. The oldest go first: whoever waits asks again.
const QUERIES_MAX: usize = 64;

/// Tokens shown in one session: as many as a node keeps.
const WALLETS_MAX: usize = 16;

/// What the shell has to do, in order.
#[derive(Debug)]
pub(super) enum Act {
    /// Open a connection.
    Connect,
    /// Send a message on it.
    Send(ClientMessage),
    /// Close it, or stop opening it.
    Disconnect,
    /// Tell the owner.
    Tell(ControlEvent),
}

/// See the module.
pub(super) struct Machine {
    key: SigningKey,
    identity: Identity,
    state: State,
    backoff: Backoff,
    pulse: Pulse,
    sleep: SleepDetector,
    announced: BTreeMap<ObjectId, bool>,
    /// What the node was told while it was up, if it remembers; see `docs/protocol/control.md`.
    told: bool,
    address: PeerAddress,
    nat: NatClass,
    queries: VecDeque<Query>,
    /// Tokens to show, each with the text that this session has seen of it.
    wallets: Vec<(Arc<Wallet>, String)>,
    /// What the proofs of this session answer.
    challenge: Option<Challenge>,
    /// What the login that waits for its welcome has said.
    said: Said,
    acts: VecDeque<Act>,
}

/// What was said with a login, and of which some may change before the welcome: what is commanded
/// meanwhile is in no message.
#[derive(Default)]
struct Said {
    address: PeerAddress,
    nat: NatClass,
    /// What its digest stands for, or the messages right behind it.
    announced: BTreeMap<ObjectId, bool>,
    /// Whether there were such messages.
    at_once: bool,
    queries: VecDeque<Query>,
}

enum State {
    Waiting { until: Timestamp },
    Connecting { until: Timestamp },
    LoggingIn { until: Timestamp, node_time: u64 },
    Up { since: Timestamp },
}

impl Machine {
    /// Connects at once.
    pub(super) fn new(identity: Identity, now: Timestamp) -> Self {
        Self {
            key: SigningKey::from_bytes(&identity.key_seed),
            identity,
            state: State::Waiting { until: now },
            backoff: Backoff::new(),
            pulse: Pulse::default(),
            sleep: SleepDetector::default(),
            announced: BTreeMap::new(),
            told: false,
            address: PeerAddress::default(),
            nat: NatClass::Unknown,
            queries: VecDeque::new(),
            wallets: Vec::new(),
            challenge: None,
            said: Said::default(),
            acts: VecDeque::new(),
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Timestamp {
        match self.state {
            State::Waiting { until }
            | State::Connecting { until }
            | State::LoggingIn { until, .. } => until,
            State::Up { .. } => self.pulse.due(),
        }
    }

    /// Compares the clocks. To be called whenever the shell wakes up, before anything else.
    pub(super) fn handle_clocks(&mut self, now: Timestamp, unix: Duration) {
        if !self.sleep.has_slept(now, unix) {
            return;
        }
        match self.state {
            // The network may be another one: see at once whether the node still answers.
            State::Up { .. } => self.ping(now),
            State::Waiting { .. } => self.state = State::Waiting { until: now },
            State::Connecting { .. } | State::LoggingIn { .. } => {}
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp, jitter: f64) {
        if self.poll_timeout() > now {
            return;
        }
        match self.state {
            State::Waiting { .. } => {
                let until = now + LOGIN_MAX;
                self.state = State::Connecting { until };
                self.acts.push_back(Act::Connect);
            }
            State::Connecting { .. } | State::LoggingIn { .. } => {
                self.lose(ControlError::Timeout, now, jitter);
            }
            State::Up { .. } if self.pulse.is_dead(now) => {
                self.lose(ControlError::Timeout, now, jitter);
            }
            State::Up { .. } if self.pulse.wants_beat(now) => self.ping(now),
            State::Up { .. } => self.pulse.looked(now),
        }
    }

    /// The connection could not be opened, or broke.
    pub(super) fn handle_lost(&mut self, error: ControlError, now: Timestamp, jitter: f64) {
        if let State::Up { .. } = self.state {
            self.pulse.broke(now);
        }
        self.lose(error, now, jitter);
    }

    pub(super) fn handle_message(&mut self, message: ServerMessage, now: Timestamp, jitter: f64) {
        self.pulse.heard(now);
        let result = match (&self.state, message) {
            (State::Connecting { until }, ServerMessage::Challenge(challenge)) => {
                let (until, node_time) = (*until, challenge.time);
                self.state = State::LoggingIn { until, node_time };
                self.log_in(&challenge);
                self.challenge = Some(challenge);
                Ok(())
            }
            (State::Connecting { .. }, _) => {
                Err(ControlError::Nonsense("the first message is no challenge"))
            }
            (State::LoggingIn { node_time, .. }, ServerMessage::Welcome(welcome)) => {
                let node_time = *node_time;
                self.go_up(welcome, node_time, now);
                Ok(())
            }
            (
                State::LoggingIn { .. },
                ServerMessage::Error {
                    code,
                    text,
                    retry_after_s,
                },
            ) => Err(refused(code, text, retry_after_s)),
            (State::LoggingIn { .. }, _) => Err(ControlError::Nonsense(
                "the answer to a login is no welcome",
            )),
            (State::Up { .. }, message) => self.take(message),
            (State::Waiting { .. }, _) => Ok(()),
        };
        if let Err(error) = result {
            self.lose(error, now, jitter);
        }
    }

    pub(super) fn handle_command(&mut self, command: Command, now: Timestamp) {
        let up = matches!(self.state, State::Up { .. });
        let message = self.note(command);
        // A query's answer may depend on a token that is new, or was renewed.
        self.show_tokens();
        if let Some(message) = message.filter(|_| up) {
            self.queries.clear();
            self.send(message, now);
        }
    }

    fn log_in(&mut self, challenge: &Challenge) {
        let login = Login {
            peer: PeerId::new(self.key.verifying_key().to_bytes()),
            signature: Login::sign(&self.key, challenge),
            agent: self.identity.agent.clone(),
            share: self.identity.share,
            address: self.address.clone(),
            nat: self.nat,
            resume: self.told.then(|| self.digest()),
        };
        self.acts.push_back(Act::Send(ClientMessage::Login(login)));
        self.said = Said {
            address: self.address.clone(),
            nat: self.nat,
            announced: self.announced.clone(),
            ..Said::default()
        };
        if !self.told && self.wallets.is_empty() {
            self.say_at_once();
        }
    }

    /// A node that knows nothing of us is told all right behind the login, which saves a round trip. Tokens
    /// go before questions, and are for a session that is up.
    fn say_at_once(&mut self) {
        self.announce_all();
        let queries = self.queries.iter().cloned();
        (self.acts).extend(queries.map(|query| Act::Send(ClientMessage::Query(query))));
        self.said.at_once = true;
        self.said.queries = self.queries.clone();
    }

    fn digest(&self) -> u64 {
        let part = |(object, complete): (&ObjectId, &bool)| {
            let [a, b, c, d, e, f, g, h, ..] = *object.as_bytes();
            u64::from_be_bytes([a, b, c, d, e, f, g, h]).rotate_left(u32::from(*complete))
        };
        { &self.announced }
            .iter()
            .map(part)
            .fold(0, u64::wrapping_add)
    }

    fn go_up(&mut self, welcome: Welcome, time: u64, now: Timestamp) {
        self.state = State::Up { since: now };
        let keep_alive = Duration::from_secs(u64::from(welcome.keep_alive_s));
        self.pulse.begin(keep_alive, now);
        self.acts.push_back(Act::Tell(ControlEvent::Connected {
            observed: welcome.observed,
            ticket_keys: welcome.ticket_keys,
            time,
        }));
        for (_, seen) in &mut self.wallets {
            seen.clear();
        }
        self.show_tokens();
        let said = std::mem::take(&mut self.said);
        if (&said.address, said.nat) != (&self.address, self.nat) {
            self.acts.push_back(Act::Send(self.moved()));
        }
        if welcome.resumed || said.at_once {
            self.announce_since(&said.announced);
        } else {
            self.announce_all();
        }
        self.told = true;
        for query in std::mem::take(&mut self.queries) {
            if !said.queries.contains(&query) {
                self.acts.push_back(Act::Send(ClientMessage::Query(query)));
            }
        }
    }

    fn keep(&mut self, wallet: Arc<Wallet>) {
        let same = |(known, _): &(Arc<Wallet>, String)| Arc::ptr_eq(known, &wallet);
        if self.wallets.iter().any(same) {
            return;
        }
        if self.wallets.len() == WALLETS_MAX {
            self.wallets.remove(0);
        }
        self.wallets.push((wallet, String::new()));
    }

    /// Shows the tokens that this session has not seen. A wallet reads the time of day by itself,
    /// and its file when the token in it is about to end.
    fn show_tokens(&mut self) {
        let (State::Up { .. }, Some(challenge)) = (&self.state, &self.challenge) else {
            return;
        };
        for (wallet, seen) in &mut self.wallets {
            if wallet.is_newer_than(seen) {
                let (token, proof) = wallet.for_session(&challenge.node, &challenge.nonce);
                seen.clone_from(&token);
                let shown = ShownToken { token, proof };
                self.acts.push_back(Act::Send(ClientMessage::Token(shown)));
            }
        }
    }

    fn announce_all(&mut self) {
        for (object, complete) in &self.announced {
            let (object, complete) = (*object, *complete);
            let announce = ClientMessage::Announce { object, complete };
            self.acts.push_back(Act::Send(announce));
        }
    }

    /// Says what was announced and withdrawn since the node was told this.
    fn announce_since(&mut self, known: &BTreeMap<ObjectId, bool>) {
        for (object, complete) in &self.announced {
            if known.get(object) != Some(complete) {
                let (object, complete) = (*object, *complete);
                let announce = ClientMessage::Announce { object, complete };
                self.acts.push_back(Act::Send(announce));
            }
        }
        for object in known.keys().filter(|it| !self.announced.contains_key(it)) {
            let withdraw = ClientMessage::Withdraw { object: *object };
            self.acts.push_back(Act::Send(withdraw));
        }
    }

    fn take(&mut self, message: ServerMessage) -> Result<(), ControlError> {
        match message {
            ServerMessage::Introductions(introductions) => {
                let event = ControlEvent::Introductions(introductions);
                self.acts.push_back(Act::Tell(event));
            }
            ServerMessage::Block { object } => {
                // Not said again after a reconnect; who has it may announce it anew.
                self.announced.remove(&object);
                let event = ControlEvent::Blocked { object };
                self.acts.push_back(Act::Tell(event));
                let withdraw = ClientMessage::Withdraw { object };
                self.acts.push_back(Act::Send(withdraw));
            }
            ServerMessage::Blocked(blocked) => {
                let event = ControlEvent::BlockList(blocked);
                self.acts.push_back(Act::Tell(event));
            }
            ServerMessage::TicketKeys { keys } => {
                let event = ControlEvent::TicketKeys { keys };
                self.acts.push_back(Act::Tell(event));
            }
            ServerMessage::Error {
                code: ErrorCode::Denied,
                text,
                ..
            } => self
                .acts
                .push_back(Act::Tell(ControlEvent::Denied { text })),
            ServerMessage::Recall => self.announce_all(),
            ServerMessage::Pong => {}
            ServerMessage::Drain { .. } => return Err(ControlError::Closed),
            ServerMessage::Error {
                code: ErrorCode::Busy,
                text,
                ..
            } => tracing::debug!(%text, "the control node is busy"),
            ServerMessage::Error {
                code,
                text,
                retry_after_s,
            } => return Err(refused(code, text, retry_after_s)),
            ServerMessage::Challenge(_) | ServerMessage::Welcome(_) => {
                return Err(ControlError::Nonsense("logged in already"));
            }
        }
        Ok(())
    }

    fn lose(&mut self, error: ControlError, now: Timestamp, jitter: f64) {
        if let State::Up { since } = self.state
            && now.since(since) >= STABLE_AFTER
        {
            self.backoff.reset();
        }
        let delay = self.backoff.next_delay(error.retry_after(), jitter);
        self.state = State::Waiting { until: now + delay };
        self.acts
            .retain(|act| !matches!(act, Act::Send(_) | Act::Connect));
        self.acts.push_back(Act::Disconnect);
        let tries = self.backoff.tries();
        let lost = ControlEvent::Lost { error, tries };
        self.acts.push_back(Act::Tell(lost));
    }

    fn ping(&mut self, now: Timestamp) {
        self.pulse.asked(now);
        self.acts.push_back(Act::Send(ClientMessage::Ping));
    }

    fn send(&mut self, message: ClientMessage, now: Timestamp) {
        self.pulse.said(now);
        self.acts.push_back(Act::Send(message));
    }

    /// Remembers what a reconnect must say again, and makes the message of it.
    fn note(&mut self, command: Command) -> Option<ClientMessage> {
        Some(match command {
            Command::Show(wallet) => {
                self.keep(wallet);
                return None;
            }
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
                self.address = address;
                self.moved()
            }
            Command::Nat(nat) => {
                self.nat = nat;
                self.moved()
            }
            Command::Complain { ticket } => ClientMessage::Complain { ticket },
        })
    }

    fn moved(&self) -> ClientMessage {
        ClientMessage::Address {
            address: self.address.clone(),
            nat: self.nat,
        }
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

#[cfg(test)]
#[path = "machine_tests.rs"]
mod tests;
