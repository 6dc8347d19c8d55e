//! What the kernel knows of what arrives over a TCP connection, and what the sender is told.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use super::intake::Arrival;
use super::socket::tcp_info;
use crate::descriptors;
use crate::sockopt::set_number;

/// So many looks are the recent past.
const LOOKS: f64 = 16.0;

/// A connection over which something arrives. It holds a descriptor of its own, so it has to go when
/// whoever reads from it is done.
#[derive(Debug)]
pub(super) struct Inflow {
    socket: OwnedFd,
    addresses: (SocketAddr, SocketAddr),
    received: u64,
    /// What came in the last looks, the latest ones more than the others.
    lately: f64,
    /// The largest packets that come.
    segment: u64,
    out_of_order: u32,
}

/// What has happened since the last look.
#[derive(Clone, Copy, Debug)]
pub(super) struct InflowNews {
    pub(super) arrival: Option<Arrival>,
    /// Packets came after later ones: some were lost on their way.
    pub(super) lost: bool,
}

impl Inflow {
    /// The connection of this process between these addresses.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] when there is none, and what the kernel says.
    pub(super) fn between(ours: SocketAddr, theirs: SocketAddr) -> io::Result<Self> {
        let socket = descriptors::find(ours, theirs)?;
        let info = tcp_info(socket.as_fd())?;
        Ok(Self {
            socket,
            addresses: (ours, theirs),
            received: info.tcpi_bytes_received,
            lately: 0.0,
            segment: info.tcpi_rcv_mss.into(),
            out_of_order: info.tcpi_rcv_ooopack,
        })
    }

    /// Whether it is between these addresses of ours and of the other side.
    pub(super) fn is_between(&self, ours: SocketAddr, theirs: SocketAddr) -> bool {
        self.addresses == (ours, theirs)
    }

    /// Where it comes from.
    pub(super) fn machine(&self) -> IpAddr {
        self.addresses.1.ip()
    }

    /// Bytes that came lately; only good to be compared with those of others.
    pub(super) fn lately(&self) -> f64 {
        self.lately
    }

    /// Looks at what has arrived. The kernel measures the round-trip time of a receiver by the time
    /// stamps of RFC 7323; without them it tells none, or too long ones.
    pub(super) fn ask(&mut self) -> io::Result<InflowNews> {
        let info = tcp_info(self.socket.as_fd())?;
        let bytes = info.tcpi_bytes_received.saturating_sub(self.received);
        let lost = info.tcpi_rcv_ooopack > self.out_of_order;
        self.received = info.tcpi_bytes_received;
        self.lately += (bytes as f64 - self.lately) / LOOKS;
        self.segment = info.tcpi_rcv_mss.into();
        self.out_of_order = info.tcpi_rcv_ooopack;
        let micros = |micros: u32| Duration::from_micros(micros.into());
        // A kernel that has seen no round trip yet says zero, or the most there is.
        let known = |micros: u32| micros != 0 && micros != u32::MAX;
        let arrival = Arrival {
            bytes,
            rtt: micros(info.tcpi_rcv_rtt),
            rtt_least: known(info.tcpi_min_rtt).then(|| micros(info.tcpi_min_rtt)),
        };
        let arrival = (bytes > 0 && known(info.tcpi_rcv_rtt)).then_some(arrival);
        Ok(InflowNews { arrival, lost })
    }

    /// Tells the sender that no more than this may be on its way. What it was told before holds
    /// until that has come. Two packets are the least: with less, it would wait for room for one
    /// (RFC 9293 §3.8.6.2.1). To be said again at every look: the kernel sizes its buffer by what is
    /// read, and the window with it.
    pub(super) fn bound(&self, bytes: u64) {
        let bytes = bytes.max(2 * self.segment);
        let window = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
        let clamp = libc::TCP_WINDOW_CLAMP;
        if let Err(error) = set_number(&self.socket, libc::IPPROTO_TCP, clamp, window) {
            tracing::debug!(%error, "a sender is told no window");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (ours, listener.accept().unwrap().0)
    }

    #[test]
    fn a_connection_is_found_by_its_addresses() {
        let (mut ours, mut theirs) = pair();
        let (_other, _others) = pair();
        let (here, there) = (ours.local_addr().unwrap(), ours.peer_addr().unwrap());
        let mut inflow = Inflow::between(here, there).unwrap();
        assert_eq!(inflow.machine(), there.ip());
        assert!(inflow.ask().unwrap().arrival.is_none(), "nothing came");
        theirs.write_all(&[7; 1000]).unwrap();
        ours.read_exact(&mut [0; 1000]).unwrap();
        let before = inflow.received;
        inflow.ask().unwrap();
        assert_eq!(inflow.received - before, 1000);
        drop((ours, theirs));
    }

    /// What was offered before holds until it was used, so it takes some bytes to come down.
    #[test]
    fn a_sender_is_told_of_its_bound() {
        let (mut ours, mut theirs) = pair();
        let (here, there) = (ours.local_addr().unwrap(), ours.peer_addr().unwrap());
        let inflow = Inflow::between(here, there).unwrap();
        let told = |theirs: &TcpStream| tcp_info(theirs.as_fd()).unwrap().tcpi_snd_wnd;
        let before = told(&theirs);
        for _ in 0..1000 {
            inflow.bound(1 << 14);
            // More than a unit of the window (RFC 7323 §2.2), or it would not come down.
            theirs.write_all(&[7; 10_000]).unwrap();
            ours.read_exact(&mut [0; 10_000]).unwrap();
            // The answer carries the word.
            ours.write_all(&[8]).unwrap();
            theirs.read_exact(&mut [0; 1]).unwrap();
            if told(&theirs) <= 1 << 14 {
                break;
            }
        }
        let after = told(&theirs);
        assert!(before > 1 << 14 && after <= 1 << 14, "{before}, {after}");
    }
}
