//! What the kernel knows of a TCP connection's packets, for the scavenger.

use std::mem::{self, MaybeUninit};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{io, ptr};

use super::scavenger::Delivery;
use super::uplink::LinkSensor;

/// What one round-trip time changes the smoothed one by: RFC 6298 §2.
const RTT_GAIN: f64 = 0.125;

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
    /// Packets that arrived, and the smoothed round-trip time.
    packets: u32,
    smooth: Duration,
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
            packets: info.tcpi_delivered,
            smooth: Duration::from_micros(info.tcpi_rtt.into()),
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
                rtt: lately(&before, &now),
                rtt_least: Some(Duration::from_micros(info.tcpi_min_rtt.into())),
                in_flight: sent.saturating_sub(acknowledged),
            });
        }
        if now.retransmitted > before.retransmitted {
            self.sensor.lost();
        }
    }
}

/// The round-trip time of what was acknowledged between two looks.
///
/// The kernel tells a mean in which each acknowledgement counts for an eighth (RFC 6298 §2): on a link of
/// which little is asked it shows a queue seconds after it has gone. How far the mean moved says how far
/// away the times were that moved it; as many as there were packets is the most that can have been.
fn lately(before: &Seen, now: &Seen) -> Duration {
    let packets = now.packets.wrapping_sub(before.packets).clamp(1, 64);
    if before.smooth.is_zero() {
        return now.smooth;
    }
    let kept = (1.0 - RTT_GAIN).powf(packets.into());
    let moved = (now.smooth.as_secs_f64() - before.smooth.as_secs_f64()) / (1.0 - kept);
    Duration::from_secs_f64((before.smooth.as_secs_f64() + moved).max(0.0))
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
    fn what_moved_a_mean_is_found_again() {
        let seen = |packets, smooth_us: f64| Seen {
            packets,
            smooth: Duration::from_secs_f64(smooth_us / 1e6),
            ..Seen::default()
        };
        let ms = |time: Duration| (time + Duration::from_micros(500)).as_millis();
        assert_eq!(ms(lately(&seen(0, 0.0), &seen(3, 40e3))), 40, "the first");
        // One packet that took 100 ms, then three of 40 ms.
        let mut smooth = 40e3;
        let mut before = seen(1, smooth);
        for (packets, took_ms) in [(1, 100_u32), (3, 40)] {
            let took = f64::from(took_ms) * 1e3;
            for _ in 0..packets {
                smooth += (took - smooth) * RTT_GAIN;
            }
            let now = seen(before.packets + packets, smooth);
            assert_eq!(ms(lately(&before, &now)), took_ms.into());
            before = now;
        }
        // Fewer acknowledgements than packets: it is between what is told and what was.
        let now = seen(
            before.packets + 2,
            before.smooth.as_secs_f64() * 1e6 + 10e3 / 8.0,
        );
        let told = ms(lately(&before, &now));
        assert!(
            (ms(now.smooth)..ms(before.smooth) + 10).contains(&told),
            "{told}"
        );
        // The kernel rounds; nothing goes below zero.
        assert_eq!(ms(lately(&seen(1, 40e3), &seen(2, 1.0))), 0);
    }

    #[test]
    fn what_is_no_tcp_socket_is_an_error() {
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(tcp_info(file.as_fd()).is_err());
    }
}
