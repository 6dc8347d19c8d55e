"""What a person notices of our downloads that nobody waits for: a download and a call beside them.

The home line of `polite`, 20/5 Mbit/s, in whose router packets wait. Its machine fetches a large file
from an edge with room to spare, and meanwhile somebody else at home downloads over one TCP connection
and makes a call. The same without any other download, with one that somebody waits for, and with curl.
"""
import json
import statistics
import sys
import time
from dataclasses import asdict, dataclass

from measure import MEBIBYTE, table
from parts import content, peerlift
from polite import DOWN, LINE, PORT, SECONDS, SETTLE_SECONDS, START_SECONDS, UP, WARM
from stage import Stage
from world.link import shape
from world.nat import OUTSIDE, Nat
from world.network import Plan
from world.waiting import until

MIB = 256                         # more than the line carries in a run


def bench(stage, options):
    for queue_ms in options.queues:
        film = content.make(stage.folder / "origin", (options.mib or MIB) * MEBIBYTE)
        results = {name: [] for name in CONTENDERS
                   if not options.contenders or name in options.contenders}
        for run in range(options.runs):
            for name in results:
                folder = stage.folder / f"{queue_ms}-{run}-{name}"
                with Stage(f"{stage.name}{queue_ms}{run}{name[:3]}", folder, stage.tools) as one:
                    result = Home(one, film, CONTENDERS[name], queue_ms).play()
                results[name].append(result)
                print(f"queue {queue_ms} ms, run {run}, {name}: {result}", flush=True)
                if options.json:
                    with open(options.json, "a") as file:
                        file.write(json.dumps({"queue_ms": queue_ms, "run": run,
                                               "contender": name, **asdict(result)}) + "\n")
        print(f"\na queue of {queue_ms} ms\n\n{report(results)}\n", flush=True)


def report(results):
    """Ratios to the line without another download, of the same run."""
    def middle(name, of):
        values = [of(result, alone) for result, alone in zip(results[name], results["nothing"])]
        return statistics.median(values)

    numbers = {
        "idle downlink used": lambda one, _: one.idle_downlink,
        "added to the call, ms": lambda one, alone: one.call_ms - alone.call_ms,
        "download kept": lambda one, alone: one.download / alone.download,
        "call beside the download, ms": lambda one, _: one.download_ms,
    }
    rows = [[name, *(f"{middle(name, of):.3g}" for of in numbers.values())] for name in results]
    return table(rows, ["fetching", *numbers])


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


class Home:
    """The line in one run."""

    def __init__(self, stage, film, begin, queue_ms):
        self.stage, self.film, self.begin = stage, film, begin
        self.net = stage.network(Plan("edge"), Plan("far"),
                                 Plan("home", nat=Nat.PORT_RESTRICTED), distance_ms=20)
        self.home = self.net["home"]
        self.server = peerlift.serve(stage, self.net["edge"], film.path.parent,
                                     wait_for=film.name)
        far = stage.start([sys.executable, LINE, "server", PORT], "server", self.net["far"])
        far.wait_line(lambda text: text == "ready", "readiness", START_SECONDS)
        for namespace, device, mbit in ((self.home.router, OUTSIDE, UP),
                                        (self.home.provider, self.home.provider_device, DOWN)):
            shape(namespace, device, mbit, queue_ms)

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

    def use(self, what):
        """Uses the line and says how it went."""
        program = self.stage.start(
            [sys.executable, LINE, "use", self.net["far"].address, PORT, SECONDS, WARM, what],
            f"use-{what}", self.home)
        self.stage.equal(program.wait_exit(SECONDS + START_SECONDS), 0, "exit code")
        used = program.events[-1]
        return {**used, "rate": used["bytes"] / (used["end"] - used["begin"])}

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
