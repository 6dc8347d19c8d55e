"""Peers on ordinary lines, and how near a swarm comes to the fluid limit.

Contenders take turns within every run and meet the same arrivals: Peerlift with the goal that ends
soonest and with the one that spares the edge, Peerlift without peers, which is the twin that no
download may fall behind, and what people have today.
"""
import json
import statistics
import threading
import time
from dataclasses import asdict, dataclass

from contenders import CONTENDERS, pause
from course import SCENARIOS
from measure import MEBIBYTE, table
from parts import content
from stage import Stage
from world.network import Plan
from world.waiting import until

USUAL = ("fastest", "thrifty", "edge-only", "aria2", "libtorrent")
TWIN = "edge-only"
PATIENCE = 12  # times the limit


def bench_of(name):
    """The bench of one scenario."""
    return lambda stage, options: repeat(stage, options, SCENARIOS[name])


def repeat(stage, options, scenario):
    """Runs the scenario several times, each with its own arrivals, and prints the medians."""
    scenario = scenario.changed(peers=options.peers, up=options.up,
                                size=options.mib and options.mib * MEBIBYTE)
    film = content.make(stage.folder / "origin", scenario.size)
    results = {name: [] for name in present(options.contenders or USUAL)}
    for run in range(options.runs):
        courses = scenario.courses(run)
        for number, name in enumerate(results):
            folder = stage.folder / f"run{run}-{number}"
            with Stage(f"{stage.name}{run}{number}", folder, stage.tools) as one:
                results[name].append(Swarm(one, film, scenario, courses, CONTENDERS[name]).play())
            for file in folder.rglob(film.name):
                file.unlink()
            print(f"run {run}, {name}: {results[name][-1].line()}", flush=True)
            if options.json:
                note(options.json, scenario, run, name, results[name][-1])
    print(medians(results))


def present(names):
    """Those of the contenders that are installed."""
    for name in names:
        reason = CONTENDERS[name].missing()
        if reason:
            print(f"{name}: left out, {reason}: see docs/benchmarks.md")
        else:
            yield name


def note(path, scenario, run, name, result):
    """Appends one result to a file, as a line of JSON."""
    with open(path, "a") as file:
        file.write(json.dumps({"scenario": scenario.name, "run": run, "contender": name,
                               **asdict(result)}) + "\n")


def medians(results):
    """The table of a scenario."""
    def median(name, of):
        values = [of(result) for result in results[name]]
        return "–" if None in values else f"{statistics.median(values):.3g}"

    columns = {"last ÷ limit": lambda result: result.last_over_limit,
               "last ÷ blind limit": lambda result: result.last_over_limit_blind,
               "median peer, s": lambda result: result.median,
               "edge ÷ delivered": lambda result: result.edge_over_delivered,
               "copies": lambda result: result.copies,
               "wasted": lambda result: result.wasted_share,
               "CPU-s/GiB": lambda result: result.cpu_seconds_per_gib,
               "peak RSS, MiB": lambda result: result.peak_rss_bytes / MEBIBYTE}
    rows = [[CONTENDERS[name].title, *(median(name, of) for of in columns.values()),
             slowest_beside_twin(results, name)] for name in results]
    return table(rows, ["program", *columns, "worst ÷ twin"])


def slowest_beside_twin(results, name):
    """The worst of all peers of all runs: its time by that of the same peer without peers."""
    if TWIN not in results or name == TWIN:
        return "–"
    ratios = [ours.own[peer] / twin.own[peer]
              for ours, twin in zip(results[name], results[TWIN])
              for peer in ours.own.keys() & twin.own.keys()]
    return f"{max(ratios):.2f}"


@dataclass(frozen=True)
class Result:
    """One run. Seconds of each peer from its own beginning; shares of what was delivered."""
    limit: float
    limit_blind: float
    last: float
    own: dict
    edge_over_delivered: float
    copies: float
    from_peers_share: float | None
    wasted_share: float | None
    cpu_seconds_per_gib: float
    peak_rss_bytes: int

    @property
    def last_over_limit(self):
        return self.last / self.limit

    @property
    def last_over_limit_blind(self):
        return self.last / self.limit_blind

    @property
    def median(self):
        return statistics.median(self.own.values())

    def line(self):
        peers = "" if self.from_peers_share is None else f", {self.from_peers_share:.0%} from peers"
        return (f"last {self.last:.1f} s = {self.last_over_limit:.2f} x limit, "
                f"median {self.median:.1f} s, edge ÷ delivered {self.edge_over_delivered:.3f}, "
                f"{self.copies:.2f} copies{peers}, {self.cpu_seconds_per_gib:.1f} CPU-s/GiB, "
                f"{self.peak_rss_bytes / MEBIBYTE:.0f} MiB peak RSS")


class Swarm:
    """The peers of one run, each driven by a thread of its own along its course."""

    def __init__(self, stage, film, scenario, courses, contender):
        self.stage, self.film, self.courses = stage, film, courses
        self.contender = contender
        self.limit, self.limit_blind = scenario.limit(courses), scenario.limit_blind(courses)
        line = {"down": scenario.down, "up": scenario.up}
        liars = [f"liar{number}" for number in range(len(scenario.liars))]
        self.net = stage.network(
            Plan("edge", up=scenario.edge_up, distance_ms=scenario.edge_distance_ms),
            *(Plan(f"peer{peer}", nat=scenario.nat, **line) for peer in range(len(courses))),
            *(Plan(name, down=scenario.down, up=scenario.down) for name in liars),
            distance_ms=scenario.peer_distance_ms)
        self.server = contender.serve(stage, self.net["edge"], film)
        for name, how in zip(liars, scenario.liars):
            contender.begin_liar(stage, self.net[name], self.server, film, how)
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
        download = self.contender.begin(self.stage, self.net[f"peer{peer}"], self.server,
                                        self.film)
        self.programs[peer] = download.program
        if course.killed_at is not None:
            pause(self.begin + course.killed_at)
            download.program.kill()
            return
        done, self.reports[peer] = download.wait_done(max(120, PATIENCE * self.limit))
        self.finished_at[peer] = done - self.begin
        if course.leaves_after is not None:
            pause(done + course.leaves_after)
            download.program.stop()

    def _result(self, edge_bytes):
        delivered = len(self.finished_at) * self.film.size
        reports = [report for report in self.reports.values() if report]

        def share(word, of):
            return sum(report[word] for report in reports) / of if reports else None

        from_peers, from_edge = share("from_peers", delivered), share("from_edge", delivered)
        return Result(
            limit=self.limit, limit_blind=self.limit_blind, last=max(self.finished_at.values()),
            own={peer: at - self.courses[peer].comes_at for peer, at in self.finished_at.items()},
            edge_over_delivered=edge_bytes / delivered, copies=edge_bytes / self.film.size,
            from_peers_share=from_peers and from_peers / (from_peers + from_edge),
            wasted_share=share("wasted", delivered),
            cpu_seconds_per_gib=sum(program.cpu_seconds for program in self.programs.values())
            / (delivered / (1 << 30)),
            peak_rss_bytes=max(program.peak_rss_bytes for program in self.programs.values()))


BENCHES = {name: bench_of(name) for name in SCENARIOS}
