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
# So slow that a download outlasts a restart of every node in turn.
LIMIT_LONG = ["--limit-down", "400k"]
# The folder whose manifests name every node.
ALL = "all"


class Swarm:
    """One file whose manifests, a folder each, name one node each, or all of them."""

    def __init__(self, stage):
        self.stage = stage
        shared = directory.serve(stage)
        self.nodes = {name: control.Node(stage, name, "--directory", shared) for name in NODES}
        self.film = content.make(stage.folder / "origin" / "file", 24 * MEBIBYTE)
        named = {name: [node] for name, node in self.nodes.items()} | {ALL: self.nodes.values()}
        for name, nodes in named.items():
            folder = stage.folder / "origin" / name
            folder.mkdir()
            os.link(self.film.path, folder / self.film.name)
            urls = [word for node in nodes for word in ("--control", node.url)]
            peerlift.publish(stage, Here, folder, *urls)
        self.edge = peerlift.serve(stage, Here, stage.folder / "origin", "--no-publish",
                                   "--no-control", "--no-relay", port=free_port())
        self.clients = dict.fromkeys(named, 0)

    def get(self, node, *options, share=SHARE):
        """A client of that node, which downloads and shares."""
        self.clients[node] += 1
        room = Room(f"{node}{self.clients[node]}")
        return peerlift.Download(self.stage, room, f"{self.edge.url}/{node}/{self.film.name}",
                                 *share, *options, content=self.film)

    def is_together(self, node):
        """All of a node's clients are back, and each has logged in once since its start."""
        for name in ("sessions", "logins_total"):
            self.nodes[node].until_metric(name, self.clients[node] + self.clients[ALL])


def are_under_way(readers):
    """Each has something from a peer, and is not done."""
    for reader in readers:
        then = reader.program.wait_event(
            lambda event: event["event"] == "progress" and event["from_peers"] > 0,
            "bytes from a peer", peerlift.DOWNLOAD_SECONDS)
        reader.stage.check(then["done"] < then["size"], "not mid-way any more")


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
    are_under_way(readers)
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


@scenario("foreign", needs_root=False)
def every_control_node_is_updated_in_turn_while_downloads_go_on(stage):
    if not directory.is_there():
        stage.note("not tried: neither Valkey nor Redis is installed")
        return
    swarm = Swarm(stage)
    swarm.get("north").wait_report()
    readers = [swarm.get(name, *LIMIT_LONG) for name in (*NODES, ALL)]
    are_under_way(readers)
    for name, node in swarm.nodes.items():
        node.drain(DRAIN_SECONDS)
        # Begun while its only node is away: the edge is enough, or whoever comes by.
        readers.append(swarm.get(name, *LIMIT))
        # Others are introduced meanwhile.
        other = NODES[NODES.index(name) - 1]
        late = swarm.get(other, *LIMIT)
        stage.check(late.wait_report()["from_peers"] > 0, f"no peer was found without {name}")
        node.start()
    for reader in readers[:len(NODES) + 1]:
        stage.check(not any(event["event"] == "completed" for event in reader.program.events),
                    "the download did not outlast the restarts")
    reports = [reader.wait_report() for reader in readers]
    for report in reports[:len(NODES) + 1]:
        stage.check(report["from_peers"] > 0, "nothing came from peers")
    for name in NODES:
        swarm.is_together(name)
    last = swarm.get("south", *LIMIT)
    stage.check(last.wait_report()["from_peers"] > 0, "no peer was found after all")
