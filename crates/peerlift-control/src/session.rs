//! One client's session: the shell that moves messages between a WebSocket, its
//! [`Conversation`] and the core task.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::ws::{Message, WebSocket};
use peerlift_access::Blocked;
use peerlift_rendezvous::{Event, Output, SessionId};
use peerlift_wire::control::{self, ClientMessage, ErrorCode, ServerMessage};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::access::{Answer, NodeAccess, Pass, unix_now};
use crate::conversation::{Act, Conversation, End, NodeFacts, Visitor};
use crate::core_task::{CoreHandle, Input, ORDERS_MAX};
use crate::gate::Place;
use crate::mailbox;
use crate::metrics::Metrics;

/// How long a login may take: a slow phone on a bad line, and no slow-loris.
const LOGIN_MAX: Duration = Duration::from_secs(10);

/// How long one message may take to go out.
const SEND_MAX: Duration = Duration::from_secs(20);

/// What all sessions of a node share.
pub(crate) struct SessionContext {
    pub(crate) facts: Arc<NodeFacts>,
    pub(crate) core: CoreHandle,
    pub(crate) metrics: Metrics,
    pub(crate) stop: CancellationToken,
    pub(crate) access: Arc<NodeAccess>,
}

/// Runs a session to its end.
///
/// What the session is made of is put together before the future begins: what is handed to an
/// `async fn` and moved on in it has its place there twice.
pub(crate) fn run(
    socket: WebSocket,
    id: SessionId,
    visitor: Visitor,
    context: Arc<SessionContext>,
    place_at_door: Option<Extension<Arc<Place>>>,
) -> impl Future<Output = ()> + Send + use<> {
    let mut nonce = [0; 32];
    let is_random = getrandom::fill(&mut nonce).is_ok();
    let facts = Arc::clone(&context.facts);
    let (conversation, challenge) = Conversation::begin(id, visitor, facts, nonce, unix_now());
    let (sender, orders) = mailbox::new(ORDERS_MAX);
    let mut session = Session {
        socket,
        conversation,
        orders,
        pass: Pass::new(nonce),
        context,
    };
    // A machine without randomness can let nobody in.
    let login = is_random.then(|| Box::new((sender, challenge, place_at_door)));
    async move {
        let Some(login) = login else {
            return;
        };
        // Apart, so that an idle session does not carry the memory of its login.
        let end = match Box::pin(session.log_in(login)).await {
            Ok(()) => session.serve().await,
            Err(end) => end,
        };
        Box::pin(session.end(end)).await;
    }
}

/// What a login needs: where orders go, what is to be answered, and the place at the door until then.
type LoginParts = (
    mailbox::Sender<Output>,
    ServerMessage,
    Option<Extension<Arc<Place>>>,
);

struct Session {
    socket: WebSocket,
    conversation: Conversation,
    orders: mailbox::Receiver<Output>,
    /// The tokens that the client has shown.
    pass: Pass,
    context: Arc<SessionContext>,
}

impl Session {
    async fn log_in(&mut self, parts: Box<LoginParts>) -> Result<(), End> {
        let (orders, challenge, place_at_door) = *parts;
        let stop = self.context.stop.clone();
        let in_time = timeout(LOGIN_MAX, self.introduce(orders, challenge));
        let result = match stop.run_until_cancelled(in_time).await {
            None => return Err(End::Stopped),
            Some(Ok(result)) => result,
            Some(Err(_)) => {
                let text = "the login took too long";
                Err(End::Misbehaved(ErrorCode::BadLogin, text))
            }
        };
        match &result {
            Ok(()) => self.context.metrics.logins.inc(),
            Err(_) => self.context.metrics.failed_logins.inc(),
        };
        drop(place_at_door);
        result
    }

    /// Until the client has been let in.
    async fn introduce(
        &mut self,
        orders: mailbox::Sender<Output>,
        challenge: ServerMessage,
    ) -> Result<(), End> {
        self.send(&challenge).await?;
        let message = receive(&mut self.socket).await?;
        let mut orders = Some(orders);
        for act in self.conversation.hear(message, unix_now()) {
            match act {
                Act::Tell(joined @ Event::Joined { .. }) => {
                    let Some(orders) = orders.take() else {
                        continue;
                    };
                    let open = Input::Open { orders, joined };
                    self.context.core.tell(open).await;
                }
                act @ (Act::Say(_) | Act::Tell(_) | Act::End(_)) => self.perform(act).await?,
            }
        }
        while !self.conversation.is_here() {
            let order = self.orders.recv().await;
            self.obey(order).await?;
        }
        Ok(())
    }

    /// What is done about a message or an order is apart, for as long as it takes: an idle session
    /// would carry room for it, some four kibibytes.
    async fn serve(&mut self) -> End {
        let stop = self.context.stop.clone();
        let mut blocked = self.context.access.blocked();
        if !blocked.borrow().is_empty() {
            blocked.mark_changed();
        }
        let mut ticket_keys = self.context.facts.ticket_keys.clone();
        loop {
            let result = tokio::select! {
                Ok(()) = blocked.changed() => {
                    let list = block_list(&blocked.borrow_and_update());
                    Box::pin(self.send(&list)).await
                }
                Ok(()) = ticket_keys.changed() => {
                    let keys = ticket_keys.borrow_and_update().clone();
                    Box::pin(self.send(&ServerMessage::TicketKeys { keys })).await
                }
                message = receive(&mut self.socket) => match message {
                    Ok(message) => Box::pin(self.hear(message)).await,
                    Err(end) => Err(end),
                },
                order = self.orders.recv() => Box::pin(self.obey(order)).await,
                () = stop.cancelled() => Err(End::Stopped),
            };
            if let Err(end) = result {
                return end;
            }
        }
    }

    async fn hear(&mut self, message: ClientMessage) -> Result<(), End> {
        self.context.metrics.messages.inc();
        if matches!(message, ClientMessage::Query(_)) {
            self.context.metrics.queries.inc();
        }
        let answer = self.pass.hear(&message, &self.context.access, unix_now());
        match answer {
            Answer::PassOn => {}
            Answer::Keep => return Ok(()),
            Answer::Say(refusal) => {
                self.context.metrics.denied.inc();
                return self.send(&refusal).await;
            }
        }
        for act in self.conversation.hear(message, unix_now()) {
            self.perform(act).await?;
        }
        Ok(())
    }

    async fn obey(&mut self, order: Option<Output>) -> Result<(), End> {
        let order = order.ok_or(End::Lost)?;
        if let Output::Introduce { peers, object, .. } = &order {
            // Blocked since, or the token that it was asked with is over.
            let access = &self.context.access;
            if self.pass.may_ask(*object, access, unix_now()).is_err() {
                return Ok(());
            }
            let count = u64::try_from(peers.len()).unwrap_or(u64::MAX);
            self.context.metrics.introductions.inc_by(count);
        }
        match self.conversation.obey(order, unix_now()) {
            Some(act) => self.perform(act).await,
            None => Ok(()),
        }
    }

    async fn perform(&mut self, act: Act) -> Result<(), End> {
        match act {
            Act::Say(message) => self.send(&message).await,
            Act::Tell(event) => {
                self.context.core.tell(Input::Event(event)).await;
                Ok(())
            }
            Act::End(end) => Err(end),
        }
    }

    async fn send(&mut self, message: &ServerMessage) -> Result<(), End> {
        let frame = Message::Binary(message.encode().into());
        match timeout(SEND_MAX, self.socket.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Lost),
        }
    }

    async fn end(mut self, end: End) {
        let id = self.conversation.id();
        tracing::debug!(session = id.0, ?end, "session over");
        self.context.core.tell(Input::Event(end.event(id))).await;
        let Some(farewell) = end.farewell() else {
            return;
        };
        if self.send(&farewell).await.is_ok() {
            // Best effort: the client may be gone already.
            let _ = timeout(SEND_MAX, self.socket.send(Message::Close(None))).await;
        }
    }
}

fn block_list(blocked: &Blocked) -> ServerMessage {
    ServerMessage::Blocked(control::Blocked {
        objects: blocked.objects.iter().copied().collect(),
        publishers: blocked.publishers.iter().copied().collect(),
    })
}

/// The next message. Cancel-safe: a WebSocket keeps what it has read.
async fn receive(socket: &mut WebSocket) -> Result<ClientMessage, End> {
    loop {
        match socket.recv().await {
            Some(Ok(Message::Binary(bytes))) => {
                return ClientMessage::decode(bytes).map_err(End::Garbage);
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(Message::Text(_))) => {
                let text = "messages are binary";
                return Err(End::Misbehaved(ErrorCode::Protocol, text));
            }
            Some(Ok(Message::Close(_))) => return Err(End::Left),
            Some(Err(_)) | None => return Err(End::Lost),
        }
    }
}
