"""`peerlift control`: a node of its own, at an address that it keeps when it is started again."""
import re
import urllib.request

from world.here import Here, Room, free_port
from world.waiting import until

START_SECONDS = 30


class Node:
    """A control node with a key of its own."""

    def __init__(self, stage, name, *options):
        self.stage, self.room, self.options = stage, Room(name), options
        self.listen, self.admin = (f"{Here.address}:{free_port()}" for _ in range(2))
        self.url = f"http://{self.listen}"
        self.start()

    def start(self):
        """Starts it, for the first time or again; returns when it lets clients in."""
        argv = [self.stage.tools.peerlift, "control", "--json", "--listen", self.listen,
                "--admin", self.admin, *self.options]
        self.program = self.stage.start(argv, "control", self.room)
        self.program.wait_event(lambda event: event["event"] == "ready", "readiness", START_SECONDS)

    def kill(self):
        """Ends it at once, as a power cut would."""
        self.program.kill()

    def drain(self, within):
        """Ends it as an update does: its clients are sent away first."""
        self.program.stop(within)
        self.stage.equal(self.program.code, 0, f"{self.room.name}: exit code")

    def metric(self, name):
        """The sum of a metric over its labels."""
        with urllib.request.urlopen(f"http://{self.admin}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        found = re.findall(rf"^peerlift_control_{name}(?:\{{[^}}]*\}})? ([0-9.e+]+)$", text,
                           re.MULTILINE)
        return sum(map(float, found))

    def until_metric(self, name, value, within=90):
        """Waits until a metric has that value: clients that lost their node try it within a minute."""
        until(lambda: self.metric(name) == value, f"{self.room.name}: {name} = {value}", within)
