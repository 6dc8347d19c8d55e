//! What is said to one client, and when: the life of a session without its socket.
//!
//! ```text
//!  Challenged ──login──► Knocking ──the core lets it in──► Here
//! ```
//!
//! The shell hands in what the client says ([`Conversation::hear`]) and what the core wants
//! ([`Conversation::obey`]), and carries out the [`Act`]s that come back, in order. Time limits are
//! the shell's; the time of day, which tickets carry, is an argument.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use peerlift_model::{NatClass, ObjectId, PeerId};
use peerlift_rendezvous::{
    Arrival, CloseReason, Digest, Event, Meeting, Network, Output, Refusal, SessionId,
};
use peerlift_wire::control::{
    Challenge, ClientMessage, ErrorCode, Introduction, Introductions, Login, ServerMessage, Welcome,
};
use peerlift_wire::ticket::{TICKET_LIFE_S, TICKETS_TOGETHER_MAX, Ticket};
use peerlift_wire::{PeerAddress, WireError};
use tokio::sync::watch;

/// What all sessions of a node have in common.
pub(crate) struct NodeFacts {
    pub(crate) key: SigningKey,
    pub(crate) keep_alive: Duration,
    /// By whose keys tickets are signed: the node's own, and those of nodes it shares with.
    pub(crate) ticket_keys: watch::Receiver<Vec<[u8; 32]>>,
}

/// Where a client comes from.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Visitor {
    pub(crate) observed: Option<IpAddr>,
    pub(crate) network: Network,
}

/// What the shell has to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Send this to the client.
    Say(ServerMessage),
    /// Tell the core.
    Tell(Event),
    /// Hang up.
    End(End),
}

/// Why a session ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The client said goodbye.
    Left,
    /// The connection broke.
    Lost,
    /// The client did not keep to the protocol.
    Misbehaved(ErrorCode, &'static str),
    /// The client sent what is no message.
    Garbage(WireError),
    /// The core closed it.
    Closed(CloseReason),
    /// The node ends, after so many seconds that the client may still use.
    Stopped,
}

impl End {
    /// The last word to the client.
    pub(crate) fn farewell(&self) -> Option<ServerMessage> {
        Some(match self {
            Self::Left | Self::Lost => return None,
            Self::Misbehaved(code, text) => error(*code, text, Duration::ZERO),
            Self::Garbage(wrong) => error(ErrorCode::Protocol, &wrong.to_string(), Duration::ZERO),
            Self::Closed(reason) => farewell(*reason),
            Self::Stopped => ServerMessage::Drain { seconds: 0 },
        })
    }

    /// What the core has to know of it.
    pub(crate) fn event(&self, session: SessionId) -> Event {
        match self {
            Self::Lost => Event::Lost { session },
            Self::Left
            | Self::Misbehaved(..)
            | Self::Garbage(_)
            | Self::Closed(_)
            | Self::Stopped => Event::Left { session },
        }
    }
}

fn farewell(reason: CloseReason) -> ServerMessage {
    match reason {
        CloseReason::Replaced => error(
            ErrorCode::Replaced,
            "the same key logged in again",
            Duration::ZERO,
        ),
        CloseReason::Silent => error(
            ErrorCode::Protocol,
            "nothing heard for too long",
            Duration::ZERO,
        ),
        CloseReason::TooManyLogins { retry_after } => error(
            ErrorCode::Busy,
            "this key logs in too often: is it on two machines?",
            retry_after,
        ),
        CloseReason::Draining => ServerMessage::Drain { seconds: 0 },
        CloseReason::Full => error(ErrorCode::Busy, "too many clients", FULL_RETRY),
    }
}

/// When a client comes back to a node that is full.
const FULL_RETRY: Duration = Duration::from_secs(30);

/// See the module.
pub(crate) struct Conversation {
    id: SessionId,
    visitor: Visitor,
    facts: Arc<NodeFacts>,
    state: State,
    /// Complaints that were heard, up to [`COMPLAINTS_MAX`].
    complaints: u8,
}

/// How often a session may complain: each time costs a signature to check. Who has more to complain
/// of may come back.
const COMPLAINTS_MAX: u8 = 32;

enum State {
    /// The client has to show that it holds the key it claims.
    Challenged(Box<Challenge>),
    /// It has; the core has yet to let it in.
    Knocking(PeerId),
    /// It is in.
    Here(PeerId),
}

impl Conversation {
    /// Begins with a challenge. The nonce must never be used twice.
    pub(crate) fn begin(
        id: SessionId,
        visitor: Visitor,
        facts: Arc<NodeFacts>,
        nonce: [u8; 32],
        unix_s: u64,
    ) -> (Self, ServerMessage) {
        let challenge = Challenge {
            nonce,
            node: facts.key.verifying_key().to_bytes(),
            time: unix_s,
        };
        let first = ServerMessage::Challenge(challenge.clone());
        let state = State::Challenged(Box::new(challenge));
        let conversation = Self {
            id,
            visitor,
            facts,
            state,
            complaints: 0,
        };
        (conversation, first)
    }

    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    /// Whether the client has been let in.
    pub(crate) fn is_here(&self) -> bool {
        matches!(self.state, State::Here(_))
    }

    /// The client says something.
    pub(crate) fn hear(&mut self, message: ClientMessage, unix_s: u64) -> Vec<Act> {
        match (&self.state, message) {
            (State::Challenged(challenge), ClientMessage::Login(login)) => {
                if login.verify(challenge) {
                    self.knock(login)
                } else {
                    bad_login("the signature does not answer the challenge")
                }
            }
            (State::Challenged(_), _) => bad_login("the first message must be a login"),
            (State::Knocking(_) | State::Here(_), ClientMessage::Login(_)) => {
                let end = End::Misbehaved(ErrorCode::Protocol, "already logged in");
                vec![Act::End(end)]
            }
            (State::Knocking(peer) | State::Here(peer), ClientMessage::Complain { ticket }) => {
                let complaint = self.complaint(*peer, ticket, unix_s);
                complaint.map(Act::Tell).into_iter().collect()
            }
            (State::Knocking(_) | State::Here(_), message) => self.pass_on(message),
        }
    }

    fn knock(&mut self, login: Login) -> Vec<Act> {
        let session = self.id;
        self.state = State::Knocking(login.peer);
        let arrival = Arrival {
            peer: login.peer,
            share: login.share,
            observed: self.visitor.observed,
            network: self.visitor.network,
            nat: login.nat,
            resume: login.resume.map(Digest::from_u64),
        };
        let address = address(session, login.address, login.nat);
        vec![
            Act::Tell(Event::Joined { session, arrival }),
            Act::Tell(address),
        ]
    }

    fn pass_on(&self, message: ClientMessage) -> Vec<Act> {
        let session = self.id;
        let event = match message {
            // Tokens are for whoever guards the queries: `crate::access`.
            ClientMessage::Login(_) | ClientMessage::Complain { .. } | ClientMessage::Token(_) => {
                return Vec::new();
            }
            ClientMessage::Announce { object, complete } => Event::Announce {
                session,
                object,
                complete,
            },
            ClientMessage::Withdraw { object } => Event::Withdraw { session, object },
            ClientMessage::Query(query) => Event::Query {
                session,
                object: query.object,
                max: query.max,
                known: query.known,
            },
            ClientMessage::Address { address: at, nat } => address(session, at, nat),
            ClientMessage::Ping => {
                let pong = Act::Say(ServerMessage::Pong);
                return vec![pong, Act::Tell(Event::Ping { session })];
            }
        };
        vec![Act::Tell(event)]
    }

    /// What the core has to know of a complaint: nothing, unless the ticket shows that the client
    /// was sent to that peer.
    fn complaint(&mut self, from: PeerId, ticket: Bytes, unix_s: u64) -> Option<Event> {
        if self.complaints == COMPLAINTS_MAX {
            return None;
        }
        self.complaints += 1;
        let own = [self.facts.key.verifying_key().to_bytes()];
        let trusted = [&own[..], &self.facts.ticket_keys.borrow()].concat();
        let ticket = Ticket::verify(ticket, &trusted, unix_s).ok()?;
        (ticket.from == from).then_some(Event::Complain {
            session: self.id,
            object: ticket.object,
            peer: ticket.to,
        })
    }

    /// The core wants something said.
    pub(crate) fn obey(&mut self, output: Output, unix_s: u64) -> Option<Act> {
        let (State::Knocking(peer) | State::Here(peer)) = self.state else {
            return None;
        };
        Some(match output {
            Output::Joined { resumed, .. } => {
                self.state = State::Here(peer);
                Act::Say(ServerMessage::Welcome(self.welcome(resumed)))
            }
            Output::Introduce {
                object,
                peers,
                spread,
                ..
            } => {
                let peers = self.introductions(peer, object, &peers, unix_s);
                Act::Say(ServerMessage::Introductions(Introductions {
                    object,
                    peers,
                    spread,
                }))
            }
            Output::Refuse { reason, .. } => Act::Say(refusal(reason)),
            Output::Recall { .. } => Act::Say(ServerMessage::Recall),
            Output::Block { object, .. } => Act::Say(ServerMessage::Block { object }),
            Output::Close { reason, .. } => Act::End(End::Closed(reason)),
        })
    }

    fn welcome(&self, resumed: bool) -> Welcome {
        Welcome {
            observed: self.visitor.observed,
            ticket_keys: self.facts.ticket_keys.borrow().clone(),
            keep_alive_s: u32::try_from(self.facts.keep_alive.as_secs()).unwrap_or(u32::MAX),
            session: self.id.0,
            resumed,
        }
    }

    /// With a ticket for each, all under one signature.
    fn introductions(
        &self,
        asker: PeerId,
        object: ObjectId,
        meetings: &[Meeting],
        unix_s: u64,
    ) -> Vec<Introduction> {
        let ticket = |meeting: &Meeting| Ticket {
            from: asker,
            to: meeting.peer,
            object,
            issued: unix_s,
            expires: unix_s + TICKET_LIFE_S,
        };
        let introductions = meetings.chunks(TICKETS_TOGETHER_MAX).flat_map(|together| {
            let tickets: Vec<Ticket> = together.iter().map(ticket).collect();
            let signed = Ticket::sign_all(&tickets, &self.facts.key);
            let pairs = together.iter().zip(signed);
            pairs.map(|(meeting, ticket)| introduction(meeting, ticket))
        });
        introductions.collect()
    }
}

fn introduction(meeting: &Meeting, ticket: Bytes) -> Introduction {
    let contact = &meeting.contact;
    Introduction {
        peer: meeting.peer,
        address: PeerAddress {
            direct: contact.direct.clone(),
            relay: contact.relay.clone(),
            tcp_port: contact.tcp_port,
        },
        ticket,
        complete: meeting.complete,
        dial: meeting.dial,
    }
}

fn bad_login(text: &'static str) -> Vec<Act> {
    vec![Act::End(End::Misbehaved(ErrorCode::BadLogin, text))]
}

fn address(session: SessionId, place: PeerAddress, nat: NatClass) -> Event {
    Event::Address {
        session,
        direct: place.direct,
        relay: place.relay,
        tcp_port: place.tcp_port,
        nat,
    }
}

fn refusal(reason: Refusal) -> ServerMessage {
    match reason {
        Refusal::TooManyQueries { retry_after } => {
            error(ErrorCode::Busy, "too many queries", retry_after)
        }
        Refusal::TooManyAnnounces { retry_after } => {
            error(ErrorCode::Busy, "too many announcements", retry_after)
        }
        Refusal::TooManyObjects => error(ErrorCode::Busy, "too many objects", Duration::ZERO),
    }
}

/// Rounded up: who comes a moment early is refused again.
pub(crate) fn error(code: ErrorCode, text: &str, retry_after: Duration) -> ServerMessage {
    let seconds = retry_after.as_millis().div_ceil(1000);
    ServerMessage::Error {
        code,
        text: text.to_owned(),
        retry_after_s: u32::try_from(seconds).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: SessionId = SessionId(7);

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    fn begin() -> (Conversation, Challenge) {
        let facts = NodeFacts {
            key: key(9),
            keep_alive: Duration::from_secs(30),
            ticket_keys: watch::Sender::new(Vec::new()).subscribe(),
        };
        let (conversation, first) =
            Conversation::begin(ID, Visitor::default(), Arc::new(facts), [1; 32], 1000);
        let ServerMessage::Challenge(challenge) = first else {
            panic!("{first:?}")
        };
        (conversation, challenge)
    }

    fn login(challenge: &Challenge) -> ClientMessage {
        ClientMessage::Login(Login {
            peer: PeerId::new(key(1).verifying_key().to_bytes()),
            signature: Login::sign(&key(1), challenge),
            agent: String::new(),
            share: true,
            address: PeerAddress::default(),
            nat: NatClass::Easy,
            resume: Some(5),
        })
    }

    #[test]
    fn a_client_is_welcome_only_once_the_core_says_so() {
        let (mut conversation, challenge) = begin();
        let acts = conversation.hear(login(&challenge), 1000);
        let [
            Act::Tell(Event::Joined { session, arrival }),
            Act::Tell(Event::Address { .. }),
        ] = &acts[..]
        else {
            panic!("{acts:?}")
        };
        assert_eq!((*session, arrival.nat), (ID, NatClass::Easy));
        assert_eq!(arrival.resume, Some(Digest::from_u64(5)));
        assert!(!conversation.is_here());
        let joined = Output::Joined {
            session: ID,
            resumed: true,
        };
        let act = conversation.obey(joined, 1000);
        let Some(Act::Say(ServerMessage::Welcome(welcome))) = act else {
            panic!("{act:?}")
        };
        assert!(welcome.resumed && conversation.is_here());
    }

    #[test]
    fn a_replayed_signature_is_no_login() {
        let (_, old) = begin();
        let (mut conversation, mut fresh) = begin();
        fresh.nonce = [2; 32];
        conversation.state = State::Challenged(Box::new(fresh));
        let acts = conversation.hear(login(&old), 1000);
        let [Act::End(End::Misbehaved(ErrorCode::BadLogin, _))] = acts[..] else {
            panic!("{acts:?}")
        };
    }

    #[test]
    fn who_complains_must_have_been_sent_there() {
        let (mut conversation, challenge) = begin();
        conversation.hear(login(&challenge), 1000);
        let id = |seed| PeerId::new(key(seed).verifying_key().to_bytes());
        let ticket = |from, node| {
            let (to, object) = (id(2), ObjectId::new([3; 32]));
            let (issued, expires) = (1000, 1600);
            let ticket = Ticket {
                from,
                to,
                object,
                issued,
                expires,
            };
            ticket.sign(&key(node))
        };
        let mut complain = |ticket: Bytes, unix_s| {
            let message = ClientMessage::Complain { ticket };
            conversation.hear(message, unix_s)
        };
        assert_eq!(complain(ticket(id(4), 9), 1000), [], "another's ticket");
        assert_eq!(complain(ticket(id(1), 8), 1000), [], "another node's");
        assert_eq!(complain(ticket(id(1), 9), 9000), [], "long ago");
        assert_eq!(complain(Bytes::from_static(b"ticket"), 1000), []);
        for heard in 4..40 {
            let acts = complain(ticket(id(1), 9), 1000);
            let expected = Act::Tell(Event::Complain {
                session: ID,
                object: ObjectId::new([3; 32]),
                peer: id(2),
            });
            let passed_on = if heard < 32 { vec![expected] } else { vec![] };
            assert_eq!(acts, passed_on);
        }
    }

    #[test]
    fn nothing_is_said_to_whom_is_not_in() {
        let (mut conversation, _) = begin();
        assert_eq!(conversation.obey(Output::Recall { session: ID }, 0), None);
    }

    #[test]
    fn only_a_broken_connection_can_be_resumed() {
        assert_eq!(End::Lost.event(ID), Event::Lost { session: ID });
        assert_eq!(End::Left.event(ID), Event::Left { session: ID });
        assert_eq!(End::Stopped.event(ID), Event::Left { session: ID });
    }

    #[test]
    fn waits_are_rounded_up() {
        let retry_after = Duration::from_millis(1);
        let ServerMessage::Error { retry_after_s, .. } =
            refusal(Refusal::TooManyQueries { retry_after })
        else {
            panic!("no error")
        };
        assert_eq!(retry_after_s, 1);
    }
}
