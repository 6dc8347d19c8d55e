"""How many instructions the swarm core takes to plan one request, counted by valgrind.

Seconds change with the machine and its neighbours; instructions hardly do, so that a few per cent
more are seen. Each size runs twice, with twice as many steps the second time: the difference is
free of what the start costs. `cargo bench -p peerlift-swarm` measures the same work in seconds.
"""
import re
import shutil
import subprocess
from pathlib import Path

from measure import table

ROOT = Path(__file__).resolve().parent.parent
PIECES = (1_000, 10_000, 100_000)
STEPS = 4_000


def bench(stage, options):
    if not shutil.which("valgrind"):
        print("left out: valgrind is not installed")
        return
    cargo = ["cargo", "build", "--locked", "--release", "-q", "-p", "peerlift-swarm", "--example", "plan"]
    subprocess.run(cargo, cwd=ROOT, check=True)
    program = options.programs.resolve() / "examples" / "plan"
    rows, first = [], None
    for pieces in PIECES:
        once = counted(stage, program, pieces, STEPS)
        twice = counted(stage, program, pieces, 2 * STEPS)
        each = (twice[0] - once[0]) / (twice[1] - once[1])
        first = first or each
        rows.append([f"{pieces:,}", f"{each:,.0f}", f"{each / first:.2f}"])
    print(table(rows, ["pieces", "instructions a request", "÷ the smallest"]))


def counted(stage, program, pieces, steps):
    """Instructions of a whole run, and the requests that it planned."""
    argv = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={stage.folder}/callgrind.out",
            program, str(pieces), str(steps)]
    run = subprocess.run(argv, capture_output=True, text=True, check=True)
    instructions = re.search(r"Collected : (\d+)", run.stderr)
    return int(instructions.group(1)), int(run.stdout)
