"""What carries a link between two peers, and at what price: QUIC and TCP, with nothing else done.

Two `lab-talk` exchange bytes without disk, hashes and plans: over loopback, where the processor is
the limit, and over the lab's line, where the price of a byte at home shows.
"""
from measure import MEBIBYTE, median, run_and_measure, table
from world.here import Here
from world.network import Plan

LOOPBACK_MIB, LINE_MIB = 512, 32
LINE_UP, LINE_DOWN, DISTANCE_MS = 25, 25, 25


def bench(stage, options):
    rows = loopback(stage, options.mib or LOOPBACK_MIB, options.runs)
    rows += line(stage, LINE_MIB, options.runs)
    print(table(rows, ["way", "link", "Mbit/s", "receiver's CPU-s/GiB", "sender's CPU-s/GiB",
                       "peak RSS, MiB"]))


def loopback(stage, mib, runs):
    return compare(stage, "loopback", Here, Here, "127.0.0.1", mib, runs)


def line(stage, mib, runs):
    """From one home to another, 50 ms there and back."""
    net = stage.network(Plan("talker", down=LINE_DOWN, up=LINE_UP),
                        Plan("hearer", down=LINE_DOWN, up=LINE_UP), distance_ms=DISTANCE_MS)
    way = f"{LINE_UP} Mbit/s, {2 * DISTANCE_MS} ms"
    return compare(stage, way, net["talker"], net["hearer"], net["talker"].address, mib, runs)


def compare(stage, way, talker, hearer, address, mib, runs):
    talk = stage.tools.delay.parent / "lab-talk"
    server = stage.start([talk, "listen"], "listen", talker)
    key, udp, tcp = server.wait_line(lambda text: True, "its key and ports", 30).split()
    samples = {"quic": [], "tcp": []}
    for _ in range(runs):
        for name, tcp_port in (("quic", "0"), ("tcp", tcp)):
            argv = [talk, "fetch", key, f"{address}:{udp}", tcp_port, str(mib)]
            sample, said = run_and_hear(stage, argv, f"fetch-{name}", hearer, server.pid)
            stage.equal(said[0], name, "what carried the link")
            samples[name].append((sample, float(said[1])))
    return [row(way, name, taken, mib) for name, taken in samples.items()]


def run_and_hear(stage, argv, name, host, server_pid):
    sample = run_and_measure(stage, argv, name, server_pid, host=host)
    return sample, stage.programs[-1].lines[-1].text.split()


def row(way, name, taken, mib):
    samples = [sample for sample, _ in taken]
    seconds = sorted(seconds for _, seconds in taken)[len(taken) // 2]
    gib = mib / 1024
    return [way, {"quic": "QUIC", "tcp": "TCP"}[name],
            f"{mib * MEBIBYTE * 8 / 1e6 / seconds:.3g}",
            f"{median(samples, 'cpu_seconds') / gib:.2f}",
            f"{median(samples, 'server_cpu_seconds') / gib:.2f}",
            f"{max(sample.peak_rss_bytes for sample in samples) / MEBIBYTE:.0f}"]
