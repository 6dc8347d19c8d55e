//! Where a peer can be reached.

use std::net::SocketAddr;

use crate::WireError;
use crate::error::malformed;
use crate::proto::control as proto;

/// The most direct addresses that are taken: an IPv4 and an IPv6 address on a few interfaces, as
/// seen from inside and outside.
pub const ADDRESSES_MAX: usize = 16;

/// The longest relay URL that is taken.
pub const RELAY_BYTES_MAX: usize = 512;

/// Where a peer can be reached. Said by the peer itself, so it may be wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PeerAddress {
    /// UDP addresses, best first.
    pub direct: Vec<SocketAddr>,
    /// The URL of its relay.
    pub relay: Option<String>,
    /// The TCP port at which it listens as well, at the IP addresses of [`Self::direct`].
    pub tcp_port: Option<u16>,
}

impl PeerAddress {
    pub(crate) fn to_proto(&self) -> proto::Address {
        proto::Address {
            direct: self
                .direct
                .iter()
                .take(ADDRESSES_MAX)
                .map(SocketAddr::to_string)
                .collect(),
            relay: self.relay.clone().unwrap_or_default(),
            tcp_port: self.tcp_port.map_or(0, u32::from),
            nat: proto::Nat::Unknown.into(),
        }
    }

    pub(crate) fn from_proto(address: Option<proto::Address>) -> Result<Self, WireError> {
        let address = address.unwrap_or_default();
        if address.direct.len() > ADDRESSES_MAX {
            return Err(WireError::TooLong {
                field: "addresses",
                max: ADDRESSES_MAX,
            });
        }
        if address.relay.len() > RELAY_BYTES_MAX {
            return Err(WireError::TooLong {
                field: "relay",
                max: RELAY_BYTES_MAX,
            });
        }
        let tcp_port = u16::try_from(address.tcp_port).map_err(|_| malformed("TCP port"))?;
        let parse = |text: &String| text.parse().map_err(|_| malformed("address"));
        Ok(Self {
            direct: address.direct.iter().map(parse).collect::<Result<_, _>>()?,
            relay: (!address.relay.is_empty()).then_some(address.relay),
            tcp_port: (tcp_port != 0).then_some(tcp_port),
        })
    }
}
