"""What happens to the peers of a swarm bench: when they come, die and leave, on which lines.

All randomness comes from the scenario's name and the run's number, so that every contender meets
the same arrivals and the same deaths.
"""
import random
from dataclasses import dataclass, field, replace

from fluid import Stay, last_completion, last_completion_blind
from world.nat import Nat

MEBIBYTE = 1 << 20
FLASH_SECONDS = 2


@dataclass(frozen=True)
class Course:
    """What happens to one peer: it comes, it may be killed, it may leave so long after the end."""
    comes_at: float
    killed_at: float | None = None
    leaves_after: float | None = None


@dataclass(frozen=True)
class Scenario:
    """A swarm. Rates in Mbit/s, distances one way in ms.

    The rates are half of what common lines have, so that the swarm with all its kernel work fits
    on two cores; ratios to the limit do not depend on the scale while the processor does not.
    """
    name: str
    peers: int = 12
    size: int = 64 * MEBIBYTE
    edge_up: float = 50
    down: float = 25
    up: float = 10
    edge_distance_ms: float = 10
    peer_distance_ms: float = 25
    every_seconds: float | None = None     # None: all within two seconds
    leave_within: float | None = None      # None: all stay
    killed_share: float = 0.0
    nat: Nat | None = None
    liars: tuple = field(default=())       # how each of them lies

    def changed(self, **values):
        """The scenario with the values that are not None."""
        return replace(self, **{name: value for name, value in values.items()
                                if value is not None})

    def courses(self, run):
        """The peers of one run."""
        dice = random.Random(f"{self.name}/{run}")
        arrivals = self._arrivals(dice)
        if self.leave_within is None:
            return [Course(at) for at in arrivals]
        middle = self.limit([Course(at) for at in arrivals])
        doomed = set(dice.sample(range(self.peers), round(self.peers * self.killed_share)))
        return [Course(at, killed_at=at + dice.uniform(0.3, 0.7) * middle) if peer in doomed
                else Course(at, leaves_after=dice.uniform(0, self.leave_within))
                for peer, at in enumerate(arrivals)]

    def _arrivals(self, dice):
        if self.every_seconds:
            return [peer * self.every_seconds for peer in range(self.peers)]
        arrivals = sorted(dice.uniform(0, FLASH_SECONDS) for _ in range(self.peers))
        return [at - arrivals[0] for at in arrivals]

    def limit(self, courses):
        """The fluid limit of the last completion, in seconds."""
        return last_completion(*self._fluid(courses))

    def limit_blind(self, courses):
        """The same for who cannot know which peers will be killed."""
        return last_completion_blind(*self._fluid(courses))

    def _fluid(self, courses):
        stays = [Stay(course.comes_at, course.killed_at or float("inf")) for course in courses]
        return self.size, self.edge_up, self.down, self.up, stays


FLASH = Scenario("flash12")
SCENARIOS = {scenario.name: scenario for scenario in [
    FLASH,
    replace(FLASH, name="trickle", every_seconds=3),
    replace(FLASH, name="leave", leave_within=5, killed_share=0.25),
    replace(FLASH, name="poison", liars=("garbage",)),
    replace(FLASH, name="poison4", liars=("garbage", "sleeper", "tail", "silent")),
    replace(FLASH, name="nat-easy", nat=Nat.PORT_RESTRICTED),
    replace(FLASH, name="nat-hard", nat=Nat.SYMMETRIC),
    replace(FLASH, name="flash20", peers=20),
    replace(FLASH, name="large", size=256 * MEBIBYTE),
    replace(FLASH, name="slow-uplinks", up=3),
    replace(FLASH, name="near", edge_distance_ms=0, peer_distance_ms=0),
    replace(FLASH, name="wide", peers=8, size=10 * MEBIBYTE, edge_up=500),
]}
