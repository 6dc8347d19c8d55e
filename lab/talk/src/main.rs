//! Two peers that exchange bytes as fast as their link carries them: what a transport costs, without
//! disks, hashes and plans.
//!
//! ```text
//! lab-talk listen                         prints `KEY UDP-PORT TCP-PORT`, answers until it is killed
//! lab-talk fetch KEY UDP-PLACE TCP-PORT MIB    TCP-PORT 0: over QUIC; prints `TRANSPORT SECONDS`
//! ```

#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use peerlift_model::{GroupRange, PeerId};
use peerlift_net::peer::{PeerLink, PeerNode, PeerNodeConfig, REPLY_BYTES_USUAL, Reply, Transport};
use peerlift_net::polite::Uplink;
use peerlift_wire::PeerAddress;
use peerlift_wire::peer::{PeerMessage, RangeRequest};
use tokio::task::JoinSet;

/// Groups of one request, as a client asks of a fast peer: 1 MiB.
const REQUEST_GROUPS: u32 = 64;

/// Requests under way.
const REQUESTS: u32 = 4;

/// Bytes of a group.
const GROUP: usize = 16 * 1024;

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match &words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["listen"] => listen().await,
        ["fetch", key, place, tcp_port, mib] => {
            let tcp_port = tcp_port.parse()?;
            let address = PeerAddress {
                direct: vec![place.parse()?],
                relay: None,
                tcp_port: (tcp_port != 0).then_some(tcp_port),
            };
            fetch(key.parse()?, &address, mib.parse()?).await
        }
        other => bail!("what is {other:?}?"),
    }
}

async fn node(accept: bool) -> Result<PeerNode> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret)?;
    let config = PeerNodeConfig {
        secret,
        relays: Vec::new(),
        accept,
        uplink: Uplink::plain(),
    };
    Ok(PeerNode::bind(config).await?)
}

async fn listen() -> Result<()> {
    let node = node(true).await?;
    let sockets = node.sockets();
    let udp = sockets.iter().find(|socket| socket.is_ipv4());
    let udp = udp.context("no IPv4 socket")?.port();
    let tcp = node.address().tcp_port.context("no TCP port")?;
    println!("{} {udp} {tcp}", node.id());
    let mut tasks = JoinSet::new();
    while let Some(stranger) = node.accept().await {
        tasks.spawn(async move {
            if let Ok(link) = stranger.link().await {
                // It ends with the fetch.
                let _ = answer_all(link).await;
            }
        });
    }
    Ok(())
}

async fn answer_all(link: PeerLink) -> Result<()> {
    let (_sender, mut receiver) = link.control().await?;
    receiver.next().await?;
    let mut tasks = JoinSet::new();
    loop {
        let asked = link.asked().await?;
        tasks.spawn(answer(asked.reply, asked.request));
    }
}

async fn answer(mut reply: Reply, request: RangeRequest) -> Result<()> {
    let part = Bytes::from_static(&[7; REPLY_BYTES_USUAL]);
    let mut left = usize::try_from(request.groups.len())? * GROUP;
    reply.accept(request).await?;
    while left > 0 {
        let now = left.min(part.len());
        reply.send(part.slice(..now)).await?;
        left -= now;
    }
    Ok(reply.finish().await?)
}

async fn fetch(peer: PeerId, address: &PeerAddress, mib: u32) -> Result<()> {
    let node = node(false).await?;
    let link = node.connect(peer, address).await?;
    let (mut sender, _receiver) = link.control().await?;
    sender.send(&PeerMessage::Unchoke).await?;
    let begin = Instant::now();
    let mut lanes = JoinSet::new();
    for lane in 0..REQUESTS {
        let requests = (lane..mib).step_by(REQUESTS as usize).count();
        lanes.spawn(ask_one_by_one(link.clone(), requests));
    }
    while let Some(lane) = lanes.join_next().await {
        lane??;
    }
    let transport = match link.transport() {
        Transport::Tcp => "tcp",
        Transport::Quic => "quic",
    };
    println!("{transport} {:.3}", begin.elapsed().as_secs_f64());
    node.close().await;
    Ok(())
}

async fn ask_one_by_one(link: PeerLink, requests: usize) -> Result<()> {
    let request = RangeRequest::whole(GroupRange::new(0, REQUEST_GROUPS));
    let mut buffer = vec![0; GROUP];
    for _ in 0..requests {
        let mut answer = link.ask(request).await?;
        for _ in 0..REQUEST_GROUPS {
            answer.read_exact(&mut buffer).await?;
        }
        answer.done();
    }
    Ok(())
}
