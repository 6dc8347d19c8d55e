//! The handles of a link over TCP.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::{Buf, Bytes};
use peerlift_model::PeerId;
use peerlift_wire::frame::FRAME_BYTES_MAX;
use peerlift_wire::parcel::{DATA_BYTES_USUAL, Parcel, RequestNumber};
use peerlift_wire::peer::{PeerMessage, RangeRequest};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::inbox::{PARTS_SPARE, Part};
use crate::peer::PeerLinkError;

/// What a handle wants of the driver.
#[derive(Debug)]
pub(super) enum Order {
    /// To send this.
    Send(Bytes),
    /// To put a request and pass on its answer.
    Ask(RequestNumber, RangeRequest, mpsc::Sender<Part>),
}

/// The end of something, which overtakes what waits to be sent.
#[derive(Debug)]
pub(super) enum Over {
    /// We no longer want the answer to our request.
    Stop(RequestNumber),
    /// Our answer stays unfinished.
    GiveUp(RequestNumber),
}

/// A part of an answer on its way out.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) number: RequestNumber,
    /// `None`: the answer is whole.
    pub(super) bytes: Option<Bytes>,
}

/// A request of the peer.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) number: RequestNumber,
    pub(super) request: RangeRequest,
    /// Cancelled when the peer no longer wants an answer.
    pub(super) stopped: CancellationToken,
}

/// How a link ended.
#[derive(Debug, Default)]
pub(super) struct End {
    error: OnceLock<PeerLinkError>,
    over: CancellationToken,
}

impl End {
    pub(super) fn set(&self, error: PeerLinkError) {
        // The first reason counts.
        let _ = self.error.set(error);
        self.over.cancel();
    }

    fn error(&self) -> PeerLinkError {
        self.error.get().cloned().unwrap_or(PeerLinkError::Closed)
    }
}

/// The handles' side of everything that the driver holds the other end of.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) peer: PeerId,
    pub(super) rtt: Duration,
    /// Our address and the peer's, where the system knows them.
    pub(super) addresses: Option<(SocketAddr, SocketAddr)>,
    pub(super) orders: mpsc::Sender<Order>,
    pub(super) data: mpsc::Sender<Outgoing>,
    /// Unbounded by type; each request of either side gives at most one.
    pub(super) over: mpsc::UnboundedSender<Over>,
    pub(super) questions: tokio::sync::Mutex<mpsc::Receiver<Question>>,
    pub(super) messages: Mutex<Option<mpsc::Receiver<PeerMessage>>>,
    pub(super) next_number: Arc<AtomicU32>,
    pub(super) closing: CancellationToken,
    pub(super) end: Arc<End>,
}

/// A link over TCP. Clones are the same link; it ends when the last handle goes.
#[derive(Clone, Debug)]
pub(in crate::peer) struct TcpLink(pub(super) Arc<Shared>);

impl TcpLink {
    pub(in crate::peer) fn peer(&self) -> PeerId {
        self.0.peer
    }

    pub(in crate::peer) fn rtt(&self) -> Duration {
        self.0.rtt
    }

    pub(in crate::peer) fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.0.addresses
    }

    /// The control stream; only once.
    pub(in crate::peer) fn control(&self) -> Result<(TcpSender, TcpReceiver), PeerLinkError> {
        let messages = self.0.messages.lock().unwrap_or_else(|e| e.into_inner());
        let messages = { messages }.take().ok_or(PeerLinkError::Closed)?;
        let link = self.clone();
        Ok((TcpSender(self.clone()), TcpReceiver { link, messages }))
    }

    pub(in crate::peer) async fn ask(
        &self,
        request: RangeRequest,
    ) -> Result<TcpAnswer, PeerLinkError> {
        let number = self.0.next_number.fetch_add(1, Ordering::Relaxed);
        let (reader, parts) = mpsc::channel(request.groups.len() as usize + PARTS_SPARE);
        let order = Order::Ask(number, request, reader);
        self.0.orders.send(order).await.map_err(|_| self.error())?;
        Ok(TcpAnswer {
            link: self.clone(),
            number,
            parts,
            part: Bytes::new(),
            whole: false,
        })
    }

    pub(in crate::peer) async fn asked(&self) -> Result<TcpAsked, PeerLinkError> {
        let question = self.0.questions.lock().await.recv().await;
        let question = question.ok_or_else(|| self.error())?;
        let reply = TcpReply {
            link: self.clone(),
            number: question.number,
            stopped: question.stopped,
            finished: false,
        };
        Ok(TcpAsked {
            request: question.request,
            reply,
        })
    }

    pub(in crate::peer) fn close(&self) {
        self.0.closing.cancel();
    }

    pub(in crate::peer) async fn closed(&self) -> PeerLinkError {
        self.0.end.over.cancelled().await;
        self.error()
    }

    fn error(&self) -> PeerLinkError {
        self.0.end.error()
    }
}

/// The way out of the control stream.
#[derive(Debug)]
pub(in crate::peer) struct TcpSender(TcpLink);

impl TcpSender {
    pub(in crate::peer) async fn send(&self, message: &PeerMessage) -> Result<(), PeerLinkError> {
        let parcel = Parcel::Control(message.clone());
        let encoded = message.encode();
        if encoded.len() > FRAME_BYTES_MAX {
            let text = format!("a message of {} bytes is too long", encoded.len());
            return Err(PeerLinkError::Local(text));
        }
        let order = Order::Send(parcel.encode());
        let sent = self.0.0.orders.send(order).await;
        sent.map_err(|_| self.0.error())
    }
}

/// The way in of the control stream.
#[derive(Debug)]
pub(in crate::peer) struct TcpReceiver {
    link: TcpLink,
    messages: mpsc::Receiver<PeerMessage>,
}

impl TcpReceiver {
    pub(in crate::peer) async fn next(&mut self) -> Result<PeerMessage, PeerLinkError> {
        let message = self.messages.recv().await;
        message.ok_or_else(|| self.link.error())
    }
}

/// The answer to a request. Dropped before its end, it stops the peer.
#[derive(Debug)]
pub(in crate::peer) struct TcpAnswer {
    link: TcpLink,
    number: RequestNumber,
    parts: mpsc::Receiver<Part>,
    part: Bytes,
    whole: bool,
}

impl TcpAnswer {
    pub(in crate::peer) async fn read_exact(
        &mut self,
        mut buffer: &mut [u8],
    ) -> Result<(), PeerLinkError> {
        while !buffer.is_empty() {
            if self.part.is_empty() {
                self.part = self.next_part().await?;
            }
            let (now, later) = buffer.split_at_mut(self.part.len().min(buffer.len()));
            self.part.copy_to_slice(now);
            buffer = later;
        }
        Ok(())
    }

    /// Everything that was wanted is here; the end needs no waiting for.
    pub(in crate::peer) fn done(mut self) {
        self.whole = true;
    }

    async fn next_part(&mut self) -> Result<Bytes, PeerLinkError> {
        let too_early = || PeerLinkError::Misbehaved("the stream ends too early".to_owned());
        if self.whole {
            return Err(too_early());
        }
        match self.parts.recv().await {
            Some(Part::Data(bytes)) => Ok(bytes),
            Some(Part::End) => {
                self.whole = true;
                Err(too_early())
            }
            // Given up by the peer, or lost with the link.
            None => Err(self.link.error()),
        }
    }
}

impl Drop for TcpAnswer {
    fn drop(&mut self) {
        if !self.whole {
            // Fails only when the link is over.
            let _ = self.link.0.over.send(Over::Stop(self.number));
        }
    }
}

/// A request of the peer.
#[derive(Debug)]
pub(in crate::peer) struct TcpAsked {
    pub(in crate::peer) request: RangeRequest,
    pub(in crate::peer) reply: TcpReply,
}

/// The answer to a request of the peer. Dropped before its end, the peer is told.
#[derive(Debug)]
pub(in crate::peer) struct TcpReply {
    link: TcpLink,
    number: RequestNumber,
    stopped: CancellationToken,
    finished: bool,
}

impl TcpReply {
    pub(in crate::peer) async fn send(&self, mut bytes: Bytes) -> Result<(), PeerLinkError> {
        while !bytes.is_empty() {
            let part = bytes.split_to(bytes.len().min(DATA_BYTES_USUAL));
            self.put(Some(part)).await?;
        }
        Ok(())
    }

    pub(in crate::peer) async fn finish(mut self) -> Result<(), PeerLinkError> {
        self.put(None).await?;
        self.finished = true;
        Ok(())
    }

    async fn put(&self, bytes: Option<Bytes>) -> Result<(), PeerLinkError> {
        let number = self.number;
        let outgoing = Outgoing { number, bytes };
        tokio::select! {
            biased;
            () = self.stopped.cancelled() => Err(self.link.error()),
            sent = self.link.0.data.send(outgoing) => sent.map_err(|_| self.link.error()),
        }
    }
}

impl Drop for TcpReply {
    fn drop(&mut self) {
        if !self.finished {
            // Fails only when the link is over.
            let _ = self.link.0.over.send(Over::GiveUp(self.number));
        }
    }
}
