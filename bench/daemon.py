"""What the background service costs, and how quickly it obeys.

One machine shares one file in the background. First nobody comes: its threads' running time, their
wake-ups, its memory, its bytes and what it keeps on disk; how long `GET /v1/status` takes. Then a
reader who has nobody else fetches from it as fast as the line allows, and uploads are paused: how long
after the request the last large packet leaves the machine, by its own network device.
"""
import json
import os
import socket
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import idle
from contenders import SHARE
from measure import MEBIBYTE, table
from parts import content, peerlift
from world.link import shape
from world.nat import OUTSIDE
from world.network import Plan
from world.waiting import until
from stage import Stage

SETTLE_SECONDS = 5
SECONDS = 60
START_SECONDS = 30
ASKED = 200                 # times for the status
UP = 50                     # Mbit/s of the home
EDGE_AFTERWARDS = 1         # Mbit/s: the reader has nobody but the home to ask
FULL_TILT_BYTES = 8 * MEBIBYTE
QUIET_SECONDS = 3           # after the pause, to be sure that nothing follows
LARGE_PACKET_BYTES = 600    # more than any message that is no content
PACKETS = Path(__file__).with_name("packets.py")
# How much it may give is not what is measured.
SETTINGS = "[share]\nratio = 100\nuplink-percent = 100\n"


def bench(stage, options):
    film = content.make(stage.folder / "origin", (options.mib or 64) * MEBIBYTE)
    results = []
    for run in range(options.runs):
        with Stage(f"{stage.name}{run}", stage.folder / f"run{run}", stage.tools) as one:
            results.append(Home(one, film).measure())
        print(f"run {run}: {results[-1]}", flush=True)
    print(report(results))


@dataclass(frozen=True)
class Result:
    idle: idle.Idle
    disk_bytes: int
    cache_bytes: int
    status_ms: float
    status_ms_p99: float
    full_tilt_mbit: float
    pause_ms: float

    def __str__(self):
        return (f"{self.idle}, {self.disk_bytes / 1024:.0f} KiB on disk and "
                f"{self.cache_bytes / 1024:.0f} KiB of cache; status {self.status_ms:.1f} ms, "
                f"p99 {self.status_ms_p99:.1f} ms; {self.full_tilt_mbit:.1f} Mbit/s, last packet "
                f"{self.pause_ms:.0f} ms after the pause")


class Home:
    """The machine with the service, in one run."""

    def __init__(self, stage, film):
        self.stage, self.film = stage, film
        net = stage.network(Plan("edge"), Plan("home"), Plan("reader"), distance_ms=10)
        self.edge, self.home, self.reader = net["edge"], net["home"], net["reader"]
        # A path short enough for a Unix socket.
        self.runtime = Path(f"/tmp/peerlift-bench-{os.getpid()}")
        self.folder = stage.folder / "home"
        self.server = peerlift.serve(stage, self.edge, film.path.parent, wait_for=film.name)

    def measure(self) -> Result:
        service = self.start()
        time.sleep(SETTLE_SECONDS)
        quiet = idle.rest(service, self.home, SECONDS)
        times = sorted(self.ask("GET", "/v1/status") for _ in range(ASKED))
        disk = size_of(self.folder / "home" / "data") + size_of(self.folder / "home" / "config")
        cache = size_of(self.folder / "home" / "cache")
        rate, pause_ms = self.pause()
        return Result(quiet, disk, cache, statistics.median(times), times[ASKED * 99 // 100], rate,
                      pause_ms)

    def start(self):
        """Runs the service until it shares the file."""
        settings = self.folder / "home" / "config" / "peerlift" / "config.toml"
        settings.parent.mkdir(parents=True)
        settings.write_text(SETTINGS)
        url = f"{self.server.url}/{self.film.name}"
        about = json.loads(self.run("inspect", "--json", url))
        self.run("share", "allow", about["publisher"], "--yes")
        program = self.stage.start([self.stage.tools.peerlift, "daemon", "--json", "--idle", "1h"],
                                   "daemon", self.home, self.env)
        program.wait_event(lambda event: event["event"] == "ready", "readiness", START_SECONDS)
        got = self.folder / "got"
        got.mkdir()
        self.run("get", "--queue", url, "-o", got)
        until(lambda: self.states() == ["sharing"], "sharing", START_SECONDS)
        return program

    def pause(self):
        """Mbit/s at full tilt, and ms from the request to the last large packet."""
        shape(self.home.router, OUTSIDE, UP)
        shape(self.edge.router, OUTSIDE, EDGE_AFTERWARDS)
        seen = self.stage.start([sys.executable, PACKETS, OUTSIDE, LARGE_PACKET_BYTES], "packets",
                                Router(self.home))
        reader = peerlift.Download(self.stage, self.reader,
                                   f"{self.server.url}/{self.film.name}", *SHARE,
                                   content=self.film)
        before = self.home.sent()
        until(lambda: self.home.sent() - before > FULL_TILT_BYTES, "uploads", START_SECONDS)
        at, sent = time.monotonic(), self.home.sent()
        time.sleep(1)
        rate = (self.home.sent() - sent) * 8e-6 / (time.monotonic() - at)
        asked = time.monotonic()
        self.ask("POST", "/v1/sharing/pause")
        time.sleep(QUIET_SECONDS)
        last = seen.events[-1]["last"]
        reader.leave()
        return rate, max(0.0, last - asked) * 1e3

    def states(self):
        return [one["state"] for one in json.loads(self.run("status", "--json"))["downloads"]]

    def ask(self, method, path):
        """Asks the service as the command does; gives the ms until all of the answer is there."""
        begun = time.monotonic()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.runtime / "peerlift" / "daemon.sock"))
            client.sendall(f"{method} {path} HTTP/1.1\r\nHost: peerlift\r\nConnection: close\r\n"
                           "Content-Length: 0\r\n\r\n".encode())
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        self.stage.check(answer.startswith(b"HTTP/1.1 200"), f"{path}: {answer[:200]}")
        return (time.monotonic() - begun) * 1e3

    def run(self, *words):
        argv = [self.stage.tools.peerlift, *words]
        return self.stage.command(argv, f"run-{words[0]}", self.home, self.env)

    @property
    def env(self):
        self.runtime.mkdir(mode=0o700, exist_ok=True)
        return {"XDG_RUNTIME_DIR": str(self.runtime)}


class Router:
    """A host's router, as something that programs start in."""

    def __init__(self, host):
        self.name, self.namespace = f"{host.name}-router", host.router


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def report(results):
    def middle(of):
        return statistics.median(of(result) for result in results)

    row = [f"{middle(lambda one: one.idle.cpu_share):.3%}",
           f"{middle(lambda one: one.idle.wakeups_per_s):.1f}",
           f"{middle(lambda one: one.idle.rss_bytes) / MEBIBYTE:.1f}",
           f"{middle(lambda one: one.idle.bytes_per_hour) / 1024:.0f}",
           f"{middle(lambda one: one.disk_bytes) / 1024:.0f}",
           f"{middle(lambda one: one.cache_bytes) / 1024:.0f}",
           f"{middle(lambda one: one.status_ms):.1f}",
           f"{middle(lambda one: one.status_ms_p99):.1f}",
           f"{middle(lambda one: one.full_tilt_mbit):.1f}",
           f"{middle(lambda one: one.pause_ms):.0f}"]
    return table([row], ["of a core", "wake-ups/s", "RSS, MiB", "KiB sent an hour", "KiB on disk",
                         "KiB of cache", "status, ms", "p99", "uploads, Mbit/s",
                         "last packet after the pause, ms"])


BENCHES = {"daemon": bench}
