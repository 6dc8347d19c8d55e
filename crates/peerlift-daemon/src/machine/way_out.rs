//! Over which interface packets to the internet go, by the kernel's own word: rtnetlink(7).
//!
//! `/proc/net/route` shows the main table alone. VPNs have tables of their own and rules that lead
//! there (`wg-quick`, NetworkManager), so the kernel is asked as `ip route get` does; nothing is sent.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

/// Addresses that nobody has and no table knows (RFC 5737, RFC 3849): they go where everything else
/// does.
const ANYWHERE: [&str; 2] = ["192.0.2.1", "2001:db8::1"];

/// `RTM_NEWROUTE` and `RTM_GETROUTE` of linux/rtnetlink.h.
const NEW_ROUTE: u16 = 24;
const GET_ROUTE: u16 = 26;

/// `NLM_F_REQUEST` of linux/netlink.h.
const REQUEST: u16 = 1;

/// `RTA_DST` and `RTA_OIF`: where to, and out of which interface.
const TO: u16 = 1;
const OUT_OF: u16 = 4;

/// `struct nlmsghdr` and `struct rtmsg`: what stands before the attributes.
const HEADS_BYTES: usize = 16 + 12;

/// The interface; IPv6 counts where there is no IPv4. `None`: there is no way out, or the kernel does
/// not say.
pub(super) fn way_out() -> Option<String> {
    let asked = |address: &str| ask(address.parse().ok()?).ok().flatten();
    ANYWHERE.iter().find_map(|address| asked(address))
}

fn ask(to: IpAddr) -> io::Result<Option<String>> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        None,
    )?;
    rustix::net::send(&socket, &request(to), SendFlags::empty())?;
    let mut answer = [0; 4096];
    let (_, length) = rustix::net::recv(&socket, &mut answer[..], RecvFlags::empty())?;
    let Some(index) = interface(&answer[..length.min(answer.len())]) else {
        return Ok(None);
    };
    name(&socket, index).map(Some)
}

fn name(socket: &OwnedFd, index: u32) -> io::Result<String> {
    Ok(rustix::net::netdevice::index_to_name(socket, index)?)
}

fn request(to: IpAddr) -> Vec<u8> {
    let (family, address) = match to {
        IpAddr::V4(v4) => (AddressFamily::INET, v4.octets().to_vec()),
        IpAddr::V6(v6) => (AddressFamily::INET6, v6.octets().to_vec()),
    };
    let number = |length: usize| u16::try_from(length).unwrap_or(u16::MAX);
    let (attribute, bits) = (4 + address.len(), 8 * address.len());
    let whole = u32::from(number(HEADS_BYTES + attribute));
    let mut message = Vec::with_capacity(HEADS_BYTES + attribute);
    // Length, type, flags, sequence, port.
    message.extend(whole.to_ne_bytes());
    message.extend(GET_ROUTE.to_ne_bytes());
    message.extend(REQUEST.to_ne_bytes());
    message.extend([0; 8]);
    // Family, length of the destination in bits; the rest is for the kernel to choose.
    message.extend([
        number(family.as_raw().into()).to_le_bytes()[0],
        number(bits).to_le_bytes()[0],
    ]);
    message.extend([0; 10]);
    message.extend(number(attribute).to_ne_bytes());
    message.extend(TO.to_ne_bytes());
    message.extend(address);
    message
}

/// The interface's number in an answer. `None`: it is an error, or none that is understood.
pub(super) fn interface(answer: &[u8]) -> Option<u32> {
    let short = |at: usize| Some(u16::from_ne_bytes(answer.get(at..at + 2)?.try_into().ok()?));
    if short(4)? != NEW_ROUTE {
        return None;
    }
    let mut at = HEADS_BYTES;
    loop {
        let (length, kind) = (usize::from(short(at)?), short(at + 2)?);
        if kind == OUT_OF {
            let number = answer.get(at + 4..at + 8)?;
            return Some(u32::from_ne_bytes(number.try_into().ok()?));
        }
        // An attribute has a head at least; each begins at a multiple of four.
        at += length.max(4).next_multiple_of(4);
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Moves this thread into a network of its own; false, with the reason printed: that cannot be had.
    #[expect(
        unsafe_code,
        reason = "only the flag for descriptors is unsafe, and it is not set"
    )]
    fn network(commands: &str) -> bool {
        use rustix::thread::{UnshareFlags, unshare_unsafe};
        // SAFETY: the thread's network changes; its descriptors stay.
        if let Err(error) = unsafe { unshare_unsafe(UnshareFlags::NEWNET) } {
            eprintln!("skipped: unshare: {error}");
            return false;
        }
        sh(commands)
    }

    fn sh(commands: &str) -> bool {
        match Command::new("sh").args(["-ec", commands]).output() {
            Ok(output) if output.status.success() => true,
            Ok(output) => {
                eprintln!("skipped: {}", String::from_utf8_lossy(&output.stderr));
                false
            }
            Err(error) => {
                eprintln!("skipped: sh: {error}");
                false
            }
        }
    }

    #[test]
    fn a_vpn_with_a_table_of_its_own_is_the_way_out() {
        // A network is a thread's.
        let asked = std::thread::spawn(|| {
            if !network(
                "ip link add home0 type veth peer name far0
                 ip address add 10.0.0.2/24 dev home0
                 ip link set home0 up
                 ip link set far0 up",
            ) {
                return;
            }
            assert_eq!(way_out(), None, "nothing leads out");
            assert!(sh("ip route add default via 10.0.0.1"));
            assert_eq!(way_out().as_deref(), Some("home0"));
            // As wg-quick(8) does.
            assert!(sh("ip link add office type veth peer name far1
                 ip link set office up
                 ip link set far1 up
                 ip route add default dev office table 51820
                 ip rule add not fwmark 51820 table 51820"));
            assert_eq!(way_out().as_deref(), Some("office"));
        });
        asked.join().unwrap();
    }

    #[test]
    fn an_answer_that_is_none_is_no_interface() {
        let good = [
            &36_u32.to_ne_bytes()[..],
            &NEW_ROUTE.to_ne_bytes(),
            &[0; 22],
            &8_u16.to_ne_bytes(),
            &OUT_OF.to_ne_bytes(),
            &7_u32.to_ne_bytes(),
        ]
        .concat();
        assert_eq!(interface(&good), Some(7));
        for length in 0..good.len() {
            assert_eq!(interface(&good[..length]), None, "{length}");
        }
        let mut error = good;
        error[4..6].copy_from_slice(&2_u16.to_ne_bytes());
        assert_eq!(interface(&error), None);
    }
}
