"""The user's own network, as NetworkManager tells of it."""
import json
import shutil
import tempfile
from pathlib import Path

from parts import content, network_manager, peerlift
from registry import scenario
from world.here import Here, free_port
from world.waiting import until

# The service looks every quarter of a minute.
NOTICE_SECONDS = 40
START_SECONDS = 30


class User(Here):
    """Whose laptop it is."""
    name = "user"


class Reader(Here):
    """Somebody who wants the same file."""
    name = "reader"


@scenario("foreign")
def uploads_rest_while_the_network_is_metered(stage):
    cache = Path(__file__).resolve().parents[2] / "target" / "lab-tools" / "network-manager"
    root, reason = network_manager.unpacked(cache)
    if reason:
        stage.note(f"not tried: {reason}")
        return
    # Paths short enough for Unix sockets.
    folder = Path(tempfile.mkdtemp(prefix="peerlift-lab-"))
    try:
        rest_and_go_on(stage, network_manager.NetworkManager(stage, folder, root), folder)
    finally:
        shutil.rmtree(folder)


def rest_and_go_on(stage, network, folder):
    film = content.make(stage.folder / "origin", 4 * content.MEBIBYTE)
    server = peerlift.serve(stage, Here, film.path.parent, port=free_port(), wait_for=film.name)
    url = f"{server.url}/{film.name}"
    runtime = {"XDG_RUNTIME_DIR": str(folder)}

    def say(*words):
        return stage.command([stage.tools.peerlift, *words], words[0], User, runtime)

    def told(*words):
        return json.loads(say(*words, "--json"))

    def pauses():
        return told("status")["service"]["pauses"]

    told("share", "allow", told("inspect", url)["publisher"], "--yes")
    service = stage.start([stage.tools.peerlift, "daemon", "--idle", "1h", "--json"], "service",
                          User, {**runtime, "DBUS_SYSTEM_BUS_ADDRESS": network.address})
    service.wait_event(lambda event: event["event"] == "ready", "readiness", START_SECONDS)
    (stage.folder / "shared").mkdir()
    told("get", "--queue", url, "-o", stage.folder / "shared")
    until(lambda: told("status")["downloads"][0]["state"] == "sharing", "sharing", START_SECONDS)
    stage.equal(pauses(), [], "pauses on a network that is not metered")

    network.set_metered(True)
    until(lambda: pauses() == [{"reason": "metered"}], "a pause", NOTICE_SECONDS)
    status = say("status")
    stage.check("the network is metered" in status, f"status says why: {status}")
    reader = peerlift.Download(stage, Reader, url, content=film)
    stage.equal(reader.wait_end()["from_peers"], 0, "bytes from a machine on a metered network")

    network.set_metered(False)
    until(lambda: pauses() == [], "the end of the pause", NOTICE_SECONDS)
