//! What an idle session costs on the line.

#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{Client, Served, within};
use peerlift_control::ControlConfig;
use peerlift_wire::control::PATH;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use url::Url;

/// What TLS 1.3 adds to a record: header, kind and tag (RFC 8446 §5.2).
const TLS_BYTES: usize = 5 + 1 + 16;

/// How often clients show that they are there by default: every ten minutes.
const PINGS_AN_HOUR: usize = 6;

/// A way to the node that counts what goes along it.
struct Counting {
    address: SocketAddr,
    bytes: Arc<AtomicUsize>,
}

impl Counting {
    async fn start(node: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let bytes = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&bytes);
        tokio::spawn(async move {
            let (client, _) = listener.accept().await.unwrap();
            let node = TcpStream::connect(node).await.unwrap();
            let (client, node) = (client.into_split(), node.into_split());
            tokio::join!(
                pass_on(client.0, node.1, &counted),
                pass_on(node.0, client.1, &counted)
            );
        });
        Self { address, bytes }
    }

    fn count(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }
}

async fn pass_on(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    counted: &AtomicUsize,
) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        counted.fetch_add(count, Ordering::SeqCst);
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn an_idle_hour_costs_less_than_a_kibibyte() {
    let often = ControlConfig {
        keep_alive: Duration::from_secs(5),
        ..ControlConfig::new([9; 32])
    };
    let served = Served::start_with(often).await;
    let way = Counting::start(served.address).await;
    let url = Url::parse(&format!("ws://{}{PATH}", way.address)).unwrap();
    let mut client = Client::start(url, 1, true);
    client.connected().await;
    // Two bytes of a message and two of a frame (RFC 6455 §5.2) each way, and the client's mask.
    let ping = 2 * (2 + 2) + 4;
    let (pings, bytes) = settled(&served, &way, 0).await;
    let (more_pings, more_bytes) = settled(&served, &way, pings).await;
    assert_eq!(more_bytes - bytes, ping * (more_pings - pings));
    assert!(PINGS_AN_HOUR * (ping + 2 * TLS_BYTES) <= 1024 / 3);
}

/// More messages than so many, and all bytes up to then: both are still for half a second, which is
/// a tenth of the time between two pings.
async fn settled(served: &Served, way: &Counting, pings: usize) -> (usize, usize) {
    within(async {
        loop {
            let seen = (messages(served), way.count());
            sleep(Duration::from_millis(500)).await;
            if seen == (messages(served), way.count()) && seen.0 > pings {
                return seen;
            }
        }
    })
    .await
}

fn messages(served: &Served) -> usize {
    let page = served.metrics();
    let mut lines = page.lines();
    let count = lines.find_map(|line| line.strip_prefix("peerlift_control_messages_total "));
    count.unwrap().parse().unwrap()
}
