//! An edge on a loopback port, and a client that sends exactly the bytes it is told to: libraries
//! mend paths and headers before a server sees them.

#![allow(dead_code, reason = "every test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use peerlift_content::{PublishSettings, PublisherKey, publish_file};
use peerlift_edge::{Edge, EdgeConfig, EdgeError, PublishFn};
use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Only a test that hangs gets here.
pub(crate) const TOO_LONG: Duration = Duration::from_secs(60);

/// An edge that runs until it is dropped.
pub(crate) struct Running {
    pub(crate) folder: TempDir,
    pub(crate) addresses: Vec<SocketAddr>,
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), EdgeError>>,
}

/// Serves a new folder that `fill` has put something into, and waits until that is published.
pub(crate) async fn serve(fill: impl FnOnce(&Path)) -> Running {
    serve_with(fill, |config| config.publish = Some(publisher())).await
}

/// The same with settings of the test's own, which publish nothing unless told to.
pub(crate) async fn serve_with(
    fill: impl FnOnce(&Path),
    change: impl FnOnce(&mut EdgeConfig),
) -> Running {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let listen = vec!["127.0.0.1:0".parse().unwrap()];
    let mut config = EdgeConfig::new(folder.path().to_owned(), listen);
    change(&mut config);
    let edge = Edge::bind(config, Registry::default()).await.unwrap();
    let (addresses, ready, stop) = (edge.addresses(), edge.ready(), CancellationToken::new());
    let task = tokio::spawn(edge.serve(stop.clone()));
    within(ready.cancelled()).await;
    Running {
        folder,
        addresses,
        stop,
        task,
    }
}

/// What the command line gives an edge: a function that signs.
pub(crate) fn publisher() -> PublishFn {
    let key = PublisherKey::from_seed(&[7; 32]);
    Arc::new(move |path| publish_file(path, &key, &PublishSettings::default(), &|_| ()))
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Running {
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address()).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.request("GET", path, headers).await
    }

    pub(crate) async fn head(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.request("HEAD", path, headers).await
    }

    /// One request on a connection of its own.
    pub(crate) async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: edge\r\nConnection: close\r\n");
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        let mut stream = self.connect().await;
        stream.write_all((head + "\r\n").as_bytes()).await.unwrap();
        Answer::parse(&read_to_end(&mut stream).await)
    }

    /// Asks until the answer is as wanted: for what the watcher does in its own time.
    pub(crate) async fn get_until(&self, path: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        let deadline = Instant::now() + TOO_LONG;
        loop {
            let answer = self.get(path, &[]).await;
            if wanted(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{path} stays {answer:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// An answer, its header names in lower case.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(bytes)));
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap());
        Self {
            status: status.parse().unwrap(),
            headers: headers
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect(),
            body: bytes[end + 4..].to_vec(),
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// Everything until the other side closes, however it does.
pub(crate) async fn read_to_end(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = within(stream.read_to_end(&mut bytes)).await;
    bytes
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(TOO_LONG, future).await.expect("it hangs")
}

/// Bytes of which no two stretches are alike.
pub(crate) fn content(size: usize) -> Vec<u8> {
    (0u32..).flat_map(u32::to_be_bytes).take(size).collect()
}
