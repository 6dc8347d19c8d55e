//! A peer that does not mean well, for the lab's `poison` scenarios.
//!
//! It speaks the protocols well: it logs in to the control node, announces the object as
//! complete and greets whoever comes. It shares no code with a real peer beyond the messages
//! themselves. What it does then is the last word of its command line:
//!
//! * `garbage`: answers every request at once, with bytes that prove nothing;
//! * `foreign`: answers with bytes of another object, with proofs that are right for that one;
//! * `sleeper`: answers truly until so many bytes are out, then as `garbage` does;
//! * `tail`: answers truly, but for the last group of every answer;
//! * `drip`: answers truly, one group every two seconds;
//! * `stall`: promises every answer and sends nothing more;
//! * `silent`: does not even promise;
//! * `other`: greets everybody with another object's name;
//! * `thief`: announces nothing, dials the peers it is introduced to, and asks them for the object
//!   with a ticket that nobody signed.
//!
//! usage: `lab-liar CONTROL_URL ADDRESS:PORT FILE HOW`, FILE being the object. It prints `ready`
//! when the control node knows it, `lied` for each answer, and as a thief the status of the answer
//! it got. It ends when it is told to.
//!
//! Here are the conversations; what an answer looks like is in `answer.rs`.

mod answer;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use iroh::endpoint::{Connection, presets};
use iroh::{Endpoint, EndpointAddr, EndpointId, RelayMode, SecretKey, TransportAddr};
use peerlift_model::{GroupRange, GroupSet, Layout, ObjectId};
use peerlift_net::control::{ControlEvent, ControlSession, Identity};
use peerlift_wire::PeerAddress;
use peerlift_wire::frame::encode_frame;
use peerlift_wire::peer::{ALPN, Hello, PeerMessage, RangeRequest, RangeStatus};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::answer::{Answerer, Book, GARBAGE, Lie, read_frame};

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
    answerer: Answerer,
}

/// What it does to others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Answer(Lie),
    Other,
    Thief,
}

impl std::str::FromStr for How {
    type Err = anyhow::Error;

    fn from_str(word: &str) -> Result<Self> {
        Ok(Self::Answer(match word {
            "garbage" => Lie::Garbage,
            "foreign" => Lie::Foreign,
            "sleeper" => Lie::Sleeper,
            "tail" => Lie::Tail,
            "drip" => Lie::Drip,
            "stall" => Lie::Stall,
            "silent" => Lie::Silent,
            "other" => return Ok(Self::Other),
            "thief" => return Ok(Self::Thief),
            _ => bail!("{word}: no way to lie"),
        }))
    }
}

impl Liar {
    fn from_arguments() -> Result<Self> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let [control, address, file, how] = words.as_slice() else {
            bail!("usage: lab-liar CONTROL_URL ADDRESS:PORT FILE HOW");
        };
        let how = how.parse()?;
        let lie = match how {
            How::Answer(lie) => lie,
            How::Other | How::Thief => Lie::Garbage,
        };
        let truth = Book::open(Path::new(file)).context("the object")?;
        Ok(Self {
            control: control.parse().context("control URL")?,
            address: address.parse().context("address")?,
            object: truth.root,
            layout: truth.layout,
            how,
            answerer: Answerer::new(lie, truth)?,
        })
    }

    /// The seed of its key: every address has another. It has nothing to hide.
    fn key_seed(&self) -> [u8; 32] {
        let mut seed = [0x11; 32];
        let address = self.address.to_string();
        for (place, letter) in seed.iter_mut().zip(address.bytes()) {
            *place = letter;
        }
        seed
    }

    async fn endpoint(&self) -> Result<Endpoint> {
        Endpoint::builder(presets::Minimal)
            .secret_key(SecretKey::from_bytes(&self.key_seed()))
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
            key_seed: self.key_seed(),
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
                tcp_port: None,
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
                | ControlEvent::Blocked { .. }
                | ControlEvent::BlockList(_)
                | ControlEvent::TicketKeys { .. }
                | ControlEvent::Denied { .. }
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
        let request = RangeRequest::whole(GroupRange::new(0, 1));
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
            How::Answer(_) | How::Thief => self.object,
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
            self.answerer.answer(answer, request).await?;
        }
    }
}
