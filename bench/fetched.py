"""What a person notices of our downloads that nobody waits for: a download and a call beside them.

The home line of `polite`, 20/5 Mbit/s, in whose router packets wait. Its machine fetches a large file
from an edge with room to spare, and meanwhile somebody else at home downloads over one TCP connection
and makes a call. The same without any other download, with one that somebody waits for, and with curl.
"""
import time
from dataclasses import dataclass

from home import DOWN, SETTLE_SECONDS, START_SECONDS, Home, play, report
from measure import MEBIBYTE
from parts import content, peerlift
from world.waiting import until

MIB = 256                         # more than the line carries in a run
NUMBERS = {
    "idle downlink used": lambda one, _: one.idle_downlink,
    "added to the call, ms": lambda one, alone: one.call_ms - alone.call_ms,
    "download kept": lambda one, alone: one.download / alone.download,
    "call beside the download, ms": lambda one, _: one.download_ms,
}


def bench(stage, options):
    film = content.make(stage.folder / "origin", (options.mib or MIB) * MEBIBYTE)
    contenders = {name: begin for name, begin in CONTENDERS.items()
                  if not options.contenders or name in options.contenders}
    for queue_ms, results in play(stage, options, film, contenders, Fetching):
        print(f"\na queue of {queue_ms} ms\n\n{report(results, 'fetching', NUMBERS)}\n", flush=True)


@dataclass(frozen=True)
class Result:
    """The rate in bytes a second, times of the call in ms."""
    idle_downlink: float
    call_ms: float
    download: float
    download_ms: float

    def __str__(self):
        return (f"idle downlink {self.idle_downlink:.0%}, call {self.call_ms:.0f} ms; "
                f"download {self.download * 8e-6:.2f} Mbit/s, call {self.download_ms:.0f} ms")


class Fetching(Home):
    """The home fetches from an edge with room to spare."""

    def __init__(self, stage, film, begin, queue_ms):
        super().__init__(stage, film, begin, queue_ms)
        self.server = peerlift.serve(stage, self.edge, film.path.parent, wait_for=film.name)
        self.narrow()

    def play(self) -> Result:
        fetching = self.begin(self)
        if fetching:
            before = self.home.received()
            until(lambda: self.home.received() - before > MEBIBYTE, "the file", START_SECONDS)
            time.sleep(SETTLE_SECONDS)
        before, at = self.home.received(), time.monotonic()
        alone = self.use("nothing")
        idle = (self.home.received() - before) / (time.monotonic() - at) / (DOWN * 1e6 / 8)
        down = self.use("down")
        if fetching:
            self.stage.check(fetching.code is None, "it still fetches")
        return Result(idle, alone["ms"], down["rate"], down["ms"])

    @property
    def url(self):
        return f"{self.server.url}/{self.film.name}"


def get(*options):
    """Our own, with these options."""
    def begin(home):
        download = peerlift.Download(home.stage, home.home, home.url, *options, content=home.film)
        return download.program
    return begin


def curl(home):
    return home.stage.start(["curl", "-s", "-o", home.stage.folder / "film", home.url], "curl",
                            home.home)


CONTENDERS = {"nothing": lambda home: None, "background": get("--background"),
              "foreground": get(), "curl": curl}
BENCHES = {"fetched": bench}
