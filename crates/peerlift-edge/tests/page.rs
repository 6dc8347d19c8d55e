//! The exchanges on the page of the protocol, as they are.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use common::{read_to_end, serve};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn exchanges() {
    let edge = serve(|folder| {
        let path = folder.join("hello.txt");
        fs::write(&path, "hello").unwrap();
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_modified(then).unwrap();
    })
    .await;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol/http-edge.md");
    let page = fs::read_to_string(page).unwrap();
    let exchanges: Vec<_> = page.split("```http ").skip(1).collect();
    assert_eq!(exchanges.len(), 5);
    for exchange in exchanges {
        let (name, rest) = exchange.split_once('\n').unwrap();
        let (exchange, _) = rest.split_once("```").unwrap();
        let (request, expected) = exchange.split_once("\n\n").unwrap();
        let request = request.replace('\n', "\r\n");
        let request = format!("{request}\r\nHost: edge\r\nConnection: close\r\n\r\n");
        let mut stream = edge.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let got = String::from_utf8(read_to_end(&mut stream).await).unwrap();
        assert_eq!(shown(&got), expected.trim_end(), "{name}");
    }
}

/// An answer as the page shows it.
fn shown(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let lines = head.split("\r\n");
    let shown = lines.filter(|line| !line.starts_with("date: ") && *line != "connection: close");
    let head: Vec<_> = shown.collect();
    let text = format!("{}\n\n{}", head.join("\n"), body.replace("\r\n", "\n"));
    text.trim_end().to_owned()
}
