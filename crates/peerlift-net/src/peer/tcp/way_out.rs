//! The way out of a link: how much the kernel takes before it has sent what it took earlier.
//!
//! A message goes before the answers that we still have, but not before those that the kernel has:
//! on a slow line these are what it waits for. `TCP_NOTSENT_LOWAT` bounds them, and not well: the
//! kernel goes on filling the segment at the end of its queue, up to 64 KiB (`tcp_sendmsg` of
//! Linux). With eleven links on an uplink of 10 Mbit/s, 300 KB waited there, a quarter of a second.
//! So while a link is slow, each write ends its segment (`MSG_EOR`), and little may wait at all; a
//! fast one is left its large segments, which cost less.

use std::io;
use std::time::Duration;

use tokio::net::tcp::OwnedWriteHalf;
use tokio::time::Instant;

/// The socket as TLS writes to it.
#[derive(Debug)]
pub(super) struct WayOut {
    socket: OwnedWriteHalf,
    gauge: Gauge,
}

impl WayOut {
    pub(super) fn new(socket: OwnedWriteHalf) -> Self {
        let way = Self {
            socket,
            gauge: Gauge::new(Instant::now()),
        };
        way.bound();
        way
    }

    /// Returns when the kernel takes more, or the socket is broken.
    pub(super) async fn writable(&self) {
        // An error shows itself with the next write.
        let _ = self.socket.writable().await;
    }

    fn note(&mut self, written: usize) {
        if self.gauge.note(written, Instant::now()) {
            self.bound();
        }
    }
}

#[cfg(target_os = "linux")]
impl WayOut {
    /// Bytes that may wait in the kernel unsent, of a slow and of a fast link. It asks for more at
    /// half of that.
    const UNSENT: [u32; 2] = [4 * 1024, 16 * 1024];

    fn bound(&self) {
        let most = Self::UNSENT[usize::from(self.gauge.is_fast)];
        // Without the bound everything works, only less promptly.
        let _ = socket2::SockRef::from(self.socket.as_ref()).set_tcp_notsent_lowat(most);
    }

    fn send(&self, bytes: &[io::IoSlice<'_>]) -> io::Result<usize> {
        if self.gauge.is_fast {
            return self.socket.try_write_vectored(bytes);
        }
        let stream: &tokio::net::TcpStream = self.socket.as_ref();
        let flags = libc::MSG_EOR | libc::MSG_NOSIGNAL;
        stream.try_io(tokio::io::Interest::WRITABLE, || {
            socket2::SockRef::from(stream).send_vectored_with_flags(bytes, flags)
        })
    }
}

#[cfg(not(target_os = "linux"))]
impl WayOut {
    fn bound(&self) {}

    fn send(&self, bytes: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.socket.try_write_vectored(bytes)
    }
}

impl io::Write for WayOut {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[io::IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, bytes: &[io::IoSlice<'_>]) -> io::Result<usize> {
        let written = self.send(bytes)?;
        self.note(written);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a link is fast, by what it took lately.
#[derive(Debug)]
struct Gauge {
    since: Instant,
    bytes: usize,
    is_fast: bool,
}

impl Gauge {
    /// How long is looked at: some round trips, so that a burst into an empty buffer is not taken
    /// for speed.
    const SPAN: Duration = Duration::from_millis(200);
    /// From here on a link is fast: 64 KiB, the largest segment, take 15 ms of it.
    const FAST_BYTES_PER_S: f64 = 4e6;

    fn new(now: Instant) -> Self {
        Self {
            since: now,
            bytes: 0,
            is_fast: false,
        }
    }

    /// So many bytes were taken at `now`. Whether that changes what the link is.
    fn note(&mut self, bytes: usize, now: Instant) -> bool {
        self.bytes += bytes;
        let passed = now - self.since;
        if passed < Self::SPAN {
            return false;
        }
        let rate = self.bytes as f64 / passed.as_secs_f64();
        let was = std::mem::replace(&mut self.is_fast, rate >= Self::FAST_BYTES_PER_S);
        (self.since, self.bytes) = (now, 0);
        was != self.is_fast
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a link is after each second of so many writes of 16 KiB.
    fn seconds(writes: &[u32]) -> Vec<bool> {
        let begin = Instant::now();
        let mut gauge = Gauge::new(begin);
        let second = |(second, writes): (usize, &u32)| {
            for write in 1..=*writes {
                let at = second as f64 + f64::from(write) / f64::from(*writes);
                gauge.note(16 * 1024, begin + Duration::from_secs_f64(at));
            }
            gauge.is_fast
        };
        writes.iter().enumerate().map(second).collect()
    }

    #[test]
    fn a_link_is_as_fast_as_what_it_took_lately() {
        assert_eq!(
            seconds(&[10, 300, 300, 10, 0, 10]),
            [false, true, true, false, false, false]
        );
    }

    #[test]
    fn a_burst_is_not_speed() {
        let begin = Instant::now();
        let mut gauge = Gauge::new(begin);
        assert!(!gauge.note(600_000, begin + Duration::from_millis(1)));
        assert!(!gauge.note(16_384, begin + Duration::from_millis(250)));
        assert!(!gauge.is_fast);
    }

    #[test]
    fn it_says_when_it_has_changed() {
        let begin = Instant::now();
        let mut gauge = Gauge::new(begin);
        let after = |millis| begin + Duration::from_millis(millis);
        assert!(gauge.note(4_000_000, after(500)));
        assert!(!gauge.note(4_000_000, after(1000)));
        assert!(gauge.note(16, after(1500)));
    }
}
