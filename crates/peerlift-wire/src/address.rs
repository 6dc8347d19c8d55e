//! Where a peer can be reached.

use std::io::Write;
use std::net::SocketAddr;

use crate::error::malformed;
use crate::proto::control as proto;
use crate::{WireError, fields};

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

    /// Writes what [`Self::to_proto`] has, without the memory that it takes.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for direct in self.direct.iter().take(ADDRESSES_MAX) {
            fields::nested(1, out, |out| {
                // Writing into memory does not fail.
                let _ = write!(out, "{direct}");
            });
        }
        fields::bytes(2, self.relay.as_deref().unwrap_or_default().as_bytes(), out);
        fields::number(3, self.tcp_port.map_or(0, u64::from), out);
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
