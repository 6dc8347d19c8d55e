//! How much has to be there before whoever reads from a socket is woken.

#[cfg(unix)]
use std::os::fd::AsFd as AsSocket;
#[cfg(windows)]
use std::os::windows::io::AsSocket;

/// `SO_RCVLOWAT` of socket(7). The end of the stream wakes the reader all the same, and so does a
/// window that has no room for another packet.
///
/// Only on Linux: elsewhere each packet wakes.
#[derive(Debug)]
pub(crate) struct Threshold {
    bytes: usize,
}

impl Default for Threshold {
    fn default() -> Self {
        Self { bytes: 1 }
    }
}

impl Threshold {
    /// Wakes the reader of the socket, always the same one, when so many bytes are there.
    pub(crate) fn set(&mut self, socket: impl AsSocket, bytes: usize) {
        let bytes = bytes.max(1);
        if self.bytes == bytes {
            return;
        }
        self.bytes = bytes;
        #[cfg(target_os = "linux")]
        {
            let value = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
            let set = crate::sockopt::set_number;
            if let Err(error) = set(socket, libc::SOL_SOCKET, libc::SO_RCVLOWAT, value) {
                tracing::debug!(%error, "a reader is woken by each packet");
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = socket;
    }
}
