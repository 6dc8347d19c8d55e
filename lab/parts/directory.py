"""The server of a directory that control nodes share: Valkey, or Redis."""
import shutil

from world.here import Here, free_port
from world.waiting import until

NAMES = ("valkey", "redis")
START_SECONDS = 10


def is_there():
    """Whether one is installed."""
    return any(shutil.which(f"{name}-server") for name in NAMES)


def serve(stage):
    """Starts one on a free port of the loopback interface; gives its URL for `--directory`."""
    server, client = (next(filter(shutil.which, (f"{name}-{kind}" for name in NAMES)))
                      for kind in ("server", "cli"))
    folder, port = stage.folder / "directory", free_port()
    folder.mkdir()
    program = stage.start([server, "--port", port, "--bind", Here.address, "--save", "",
                           "--dir", folder], "directory", Here)
    ping = [client, "-h", Here.address, "-p", str(port), "PING"]
    until(lambda: program.code is not None or "PONG" in Here.namespace.inside(*ping, ok=(0, 1)),
          "an answer of the directory's server", START_SECONDS)
    stage.check(program.code is None, f"the directory's server ended: {program.last_words()}")
    return f"redis://{Here.address}:{port}"
