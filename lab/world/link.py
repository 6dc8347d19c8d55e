"""Links between namespaces: a veth pair, shaped at both ends by a token bucket."""
import json

# A drop-tail queue of 100 ms at line rate: what common home routers and cable modems have.
QUEUE_MS = 100

# What servers on the internet mostly use. A namespace cannot set its own default, so every
# route carries it.
CONGESTION = "cubic"


def join(inner, inner_name, inner_address, outer, outer_name, outer_address):
    """Connects two namespaces; addresses are ADDRESS/BITS. The inner one routes all through it."""
    outer.ip("link", "add", outer_name, "type", "veth",
             "peer", "name", inner_name, "netns", inner.name)
    for end, name, address in ((outer, outer_name, outer_address),
                               (inner, inner_name, inner_address)):
        end.ip("address", "add", address, "dev", name)
        end.ip("link", "set", name, "up")
    gateway = outer_address.split("/")[0]
    inner.ip("route", "add", "default", "via", gateway, "congctl", CONGESTION)


def shape(namespace, device, mbit, queue_ms=QUEUE_MS):
    """Lets no more than so many Mbit/s out of the device; None leaves it as it is."""
    if mbit is None:
        return
    bytes_per_ms = mbit * 1e6 / 8 / 1000
    burst = int(max(2 * bytes_per_ms, 3 * 1514))
    queue = int(queue_ms * bytes_per_ms) + burst
    namespace.tc("qdisc", "add", "dev", device, "root", "tbf",
                 "rate", f"{round(mbit * 1e6)}bit", "burst", burst, "limit", queue)


def is_up(namespace, device):
    """Whether the kernel has noticed that both ends are up."""
    return json.loads(namespace.ip("-j", "link", "show", "dev", device))[0]["operstate"] == "UP"


def sent_bytes(namespace, device):
    """Bytes that left the device, headers included. Where it is shaped, the shaper's count:
    it counts packets as they are on the wire, the interface counts them before they are cut."""
    for queue in json.loads(namespace.tc("-s", "-j", "qdisc", "show", "dev", device)):
        if queue["kind"] == "tbf":
            return queue["bytes"]
    link, = json.loads(namespace.ip("-s", "-j", "link", "show", "dev", device))
    return link["stats64"]["tx"]["bytes"]
