//! What RFC 9110 asks of a server of files, over a socket.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::fs;
use std::time::{Duration, SystemTime};

use common::{Running, content, serve};

/// `b3sum` of `hello`.
const ROOT: &str = "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f";

/// `printf hello | openssl dgst -sha256 -binary | base64`.
const SHA256: &str = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";

const SIZE: usize = 700_001;

async fn hello() -> Running {
    serve(|folder| {
        let path = folder.join("hello.txt");
        fs::write(&path, "hello").unwrap();
        let then = SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_500);
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(then).unwrap();
    })
    .await
}

/// A file that takes several reads.
async fn large() -> Running {
    serve(|folder| fs::write(folder.join("large.bin"), content(SIZE)).unwrap()).await
}

#[tokio::test]
async fn a_file_comes_with_all_that_is_known_of_it() {
    let edge = hello().await;
    let got = edge.get("/hello.txt", &[]).await;
    let quoted = format!("\"{ROOT}\"");
    assert_eq!((got.status, got.text()), (200, "hello"));
    assert_eq!(got.header("content-length"), Some("5"));
    assert_eq!(
        got.header("content-type"),
        Some("text/plain; charset=utf-8")
    );
    assert_eq!(got.header("etag"), Some(quoted.as_str()));
    let digest = format!("sha-256=:{SHA256}:");
    assert_eq!(got.header("repr-digest"), Some(digest.as_str()));
    let link = "</hello.txt.peerlift>; rel=\"peerlift-manifest\"";
    assert_eq!(got.header("link"), Some(link));
    assert_eq!(got.header("accept-ranges"), Some("bytes"));
    assert_eq!(got.header("cache-control"), Some("no-cache"));
    assert_eq!(
        got.header("last-modified"),
        Some("Sun, 06 Nov 1994 08:49:37 GMT")
    );
}

#[tokio::test]
async fn the_manifest_and_the_outboard_are_files_too() {
    let edge = large().await;
    let got = edge.get("/large.bin.peerlift", &[]).await;
    assert_eq!(got.header("content-type"), Some("application/jose+json"));
    let manifest = peerlift_content::VerifiedManifest::parse(&got.body).unwrap();
    let etag = format!("\"{}\"", manifest.manifest.root);
    let file = edge.head("/large.bin", &[]).await;
    assert_eq!(file.header("etag"), Some(etag.as_str()));
    let got = edge
        .get("/large.bin.obao", &[("Range", "bytes=0-63")])
        .await;
    assert_eq!((got.status, got.body.len()), (206, 64));
    assert_eq!(got.header("content-type"), Some("application/octet-stream"));
    assert_eq!(got.header("etag"), None, "a sidecar is no object");
}

#[tokio::test]
async fn head_says_what_get_would() {
    let edge = large().await;
    for path in ["/large.bin", "/", "/healthz", "/nothing"] {
        let (head, get) = (edge.head(path, &[]).await, edge.get(path, &[]).await);
        assert_eq!(head.status, get.status, "{path}");
        assert_eq!(head.body, b"", "{path}");
        for name in [
            "content-length",
            "content-type",
            "etag",
            "repr-digest",
            "link",
        ] {
            assert_eq!(head.header(name), get.header(name), "{name} of {path}");
        }
    }
}

#[tokio::test]
async fn whole_files_longer_than_a_read() {
    let edge = large().await;
    let got = edge.get("/large.bin", &[]).await;
    assert_eq!(got.status, 200);
    assert!(got.body == content(SIZE));
}

#[tokio::test]
async fn one_range() {
    let edge = large().await;
    let data = content(SIZE);
    for (range, start, end) in [
        ("bytes=0-0", 0, 1),
        ("bytes=0-262143", 0, 262_144),
        ("bytes=262100-262200", 262_100, 262_201),
        ("bytes=16384-600000", 16_384, 600_001),
        ("bytes=700000-", 700_000, SIZE),
        ("bytes=1000-99999999", 1000, SIZE),
        ("bytes=-1", 700_000, SIZE),
        ("bytes=-300000", 400_001, SIZE),
        ("bytes=-99999999", 0, SIZE),
        ("bytes=10-19,20-29", 10, 30),
    ] {
        let got = edge.get("/large.bin", &[("Range", range)]).await;
        assert_eq!(got.status, 206, "{range}");
        let expected = format!("bytes {start}-{}/{SIZE}", end - 1);
        assert_eq!(got.header("content-range"), Some(expected.as_str()));
        assert!(got.body == data[start..end], "{range}");
    }
}

#[tokio::test]
async fn several_ranges_come_as_parts() {
    let edge = large().await;
    let data = content(SIZE);
    let got = edge
        .get("/large.bin", &[("Range", "bytes=0-9, 300000-599999,-4")])
        .await;
    assert_eq!(got.status, 206);
    let kind = got.header("content-type").unwrap();
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let mut expected = Vec::new();
    for (start, end) in [(0, 10), (300_000, 600_000), (SIZE - 4, SIZE)] {
        let line = if start == 0 { "" } else { "\r\n" };
        let last = end - 1;
        expected.extend(
            format!(
                "{line}--{boundary}\r\nContent-Type: application/octet-stream\r\n\
                 Content-Range: bytes {start}-{last}/{SIZE}\r\n\r\n"
            )
            .bytes(),
        );
        expected.extend(&data[start..end]);
    }
    expected.extend(format!("\r\n--{boundary}--\r\n").bytes());
    assert!(got.body == expected);
    let length = expected.len().to_string();
    assert_eq!(got.header("content-length"), Some(length.as_str()));
}

#[tokio::test]
async fn ranges_that_are_not_there() {
    let edge = hello().await;
    for range in ["bytes=5-", "bytes=-0", "bytes=9-10,20-"] {
        let got = edge.get("/hello.txt", &[("Range", range)]).await;
        assert_eq!(got.status, 416, "{range}");
        assert_eq!(got.header("content-range"), Some("bytes */5"));
        assert_eq!(got.body, b"");
    }
}

#[tokio::test]
async fn ranges_that_do_not_count() {
    let edge = hello().await;
    let many = format!("bytes={}0-0", "0-0,".repeat(64));
    for range in ["bytes=3-1", "items=0-1", "bytes=x", &many] {
        let got = edge.get("/hello.txt", &[("Range", range)]).await;
        assert_eq!((got.status, got.text()), (200, "hello"), "{range}");
    }
    let got = edge.head("/hello.txt", &[("Range", "bytes=0-0")]).await;
    assert_eq!(got.status, 200, "ranges are for GET (RFC 9110 §14.2)");
    assert_eq!(got.header("content-length"), Some("5"));
}

#[tokio::test]
async fn if_range_gives_a_part_of_this_version_or_all_of_another() {
    let edge = hello().await;
    let (etag, weak) = (format!("\"{ROOT}\""), format!("W/\"{ROOT}\""));
    for (condition, status) in [
        (etag.as_str(), 206),
        (weak.as_str(), 200),
        ("\"another\"", 200),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 206),
        ("Sun, 06 Nov 1994 08:49:38 GMT", 200),
    ] {
        let headers = [("Range", "bytes=1-2"), ("If-Range", condition)];
        let got = edge.get("/hello.txt", &headers).await;
        assert_eq!(got.status, status, "{condition}");
        let expected = if status == 206 { "el" } else { "hello" };
        assert_eq!(got.text(), expected);
    }
}

#[tokio::test]
async fn conditions_spare_the_body() {
    let edge = hello().await;
    let etag = format!("\"{ROOT}\"");
    let then = "Sun, 06 Nov 1994 08:49:37 GMT";
    let before = "Sun, 06 Nov 1994 08:49:36 GMT";
    for (name, value, status) in [
        ("If-None-Match", etag.as_str(), 304),
        ("If-None-Match", "*", 304),
        ("If-None-Match", "\"another\"", 200),
        ("If-Modified-Since", then, 304),
        ("If-Modified-Since", before, 200),
        ("If-Match", etag.as_str(), 200),
        ("If-Match", "*", 200),
        ("If-Match", "\"another\"", 412),
        ("If-Unmodified-Since", then, 200),
        ("If-Unmodified-Since", before, 412),
    ] {
        for method in ["GET", "HEAD"] {
            let got = edge.request(method, "/hello.txt", &[(name, value)]).await;
            assert_eq!(got.status, status, "{method} {name}: {value}");
            let body = if status == 200 && method == "GET" {
                "hello"
            } else {
                ""
            };
            assert_eq!(got.text(), body);
            assert_eq!(
                got.header("etag"),
                Some(etag.as_str()),
                "so that a cache can go on"
            );
            if status == 304 {
                assert_eq!(
                    got.header("content-length"),
                    None,
                    "it would be that of the file"
                );
            }
        }
    }
}

#[tokio::test]
async fn an_empty_file_is_a_file() {
    let edge = serve(|folder| fs::write(folder.join("empty"), "").unwrap()).await;
    let got = edge.get("/empty", &[]).await;
    assert_eq!((got.status, got.text()), (200, ""));
    assert_eq!(got.header("content-length"), Some("0"));
    // `b3sum /dev/null`.
    let root = "\"af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262\"";
    assert_eq!(got.header("etag"), Some(root));
    let got = edge.get("/empty", &[("Range", "bytes=0-")]).await;
    assert_eq!(
        (got.status, got.header("content-range")),
        (416, Some("bytes */0"))
    );
}

#[tokio::test]
async fn other_methods_are_told_so() {
    let edge = hello().await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let got = edge
            .request(method, "/hello.txt", &[("Content-Length", "0")])
            .await;
        assert_eq!(
            (got.status, got.header("allow")),
            (405, Some("GET, HEAD, OPTIONS"))
        );
    }
    assert_eq!(edge.request("OPTIONS", "/hello.txt", &[]).await.status, 204);
}

#[tokio::test]
async fn health_and_metrics() {
    let edge = hello().await;
    let got = edge.get("/healthz", &[]).await;
    assert_eq!((got.status, got.text()), (200, "ok\n"));
    edge.get("/hello.txt", &[]).await;
    edge.get("/nothing", &[]).await;
    let got = edge.get("/metrics", &[]).await;
    assert_eq!(got.status, 200);
    assert!(
        got.header("content-type")
            .unwrap()
            .starts_with("application/openmetrics-text")
    );
    for line in [
        "peerlift_edge_requests_total 3",
        "peerlift_edge_errors_total 1",
        "peerlift_edge_published_files 1",
        "# EOF",
    ] {
        assert!(
            got.text().lines().any(|found| found == line),
            "no {line} in {}",
            got.text()
        );
    }
}
