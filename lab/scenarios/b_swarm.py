"""Peers and the edge together: what sharing is for."""
from dataclasses import replace

from parts import content, peerlift
from parts.content import MEBIBYTE
from registry import scenario
from world.network import Plan

# Half of common lines, so that eight machines with all their kernel work fit on two cores.
EDGE = Plan("edge", down=50, up=50, distance_ms=10)
DOWN, UP = 25, 10
PEERS_APART_MS = 25
SHARE = ["--share", "for=10m"]


def peer(name, **more):
    """A home on an ordinary line."""
    return Plan(name, **{"down": DOWN, "up": UP, **more})


def opened(stage, *peers, size=16 * MEBIBYTE, options=(), edge=EDGE):
    """An edge with one published file, and peers. Gives the network, the server, the file."""
    net = stage.network(edge, *peers, distance_ms=PEERS_APART_MS)
    film = content.make(stage.folder / "origin", size)
    server = peerlift.serve(stage, net["edge"], film.path.parent, *options, wait_for=film.name)
    return net, server, film


def get(stage, net, server, film, name, *options):
    """A peer that downloads and shares."""
    return peerlift.Download(stage, net[name], f"{server.url}/{film.name}", *SHARE, *options,
                             content=film)


def everybody_gets_it(stage, peers, edge=EDGE, size=16 * MEBIBYTE):
    """All download at once; gives the copies that left the edge."""
    names = [f"peer{number}" for number in range(peers)]
    net, server, film = opened(stage, *map(peer, names), edge=edge, size=size)
    before = net["edge"].sent()
    downloads = [get(stage, net, server, film, name) for name in names]
    reports = [download.wait_report() for download in downloads]
    from_edge, from_peers = (sum(report[source] for report in reports)
                             for source in ("from_edge", "from_peers"))
    stage.check(from_peers > 0, "nothing came from peers")
    stage.check(from_edge + from_peers >= peers * film.size, "bytes without a source")
    left_edge = net["edge"].sent() - before
    stage.check(left_edge >= from_edge, f"{from_edge} bytes from an edge that sent {left_edge}")
    copies = left_edge / film.size
    stage.check(copies < 0.9 * peers, f"{copies:.2f} copies left the edge for {peers} peers")
    stage.note(f"{copies:.2f} copies from the edge")
    stage.note(f"{from_peers / (from_peers + from_edge):.0%} from peers")
    stage.note(f"slowest {max(report['seconds'] for report in reports):.1f} s")


@scenario("swarm")
def two_peers_share_a_download(stage):
    """The edge is the narrow place: where it is not, two thrifty downloads take from it what they
    would get alone, and share little (docs/benchmarks.md, known limits)."""
    everybody_gets_it(stage, 2, edge=replace(EDGE, up=20), size=32 * MEBIBYTE)


@scenario("swarm")
def eight_peers_share_a_download(stage):
    everybody_gets_it(stage, 8)


@scenario("swarm")
def a_peer_that_does_not_share_gives_nothing(stage):
    net, server, film = opened(stage, peer("giver"), peer("taker"))
    url = f"{server.url}/{film.name}"
    giver = peerlift.Download(stage, net["giver"], url, *SHARE, content=film)
    giver.wait_report()
    before = net["taker"].sent()
    taker = peerlift.Download(stage, net["taker"], url, "--share", "off", content=film)
    report = taker.wait_end()
    stage.check(report["from_peers"] > 0, "nothing came from the peer that shares")
    stage.equal(report["uploaded"], 0, "bytes uploaded without consent")
    sent = net["taker"].sent() - before
    stage.check(sent < film.size / 4, f"{sent} bytes sent by a peer that does not share")


@scenario("swarm")
def a_killed_download_goes_on_where_it_was(stage):
    net, server, film = opened(stage, peer("peer0"))
    url = f"{server.url}/{film.name}"
    first = peerlift.Download(stage, net["peer0"], url, content=film)
    done = first.wait_progress(0.5)["done"]
    first.program.kill()
    second = peerlift.Download(stage, net["peer0"], url, content=film, name="again")
    report = second.wait_end()
    twice = done - report["resumed"]
    stage.check(twice <= 4 * MEBIBYTE, f"{twice} bytes of {done} were lost")
    received = net["peer0"].received()
    stage.check(received < film.size * 1.1 + 4 * MEBIBYTE, f"{received} bytes for {film.size}")
    stage.note(f"{received / film.size:.2f} copies received")
