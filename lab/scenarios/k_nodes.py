"""Control nodes that share a directory: any of them may go while downloads are under way."""
import os

from parts import content, control, directory, peerlift
from parts.content import MEBIBYTE
from registry import scenario
from scenarios.b_swarm import SHARE
from world.here import Here, Room, free_port

NODES = ("north", "east", "south")
# Slow enough that downloads are under way when their node goes.
LIMIT = ["--limit-down", "3M"]
DRAIN_SECONDS = 40


class Swarm:
    """One file whose manifests, a folder each, name one node each."""

    def __init__(self, stage):
        self.stage = stage
        shared = directory.serve(stage)
        self.nodes = {name: control.Node(stage, name, "--directory", shared) for name in NODES}
        self.film = content.make(stage.folder / "origin" / "file", 24 * MEBIBYTE)
        for name, node in self.nodes.items():
            folder = stage.folder / "origin" / name
            folder.mkdir()
            os.link(self.film.path, folder / self.film.name)
            peerlift.publish(stage, Here, folder, "--control", node.url)
        self.edge = peerlift.serve(stage, Here, stage.folder / "origin", "--no-publish",
                                   "--no-control", "--no-relay", port=free_port())
        self.clients = dict.fromkeys(NODES, 0)

    def get(self, node, *options, share=SHARE):
        """A client of that node, which downloads and shares."""
        self.clients[node] += 1
        room = Room(f"{node}{self.clients[node]}")
        return peerlift.Download(self.stage, room, f"{self.edge.url}/{node}/{self.film.name}",
                                 *share, *options, content=self.film)

    def is_together(self, node):
        """All of a node's clients are back, and each has logged in once since its start."""
        for name in ("sessions", "logins_total"):
            self.nodes[node].until_metric(name, self.clients[node])


@scenario("foreign", needs_root=False)
def one_of_three_control_nodes_dies_and_one_is_updated_while_downloads_go_on(stage):
    if not directory.is_there():
        stage.note("not tried: neither Valkey nor Redis is installed")
        return
    swarm = Swarm(stage)
    swarm.get("north").wait_report()
    north, east = swarm.nodes["north"], swarm.nodes["east"]
    # South has no client of its own that shares: whom it names it knows from the directory.
    readers = [swarm.get("north", *LIMIT), swarm.get("east", *LIMIT),
               swarm.get("south", *LIMIT, share=["--share", "off"])]
    for reader in readers:
        then = reader.program.wait_event(
            lambda event: event["event"] == "progress" and event["from_peers"] > 0,
            "bytes from a peer", peerlift.DOWNLOAD_SECONDS)
        stage.check(then["done"] < swarm.film.size, "not mid-way any more")
    north.kill()
    east.drain(DRAIN_SECONDS)
    # Clients of the other two are still named, and let in whom a node that was not theirs sends.
    late = swarm.get("south", *LIMIT)
    stage.check(late.wait_report()["from_peers"] > 0, "no peer was found without two of three nodes")
    east.start()
    north.start()
    for reader in readers:
        stage.check(reader.wait_report()["from_peers"] > 0, "nothing came from peers")
    for name in ("north", "east"):
        swarm.is_together(name)
    # What the dead node knew is known again.
    last = swarm.get("north", *LIMIT)
    stage.check(last.wait_report()["from_peers"] > 0, "no peer was found after all")
