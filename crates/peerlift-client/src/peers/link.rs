//! One link: what is kept of it, and the tasks that write and read on it.

use std::sync::Arc;

use peerlift_net::peer::{Asked, FrameReceiver, FrameSender, PeerLink, PeerLinkError};
use peerlift_swarm::SourceId;
use peerlift_wire::peer::PeerMessage;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::context::{Context, Input};

#[derive(Debug)]
pub(super) struct Link {
    pub(super) link: PeerLink,
    pub(super) frames: mpsc::Sender<PeerMessage>,
    /// Whether it has shown a ticket that lets it ask us.
    pub(super) admitted: bool,
    pub(super) stop: CancellationToken,
}

/// News of one link.
#[derive(Debug)]
pub(crate) enum LinkEvent {
    /// The peer says something.
    Message(PeerMessage),
    /// The peer asks for a range.
    Asked(Asked),
    /// The link is over.
    Down(Option<PeerLinkError>),
}

/// The three tasks of a link: one writes frames, one reads them, one hears requests. When one
/// ends, all do.
pub(super) fn spawn_link(
    source: SourceId,
    link: &PeerLink,
    (mut sender, mut frames): (FrameSender, mpsc::Receiver<PeerMessage>),
    mut receiver: FrameReceiver,
    stop: &CancellationToken,
    context: &Arc<Context>,
    tasks: &mut JoinSet<()>,
) {
    let write = async move {
        while let Some(message) = frames.recv().await {
            sender.send(&message).await?;
        }
        Ok(())
    };
    let tell = {
        let context = Arc::clone(context);
        move |event| {
            let context = Arc::clone(&context);
            async move { context.tell(Input::Link { source, event }).await }
        }
    };
    let (heard, asked_for) = (tell.clone(), tell.clone());
    let read = async move {
        while let Some(message) = receiver.next().await? {
            heard(LinkEvent::Message(message)).await;
        }
        Ok(())
    };
    let requests = link.clone();
    let listen = async move {
        loop {
            asked_for(LinkEvent::Asked(requests.asked().await?)).await;
        }
    };
    let stop = stop.clone();
    let context = Arc::clone(context);
    tasks.spawn(async move {
        let first_end = async {
            tokio::select! {
                end = write => end,
                end = read => end,
                end = listen => end,
            }
        };
        let end: Option<Result<(), PeerLinkError>> = stop.run_until_cancelled(first_end).await;
        let event = LinkEvent::Down(end.and_then(Result::err));
        context.tell(Input::Link { source, event }).await;
    });
}
