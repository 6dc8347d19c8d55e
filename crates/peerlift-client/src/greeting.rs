//! The first words on a link: both sides say which object they mean and show their ticket.

use std::time::Duration;

use bytes::Bytes;
use peerlift_model::{ObjectId, PeerId};
use peerlift_net::peer::{
    Accepting, FrameReceiver, FrameSender, Path, PeerLink, PeerLinkError, PeerNode,
};
use peerlift_wire::PeerAddress;
use peerlift_wire::peer::{Goodbye, Hello, PeerMessage};
use thiserror::Error;
use tokio::time::{Instant, interval, timeout, timeout_at};

/// How long the first words may take.
const HELLO_MAX: Duration = Duration::from_secs(10);

/// How long a stranger who is declined may take to hang up.
const DECLINE_MAX: Duration = Duration::from_secs(3);

/// How long two NATs may take to let a direct path through.
const DIRECT_MAX: Duration = Duration::from_secs(10);

/// How often the path is looked at while it is not direct.
const DIRECT_LOOK: Duration = Duration::from_millis(50);

/// A link on which the other side has said hello.
#[derive(Debug)]
pub(crate) struct Greeted {
    pub(crate) link: PeerLink,
    pub(crate) sender: FrameSender,
    pub(crate) receiver: FrameReceiver,
    pub(crate) hello: Hello,
}

/// Why there is no link.
#[derive(Debug, Error)]
pub(crate) enum GreetingError {
    #[error(transparent)]
    Link(#[from] PeerLinkError),
    #[error("the peer does not say hello")]
    NoHello,
    #[error("the peer speaks of another object")]
    OtherObject,
    #[error("there is no direct path")]
    OnlyRelayed,
    #[error("the peer says goodbye: {0:?}")]
    Goodbye(Goodbye),
    #[error("the peer is silent")]
    Silent,
}

impl GreetingError {
    /// Whether the peer has not what a control node was told that it has. A peer that cannot be
    /// reached, or has enough of others, may have it all the same.
    pub(crate) fn is_nothing_there(&self) -> bool {
        matches!(self, Self::OtherObject | Self::Goodbye(Goodbye::NotShared))
    }
}

/// Connects to a peer and exchanges hellos. The link is direct when this returns: a relay is there
/// to find the way, its operator has not agreed to carry the goods.
pub(crate) async fn dial(
    node: &PeerNode,
    peer: PeerId,
    address: &PeerAddress,
    hello: Hello,
) -> Result<Greeted, GreetingError> {
    let link = node.connect(peer, address).await?;
    let object = hello.object;
    let greeted = timeout(HELLO_MAX, say_first(link, hello)).await;
    let greeted = greeted.map_err(|_| GreetingError::Silent)??;
    if greeted.hello.object != object {
        greeted.link.close(Goodbye::Misbehaved);
        return Err(GreetingError::OtherObject);
    }
    wait_direct(greeted).await
}

/// Hears what a stranger comes for. The answer is [`answer`].
pub(crate) async fn hear(stranger: Accepting) -> Result<Greeted, GreetingError> {
    let hearing = async {
        let link = stranger.link().await?;
        let (sender, mut receiver) = link.control().await?;
        let hello = next_hello(&mut receiver).await?;
        Ok(Greeted {
            link,
            sender,
            receiver,
            hello,
        })
    };
    timeout(HELLO_MAX, hearing)
        .await
        .map_err(|_| GreetingError::Silent)?
}

/// Tells a stranger that the object is not offered here, and hangs up once that was heard.
pub(crate) async fn decline(mut greeted: Greeted) {
    let goodbye = PeerMessage::Goodbye(Goodbye::NotShared);
    if greeted.sender.send(&goodbye).await.is_ok() {
        // What is under way when a link is closed is lost.
        let _ = timeout(DECLINE_MAX, greeted.link.closed()).await;
    }
    greeted.link.close(Goodbye::NotShared);
}

/// Says hello to a stranger who is welcome.
pub(crate) async fn answer(
    mut greeted: Greeted,
    object: ObjectId,
    ticket: Option<Bytes>,
    agent: &str,
) -> Result<Greeted, GreetingError> {
    let hello = Hello {
        object,
        ticket,
        share: true,
        agent: agent.to_owned(),
    };
    greeted.sender.send(&PeerMessage::Hello(hello)).await?;
    wait_direct(greeted).await
}

async fn say_first(link: PeerLink, hello: Hello) -> Result<Greeted, GreetingError> {
    let (mut sender, mut receiver) = link.control().await?;
    sender.send(&PeerMessage::Hello(hello)).await?;
    let hello = next_hello(&mut receiver).await?;
    Ok(Greeted {
        link,
        sender,
        receiver,
        hello,
    })
}

async fn next_hello(receiver: &mut FrameReceiver) -> Result<Hello, GreetingError> {
    match receiver.next().await? {
        Some(PeerMessage::Hello(hello)) => Ok(hello),
        Some(PeerMessage::Goodbye(reason)) => Err(GreetingError::Goodbye(reason)),
        Some(
            PeerMessage::HaveMap(_)
            | PeerMessage::HaveDelta(_)
            | PeerMessage::Pledge(_)
            | PeerMessage::FairShare(_)
            | PeerMessage::Choke
            | PeerMessage::Unchoke
            | PeerMessage::Ticket(_),
        )
        | None => Err(GreetingError::NoHello),
    }
}

async fn wait_direct(greeted: Greeted) -> Result<Greeted, GreetingError> {
    let due = Instant::now() + DIRECT_MAX;
    let mut look = interval(DIRECT_LOOK);
    while greeted.link.path() != Path::Direct {
        if timeout_at(due, look.tick()).await.is_err() {
            greeted.link.close(Goodbye::Leaving);
            return Err(GreetingError::OnlyRelayed);
        }
    }
    Ok(greeted)
}
