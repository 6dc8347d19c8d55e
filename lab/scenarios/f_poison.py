"""Peers that send what is not the file."""
import json
import os

from registry import scenario
from scenarios.b_swarm import get, opened, peer

LIAR_PORT = 7000


@scenario("swarm")
def a_liar_hurts_nobody(stage):
    """It has the line of an edge, so that everybody would like to have it."""
    net, server, film = opened(stage, peer("honest"), peer("reader"),
                               peer("liar", up=50), size=8 << 20)
    get(stage, net, server, film, "honest").wait_report()
    manifest = stage.command([stage.tools.peerlift, "inspect", "--json",
                              f"{server.url}/{film.name}"], "inspect", net["edge"])
    liar = stage.start([stage.tools.liar, server.url, f"{net['liar'].address}:{LIAR_PORT}",
                        root_of(manifest), film.size], "liar", net["liar"])
    liar.wait_line(lambda line: line == "ready", "readiness", 30)
    report = get(stage, net, server, film, "reader").wait_report()
    lies = sum(line.text == "lied" for line in liar.lines)
    stage.check(lies > 0, "nobody asked the liar")
    # It is found out by the first group of each answer, and then nobody asks again.
    stage.check(net["liar"].sent() < film.size / 2, f"{net['liar'].sent()} bytes of garbage")
    stage.note(f"{lies} lies, {net['liar'].sent() / 1024:.0f} KiB of garbage, "
               f"{report['from_peers'] / film.size:.0%} from peers")


@scenario("swarm")
def a_seed_whose_disk_rots_hurts_nobody(stage):
    net, server, film = opened(stage, peer("seed"), peer("reader"), size=8 << 20)
    seed = get(stage, net, server, film, "seed")
    seed.wait_report()
    with open(seed.path, "r+b") as disk:
        disk.write(os.urandom(film.size))
    report = get(stage, net, server, film, "reader").wait_report()
    stage.equal(report["from_edge"], film.size, "bytes from the edge")
    stage.note(f"{report['wasted']} bytes thrown away")


def root_of(manifest):
    """The object's name, from the JSON that `inspect` prints."""
    return json.loads(manifest)["root"]
