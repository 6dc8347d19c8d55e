//! The bytes of a file as the body of an answer.
//!
//! Read in steps of 256 KiB into buffers that are used again, and handed to the socket without
//! another copy. What is in the page cache is read where we are (`preadv2(2)` with `RWF_NOWAIT`);
//! only what must come from the disk goes to a thread that may wait for it.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use peerlift_model::ByteRange;
use rustix::io::{Errno, ReadWriteFlags};
use tokio::task::JoinHandle;

/// Bytes read and written at a time: a loopback or 10 Gbit/s socket takes as many at once, and a
/// system call is then a hundredth of the copy.
const STEP_BYTES: usize = 256 * 1024;

/// Buffers kept for the next answer: 16 MiB.
const SPARE_MAX: usize = 64;

/// Buffers waiting to be used again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool(Arc<Mutex<Vec<Vec<u8>>>>);

impl Pool {
    fn take(&self) -> Buffer {
        let spare = self
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .pop();
        Buffer {
            bytes: spare.unwrap_or_else(|| vec![0; STEP_BYTES]),
            length: 0,
            pool: self.clone(),
        }
    }
}

/// A buffer that returns to its pool.
#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    length: usize,
    pool: Pool,
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut spare = self
            .pool
            .0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if spare.len() < SPARE_MAX {
            spare.push(std::mem::take(&mut self.bytes));
        }
    }
}

/// Parts of a file, each after some bytes of framing; then a last piece of framing.
#[derive(Debug)]
pub(crate) struct FileBody {
    file: Arc<File>,
    pool: Pool,
    /// What is still to come, last first.
    pieces: Vec<Piece>,
    left: u64,
    reading: Option<JoinHandle<io::Result<Buffer>>>,
}

/// A stretch of the body.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// Bytes of the file.
    File(ByteRange),
    /// Framing between parts.
    Framing(Bytes),
}

impl FileBody {
    /// A body of these pieces, in order.
    pub(crate) fn new(file: Arc<File>, pool: Pool, mut pieces: Vec<Piece>) -> Self {
        let length = |piece: &Piece| match piece {
            Piece::File(range) => range.len(),
            Piece::Framing(bytes) => bytes.len() as u64,
        };
        let left = pieces.iter().map(length).sum();
        pieces.reverse();
        Self {
            file,
            pool,
            pieces,
            left,
            reading: None,
        }
    }

    /// The whole length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.left
    }

    fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        range: ByteRange,
    ) -> Poll<io::Result<Option<Bytes>>> {
        let step = ByteRange::new(
            range.start(),
            range.end().min(range.start() + STEP_BYTES as u64),
        );
        let read = match self.reading.take() {
            Some(mut reading) => match Pin::new(&mut reading).poll(cx) {
                Poll::Ready(done) => done.map_err(io::Error::other)?,
                Poll::Pending => {
                    self.reading = Some(reading);
                    return Poll::Pending;
                }
            },
            None => match read_cached(&self.file, self.pool.take(), step) {
                Ok(buffer) => Ok(buffer),
                Err(WouldWait) => {
                    let (file, buffer) = (Arc::clone(&self.file), self.pool.take());
                    let reading =
                        tokio::task::spawn_blocking(move || read_waiting(&file, buffer, step));
                    self.reading = Some(reading);
                    return self.poll_step(cx, range);
                }
            },
        };
        let buffer = read?;
        let at = range.start() + buffer.length as u64;
        if at < range.end() {
            self.pieces
                .push(Piece::File(ByteRange::new(at, range.end())));
        }
        Poll::Ready(Ok(Some(Bytes::from_owner(buffer))))
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let bytes = match self.pieces.pop() {
            None => return Poll::Ready(None),
            Some(Piece::Framing(bytes)) => bytes,
            Some(Piece::File(range)) => match self.poll_step(cx, range) {
                Poll::Pending => {
                    self.pieces.push(Piece::File(range));
                    return Poll::Pending;
                }
                ready_now => match ready!(ready_now) {
                    Ok(Some(bytes)) => bytes,
                    Ok(None) => return Poll::Ready(None),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                },
            },
        };
        self.left -= bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// The bytes are not in the page cache, or the file system cannot tell.
struct WouldWait;

fn read_cached(file: &File, mut buffer: Buffer, range: ByteRange) -> Result<Buffer, WouldWait> {
    let length = usize::try_from(range.len())
        .unwrap_or(usize::MAX)
        .min(STEP_BYTES);
    let mut slices = [IoSliceMut::new(&mut buffer.bytes[..length])];
    match rustix::io::preadv2(file, &mut slices, range.start(), ReadWriteFlags::NOWAIT) {
        Ok(0) | Err(_) => Err(WouldWait),
        Ok(read) => {
            buffer.length = read;
            Ok(buffer)
        }
    }
}

fn read_waiting(file: &File, mut buffer: Buffer, range: ByteRange) -> io::Result<Buffer> {
    let length = usize::try_from(range.len())
        .unwrap_or(usize::MAX)
        .min(STEP_BYTES);
    loop {
        match rustix::io::pread(file, &mut buffer.bytes[..length], range.start()) {
            // The length was promised; the connection must break rather than pad.
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                buffer.length = read;
                return Ok(buffer);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
