//! Parcels: what the one stream of a TCP link is cut into.
//!
//! QUIC gives every request a stream of its own; over TCP, parcels of the control stream and of all
//! answers take turns. A parcel has a header of eight bytes: its kind, the length of what follows
//! in 24 bits, and the number of the request it belongs to in 32 bits, big-endian both.
//!
//! Each side numbers its own requests upward. Which side's number is meant follows from the kind,
//! so the two never get mixed up.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::WireError;
use crate::error::malformed;
use crate::frame::FRAME_BYTES_MAX;
use crate::peer::{PeerMessage, RangeRequest};

/// Bytes before the content of a parcel.
pub const PARCEL_HEADER_BYTES: usize = 8;

/// The longest part of an answer in one parcel that is taken.
pub const DATA_BYTES_MAX: usize = 64 * 1024;

/// The part of an answer that is put into one parcel: with its header it fills a TLS record
/// (RFC 8446 §5.1) exactly, so that a record is a parcel and can be passed on when it is there.
pub const DATA_BYTES_USUAL: usize = (1 << 14) - PARCEL_HEADER_BYTES;

/// The longest request that is taken: two numbers, and room for fields to come.
const ASK_BYTES_MAX: usize = 64;

/// The number of a request, of the side that asks.
pub type RequestNumber = u32;

/// One parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parcel {
    /// A message of the control stream.
    Control(PeerMessage),
    /// The sender asks for a range.
    Ask(RequestNumber, RangeRequest),
    /// The next bytes of the answer to the receiver's request; the first of them is the status.
    Data(RequestNumber, Bytes),
    /// The answer to the receiver's request is whole.
    End(RequestNumber),
    /// The answer to the receiver's request stays unfinished.
    GiveUp(RequestNumber),
    /// The sender no longer wants the answer to its request.
    Stop(RequestNumber),
    /// The sender is alive.
    Ping,
    /// The sender ends the link.
    Close,
}

impl Parcel {
    /// The parcel as it goes over the link.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Self::Control(message) => whole(Kind::Control, 0, &message.encode()),
            Self::Ask(number, request) => whole(Kind::Ask, *number, &request.encode()),
            Self::Data(number, bytes) => whole(Kind::Data, *number, bytes),
            Self::End(number) => whole(Kind::End, *number, &[]),
            Self::GiveUp(number) => whole(Kind::GiveUp, *number, &[]),
            Self::Stop(number) => whole(Kind::Stop, *number, &[]),
            Self::Ping => whole(Kind::Ping, 0, &[]),
            Self::Close => whole(Kind::Close, 0, &[]),
        }
    }

    /// The header of a [`Self::Data`] of so many bytes, at most [`DATA_BYTES_MAX`]; they follow it.
    #[must_use]
    pub fn data_header(number: RequestNumber, length: usize) -> [u8; PARCEL_HEADER_BYTES] {
        header(Kind::Data, number, length)
    }
}

/// What a parcel is, as its first byte says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Control = 0,
    Ask = 1,
    Data = 2,
    End = 3,
    GiveUp = 4,
    Stop = 5,
    Ping = 6,
    Close = 7,
}

impl Kind {
    fn from_byte(byte: u8) -> Result<Self, WireError> {
        match byte {
            0 => Ok(Self::Control),
            1 => Ok(Self::Ask),
            2 => Ok(Self::Data),
            3 => Ok(Self::End),
            4 => Ok(Self::GiveUp),
            5 => Ok(Self::Stop),
            6 => Ok(Self::Ping),
            7 => Ok(Self::Close),
            _ => Err(WireError::UnknownKind),
        }
    }

    fn bytes_max(self) -> usize {
        match self {
            Self::Control => FRAME_BYTES_MAX,
            Self::Ask => ASK_BYTES_MAX,
            Self::Data => DATA_BYTES_MAX,
            Self::End | Self::GiveUp | Self::Stop | Self::Ping | Self::Close => 0,
        }
    }

    /// Whether the parcel belongs to a request.
    fn is_numbered(self) -> bool {
        match self {
            Self::Ask | Self::Data | Self::End | Self::GiveUp | Self::Stop => true,
            Self::Control | Self::Ping | Self::Close => false,
        }
    }
}

fn whole(kind: Kind, number: RequestNumber, content: &[u8]) -> Bytes {
    let mut parcel = BytesMut::with_capacity(PARCEL_HEADER_BYTES + content.len());
    parcel.put_slice(&header(kind, number, content.len()));
    parcel.put_slice(content);
    parcel.freeze()
}

fn header(kind: Kind, number: RequestNumber, length: usize) -> [u8; PARCEL_HEADER_BYTES] {
    debug_assert!(length <= kind.bytes_max(), "{kind:?} of {length} bytes");
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let number = number.to_be_bytes();
    let [n0, n1, n2, n3] = number;
    [kind as u8, length[1], length[2], length[3], n0, n1, n2, n3]
}

/// Finds the parcels in a stream that arrives in pieces.
#[derive(Debug, Default)]
pub struct ParcelDecoder {
    buffer: BytesMut,
}

impl ParcelDecoder {
    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole parcel, when it is there. The buffer never holds more than one that is not.
    ///
    /// # Errors
    ///
    /// [`WireError`] as soon as it is clear that there is no parcel; the stream is of no use then.
    pub fn next_parcel(&mut self) -> Result<Option<Parcel>, WireError> {
        let Some(&[kind, l0, l1, l2, n0, n1, n2, n3]) = self.buffer.first_chunk() else {
            return Ok(None);
        };
        let kind = Kind::from_byte(kind)?;
        let length = usize::from(l0) << 16 | usize::from(l1) << 8 | usize::from(l2);
        let number = RequestNumber::from_be_bytes([n0, n1, n2, n3]);
        if length > kind.bytes_max() {
            let max = kind.bytes_max();
            return Err(WireError::TooLong {
                field: "parcel",
                max,
            });
        }
        if number != 0 && !kind.is_numbered() {
            return Err(malformed("number"));
        }
        if self.buffer.len() < PARCEL_HEADER_BYTES + length {
            return Ok(None);
        }
        self.buffer.advance(PARCEL_HEADER_BYTES);
        let content = self.buffer.split_to(length).freeze();
        parcel(kind, number, content).map(Some)
    }
}

fn parcel(kind: Kind, number: RequestNumber, content: Bytes) -> Result<Parcel, WireError> {
    Ok(match kind {
        Kind::Control => Parcel::Control(PeerMessage::decode(content)?),
        Kind::Ask => Parcel::Ask(number, RangeRequest::decode(content)?),
        Kind::Data if content.is_empty() => return Err(malformed("data")),
        Kind::Data => Parcel::Data(number, content),
        Kind::End => Parcel::End(number),
        Kind::GiveUp => Parcel::GiveUp(number),
        Kind::Stop => Parcel::Stop(number),
        Kind::Ping => Parcel::Ping,
        Kind::Close => Parcel::Close,
    })
}

/// Feeds arbitrary bytes to the decoder, whole and in pieces.
///
/// # Panics
///
/// When the two differ, or a parcel that decodes does not encode to the same parcel.
pub fn fuzz_parcels(data: &[u8]) {
    let read = |step: usize| {
        let (mut decoder, mut parcels) = (ParcelDecoder::default(), Vec::new());
        for chunk in data.chunks(step) {
            decoder.push(chunk);
            loop {
                match decoder.next_parcel() {
                    Ok(Some(parcel)) => parcels.push(parcel),
                    Ok(None) => break,
                    Err(error) => return (parcels, Some(error)),
                }
            }
        }
        (parcels, None)
    };
    let all_at_once = read(data.len().max(1));
    assert_eq!(read(1), all_at_once, "pieces make no difference");
    for parcel in all_at_once.0 {
        let mut decoder = ParcelDecoder::default();
        decoder.push(&parcel.encode());
        assert_eq!(decoder.next_parcel(), Ok(Some(parcel)));
    }
}

#[cfg(test)]
mod tests {
    use peerlift_model::GroupRange;
    use proptest::prelude::*;

    use super::*;

    fn parcels() -> Vec<Parcel> {
        let request = RangeRequest::whole(GroupRange::new(64, 128));
        vec![
            Parcel::Control(PeerMessage::Unchoke),
            Parcel::Ask(7, request),
            Parcel::Data(u32::MAX, Bytes::from_static(b"\0data")),
            Parcel::End(7),
            Parcel::GiveUp(8),
            Parcel::Stop(9),
            Parcel::Ping,
            Parcel::Close,
        ]
    }

    #[test]
    fn parcels_come_out_whole_however_they_arrive() {
        let stream: Vec<u8> = parcels().iter().flat_map(Parcel::encode).collect();
        for step in 1..=stream.len() {
            let (mut decoder, mut got) = (ParcelDecoder::default(), Vec::new());
            for chunk in stream.chunks(step) {
                decoder.push(chunk);
                while let Some(parcel) = decoder.next_parcel().unwrap() {
                    got.push(parcel);
                }
            }
            assert_eq!(got, parcels(), "in steps of {step}");
        }
    }

    #[test]
    fn a_header_that_promises_too_much_is_refused_at_once() {
        for (kind, max) in [
            (0, FRAME_BYTES_MAX),
            (1, 64),
            (2, DATA_BYTES_MAX),
            (3, 0),
            (4, 0),
            (5, 0),
            (6, 0),
            (7, 0),
        ] {
            let length = u32::try_from(max + 1).unwrap().to_be_bytes();
            let mut decoder = ParcelDecoder::default();
            decoder.push(&[kind, length[1], length[2], length[3], 0, 0, 0, 0]);
            let field = "parcel";
            assert_eq!(
                decoder.next_parcel(),
                Err(WireError::TooLong { field, max }),
                "kind {kind}"
            );
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            &[8, 0, 0, 0, 0, 0, 0, 0][..], // an unknown kind
            &[6, 0, 0, 0, 0, 0, 0, 1],     // a ping that belongs to a request
            &[2, 0, 0, 0, 0, 0, 0, 1],     // no data
            &[1, 0, 0, 0, 0, 0, 0, 1],     // no range
            &[0, 0, 0, 0, 0, 0, 0, 0],     // no message
        ] {
            let mut decoder = ParcelDecoder::default();
            decoder.push(bad);
            assert!(decoder.next_parcel().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_usual_part_of_an_answer_fills_a_record() {
        let header = Parcel::data_header(1, DATA_BYTES_USUAL);
        assert_eq!(header.len() + DATA_BYTES_USUAL, 16_384);
        let data = Parcel::Data(1, Bytes::from(vec![0; DATA_BYTES_USUAL]));
        assert_eq!(data.encode()[..PARCEL_HEADER_BYTES], header);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            fuzz_parcels(&data);
        }

        #[test]
        fn headers_of_any_kind_do_not_panic(
            kind in 0u8..9, length in 0u8..12, number in any::<u32>(),
            data in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let header = [kind, 0, 0, length];
            fuzz_parcels(&[&header[..], &number.to_be_bytes(), &data].concat());
        }
    }
}
