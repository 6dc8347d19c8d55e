//! Frames on a stream of bytes: a big-endian 32-bit length, then so many bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use thiserror::Error;

/// The longest frame: a message of 6,144 runs, gap and length of five bytes each, fits.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// Bytes of the length before a frame.
pub const FRAME_HEADER_BYTES: usize = 4;

/// A frame longer than [`FRAME_BYTES_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a frame of {0} bytes is too long")]
pub struct FrameTooLong(pub usize);

/// Puts a message into a frame.
///
/// # Errors
///
/// [`FrameTooLong`] when nobody would take it.
pub fn encode_frame(message: &[u8]) -> Result<Bytes, FrameTooLong> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    if message.len() > FRAME_BYTES_MAX {
        return Err(FrameTooLong(message.len()));
    }
    let mut frame = BytesMut::with_capacity(FRAME_HEADER_BYTES + message.len());
    frame.put_u32(length);
    frame.put_slice(message);
    Ok(frame.freeze())
}

/// The length that a frame's header announces.
///
/// # Errors
///
/// [`FrameTooLong`].
pub fn frame_length(header: [u8; FRAME_HEADER_BYTES]) -> Result<usize, FrameTooLong> {
    let length = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        Err(FrameTooLong(length))
    } else {
        Ok(length)
    }
}

/// Finds the frames in a stream that arrives in pieces.
#[derive(Debug, Default)]
pub struct FrameDecoder {
    buffer: BytesMut,
}

impl FrameDecoder {
    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame's content, when it is there.
    ///
    /// # Errors
    ///
    /// [`FrameTooLong`] as soon as the header is there; the stream is of no use then.
    pub fn next_frame(&mut self) -> Result<Option<Bytes>, FrameTooLong> {
        let Some(header) = self.buffer.first_chunk() else {
            return Ok(None);
        };
        let length = frame_length(*header)?;
        if self.buffer.len() < FRAME_HEADER_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(FRAME_HEADER_BYTES);
        Ok(Some(self.buffer.split_to(length).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let stream = [encode_frame(b"one").unwrap(), encode_frame(b"").unwrap()].concat();
        for step in 1..=stream.len() {
            let (mut decoder, mut frames) = (FrameDecoder::default(), Vec::new());
            for chunk in stream.chunks(step) {
                decoder.push(chunk);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    frames.push(frame);
                }
            }
            assert_eq!(frames, [&b"one"[..], b""], "in steps of {step}");
        }
    }

    #[test]
    fn a_long_frame_is_refused_by_its_header() {
        let mut decoder = FrameDecoder::default();
        decoder.push(&u32::try_from(FRAME_BYTES_MAX + 1).unwrap().to_be_bytes());
        assert_eq!(decoder.next_frame(), Err(FrameTooLong(FRAME_BYTES_MAX + 1)));
        assert!(encode_frame(&vec![0; FRAME_BYTES_MAX + 1]).is_err());
    }
}
