"""Twelve peers on ordinary lines, and how near the swarm comes to the fluid limit.

Contenders take turns within every run and meet the same arrivals: Peerlift with the goal that ends
soonest and with the one that spares the edge, and `curl`, which is what a plain server gives.
"""
import random
import statistics
import threading
import time
from dataclasses import dataclass

from fluid import Stay, last_completion
from measure import MEBIBYTE, table
from parts import content, peerlift
from stage import Stage
from world.network import Plan
from world.waiting import until

PEERS = 12
SIZE_MIB = 64
EDGE_UP, DOWN, UP = 50, 25, 10
EDGE_DISTANCE_MS, PEER_DISTANCE_MS = 10, 25
FLASH_SECONDS = 2
TRICKLE_EVERY_SECONDS = 3
LEAVE_WITHIN_SECONDS = 5
KILLED_SHARE = 0.25
PATIENCE = 12  # times the limit


@dataclass(frozen=True)
class Course:
    """What happens to one peer: it comes, it may be killed, it may leave so long after the end."""
    comes_at: float
    killed_at: float | None = None
    leaves_after: float | None = None


def flash12(stage, options):
    """All come within two seconds and stay."""
    repeat(stage, options, lambda dice, size: [Course(at) for at in crowd(dice)])


def trickle(stage, options):
    """One comes every three seconds and stays."""
    repeat(stage, options,
           lambda dice, size: [Course(peer * TRICKLE_EVERY_SECONDS) for peer in range(PEERS)])


def leave(stage, options):
    """All come within two seconds; a quarter dies mid-way, the others soon leave."""
    repeat(stage, options, leaving)


def crowd(dice):
    arrivals = sorted(dice.uniform(0, FLASH_SECONDS) for _ in range(PEERS))
    return [at - arrivals[0] for at in arrivals]


def leaving(dice, size):
    arrivals = crowd(dice)
    middle = limit([Course(at) for at in arrivals], size)
    doomed = set(dice.sample(range(PEERS), round(PEERS * KILLED_SHARE)))
    return [Course(at, killed_at=at + dice.uniform(0.3, 0.7) * middle) if peer in doomed
            else Course(at, leaves_after=dice.uniform(0, LEAVE_WITHIN_SECONDS))
            for peer, at in enumerate(arrivals)]


def limit(courses, size):
    stays = [Stay(course.comes_at, course.killed_at or float("inf")) for course in courses]
    return last_completion(size, EDGE_UP, DOWN, UP, stays)


def repeat(stage, options, plan):
    """Runs the scenario several times, each with its own arrivals, and prints the medians."""
    size = (options.mib or SIZE_MIB) * MEBIBYTE
    film = content.make(stage.folder / "origin", size)
    results = {name: [] for name in CONTENDERS}
    for run in range(options.runs):
        courses = plan(random.Random(f"{stage.name}/{run}"), size)
        for number, (name, begin) in enumerate(CONTENDERS.items()):
            folder = stage.folder / f"run{run}-{number}"
            with Stage(f"{stage.name}{run}{number}", folder, stage.tools) as one:
                results[name].append(Swarm(one, film, courses, begin).play())
            for file in folder.rglob(film.name):
                file.unlink()
            print(f"run {run}, {name}: {results[name][-1].line()}", flush=True)

    def median(name, of):
        return f"{statistics.median(getattr(result, of) for result in results[name]):.3g}"

    columns = {"last ÷ limit": "last_over_limit", "edge ÷ delivered": "edge_over_delivered",
               "median peer, s": "median", "CPU-s/GiB": "cpu_seconds_per_gib"}
    print(table([[name, *(median(name, of) for of in columns.values())] for name in results],
                ["program", *columns]))


@dataclass(frozen=True)
class Result:
    """One run."""
    last_over_limit: float
    edge_over_delivered: float
    last: float
    median: float
    from_peers_share: float
    cpu_seconds_per_gib: float
    peak_rss_bytes: int

    def line(self):
        return (f"last {self.last:.1f} s = {self.last_over_limit:.2f} x limit, "
                f"median {self.median:.1f} s, edge ÷ delivered {self.edge_over_delivered:.3f}, "
                f"{self.from_peers_share:.0%} from peers, {self.cpu_seconds_per_gib:.1f} CPU-s/GiB, "
                f"{self.peak_rss_bytes / MEBIBYTE:.0f} MiB peak RSS")


class Ours(peerlift.Download):
    """A `peerlift get` that stays to share."""

    def done_at(self):
        return next(line.at for line in self.program.lines
                    if line.event and line.event.get("event") == "completed")


class Curl:
    """One connection to the edge."""

    def __init__(self, stage, host, url, film):
        self.stage, self.film, self.path = stage, film, stage.folder / host.name / film.name
        self.program = stage.start(["curl", "-sSf", "-o", self.path, url], "curl", host)

    def wait_report(self, within):
        self.stage.equal(self.program.wait_exit(within), 0, "curl's exit code")
        self.ended = time.monotonic()
        self.stage.equal(content.sha256(self.path), self.film.sha256, "SHA-256")
        return {"from_edge": self.film.size, "from_peers": 0}

    def done_at(self):
        return self.ended


def ours(goal):
    return lambda stage, host, url, film: Ours(
        stage, host, url, "--share", "for=1h", "--goal", goal, content=film)


CONTENDERS = {"peerlift get --goal fastest": ours("fastest"),
              "peerlift get": ours("thrifty"),
              "curl": Curl}


class Swarm:
    """The peers of one run, each driven by a thread of its own along its course."""

    def __init__(self, stage, film, courses, begin_download):
        self.stage, self.film, self.courses = stage, film, courses
        self.begin_download = begin_download
        self.limit = limit(courses, film.size)
        self.net = stage.network(
            Plan("edge", up=EDGE_UP, distance_ms=EDGE_DISTANCE_MS),
            *(Plan(f"peer{peer}", down=DOWN, up=UP) for peer in range(len(courses))),
            distance_ms=PEER_DISTANCE_MS)
        self.server = peerlift.serve(stage, self.net["edge"], film.path.parent,
                                     wait_for=film.name)
        self.reports, self.finished_at, self.failures = {}, {}, []
        self.programs = {}

    def play(self) -> Result:
        before = self.net["edge"].sent()
        self.begin = time.monotonic()
        threads = [threading.Thread(target=self._drive, args=item, daemon=True)
                   for item in enumerate(self.courses)]
        for thread in threads:
            thread.start()
        survivors = {peer for peer, course in enumerate(self.courses) if course.killed_at is None}
        until(lambda: self.failures or survivors <= self.finished_at.keys(),
              "the last completion", max(120, PATIENCE * self.limit))
        edge_bytes = self.net["edge"].sent() - before
        for program in self.programs.values():
            program.stop()
        for thread in threads:
            thread.join(30)
        if self.failures:
            raise self.failures[0]
        return self._result(edge_bytes)

    def _drive(self, peer, course):
        try:
            self._follow(peer, course)
        except Exception as failure:  # shown by `play`, which waits for it
            self.failures.append(failure)

    def _follow(self, peer, course):
        pause(self.begin + course.comes_at)
        url = f"{self.server.url}/{self.film.name}"
        download = self.begin_download(self.stage, self.net[f"peer{peer}"], url, self.film)
        self.programs[peer] = download.program
        if course.killed_at is not None:
            pause(self.begin + course.killed_at)
            download.program.kill()
            return
        self.reports[peer] = download.wait_report(max(120, PATIENCE * self.limit))
        done = download.done_at()
        self.finished_at[peer] = done - self.begin
        if course.leaves_after is not None:
            pause(done + course.leaves_after)
            download.program.stop()

    def _result(self, edge_bytes):
        delivered = len(self.finished_at) * self.film.size
        own = [at - self.courses[peer].comes_at for peer, at in self.finished_at.items()]
        from_edge, from_peers = (sum(report[source] for report in self.reports.values())
                                 for source in ("from_edge", "from_peers"))
        return Result(
            last_over_limit=max(self.finished_at.values()) / self.limit,
            edge_over_delivered=edge_bytes / delivered,
            last=max(self.finished_at.values()), median=statistics.median(own),
            from_peers_share=from_peers / (from_edge + from_peers),
            cpu_seconds_per_gib=sum(program.cpu_seconds for program in self.programs.values())
            / (delivered / (1 << 30)),
            peak_rss_bytes=max(program.peak_rss_bytes for program in self.programs.values()))


def pause(moment):
    """Until a moment of the scenario's own time; what happens then is no answer to anything."""
    time.sleep(max(0.0, moment - time.monotonic()))
