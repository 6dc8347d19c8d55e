#!/usr/bin/env python3
"""Measures Peerlift against other tools and against physical limits. See docs/benchmarks.md.

    bench/run.py                    the usual benches
    bench/run.py single edge        some
    bench/run.py flash12 --runs 5

It prints medians, and ratios within one run: they carry over to other machines, seconds do not.
Nothing is asserted; a busy machine only makes the numbers worse.
"""
import argparse
import os
import signal
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lab")]

import agree       # noqa: E402
import daemon      # noqa: E402
import edge        # noqa: E402
import fetched     # noqa: E402
import idle        # noqa: E402
import instructions  # noqa: E402
import paint       # noqa: E402
import polite      # noqa: E402
import publish     # noqa: E402
import single      # noqa: E402
import swarm       # noqa: E402
import transport   # noqa: E402
from measure import environment, stage_for        # noqa: E402
from stage import Tools, clean_environment        # noqa: E402
from world.namespace import remove_stale          # noqa: E402

BENCHES = {"single": single.bench, "sparse": single.sparse, "edge": edge.bench,
           "publish": publish.bench, "transport": transport.bench,
           "instructions": instructions.bench, "paint": paint.bench, **swarm.BENCHES,
           **polite.BENCHES, **fetched.BENCHES, **idle.BENCHES, **daemon.BENCHES,
           "agree": agree.bench}
# The others take an hour, and are run by name.
USUAL = ["single", "sparse", "edge", "publish", "transport", "flash12", "trickle",
         "leave"]


def main():
    target = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target"))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", nargs="*", metavar="BENCH",
                        help=f"of {', '.join(BENCHES)}; default: {', '.join(USUAL)}")
    parser.add_argument("--runs", type=int, default=5, help="the median is of so many")
    parser.add_argument("--mib", type=int, help="size of the file, instead of the bench's own")
    parser.add_argument("--peers", type=int, help="of a swarm, instead of the bench's own")
    parser.add_argument("--up", type=float, help="Mbit/s of its peers' uplinks")
    parser.add_argument("--contenders", nargs="+",
                        choices=[*swarm.CONTENDERS, *polite.CONTENDERS, *fetched.CONTENDERS],
                        help=f"of a swarm; default: {' '.join(swarm.USUAL)}")
    parser.add_argument("--queues", type=int, nargs="+", default=[100, 400],
                        help="of the home line of `polite` and `fetched`, in ms")
    parser.add_argument("--json", type=Path, help="append every swarm run to this file, a line each")
    parser.add_argument("--programs", type=Path, default=target / "release")
    parser.add_argument("--cache", type=Path, default=target / "bench-tools",
                        help="where foreign tools are installed")
    options = parser.parse_args()
    if unknown := set(options.bench) - set(BENCHES):
        parser.error(f"unknown: {', '.join(unknown)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    clean_environment()
    os.environ["PATH"] = f"{options.cache.resolve()}/bin:{os.environ['PATH']}"
    if os.geteuid() == 0:
        remove_stale()
    programs = options.programs.resolve()
    tools = Tools(programs / "peerlift", programs / "lab-delay", programs / "lab-liar")
    print(environment(tools))
    for name in options.bench or USUAL:
        print(f"\n## {name}", flush=True)
        with stage_for(name, tools) as stage:
            BENCHES[name](stage, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
