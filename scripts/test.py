#!/usr/bin/env python3
"""Runs every check there is, all of them even when one fails, and counts.

A step is a command. Steps that run tests count their tests; the others count as one. The last
line is `N passed, N failed`, and the exit code is 1 when something failed.

    scripts/test.py                 everything
    scripts/test.py lab doctests    some steps
"""
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts" / "panel"))
import needs as panel_needs  # noqa: E402

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Count:
    """Tests of one step."""
    passed: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True)
class Step:
    """One command and how to count what it did. A limit in minutes keeps a stuck step from
    hiding the others."""
    name: str
    argv: list
    count: Callable[[str], Count | None] = lambda output: None
    env: dict | None = None
    minutes: int = 15


def nextest_count(output):
    """From `Summary [...] 9 tests run: 8 passed (1 slow), 1 failed, 2 skipped`."""
    summary = re.search(r"Summary \[.*?\].*?tests? run: (.*)", output)
    return summary and Count(number(summary[1], "passed"),
                             sum(number(summary[1], word) for word in ("failed", "timed out")),
                             number(summary[1], "skipped"))


def cargo_test_count(output):
    """From every `test result: ok. 3 passed; 0 failed; 1 ignored; ...`."""
    results = re.findall(r"test result: .*", output)
    return results and Count(*(sum(number(line, word) for line in results)
                               for word in ("passed", "failed", "ignored")))


def lab_count(output):
    """From `9 passed, 1 failed` and `2 skipped: ...`."""
    summary = re.search(r"^\d+ passed, \d+ failed$", output, re.MULTILINE)
    return summary and Count(number(summary[0], "passed"), number(summary[0], "failed"),
                             number(output, "skipped:"))


def number(text, word):
    """The number before the word; 0 without it."""
    found = re.search(rf"(\d+) {re.escape(word)}", text)
    return int(found[1]) if found else 0


def steps():
    cargo, lab = "cargo", [sys.executable, ROOT / "lab" / "run.py"]
    return [
        Step("fmt", [cargo, "fmt", "--all", "--check"]),
        Step("clippy", [cargo, "clippy", "--locked", "--workspace", "--all-targets", "--",
                        "-D", "warnings"]),
        Step("doc", [cargo, "doc", "--locked", "--workspace", "--no-deps",
                     "--document-private-items"], env={"RUSTDOCFLAGS": "-D warnings"}),
        Step("tests", [cargo, "nextest", "run", "--locked", "--workspace", "--no-tests=warn"],
             nextest_count),
        Step("directory", [cargo, "nextest", "run", "--locked", "--workspace", "--run-ignored", "only",
                           "-E", "package(peerlift-control) and binary(directory)"], nextest_count),
        Step("doctests", [cargo, "test", "--locked", "--workspace", "--doc", "--no-fail-fast"],
             cargo_test_count),
        Step("deny", [cargo, "deny", "--workspace", "check", "licenses", "bans", "sources"]),
        Step("release build", [cargo, "build", "--locked", "--release", "--workspace"],
             minutes=20),
        Step("panel", [sys.executable, ROOT / "scripts" / "panel" / "run.py",
                       ROOT / "target" / "release" / "peerlift"], lab_count),
        Step("package", [sys.executable, ROOT / "packaging" / "test.py"], lab_count),
        Step("foreign", [*lab, "--group", "foreign"], lab_count),
        Step("lab", [*lab, "--group", "world", "--group", "swarm"], lab_count),
    ]


def main():
    os.chdir(ROOT)
    wanted = sys.argv[1:]
    total, rows = Count(), []
    for step in steps():
        if wanted and step.name not in wanted:
            continue
        if step.name == "deny" and not shutil.which("cargo-deny"):
            print("\n==> deny: left out, cargo-deny is not installed", flush=True)
            rows.append(f"  --    {step.name}: left out, cargo-deny is not installed")
            continue
        if step.name == "directory" and not have_directory_server():
            print("\n==> directory: left out, neither Redis nor Valkey could be installed", flush=True)
            rows.append("  --    directory: left out, neither Redis nor Valkey could be installed")
            continue
        if step.name == "panel" and (reason := panel_needs.missing()):
            print(f"\n==> panel: left out, {reason}", flush=True)
            rows.append(f"  --    panel: left out, {reason}")
            continue
        count, row = perform(step)
        rows.append(row)
        total = Count(total.passed + count.passed, total.failed + count.failed,
                      total.skipped + count.skipped)
    print("\nSummary", *rows, sep="\n")
    if total.skipped:
        print(f"  {total.skipped} skipped")
    print(f"{total.passed} passed, {total.failed} failed")
    return 1 if total.failed else 0


def have_directory_server():
    """Whether there is a Redis or Valkey server, installed by Debian's packages where that is allowed."""
    def there():
        return any(shutil.which(f"{name}-server") for name in ("valkey", "redis"))
    for package in ("valkey-server", "redis-server"):
        if not there() and shutil.which("apt-get") and os.geteuid() == 0:
            # The service that the package would start is not wanted: tests start their own.
            subprocess.run(["apt-get", "install", "--yes", "--no-install-recommends", package],
                           env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"},
                           stdin=subprocess.DEVNULL)
    return there()


def perform(step):
    """Runs a step, showing its output as it comes; gives its count and its summary line."""
    print(f"\n==> {step.name}: {' '.join(map(str, step.argv))}", flush=True)
    started = time.monotonic()
    output, code = run(step)
    minutes = (time.monotonic() - started) / 60
    count = step.count(COLOUR.sub("", output))
    if code == 0:
        count = count or Count(passed=1)
    elif not count or not count.failed:  # it ended before or beside its tests
        count = Count(count.passed if count else 0, 1, count.skipped if count else 0)
    word = "FAIL" if count.failed else "ok"
    skipped = f", {count.skipped} skipped" if count.skipped else ""
    return count, (f"  {word:4}  {step.name}: {count.passed} passed, {count.failed} failed"
                   f"{skipped} ({minutes:.1f} min)")


def run(step):
    """The step's output and exit code."""
    limit = ["timeout", "--kill-after=30", f"{step.minutes}m"]
    program = subprocess.Popen(
        [*limit, *map(str, step.argv)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace",
        env={**os.environ, **(step.env or {})})
    output = []
    for line in program.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        output.append(line)
    code = program.wait()
    if code == 124:
        print(f"{step.name}: ended after {step.minutes} minutes", flush=True)
    return "".join(output), code


if __name__ == "__main__":
    sys.exit(main())
