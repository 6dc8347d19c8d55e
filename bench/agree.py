"""Whether the simulator says what real processes do.

Every swarm is played in the lab and, with the same lines, arrivals, deaths and leavings, by
`peerlift sim run`. The figures stand side by side with their ratio: the simulator may be believed
as far as they agree.
"""
import json
import statistics
import subprocess

from contenders import CONTENDERS
from course import SCENARIOS
from measure import GIBIBYTE, MEBIBYTE, table
from parts import content
from stage import Stage
from swarm import Swarm

# A scenario of the lab and the goal of everybody in it.
SWARMS = (("flash12", "fastest"), ("flash12", "thrifty"),
          ("trickle", "fastest"), ("trickle", "thrifty"),
          ("leave", "fastest"), ("leave", "thrifty"))
# Up to which difference they are said to agree.
BOUND = 0.15
SIM_SECONDS = 300

SCENARIO = """\
name = "{name}"
goal = "{goal}"
users = {{ uploaders = 1.0 }}
lines = [{{ down_mbit = {down}, up_mbit = {up} }}]
arrivals = {{ kind = "flash", count = {peers}, within_s = 2 }}
edge = {{ up_mbit = {edge_up}, connect_rtts = 1, price_per_gib = 1 }}
distances = {{ edge_ms = {edge_ms}, same_network_ms = {peer_ms} }}
"""


def bench(stage, options):
    rows, worst = [], 0.0
    for name, goal in SWARMS:
        scenario = SCENARIOS[name].changed(peers=options.peers, up=options.up,
                                           size=options.mib and options.mib * MEBIBYTE)
        film = content.make(stage.folder / "origin", scenario.size)
        pairs = []
        for run in range(options.runs):
            courses = scenario.courses(run)
            folder = stage.folder / f"{name}-{goal}-{run}"
            with Stage(f"agree{len(rows)}{run}", folder, stage.tools) as one:
                result = Swarm(one, film, scenario, courses, CONTENDERS[goal]).play()
            for file in folder.rglob(film.name):
                file.unlink()
            real = figures(list(result.own.values()), result.last, result.copies)
            pairs.append((real, predict(stage, folder, scenario, courses, goal, run)))
            print(f"{name}, {goal}, run {run}: {beside(*pairs[-1])}", flush=True)
        for figure in pairs[0][0]:
            real, said = (statistics.median(pair[side][figure] for pair in pairs)
                          for side in (0, 1))
            worst = max(worst, abs(said / real - 1))
            rows.append([name, goal, figure, f"{real:.3g}", f"{said:.3g}", f"{said / real:.2f}"])
    print(table(rows, ["swarm", "goal", "figure", "lab", "simulator", "simulator ÷ lab"]))
    print(f"\nThe largest difference is {worst:.0%}; asked are {BOUND:.0%} at most.")


def figures(own, last, copies):
    """What is compared, of one run."""
    return {"median, s": statistics.median(own), "last, s": last, "copies": copies}


def beside(real, said):
    """One run in a line."""
    return ", ".join(f"{figure} {real[figure]:.3g} / {said[figure]:.3g}" for figure in real)


def predict(stage, folder, scenario, courses, goal, run):
    """What the simulator says of the same."""
    toml, trace = folder / "scenario.toml", folder / "trace.csv"
    toml.write_text(SCENARIO.format(
        name=scenario.name, goal=goal, down=scenario.down, up=scenario.up, peers=scenario.peers,
        edge_up=scenario.edge_up, edge_ms=2 * scenario.edge_distance_ms,
        peer_ms=2 * scenario.peer_distance_ms))
    trace.write_text("\n".join(["at_s,object,size_bytes,killed_after_s,leaves_after_s",
                                *(line(course, scenario.size) for course in courses)]) + "\n")
    argv = [stage.tools.peerlift, "sim", "run", toml, "--trace", trace, "--seed", str(run + 1)]
    summary, = play(argv, "--json")
    own = [one["own_s"] for one in play(argv, "--downloads") if one["ending"] == "finished"]
    # The price of a GiB is 1, headers included: the lab counts them, too.
    return figures(own, summary["last_s"], summary["edge_cost"] * GIBIBYTE / scenario.size)


def play(argv, form):
    done = subprocess.run([str(word) for word in [*argv, form]], capture_output=True, text=True,
                          timeout=SIM_SECONDS, check=True)
    return [json.loads(one) for one in done.stdout.splitlines()]


def line(course, size):
    """A peer's line of the trace."""
    killed = "" if course.killed_at is None else course.killed_at - course.comes_at
    leaves = "" if course.leaves_after is None else course.leaves_after
    return f"{course.comes_at},film,{size},{killed},{leaves}"
