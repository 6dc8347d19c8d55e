"""How the benches measure: times, processor time, memory, medians, and what machine it was."""
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stage import Stage

GIBIBYTE = 1 << 30
MEBIBYTE = 1 << 20
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sample:
    """One run of one program."""
    seconds: float
    cpu_seconds: float
    peak_rss_bytes: int
    server_cpu_seconds: float = 0.0


def run_and_measure(stage, argv, name, server_pid=None, within=600, host=None) -> Sample:
    """Runs a program to its end, which must be a success."""
    before = tree_cpu_seconds(server_pid) if server_pid else 0.0
    program = stage.start(argv, name, host)
    code = program.wait_exit(within)
    stage.equal(code, 0, f"{name}: exit code ({program.last_words()})")
    after = tree_cpu_seconds(server_pid) if server_pid else 0.0
    return Sample(program.ended_at - program.started_at, program.cpu_seconds,
                  program.peak_rss_bytes, after - before)


def tree_cpu_seconds(pid):
    """User and system time of a running program and of its children."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(stat.parent.name) == pid or int(fields[1]) == pid:
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_PER_SECOND


def median(samples, field):
    """The median of one field of the samples."""
    return statistics.median(getattr(sample, field) for sample in samples)


def table(rows, header):
    """Lines of a Markdown table."""
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


def environment(tools):
    """One line that says what was measured on what."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIBIBYTE
    model = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo")
                  if line.startswith("model name")), platform.machine())
    load = os.getloadavg()[0]
    return (f"{first_line(tools.peerlift, '--version')} · Linux {platform.release()} · {model} · "
            f"{cores} cores · {memory:.0f} GiB · load {load:.1f} at the start")


def first_line(*argv):
    """The first line that a program prints, usually its version."""
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=20)
    return (done.stdout or done.stderr).strip().splitlines()[0]


@contextmanager
def stage_for(name, tools, folder=None):
    """A stage whose files lie in memory unless a folder is named."""
    if folder is None and Path("/dev/shm").is_dir():
        folder = "/dev/shm"
    work = tempfile.mkdtemp(prefix="peerlift-bench-", dir=folder)
    os.chmod(work, 0o755)
    try:
        with Stage(name, work, tools) as stage:
            yield stage
    finally:
        shutil.rmtree(work, ignore_errors=True)
