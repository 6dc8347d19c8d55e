//! Links over TCP and TLS, for peers that can be reached by TCP: a packet costs the kernel less than
//! QUIC costs us.
//!
//! ```text
//!   dial, Door ── handshake (tls) ──► Driver ◄── orders, data ── TcpLink, TcpReply
//!                                       └── messages, requests, parts of answers ──► TcpLink, TcpAnswer
//! ```
//!
//! One task a link owns its socket and its TLS session; everybody else holds a handle and the end
//! of a queue. What goes over the stream is `peerlift_wire::parcel`.

mod dial;
mod door;
mod driver;
mod inbox;
mod link;
mod places;
mod records;
mod tls;

use std::net::IpAddr;
use std::time::Duration;

use peerlift_model::PeerId;
use peerlift_wire::PeerAddress;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::{TlsAcceptor, TlsStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::PeerLinkError;
use crate::polite::Uplink;
use records::Followed;
use tls::Tls;

pub(super) use door::{Door, refuse};
pub(super) use link::{TcpAnswer, TcpAsked, TcpLink, TcpReceiver, TcpReply, TcpSender};

/// How long a handshake may take, from either side.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// This machine's part in links over TCP: its key, and the tasks of its links.
#[derive(Debug)]
pub(super) struct TcpSide {
    tls: Tls,
    uplink: Uplink,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl TcpSide {
    /// For the key that is made of this seed.
    pub(super) fn new(seed: &[u8; 32], uplink: Uplink) -> Result<Self, PeerLinkError> {
        Ok(Self {
            tls: Tls::new(seed)?,
            uplink,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    /// Connects to a peer; `None` when it says of no place where it might be reached by TCP from a
    /// machine with these addresses. `reached` is cancelled once something answers there.
    pub(super) fn dial(
        &self,
        peer: PeerId,
        address: &PeerAddress,
        own: &[IpAddr],
        reached: CancellationToken,
    ) -> Option<impl Future<Output = Result<TcpLink, PeerLinkError>>> {
        let places = places::places(address, own);
        if places.is_empty() {
            return None;
        }
        Some(async move {
            let (stream, rtt) = dial::dial(&self.tls, peer, places, reached).await?;
            self.start(stream, rtt)
        })
    }

    /// Completes the handshake of a stranger.
    pub(super) async fn answer(&self, stream: TcpStream) -> Result<TcpLink, PeerLinkError> {
        let begin = Instant::now();
        let handshake = TlsAcceptor::from(self.tls.server()).accept(Followed::new(stream));
        let stream = timeout(HANDSHAKE_MAX, handshake)
            .await
            .map_err(|_| PeerLinkError::Timeout)?
            .map_err(|error| PeerLinkError::Misbehaved(error.to_string()))?;
        // The hello of TLS comes with the end of TCP's own handshake: the rest is one round trip.
        self.start(TlsStream::Server(stream), begin.elapsed())
    }

    /// Ends all links.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn start(&self, stream: TlsStream<Followed>, rtt: Duration) -> Result<TcpLink, PeerLinkError> {
        let (socket, connection) = match stream {
            TlsStream::Client(stream) => {
                let (socket, connection) = stream.into_inner();
                (socket, connection.into())
            }
            TlsStream::Server(stream) => {
                let (socket, connection) = stream.into_inner();
                (socket, connection.into())
            }
        };
        let peer = tls::proven(&connection)?;
        let watched = self.uplink.watch(&socket.socket);
        let (link, driver) = driver::link(socket, connection, peer, rtt, self.stop.child_token());
        self.tasks.spawn(async move {
            driver.await;
            drop(watched);
        });
        Ok(link)
    }
}
