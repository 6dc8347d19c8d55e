"""What `peerlift get --share` costs while it has nothing to do but to be there.

One machine has the file and shares it; nobody comes. Its threads' running time, their wake-ups,
its memory and its bytes are those of a minute, after a few seconds in which it settles.
"""
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from contenders import SHARE
from measure import MEBIBYTE, table
from parts import content, peerlift
from stage import Stage
from world.network import Plan

SETTLE_SECONDS = 5
SECONDS = 60


def bench(stage, options):
    film = content.make(stage.folder / "origin", (options.mib or 64) * MEBIBYTE)
    results = []
    for run in range(options.runs):
        with Stage(f"{stage.name}{run}", stage.folder / f"run{run}", stage.tools) as one:
            results.append(measure(one, film))
        print(f"run {run}: {results[-1]}", flush=True)
    print(report(results))


@dataclass(frozen=True)
class Idle:
    """Of a minute."""
    cpu_share: float
    wakeups_per_s: float
    rss_bytes: int
    bytes_per_hour: float

    def __str__(self):
        return (f"{self.cpu_share:.3%} of a core, {self.wakeups_per_s:.1f} wake-ups/s, "
                f"{self.rss_bytes / MEBIBYTE:.1f} MiB RSS, "
                f"{self.bytes_per_hour / 1024:.0f} KiB sent an hour")


def measure(stage, film) -> Idle:
    net = stage.network(Plan("edge"), Plan("home"), distance_ms=10)
    server = peerlift.serve(stage, net["edge"], film.path.parent, wait_for=film.name)
    download = peerlift.Download(stage, net["home"], f"{server.url}/{film.name}", *SHARE,
                                 content=film)
    download.wait_report()
    time.sleep(SETTLE_SECONDS)
    return rest(download.program, net["home"], SECONDS)


def rest(program, host, seconds) -> Idle:
    """What a program in a host does in a time in which nobody wants anything of it."""
    before, sent, at = Tasks(program.pid), host.sent(), time.monotonic()
    time.sleep(seconds)
    after, seconds = Tasks(program.pid), time.monotonic() - at
    return Idle((after.running_seconds - before.running_seconds) / seconds,
                (after.wakeups - before.wakeups) / seconds, after.rss_bytes,
                (host.sent() - sent) / seconds * 3600)


class Tasks:
    """What the kernel has counted of a process's threads."""

    def __init__(self, pid):
        self.running_seconds, self.wakeups = 0.0, 0
        for task in Path(f"/proc/{pid}/task").iterdir():
            self.running_seconds += int((task / "schedstat").read_text().split()[0]) * 1e-9
            self.wakeups += field(task / "status", "voluntary_ctxt_switches")
        self.rss_bytes = field(Path(f"/proc/{pid}/status"), "VmRSS") * 1024


def field(path, name):
    return next(int(line.split()[1]) for line in path.read_text().splitlines()
                if line.startswith(f"{name}:"))


def report(results):
    def middle(of):
        return statistics.median(of(result) for result in results)

    row = [f"{middle(lambda one: one.cpu_share):.3%}",
           f"{middle(lambda one: one.wakeups_per_s):.1f}",
           f"{middle(lambda one: one.rss_bytes) / MEBIBYTE:.1f}",
           f"{middle(lambda one: one.bytes_per_hour) / 1024:.0f}"]
    return table([row], ["of a core", "wake-ups/s", "RSS, MiB", "KiB sent an hour"])


BENCHES = {"idle": bench}
