"""What a scenario stands on: a folder, the programs under test, a network, checks.

Everything that a scenario starts is ended with it, in reverse order.
"""
import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from world.network import Network
from world.program import Program


class NotAsExpected(Exception):
    """A check of a scenario failed."""


@dataclass(frozen=True)
class Tools:
    """The programs that were built for the run."""
    peerlift: Path
    delay: Path
    liar: Path


class Stage:
    """Use as a context manager, one for each scenario."""

    def __init__(self, name, folder, tools):
        self.name, self.folder, self.tools = name, Path(folder), tools
        self.checks = 0
        self.notes: list[str] = []
        self.programs: list[Program] = []
        self._stack = ExitStack()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()

    # -- building

    def network(self, *plans, distance_ms=0) -> Network:
        """Builds the hosts."""
        network = Network(self.name[:20], self.folder, self.tools.delay, plans, distance_ms)
        return self._stack.enter_context(network)

    def start(self, argv, name, host=None, env=None) -> Program:
        """Starts a program, with a home folder of its own below the scenario's."""
        folder = self.folder / (host.name if host else "here")
        home = folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        fresh = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"),
                 "XDG_DATA_HOME": str(home / "data"), "XDG_STATE_HOME": str(home / "state"),
                 "XDG_CACHE_HOME": str(home / "cache"), "NO_PROXY": "*"}
        program = Program(argv, folder=folder, name=name, env={**fresh, **(env or {})},
                          namespace=host.namespace if host else None)
        self.programs.append(program)
        self._stack.callback(program.stop)
        return program

    def command(self, argv, name, host=None, env=None, within=60):
        """Runs a program to its end, which must be a success; gives what it printed."""
        program = self.start(argv, name, host, env)
        code = program.wait_exit(within)
        self.equal(code, 0, f"{name}: exit code ({program.last_words()})")
        return "\n".join(line.text for line in program.lines)

    # -- judging

    def check(self, truth, claim):
        """Fails the scenario unless the claim is true."""
        if not truth:
            raise NotAsExpected(claim)
        self.checks += 1

    def equal(self, actual, expected, what):
        """Fails the scenario unless both are the same."""
        self.check(actual == expected, f"{what}: {actual!r}, not {expected!r}")

    def note(self, text):
        """Says something about the run beside its name."""
        self.notes.append(text)


def clean_environment():
    """Forgets proxies and settings of whoever runs the lab."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("PEERLIFT_", "XDG_")):
            del os.environ[name]
