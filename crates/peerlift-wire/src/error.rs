//! Why bytes are not a message.

use peerlift_model::{IdError, ObjectId, PeerId};
use thiserror::Error;

/// Bytes from outside that do not convert. The sender is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WireError {
    /// Not the protobuf encoding of a message.
    #[error("not a message: {0}")]
    Encoding(#[from] prost::DecodeError),
    /// A kind of message this version does not know, or none at all.
    #[error("a message of unknown kind")]
    UnknownKind,
    /// A field holds something that it may not hold.
    #[error("{field} is malformed")]
    Malformed {
        /// Which.
        field: &'static str,
    },
    /// A field is longer than allowed.
    #[error("{field} is longer than {max}")]
    TooLong {
        /// Which.
        field: &'static str,
        /// The limit in the field's own unit.
        max: usize,
    },
}

pub(crate) fn malformed(field: &'static str) -> WireError {
    WireError::Malformed { field }
}

pub(crate) fn object(bytes: &[u8]) -> Result<ObjectId, WireError> {
    bytes.try_into().map_err(|_: IdError| malformed("object"))
}

pub(crate) fn peer(bytes: &[u8], field: &'static str) -> Result<PeerId, WireError> {
    bytes.try_into().map_err(|_: IdError| malformed(field))
}

/// The longest program name and version that is taken.
pub(crate) const AGENT_BYTES_MAX: usize = 64;

/// Text for people from a stranger: bounded, and without anything a terminal would obey.
pub(crate) fn text(text: &str, field: &'static str, max: usize) -> Result<String, WireError> {
    if text.len() > max {
        return Err(WireError::TooLong { field, max });
    }
    Ok(text.chars().filter(|c| !c.is_control()).collect())
}
