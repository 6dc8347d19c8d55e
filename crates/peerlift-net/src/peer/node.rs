//! This machine as a peer: its key, its socket, its relays.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex as Lock, MutexGuard};
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use iroh::dns::{DnsResolver, FallbackMode};
use iroh::endpoint::{IdleTimeout, QuicTransportConfig, VarInt, presets};
use iroh::tls::CaTlsConfig;
use iroh::unstable_net_report::NetReport;
use iroh::{
    Endpoint, EndpointAddr, EndpointId, NetReportConfig, RelayMap, RelayMode, RelayUrl, SecretKey,
    TransportAddr, Watcher as _,
};
use peerlift_model::{NatClass, PeerId};
use peerlift_wire::PeerAddress;
use peerlift_wire::peer::ALPN;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::nat::{Look, NatFinder, is_own};
use super::race::race;
use super::tcp::{self, Door, TcpSide};
use super::{PeerLink, PeerLinkError};
use crate::polite::{Uplink, WatchedFactory};

/// Requests that a peer may have under way with us: as many as a fast link needs of 64 KiB pieces
/// at 200 ms and 600 Mbit/s.
pub(super) const STREAMS_MAX: u16 = 256;

/// Bytes of one answer that may wait for us to read them.
const STREAM_WINDOW: VarInt = VarInt::from_u32(1 << 20);

/// Bytes of all answers of a peer that may wait for us: 200 Mbit/s at 150 ms.
const LINK_WINDOW: VarInt = VarInt::from_u32(4 << 20);

/// Bytes that may wait for a peer's acknowledgement.
const SEND_WINDOW: u64 = 2 << 20;

/// How long a peer may be silent. Its keep-alives come every few seconds.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(20);

/// How long a connection may take: both sides' NATs and a relay may be on the way.
const CONNECT_MAX: Duration = Duration::from_secs(15);

/// A relay that may carry the first packets of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayConfig {
    /// Where it is.
    pub url: String,
    /// The UDP port on which it tells a client its public address, if it does.
    pub quic_port: Option<u16>,
}

/// What a [`PeerNode`] is made of.
#[derive(Clone, Debug)]
pub struct PeerNodeConfig {
    /// The Ed25519 seed of its key.
    pub secret: [u8; 32],
    /// Relays; without any, only peers whose address is open can be met.
    pub relays: Vec<RelayConfig>,
    /// Whether strangers are let in. Without it, their handshakes are refused.
    pub accept: bool,
    /// The line over which its links go.
    pub uplink: Uplink,
}

/// This machine as a peer.
pub struct PeerNode {
    endpoint: Endpoint,
    addresses: Mutex<Pin<Box<dyn Stream<Item = EndpointAddr> + Send>>>,
    relays: Vec<RelayConfig>,
    looks: Mutex<Pin<Box<dyn Stream<Item = Option<NetReport>> + Send>>>,
    nat: Lock<NatFinder>,
    tcp: Arc<TcpSide>,
    door: Option<Door>,
    _doorkeeper: Option<AbortOnDropHandle<()>>,
}

impl PeerNode {
    /// Opens a UDP socket on a free port and connects to the relays in the background. When it
    /// accepts, it listens at TCP, too, if it can.
    ///
    /// # Errors
    ///
    /// [`PeerLinkError::Local`] when there is no socket to be had or a relay's URL makes no sense.
    pub async fn bind(config: PeerNodeConfig) -> Result<Self, PeerLinkError> {
        let relays = relay_map(&config.relays)?;
        let mut builder = Endpoint::builder(presets::Minimal)
            .secret_key(SecretKey::from_bytes(&config.secret))
            .transport_config(transport_config(&config.uplink))
            .dns_resolver(dns_resolver())
            .net_report_config(net_report_config());
        let roots = crate::tls::native_roots();
        // Without any, iroh's own do: a relay may still be met by `http`.
        if !roots.is_empty() {
            builder = builder.ca_tls_config(CaTlsConfig::custom_roots(roots));
        }
        if !relays.is_empty() {
            builder = builder.relay_mode(RelayMode::Custom(relays));
        }
        if config.accept {
            builder = builder.alpns(vec![ALPN.to_vec()]);
        }
        let endpoint = builder.bind().await.map_err(local)?;
        let door = config.accept.then(|| Door::open(&endpoint.bound_sockets()));
        let door = door.and_then(|opened| {
            // Peers come by QUIC alone then.
            opened
                .inspect_err(|error| tracing::warn!(%error, "cannot listen at TCP"))
                .ok()
        });
        let addresses = Mutex::new(endpoint.watch_addr().stream_updates_only().boxed());
        let looks = Mutex::new(endpoint.net_report().stream().boxed());
        let doorkeeper = (!config.accept)
            .then(|| AbortOnDropHandle::new(tokio::spawn(refuse_all(endpoint.clone()))));
        Ok(Self {
            endpoint,
            addresses,
            looks,
            nat: Lock::new(NatFinder::new(&config.relays)),
            relays: config.relays,
            tcp: Arc::new(TcpSide::new(&config.secret, config.uplink)?),
            door,
            _doorkeeper: doorkeeper,
        })
    }

    /// Its public key.
    #[must_use]
    pub fn id(&self) -> PeerId {
        PeerId::new(*self.endpoint.id().as_bytes())
    }

    /// Where it can be reached, as far as it knows by now.
    #[must_use]
    pub fn address(&self) -> PeerAddress {
        let address = self.endpoint.addr();
        PeerAddress {
            direct: address.ip_addrs().copied().collect(),
            relay: address.relay_urls().next().map(ToString::to_string),
            tcp_port: self.door.as_ref().map(Door::port),
        }
    }

    /// Waits until [`Self::address`] says something else. Never returns once the node is closed.
    pub async fn address_changed(&self) {
        if self.addresses.lock().await.next().await.is_none() {
            std::future::pending().await
        }
    }

    /// What NAT it is behind, as far as its relays could tell by now, and a control node that sees
    /// it at the `observed` address.
    #[must_use]
    pub fn nat(&self, observed: Option<IpAddr>) -> NatClass {
        self.finder().class(observed, is_own)
    }

    /// Whether it knows relays enough to tell the NAT, sooner or later.
    #[must_use]
    pub fn can_tell_nat(&self) -> bool {
        self.finder().is_far_sighted()
    }

    /// Waits until the relays have looked again, so that [`Self::nat`] may say something else. Never
    /// returns once the node is closed. Cancel-safe.
    pub async fn looked_at(&self) {
        let report = loop {
            match self.looks.lock().await.next().await {
                Some(Some(report)) => break report,
                Some(None) => {}
                None => std::future::pending().await,
            }
        };
        self.finder().handle_look(Look::of(&report, &self.relays));
    }

    fn finder(&self) -> MutexGuard<'_, NatFinder> {
        // Nothing panics while the lock is held.
        self.nat
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The local UDP sockets.
    #[must_use]
    pub fn sockets(&self) -> Vec<SocketAddr> {
        self.endpoint.bound_sockets()
    }

    /// The TCP port at which strangers are let in, if at one.
    #[must_use]
    pub fn tcp_port(&self) -> Option<u16> {
        self.door.as_ref().map(Door::port)
    }

    /// Notes an address at which others see this machine.
    pub async fn add_external_address(&self, address: SocketAddr) {
        self.endpoint.add_external_addr(address).await;
    }

    /// Connects to a peer: by TCP where it may be reached so, by QUIC where not; by whichever is
    /// there first when TCP takes long.
    ///
    /// # Errors
    ///
    /// [`PeerLinkError::Unreachable`], or [`PeerLinkError::Timeout`] after fifteen seconds.
    pub async fn connect(
        &self,
        peer: PeerId,
        address: &PeerAddress,
    ) -> Result<PeerLink, PeerLinkError> {
        let own: Vec<IpAddr> = self
            .endpoint
            .addr()
            .ip_addrs()
            .map(SocketAddr::ip)
            .collect();
        let reached = CancellationToken::new();
        let by_quic = self.connect_by_quic(peer, address);
        let by_tcp =
            (peer != self.id()).then(|| self.tcp.dial(peer, address, &own, reached.clone()));
        let Some(by_tcp) = by_tcp.flatten() else {
            return by_quic.await;
        };
        let by_tcp = async { by_tcp.await.map(PeerLink::tcp) };
        race(by_tcp, &reached, by_quic).await
    }

    async fn connect_by_quic(
        &self,
        peer: PeerId,
        address: &PeerAddress,
    ) -> Result<PeerLink, PeerLinkError> {
        let connecting = self
            .endpoint
            .connect(endpoint_address(peer, address)?, ALPN);
        let connection = timeout(CONNECT_MAX, connecting)
            .await
            .map_err(|_| PeerLinkError::Timeout)?
            .map_err(|error| PeerLinkError::Unreachable(error.to_string()))?;
        Ok(PeerLink::quic(connection))
    }

    /// The next stranger at the door; `None` once the node is closed. To be called only on a node
    /// that accepts. Cancel-safe.
    ///
    /// Handshakes run side by side: one that is slow holds up nobody.
    pub async fn accept(&self) -> Option<Accepting> {
        let at_the_door = async {
            match &self.door {
                Some(door) => door.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            incoming = self.endpoint.accept() => {
                Some(Accepting(Stranger::Quic(Box::new(incoming?))))
            }
            stream = at_the_door => {
                Some(Accepting(Stranger::Tcp(Arc::clone(&self.tcp), stream)))
            }
        }
    }

    /// Ends all links and gives the socket back.
    pub async fn close(&self) {
        self.tcp.close().await;
        self.endpoint.close().await;
    }
}

impl std::fmt::Debug for PeerNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PeerNode")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

/// A stranger at the door.
#[derive(Debug)]
pub struct Accepting(Stranger);

#[derive(Debug)]
enum Stranger {
    Quic(Box<iroh::endpoint::Incoming>),
    Tcp(Arc<TcpSide>, TcpStream),
}

impl Accepting {
    /// Completes the handshake.
    ///
    /// # Errors
    ///
    /// [`PeerLinkError`] when the stranger is silent or speaks no protocol of ours.
    pub async fn link(self) -> Result<PeerLink, PeerLinkError> {
        let incoming = match self.0 {
            Stranger::Quic(incoming) => incoming,
            Stranger::Tcp(side, stream) => return side.answer(stream).await.map(PeerLink::tcp),
        };
        let connecting = async { incoming.accept().map_err(local)?.await.map_err(unreachable) };
        let connection = timeout(CONNECT_MAX, connecting)
            .await
            .map_err(|_| PeerLinkError::Timeout)??;
        Ok(PeerLink::quic(connection))
    }

    /// The address it comes from, where it cannot be made up: a TCP handshake is a round trip.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        match &self.0 {
            Stranger::Quic(_) => None,
            Stranger::Tcp(_, stream) => Some(stream.peer_addr().ok()?.ip().to_canonical()),
        }
    }

    /// Sends the stranger away before any work is done for it.
    pub fn refuse(self) {
        match self.0 {
            Stranger::Quic(incoming) => incoming.refuse(),
            Stranger::Tcp(_, stream) => tcp::refuse(stream),
        }
    }
}

/// Without this strangers would wait in vain, and each would keep a place in the queue.
async fn refuse_all(endpoint: Endpoint) {
    while let Some(stranger) = endpoint.accept().await {
        stranger.refuse();
    }
}

/// The machine's name servers only: iroh would ask public ones when those do not know a relay.
fn dns_resolver() -> DnsResolver {
    DnsResolver::builder()
        .with_system_defaults()
        .with_fallback_mode(FallbackMode::Never)
        .build()
}

/// No look for captive portals: iroh sends it to port 80 of a relay's host, where ours has nothing.
fn net_report_config() -> NetReportConfig {
    let mut config = NetReportConfig::default();
    config.captive_portal_check = false;
    config
}

fn transport_config(uplink: &Uplink) -> QuicTransportConfig {
    QuicTransportConfig::builder()
        .congestion_controller_factory(Arc::new(WatchedFactory(uplink.clone())))
        .max_concurrent_bidi_streams(STREAMS_MAX.into())
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(STREAM_WINDOW)
        .receive_window(LINK_WINDOW)
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(None)
        .max_idle_timeout(IdleTimeout::try_from(SILENCE_MAX).ok())
        .build()
}

fn relay_map(relays: &[RelayConfig]) -> Result<RelayMap, PeerLinkError> {
    let map = RelayMap::empty();
    for relay in relays {
        let url: RelayUrl = relay.url.parse().map_err(local)?;
        let mut config = iroh::RelayConfig::new(url.clone(), Some(Default::default()));
        match (relay.quic_port, &mut config.quic) {
            (Some(port), Some(quic)) => quic.port = port,
            (_, quic) => *quic = None,
        }
        map.insert(url, Arc::new(config));
    }
    Ok(map)
}

fn endpoint_address(peer: PeerId, address: &PeerAddress) -> Result<EndpointAddr, PeerLinkError> {
    let id = EndpointId::from_bytes(peer.as_bytes()).map_err(unreachable)?;
    let direct = address.direct.iter().copied().map(TransportAddr::Ip);
    let relay = address
        .relay
        .iter()
        .filter_map(|url| Some(TransportAddr::Relay(url.parse().ok()?)));
    Ok(EndpointAddr::from_parts(id, direct.chain(relay)))
}

fn local(error: impl std::fmt::Display) -> PeerLinkError {
    PeerLinkError::Local(error.to_string())
}

fn unreachable(error: impl std::fmt::Display) -> PeerLinkError {
    PeerLinkError::Unreachable(error.to_string())
}
