//! Sessions as clients keep them: who is introduced to whom, and what a restart changes.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Client, OBJECT, Served, peer, place, within};
use futures_util::{SinkExt, StreamExt};
use peerlift_control::ControlConfig;
use peerlift_model::ObjectId;
use peerlift_net::control::{ControlError, ControlEvent};
use peerlift_rendezvous::{Event, Rendezvous};
use peerlift_wire::control::{
    Challenge, ClientMessage, ErrorCode, Introductions, Login, SUB_PROTOCOL, ServerMessage, Welcome,
};
use peerlift_wire::ticket::Ticket;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};
use url::Url;

const OTHER: ObjectId = ObjectId::new([4; 32]);

#[tokio::test]
async fn a_login_tells_the_client_where_it_is_and_whom_to_trust() {
    let served = Served::start().await;
    let mut client = Client::start(served.url(), 1, true);
    let ControlEvent::Connected {
        observed,
        ticket_keys,
        time,
    } = client.event().await
    else {
        panic!("not connected")
    };
    assert_eq!(observed, Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    assert_eq!(ticket_keys, [served.node.key()]);
    assert!(time.abs_diff(unix_now()) <= common::TOO_LONG.as_secs());
    served.until("peerlift_control_sessions 1").await;
}

#[tokio::test]
async fn a_query_is_answered_with_those_who_serve_the_object() {
    let served = Served::start().await;
    let seeder = served.client(1, true).await;
    seeder.session.announce(OBJECT, true).await;
    served.until("peerlift_control_objects 1").await;
    let mut asker = served.client(2, true).await;
    let found = asker.ask().await;
    assert_eq!(found.object, OBJECT);
    assert!(found.spread.is_some());
    let [introduction] = &found.peers[..] else {
        panic!("{found:?}")
    };
    assert_eq!(introduction.peer, peer(1));
    assert_eq!(introduction.address, place(1));
    assert!(introduction.complete && introduction.dial);
    let ticket = Ticket::verify(
        introduction.ticket.clone(),
        &[served.node.key()],
        unix_now(),
    );
    assert_eq!(ticket.unwrap().check(peer(2), peer(1), OBJECT), Ok(()));
}

#[tokio::test]
async fn who_is_known_or_does_not_have_it_is_not_named() {
    let served = Served::start().await;
    let (first, second) = (served.client(1, true).await, served.client(2, true).await);
    first.session.announce(OBJECT, true).await;
    second.session.announce(OTHER, true).await;
    served.until("peerlift_control_objects 2").await;
    let mut asker = served.client(3, true).await;
    assert_eq!(asker.ask().await.peers.len(), 1);
    asker.session.query(OBJECT, 10, vec![peer(1)]).await;
    assert_eq!(asker.introductions().await.peers, []);
    first.session.withdraw(OBJECT).await;
    served.until("peerlift_control_objects 1").await;
    assert_eq!(asker.ask().await.peers, []);
    second.stop.cancel();
    served.until("peerlift_control_objects 0").await;
}

#[tokio::test]
async fn two_who_look_for_the_same_hear_of_each_other() {
    let served = Served::start().await;
    let mut first = served.client(1, true).await;
    first.session.announce(OBJECT, false).await;
    assert_eq!(first.ask().await.peers, []);
    let mut second = served.client(2, true).await;
    second.session.announce(OBJECT, false).await;
    let found = second.ask().await;
    assert_eq!(found.peers.len(), 1);
    assert!(found.peers[0].dial && !found.peers[0].complete);
    let news = first.introductions().await;
    assert_eq!((news.peers[0].peer, news.peers[0].dial), (peer(2), false));
    let ticket = news.peers[0].ticket.clone();
    let ticket = Ticket::verify(ticket, &[served.node.key()], unix_now()).unwrap();
    assert_eq!(ticket.check(peer(1), peer(2), OBJECT), Ok(()));
}

#[tokio::test]
async fn who_does_not_share_is_never_introduced() {
    let served = Served::start().await;
    let mut looking = served.client(1, true).await;
    looking.session.announce(OBJECT, false).await;
    looking.ask().await;
    let mut silent = served.client(2, false).await;
    silent.session.announce(OBJECT, true).await;
    let found = silent.ask().await;
    assert_eq!(found.peers[0].peer, peer(1), "it may still ask others");
    // The answer to the next query is the next thing heard: there was no news before it.
    let found = looking.ask().await;
    assert!(
        found.spread.is_some() && found.peers.is_empty(),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_client_elsewhere_is_found_there() {
    let served = Served::start().await;
    let seeder = served.client(1, true).await;
    seeder.session.announce(OBJECT, true).await;
    served.until("peerlift_control_objects 1").await;
    seeder.session.address(place(7)).await;
    let mut asker = served.client(2, true).await;
    // The seeder's word and the asker's come by different sockets.
    loop {
        let address = asker.ask().await.peers[0].address.clone();
        if address == place(7) {
            break;
        }
        assert_eq!(address, place(1));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn the_same_key_again_replaces_the_session() {
    let served = Served::start().await;
    let mut first = served.client(1, true).await;
    let _second = served.client(1, true).await;
    let ControlEvent::Lost { error, .. } = first.event().await else {
        panic!("it lives on")
    };
    let replaced = matches!(
        &error,
        ControlError::Refused {
            code: ErrorCode::Replaced,
            ..
        }
    );
    assert!(replaced, "{error:?}");
    first.stop.cancel();
}

#[tokio::test]
async fn clients_come_back_after_a_restart_and_say_again_what_they_have() {
    let served = Served::start().await;
    let mut seeder = served.client(1, true).await;
    seeder.session.announce(OBJECT, true).await;
    served.until("peerlift_control_objects 1").await;
    let address = served.stop().await;
    let lost = seeder.event().await;
    assert!(
        matches!(lost, ControlEvent::Lost { tries: 1, .. }),
        "{lost:?}"
    );
    let served = Served::start_at(address, ControlConfig::new([8; 32])).await;
    loop {
        match seeder.event().await {
            ControlEvent::Connected { ticket_keys, .. } => {
                assert_eq!(ticket_keys, [served.node.key()]);
                break;
            }
            ControlEvent::Lost { .. } => {}
            other @ (ControlEvent::Introductions(_)
            | ControlEvent::Blocked { .. }
            | ControlEvent::BlockList(_)
            | ControlEvent::Denied { .. }
            | ControlEvent::TicketKeys { .. }) => panic!("{other:?}"),
        }
    }
    served.until("peerlift_control_objects 1").await;
    let mut asker = served.client(2, true).await;
    let found = asker.ask().await;
    assert_eq!(found.peers[0].address, place(1), "and where they are");
}

#[tokio::test]
async fn a_connection_that_breaks_is_resumed_without_saying_everything_again() {
    let served = Served::start().await;
    let mut stranger = served.stranger().await;
    stranger.log_in(1).await;
    let complete = true;
    let object = OBJECT;
    let announce = ClientMessage::Announce { object, complete };
    stranger.send(announce.encode()).await.unwrap();
    served.until("peerlift_control_directory_entries 1").await;
    // No goodbye: the machine lost its network.
    drop(stranger);
    served.until("peerlift_control_away 1").await;
    served.until("peerlift_control_directory_entries 1").await;
    let mut asker = served.client(2, true).await;
    assert_eq!(asker.ask().await.peers, [], "nobody is sent there");

    let mut stranger = served.stranger().await;
    let challenge = stranger.challenge().await;
    let login = Login {
        resume: Some(u64::from_be_bytes([3; 8]).rotate_left(1)),
        ..common::login(1, &challenge)
    };
    let login = ClientMessage::Login(login).encode();
    stranger.send(login).await.unwrap();
    let welcome = stranger.receive().await;
    let Some(ServerMessage::Welcome(welcome)) = welcome else {
        panic!("{welcome:?}")
    };
    assert!(welcome.resumed);
    assert_eq!(asker.ask().await.peers.len(), 1);
}

#[tokio::test]
async fn a_directory_that_is_lost_is_told_again() {
    let served = Served::start().await;
    let seeder = served.client(1, true).await;
    seeder.session.announce(OBJECT, true).await;
    served.until("peerlift_control_directory_entries 1").await;
    let flush = |core: &mut Rendezvous, now| {
        core.handle(Event::Flush, now);
        core.entries()
    };
    assert_eq!(within(served.node.visit(flush)).await, Some(0));
    served.until("peerlift_control_directory_entries 1").await;
    let mut asker = served.client(2, true).await;
    assert_eq!(asker.ask().await.peers.len(), 1);
}

#[tokio::test]
async fn a_forbidden_object_is_taken_back_from_clients_within_the_session() {
    let served = Served::start().await;
    let mut seeder = served.client(1, true).await;
    seeder.session.announce(OBJECT, true).await;
    served.until("peerlift_control_directory_entries 1").await;
    let block = Event::Block {
        object: OBJECT,
        blocked: true,
    };
    let visit = |core: &mut Rendezvous, now| core.handle(block, now);
    within(served.node.visit(visit)).await.unwrap();
    let event = seeder.event().await;
    assert!(
        matches!(event, ControlEvent::Blocked { object } if object == OBJECT),
        "{event:?}"
    );
    served.until("peerlift_control_directory_entries 0").await;
}

#[tokio::test]
async fn a_key_on_two_machines_ends_in_a_wait_and_not_in_a_storm() {
    let served = Served::start().await;
    let mut one = served.client(1, true).await;
    // The other machine, with no manners at all.
    let mut others = Vec::new();
    for _ in 0..5 {
        let mut other = served.stranger().await;
        other.log_in(1).await;
        others.push(other);
    }
    let lost = one.event().await;
    assert!(matches!(lost, ControlEvent::Lost { .. }), "{lost:?}");
    one.stop.cancel();
    let mut stranger = served.stranger().await;
    let challenge = stranger.challenge().await;
    let login = ClientMessage::Login(common::login(1, &challenge)).encode();
    stranger.send(login).await.unwrap();
    let answer = stranger.receive().await;
    let Some(ServerMessage::Error {
        code: ErrorCode::Busy,
        retry_after_s,
        ..
    }) = answer
    else {
        panic!("{answer:?}")
    };
    assert!(retry_after_s > 30, "{retry_after_s}");
}

#[tokio::test]
async fn a_node_that_is_full_says_so_and_takes_others_later() {
    let config = ControlConfig {
        sessions_max: 1,
        ..ControlConfig::new([9; 32])
    };
    let served = Served::start_with(config).await;
    let first = served.client(1, true).await;
    let mut second = Client::start(served.url(), 2, true);
    let ControlEvent::Lost { error, .. } = second.event().await else {
        panic!("there is a place")
    };
    assert_eq!(error.retry_after(), Some(Duration::from_secs(30)));
    served
        .until("peerlift_control_refused_sessions_total 1")
        .await;
    drop(first);
    served.until("peerlift_control_sessions 0").await;
    // Another one: the second comes back only after half a minute.
    served.client(3, true).await;
}

#[tokio::test]
async fn who_is_told_much_still_says_that_it_is_there() {
    let mut node = Chatty::start().await;
    let mut client = Client::start(node.url(), 1, true);
    let mut socket = node.let_in().await;
    client.connected().await;
    // More often than the client may be silent.
    let mut news = tokio::time::interval(Duration::from_millis(100));
    let pinged = async {
        loop {
            tokio::select! {
                message = socket.next() => {
                    let bytes = message.unwrap().unwrap().into_data();
                    if ClientMessage::decode(bytes).unwrap() == ClientMessage::Ping {
                        return;
                    }
                }
                _ = news.tick() => socket.send(some_news()).await.unwrap(),
                event = client.events.recv() => {
                    assert!(matches!(event, Some(ControlEvent::Introductions(_))), "{event:?}");
                }
            }
        }
    };
    within(pinged).await;
}

#[tokio::test]
async fn a_shutdown_ends_sessions_and_those_that_never_logged_in() {
    let served = Served::start().await;
    let mut client = served.client(1, true).await;
    let mut stranger = served.stranger().await;
    stranger.challenge().await;
    served.stop().await;
    let lost = client.event().await;
    assert!(matches!(lost, ControlEvent::Lost { .. }), "{lost:?}");
    while stranger.receive().await.is_some() {}
}

fn unix_now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap().as_secs()
}

/// A node that the test speaks for.
struct Chatty(TcpListener);

impl Chatty {
    async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn url(&self) -> Url {
        Url::parse(&format!("ws://{}/", self.0.local_addr().unwrap())).unwrap()
    }

    /// Takes a client in, and tells it to show itself as often as one may be told.
    async fn let_in(&mut self) -> WebSocketStream<TcpStream> {
        let (stream, _) = within(self.0.accept()).await.unwrap();
        #[allow(clippy::result_large_err, reason = "the signature is the library's")]
        let agree = |_: &Request, mut response: Response| {
            let protocol = SUB_PROTOCOL.parse().unwrap();
            response
                .headers_mut()
                .insert("sec-websocket-protocol", protocol);
            Ok(response)
        };
        let mut socket = within(accept_hdr_async(stream, agree)).await.unwrap();
        let challenge = ServerMessage::Challenge(Challenge {
            nonce: [1; 32],
            node: [2; 32],
            time: 0,
        });
        socket.send(binary(&challenge)).await.unwrap();
        within(socket.next()).await.unwrap().unwrap();
        let welcome = ServerMessage::Welcome(Welcome {
            observed: None,
            ticket_keys: Vec::new(),
            keep_alive_s: 5,
            session: 1,
            resumed: false,
        });
        socket.send(binary(&welcome)).await.unwrap();
        socket
    }
}

fn some_news() -> Message {
    binary(&ServerMessage::Introductions(Introductions {
        object: OBJECT,
        peers: Vec::new(),
        spread: None,
    }))
}

fn binary(message: &ServerMessage) -> Message {
    Message::Binary(message.encode().into())
}
