//! Reaching a peer by TCP.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use peerlift_model::PeerId;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::{TlsConnector, TlsStream};
use tokio_util::sync::CancellationToken;

use super::records::Followed;
use super::tls::{Tls, server_name};
use super::{HANDSHAKE_MAX, door};
use crate::peer::PeerLinkError;

/// Tries all places at once; the first at which the peer proves its key is taken.
pub(super) async fn dial(
    tls: &Tls,
    peer: PeerId,
    places: Vec<SocketAddr>,
    reached: CancellationToken,
) -> Result<(TlsStream<Followed>, Duration), PeerLinkError> {
    let connector = TlsConnector::from(tls.client(peer)?);
    let mut tries: FuturesUnordered<_> = places
        .into_iter()
        .map(|place| {
            let meeting = meet(&connector, place, &reached);
            async move { timeout(HANDSHAKE_MAX, meeting).await }
        })
        .collect();
    let mut end = PeerLinkError::Unreachable("it says of no place".to_owned());
    while let Some(met) = tries.next().await {
        match met {
            Ok(Ok(met)) => return Ok(met),
            Ok(Err(error)) => end = PeerLinkError::Unreachable(error.to_string()),
            Err(_) => end = PeerLinkError::Timeout,
        }
    }
    Err(end)
}

/// The link at one place, and its round-trip time.
async fn meet(
    connector: &TlsConnector,
    place: SocketAddr,
    reached: &CancellationToken,
) -> io::Result<(TlsStream<Followed>, Duration)> {
    let begin = Instant::now();
    let stream = TcpStream::connect(place).await?;
    let rtt = begin.elapsed();
    reached.cancel();
    door::tune(&stream)?;
    let stream = connector
        .connect(server_name(), Followed::new(stream))
        .await?;
    Ok((TlsStream::Client(stream), rtt))
}
