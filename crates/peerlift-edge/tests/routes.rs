//! What is mounted beside the files, and which of the two gets a request.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::fs;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::get;
use common::{Answer, Running, read_to_end, serve_with, within};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const UPGRADE: [(&str, &str); 2] = [("Connection", "Upgrade"), ("Upgrade", "WebSocket")];

/// Files and routes that want the same names.
async fn mounted() -> Running {
    serve_with(
        |folder| {
            for name in ["ping", "echo"] {
                fs::write(folder.join(name), format!("the file {name}")).unwrap();
            }
        },
        |config| {
            config.routes = Router::new()
                .route("/ping", get(|| async { "the route" }))
                .route("/only", get(only))
                .route("/echo", get(echo))
                .route("/.peerlift/thing", get(|| async { "the thing" }))
        },
    )
    .await
}

async fn only(ConnectInfo(from): ConnectInfo<std::net::SocketAddr>) -> String {
    format!("a route for {}", from.ip())
}

/// Says again what it hears, once it is no longer HTTP.
async fn echo(mut request: Request) -> Response {
    if !request.headers().contains_key(header::UPGRADE) {
        return Response::new(Body::from("the route"));
    }
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
        tokio::io::copy(&mut read, &mut write).await.unwrap();
        write.shutdown().await.unwrap();
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .body(Body::empty())
        .unwrap()
}

#[tokio::test]
async fn a_file_wins_over_a_route_of_its_name() {
    let edge = mounted().await;
    assert_eq!(edge.get("/ping", &[]).await.text(), "the file ping");
    fs::remove_file(edge.path("ping")).unwrap();
    assert_eq!(edge.get("/ping", &[]).await.text(), "the route");
}

#[tokio::test]
async fn what_is_no_file_may_be_a_route() {
    let edge = mounted().await;
    let got = edge.get("/only", &[]).await;
    assert_eq!((got.status, got.text()), (200, "a route for 127.0.0.1"));
    let got = edge.head("/only", &[]).await;
    assert_eq!((got.status, got.text()), (200, ""));
    let got = edge.get("/.peerlift/thing", &[]).await;
    assert_eq!((got.status, got.text()), (200, "the thing"));
}

#[tokio::test]
async fn what_is_neither_is_missing_as_it_is_without_routes() {
    let (with, without) = (mounted().await, serve_with(|_| (), |_| ()).await);
    for path in ["/nothing", "/only/nothing", "/../only"] {
        let (with, without) = (with.get(path, &[]).await, without.get(path, &[]).await);
        assert_eq!(with.status, 404, "{path}");
        assert_eq!(with.body, without.body, "{path}");
    }
}

#[tokio::test]
async fn a_websocket_goes_to_the_route_even_where_a_file_is() {
    let edge = mounted().await;
    assert_eq!(edge.get("/echo", &[]).await.text(), "the file echo");
    let mut stream = edge.connect().await;
    stream
        .write_all(b"GET /echo HTTP/1.1\r\nHost: edge\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await
        .unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert_ne!(within(stream.read_buf(&mut head)).await.unwrap(), 0);
    }
    assert_eq!(Answer::parse(&head).status, 101);
    stream.write_all(b"no longer HTTP").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut stream).await, b"no longer HTTP");
}

#[tokio::test]
async fn a_websocket_where_none_is_gets_no_file() {
    let edge = mounted().await;
    fs::write(edge.path("plain"), "plain").unwrap();
    assert_eq!(edge.get("/plain", &[]).await.status, 200);
    assert_eq!(edge.get("/plain", &UPGRADE).await.status, 404);
}

#[tokio::test]
async fn other_upgrades_are_as_good_as_not_asked_for() {
    for edge in [mounted().await, serve_with(|_| (), |_| ()).await] {
        fs::write(edge.path("ping"), "the file ping").unwrap();
        // What curl sends with --http2.
        let headers = [
            ("Connection", "Upgrade, HTTP2-Settings"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA"),
        ];
        let got = edge.get("/ping", &headers).await;
        assert_eq!((got.status, got.text()), (200, "the file ping"));
    }
}
