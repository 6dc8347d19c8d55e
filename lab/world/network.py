"""An internet of a few hosts.

              +---------------- internet ----------------+
              |  veth ... veth        distance (TUN)     |
              +---+-------+---------------+--------------+
                  |       |               |                 access links, shaped at both ends
                edge    peer0         peer1-home            a home router, if the host has one
                                          |
                                        peer1

The internet is routed, not bridged: nobody finds a neighbour by broadcast. Addresses are from
198.18.0.0/15, which RFC 2544 sets aside for tests and programs take for public ones.
"""
from contextlib import ExitStack
from dataclasses import dataclass

from .distance import Distance
from .link import is_up, join, sent_bytes, shape
from .namespace import Namespace
from .nat import INSIDE, OUTSIDE, Nat, block_udp, translate
from .waiting import until

LINK_UP_SECONDS = 10


@dataclass(frozen=True)
class Plan:
    """What a host is to be. Rates in Mbit/s; None: as fast as the machine can.
    Distance: one way, in ms, to every other host; None: as far as most are from one another."""
    name: str
    down: float | None = None
    up: float | None = None
    distance_ms: float | None = None
    nat: Nat | None = None
    udp: bool = True


@dataclass(frozen=True)
class Host:
    """A machine on the lab's internet."""
    plan: Plan
    namespace: Namespace
    address: str           # its own
    public_address: str    # how others see it
    router: Namespace      # what the access link ends at: its home router, or itself
    provider: Namespace    # the internet's side of the access link
    provider_device: str

    @property
    def name(self):
        """How scenarios call it."""
        return self.plan.name

    def sent(self):
        """Bytes it has put on its access link, headers included."""
        return sent_bytes(self.router, OUTSIDE)

    def received(self):
        """Bytes it has taken from its access link, headers included."""
        return sent_bytes(self.provider, self.provider_device)


class Network:
    """Builds the hosts on entry, removes everything on exit, whatever happened between."""

    def __init__(self, run_name, folder, forwarder, plans, distance_ms=0):
        self.run_name, self.folder, self.forwarder = run_name, folder, forwarder
        self.plans, self.distance_ms = plans, distance_ms
        self.hosts: dict[str, Host] = {}
        self._stack = ExitStack()

    def __enter__(self):
        try:
            self._build()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_):
        self._stack.close()

    def __getitem__(self, name) -> Host:
        return self.hosts[name]

    def _build(self):
        internet = self._namespace("internet")
        internet.configure({"ipv4/ip_forward": 1})
        for number, plan in enumerate(self.plans):
            self.hosts[plan.name] = self._host(internet, number, plan)
        exceptions = {host.public_address: host.plan.distance_ms
                      for host in self.hosts.values() if host.plan.distance_ms is not None}
        if self.distance_ms or exceptions:
            distance = Distance(internet, self.forwarder, self.folder, self.distance_ms, exceptions)
            self._stack.callback(distance.remove)
        # Some programs look at the interfaces once, when they start.
        for host in self.hosts.values():
            until(lambda: is_up(host.router, OUTSIDE), f"{host.name}: link up", LINK_UP_SECONDS)

    def _namespace(self, host):
        namespace = Namespace(self.run_name, host)
        self._stack.callback(namespace.remove)
        return namespace

    def _host(self, internet, number, plan):
        namespace = self._namespace(plan.name)
        public_address, gateway = f"198.18.{number}.2", f"198.18.{number}.1"
        address, router, device = public_address, namespace, f"access{number}"
        if plan.nat is not None:
            router = self._namespace(f"{plan.name}-home")
            address = "192.168.1.2"
            join(namespace, INSIDE, f"{address}/24", router, INSIDE, "192.168.1.1/24")
            translate(router, plan.nat)
        join(router, OUTSIDE, f"{public_address}/24", internet, device, f"{gateway}/24")
        shape(router, OUTSIDE, plan.up)
        shape(internet, device, plan.down)
        if not plan.udp:
            block_udp(namespace)
        return Host(plan, namespace, address, public_address, router, internet, device)
