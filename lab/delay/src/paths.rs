//! How long a packet travels, by who sends it to whom.

use std::net::Ipv4Addr;
use std::time::Duration;

/// Bytes of `struct virtio_net_hdr` before every packet (Linux, `linux/virtio_net.h`).
pub(crate) const VIRTIO_HEADER_BYTES: usize = 10;

/// One-way delays: one for all paths, and exceptions for those that begin or end at an address.
#[derive(Debug)]
pub(crate) struct Paths {
    usual: Duration,
    exceptions: Vec<(Ipv4Addr, Duration)>,
}

impl Paths {
    /// Reads `DEFAULT_US [ADDRESS=US]...`.
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let usual = microseconds(&words.next().ok_or("the default delay is missing")?)?;
        let exceptions = words
            .map(|word| exception(&word))
            .collect::<Result<_, _>>()?;
        Ok(Self { usual, exceptions })
    }

    /// How long the packet travels. What is no IPv4 packet travels like most.
    pub(crate) fn delay_of(&self, packet: &[u8]) -> Duration {
        let (from, to) = (address_at(packet, 12), address_at(packet, 16));
        self.exceptions
            .iter()
            .find(|(address, _)| from == Some(*address) || to == Some(*address))
            .map_or(self.usual, |(_, delay)| *delay)
    }
}

/// The address at an offset of the IPv4 header (RFC 791 §3.1).
fn address_at(packet: &[u8], offset: usize) -> Option<Ipv4Addr> {
    let bytes: [u8; 4] = packet
        .get(VIRTIO_HEADER_BYTES + offset..)?
        .get(..4)?
        .try_into()
        .ok()?;
    Some(Ipv4Addr::from(bytes))
}

fn exception(word: &str) -> Result<(Ipv4Addr, Duration), String> {
    let (address, delay) = word.split_once('=').ok_or("an exception is ADDRESS=US")?;
    let address = address
        .parse()
        .map_err(|_| format!("{address}: no IPv4 address"))?;
    Ok((address, microseconds(delay)?))
}

fn microseconds(word: &str) -> Result<Duration, String> {
    word.parse()
        .map(Duration::from_micros)
        .map_err(|_| format!("{word}: no microseconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(words: &[&str]) -> Result<Paths, String> {
        Paths::parse(words.iter().map(|word| (*word).to_owned()))
    }

    fn packet(from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
        let mut packet = vec![0; VIRTIO_HEADER_BYTES + 20];
        packet[VIRTIO_HEADER_BYTES + 12..][..4].copy_from_slice(&from);
        packet[VIRTIO_HEADER_BYTES + 16..][..4].copy_from_slice(&to);
        packet
    }

    #[test]
    fn an_exception_counts_at_either_end() {
        let paths = paths(&["25000", "198.18.0.2=10000"]).unwrap();
        let edge = [198, 18, 0, 2];
        let (near, far) = (Duration::from_millis(10), Duration::from_millis(25));
        assert_eq!(paths.delay_of(&packet(edge, [198, 18, 1, 2])), near);
        assert_eq!(paths.delay_of(&packet([198, 18, 1, 2], edge)), near);
        assert_eq!(
            paths.delay_of(&packet([198, 18, 1, 2], [198, 18, 2, 2])),
            far
        );
    }

    #[test]
    fn a_packet_too_short_for_addresses_travels_like_most() {
        let paths = paths(&["7", "0.0.0.0=9"]).unwrap();
        assert_eq!(paths.delay_of(&[0; 20]), Duration::from_micros(7));
    }

    #[test]
    fn words_that_are_no_delays_are_refused() {
        assert!(paths(&[]).is_err());
        assert!(paths(&["soon"]).is_err());
        assert!(paths(&["1", "edge=2"]).is_err());
        assert!(paths(&["1", "198.18.0.2"]).is_err());
    }
}
