//! Requests and their answers. Over QUIC each has a bidirectional stream, opened by the side that
//! wants the range; over TCP it has a number.

use bytes::Bytes;
use iroh::endpoint::{RecvStream, SendStream, VarInt};
use peerlift_wire::frame::encode_frame;
use peerlift_wire::parcel::DATA_BYTES_USUAL;
use peerlift_wire::peer::{RangeRequest, RangeStatus};

use super::PeerLinkError;
use super::frames::{misbehaved, read_frame};
use super::tcp::{TcpAnswer, TcpAsked, TcpLink, TcpReply};

/// The code with which a stream is given up by the side that reads or writes it.
const GIVEN_UP: VarInt = VarInt::from_u32(1);

/// The answer to a request, as it arrives. Dropping it tells the peer to stop sending.
#[derive(Debug)]
pub struct RangeAnswer {
    stream: AnswerKind,
    status: RangeStatus,
}

#[derive(Debug)]
enum AnswerKind {
    Quic(RecvStream),
    Tcp(TcpAnswer),
}

impl AnswerKind {
    async fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), PeerLinkError> {
        match self {
            Self::Quic(stream) => Ok(stream.read_exact(buffer).await?),
            Self::Tcp(answer) => answer.read_exact(buffer).await,
        }
    }
}

impl RangeAnswer {
    /// Puts a request and waits for the first byte of its answer.
    pub(super) async fn over_quic(
        request: RangeRequest,
        (mut send, stream): (SendStream, RecvStream),
    ) -> Result<Self, PeerLinkError> {
        let frame = encode_frame(&request.encode())
            .map_err(|error| PeerLinkError::Local(error.to_string()))?;
        send.write_chunk(frame).await?;
        // Fails only when the peer has already answered and stopped listening.
        let _ = send.finish();
        Self::begin(request, AnswerKind::Quic(stream)).await
    }

    /// Puts a request and waits for the first byte of its answer.
    pub(super) async fn over_tcp(
        request: RangeRequest,
        link: &TcpLink,
    ) -> Result<Self, PeerLinkError> {
        Self::begin(request, AnswerKind::Tcp(link.ask(request).await?)).await
    }

    async fn begin(request: RangeRequest, mut stream: AnswerKind) -> Result<Self, PeerLinkError> {
        let mut byte = [0; 1];
        stream.read_exact(&mut byte).await?;
        let status = RangeStatus::from_byte(byte[0]).map_err(misbehaved)?;
        if status == RangeStatus::OkFromHeight && request.granted() != status {
            return Err(misbehaved("a proof that leaves out what has to be sent"));
        }
        Ok(Self { stream, status })
    }

    /// Whether the range follows, and with what of its proof.
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
        self.stream.read_exact(buffer).await
    }

    /// Everything that was wanted is here. The peer is not told to stop what it has ended.
    pub fn done(self) {
        match self.stream {
            // A stream that is given up after its last byte costs nothing.
            AnswerKind::Quic(_) => {}
            AnswerKind::Tcp(answer) => answer.done(),
        }
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
        let reply = Reply(ReplyKind::Quic(QuicReply {
            stream: send,
            finished: false,
        }));
        let frame = read_frame(&mut receive).await?;
        let frame = frame.ok_or_else(|| misbehaved("a request stream without a request"))?;
        let request = RangeRequest::decode(frame).map_err(misbehaved)?;
        Ok(Self { request, reply })
    }
}

impl From<TcpAsked> for Asked {
    fn from(TcpAsked { request, reply }: TcpAsked) -> Self {
        let reply = Reply(ReplyKind::Tcp(reply));
        Self { request, reply }
    }
}

/// The answer to a request of the peer. Dropped before its end, it tells the peer so, who does not
/// take what it has for the whole then.
#[derive(Debug)]
pub struct Reply(ReplyKind);

#[derive(Debug)]
enum ReplyKind {
    Quic(QuicReply),
    Tcp(TcpReply),
}

impl Reply {
    /// Answers with a status that says why not, and nothing else.
    ///
    /// # Errors
    ///
    /// [`PeerLinkError::Closed`] when the peer no longer wants it.
    pub async fn refuse(mut self, status: RangeStatus) -> Result<(), PeerLinkError> {
        self.begin(status).await?;
        self.finish().await
    }

    /// Promises the range, from the height that `request` says: it is the one that is answered.
    ///
    /// # Errors
    ///
    /// [`PeerLinkError::Closed`] when the peer no longer wants it.
    pub async fn accept(&mut self, request: RangeRequest) -> Result<(), PeerLinkError> {
        self.begin(request.granted()).await
    }

    /// Sends the next bytes of the encoded range; returns when they have a place in the send
    /// window. Pieces of [`REPLY_BYTES_USUAL`] are the cheapest.
    ///
    /// # Errors
    ///
    /// [`PeerLinkError::Closed`] when the peer no longer wants them.
    pub async fn send(&mut self, bytes: Bytes) -> Result<(), PeerLinkError> {
        match &mut self.0 {
            ReplyKind::Quic(reply) => Ok(reply.stream.write_chunk(bytes).await?),
            ReplyKind::Tcp(reply) => reply.send(bytes).await,
        }
    }

    /// Ends the answer.
    ///
    /// # Errors
    ///
    /// [`PeerLinkError::Closed`] when the peer no longer wants it.
    pub async fn finish(self) -> Result<(), PeerLinkError> {
        match self.0 {
            ReplyKind::Quic(reply) => reply.finish(),
            ReplyKind::Tcp(reply) => reply.finish().await,
        }
    }

    async fn begin(&mut self, status: RangeStatus) -> Result<(), PeerLinkError> {
        self.send(Bytes::copy_from_slice(&[status.to_byte()])).await
    }
}

/// A part of an answer that is sent without waste whatever carries it: two TLS records.
pub const REPLY_BYTES_USUAL: usize = 2 * DATA_BYTES_USUAL;

#[derive(Debug)]
struct QuicReply {
    stream: SendStream,
    finished: bool,
}

impl QuicReply {
    fn finish(mut self) -> Result<(), PeerLinkError> {
        self.finished = true;
        self.stream.finish().map_err(|_| PeerLinkError::Closed)
    }
}

impl Drop for QuicReply {
    fn drop(&mut self) {
        if !self.finished {
            // Fails only when the peer has already given up.
            let _ = self.stream.reset(GIVEN_UP);
        }
    }
}
