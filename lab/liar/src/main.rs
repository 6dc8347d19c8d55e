//! A peer that claims to have everything and sends garbage, for the lab's `poison` scenarios.
//!
//! It speaks the protocols well: it logs in to the control node, announces the object as
//! complete, greets whoever comes, and answers every request at once, with bytes that prove
//! nothing. It shares no code with a real peer beyond the messages themselves.
//!
//! usage: `lab-liar CONTROL_URL ADDRESS:PORT OBJECT SIZE`. It prints `ready` when the control node
//! knows it, and `lied` for each answer. It ends when it is told to.

use std::io::{self, Write};
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use iroh::endpoint::{Connection, RecvStream, SendStream, presets};
use iroh::{Endpoint, RelayMode, SecretKey};
use peerlift_model::{GROUP_BYTES, GroupSet, Layout, ObjectId};
use peerlift_net::control::{ControlEvent, ControlSession, Identity};
use peerlift_wire::PeerAddress;
use peerlift_wire::frame::{FRAME_HEADER_BYTES, encode_frame, frame_length};
use peerlift_wire::peer::{ALPN, Hello, PeerMessage, RangeRequest, RangeStatus};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

/// The seed of its key. It has nothing to hide.
const KEY_SEED: [u8; 32] = [0x11; 32];

/// What a proof and a group look like here.
const GARBAGE: u8 = 0x5a;

#[tokio::main]
async fn main() -> Result<()> {
    let liar = Liar::from_arguments()?;
    let endpoint = liar.endpoint().await?;
    let tasks = TaskTracker::new();
    let _session = liar.announce(&tasks).await?;
    say("ready");
    while let Some(incoming) = endpoint.accept().await {
        let liar = liar.clone();
        tasks.spawn(async move {
            // Whoever leaves has had enough of it.
            let _ = liar.converse(incoming.await?).await;
            anyhow::Ok(())
        });
    }
    Ok(())
}

fn say(word: &str) {
    // Nobody listens any more: the lab is about to end.
    let _ = writeln!(io::stdout(), "{word}");
}

#[derive(Clone)]
struct Liar {
    control: Url,
    address: SocketAddr,
    object: ObjectId,
    layout: Layout,
}

impl Liar {
    fn from_arguments() -> Result<Self> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let [control, address, object, size] = words.as_slice() else {
            bail!("usage: lab-liar CONTROL_URL ADDRESS:PORT OBJECT SIZE");
        };
        Ok(Self {
            control: control.parse().context("control URL")?,
            address: address.parse().context("address")?,
            object: object.parse().context("object")?,
            layout: Layout::new(size.parse().context("size")?).context("size")?,
        })
    }

    async fn endpoint(&self) -> Result<Endpoint> {
        Endpoint::builder(presets::Minimal)
            .secret_key(SecretKey::from_bytes(&KEY_SEED))
            .relay_mode(RelayMode::Disabled)
            .alpns(vec![ALPN.to_vec()])
            .clear_ip_transports()
            .bind_addr(self.address)?
            .bind()
            .await
            .context("bind")
    }

    /// Tells the control node that everything is here.
    async fn announce(&self, tasks: &TaskTracker) -> Result<ControlSession> {
        let identity = Identity {
            key_seed: KEY_SEED,
            agent: "lab-liar".to_owned(),
            share: true,
        };
        let stop = CancellationToken::new();
        let (session, mut events) =
            ControlSession::start(self.control.clone(), identity, tasks, stop);
        session
            .address(PeerAddress {
                direct: vec![self.address],
                relay: None,
            })
            .await;
        session.announce(self.object, true).await;
        match events.recv().await {
            Some(ControlEvent::Connected { .. }) => {}
            other => bail!("no session: {other:?}"),
        }
        tasks.spawn(async move { while events.recv().await.is_some() {} });
        Ok(session)
    }

    /// Greets, and answers requests until the other side has had enough.
    async fn converse(&self, connection: Connection) -> Result<()> {
        let (mut send, mut recv) = connection.accept_bi().await?;
        read_frame(&mut recv).await?;
        let hello = PeerMessage::Hello(Hello {
            object: self.object,
            ticket: None,
            share: true,
            agent: "lab-liar".to_owned(),
        });
        let everything: GroupSet = [self.layout.all_groups()].into_iter().collect();
        let promises = PeerMessage::have_map(&everything);
        for message in [hello]
            .into_iter()
            .chain(promises)
            .chain([PeerMessage::Unchoke])
        {
            send.write_all(&encode_frame(&message.encode())?).await?;
        }
        loop {
            let (answer, request) = connection.accept_bi().await?;
            lie(answer, request).await?;
        }
    }
}

/// Answers a request with as many bytes as the truth would have, or a few more.
async fn lie(mut answer: SendStream, mut request: RecvStream) -> Result<()> {
    let asked = RangeRequest::decode(read_frame(&mut request).await?)?;
    answer.write_all(&[RangeStatus::Ok.to_byte()]).await?;
    let group = vec![GARBAGE; usize::try_from(GROUP_BYTES)? + 64];
    for _ in asked.groups.start()..asked.groups.end() {
        if answer.write_all(&group).await.is_err() {
            break;
        }
    }
    say("lied");
    Ok(())
}

async fn read_frame(stream: &mut RecvStream) -> Result<Bytes> {
    let mut header = [0; FRAME_HEADER_BYTES];
    stream.read_exact(&mut header).await?;
    let mut frame = vec![0; frame_length(header)?];
    stream.read_exact(&mut frame).await?;
    Ok(frame.into())
}
