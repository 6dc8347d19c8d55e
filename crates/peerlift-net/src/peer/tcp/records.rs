//! Where the records of a TLS stream end.
//!
//! What is there of a record cannot be decrypted before all of it is. On a home line a record of
//! 16 KiB comes in twelve packets, and a reader that each of them wakes finds nothing to do eleven
//! times. So the kernel is told how much is missing.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Type, version and length (RFC 8446 §5.1).
const HEADER_BYTES: usize = 5;

/// Follows a stream of records.
#[derive(Debug, Default)]
pub(super) struct Records {
    header: [u8; HEADER_BYTES],
    header_seen: usize,
    /// Of the record whose header was seen last.
    content_missing: usize,
}

impl Records {
    /// Takes note of the next bytes of the stream.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let within = bytes.len().min(self.missing());
            if self.content_missing > 0 {
                self.content_missing -= within;
            } else {
                self.follow_header(&bytes[..within]);
            }
            bytes = &bytes[within..];
        }
    }

    /// The bytes to the end of the record, or of its header while that is not whole. Never none: after
    /// a record a header is missing.
    pub(super) fn missing(&self) -> usize {
        match self.content_missing {
            0 => HEADER_BYTES - self.header_seen,
            missing => missing,
        }
    }

    fn follow_header(&mut self, bytes: &[u8]) {
        self.header[self.header_seen..][..bytes.len()].copy_from_slice(bytes);
        self.header_seen += bytes.len();
        if self.header_seen == HEADER_BYTES {
            let [.., high, low] = self.header;
            self.content_missing = u16::from_be_bytes([high, low]).into();
            self.header_seen = 0;
        }
    }
}

/// A socket whose records are followed while the handshake reads from it, which may read on.
#[derive(Debug)]
pub(super) struct Followed {
    pub(super) socket: TcpStream,
    pub(super) records: Records,
}

impl Followed {
    /// A socket from which nothing was read.
    pub(super) fn new(socket: TcpStream) -> Self {
        let records = Records::default();
        Self { socket, records }
    }
}

impl AsyncRead for Followed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(context, buffer))?;
        self.records.follow(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Followed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(content: usize) -> Vec<u8> {
        let [high, low] = u16::try_from(content).unwrap().to_be_bytes();
        [&[23, 3, 3, high, low][..], &vec![7; content]].concat()
    }

    #[test]
    fn a_record_ends_where_its_header_says_however_it_arrives() {
        let stream = [record(16_401), record(0), record(1), record(300)].concat();
        for step in [1, 2, 5, 7, 1448, stream.len()] {
            let mut records = Records::default();
            for chunk in stream.chunks(step) {
                records.follow(chunk);
            }
            assert_eq!(records.missing(), HEADER_BYTES, "in steps of {step}");
        }
    }

    #[test]
    fn what_is_missing_is_the_rest_of_the_record() {
        let stream = [record(100), record(1000)].concat();
        let cases = [
            (0, 5),
            (3, 2),
            (5, 100),
            (104, 1),
            (105, 5),
            (107, 3),
            (1109, 1),
        ];
        for (until, missing) in cases {
            let mut records = Records::default();
            records.follow(&stream[..until]);
            assert_eq!(records.missing(), missing, "after {until}");
        }
    }
}
