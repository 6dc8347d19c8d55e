//! One connection to one peer.

use std::time::Duration;

use iroh::endpoint::{Connection, Side, VarInt};
use peerlift_model::PeerId;
use peerlift_wire::peer::{Goodbye, RangeRequest};

use super::PeerLinkError;
use super::frames::{FrameReceiver, FrameSender};
use super::request::{Asked, RangeAnswer};

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

/// A connection to a peer whose key is proven. Clones are the same link.
#[derive(Clone, Debug)]
pub struct PeerLink {
    connection: Connection,
    peer: PeerId,
}

impl PeerLink {
    pub(super) fn new(connection: Connection) -> Self {
        let peer = PeerId::new(*connection.remote_id().as_bytes());
        Self { connection, peer }
    }

    /// Whose key the other side has proven.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// The round-trip time of the path in use, when there is one.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        let paths = self.connection.paths();
        paths
            .iter()
            .find(iroh::endpoint::Path::is_selected)
            .map(|path| path.rtt())
    }

    /// How bytes travel now.
    #[must_use]
    pub fn path(&self) -> Path {
        let paths = self.connection.paths();
        match paths.iter().find(iroh::endpoint::Path::is_selected) {
            Some(path) if path.is_relay() => Path::Relayed,
            Some(_) => Path::Direct,
            None => Path::Unknown,
        }
    }

    /// The control stream: the dialling side opens it, the other waits for it. To be called once,
    /// before [`Self::asked`].
    ///
    /// # Errors
    ///
    /// [`PeerLinkError`] when the link is over.
    pub async fn control(&self) -> Result<(FrameSender, FrameReceiver), PeerLinkError> {
        let (send, receive) = match self.connection.side() {
            Side::Client => self.connection.open_bi().await?,
            Side::Server => self.connection.accept_bi().await?,
        };
        Ok((FrameSender(send), FrameReceiver(receive)))
    }

    /// Asks for a range; returns when the answer begins.
    ///
    /// # Errors
    ///
    /// [`PeerLinkError`] when the link is over or the answer makes no sense.
    pub async fn ask(&self, request: RangeRequest) -> Result<RangeAnswer, PeerLinkError> {
        RangeAnswer::to(request, self.connection.open_bi().await?).await
    }

    /// The next request of the peer. Requests are read one after the other: they are the first
    /// bytes of their streams, and a peer that does not send them delays only itself.
    ///
    /// # Errors
    ///
    /// [`PeerLinkError`] when the link is over or the peer broke the protocol.
    pub async fn asked(&self) -> Result<Asked, PeerLinkError> {
        Asked::read(self.connection.accept_bi().await?).await
    }

    /// Ends the link at once, telling the peer why. What is under way in both directions is lost.
    pub fn close(&self, reason: Goodbye) {
        self.connection
            .close(VarInt::from_u32(0), format!("{reason:?}").as_bytes());
    }

    /// Waits until the link is over.
    pub async fn closed(&self) -> PeerLinkError {
        self.connection.closed().await.into()
    }
}
