"""Homes and offices: what stands between peers."""
from registry import scenario
from scenarios.b_swarm import get, opened, peer
from world.nat import Nat

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
