"""Bounded waits on things that give no event of their own, such as a port or a file."""
import time

LOOK_EVERY_SECONDS = 0.05


class TookTooLong(Exception):
    """What was waited for did not come in time."""


def until(condition, what, within):
    """Gives the condition's first true value; fails after so many seconds."""
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TookTooLong(f"{what}: not within {within} s")
        time.sleep(LOOK_EVERY_SECONDS)
