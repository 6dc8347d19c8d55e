"""Our edge and nginx with the same file and the same client: one `curl`, then eight at once."""
from measure import GIBIBYTE, MEBIBYTE, median, run_and_measure, table
from parts import content, nginx, peerlift
from world.here import Here, free_port

PARALLEL = 8


def bench(stage, options):
    size = (options.mib or 1024) * MEBIBYTE
    film = content.make(stage.folder / "origin", size)
    ours = peerlift.serve(stage, Here, film.path.parent, port=free_port(), wait_for=film.name)
    theirs, theirs_url = nginx.serve(stage, Here, film.path.parent, free_port())
    servers = {"peerlift serve": (ours.program.pid, ours.url), "nginx": (theirs.pid, theirs_url)}
    for streams in (1, PARALLEL):
        samples = {name: [] for name in servers}
        for _ in range(options.runs):
            for name, (pid, url) in servers.items():
                fetch = ["curl", "-sSf", "-o", "/dev/null", "-r", f"0-{size // streams - 1}",
                         f"{url}/{film.name}"]
                argv = ["sh", "-c", " & ".join([" ".join(fetch)] * streams) + " & wait"]
                samples[name].append(run_and_measure(stage, argv, name, pid))
        print(f"{streams} x curl, {size / GIBIBYTE:.2f} GiB in all")
        print(report(samples, size / GIBIBYTE))


def report(samples, gib):
    best = median(samples["nginx"], "seconds")
    rows = [[name, f"{gib / median(runs, 'seconds'):.2f}",
             f"{best / median(runs, 'seconds'):.2f}",
             f"{median(runs, 'server_cpu_seconds') / gib:.3f}"] for name, runs in samples.items()]
    return table(rows, ["server", "GiB/s", "÷ nginx", "server's CPU-s/GiB"])
