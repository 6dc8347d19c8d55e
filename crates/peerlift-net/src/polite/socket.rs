//! What the kernel knows of a TCP connection's packets, for the scavenger.

use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{io, ptr};

use super::scavenger::Delivery;
use super::uplink::LinkSensor;

/// Asks a socket. It holds a descriptor of its own, so it has to go when the link goes.
#[derive(Debug)]
pub(super) struct SocketSensor {
    socket: OwnedFd,
    sensor: LinkSensor,
    seen: Mutex<Seen>,
}

/// What was told already.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    sent: u64,
    acknowledged: u64,
    retransmitted: u32,
}

impl SocketSensor {
    pub(super) fn new(socket: OwnedFd, sensor: LinkSensor) -> Self {
        Self {
            socket,
            sensor,
            seen: Mutex::default(),
        }
    }

    /// Tells the scavenger what has happened since it was asked last.
    pub(super) fn ask(&self) {
        match tcp_info(self.socket.as_fd()) {
            Ok(info) => self.tell(&info),
            Err(error) => tracing::debug!(%error, "the system tells nothing of a connection"),
        }
    }

    fn tell(&self, info: &libc::tcp_info) {
        // Without what was sent again, as RFC 4898 counts it.
        let sent = info.tcpi_bytes_sent.saturating_sub(info.tcpi_bytes_retrans);
        let acknowledged = info.tcpi_bytes_acked;
        let now = Seen {
            sent,
            acknowledged,
            retransmitted: info.tcpi_total_retrans,
        };
        let before = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            mem::replace(&mut *seen, now)
        };
        if now.sent > before.sent {
            self.sensor.sent(now.sent - before.sent);
        }
        if now.acknowledged > before.acknowledged {
            self.sensor.delivered(Delivery {
                bytes: now.acknowledged - before.acknowledged,
                rtt: Duration::from_micros(info.tcpi_rtt.into()),
                rtt_least: Some(Duration::from_micros(info.tcpi_min_rtt.into())),
                in_flight: sent.saturating_sub(acknowledged),
            });
        }
        if now.retransmitted > before.retransmitted {
            self.sensor.lost();
        }
    }
}

/// `TCP_INFO` of tcp(7). Fields that an old kernel does not know are zero: Linux 4.19 knows all
/// that are used here.
#[expect(
    unsafe_code,
    reason = "no crate of ours has a safe wrapper for this option"
)]
pub(super) fn tcp_info(socket: BorrowedFd<'_>) -> io::Result<libc::tcp_info> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>())
        .map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the descriptor is open for as long as it is borrowed; the kernel writes at most
    // `length` bytes to `info`, which has that size and outlives the call.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            ptr::from_mut(&mut info).cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all fields are integers, for which all bytes, also the zeroes from the beginning,
    // are values.
    Ok(unsafe { info.assume_init() })
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn the_kernel_says_what_has_arrived() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut theirs, _) = listener.accept().unwrap();
        ours.write_all(&[7; 1000]).unwrap();
        theirs.read_exact(&mut [0; 1000]).unwrap();
        // Their answer carries the acknowledgement.
        theirs.write_all(&[8]).unwrap();
        ours.read_exact(&mut [0; 1]).unwrap();
        let info = tcp_info(ours.as_fd()).unwrap();
        assert_eq!(info.tcpi_bytes_sent, 1000);
        assert!(info.tcpi_bytes_acked >= 1000, "{}", info.tcpi_bytes_acked);
        assert!(info.tcpi_min_rtt > 0 && info.tcpi_rtt > 0);
    }

    #[test]
    fn what_is_no_tcp_socket_is_an_error() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(tcp_info(file.as_fd()).is_err());
    }
}
