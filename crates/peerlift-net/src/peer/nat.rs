//! Judges the NAT that this machine is behind by what relays see of its UDP.
//!
//! Two relays that are asked from one socket see one mapping or two: that is all that can be known
//! without a third machine's help, and all that is said. What was not seen stays
//! [`NatClass::Unknown`]. How packets that nobody asked for are filtered is not looked at.
//!
//! Asking the relays is `iroh`'s work, see [`super::PeerNode`]; telling control nodes is the owner's.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use iroh::unstable_net_report::{NetReport, Probe};
use peerlift_model::NatClass;
use url::Url;

use super::RelayConfig;

/// Looks in a row without an answer by UDP, after which it is taken to be blocked. One may be a
/// moment of packet loss, or of a busy machine.
const SILENT_LOOKS: u32 = 2;

/// Relays that have to agree.
const OBSERVERS: usize = 2;

/// What was found out until now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NatFinder {
    v4: Mapping,
    v6: Mapping,
    silent_looks: u32,
    /// Whether there are relays at two hosts that tell addresses. At one host alone they see one
    /// port of a NAT that maps by address (RFC 4787 §4.1) as well as of one that does not.
    far_apart: bool,
}

/// How one address family is mapped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mapping {
    seen: Option<SocketAddr>,
    varies: Option<bool>,
}

/// One look of all relays at this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    v4: Mapping,
    v6: Mapping,
    /// Whether two relays that should answer by UDP answered by TCP only.
    silent: bool,
}

impl NatFinder {
    /// Nothing is known yet.
    pub(super) fn new(relays: &[RelayConfig]) -> Self {
        Self {
            far_apart: observers(relays).len() >= OBSERVERS,
            ..Self::default()
        }
    }

    /// Whether its relays stand where they can tell how a NAT maps.
    pub(super) fn is_far_sighted(&self) -> bool {
        self.far_apart
    }

    /// Takes note of a look.
    pub(super) fn handle_look(&mut self, look: Look) {
        self.silent_looks = match look.silent {
            true => self.silent_looks.saturating_add(1),
            false => 0,
        };
        if self.silent_looks >= SILENT_LOOKS {
            (self.v4, self.v6) = (Mapping::default(), Mapping::default());
        }
        self.v4.learn(look.v4);
        self.v6.learn(look.v6);
    }

    /// The class, with what a control node sees of the client's TCP; `is_own` tells this machine's
    /// addresses.
    pub(super) fn class(
        &self,
        observed: Option<IpAddr>,
        is_own: impl Fn(IpAddr) -> bool,
    ) -> NatClass {
        let of = |mapping: &Mapping| mapping.class(self.far_apart, &is_own);
        match (of(&self.v4), of(&self.v6)) {
            // The other family is a way in.
            (Some(NatClass::Hard), Some(NatClass::Open | NatClass::Easy)) => NatClass::Easy,
            (Some(class), _) | (None, Some(class)) => class,
            (None, None) if observed.is_some_and(&is_own) => NatClass::Open,
            (None, None) if self.silent_looks >= SILENT_LOOKS => NatClass::Blocked,
            (None, None) => NatClass::Unknown,
        }
    }
}

impl Mapping {
    /// Keeps what an earlier look knew about the same address: not every look asks two relays.
    fn learn(&mut self, look: Self) {
        let Some(seen) = look.seen else { return };
        if self.seen.map(|known| known.ip()) != Some(seen.ip()) {
            self.varies = None;
        }
        self.seen = Some(seen);
        self.varies = look.varies.or(self.varies);
    }

    fn class(&self, far_apart: bool, is_own: impl Fn(IpAddr) -> bool) -> Option<NatClass> {
        let seen = self.seen?;
        Some(match self.varies {
            _ if is_own(seen.ip()) => NatClass::Open,
            Some(true) => NatClass::Hard,
            Some(false) if far_apart => NatClass::Easy,
            Some(false) | None => NatClass::Unknown,
        })
    }
}

impl Look {
    /// What `iroh` reports of these relays.
    pub(super) fn of(report: &NetReport, relays: &[RelayConfig]) -> Self {
        let by_tcp = { report.relay_latency.iter() }
            .filter(|(probe, ..)| matches!(probe, Probe::Https))
            .filter_map(|(_, url, _)| url.host_str().map(str::to_owned));
        let by_tcp: BTreeSet<String> = by_tcp.collect();
        let answered = observers(relays).intersection(&by_tcp).count();
        Self {
            v4: Mapping {
                seen: report.global_v4.map(SocketAddr::V4),
                varies: report.mapping_varies_by_dest_ipv4,
            },
            v6: Mapping {
                seen: report.global_v6.map(SocketAddr::V6),
                varies: report.mapping_varies_by_dest_ipv6,
            },
            silent: !report.has_udp() && answered >= OBSERVERS,
        }
    }
}

/// Whether this machine has the address.
#[must_use]
pub fn is_own(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

/// The hosts whose relays tell clients their address.
fn observers(relays: &[RelayConfig]) -> BTreeSet<String> {
    { relays.iter() }
        .filter(|relay| relay.quic_port.is_some())
        .filter_map(|relay| Url::parse(&relay.url).ok()?.host_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "10.0.0.2:4433";
    const OUTSIDE: &str = "198.51.100.7:4433";
    const OWN_V6: &str = "[2001:db8::2]:4433";

    fn relay(host: &str, quic_port: Option<u16>) -> RelayConfig {
        RelayConfig {
            url: format!("https://{host}/"),
            quic_port,
        }
    }

    fn two_hosts() -> NatFinder {
        NatFinder::new(&[
            relay("a.example", Some(7842)),
            relay("b.example", Some(7842)),
        ])
    }

    fn seen(address: &str, varies: Option<bool>) -> Mapping {
        let seen = Some(address.parse().unwrap());
        Mapping { seen, varies }
    }

    fn by_v4(address: &str, varies: Option<bool>) -> Look {
        let v4 = seen(address, varies);
        Look {
            v4,
            ..Look::default()
        }
    }

    fn class(finder: &NatFinder) -> NatClass {
        finder.class(None, is_ours)
    }

    fn is_ours(address: IpAddr) -> bool {
        [OWN, OWN_V6]
            .map(|own| own.parse::<SocketAddr>().unwrap().ip())
            .contains(&address)
    }

    fn after(looks: &[Look]) -> NatClass {
        let mut finder = two_hosts();
        for look in looks {
            finder.handle_look(*look);
        }
        class(&finder)
    }

    #[test]
    fn two_relays_tell_the_mapping() {
        assert_eq!(after(&[by_v4(OWN, Some(false))]), NatClass::Open);
        assert_eq!(after(&[by_v4(OUTSIDE, Some(false))]), NatClass::Easy);
        assert_eq!(after(&[by_v4(OUTSIDE, Some(true))]), NatClass::Hard);
    }

    #[test]
    fn what_was_not_seen_is_not_said() {
        assert_eq!(after(&[]), NatClass::Unknown);
        assert_eq!(after(&[Look::default()]), NatClass::Unknown);
        assert_eq!(after(&[by_v4(OUTSIDE, None)]), NatClass::Unknown);
    }

    #[test]
    fn two_relays_of_one_host_show_a_hard_nat_but_no_easy_one() {
        let relays = [
            relay("a.example", Some(7842)),
            relay("a.example:444", Some(7843)),
        ];
        for (varies, wanted) in [(false, NatClass::Unknown), (true, NatClass::Hard)] {
            let mut finder = NatFinder::new(&relays);
            finder.handle_look(by_v4(OUTSIDE, Some(varies)));
            assert_eq!(class(&finder), wanted);
        }
    }

    #[test]
    fn relays_that_do_not_tell_addresses_are_no_observers() {
        let relays = [relay("a.example", Some(7842)), relay("b.example", None)];
        assert!(!NatFinder::new(&relays).far_apart);
        assert!(two_hosts().far_apart);
    }

    #[test]
    fn a_look_that_asked_one_relay_takes_nothing_back() {
        let hard = by_v4(OUTSIDE, Some(true));
        assert_eq!(after(&[hard, by_v4(OUTSIDE, None)]), NatClass::Hard);
        assert_eq!(after(&[hard, Look::default()]), NatClass::Hard);
        assert_eq!(after(&[hard, by_v4(OUTSIDE, Some(false))]), NatClass::Easy);
    }

    #[test]
    fn in_another_network_everything_is_open_again() {
        let hard = by_v4(OUTSIDE, Some(true));
        assert_eq!(
            after(&[hard, by_v4("192.0.2.1:4433", None)]),
            NatClass::Unknown
        );
        assert_eq!(after(&[hard, by_v4(OWN, None)]), NatClass::Open);
    }

    #[test]
    fn silence_has_to_last_before_udp_counts_as_blocked() {
        let silent = Look {
            silent: true,
            ..Look::default()
        };
        assert_eq!(after(&[silent]), NatClass::Unknown);
        assert_eq!(after(&[silent, silent]), NatClass::Blocked);
        assert_eq!(after(&[silent, Look::default(), silent]), NatClass::Unknown);
        let easy = by_v4(OUTSIDE, Some(false));
        assert_eq!(after(&[easy, silent]), NatClass::Easy);
        assert_eq!(after(&[easy, silent, silent]), NatClass::Blocked);
        assert_eq!(after(&[silent, silent, easy]), NatClass::Easy);
    }

    #[test]
    fn an_own_address_at_a_control_node_is_open_unless_udp_shows_otherwise() {
        let own: IpAddr = OWN.parse::<SocketAddr>().unwrap().ip();
        let mut finder = two_hosts();
        assert_eq!(finder.class(Some(own), is_ours), NatClass::Open);
        finder.handle_look(by_v4(OUTSIDE, Some(true)));
        assert_eq!(finder.class(Some(own), is_ours), NatClass::Hard);
    }

    #[test]
    fn the_other_family_is_a_way_around_a_hard_nat() {
        let both = |v4, v6| Look {
            v4,
            v6,
            silent: false,
        };
        let hard = seen(OUTSIDE, Some(true));
        assert_eq!(after(&[both(hard, seen(OWN_V6, None))]), NatClass::Easy);
        assert_eq!(
            after(&[both(hard, seen("[2001:db8::9]:1", None))]),
            NatClass::Hard
        );
        assert_eq!(
            after(&[both(Mapping::default(), seen(OWN_V6, None))]),
            NatClass::Open
        );
    }
}
