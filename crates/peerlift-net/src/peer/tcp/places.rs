//! At which addresses a peer may be reached by TCP.
//!
//! A peer says where it listens, and nobody has checked it. An address that cannot lead there
//! costs a moment; one that leads into our own network, to a machine that is no peer, costs its
//! owner's trust. So only what may well be right is dialled.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use peerlift_wire::PeerAddress;

/// Addresses of one peer that are dialled at once: IPv4 and IPv6, from inside and outside.
const PLACES_MAX: usize = 4;

/// The lowest port that is dialled: what listens below it is some system service, not a peer.
const PORT_MIN: u16 = 1024;

/// Where a peer may be reached by TCP, seen from a machine with these addresses of its own.
pub(super) fn places(peer: &PeerAddress, own: &[IpAddr]) -> Vec<SocketAddr> {
    let Some(port) = peer.tcp_port.filter(|port| *port >= PORT_MIN) else {
        return Vec::new();
    };
    let mut places = Vec::new();
    for ip in peer.direct.iter().map(|place| place.ip().to_canonical()) {
        let place = SocketAddr::new(ip, port);
        if is_plausible(ip, own) && !places.contains(&place) && places.len() < PLACES_MAX {
            places.push(place);
        }
    }
    places
}

fn is_plausible(ip: IpAddr, own: &[IpAddr]) -> bool {
    match ip {
        IpAddr::V4(ip) if is_private_v4(ip) => own.iter().any(|own| match own {
            IpAddr::V4(own) => own.octets()[..3] == ip.octets()[..3],
            IpAddr::V6(_) => false,
        }),
        IpAddr::V6(ip) if ip.is_unique_local() => own.iter().any(|own| match own {
            IpAddr::V4(_) => false,
            IpAddr::V6(own) => own.octets()[..8] == ip.octets()[..8],
        }),
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast() && !is_scoped(ip),
    }
}

/// Addresses that mean another machine in every network: RFC 1918, RFC 3927, RFC 6598.
fn is_private_v4(ip: Ipv4Addr) -> bool {
    let [first, second, ..] = ip.octets();
    ip.is_private() || ip.is_link_local() || (first == 100 && second & 0xc0 == 64)
}

/// Addresses that mean nothing without the interface they belong to (RFC 4291 §2.5.6).
fn is_scoped(ip: Ipv6Addr) -> bool {
    ip.is_unicast_link_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialled(direct: &[&str], port: u16) -> Vec<String> {
        let own: Vec<IpAddr> = ["192.168.1.7", "203.0.113.9", "fd00:1:2:3::7"]
            .iter()
            .map(|ip| ip.parse().unwrap())
            .collect();
        let peer = PeerAddress {
            direct: direct.iter().map(|place| place.parse().unwrap()).collect(),
            relay: None,
            tcp_port: Some(port),
        };
        places(&peer, &own)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn each_address_is_dialled_once_at_the_tcp_port() {
        let direct = ["198.51.100.1:9", "198.51.100.1:10", "[2001:db8::1]:9"];
        assert_eq!(
            dialled(&direct, 4434),
            ["198.51.100.1:4434", "[2001:db8::1]:4434"]
        );
        assert_eq!(
            dialled(&["[::ffff:198.51.100.1]:9"], 4434),
            ["198.51.100.1:4434"]
        );
    }

    #[test]
    fn private_addresses_count_only_in_the_same_network() {
        let direct = [
            "192.168.1.8:9",
            "192.168.2.8:9",
            "10.0.0.1:9",
            "100.64.0.1:9",
            "169.254.1.1:9",
            "[fd00:1:2:3::8]:9",
            "[fd00:1:2:4::8]:9",
        ];
        assert_eq!(
            dialled(&direct, 4434),
            ["192.168.1.8:4434", "[fd00:1:2:3::8]:4434"]
        );
    }

    #[test]
    fn what_is_no_place_is_not_dialled() {
        let direct = [
            "0.0.0.0:9",
            "255.255.255.255:9",
            "224.0.0.1:9",
            "[::]:9",
            "[ff02::1]:9",
            "[fe80::1]:9",
        ];
        assert!(dialled(&direct, 4434).is_empty());
    }

    #[test]
    fn system_services_are_left_alone() {
        assert!(dialled(&["198.51.100.1:9"], 1023).is_empty());
    }

    #[test]
    fn a_peer_with_many_addresses_is_tried_at_the_first() {
        let direct: Vec<String> = (1..=16).map(|n| format!("198.51.100.{n}:9")).collect();
        let direct: Vec<&str> = direct.iter().map(String::as_str).collect();
        assert_eq!(dialled(&direct, 4434).len(), PLACES_MAX);
        let peer = PeerAddress {
            direct: vec!["198.51.100.1:9".parse().unwrap()],
            relay: None,
            tcp_port: None,
        };
        assert!(places(&peer, &[]).is_empty());
    }
}
