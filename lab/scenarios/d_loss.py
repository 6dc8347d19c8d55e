"""Parts die mid-way, and the rest finish."""
from parts import content, nginx, peerlift
from parts.content import MEBIBYTE
from registry import scenario
from scenarios.b_swarm import EDGE, PEERS_APART_MS, SHARE, get, opened, peer
from world.network import Plan


@scenario("swarm")
def the_edge_dies_and_the_peers_finish(stage):
    net, server, film = opened(stage, peer("seed"), peer("peer0"), peer("peer1"))
    get(stage, net, server, film, "seed").wait_report()  # so that the swarm holds every byte
    downloads = [get(stage, net, server, film, name) for name in ("peer0", "peer1")]
    # Whoever has heard from a peer knows it and no longer needs to be introduced.
    for download in downloads:
        download.program.wait_event(
            lambda event: event["event"] == "progress" and event["from_peers"] > 0,
            "bytes from a peer", peerlift.DOWNLOAD_SECONDS)
    at_death = [download.program.events[-1] for download in downloads]
    stage.check(all(event["event"] == "progress" for event in at_death), "not mid-way any more")
    server.program.kill()
    for download, then in zip(downloads, at_death):
        report = download.wait_report()
        stage.check(report["from_peers"] > then["from_peers"], "the peers did not go on")
        stage.note(f"{then['done'] / film.size:.0%} when the edge died")


@scenario("swarm")
def peers_die_and_the_edge_finishes(stage):
    net, server, film = opened(stage, peer("seed0"), peer("seed1"), peer("reader"))
    seeds = [get(stage, net, server, film, name) for name in ("seed0", "seed1")]
    for seed in seeds:
        seed.wait_report()
    reader = get(stage, net, server, film, "reader")
    then = reader.program.wait_event(
        lambda event: event["event"] == "progress" and event["from_peers"] > MEBIBYTE,
        "bytes from peers", peerlift.DOWNLOAD_SECONDS)
    stage.check(then["done"] < film.size, "not mid-way any more")
    for seed in seeds:
        seed.program.kill()
    report = reader.wait_report()
    stage.check(report["from_edge"] > then["from_edge"], "the edge did not go on")
    stage.note(f"{then['done'] / film.size:.0%} when the peers died")


@scenario("swarm")
def the_control_node_dies_and_the_download_goes_on(stage):
    """nginx is the edge; `serve`, on a machine of its own, is the control node and relay."""
    net = stage.network(EDGE, Plan("control", distance_ms=10), peer("seed"), peer("reader"),
                        distance_ms=PEERS_APART_MS)
    film = content.make(stage.folder / "origin", 16 * MEBIBYTE)
    empty = stage.folder / "empty"
    empty.mkdir()
    control = peerlift.serve(stage, net["control"], empty)
    peerlift.publish(stage, net["edge"], film.path.parent, *peerlift.found_at(control))
    _, edge_url = nginx.serve(stage, net["edge"], film.path.parent)
    url = f"{edge_url}/{film.name}"
    peerlift.Download(stage, net["seed"], url, *SHARE, content=film).wait_report()
    reader = peerlift.Download(stage, net["reader"], url, *SHARE, content=film)
    then = reader.program.wait_event(
        lambda event: event["event"] == "progress" and event["from_peers"] > 0,
        "bytes from a peer", peerlift.DOWNLOAD_SECONDS)
    stage.check(then["done"] < film.size, "not mid-way any more")
    control.program.kill()
    report = reader.wait_report()
    stage.check(report["from_peers"] > then["from_peers"], "the peer did not go on")
    stage.note(f"{then['done'] / film.size:.0%} when the control node died")


@scenario("swarm")
def without_a_control_node_the_edge_serves_alone(stage):
    net = stage.network(EDGE, peer("reader"), distance_ms=PEERS_APART_MS)
    film = content.make(stage.folder / "origin", 4 * MEBIBYTE)
    nowhere = ["--control", "http://198.18.99.2:1/"]
    peerlift.publish(stage, net["edge"], film.path.parent, *nowhere)
    _, edge_url = nginx.serve(stage, net["edge"], film.path.parent)
    reader = peerlift.Download(stage, net["reader"], f"{edge_url}/{film.name}", content=film)
    report = reader.wait_end()
    stage.equal(report["from_edge"], film.size, "bytes from the edge")
