"""What a person notices of our seeding: a foreground download, an upload and a call beside it.

One home line, 20/5 Mbit/s with a drop-tail queue, whose machine seeds at full tilt to peers that
have nobody else to ask, while somebody uses the line for other things. The same without any
seeding, with uploads that take an equal share, and with a torrent client.
"""
import time
from dataclasses import dataclass

import torrent
from contenders import SHARE
from foreign import SYSTEM_PYTHON, needs_libtorrent
from home import SETTLE_SECONDS, START_SECONDS, UP, Home, play, report
from measure import MEBIBYTE
from parts import content, peerlift
from world.link import shape
from world.nat import OUTSIDE
from world.network import Plan
from world.waiting import until

READERS = 5
EDGE_AFTERWARDS = 1               # Mbit/s: the readers have nobody but the home to ask
POLITE = "[get]\npolite = true\n"
NUMBERS = {
    "idle uplink used": lambda one, _: one.idle_uplink,
    "download kept": lambda one, alone: one.download / alone.download,
    "upload kept": lambda one, alone: one.upload / alone.upload,
    "call alone, ms": lambda one, _: one.call_ms,
    "added to the call, ms": lambda one, alone: one.call_ms - alone.call_ms,
    "call beside the download, ms": lambda one, _: one.download_ms,
}


def bench(stage, options):
    film = content.make(stage.folder / "origin", (options.mib or 128) * MEBIBYTE)
    contenders = {name: begin for name, begin in CONTENDERS.items()
                  if not options.contenders or name in options.contenders}
    if "libtorrent" in contenders and (reason := needs_libtorrent()):
        print(f"libtorrent: left out, {reason}")
        del contenders["libtorrent"]
    for queue_ms, results in play(stage, options, film, contenders, Seeding):
        print(f"\na queue of {queue_ms} ms\n\n{report(results, 'seeding', NUMBERS)}\n", flush=True)


@dataclass(frozen=True)
class Result:
    """Rates in bytes a second, times of the call in ms."""
    idle_uplink: float
    call_ms: float
    download: float
    download_ms: float
    upload: float
    upload_ms: float

    def __str__(self):
        return (f"idle uplink {self.idle_uplink:.0%}, call {self.call_ms:.0f} ms; "
                f"download {self.download * 8e-6:.2f} Mbit/s, call {self.download_ms:.0f} ms; "
                f"upload {self.upload * 8e-6:.2f} Mbit/s, call {self.upload_ms:.0f} ms")


class Seeding(Home):
    """The home seeds to readers that have nobody else to ask."""

    def __init__(self, stage, film, begin, queue_ms):
        readers = [Plan(f"reader{number}") for number in range(READERS)]
        super().__init__(stage, film, begin, queue_ms, *readers)
        self.readers = [self.net[plan.name] for plan in readers]

    def play(self) -> Result:
        self.begin(self)
        before, at = self.home.sent(), time.monotonic()
        alone = self.use("nothing")
        idle = (self.home.sent() - before) / (time.monotonic() - at) / (UP * 1e6 / 8)
        down, up = self.use("down"), self.use("up")
        return Result(idle, alone["ms"], down["rate"], down["ms"], up["rate"], up["ms"])

    def narrow(self):
        """Until now the home has fetched the file."""
        super().narrow()
        shape(self.edge.router, OUTSIDE, EDGE_AFTERWARDS)


def nothing(home):
    home.narrow()


def peerlift_with(config):
    """Our own, by that configuration file."""
    def begin(home):
        server = peerlift.serve(home.stage, home.edge, home.film.path.parent,
                                wait_for=home.film.name)
        file = home.stage.folder / "config.toml"
        file.write_text(config)

        def get(host):
            return peerlift.Download(home.stage, host, f"{server.url}/{home.film.name}", *SHARE,
                                     "--config", file, content=home.film)

        get(home.home).wait_report()
        home.narrow()
        readers = [get(host) for host in home.readers]
        for reader in readers:
            reader.wait_progress(0.005, START_SECONDS)
        time.sleep(SETTLE_SECONDS)
    return begin


def libtorrent(home):
    """libtorrent as it comes: uTP before TCP."""
    metainfo = torrent.serve(home.stage, home.edge, home.film)

    def start(host, name="get"):
        folder = home.stage.folder / host.name
        folder.mkdir(exist_ok=True)
        return home.stage.start([SYSTEM_PYTHON, torrent.NODE, metainfo, folder], name, host)

    first = start(home.home)
    first.wait_line(lambda text: text == "done", "the file", START_SECONDS)
    # Nobody gets in through the home's NAT. A seed calls those whom the tracker names when it
    # begins, so it begins again after them.
    first.stop()
    home.narrow()
    before = [host.received() for host in home.readers]
    for host in home.readers:
        start(host)
    until(lambda: all(host.received() - was > MEBIBYTE // 4
                      for host, was in zip(home.readers, before)), "readers", START_SECONDS)
    start(home.home, "seed")
    before = home.home.sent()
    until(lambda: home.home.sent() - before > MEBIBYTE, "seeding", START_SECONDS)
    time.sleep(SETTLE_SECONDS)


CONTENDERS = {"nothing": nothing, "polite": peerlift_with(POLITE),
              "equal share": peerlift_with(""), "libtorrent": libtorrent}
BENCHES = {"polite": bench}
