"""Files for holders of tokens, and files that an operator takes out of circulation."""
import json

from parts import peerlift
from registry import scenario

from .b_swarm import get, opened, peer

ADMIN = "127.0.0.1:7844"
HOLDERS = ["holder0", "holder1", "holder2"]


def tool(stage, host, *words):
    """What `peerlift` prints on that machine."""
    return stage.command([stage.tools.peerlift, *words], words[0], host).strip()


def sell(stage, net, publisher, name):
    """A token for that machine, in a file of its own."""
    holder = tool(stage, net[name], "token", "request", publisher)
    token = tool(stage, net["edge"], "token", "issue", "--for", holder)
    path = stage.folder / name / "token"
    path.write_text(token)
    return ["--token", path]


@scenario("access")
def holders_of_tokens_share_what_others_do_not_get(stage):
    net, server, film = opened(stage, *map(peer, [*HOLDERS, "outsider"]),
                               options=["--access", "token", "--admin", ADMIN])
    url = f"{server.url}/{film.name}"
    manifest = json.loads(tool(stage, net["outsider"], "inspect", "--json", url))
    outsider = peerlift.Download(stage, net["outsider"], url, content=film)
    stage.equal(outsider.program.wait_exit(60), 3, "outsider: exit code")
    tokens = {name: sell(stage, net, manifest["publisher"], name) for name in HOLDERS}
    downloads = [get(stage, net, server, film, name, *tokens[name]) for name in HOLDERS]
    reports = [download.wait_report() for download in downloads]
    stage.check(sum(report["from_peers"] for report in reports) > 0, "nothing came from peers")
    # They go on sharing until the operator blocks it.
    tool(stage, net["edge"], "control", "block", manifest["root"], "--admin", ADMIN)
    for download in downloads:
        stage.equal(download.program.wait_exit(60), 0, f"{download.host.name}: exit code")
    stage.check(not server.answers(f"/{film.name}.peerlift"), "a blocked file is there")
