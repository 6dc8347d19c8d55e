"""How far hosts are from one another: one device that delays what passes (see `lab/delay`)."""
import os
import sys
from pathlib import Path

from .program import Program

DEVICE = "distance"
TABLE = 100
READY_SECONDS = 10
TUN = Path(__file__).with_name("tun.py")


class Distance:
    """Routes all that crosses the internet namespace through the forwarder."""

    def __init__(self, internet, forwarder, folder, usual_ms, exceptions_ms):
        delays = [f"{address}={round(ms * 1000)}" for address, ms in exceptions_ms.items()]
        self.program = Program(
            [sys.executable, TUN, DEVICE, forwarder, round(usual_ms * 1000), *delays],
            folder=folder, name="distance", namespace=internet)
        self.program.wait_line(lambda line: line == "ready", "the forwarder's word", READY_SECONDS)
        # A forwarder that waits for its turn on the processor would be a longer path.
        os.sched_setscheduler(self.program.pid, os.SCHED_RR, os.sched_param(1))
        internet.ip("link", "set", DEVICE, "up", "mtu", "1500", "txqueuelen", "10000")
        internet.ip("route", "add", "default", "dev", DEVICE, "table", TABLE)
        internet.ip("rule", "add", "priority", "10", "iif", DEVICE, "lookup", "main")
        internet.ip("rule", "add", "priority", "20", "lookup", TABLE)

    def remove(self):
        """Stops the forwarder; its device goes along."""
        self.program.kill()
