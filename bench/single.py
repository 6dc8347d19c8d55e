"""One `get` from our edge over loopback, against the tools people use for it.

All write the whole file to the same file system and end with a verified copy: `curl` by
`sha256sum` afterwards, `aria2c` by its own check.
"""
import tempfile

from measure import GIBIBYTE, MEBIBYTE, median, run_and_measure, stage_for, table
from parts import content, peerlift
from world.here import Here, free_port


def bench(stage, options):
    size = (options.mib or 1024) * MEBIBYTE
    film = content.make(stage.folder / "origin", size)
    server = peerlift.serve(stage, Here, film.path.parent, port=free_port(), wait_for=film.name)
    url, out = f"{server.url}/{film.name}", stage.folder / "out"
    peerlift_get = [stage.tools.peerlift, "get", "--quiet", url, "-o", out]
    contenders = {
        "peerlift get": [*peerlift_get, "--share", "off"],
        "curl, then sha256sum": ["sh", "-c", f"curl -sSf -o {out} {url} && sha256sum {out}"],
        "aria2c -x8": ["aria2c", "--no-conf", "-q", "-x8", "-s8", "--file-allocation=none",
                       "-d", out.parent, "-o", out.name, url],
        "aria2c -x8, checked": ["aria2c", "--no-conf", "-q", "-x8", "-s8",
                                "--file-allocation=none", f"--checksum=sha-256={film.sha256}",
                                "-d", out.parent, "-o", out.name, url],
    }
    samples = {name: [] for name in contenders}
    for _ in range(options.runs):
        for name, argv in contenders.items():
            samples[name].append(run_and_measure(stage, argv, name, server.program.pid))
            stage.equal(content.sha256(out), film.sha256, f"{name}: SHA-256")
            out.unlink()
    print(report(samples, size / GIBIBYTE))


def report(samples, gib):
    ours = median(samples["peerlift get"], "seconds")
    rows = [[name, f"{median(runs, 'seconds'):.2f}", f"{ours / median(runs, 'seconds'):.2f}",
             f"{median(runs, 'cpu_seconds') / gib:.2f}",
             f"{median(runs, 'server_cpu_seconds') / gib:.2f}",
             f"{max(run.peak_rss_bytes for run in runs) / MEBIBYTE:.0f}"]
            for name, runs in samples.items()]
    return table(rows, ["program", "s", "peerlift ÷ it", "CPU-s/GiB", "edge's CPU-s/GiB",
                        "peak RSS, MiB"])


def sparse(stage, options):
    """A file of 20 GiB, most of which are holes. The copy has none, so it goes to a disk."""
    size = (options.mib or 20 * 1024) * MEBIBYTE
    origin = stage.folder / "origin"
    origin.mkdir()
    with open(origin / "sparse.img", "wb") as image:
        image.truncate(size)
        for at in range(0, size, size // 8):  # so that not all groups are alike
            image.seek(at)
            image.write(at.to_bytes(8, "big"))
    # Before the server, whose readiness is not waited for as long as this takes.
    stage.command([stage.tools.peerlift, "publish", "--no-sha256", origin], "publish", within=600)
    server = peerlift.serve(stage, Here, origin, "--no-publish", port=free_port(),
                            wait_for="sparse.img")
    with stage_for("sparse-out", stage.tools, tempfile.gettempdir()) as disk:
        out = disk.folder / "out"
        argv = [stage.tools.peerlift, "get", "--quiet", f"{server.url}/sparse.img", "-o", out,
                "--share", "off"]
        sample = run_and_measure(disk, argv, "get", server.program.pid, within=1800)
        stage.equal(out.stat().st_size, size, "size")
    gib = size / GIBIBYTE
    print(f"{gib:.0f} GiB: {sample.seconds:.1f} s, client {sample.cpu_seconds / gib:.2f} CPU-s/GiB "
          f"and {sample.peak_rss_bytes / MEBIBYTE:.0f} MiB peak RSS, edge "
          f"{sample.server_cpu_seconds / gib:.2f} CPU-s/GiB and "
          f"{server.program.peak_rss_bytes / MEBIBYTE:.0f} MiB")
