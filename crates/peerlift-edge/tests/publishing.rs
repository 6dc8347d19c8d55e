//! What happens to files while they are served.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::fs;
use std::sync::Arc;

use common::{Answer, content, publisher, read_to_end, serve, serve_with, within};
use peerlift_content::VerifiedManifest;
use peerlift_edge::PublishFn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// More than sockets and buffers hold, so that an answer is still under way.
const SIZE: usize = 64 << 20;

async fn revision(edge: &common::Running, path: &str) -> u64 {
    let got = edge.get(&format!("{path}.peerlift"), &[]).await;
    VerifiedManifest::parse(&got.body)
        .unwrap()
        .manifest
        .revision
}

fn is_published(answer: &Answer) -> bool {
    answer.header("etag").is_some()
}

#[tokio::test]
async fn a_file_that_is_put_into_the_folder_is_published() {
    let edge = serve(|_| ()).await;
    assert_eq!(edge.get("/new.bin", &[]).await.status, 404);
    fs::write(edge.path("new.bin"), "hello").unwrap();
    let got = edge.get_until("/new.bin", is_published).await;
    let etag = "\"ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f\"";
    assert_eq!(got.header("etag"), Some(etag));
    assert_eq!(revision(&edge, "/new.bin").await, 1);
}

#[tokio::test]
async fn so_is_one_in_a_new_folder_or_moved_into_place() {
    let edge = serve(|_| ()).await;
    fs::create_dir_all(edge.path("a/b")).unwrap();
    fs::write(edge.path("a/b/deep"), "1").unwrap();
    fs::write(edge.path(".draft"), "2").unwrap();
    fs::rename(edge.path(".draft"), edge.path("moved")).unwrap();
    edge.get_until("/a/b/deep", is_published).await;
    edge.get_until("/moved", is_published).await;
    fs::rename(edge.path("a"), edge.path("z")).unwrap();
    edge.get_until("/z/b/deep", is_published).await;
    assert_eq!(edge.get("/a/b/deep", &[]).await.status, 404);
}

#[tokio::test]
async fn a_changed_file_gets_a_new_tag_and_never_the_old_one() {
    let edge = serve(|folder| fs::write(folder.join("file"), "old").unwrap()).await;
    let old = edge.get("/file", &[]).await;
    let old = old.header("etag").unwrap();
    let first = revision(&edge, "/file").await;
    fs::write(edge.path("file"), "newer").unwrap();
    let got = edge
        .get_until("/file", |answer| {
            assert_ne!(answer.header("etag"), Some(old), "the tag of other bytes");
            is_published(answer)
        })
        .await;
    assert_eq!(got.text(), "newer");
    assert_eq!(revision(&edge, "/file").await, first + 1);
}

#[tokio::test]
async fn a_removed_file_is_gone_and_no_longer_counted() {
    let edge = serve(|folder| fs::write(folder.join("file"), "1").unwrap()).await;
    let count = |n: u8| {
        let line = format!("peerlift_edge_published_files {n}\n");
        move |answer: &Answer| answer.text().contains(&line)
    };
    edge.get_until("/metrics", count(1)).await;
    fs::remove_file(edge.path("file")).unwrap();
    assert_eq!(edge.get("/file", &[]).await.status, 404);
    edge.get_until("/metrics", count(0)).await;
}

#[tokio::test]
async fn more_changes_than_are_remembered_are_all_published() {
    let (begun, mut has_begun) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, may_go_on) = std::sync::mpsc::channel();
    let (publish, may_go_on) = (publisher(), std::sync::Mutex::new(may_go_on));
    let publish: PublishFn = Arc::new(move |path| {
        if path.ends_with("slow") {
            let _ = begun.send(());
            let _ = may_go_on.lock().unwrap().recv();
        }
        publish(path)
    });
    let edge = serve_with(|_| (), |config| config.publish = Some(publish)).await;
    fs::write(edge.path("slow"), "1").unwrap();
    within(has_begun.recv()).await.unwrap();
    for number in 0..5000 {
        fs::write(edge.path(&format!(".{number}")), "").unwrap();
    }
    fs::write(edge.path("file"), "2").unwrap();
    go_on.send(()).unwrap();
    edge.get_until("/slow", is_published).await;
    edge.get_until("/file", is_published).await;
}

#[tokio::test]
async fn without_a_publisher_files_are_served_as_they_are() {
    let edge = serve_with(
        |folder| fs::write(folder.join("file"), "1").unwrap(),
        |_| (),
    )
    .await;
    let got = edge.get("/file", &[]).await;
    assert_eq!((got.status, got.text()), (200, "1"));
    for name in ["etag", "link", "repr-digest"] {
        assert_eq!(got.header(name), None);
    }
    let got = edge.get("/file", &[("If-Match", "\"any\"")]).await;
    assert_eq!(got.status, 412);
}

/// Begins to receive a file; returns what came with the head.
async fn begin(edge: &common::Running) -> (tokio::net::TcpStream, Vec<u8>) {
    let mut stream = edge.connect().await;
    let head = b"GET /file HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n\r\n";
    stream.write_all(head).await.unwrap();
    let mut begun = vec![0; 4096];
    within(stream.read_exact(&mut begun)).await.unwrap();
    (stream, begun)
}

#[tokio::test]
async fn a_file_replaced_while_it_is_sent_is_sent_to_its_end() {
    let edge = serve_with(
        |folder| fs::write(folder.join("file"), content(SIZE)).unwrap(),
        |_| (),
    )
    .await;
    let (mut stream, mut bytes) = begin(&edge).await;
    fs::write(edge.path(".draft"), "new").unwrap();
    fs::rename(edge.path(".draft"), edge.path("file")).unwrap();
    assert_eq!(edge.get("/file", &[]).await.text(), "new");
    bytes.extend(read_to_end(&mut stream).await);
    assert!(Answer::parse(&bytes).body == content(SIZE));
}

#[tokio::test]
async fn a_file_cut_short_while_it_is_sent_breaks_the_connection() {
    let edge = serve_with(
        |folder| fs::write(folder.join("file"), content(SIZE)).unwrap(),
        |_| (),
    )
    .await;
    let (mut stream, mut bytes) = begin(&edge).await;
    let file = fs::File::options()
        .write(true)
        .open(edge.path("file"))
        .unwrap();
    file.set_len(10).unwrap();
    bytes.extend(read_to_end(&mut stream).await);
    let got = Answer::parse(&bytes);
    assert_eq!(
        got.header("content-length"),
        Some(SIZE.to_string().as_str())
    );
    assert!(got.body.len() < SIZE, "nothing is made up");
    assert!(content(SIZE).starts_with(&got.body));
    assert_eq!(
        edge.get("/healthz", &[]).await.status,
        200,
        "the edge goes on"
    );
}

#[tokio::test]
async fn what_cannot_be_published_is_served_and_hinders_nothing() {
    let refused = publisher();
    let edge = serve_with(
        |folder| {
            fs::write(folder.join("bad"), "1").unwrap();
            fs::write(folder.join("good"), "2").unwrap();
        },
        |config| {
            config.publish = Some(Arc::new(move |path| {
                if path.ends_with("bad") {
                    let path = path.to_owned();
                    return Err(peerlift_content::PublishError::Name { path });
                }
                refused(path)
            }));
        },
    )
    .await;
    assert!(is_published(&edge.get("/good", &[]).await));
    let got = edge.get("/bad", &[]).await;
    assert_eq!((got.status, is_published(&got)), (200, false));
}
