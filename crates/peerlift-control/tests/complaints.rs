//! A client that announces what it never downloaded, and those who are sent to it.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use bytes::Bytes;
use common::{Client, OBJECT, Served, Stranger, peer};
use peerlift_model::ObjectId;
use peerlift_wire::control::{ClientMessage, Introductions, ServerMessage};

/// Somebody who looks for the object, in a prefix of its own.
async fn downloader(served: &Served, number: u8) -> Stranger {
    let mut stranger = served.stranger_from([127, 0, number, 1]).await;
    stranger.log_in(number).await;
    stranger
}

fn ticket_for(answer: &Introductions, seed: u8) -> Option<Bytes> {
    let found = answer.peers.iter().find(|one| one.peer == peer(seed));
    found.map(|one| one.ticket.clone())
}

/// Complains, and waits until the node has heard it.
async fn complain(stranger: &mut Stranger, ticket: Bytes) {
    let complaint = ClientMessage::Complain { ticket };
    stranger.send(complaint.encode()).await.unwrap();
    stranger.send(ClientMessage::Ping.encode()).await.unwrap();
    while stranger.receive().await.unwrap() != ServerMessage::Pong {}
}

#[tokio::test]
async fn who_announces_what_it_never_downloaded_is_soon_named_no_more() {
    let served = Served::start().await;
    let liar = served.client(1, true).await;
    liar.session.announce(OBJECT, true).await;
    let seed = served.client(2, true).await;
    seed.session.announce(OBJECT, true).await;
    served.until("peerlift_control_directory_entries 2").await;

    // All complaints of one prefix are one, and another's ticket is none.
    let mut first = downloader(&served, 11).await;
    let ticket = ticket_for(&first.ask().await, 1).unwrap();
    complain(&mut first, ticket.clone()).await;
    complain(&mut first, ticket.clone()).await;
    let mut neighbour = served.stranger_from([127, 0, 11, 2]).await;
    neighbour.log_in(12).await;
    let seen = ticket_for(&neighbour.ask().await, 1).unwrap();
    complain(&mut neighbour, seen).await;
    for number in 13..16 {
        complain(&mut downloader(&served, number).await, ticket.clone()).await;
    }
    served.until("peerlift_control_suspects 0").await;

    for number in 16..18 {
        let mut other = downloader(&served, number).await;
        let ticket = ticket_for(&other.ask().await, 1).unwrap();
        complain(&mut other, ticket).await;
    }
    served.until("peerlift_control_suspects 1").await;
    served.until("peerlift_control_directory_entries 1").await;
    let mut next = downloader(&served, 18).await;
    let answer = next.ask().await;
    assert_eq!(ticket_for(&answer, 1), None);
    assert!(ticket_for(&answer, 2).is_some(), "the seed is");

    // Saying it again does not help, nor coming again.
    announce_both(&liar, &served).await;
    assert_eq!(ticket_for(&next.ask().await, 1), None);
    drop(liar);
    served.until("peerlift_control_directory_entries 1").await;
    let again = served.client(1, true).await;
    announce_both(&again, &served).await;
    assert_eq!(ticket_for(&next.ask().await, 1), None);
}

/// Announces the object, and one that nobody complained of, by which it shows that both were heard.
async fn announce_both(liar: &Client, served: &Served) {
    liar.session.announce(OBJECT, true).await;
    let another = ObjectId::new([4; 32]);
    liar.session.announce(another, true).await;
    served.until("peerlift_control_directory_entries 2").await;
}
