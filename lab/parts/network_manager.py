"""NetworkManager and a D-Bus of its own: a laptop's network, in a namespace that nobody else sees.

Debian's package is unpacked and not installed: it would take the machine's own network in hand.
The bus is a Unix socket, so that programs outside of the namespace can ask.
"""
import os
import shutil
import subprocess
from pathlib import Path

from world.waiting import until

PACKAGE = "network-manager"
# They come along and are of no use here.
NOT_UNPACKED = ("systemd", "udev", "libpam-", "libnss-")
START_SECONDS = 20
APT_SECONDS = 120
CONNECTION = "home"

BUS = """<busconfig><type>custom</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
<allow own="*"/></policy></busconfig>
"""
SETTINGS = """[main]
auth-polkit=false
plugins=keyfile
dns=none
rc-manager=unmanaged
no-auto-default=*
[keyfile]
path={connections}
"""
HOME = f"""[connection]
id={CONNECTION}
uuid=6f1b2f8e-5b1c-4c57-9f0e-0d5a1d8b8a01
type=ethernet
interface-name=home0
metered=2
[ipv4]
method=manual
address1=10.9.8.7/24,10.9.8.1
[ipv6]
method=disabled
"""
# A read-only /sys tells NetworkManager that no udev will name its devices.
BEGIN = """ip link set lo up
ip link add home0 type veth peer name far0
ip link set far0 up
mount -t sysfs -o ro sysfs /sys
mount --bind "$0" /run
exec "$@"
"""


class NetworkManager:
    """Running, with one connection that is up."""

    def __init__(self, stage, folder, root):
        self.stage, self.root = stage, root
        for name in ("run", "conf.d", "connections"):
            (folder / name).mkdir()
        self.address = f"unix:path={folder / 'bus'}"
        (folder / "bus.conf").write_text(BUS.format(socket=folder / "bus"))
        bus = stage.start(["dbus-daemon", "--nofork", "--config-file", folder / "bus.conf"], "bus")
        until(lambda: bus.code is not None or (folder / "bus").exists(), "the bus", START_SECONDS)
        stage.check(bus.code is None, f"the bus ended: {bus.last_words()}")

        home = folder / "connections" / "home.nmconnection"
        home.write_text(HOME)
        home.chmod(0o600)
        settings = folder / "nm.conf"
        settings.write_text(SETTINGS.format(connections=home.parent))
        manager = stage.start(
            ["unshare", "--net", "--mount", "sh", "-ec", BEGIN, folder / "run",
             root / "usr/sbin/NetworkManager", "--debug", f"--config={settings}",
             f"--config-dir={folder / 'conf.d'}", f"--system-config-dir={folder / 'conf.d'}",
             f"--intern-config={folder / 'intern.conf'}", f"--state-file={folder / 'state'}",
             f"--pid-file={folder / 'pid'}"], "network-manager", env=self.environment)
        until(lambda: manager.code is not None or self.is_up(), "the connection", START_SECONDS)
        stage.check(manager.code is None, f"NetworkManager ended: {manager.last_words()}")

    @property
    def environment(self):
        """For whoever asks it."""
        libraries = ":".join(map(str, sorted((self.root / "usr/lib").glob("*-linux-gnu"))))
        return {"DBUS_SYSTEM_BUS_ADDRESS": self.address, "LD_LIBRARY_PATH": libraries}

    def is_up(self):
        shown = self.ask("--terse", "--fields", "name,state", "connection", "show", "--active")
        return f"{CONNECTION}:activated" in shown.stdout

    def set_metered(self, metered):
        """As its user does in the settings of the network."""
        for words in (("connection", "modify", CONNECTION, "connection.metered",
                       "yes" if metered else "no"), ("device", "reapply", "home0")):
            done = self.ask(*words)
            self.stage.equal(done.returncode, 0, f"nmcli {' '.join(words)}: {done.stderr}")

    def ask(self, *words):
        return subprocess.run([self.root / "usr/bin/nmcli", *words], capture_output=True, text=True,
                              env={**os.environ, **self.environment}, timeout=START_SECONDS)


def unpacked(cache):
    """The folder where it is unpacked; or None, and why it is not."""
    root = cache / "root"
    if not shutil.which("dbus-daemon"):
        return None, "dbus-daemon is not installed (Debian: dbus-daemon)"
    for place in (Path("/"), root):
        if (place / "usr/sbin/NetworkManager").exists():
            return place, None
    if not shutil.which("apt-get"):
        return None, "there is no apt-get to fetch NetworkManager with"
    shutil.rmtree(cache, ignore_errors=True)
    archives, fresh = cache / "archives", cache / "fresh"
    (archives / "partial").mkdir(parents=True)
    # With whatever it needs and this machine lacks.
    fetch = ["apt-get", "install", "-qy", "--download-only", "--no-install-recommends",
             "-o", f"Dir::Cache::archives={archives}", PACKAGE]
    try:
        fetched = subprocess.run(fetch, capture_output=True, text=True, timeout=APT_SECONDS)
    except subprocess.TimeoutExpired:
        return None, "NetworkManager cannot be had: apt-get takes too long"
    packages = [path for path in archives.glob("*.deb") if not path.name.startswith(NOT_UNPACKED)]
    if not any(path.name.startswith(PACKAGE) for path in packages):
        return None, f"NetworkManager cannot be had: {fetched.stderr.strip()}"
    for package in packages:
        subprocess.run(["dpkg", "-x", package, fresh], check=True)
    fresh.rename(root)
    return root, None
