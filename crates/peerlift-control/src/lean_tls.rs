//! The server's side of TLS on a socket, with no buffer while nothing is said.
//!
//! rustls decides and encrypts; its unbuffered interface leaves the buffers to us. Its ordinary one
//! keeps four kibibytes a connection to read into, which is a third of all that an idle session
//! weighs. Here bytes are read onto the stack, and what is kept of them is a record that is not
//! whole yet, or that nobody has taken yet.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncryptError, InsufficientSizeError, UnbufferedStatus,
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is read at once: more than a client's longest message but a token.
const READ_BYTES: usize = 4096;

/// What may wait to become a whole record, or a whole message of a handshake (64 KiB, as rustls
/// has it) in records of its own making.
const INCOMING_BYTES_MAX: usize = 128 * 1024;

/// What is encrypted at once: a record of TLS (RFC 8446 §5.1).
const RECORD_BYTES_MAX: usize = 16 * 1024;

/// What may wait for the socket before writers have to.
const OUTGOING_BYTES_MAX: usize = 64 * 1024;

/// A TLS connection.
pub(crate) struct LeanTls<S> {
    socket: S,
    tls: UnbufferedServerConnection,
    /// Encrypted, and not processed.
    incoming: Vec<u8>,
    /// Decrypted, and not taken, from `taken` on.
    plain: Vec<u8>,
    taken: usize,
    /// Encrypted, and not sent, from `sent` on.
    outgoing: Vec<u8>,
    sent: usize,
    peer_is_done: bool,
    /// After an error nothing is processed any more.
    is_broken: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> LeanTls<S> {
    /// Does the handshake.
    ///
    /// # Errors
    ///
    /// Those of the socket; `InvalidData` where the other side breaks the protocol.
    pub(crate) async fn accept(config: Arc<ServerConfig>, socket: S) -> io::Result<Self> {
        let mut stream = Self {
            socket,
            tls: UnbufferedServerConnection::new(config).map_err(invalid)?,
            incoming: Vec::new(),
            plain: Vec::new(),
            taken: 0,
            outgoing: Vec::new(),
            sent: 0,
            peer_is_done: false,
            is_broken: false,
        };
        std::future::poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.process(cx, Wish::Read)?;
            let sent = self.poll_send(cx)?;
            if !self.tls.is_handshaking() {
                // What is left are tickets to resume by: nobody waits for those.
                return Poll::Ready(Ok(()));
            }
            ready!(sent);
            ready!(self.poll_fill_from_whom_is_there(cx))?;
        }
    }

    /// Reads all that has come. Who has said something and hung up, tired of the queue, gets no
    /// signature: that is most of what a login costs.
    fn poll_fill_from_whom_is_there(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut count = ready!(self.poll_fill(cx))?;
        while count > 0 {
            match self.poll_fill(cx)? {
                Poll::Ready(more) => count = more,
                Poll::Pending => return Poll::Ready(Ok(())),
            }
        }
        Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
    }

    /// Processes what came in; an error is told the other side as far as the socket takes it, and
    /// is the end.
    fn process(&mut self, cx: &mut Context<'_>, wish: Wish<'_>) -> io::Result<()> {
        if self.is_broken {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.advance(wish).inspect_err(|_| {
            self.is_broken = true;
            self.incoming = Vec::new();
            // Best effort: the error is what counts.
            let _ = self.alert();
            let _ = self.poll_send(cx);
        })
    }

    /// Encodes the alert that rustls has ready after an error. It is asked once and shown nothing
    /// more, as it takes a second error for a mistake of ours.
    fn alert(&mut self) -> io::Result<()> {
        let state = self.tls.process_tls_records(&mut []).state;
        let Ok(ConnectionState::EncodeTlsData(mut message)) = state else {
            return Ok(());
        };
        append(&mut self.outgoing, |room| message.encode(room))
    }

    fn advance(&mut self, wish: Wish<'_>) -> io::Result<()> {
        loop {
            let UnbufferedStatus { discard, state } =
                self.tls.process_tls_records(&mut self.incoming);
            let is_over = match state.map_err(invalid)? {
                ConnectionState::ReadTraffic(mut records) => {
                    while let Some(record) = records.next_record() {
                        self.plain
                            .extend_from_slice(record.map_err(invalid)?.payload);
                    }
                    false
                }
                ConnectionState::EncodeTlsData(mut message) => {
                    append(&mut self.outgoing, |room| message.encode(room))?;
                    false
                }
                ConnectionState::TransmitTlsData(queued) => {
                    // It goes before everything that is encrypted from here on.
                    queued.done();
                    false
                }
                ConnectionState::WriteTraffic(mut traffic) => {
                    match wish {
                        Wish::Read => {}
                        Wish::Write(bytes) => {
                            append(&mut self.outgoing, |room| traffic.encrypt(bytes, room))?;
                        }
                        Wish::Close => {
                            append(&mut self.outgoing, |room| traffic.queue_close_notify(room))?;
                        }
                    }
                    true
                }
                ConnectionState::PeerClosed => {
                    self.peer_is_done = true;
                    false
                }
                ConnectionState::BlockedHandshake | ConnectionState::Closed => match wish {
                    Wish::Read | Wish::Close => true,
                    Wish::Write(_) => return Err(io::ErrorKind::BrokenPipe.into()),
                },
                // Early data is not switched on, and rustls may have states to come.
                other @ (ConnectionState::ReadEarlyData(_) | _) => {
                    return Err(invalid(format!("unforeseen: {other:?}")));
                }
            };
            self.incoming.drain(..discard);
            if is_over {
                if self.incoming.is_empty() {
                    self.incoming = Vec::new();
                }
                return Ok(());
            }
        }
    }

    /// Reads once from the socket; gives how many bytes came.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut room = [MaybeUninit::uninit(); READ_BYTES];
        let mut room = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut self.socket).poll_read(cx, &mut room))?;
        let bytes = room.filled();
        if self.incoming.len() + bytes.len() > INCOMING_BYTES_MAX {
            return Poll::Ready(Err(invalid("a record without end")));
        }
        self.incoming.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    /// Sends all that waits.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.outgoing.len() {
            let rest = &self.outgoing[self.sent..];
            match ready!(Pin::new(&mut self.socket).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.sent += count,
            }
        }
        (self.outgoing, self.sent) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    /// Hands out what was decrypted; whether there was anything.
    fn take(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let rest = &self.plain[self.taken..];
        let count = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..count]);
        self.taken += count;
        if self.taken == self.plain.len() {
            (self.plain, self.taken) = (Vec::new(), 0);
        }
        count > 0
    }
}

/// What to do once everything that came in is processed.
#[derive(Clone, Copy)]
enum Wish<'a> {
    Read,
    Write(&'a [u8]),
    Close,
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for LeanTls<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.take(buf) || this.peer_is_done || buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            // Whatever the protocol has to say; the socket wakes us when it takes more. One that is
            // broken may have something to read all the same.
            let _ = this.poll_send(cx);
            if ready!(this.poll_fill(cx))? == 0 {
                // Without a goodbye it may have been cut off.
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            this.process(cx, Wish::Read)?;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LeanTls<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.outgoing.len() - this.sent > OUTGOING_BYTES_MAX {
            ready!(this.poll_send(cx))?;
        }
        let bytes = &buf[..buf.len().min(RECORD_BYTES_MAX)];
        this.process(cx, Wish::Write(bytes))?;
        // What the socket does not take at once goes with the next write, or a flush.
        let _ = this.poll_send(cx)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.is_broken {
            // Said once, however often it is polled: rustls knows.
            this.process(cx, Wish::Close)?;
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

/// Why something could not be put into a buffer: too little room, or never.
trait Missing {
    fn room(&self) -> Option<usize>;
}

impl Missing for EncodeError {
    fn room(&self) -> Option<usize> {
        match self {
            Self::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            Self::AlreadyEncoded => None,
        }
    }
}

impl Missing for EncryptError {
    fn room(&self) -> Option<usize> {
        match self {
            Self::InsufficientSize(InsufficientSizeError { required_size }) => Some(*required_size),
            Self::EncryptExhausted => None,
        }
    }
}

/// Appends what `put` puts: asked first how much it is.
fn append<E: Missing + std::fmt::Display>(
    buffer: &mut Vec<u8>,
    mut put: impl FnMut(&mut [u8]) -> Result<usize, E>,
) -> io::Result<()> {
    let at = buffer.len();
    let count = match put(&mut []) {
        Ok(count) => count,
        Err(error) => {
            let room = error.room().ok_or_else(|| invalid(error.to_string()))?;
            buffer.resize(at + room, 0);
            put(&mut buffer[at..]).map_err(|error| invalid(error.to_string()))?
        }
    };
    buffer.truncate(at + count);
    Ok(())
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
#[path = "lean_tls_tests.rs"]
mod tests;
