//! What strangers can take of an edge, and how it ends.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use common::{Answer, Running, read_to_end, serve_with, within};
use peerlift_edge::{AccessLog, Edge, EdgeConfig, EdgeError};
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn hello(folder: &Path) {
    fs::write(folder.join("hello"), "hello").unwrap();
}

/// One request on a connection that stays open.
async fn ask(stream: &mut TcpStream) {
    let head = b"GET /hello HTTP/1.1\r\nHost: edge\r\n\r\n";
    stream.write_all(head).await.unwrap();
    assert!(answer(stream).await.ends_with(b"\r\n\r\nhello"));
}

async fn answer(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"hello") {
        assert_ne!(within(stream.read_buf(&mut bytes)).await.unwrap(), 0);
    }
    bytes
}

#[tokio::test]
async fn who_sends_no_whole_head_is_hung_up_on() {
    let edge = serve_with(hello, |config| {
        config.head_timeout = Duration::from_millis(100);
    })
    .await;
    for begun in [
        "",
        "G",
        "GET /hello HTTP/1.1\r\nHost: edge\r\nX-Slow: ",
        "PRI * HTTP/2",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = edge.connect().await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        let got = read_to_end(&mut stream).await;
        assert!(!got.starts_with(b"HTTP/1.1 2"), "{begun:?}");
    }
}

#[tokio::test]
async fn heads_that_never_end_are_refused() {
    let edge = serve_with(hello, |_| ()).await;
    let mut stream = edge.connect().await;
    let head = format!("GET /hello HTTP/1.1\r\nX: {}", "x".repeat(200 * 1024));
    // It may hang up before everything is written.
    let _ = stream.write_all(head.as_bytes()).await;
    let got = read_to_end(&mut stream).await;
    assert!(got.is_empty() || Answer::parse(&got).status == 431);
    assert_eq!(edge.get("/healthz", &[]).await.status, 200);
}

#[tokio::test]
async fn connections_above_the_limit_wait_for_their_turn() {
    let edge = serve_with(hello, |config| config.connections_max = 1).await;
    let mut first = edge.connect().await;
    ask(&mut first).await;
    let mut second = edge.connect().await;
    let head = b"GET /hello HTTP/1.1\r\nHost: edge\r\n\r\n";
    second.write_all(head).await.unwrap();
    for _ in 0..20 {
        ask(&mut first).await;
    }
    let error = second.try_read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    drop(first);
    answer(&mut second).await;
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_loses_the_place() {
    let edge = serve_with(
        |folder| {
            hello(folder);
            fs::write(folder.join("file"), vec![7; 64 << 20]).unwrap();
        },
        |config| {
            config.connections_max = 1;
            config.send_timeout = Duration::from_millis(300);
        },
    )
    .await;
    let mut first = edge.connect().await;
    let head = b"GET /file HTTP/1.1\r\nHost: edge\r\n\r\n";
    first.write_all(head).await.unwrap();
    within(first.read_exact(&mut [0; 1000])).await.unwrap();
    // The first stays open, but reads no more.
    let mut second = edge.connect().await;
    ask(&mut second).await;
    assert!(read_to_end(&mut first).await.len() < 64 << 20);
}

#[tokio::test]
async fn a_socket_without_visitors_takes_no_place() {
    let edge = serve_with(hello, |config| {
        config.connections_max = 1;
        config.listen = vec!["127.0.0.1:0".parse().unwrap(); 3];
    })
    .await;
    for address in &edge.addresses {
        let mut stream = TcpStream::connect(address).await.unwrap();
        ask(&mut stream).await;
    }
}

#[tokio::test]
async fn an_answer_under_way_ends_before_the_edge_does() {
    let edge = serve_with(
        |folder| fs::write(folder.join("file"), vec![7; 32 << 20]).unwrap(),
        |_| (),
    )
    .await;
    let mut stream = edge.connect().await;
    stream
        .write_all(b"GET /file HTTP/1.1\r\nHost: edge\r\n\r\n")
        .await
        .unwrap();
    let mut bytes = vec![0; 1000];
    within(stream.read_exact(&mut bytes)).await.unwrap();
    let mut idle = edge.connect().await;
    edge.stop.cancel();
    assert_eq!(read_to_end(&mut idle).await, b"");
    bytes.extend(read_to_end(&mut stream).await);
    assert_eq!(Answer::parse(&bytes).body.len(), 32 << 20);
    end(edge).await;
}

async fn end(mut edge: Running) {
    edge.stop.cancel();
    within(&mut edge.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_access_log_has_a_line_a_request() {
    let logs = tempfile::tempdir().unwrap();
    let path = logs.path().join("access.log");
    let edge = serve_with(hello, |config| {
        config.access_log = AccessLog::file(&path).unwrap()
    })
    .await;
    edge.get(
        "/hello",
        &[("Range", "bytes=1-3"), ("User-Agent", "test/1")],
    )
    .await;
    edge.get("/no%22thing", &[]).await;
    end(edge).await;
    let log = fs::read_to_string(path).unwrap();
    let lines: Vec<_> = log.lines().collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines[0].starts_with("127.0.0.1 - - ["), "{log}");
    assert!(
        lines[0].ends_with("\"GET /hello HTTP/1.1\" 206 3 \"-\" \"test/1\""),
        "{log}"
    );
    assert!(
        lines[1].contains("\"GET /no%22thing HTTP/1.1\" 404 "),
        "{log}"
    );
}

#[tokio::test]
async fn what_keeps_it_from_starting() {
    let folder = tempfile::tempdir().unwrap();
    let bind = |folder: &Path, listen: &str| {
        let config = EdgeConfig::new(folder.to_owned(), vec![listen.parse().unwrap()]);
        Edge::bind(config, Registry::default())
    };
    let error = bind(&folder.path().join("none"), "127.0.0.1:0")
        .await
        .unwrap_err();
    assert!(matches!(error, EdgeError::Folder { .. }), "{error}");
    let first = bind(folder.path(), "127.0.0.1:0").await.unwrap();
    let taken = first.addresses()[0].to_string();
    let error = bind(folder.path(), &taken).await.unwrap_err();
    assert!(matches!(error, EdgeError::Listen { .. }), "{error}");
}
