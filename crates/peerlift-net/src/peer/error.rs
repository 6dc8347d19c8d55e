//! What goes wrong between peers, by who caused it.

use iroh::endpoint::{ConnectionError, ReadError, ReadExactError, WriteError};
use thiserror::Error;

/// Why a link or a stream on it is over.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PeerLinkError {
    /// No way to the peer was found.
    #[error("the peer cannot be reached: {0}")]
    Unreachable(String),
    /// The peer was silent for too long.
    #[error("the peer is silent")]
    Timeout,
    /// The peer or this side ended the link or the stream.
    #[error("the link is closed")]
    Closed,
    /// The peer broke the protocol.
    #[error("the peer broke the protocol: {0}")]
    Misbehaved(String),
    /// This machine cannot do it.
    #[error("{0}")]
    Local(String),
}

impl From<ConnectionError> for PeerLinkError {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::TimedOut => Self::Timeout,
            ConnectionError::ApplicationClosed(_)
            | ConnectionError::ConnectionClosed(_)
            | ConnectionError::Reset
            | ConnectionError::LocallyClosed => Self::Closed,
            error @ (ConnectionError::VersionMismatch | ConnectionError::TransportError(_)) => {
                Self::Misbehaved(error.to_string())
            }
            error @ ConnectionError::CidsExhausted => Self::Local(error.to_string()),
        }
    }
}

impl From<WriteError> for PeerLinkError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::ConnectionLost(error) => error.into(),
            WriteError::Stopped(_) | WriteError::ClosedStream | WriteError::ZeroRttRejected => {
                Self::Closed
            }
        }
    }
}

impl From<ReadError> for PeerLinkError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(error) => error.into(),
            ReadError::Reset(_) | ReadError::ClosedStream | ReadError::ZeroRttRejected => {
                Self::Closed
            }
        }
    }
}

impl From<ReadExactError> for PeerLinkError {
    fn from(error: ReadExactError) -> Self {
        match error {
            ReadExactError::ReadError(error) => error.into(),
            ReadExactError::FinishedEarly(_) => {
                Self::Misbehaved("the stream ends too early".to_owned())
            }
        }
    }
}
