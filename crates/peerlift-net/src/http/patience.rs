//! Who reads an answer is not woken by each of its packets.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::descriptors;
use crate::threshold::Threshold;

/// A group, which is of use only when all of it is there.
const BYTES_MAX: u64 = 16 * 1024;

/// Two packets: what the first wait is for.
const BYTES_MIN: u64 = 2 * 1448;

/// How long that may take, before whatever is there wakes: a slow server must not be taken for a silent
/// one, nor what a proxy's TLS holds be waited for.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(1);

/// What of an answer TLS may hold as the beginning of a record (RFC 8446 §5.2), and a bit more.
const TLS_BYTES: u64 = 32 * 1024;

/// The socket over which an answer comes, and how much of it has to be there before anybody is woken.
#[derive(Debug)]
pub(super) struct Patience {
    socket: OwnedFd,
    threshold: Threshold,
    /// Bytes of the answer that may have been read from the socket and cannot be passed on.
    held_max: u64,
    bytes: u64,
}

impl Patience {
    /// For an answer that comes between these addresses of ours and of the other side; `None` where
    /// the connection is not found.
    pub(super) fn new(ours: SocketAddr, theirs: SocketAddr, tls: bool) -> Option<Self> {
        let found = descriptors::find(ours, theirs);
        let found = found.inspect_err(|error| tracing::debug!(%error, "each packet wakes"));
        Some(Self {
            socket: found.ok()?,
            threshold: Threshold::default(),
            held_max: if tls { TLS_BYTES } else { 0 },
            bytes: BYTES_MIN,
        })
    }

    /// Takes note that something has come, and so much is left. Never waits for more than that: of what
    /// is left, everything still has to come over the socket, but for what TLS holds.
    pub(super) fn came(&mut self, left: u64) {
        self.bytes = (self.bytes * 2).min(BYTES_MAX);
        let bytes = self.bytes.min(left.saturating_sub(self.held_max));
        let bytes = usize::try_from(bytes).unwrap_or(1);
        self.threshold.set(&self.socket, bytes);
    }

    /// Waits no longer than for the next packet.
    pub(super) fn lose(&mut self) {
        self.bytes = BYTES_MIN;
        self.threshold.set(&self.socket, 1);
    }
}

impl Drop for Patience {
    /// The connection may be used again.
    fn drop(&mut self) {
        self.threshold.set(&self.socket, 1);
    }
}
