//! What somebody who does not keep the protocol gets, and that others do not notice.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use common::{OBJECT, Served, Stranger, key, login, peer};
use peerlift_wire::control::{
    CLIENT_MESSAGE_BYTES_MAX, ClientMessage, ErrorCode, Login, Query, ServerMessage,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn still_works(served: &Served) {
    let mut stranger = served.stranger().await;
    stranger.log_in(200).await;
}

#[tokio::test]
async fn a_signature_of_another_key_or_challenge_is_refused() {
    let served = Served::start().await;
    let mut stranger = served.stranger().await;
    let challenge = stranger.challenge().await;
    let forged = Login {
        peer: peer(1),
        ..login(2, &challenge)
    };
    stranger
        .send(ClientMessage::Login(forged).encode())
        .await
        .unwrap();
    assert_eq!(stranger.refusal().await, ErrorCode::BadLogin);

    let mut stranger = served.stranger().await;
    let fresh = stranger.challenge().await;
    assert_ne!(fresh.nonce, challenge.nonce);
    let replayed = login(2, &challenge);
    stranger
        .send(ClientMessage::Login(replayed).encode())
        .await
        .unwrap();
    assert_eq!(stranger.refusal().await, ErrorCode::BadLogin);

    let mut stranger = served.stranger().await;
    let mut relayed = stranger.challenge().await;
    relayed.node = key(5).verifying_key().to_bytes();
    stranger
        .send(ClientMessage::Login(login(2, &relayed)).encode())
        .await
        .unwrap();
    assert_eq!(
        stranger.refusal().await,
        ErrorCode::BadLogin,
        "a login for another node"
    );
    served.until("peerlift_control_failed_logins_total 3").await;
    served.until("peerlift_control_sessions 0").await;
    still_works(&served).await;
}

#[tokio::test]
async fn nothing_comes_before_a_login_nor_a_second_one() {
    let served = Served::start().await;
    let mut stranger = served.stranger().await;
    stranger.challenge().await;
    stranger.send(ClientMessage::Ping.encode()).await.unwrap();
    assert_eq!(stranger.refusal().await, ErrorCode::BadLogin);

    let mut stranger = served.stranger().await;
    let challenge = stranger.challenge().await;
    let good = ClientMessage::Login(login(1, &challenge)).encode();
    stranger.send(good.clone()).await.unwrap();
    assert!(matches!(
        stranger.receive().await,
        Some(ServerMessage::Welcome(_))
    ));
    stranger.send(good).await.unwrap();
    assert_eq!(stranger.refusal().await, ErrorCode::Protocol);
    still_works(&served).await;
}

#[tokio::test]
async fn garbage_ends_only_the_session_it_came_in() {
    let served = Served::start().await;
    let mut bystander = served.stranger().await;
    bystander.log_in(1).await;
    let garbage: [&[u8]; 5] = [b"", b"\xff", b"\x0a\x00", b"\x32\x7f", &[0x2a; 4000]];
    for bytes in garbage {
        for logged_in in [false, true] {
            let mut stranger = served.stranger().await;
            if logged_in {
                stranger.log_in(2).await;
            } else {
                stranger.challenge().await;
            }
            stranger.send(bytes.to_vec()).await.unwrap();
            assert_eq!(stranger.refusal().await, ErrorCode::Protocol, "{bytes:?}");
        }
    }
    let mut stranger = served.stranger().await;
    stranger.log_in(2).await;
    stranger.send_text("hello").await.unwrap();
    assert_eq!(stranger.refusal().await, ErrorCode::Protocol);
    ping(&mut bystander).await;
}

async fn ping(stranger: &mut Stranger) {
    stranger.send(ClientMessage::Ping.encode()).await.unwrap();
    assert_eq!(stranger.receive().await, Some(ServerMessage::Pong));
}

#[tokio::test]
async fn a_message_that_is_too_long_is_not_read() {
    let served = Served::start().await;
    let mut stranger = served.stranger().await;
    stranger.log_in(1).await;
    // The node may hang up before everything is sent.
    let _ = stranger.send(vec![0; CLIENT_MESSAGE_BYTES_MAX + 1]).await;
    while stranger.receive().await.is_some() {}
    served.until("peerlift_control_sessions 0").await;
    still_works(&served).await;
}

#[tokio::test]
async fn who_asks_too_much_is_told_to_wait_and_stays() {
    let served = Served::start().await;
    let mut stranger = served.stranger().await;
    stranger.log_in(1).await;
    let query = ClientMessage::Query(Query {
        object: OBJECT,
        max: 10,
        known: Vec::new(),
    });
    let retry_after_s = loop {
        stranger.send(query.encode()).await.unwrap();
        let answer = stranger.receive().await.unwrap();
        if let ServerMessage::Error {
            code,
            retry_after_s,
            ..
        } = answer
        {
            assert_eq!(code, ErrorCode::Busy);
            break retry_after_s;
        }
        assert!(
            matches!(answer, ServerMessage::Introductions(_)),
            "{answer:?}"
        );
    };
    assert!(retry_after_s > 0);
    ping(&mut stranger).await;
}

#[tokio::test]
async fn plain_http_gets_an_error_and_other_paths_nothing() {
    let served = Served::start().await;
    for (path, status) in [("/.peerlift/control", "400"), ("/other", "404")] {
        let mut stream = tokio::net::TcpStream::connect(served.address)
            .await
            .unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        common::within(stream.read_to_string(&mut answer))
            .await
            .unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{answer}");
    }
}
