//! Whether the way out leads through a VPN: by the kernel's word, else by `/proc/net/route` (proc(5)).

use std::fs;
use std::path::Path;

/// Routes that are looked at; no table of a home has as many.
const ROUTES_MAX: usize = 4096;

/// The interfaces of default routes, in the table's order: destination and mask are all zeros. VPNs that halve the
/// world (0.0.0.0/1 and 128.0.0.0/1) to win over the default route are found by the mask 0x80000000.
pub(super) fn default_interfaces(table: &str) -> Vec<&str> {
    let mut interfaces = Vec::new();
    for line in table.lines().skip(1).take(ROUTES_MAX) {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [interface, destination, _, _, _, _, _, mask, ..] = fields[..] else {
            continue;
        };
        let all = destination == "00000000" && mask == "00000000";
        // In the byte order of the machine, as the kernel prints it.
        let half = matches!(destination, "00000000" | "00000080" | "80000000")
            && matches!(mask, "00000080" | "80000000");
        if (all || half) && !interfaces.contains(&interface) {
            interfaces.push(interface);
        }
    }
    interfaces
}

/// The VPN that packets to the internet go through, if they do. `way_out` is the interface that the
/// kernel names; without it the table's default routes count.
pub(super) fn vpn(way_out: Option<&str>, table: &Path, interfaces: &Path) -> Option<String> {
    let text = fs::read_to_string(table).unwrap_or_default();
    let is_vpn = |name: &&&str| {
        // A TUN device says so; WireGuard says its type.
        let folder = interfaces.join(name);
        let event = fs::read_to_string(folder.join("uevent")).unwrap_or_default();
        folder.join("tun_flags").exists()
            || event.lines().any(|line| line == "DEVTYPE=wireguard")
            || ["tun", "wg", "ppp"]
                .iter()
                .any(|prefix| is_numbered(name, prefix))
    };
    let ways = way_out.map_or_else(|| default_interfaces(&text), |name| vec![name]);
    ways.iter().find(is_vpn).map(|name| (*name).to_owned())
}

fn is_numbered(name: &str, prefix: &str) -> bool {
    let number = name.strip_prefix(prefix);
    number.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    fn table(rows: &[(&str, &str, &str)]) -> String {
        let row = |(name, to, mask): &(&str, &str, &str)| {
            format!("{name}\t{to}\t0102A8C0\t0003\t0\t0\t100\t{mask}\t0\t0\t0\n")
        };
        HEAD.to_owned() + &rows.iter().map(row).collect::<String>()
    }

    #[test]
    fn only_default_routes_count() {
        let text = table(&[
            ("eth0", "00000000", "00000000"),
            ("wg0", "0000000A", "000000FF"),
            ("tun0", "00000080", "00000080"),
        ]);
        assert_eq!(default_interfaces(&text), ["eth0", "tun0"]);
        assert!(default_interfaces("nonsense").is_empty());
    }

    #[test]
    fn a_vpn_is_known_by_its_name_or_its_kind() {
        let folder = tempfile::tempdir().unwrap();
        let (path, sys) = (folder.path().join("route"), folder.path().join("net"));
        let through = |name: &str| {
            fs::write(&path, table(&[(name, "00000000", "00000000")])).unwrap();
            vpn(None, &path, &sys)
        };
        assert_eq!(through("eth0"), None);
        assert_eq!(through("tunnel"), None);
        assert_eq!(through("wg0").as_deref(), Some("wg0"));
        fs::create_dir_all(sys.join("office")).unwrap();
        fs::write(
            sys.join("office/uevent"),
            "DEVTYPE=wireguard\nINTERFACE=office\n",
        )
        .unwrap();
        assert_eq!(through("office").as_deref(), Some("office"));

        // What the kernel says counts more than its main table.
        assert_eq!(through("eth0"), None);
        assert_eq!(vpn(Some("office"), &path, &sys).as_deref(), Some("office"));
        through("wg0");
        assert_eq!(vpn(Some("eth0"), &path, &sys), None);
    }
}
