//! The control stream of a link: one message a frame.

use bytes::Bytes;
use iroh::endpoint::{RecvStream, SendStream};
use peerlift_wire::frame::{FRAME_HEADER_BYTES, encode_frame, frame_length};
use peerlift_wire::peer::PeerMessage;

use super::PeerLinkError;
use super::tcp::{TcpReceiver, TcpSender};

/// Tells the peer things.
#[derive(Debug)]
pub struct FrameSender(pub(super) SenderKind);

#[derive(Debug)]
pub(super) enum SenderKind {
    Quic(SendStream),
    Tcp(TcpSender),
}

impl FrameSender {
    /// Sends a message; returns when it has a place in the send window.
    ///
    /// # Errors
    ///
    /// [`PeerLinkError::Closed`] or [`PeerLinkError::Timeout`] when nobody will read it.
    pub async fn send(&mut self, message: &PeerMessage) -> Result<(), PeerLinkError> {
        match &mut self.0 {
            SenderKind::Quic(stream) => {
                let frame = encode_frame(&message.encode())
                    .map_err(|error| PeerLinkError::Local(error.to_string()))?;
                Ok(stream.write_chunk(frame).await?)
            }
            SenderKind::Tcp(sender) => sender.send(message).await,
        }
    }
}

/// Hears what the peer tells.
#[derive(Debug)]
pub struct FrameReceiver(pub(super) ReceiverKind);

#[derive(Debug)]
pub(super) enum ReceiverKind {
    Quic(RecvStream),
    Tcp(TcpReceiver),
}

impl FrameReceiver {
    /// The next message, or `None` when the peer says no more. Not cancel-safe.
    ///
    /// # Errors
    ///
    /// [`PeerLinkError::Misbehaved`] for anything that is not a message.
    pub async fn next(&mut self) -> Result<Option<PeerMessage>, PeerLinkError> {
        match &mut self.0 {
            ReceiverKind::Quic(stream) => {
                let Some(frame) = read_frame(stream).await? else {
                    return Ok(None);
                };
                PeerMessage::decode(frame).map(Some).map_err(misbehaved)
            }
            ReceiverKind::Tcp(receiver) => receiver.next().await.map(Some),
        }
    }
}

/// The next frame's content, or `None` at the end of the stream.
pub(super) async fn read_frame(stream: &mut RecvStream) -> Result<Option<Bytes>, PeerLinkError> {
    let mut header = [0; FRAME_HEADER_BYTES];
    let Some(first) = stream.read(&mut header).await? else {
        return Ok(None);
    };
    stream.read_exact(&mut header[first..]).await?;
    let mut frame = vec![0; frame_length(header).map_err(misbehaved)?];
    stream.read_exact(&mut frame).await?;
    Ok(Some(frame.into()))
}

pub(super) fn misbehaved(error: impl std::fmt::Display) -> PeerLinkError {
    PeerLinkError::Misbehaved(error.to_string())
}
