//! Request streams: one bidirectional stream a range, opened by the side that wants it.

use bytes::Bytes;
use iroh::endpoint::{RecvStream, SendStream, VarInt};
use peerlift_wire::frame::encode_frame;
use peerlift_wire::peer::{RangeRequest, RangeStatus};

use super::PeerLinkError;
use super::frames::{misbehaved, read_frame};

/// The code with which a stream is given up by the side that reads or writes it.
const GIVEN_UP: VarInt = VarInt::from_u32(1);

/// The answer to a request, as it arrives. Dropping it tells the peer to stop sending.
#[derive(Debug)]
pub struct RangeAnswer {
    stream: RecvStream,
    status: RangeStatus,
}

impl RangeAnswer {
    /// Puts a request and waits for the first byte of its answer.
    pub(super) async fn to(
        request: RangeRequest,
        (mut send, mut stream): (SendStream, RecvStream),
    ) -> Result<Self, PeerLinkError> {
        let frame = encode_frame(&request.encode())
            .map_err(|error| PeerLinkError::Local(error.to_string()))?;
        send.write_chunk(frame).await?;
        // Fails only when the peer has already answered and stopped listening.
        let _ = send.finish();
        let mut byte = [0; 1];
        stream.read_exact(&mut byte).await?;
        let status = RangeStatus::from_byte(byte[0]).map_err(misbehaved)?;
        Ok(Self { stream, status })
    }

    /// Whether the range follows.
    #[must_use]
    pub fn status(&self) -> RangeStatus {
        self.status
    }

    /// Fills the buffer with the next bytes of the encoded range.
    ///
    /// # Errors
    ///
    /// [`PeerLinkError::Misbehaved`] when the stream ends before.
    pub async fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), PeerLinkError> {
        Ok(self.stream.read_exact(buffer).await?)
    }
}

/// A request of the peer.
#[derive(Debug)]
pub struct Asked {
    /// What it wants.
    pub request: RangeRequest,
    /// Where the answer goes.
    pub reply: Reply,
}

impl Asked {
    /// Reads the request of a stream that the peer opened.
    pub(super) async fn read(
        (send, mut receive): (SendStream, RecvStream),
    ) -> Result<Self, PeerLinkError> {
        let reply = Reply {
            stream: send,
            finished: false,
        };
        let frame = read_frame(&mut receive).await?;
        let frame = frame.ok_or_else(|| misbehaved("a request stream without a request"))?;
        let request = RangeRequest::decode(frame).map_err(misbehaved)?;
        Ok(Self { request, reply })
    }
}

/// The answer to a request of the peer. Dropped before its end, it resets the stream, so that the
/// peer does not take what it has for the whole.
#[derive(Debug)]
pub struct Reply {
    stream: SendStream,
    finished: bool,
}

impl Reply {
    /// Answers with a status other than [`RangeStatus::Ok`], and nothing else.
    ///
    /// # Errors
    ///
    /// [`PeerLinkError::Closed`] when the peer no longer wants it.
    pub async fn refuse(mut self, status: RangeStatus) -> Result<(), PeerLinkError> {
        self.stream.write_all(&[status.to_byte()]).await?;
        self.finish()
    }

    /// Promises the range.
    ///
    /// # Errors
    ///
    /// [`PeerLinkError::Closed`] when the peer no longer wants it.
    pub async fn accept(&mut self) -> Result<(), PeerLinkError> {
        Ok(self.stream.write_all(&[RangeStatus::Ok.to_byte()]).await?)
    }

    /// Sends the next bytes of the encoded range; returns when they have a place in the send
    /// window.
    ///
    /// # Errors
    ///
    /// [`PeerLinkError::Closed`] when the peer no longer wants them.
    pub async fn send(&mut self, bytes: Bytes) -> Result<(), PeerLinkError> {
        Ok(self.stream.write_chunk(bytes).await?)
    }

    /// Ends the answer.
    ///
    /// # Errors
    ///
    /// [`PeerLinkError::Closed`] when the peer no longer wants it.
    pub fn finish(mut self) -> Result<(), PeerLinkError> {
        self.finished = true;
        self.stream.finish().map_err(|_| PeerLinkError::Closed)
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.finished {
            // Fails only when the peer has already given up.
            let _ = self.stream.reset(GIVEN_UP);
        }
    }
}
