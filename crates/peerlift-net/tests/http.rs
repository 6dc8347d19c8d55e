//! The HTTP client against servers that do one thing each, right or wrong.

#![allow(
    clippy::unwrap_used,
    reason = "a test says by panicking what went wrong"
)]

use std::sync::Arc;

use peerlift_model::ByteRange;
use peerlift_net::http::{HttpClient, HttpError, HttpOptions};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use url::Url;

/// Answers every request with what `answer` makes of its head, then closes the connection.
async fn server(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/f", listener.local_addr().unwrap())).unwrap();
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if stream.read_line(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                }
                let _ = stream.write_all(answer(&head).as_bytes()).await;
            });
        }
    });
    url
}

fn client() -> HttpClient {
    HttpClient::new(HttpOptions::default()).unwrap()
}

fn response(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Connection: close\r\n\r\n{body}")
}

fn five() -> ByteRange {
    ByteRange::new(0, 5)
}

async fn read(body: Result<peerlift_net::http::Body, HttpError>) -> Result<Vec<u8>, HttpError> {
    let mut body = body?;
    let mut bytes = Vec::new();
    while let Some(chunk) = body.chunk().await? {
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[tokio::test]
async fn a_server_with_ranges_says_size_version_and_manifest() {
    let url = server(|head| {
        assert!(head.contains("range: bytes=0-0\r\n"), "{head}");
        assert!(head.contains("accept-encoding: identity\r\n"), "{head}");
        let headers = "Content-Range: bytes 0-0/12345\r\nContent-Length: 1\r\nETag: \"v1\"\r\n\
                       Link: </m.peerlift>; rel=\"peerlift-manifest\"\r\n";
        response("206 Partial Content", headers, "x")
    })
    .await;
    let opened = client().open(&url, 1).await.unwrap();
    assert_eq!(opened.size, Some(12345));
    assert!(opened.ranges);
    assert_eq!(opened.validator.unwrap().as_str(), "\"v1\"");
    assert_eq!(opened.manifest.unwrap().path(), "/m.peerlift");
}

#[tokio::test]
async fn a_server_without_ranges_sends_the_whole() {
    let url = server(|_| response("200 OK", "Content-Length: 5\r\n", "hello")).await;
    let mut opened = client().open(&url, 1).await.unwrap();
    assert!(!opened.ranges);
    assert_eq!(opened.size, Some(5));
    assert_eq!(opened.body.chunk().await.unwrap().unwrap(), "hello");
    let error = client().range(&url, five(), None).await.unwrap_err();
    assert!(matches!(error, HttpError::NoRanges { .. }), "{error}");
}

#[tokio::test]
async fn an_empty_file_has_no_range() {
    let url = server(|_| {
        response(
            "416 Range Not Satisfiable",
            "Content-Range: bytes */0\r\n",
            "",
        )
    })
    .await;
    assert_eq!(client().open(&url, 1).await.unwrap().size, Some(0));
}

#[tokio::test]
async fn a_body_shorter_or_longer_than_promised_is_cut() {
    let short = server(|_| {
        response(
            "206 Partial Content",
            "Content-Range: bytes 0-4/5\r\nContent-Length: 5\r\n",
            "he",
        )
    })
    .await;
    let error = read(client().range(&short, five(), None).await)
        .await
        .unwrap_err();
    assert!(matches!(error, HttpError::Cut { .. }), "{error:?}");

    let long = server(|_| {
        response(
            "206 Partial Content",
            "Content-Range: bytes 0-4/5\r\n",
            "hello, world",
        )
    })
    .await;
    let error = read(client().range(&long, five(), None).await)
        .await
        .unwrap_err();
    assert!(matches!(error, HttpError::Cut { .. }), "{error:?}");
}

#[tokio::test]
async fn another_part_than_asked_for_is_refused() {
    let url = server(|_| {
        response(
            "206 Partial Content",
            "Content-Range: bytes 5-9/10\r\nContent-Length: 5\r\n",
            "world",
        )
    })
    .await;
    let error = client().range(&url, five(), None).await.unwrap_err();
    assert!(matches!(error, HttpError::Nonsense { .. }), "{error}");
}

#[tokio::test]
async fn another_version_is_noticed() {
    let first = server(|_| {
        let headers = "Content-Range: bytes 0-0/5\r\nContent-Length: 1\r\nETag: \"v1\"\r\n";
        response("206 Partial Content", headers, "h")
    })
    .await;
    let v1 = client().open(&first, 1).await.unwrap().validator.unwrap();
    let second = server(|head| {
        assert!(head.contains("if-range: \"v1\"\r\n"), "{head}");
        response("200 OK", "Content-Length: 5\r\nETag: \"v2\"\r\n", "HELLO")
    })
    .await;
    let error = client()
        .range(&second, five(), Some(&v1))
        .await
        .unwrap_err();
    assert!(matches!(error, HttpError::Changed { .. }), "{error}");
}

#[tokio::test]
async fn refusals_keep_their_status_and_patience() {
    let url = server(|_| response("503 Busy", "Retry-After: 7\r\nContent-Length: 0\r\n", "")).await;
    let error = client().open(&url, 1).await.unwrap_err();
    assert!(error.is_transient());
    let HttpError::Status {
        status,
        retry_after,
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!(
        (status.as_u16(), retry_after.map(|t| t.as_secs())),
        (503, Some(7))
    );
}

#[tokio::test]
async fn circles_of_redirects_end() {
    let url = server(|_| response("302 Found", "Location: /f\r\nContent-Length: 0\r\n", "")).await;
    let error = client().open(&url, 1).await.unwrap_err();
    assert!(matches!(error, HttpError::Redirects { .. }), "{error}");
}

#[tokio::test]
async fn names_without_address_and_closed_ports_are_told_apart() {
    let unknown = Url::parse("http://does-not-exist.invalid/").unwrap();
    let error = client().open(&unknown, 1).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the name does-not-exist.invalid does not resolve"
    );

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let error = client().open(&closed, 1).await.unwrap_err();
    assert!(matches!(error, HttpError::Connect { .. }), "{error:?}");
}

#[tokio::test]
async fn small_files_have_a_limit() {
    let url = server(|_| response("200 OK", "", &"x".repeat(1000))).await;
    assert_eq!(client().small(&url, 1000).await.unwrap().0.len(), 1000);
    let error = client().small(&url, 999).await.unwrap_err();
    assert!(
        matches!(error, HttpError::TooLarge { bytes_max: 999, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn the_users_headers_go_to_their_origin_only() {
    let url = server(|head| {
        let secret = if head.contains("authorization: secret") {
            "yes"
        } else {
            "no"
        };
        response("200 OK", "", secret)
    })
    .await;
    let headers = [(
        http::header::AUTHORIZATION,
        http::HeaderValue::from_static("secret"),
    )];
    let options = |header_origins| HttpOptions {
        headers: headers.iter().cloned().collect(),
        header_origins,
        ..HttpOptions::default()
    };
    let told = HttpClient::new(options(vec![url.origin()])).unwrap();
    assert_eq!(told.small(&url, 10).await.unwrap().0, "yes");
    let elsewhere = Url::parse("http://elsewhere.example/").unwrap();
    let untold = HttpClient::new(options(vec![elsewhere.origin()])).unwrap();
    assert_eq!(untold.small(&url, 10).await.unwrap().0, "no");
}
