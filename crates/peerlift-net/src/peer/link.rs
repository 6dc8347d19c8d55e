//! One connection to one peer.

use std::time::Duration;

use iroh::endpoint::{Connection, Side, VarInt};
use peerlift_model::PeerId;
use peerlift_wire::peer::{Goodbye, RangeRequest};

use super::PeerLinkError;
use super::frames::{FrameReceiver, FrameSender, ReceiverKind, SenderKind};
use super::request::{Asked, RangeAnswer};
use super::tcp::TcpLink;
use crate::polite::{Downlink, Receiving};

/// How a link's bytes travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// From machine to machine.
    Direct,
    /// Through a relay.
    Relayed,
    /// Not known yet, or the link is down.
    Unknown,
}

/// What carries a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// QUIC over UDP, by `iroh`.
    Quic,
    /// TLS over TCP.
    Tcp,
}

/// A connection to a peer whose key is proven. Clones are the same link.
#[derive(Clone, Debug)]
pub struct PeerLink(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Quic(Connection),
    Tcp(TcpLink),
}

impl PeerLink {
    pub(super) fn quic(connection: Connection) -> Self {
        Self(Kind::Quic(connection))
    }

    pub(super) fn tcp(link: TcpLink) -> Self {
        Self(Kind::Tcp(link))
    }

    /// Whose key the other side has proven.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        match &self.0 {
            Kind::Quic(connection) => PeerId::new(*connection.remote_id().as_bytes()),
            Kind::Tcp(link) => link.peer(),
        }
    }

    /// What carries it.
    #[must_use]
    pub fn transport(&self) -> Transport {
        match &self.0 {
            Kind::Quic(_) => Transport::Quic,
            Kind::Tcp(_) => Transport::Tcp,
        }
    }

    /// The round-trip time: over QUIC of the path in use, when there is one; over TCP as it was
    /// when the link began.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        match &self.0 {
            Kind::Quic(connection) => {
                let paths = connection.paths();
                let selected = paths.iter().find(iroh::endpoint::Path::is_selected);
                selected.map(|path| path.rtt())
            }
            Kind::Tcp(link) => Some(link.rtt()),
        }
    }

    /// Watches what comes over the link, for as long as what is returned is kept; over QUIC there is
    /// nothing to watch, see [`Downlink::heard`].
    #[must_use]
    pub fn receiving(&self, downlink: &Downlink) -> Receiving {
        let addresses = match &self.0 {
            Kind::Quic(_) => None,
            Kind::Tcp(link) => link.addresses(),
        };
        let watch = addresses.map(|(ours, theirs)| downlink.watch(ours, theirs));
        watch.unwrap_or_default()
    }

    /// How bytes travel now.
    #[must_use]
    pub fn path(&self) -> Path {
        let Kind::Quic(connection) = &self.0 else {
            return Path::Direct;
        };
        let paths = connection.paths();
        match paths.iter().find(iroh::endpoint::Path::is_selected) {
            Some(path) if path.is_relay() => Path::Relayed,
            Some(_) => Path::Direct,
            None => Path::Unknown,
        }
    }

    /// The control stream: over QUIC the dialling side opens it, the other waits for it. To be
    /// called once, before [`Self::asked`].
    ///
    /// # Errors
    ///
    /// [`PeerLinkError`] when the link is over.
    pub async fn control(&self) -> Result<(FrameSender, FrameReceiver), PeerLinkError> {
        let connection = match &self.0 {
            Kind::Quic(connection) => connection,
            Kind::Tcp(link) => {
                let (sender, receiver) = link.control()?;
                let sender = FrameSender(SenderKind::Tcp(sender));
                return Ok((sender, FrameReceiver(ReceiverKind::Tcp(receiver))));
            }
        };
        let (send, receive) = match connection.side() {
            Side::Client => connection.open_bi().await?,
            Side::Server => connection.accept_bi().await?,
        };
        let sender = FrameSender(SenderKind::Quic(send));
        Ok((sender, FrameReceiver(ReceiverKind::Quic(receive))))
    }

    /// Asks for a range; returns when the answer begins.
    ///
    /// # Errors
    ///
    /// [`PeerLinkError`] when the link is over or the answer makes no sense.
    pub async fn ask(&self, request: RangeRequest) -> Result<RangeAnswer, PeerLinkError> {
        match &self.0 {
            Kind::Quic(connection) => {
                RangeAnswer::over_quic(request, connection.open_bi().await?).await
            }
            Kind::Tcp(link) => RangeAnswer::over_tcp(request, link).await,
        }
    }

    /// The next request of the peer. Requests are read one after the other: they are the first
    /// bytes of their streams, and a peer that does not send them delays only itself.
    ///
    /// # Errors
    ///
    /// [`PeerLinkError`] when the link is over or the peer broke the protocol.
    pub async fn asked(&self) -> Result<Asked, PeerLinkError> {
        match &self.0 {
            Kind::Quic(connection) => Asked::read(connection.accept_bi().await?).await,
            Kind::Tcp(link) => Ok(link.asked().await?.into()),
        }
    }

    /// Ends the link at once, telling the peer why. What is under way in both directions is lost.
    pub fn close(&self, reason: Goodbye) {
        match &self.0 {
            Kind::Quic(connection) => {
                connection.close(VarInt::from_u32(0), format!("{reason:?}").as_bytes());
            }
            Kind::Tcp(link) => link.close(),
        }
    }

    /// Waits until the link is over.
    pub async fn closed(&self) -> PeerLinkError {
        match &self.0 {
            Kind::Quic(connection) => connection.closed().await.into(),
            Kind::Tcp(link) => link.closed().await,
        }
    }
}
