#!/usr/bin/env python3
"""Runs the lab: real programs in network namespaces. See docs/lab.md.

    lab/run.py                      every scenario
    lab/run.py --group foreign      one group
    lab/run.py -k nat               scenarios whose name contains a word
    lab/run.py --list               what there is

The last line is `N passed, N failed`; the exit code is 1 when something failed.
"""
import argparse
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from registry import all_scenarios                              # noqa: E402
from stage import NotAsExpected, Stage, Tools, clean_environment  # noqa: E402
from world.commands import CommandFailed                        # noqa: E402
from world.namespace import remove_stale                        # noqa: E402
from world.program import WentWrong                             # noqa: E402
from world.waiting import TookTooLong                           # noqa: E402

EXPECTED_FAILURES = (NotAsExpected, CommandFailed, WentWrong, TookTooLong)
LOG_LINES = 4


def main():
    options = parse_options()
    chosen = [s for s in all_scenarios()
              if (not options.group or s.group in options.group)
              and all(word in s.name for word in options.k)]
    if options.list:
        for scenario in chosen:
            print(f"{scenario.group:10} {scenario.title}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that everything is removed
    clean_environment()
    root = os.geteuid() == 0
    if root:
        remove_stale()
    return run_all(chosen * options.repeat, options, root)


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target"))
    parser.add_argument("--list", action="store_true", help="print the scenarios and end")
    parser.add_argument("--group", action="append", default=[], help="only this group")
    parser.add_argument("-k", action="append", default=[], metavar="WORD",
                        help="only scenarios with this word in their name")
    parser.add_argument("--repeat", type=int, default=1, help="run each so many times")
    parser.add_argument("--programs", type=Path, default=target / "release",
                        help="the folder of the programs under test")
    parser.add_argument("--logs", type=Path, default=target / "lab",
                        help="where the folders of failed scenarios are kept")
    return parser.parse_args()


def run_all(chosen, options, root):
    tools = Tools(*(options.programs.resolve() / name
                    for name in ("peerlift", "lab-delay", "lab-liar")))
    passed = failed = skipped = 0
    shutil.rmtree(options.logs, ignore_errors=True)
    for scenario in chosen:
        if scenario.needs_root and not root:
            print(f"skip  {scenario.title}: network namespaces need root", flush=True)
            skipped += 1
        elif play(scenario, tools, options.logs):
            passed += 1
        else:
            failed += 1
    if skipped:
        print(f"{skipped} skipped: run as root to have them")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def play(scenario, tools, logs):
    """Plays one scenario; whether it went as it should."""
    folder = Path(tempfile.mkdtemp(prefix="peerlift-lab-", dir=roomy_folder()))
    folder.chmod(0o755)  # some servers give up their privileges
    started = time.monotonic()
    stage = Stage(scenario.name, folder, tools)
    problem = None
    try:
        with stage:
            scenario.play(stage)
    except EXPECTED_FAILURES as failure:
        problem = str(failure)
    except Exception:  # a scenario that breaks is a failure of that scenario alone
        problem = traceback.format_exc()
    finally:
        seconds = time.monotonic() - started
        if problem:
            keep_logs(folder, logs / scenario.name)
        shutil.rmtree(folder, ignore_errors=True)
    word = "FAIL" if problem else "ok"
    details = "; ".join([f"{stage.checks} checks", *stage.notes])
    print(f"{word:4}  {scenario.title} ({seconds:.1f} s; {details})", flush=True)
    if problem:
        print(indent(problem), indent(last_words(logs / scenario.name)), sep="\n", flush=True)
    return problem is None


def roomy_folder():
    """Memory, if the machine has some to spare: disks are not what the lab tests."""
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > 2 << 30:
        return memory
    return None


def keep_logs(folder, kept):
    """Keeps what the programs said, not the files they carried."""
    kept.mkdir(parents=True, exist_ok=True)
    for log in [*folder.rglob("*.out"), *folder.rglob("*.err"), *folder.rglob("*.log")]:
        if log.is_file():
            shutil.copy(log, kept / "-".join(log.relative_to(folder).parts))


def last_words(kept):
    """The end of every log, so that a failure far away can be understood."""
    parts = []
    for log in sorted(kept.glob("*")):
        lines = log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        if lines:
            parts.append("\n".join([f"--- {log}", *(line[:500] for line in lines)]))
    return "\n".join(parts)


def indent(text):
    return "\n".join(f"      {line}" for line in text.splitlines())


if __name__ == "__main__":
    sys.exit(main())
