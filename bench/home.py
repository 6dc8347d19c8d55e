"""A home line, 20/5 Mbit/s with a drop-tail queue, and what a person notices on it.

The queue is the home router's, as in a home. Were it the machine's own, the kernel would keep each
of its TCP connections from putting more than two packets into it (tcp_limit_output_bytes): then
no upload fills it, and none gets past what waits there.
"""
import json
import statistics
import sys
from dataclasses import asdict
from pathlib import Path

from measure import table
from stage import Stage
from world.link import shape
from world.nat import OUTSIDE, Nat
from world.network import Plan

DOWN, UP = 20, 5                  # Mbit/s
PORT = 9000
WARM, SECONDS = 3, 15             # of each use of the line
SETTLE_SECONDS = 8                # until what runs beside it is at its rate
START_SECONDS = 60
LINE = Path(__file__).with_name("line.py")


class Home:
    """The line in one run, and somebody far away to use it with."""

    def __init__(self, stage, film, begin, queue_ms, *more):
        self.stage, self.film, self.begin, self.queue_ms = stage, film, begin, queue_ms
        self.net = stage.network(Plan("edge"), Plan("far"),
                                 Plan("home", nat=Nat.PORT_RESTRICTED), *more, distance_ms=20)
        self.home, self.edge = self.net["home"], self.net["edge"]
        self.far = stage.start([sys.executable, LINE, "server", PORT], "server", self.net["far"])
        self.far.wait_line(lambda text: text == "ready", "readiness", START_SECONDS)

    def narrow(self):
        """The line becomes what it is to be."""
        for namespace, device, mbit in ((self.home.router, OUTSIDE, UP),
                                        (self.home.provider, self.home.provider_device, DOWN)):
            shape(namespace, device, mbit, self.queue_ms)

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
        words = [word for word in self.far.events if begin <= word["at"] <= end]
        span = words[-1]["at"] - words[0]["at"]
        return (words[-1]["uploaded"] - words[0]["uploaded"]) * (end - begin) / span


def play(stage, options, film, contenders, home):
    """Every contender in turns, on lines with every queue; gives a queue and its results at a time."""
    for queue_ms in options.queues:
        results = {name: [] for name in contenders}
        for run in range(options.runs):
            for name, begin in contenders.items():
                folder = stage.folder / f"{queue_ms}-{run}-{name}"
                with Stage(f"{stage.name}{queue_ms}{run}{name[:3]}", folder, stage.tools) as one:
                    result = home(one, film, begin, queue_ms).play()
                results[name].append(result)
                print(f"queue {queue_ms} ms, run {run}, {name}: {result}", flush=True)
                if options.json:
                    with open(options.json, "a") as file:
                        file.write(json.dumps({"queue_ms": queue_ms, "run": run,
                                               "contender": name, **asdict(result)}) + "\n")
                for file in folder.rglob(film.name):
                    file.unlink()
        yield queue_ms, results


def report(results, what, numbers):
    """Medians of `numbers`, functions of a result and of that of "nothing" in the same run."""
    def middle(name, of):
        values = [of(result, alone) for result, alone in zip(results[name], results["nothing"])]
        return statistics.median(values)

    rows = [[name, *(f"{middle(name, of):.3g}" for of in numbers.values())] for name in results]
    return table(rows, [what, *numbers])
