"""`peerlift publish` and `b3sum` on the same file in the page cache.

`publish` also writes the hash tree, 1/256 of the file, and signs.
"""
import subprocess

from measure import GIBIBYTE, MEBIBYTE, median, run_and_measure, table
from parts import content


def bench(stage, options):
    size = (options.mib or 1024) * MEBIBYTE
    film = content.make(stage.folder / "origin", size)
    b3sum = installed_b3sum(options.cache)
    publish = [stage.tools.peerlift, "publish", "--quiet"]
    contenders = {
        "b3sum": [b3sum, film.path],
        "publish without SHA-256": [*publish, "--no-sha256", film.path],
        "publish": [*publish, film.path],
        "sha256sum": ["sha256sum", film.path],
    }
    samples = {name: [] for name in contenders}
    for _ in range(options.runs):
        for name, argv in contenders.items():
            for sidecar in film.path.parent.glob(f"{film.name}.*"):
                sidecar.unlink()
            samples[name].append(run_and_measure(stage, argv, name))
    gib, best = size / GIBIBYTE, median(samples["b3sum"], "seconds")
    rows = [[name, f"{gib / median(runs, 'seconds'):.2f}",
             f"{best / median(runs, 'seconds'):.2f}",
             f"{median(runs, 'cpu_seconds') / gib:.2f}",
             f"{max(run.peak_rss_bytes for run in runs) / MEBIBYTE:.0f}"]
            for name, runs in samples.items()]
    print(table(rows, ["program", "GiB/s", "÷ b3sum", "CPU-s/GiB", "peak RSS, MiB"]))


def installed_b3sum(cache):
    """The reference implementation's own program."""
    program = cache / "bin" / "b3sum"
    if not program.exists():
        print(f"installing b3sum into {cache}", flush=True)
        subprocess.run(["cargo", "install", "--locked", "--root", cache, "b3sum"], check=True,
                       stdin=subprocess.DEVNULL, timeout=1200)
    return program
