//! Protobuf fields written straight into a buffer, for messages that a node writes all the time: in
//! the structs of `proto` each field has memory of its own, which cost more than everything else about an
//! answer of forty peers.
//!
//! What is written is byte for byte what prost writes; fields that have their default are left out
//! by all but [`nested`].

use prost::encoding::{WireType, encode_key, encode_varint};

pub(crate) fn bytes(tag: u32, value: &[u8], out: &mut Vec<u8>) {
    if !value.is_empty() {
        encode_key(tag, WireType::LengthDelimited, out);
        encode_varint(u64::try_from(value.len()).unwrap_or(u64::MAX), out);
        out.extend_from_slice(value);
    }
}

pub(crate) fn number(tag: u32, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        present_number(tag, value, out);
    }
}

/// A number that is there even when it is 0, as `optional` ones are.
pub(crate) fn present_number(tag: u32, value: u64, out: &mut Vec<u8>) {
    encode_key(tag, WireType::Varint, out);
    encode_varint(value, out);
}

/// A message, or a text of a list, which is there even when it is empty.
pub(crate) fn nested(tag: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    encode_key(tag, WireType::LengthDelimited, out);
    let begin = out.len();
    write(out);
    // The length comes first and is known last.
    let end = out.len();
    encode_varint(u64::try_from(end - begin).unwrap_or(u64::MAX), out);
    let length_bytes = out.len() - end;
    out[begin..].rotate_right(length_bytes);
}
