"""Peers that send what is not the file."""
import os

from registry import scenario
from scenarios.b_swarm import get, opened, peer

LIAR_PORT = 7000
# Of what is delivered; a liar goes with its first bad group.
WASTED_SHARE_MAX = 0.02


def liar_among(stage, net, server, film, how, name="liar"):
    """Starts a liar; it has the line of an edge, so that everybody would like to have it."""
    liar = stage.start([stage.tools.liar, server.url, f"{net[name].address}:{LIAR_PORT}",
                        film.path, how], name, net[name])
    liar.wait_line(lambda line: line == "ready", "readiness", 30)
    return liar


def poisoned(stage, how, size=16 << 20):
    """One peer reads from an edge, an honest peer and a liar. Gives the lies and the report."""
    net, server, film = opened(stage, peer("honest"), peer("reader"), peer("liar", up=50),
                               size=size)
    get(stage, net, server, film, "honest").wait_report()
    liar = liar_among(stage, net, server, film, how)
    report = get(stage, net, server, film, "reader").wait_report()
    lies = lies_of(liar)
    stage.note(f"{lies} lies, {net['liar'].sent() / 1024:.0f} KiB sent by the liar, "
               f"{report['wasted']} bytes wasted, "
               f"{report['from_peers'] / film.size:.0%} from peers")
    stage.check(report["wasted"] <= WASTED_SHARE_MAX * film.size,
                f"{report['wasted']} bytes wasted")
    return lies, report


def lies_of(liar):
    return sum(line.text == "lied" for line in liar.lines)


def found_out(stage, how, **more):
    """A liar of this kind is asked, and thrown out before it has sent much of the file."""
    lies, report = poisoned(stage, how, **more)
    stage.check(lies > 0, "nobody asked the liar")
    return report


@scenario("swarm")
def a_liar_hurts_nobody(stage):
    found_out(stage, "garbage")


@scenario("swarm")
def another_objects_bytes_are_not_taken(stage):
    """With proofs that are in order, for that other object."""
    found_out(stage, "foreign")


@scenario("swarm")
def a_peer_that_turns_into_a_liar_is_found_out(stage):
    """It has answered truly for one MiB: that buys it nothing."""
    found_out(stage, "sleeper", size=32 << 20)


@scenario("swarm")
def a_lie_in_the_last_group_is_found_out(stage):
    """The other groups of the answer are true, and kept."""
    found_out(stage, "tail")


@scenario("swarm")
def a_peer_that_drips_hurts_nobody(stage):
    """It never stalls, it only takes two seconds for every group."""
    found_out(stage, "drip")


@scenario("swarm")
def a_peer_that_promises_and_stalls_hurts_nobody(stage):
    report = found_out(stage, "stall")
    stage.check(report["from_peers"] > 0, "nothing came from the honest peer")


@scenario("swarm")
def a_peer_that_claims_everything_and_sends_nothing_hurts_nobody(stage):
    report = found_out(stage, "silent")
    stage.check(report["from_peers"] > 0, "nothing came from the honest peer")


@scenario("swarm")
def one_in_four_lies_and_everybody_gets_it(stage):
    honest, liars = [f"peer{n}" for n in range(6)], ["liar0", "liar1"]
    net, server, film = opened(stage, *map(peer, honest), *(peer(name, up=50) for name in liars))
    for name, how in zip(liars, ("sleeper", "garbage")):
        liar_among(stage, net, server, film, how, name)
    downloads = [get(stage, net, server, film, name) for name in honest]
    reports = [download.wait_report() for download in downloads]
    wasted = sum(report["wasted"] for report in reports)
    stage.note(f"{wasted / (len(honest) * film.size):.2%} wasted")
    stage.check(wasted <= WASTED_SHARE_MAX * len(honest) * film.size, f"{wasted} bytes wasted")


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
