"""Home routers and office firewalls, in nftables.

The kinds of NAT, in the words of RFC 4787:

* port-restricted: the same inside port is the same outside port whomever it talks to
  (endpoint-independent mapping, port preservation), and only those whom the inside has written
  to may answer (address- and port-dependent filtering). Hole punching works.
* symmetric: another outside port for every conversation (address- and port-dependent mapping).
  Between two of them hole punching does not work.

Both drop what nobody asked for before it leaves a trace in connection tracking; a trace would
take the port that the inside is about to use.
"""
import enum

INSIDE, OUTSIDE = "lan", "wan"


class Nat(enum.Enum):
    """How a home router maps ports."""
    PORT_RESTRICTED = "masquerade"
    SYMMETRIC = "masquerade fully-random"


def translate(namespace, kind):
    """Makes the namespace a home router between its devices `lan` and `wan`."""
    namespace.configure({"ipv4/ip_forward": 1})
    namespace.firewall(f"""
        table ip home {{
            chain outwards {{
                type nat hook postrouting priority srcnat
                oifname "{OUTSIDE}" {kind.value}
            }}
            chain to_router {{
                type filter hook input priority filter
                iifname "{OUTSIDE}" ct state established,related accept
                iifname "{OUTSIDE}" drop
            }}
            chain to_home {{
                type filter hook forward priority filter
                iifname "{OUTSIDE}" ct state established,related accept
                iifname "{OUTSIDE}" drop
            }}
        }}""")


def block_udp(namespace):
    """Lets no UDP in or out of the machine, as some offices do."""
    namespace.firewall("""
        table ip office {
            chain inwards {
                type filter hook input priority filter
                iifname != "lo" meta l4proto udp drop
            }
            chain outwards {
                type filter hook output priority filter
                oifname != "lo" meta l4proto udp drop
            }
        }""")
