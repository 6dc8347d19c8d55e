"""The list of scenarios, in the order in which they are defined."""
import importlib
import pkgutil
from dataclasses import dataclass
from typing import Callable

import scenarios


@dataclass(frozen=True)
class Scenario:
    """One test of the lab."""
    name: str
    group: str
    needs_root: bool
    play: Callable

    @property
    def title(self):
        """Its name as a sentence."""
        return self.name.replace("_", " ")


_ALL: list[Scenario] = []


def scenario(group, *, needs_root=True):
    """Makes a function that takes a stage a scenario."""
    def register(play):
        _ALL.append(Scenario(play.__name__, group, needs_root, play))
        return play
    return register


def all_scenarios():
    """Every scenario of every module below `scenarios`."""
    for module in sorted(found.name for found in pkgutil.iter_modules(scenarios.__path__)):
        importlib.import_module(f"scenarios.{module}")
    return list(_ALL)
