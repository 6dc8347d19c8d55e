//! A peer that does not mean well, for the lab's `poison` scenarios.
//!
//! It speaks the protocols well: it logs in to the control node, announces the object as
//! complete and greets whoever comes. It shares no code with a real peer beyond the messages
//! themselves. What it does then is the last word of its command line:
//!
//! * `garbage`: answers every request at once, with bytes that prove nothing;
//! * `foreign`: answers with bytes of another object, with proofs that are right for that one;
//! * `stall`: promises every answer and sends nothing more;
//! * `other`: greets everybody with another object's name;
//! * `thief`: announces nothing, dials the peers it is introduced to, and asks them for the object
//!   with a ticket that nobody signed.
//!
//! usage: `lab-liar CONTROL_URL ADDRESS:PORT OBJECT SIZE HOW`. It prints `ready` when the control
//! node knows it, `lied` for each answer, and as a thief the status of the answer it got. It ends
//! when it is told to.

use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use iroh::endpoint::{Connection, RecvStream, SendStream, presets};
use iroh::{Endpoint, EndpointAddr, EndpointId, RelayMode, SecretKey, TransportAddr};
use peerlift_content::{HashOptions, encode_range, hash_file};
use peerlift_model::{GROUP_BYTES, GroupRange, GroupSet, Layout, ObjectId};
use peerlift_net::control::{ControlEvent, ControlSession, Identity};
use peerlift_wire::PeerAddress;
use peerlift_wire::frame::{FRAME_HEADER_BYTES, encode_frame, frame_length};
use peerlift_wire::peer::{ALPN, Hello, PeerMessage, RangeRequest, RangeStatus};
use tokio::sync::mpsc;
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
    if liar.how == How::Thief {
        return liar.steal(&endpoint, &tasks).await;
    }
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
    how: How,
}

/// What it does to others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Garbage,
    Foreign,
    Stall,
    Other,
    Thief,
}

impl std::str::FromStr for How {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        match word {
            "garbage" => Ok(Self::Garbage),
            "foreign" => Ok(Self::Foreign),
            "stall" => Ok(Self::Stall),
            "other" => Ok(Self::Other),
            "thief" => Ok(Self::Thief),
            _ => bail!("{word}: no way to lie"),
        }
    }
}

impl Liar {
    fn from_arguments() -> Result<Self> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let [control, address, object, size, how] = words.as_slice() else {
            bail!("usage: lab-liar CONTROL_URL ADDRESS:PORT OBJECT SIZE HOW");
        };
        Ok(Self {
            control: control.parse().context("control URL")?,
            address: address.parse().context("address")?,
            object: object.parse().context("object")?,
            layout: Layout::new(size.parse().context("size")?).context("size")?,
            how: how.parse()?,
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

    /// Logs in to the control node.
    async fn log_in(
        &self,
        tasks: &TaskTracker,
    ) -> Result<(ControlSession, mpsc::Receiver<ControlEvent>)> {
        let identity = Identity {
            key_seed: KEY_SEED,
            agent: "lab-liar".to_owned(),
            share: true,
        };
        let stop = CancellationToken::new();
        let (session, mut events) =
            ControlSession::start(self.control.clone(), identity, tasks, stop);
        let direct = vec![self.address];
        session
            .address(PeerAddress {
                direct,
                relay: None,
            })
            .await;
        match events.recv().await {
            Some(ControlEvent::Connected { .. }) => Ok((session, events)),
            other => bail!("no session: {other:?}"),
        }
    }

    /// Asks whoever it is introduced to, with a forged ticket, and says how that ends.
    async fn steal(&self, endpoint: &Endpoint, tasks: &TaskTracker) -> Result<()> {
        let (session, mut events) = self.log_in(tasks).await?;
        session.query(self.object, 1, Vec::new()).await;
        say("ready");
        let victim = loop {
            match events.recv().await.context("the session is over")? {
                ControlEvent::Introductions(named) if !named.peers.is_empty() => {
                    break named.peers.into_iter().next().context("a peer")?;
                }
                ControlEvent::Connected { .. }
                | ControlEvent::Introductions(_)
                | ControlEvent::Lost { .. } => {}
            }
        };
        let id = EndpointId::from_bytes(victim.peer.as_bytes())?;
        let direct = victim.address.direct.into_iter().map(TransportAddr::Ip);
        let address = EndpointAddr::from_parts(id, direct);
        let connection = endpoint.connect(address, ALPN).await?;
        let (mut control, _answers) = connection.open_bi().await?;
        let mut ticket = victim.ticket.to_vec();
        if let Some(last) = ticket.last_mut() {
            *last ^= 1;
        }
        let hello = self.hello(self.object, Some(ticket.into()));
        control.write_all(&encode_frame(&hello.encode())?).await?;
        let (mut send, mut receive) = connection.open_bi().await?;
        let request = RangeRequest {
            groups: GroupRange::new(0, 1),
        };
        send.write_all(&encode_frame(&request.encode())?).await?;
        let mut status = [0; 1];
        receive.read_exact(&mut status).await?;
        say(&format!("{:?}", RangeStatus::from_byte(status[0])?));
        connection.closed().await;
        Ok(())
    }

    fn hello(&self, object: ObjectId, ticket: Option<Bytes>) -> PeerMessage {
        let agent = "lab-liar".to_owned();
        PeerMessage::Hello(Hello {
            object,
            ticket,
            share: true,
            agent,
        })
    }

    /// Tells the control node that everything is here.
    async fn announce(&self, tasks: &TaskTracker) -> Result<ControlSession> {
        let (session, mut events) = self.log_in(tasks).await?;
        session.announce(self.object, true).await;
        tasks.spawn(async move { while events.recv().await.is_some() {} });
        Ok(session)
    }

    /// Greets, and answers requests until the other side has had enough.
    async fn converse(&self, connection: Connection) -> Result<()> {
        let (mut send, mut recv) = connection.accept_bi().await?;
        read_frame(&mut recv).await?;
        let object = match self.how {
            How::Other => ObjectId::new([GARBAGE; 32]),
            How::Garbage | How::Foreign | How::Stall | How::Thief => self.object,
        };
        let hello = self.hello(object, None);
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
            match self.how {
                How::Stall => promise(answer, request).await?,
                How::Foreign => substitute(answer, request, self.layout).await?,
                How::Garbage | How::Other | How::Thief => lie(answer, request).await?,
            }
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

/// Answers with the range of an object of the same size that has nothing but [`GARBAGE`] in it.
async fn substitute(mut answer: SendStream, mut request: RecvStream, layout: Layout) -> Result<()> {
    let asked = RangeRequest::decode(read_frame(&mut request).await?)?;
    let folder = tempfile::tempdir()?;
    let (path, mut outboard) = (folder.path().join("other"), tempfile::tempfile()?);
    std::fs::write(&path, vec![GARBAGE; usize::try_from(layout.size())?])?;
    let other = hash_file(&path, Some(&outboard), HashOptions::default(), &|_| ())?;
    outboard.flush()?;
    let (data, mut encoded) = (File::open(&path)?, Vec::new());
    encode_range(
        other.root,
        layout,
        asked.groups,
        &data,
        &outboard,
        &mut encoded,
    )?;
    answer.write_all(&[RangeStatus::Ok.to_byte()]).await?;
    // Whoever has had enough resets it.
    let _ = answer.write_all(&encoded).await;
    say("lied");
    Ok(())
}

/// Promises an answer, and keeps its stream open for as long as the other side likes.
async fn promise(mut answer: SendStream, mut request: RecvStream) -> Result<()> {
    read_frame(&mut request).await?;
    answer.write_all(&[RangeStatus::Ok.to_byte()]).await?;
    say("lied");
    tokio::spawn(async move {
        // Whatever ends it, it was the other side.
        let _ = answer.stopped().await;
    });
    Ok(())
}

async fn read_frame(stream: &mut RecvStream) -> Result<Bytes> {
    let mut header = [0; FRAME_HEADER_BYTES];
    stream.read_exact(&mut header).await?;
    let mut frame = vec![0; frame_length(header)?];
    stream.read_exact(&mut frame).await?;
    Ok(frame.into())
}
