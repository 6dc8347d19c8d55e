//! Where strangers come in by TCP, and how sockets are set up.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use crate::peer::node::SILENCE_MAX;

/// Connections that wait to be looked at.
const BACKLOG: i32 = 128;

/// Bytes that may wait in the kernel before they are sent for the first time, and as many more as
/// fit into the last segment. A message of the control stream waits behind them: 16 KiB are 130 ms
/// at 1 Mbit/s, and enough for the link to be filled again in time.
const UNSENT_BYTES_MAX: u32 = 16 * 1024;

/// How long to wait when the system has no socket left: until others have closed some.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listening socket.
#[derive(Debug)]
pub(in crate::peer) struct Door {
    listener: TcpListener,
    port: u16,
}

impl Door {
    /// Opens a socket at the port of one of these UDP sockets if it is free, or else at any.
    pub(in crate::peer) fn open(sockets: &[SocketAddr]) -> io::Result<Self> {
        let ports = sockets.iter().map(SocketAddr::port).chain([0]);
        let mut end = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for port in ports {
            match listen(port) {
                Ok(listener) => {
                    let port = listener.local_addr()?.port();
                    return Ok(Self { listener, port });
                }
                Err(error) => end = error,
            }
        }
        Err(end)
    }

    /// Where it listens, at all addresses of the machine.
    pub(in crate::peer) fn port(&self) -> u16 {
        self.port
    }

    /// The next stranger. Cancel-safe.
    pub(in crate::peer) async fn next(&self) -> TcpStream {
        loop {
            let accepted = self.listener.accept().await;
            match accepted.and_then(|(stream, _)| tune(&stream).map(|()| stream)) {
                Ok(stream) => return stream,
                Err(error) => {
                    tracing::debug!(%error, "a stranger could not be let in");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// IPv6 and IPv4 at one port; IPv4 alone where there is no other.
fn listen(port: u16) -> io::Result<TcpListener> {
    let both = (Ipv6Addr::UNSPECIFIED, port).into();
    let socket = listen_at(both).or_else(|_| listen_at((Ipv4Addr::UNSPECIFIED, port).into()))?;
    TcpListener::from_std(socket.into())
}

fn listen_at(place: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(place),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if place.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&place.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// What every link's socket is set to.
pub(super) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
        socket.set_tcp_user_timeout(Some(SILENCE_MAX))?;
    }
    Ok(())
}

/// Sends a stranger away without a word.
pub(in crate::peer) fn refuse(stream: TcpStream) {
    // What cannot be reset is closed in the ordinary way.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}
