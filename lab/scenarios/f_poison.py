"""Peers that send what is not the file."""
import json
import os

from registry import scenario
from scenarios.b_swarm import get, opened, peer

LIAR_PORT = 7000


def liar_among(stage, net, server, film, how):
    """Starts a liar; it has the line of an edge, so that everybody would like to have it."""
    manifest = stage.command([stage.tools.peerlift, "inspect", "--json",
                              f"{server.url}/{film.name}"], "inspect", net["edge"])
    liar = stage.start([stage.tools.liar, server.url, f"{net['liar'].address}:{LIAR_PORT}",
                        root_of(manifest), film.size, how], "liar", net["liar"])
    liar.wait_line(lambda line: line == "ready", "readiness", 30)
    return liar


def poisoned(stage, how):
    """One peer reads from an edge, an honest peer and a liar. Gives the lies and the report."""
    net, server, film = opened(stage, peer("honest"), peer("reader"), peer("liar", up=50))
    get(stage, net, server, film, "honest").wait_report()
    liar = liar_among(stage, net, server, film, how)
    report = get(stage, net, server, film, "reader").wait_report()
    lies = sum(line.text == "lied" for line in liar.lines)
    sent = net["liar"].sent()
    # Found out by the first group of each answer, or not listened to at all.
    stage.check(sent < film.size / 4, f"{sent} bytes sent by the liar")
    stage.note(f"{lies} lies, {sent / 1024:.0f} KiB sent by the liar, "
               f"{report['from_peers'] / film.size:.0%} from peers")
    return lies, report


@scenario("swarm")
def a_liar_hurts_nobody(stage):
    lies, _ = poisoned(stage, "garbage")
    stage.check(lies > 0, "nobody asked the liar")


@scenario("swarm")
def another_objects_bytes_are_not_taken(stage):
    """With proofs that are in order, for that other object."""
    lies, _ = poisoned(stage, "foreign")
    stage.check(lies > 0, "nobody asked the liar")


@scenario("swarm")
def a_peer_that_promises_and_stalls_hurts_nobody(stage):
    lies, report = poisoned(stage, "stall")
    stage.check(lies > 0, "nobody asked the liar")
    stage.check(report["from_peers"] > 0, "nothing came from the honest peer")


@scenario("swarm")
def a_peer_with_another_object_is_not_asked(stage):
    lies, _ = poisoned(stage, "other")
    stage.equal(lies, 0, "requests to a peer with another object")


@scenario("swarm")
def a_forged_ticket_opens_nothing(stage):
    net, server, film = opened(stage, peer("honest"), peer("liar"))
    honest = get(stage, net, server, film, "honest")
    honest.wait_report()
    thief = liar_among(stage, net, server, film, "thief")
    thief.wait_line(lambda line: line == "Refused", "refusal", 30)
    stage.check(honest.program.code is None, "the honest peer ended")


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
