"""Network namespaces of one run, and the removal of what a killed run has left.

A name is `peerlift-PID-RUN-HOST`, so that runs never meet and a stale name tells that its
maker is gone.
"""
import os

from .commands import CommandFailed, run

PREFIX = "peerlift"

# IPv6 is off: every address in the lab is one that the scenario has chosen. Reverse-path
# filters would drop packets that come back from the distance device.
SETTINGS = {
    "ipv6/conf/all/disable_ipv6": 1,
    "ipv6/conf/default/disable_ipv6": 1,
    "ipv4/conf/all/rp_filter": 0,
    "ipv4/conf/default/rp_filter": 0,
    "ipv4/conf/all/send_redirects": 0,
    "ipv4/conf/default/send_redirects": 0,
}


class Namespace:
    """One network namespace. It exists from construction to `remove`."""

    def __init__(self, run_name, host):
        self.name = f"{PREFIX}-{os.getpid()}-{run_name}-{host}"
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        self.configure(SETTINGS)

    def configure(self, settings):
        """Writes settings below /proc/sys/net."""
        script = "; ".join(f"echo {value} > /proc/sys/net/{key}" for key, value in settings.items())
        self.inside("sh", "-ec", script)

    def ip(self, *words):
        """Runs `ip` for this namespace."""
        return run("ip", "-n", self.name, *words)

    def tc(self, *words):
        """Runs `tc` for this namespace."""
        return run("tc", "-n", self.name, *words)

    def firewall(self, rules):
        """Loads an nftables file."""
        return run(*self.enter("nft", "-f", "-"), stdin=rules)

    def inside(self, *argv, **options):
        """Runs a short command inside."""
        return run(*self.enter(*argv), **options)

    def enter(self, *argv):
        """The command line that runs a command inside; its process id is the command's own."""
        return ["ip", "netns", "exec", self.name, *argv]

    def remove(self):
        """Removes it by name. The links in it go along."""
        run("ip", "netns", "del", self.name)


def remove_stale():
    """Removes namespaces of runs whose process no longer lives."""
    for line in run("ip", "netns", "list").splitlines():
        name = line.split()[0]
        parts = name.split("-")
        if parts[0] == PREFIX and parts[1].isdigit() and not os.path.exists(f"/proc/{parts[1]}"):
            try:
                run("ip", "netns", "del", name)
            except CommandFailed:
                pass
