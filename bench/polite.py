"""What a person notices of our seeding: a foreground download, an upload and a call beside it.

One home line, 20/5 Mbit/s with a drop-tail queue, whose machine seeds at full tilt to peers that
have nobody else to ask, while somebody uses the line for other things. The same without any
seeding, with uploads that take an equal share, and with a torrent client.

The queue is the home router's, as in a home. Were it the machine's own, the kernel would keep each
of its TCP connections from putting more than two packets into it (tcp_limit_output_bytes): then
no upload fills it, and none gets past what waits there.
"""
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torrent
from contenders import SHARE, SYSTEM_PYTHON, needs_libtorrent
from measure import MEBIBYTE, table
from parts import content, peerlift
from stage import Stage
from world.link import shape
from world.nat import OUTSIDE, Nat
from world.network import Plan
from world.waiting import until

DOWN, UP = 20, 5                  # Mbit/s
READERS = 5
PORT = 9000
WARM, SECONDS = 3, 15             # of each use of the line
SETTLE_SECONDS = 8                # until seeding is at its rate
START_SECONDS = 60
EDGE_AFTERWARDS = 1               # Mbit/s: the readers have nobody but the home to ask
LINE = Path(__file__).with_name("line.py")
POLITE = "[get]\npolite = true\n"


def bench(stage, options):
    for queue_ms in options.queues:
        film = content.make(stage.folder / "origin", (options.mib or 128) * MEBIBYTE)
        contenders = {name: play for name, play in CONTENDERS.items()
                      if not options.contenders or name in options.contenders}
        if "libtorrent" in contenders and (reason := needs_libtorrent()):
            print(f"libtorrent: left out, {reason}")
            del contenders["libtorrent"]
        results = {name: [] for name in contenders}
        for run in range(options.runs):
            for name, begin in contenders.items():
                folder = stage.folder / f"{queue_ms}-{run}-{name}"
                with Stage(f"{stage.name}{queue_ms}{run}{name[:3]}", folder, stage.tools) as one:
                    result = Home(one, film, begin, queue_ms).play()
                results[name].append(result)
                print(f"queue {queue_ms} ms, run {run}, {name}: {result}", flush=True)
                if options.json:
                    with open(options.json, "a") as file:
                        file.write(json.dumps({"queue_ms": queue_ms, "run": run,
                                               "contender": name, **asdict(result)}) + "\n")
                for file in folder.rglob(film.name):
                    file.unlink()
        print(f"\na queue of {queue_ms} ms\n\n{report(results)}\n", flush=True)


def report(results):
    """Ratios to the line without seeding, of the same run."""
    def middle(name, of):
        values = [of(result, alone) for result, alone in zip(results[name], results["nothing"])]
        return statistics.median(values)

    numbers = {
        "idle uplink used": lambda one, _: one.idle_uplink,
        "download kept": lambda one, alone: one.download / alone.download,
        "upload kept": lambda one, alone: one.upload / alone.upload,
        "call alone, ms": lambda one, _: one.call_ms,
        "added to the call, ms": lambda one, alone: one.call_ms - alone.call_ms,
        "call beside the download, ms": lambda one, _: one.download_ms,
    }
    rows = [[name, *(f"{middle(name, of):.3g}" for of in numbers.values())] for name in results]
    return table(rows, ["seeding", *numbers])


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


class Home:
    """The line in one run."""

    def __init__(self, stage, film, begin, queue_ms):
        self.stage, self.film = stage, film
        readers = [Plan(f"reader{number}") for number in range(READERS)]
        self.net = stage.network(Plan("edge"), Plan("far"),
                                 Plan("home", nat=Nat.PORT_RESTRICTED), *readers, distance_ms=20)
        self.home, self.edge = self.net["home"], self.net["edge"]
        self.readers = [self.net[plan.name] for plan in readers]
        self.server = stage.start([sys.executable, LINE, "server", PORT], "server",
                                  self.net["far"])
        self.server.wait_line(lambda text: text == "ready", "readiness", START_SECONDS)
        self.begin, self.queue_ms = begin, queue_ms

    def play(self) -> Result:
        self.begin(self)
        before, at = self.home.sent(), time.monotonic()
        alone = self.use("nothing")
        idle = (self.home.sent() - before) / (time.monotonic() - at) / (UP * 1e6 / 8)
        down, up = self.use("down"), self.use("up")
        return Result(idle, alone["ms"], down["rate"], down["ms"], up["rate"], up["ms"])

    def use(self, what):
        """Uses the line and says how it went."""
        program = self.stage.start(
            [sys.executable, LINE, "use", self.net["far"].address, PORT, SECONDS, WARM, what],
            f"use-{what}", self.home)
        self.stage.equal(program.wait_exit(SECONDS + START_SECONDS), 0, "exit code")
        used = program.events[-1]
        if what == "up":
            used["bytes"] = self.uploaded(used["begin"], used["end"])
        return {**used, "rate": used["bytes"] / (used["end"] - used["begin"])}

    def uploaded(self, begin, end):
        """By the server's words in that time; clocks are those of one machine."""
        words = [word for word in self.server.events if begin <= word["at"] <= end]
        span = words[-1]["at"] - words[0]["at"]
        return (words[-1]["uploaded"] - words[0]["uploaded"]) * (end - begin) / span

    def narrow(self):
        """The lines become what they are to be; until now the home has fetched the file."""
        for namespace, device, mbit in ((self.home.router, OUTSIDE, UP),
                                        (self.home.provider, self.home.provider_device, DOWN)):
            shape(namespace, device, mbit, self.queue_ms)
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
