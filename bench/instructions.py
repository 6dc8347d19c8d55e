"""How many instructions the swarm core takes to plan one request, counted by valgrind.

Seconds change with the machine and its neighbours; instructions hardly do, so that a few per cent
more are seen. Each size runs twice, with twice as many downloads the second time: the difference is
free of what the start of the program costs. Downloads are counted whole, with the maps of forty sources
at their beginning and the end-game: the beginning is work that grows with the pieces, and so many
requests from the middle would hide it. `cargo bench -p peerlift-swarm` measures the same work in seconds.
"""
import re
import shutil
import subprocess
from pathlib import Path

from measure import table

ROOT = Path(__file__).resolve().parent.parent
# For each number of pieces, how many downloads make some thousands of requests.
DOWNLOADS = {1_000: 8, 10_000: 2, 100_000: 1}


def bench(stage, options):
    if not shutil.which("valgrind"):
        print("left out: valgrind is not installed")
        return
    cargo = ["cargo", "build", "--locked", "--release", "-q", "-p", "peerlift-swarm", "--example", "plan"]
    subprocess.run(cargo, cwd=ROOT, check=True)
    program = options.programs.resolve() / "examples" / "plan"
    rows, first = [], None
    for pieces, downloads in DOWNLOADS.items():
        once = counted(stage, program, pieces, downloads)
        twice = counted(stage, program, pieces, 2 * downloads)
        each = (twice[0] - once[0]) / (twice[1] - once[1])
        first = first or each
        rows.append([f"{pieces:,}", f"{each:,.0f}", f"{each / first:.2f}"])
    print(table(rows, ["pieces", "instructions a request", "÷ the smallest"]))


def counted(stage, program, pieces, downloads):
    """Instructions of a whole run, and the requests that it planned."""
    argv = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={stage.folder}/callgrind.out",
            program, str(pieces), str(downloads)]
    run = subprocess.run(argv, capture_output=True, text=True, check=True)
    instructions = re.search(r"Collected : (\d+)", run.stderr)
    return int(instructions.group(1)), int(run.stdout)
