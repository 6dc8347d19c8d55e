//! The control stream of a link: one message a frame.

use bytes::Bytes;
use iroh::endpoint::{RecvStream, SendStream};
use peerlift_wire::frame::{FRAME_HEADER_BYTES, encode_frame, frame_length};
use peerlift_wire::peer::PeerMessage;

use super::PeerLinkError;

/// Tells the peer things.
#[derive(Debug)]
pub struct FrameSender(pub(super) SendStream);

impl FrameSender {
    /// Sends a message; returns when it has a place in the send window.
    ///
    /// # Errors
    ///
    /// [`PeerLinkError::Closed`] or [`PeerLinkError::Timeout`] when nobody will read it.
    pub async fn send(&mut self, message: &PeerMessage) -> Result<(), PeerLinkError> {
        let frame = encode_frame(&message.encode())
            .map_err(|error| PeerLinkError::Local(error.to_string()))?;
        Ok(self.0.write_chunk(frame).await?)
    }
}

/// Hears what the peer tells.
#[derive(Debug)]
pub struct FrameReceiver(pub(super) RecvStream);

impl FrameReceiver {
    /// The next message, or `None` when the peer says no more. Not cancel-safe.
    ///
    /// # Errors
    ///
    /// [`PeerLinkError::Misbehaved`] for anything that is not a message.
    pub async fn next(&mut self) -> Result<Option<PeerMessage>, PeerLinkError> {
        let Some(frame) = read_frame(&mut self.0).await? else {
            return Ok(None);
        };
        PeerMessage::decode(frame).map(Some).map_err(misbehaved)
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
