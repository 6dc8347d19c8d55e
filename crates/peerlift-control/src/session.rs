//! One client's session: login, then messages to events and orders to messages.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::ws::{Message, WebSocket};
use ed25519_dalek::SigningKey;
use peerlift_model::PeerId;
use peerlift_rendezvous::{CloseReason, Event, Meeting, Output, Refusal, SessionId};
use peerlift_wire::control::{
    Challenge, ClientMessage, ErrorCode, Introduction, Introductions, Login, ServerMessage, Welcome,
};
use peerlift_wire::ticket::{TICKET_LIFE_S, Ticket};
use peerlift_wire::{PeerAddress, WireError};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::core_task::{CoreHandle, Input, ORDERS_MAX, Order};
use crate::metrics::Metrics;

/// How long a login may take: a slow phone on a bad line, and no slow-loris.
const LOGIN_MAX: Duration = Duration::from_secs(10);

/// How long one message may take to go out.
const SEND_MAX: Duration = Duration::from_secs(20);

/// What all sessions of a node share.
pub(crate) struct SessionContext {
    pub(crate) key: SigningKey,
    pub(crate) keep_alive: Duration,
    pub(crate) metrics: Metrics,
    pub(crate) stop: CancellationToken,
}

impl std::fmt::Debug for SessionContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionContext").finish_non_exhaustive()
    }
}

/// Why a session ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The client went, or cannot be reached.
    Gone,
    /// The client broke the protocol.
    Misbehaved(ErrorCode, String),
    /// The core closed it.
    Closed(CloseReason),
    /// The node ends.
    Stopped,
}

impl From<WireError> for End {
    fn from(error: WireError) -> Self {
        Self::Misbehaved(ErrorCode::Protocol, error.to_string())
    }
}

/// Runs a session to its end.
pub(crate) async fn run(
    socket: WebSocket,
    id: SessionId,
    observed: Option<IpAddr>,
    context: Arc<SessionContext>,
    core: CoreHandle,
) {
    let mut session = Session {
        socket,
        id,
        context,
        core,
    };
    let end = session.live(observed).await;
    session
        .core
        .tell(Input::Event(Event::Left { session: id }))
        .await;
    tracing::debug!(session = id.0, ?end, "session over");
    session.say_goodbye(&end).await;
}

struct Session {
    socket: WebSocket,
    id: SessionId,
    context: Arc<SessionContext>,
    core: CoreHandle,
}

impl Session {
    async fn live(&mut self, observed: Option<IpAddr>) -> End {
        let stop = self.context.stop.clone();
        let login = tokio::select! {
            login = timeout(LOGIN_MAX, self.login()) => login,
            () = stop.cancelled() => return End::Stopped,
        };
        let login = match login {
            Ok(Ok(login)) => login,
            Ok(Err(end)) => {
                self.context.metrics.failed_logins.inc();
                return end;
            }
            Err(_) => {
                self.context.metrics.failed_logins.inc();
                return End::Misbehaved(ErrorCode::BadLogin, "the login took too long".to_owned());
            }
        };
        self.context.metrics.logins.inc();
        let peer = login.peer;
        let orders = self.join(login, observed).await;
        let welcome = ServerMessage::Welcome(Welcome {
            observed,
            ticket_keys: vec![self.context.key.verifying_key().to_bytes()],
            keep_alive_s: u32::try_from(self.context.keep_alive.as_secs()).unwrap_or(u32::MAX),
            session: self.id.0,
        });
        match self.send(&welcome).await {
            Ok(()) => self.serve(peer, orders).await,
            Err(end) => end,
        }
    }

    async fn login(&mut self) -> Result<Login, End> {
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).map_err(|_| End::Stopped)?;
        let node = self.context.key.verifying_key().to_bytes();
        let challenge = Challenge {
            nonce,
            node,
            time: unix_now(),
        };
        self.send(&ServerMessage::Challenge(challenge.clone()))
            .await?;
        let ClientMessage::Login(login) = self.receive().await? else {
            let text = "the first message must be a login".to_owned();
            return Err(End::Misbehaved(ErrorCode::BadLogin, text));
        };
        if login.verify(&challenge) {
            Ok(login)
        } else {
            let text = "the signature does not answer the challenge".to_owned();
            Err(End::Misbehaved(ErrorCode::BadLogin, text))
        }
    }

    async fn join(&mut self, login: Login, observed: Option<IpAddr>) -> mpsc::Receiver<Order> {
        let (orders, receiver) = mpsc::channel(ORDERS_MAX);
        let session = self.id;
        let (peer, share) = (login.peer, login.share);
        let joined = Event::Joined {
            session,
            peer,
            share,
            observed,
        };
        self.core
            .tell(Input::Open {
                session,
                orders,
                joined,
            })
            .await;
        self.core
            .tell(Input::Event(address(session, login.address)))
            .await;
        receiver
    }

    async fn serve(&mut self, peer: PeerId, mut orders: mpsc::Receiver<Order>) -> End {
        let stop = self.context.stop.clone();
        loop {
            let result = tokio::select! {
                message = self.receive() => match message {
                    Ok(message) => self.take(message).await,
                    Err(end) => Err(end),
                },
                order = orders.recv() => match order {
                    Some(order) => self.carry_out(peer, order).await,
                    None => Err(End::Gone),
                },
                () = stop.cancelled() => Err(End::Stopped),
            };
            if let Err(end) = result {
                return end;
            }
        }
    }

    async fn take(&mut self, message: ClientMessage) -> Result<(), End> {
        let session = self.id;
        self.context.metrics.messages.inc();
        let event = match message {
            ClientMessage::Login(_) => {
                let text = "already logged in".to_owned();
                return Err(End::Misbehaved(ErrorCode::Protocol, text));
            }
            ClientMessage::Announce { object, complete } => Event::Announce {
                session,
                object,
                complete,
            },
            ClientMessage::Withdraw { object } => Event::Withdraw { session, object },
            ClientMessage::Query(query) => {
                self.context.metrics.queries.inc();
                let (object, max, known) = (query.object, query.max, query.known);
                Event::Query {
                    session,
                    object,
                    max,
                    known,
                }
            }
            ClientMessage::Address(place) => address(session, place),
            ClientMessage::Ping => {
                self.send(&ServerMessage::Pong).await?;
                Event::Ping { session }
            }
        };
        self.core.tell(Input::Event(event)).await;
        Ok(())
    }

    async fn carry_out(&mut self, peer: PeerId, order: Order) -> Result<(), End> {
        let message = match order {
            Output::Introduce {
                object,
                peers,
                spread,
                ..
            } => {
                self.context
                    .metrics
                    .introductions
                    .inc_by(peers.len() as u64);
                let sign = |meeting: Meeting| self.introduction(peer, object, meeting);
                let peers = peers.into_iter().map(sign).collect();
                ServerMessage::Introductions(Introductions {
                    object,
                    peers,
                    spread,
                })
            }
            Output::Refuse { reason, .. } => refusal(reason),
            Output::Close { reason, .. } => return Err(End::Closed(reason)),
        };
        self.send(&message).await
    }

    fn introduction(
        &self,
        asker: PeerId,
        object: peerlift_model::ObjectId,
        meeting: Meeting,
    ) -> Introduction {
        let issued = unix_now();
        let ticket = Ticket {
            from: asker,
            to: meeting.peer,
            object,
            issued,
            expires: issued + TICKET_LIFE_S,
        };
        Introduction {
            peer: meeting.peer,
            address: PeerAddress {
                direct: meeting.direct,
                relay: meeting.relay,
            },
            ticket: ticket.sign(&self.context.key),
            complete: meeting.complete,
            dial: meeting.dial,
        }
    }

    /// The next message. Cancel-safe: a WebSocket keeps what it has read.
    async fn receive(&mut self) -> Result<ClientMessage, End> {
        loop {
            match self.socket.recv().await {
                Some(Ok(Message::Binary(bytes))) => return Ok(ClientMessage::decode(bytes)?),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(Message::Text(_))) => {
                    let text = "messages are binary".to_owned();
                    return Err(End::Misbehaved(ErrorCode::Protocol, text));
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Err(End::Gone),
            }
        }
    }

    async fn send(&mut self, message: &ServerMessage) -> Result<(), End> {
        let frame = Message::Binary(message.encode().into());
        match timeout(SEND_MAX, self.socket.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }

    async fn say_goodbye(&mut self, end: &End) {
        let message = match end {
            End::Gone => return,
            End::Misbehaved(code, text) => error(*code, text, 0),
            End::Closed(CloseReason::Replaced) => {
                error(ErrorCode::Replaced, "the same key logged in again", 0)
            }
            End::Closed(CloseReason::Silent) => {
                error(ErrorCode::Protocol, "nothing heard for too long", 0)
            }
            End::Stopped => ServerMessage::Drain { seconds: 0 },
        };
        if self.send(&message).await.is_ok() {
            // Best effort: the client may be gone already.
            let _ = timeout(SEND_MAX, self.socket.send(Message::Close(None))).await;
        }
    }
}

fn address(session: SessionId, place: PeerAddress) -> Event {
    Event::Address {
        session,
        direct: place.direct,
        relay: place.relay,
    }
}

fn refusal(reason: Refusal) -> ServerMessage {
    match reason {
        Refusal::TooManyQueries { retry_after } => {
            let seconds = u32::try_from(retry_after.as_secs() + 1).unwrap_or(u32::MAX);
            error(ErrorCode::Busy, "too many queries", seconds)
        }
        Refusal::TooManyObjects => error(ErrorCode::Busy, "too many objects", 0),
    }
}

fn error(code: ErrorCode, text: &str, retry_after_s: u32) -> ServerMessage {
    ServerMessage::Error {
        code,
        text: text.to_owned(),
        retry_after_s,
    }
}

fn unix_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}
