"""Homes and offices: what stands between peers."""
from parts import content, peerlift, tls
from parts.content import MEBIBYTE
from registry import scenario
from scenarios.b_swarm import EDGE, PEERS_APART_MS, SHARE, get, opened, peer
from world.nat import Nat
from world.network import Plan
from world.waiting import until

# Proofs and signalling may go by the relay before a path is found; a download must not.
NEGLIGIBLE = 0.02


def seed_then_reader(stage, **surroundings):
    """One peer has the file and shares it; the report of one that comes after it."""
    net, server, film = opened(stage, peer("seed", **surroundings), peer("reader", **surroundings))
    seed = get(stage, net, server, film, "seed")
    seed.wait_report()
    reader = get(stage, net, server, film, "reader")
    report = reader.wait_report()
    direct = report["from_peers"] - report["from_peers_relayed"]
    stage.note(f"edge {report['from_edge'] / film.size:.0%}, direct {direct / film.size:.0%}, "
               f"relayed {report['from_peers_relayed'] / film.size:.0%}")
    return film, report, direct


@scenario("swarm")
def peers_behind_port_restricted_nats_connect_directly(stage):
    film, report, direct = seed_then_reader(stage, nat=Nat.PORT_RESTRICTED)
    stage.check(direct > 0, "nothing came directly")
    relayed = report["from_peers_relayed"]
    stage.check(relayed <= NEGLIGIBLE * film.size, f"{relayed} bytes went through the relay")


@scenario("swarm")
def peers_behind_symmetric_nats_complete_from_the_edge(stage):
    _, report, direct = seed_then_reader(stage, nat=Nat.SYMMETRIC)
    stage.equal(direct, 0, "bytes over a path that cannot be")
    stage.check(report["from_edge"] > 0, "nothing came from the edge")


@scenario("swarm")
def peers_without_udp_meet_over_tcp(stage):
    _, _, direct = seed_then_reader(stage, udp=False)
    stage.check(direct > 0, "nothing came directly")


@scenario("swarm")
def peers_behind_nats_without_udp_complete_from_the_edge(stage):
    """No hole can be punched for TCP here, so there is no way between them."""
    _, report, direct = seed_then_reader(stage, nat=Nat.PORT_RESTRICTED, udp=False)
    stage.equal(direct, 0, "bytes over a path that cannot be")
    stage.check(report["from_edge"] > 0, "nothing came from the edge")


@scenario("swarm")
def one_open_peer_is_reached_from_behind_a_symmetric_nat(stage):
    net, server, film = opened(stage, peer("seed"), peer("reader", nat=Nat.SYMMETRIC))
    seed = get(stage, net, server, film, "seed")
    seed.wait_report()
    report = get(stage, net, server, film, "reader").wait_report()
    direct = report["from_peers"] - report["from_peers_relayed"]
    stage.check(direct > 0, "nothing came directly")


@scenario("swarm")
def peers_are_introduced_by_what_two_relays_saw_of_their_nats(stage):
    """One after the other, so that each finds those before it known for what they are."""
    homes = {"hard0": Nat.SYMMETRIC, "hard1": Nat.SYMMETRIC,
             "easy0": Nat.PORT_RESTRICTED, "easy1": Nat.PORT_RESTRICTED}
    net = stage.network(EDGE, Plan("relay", distance_ms=10), *(peer(name, nat=nat)
                        for name, nat in homes.items()), distance_ms=PEERS_APART_MS)
    film = content.make(stage.folder / "origin", 4 * MEBIBYTE)
    certificate, key = tls.certificate(stage, net["edge"], *(
        net[name].address for name in ("edge", "relay")))
    with_tls = ["--tls-cert", certificate, "--tls-key", key, "--no-publish"]
    empty = stage.folder / "nothing"
    empty.mkdir()
    relay = peerlift.serve(stage, net["relay"], empty, *with_tls, tls=certificate)
    server = peerlift.serve(stage, net["edge"], film.path.parent, *with_tls, tls=certificate)
    peerlift.publish(stage, net["edge"], film.path.parent, *peerlift.found_at(server, relay))

    def joins(name, *options):
        """How many peers were named while it downloaded; what it got directly."""
        before = server.metric("peerlift_control_named_peers")
        report = peerlift.Download(stage, net[name], f"{server.url}/{film.name}", *SHARE,
                                   *options, content=film, env=tls.trusting(certificate)).wait_report()
        named = server.metric("peerlift_control_named_peers") - before
        return named, report["from_peers"] - report["from_peers_relayed"]

    def are_known(nat, count):
        """Waits for it; a probe that was lost is repeated after a while."""
        until(lambda: server.metric(rf'peerlift_control_clients_by_nat\{{nat="{nat}"\}}') == count,
              f"{count} clients known to be {nat}", 180)

    joins("hard0")
    are_known("hard", 1)
    stage.equal(joins("hard1"), (0, 0), "one hard NAT for another: named, bytes")
    are_known("hard", 2)
    stage.equal(joins("easy0"), (0, 0), "hard NATs for an easy one: named, bytes")
    are_known("easy", 1)
    # A hole takes a moment to punch.
    named, direct = joins("easy1", "--limit-down", "500k")
    stage.check(named > 0, "the easy NAT was not named to the other easy one")
    stage.check(direct > 0, "nothing came directly from one easy NAT to the other")
    for name, words in (("hard0", "everybody another port"), ("easy0", "two relays the same port")):
        stage.check(words in peerlift.examine(stage, net[name], f"{server.url}/{film.name}",
                                              tls.trusting(certificate)), f"{name}: not {words}")
