"""A torrent of the file, with a tracker and a seed at the edge: what publishers can do today."""
import hashlib
from pathlib import Path

from parts import nginx
from world.waiting import until

TRACKER_PORT = 6969
PIECE = 1 << 18
START_SECONDS = 10
NODE = Path(__file__).with_name("libtorrent_node.py")  # a client


def serve(stage, host, film):
    """Starts tracker and web seed; gives the path of the torrent."""
    _, web = nginx.serve(stage, host, film.path.parent)
    return track(stage, host, film, {"url-list": f"{web}/{film.name}"})


def track(stage, host, film, more):
    """Starts the tracker; gives the path of a torrent that names it, and says more."""
    info = described(film)
    folder = stage.folder / "tracker"
    folder.mkdir()
    (folder / "allowed").write_text(hashlib.sha1(bencode(info)).hexdigest() + "\n")
    tracker = stage.start(["opentracker", "-i", host.address, "-p", TRACKER_PORT,
                           "-P", TRACKER_PORT, "-d", folder, "-w", "allowed"], "tracker", host)
    until(lambda: tracker.code is not None or listens(host), "the tracker", START_SECONDS)
    stage.check(tracker.code is None, f"the tracker ended: {tracker.last_words()}")
    torrent = stage.folder / "film.torrent"
    torrent.write_bytes(bencode({"announce": f"http://{host.address}:{TRACKER_PORT}/announce",
                                 "info": info, **more}))
    return torrent


def listens(host):
    return f":{TRACKER_PORT} " in host.namespace.inside("ss", "-Hltn")


def described(film):
    """The info dictionary (BEP 3)."""
    pieces = b""
    with open(film.path, "rb") as file:
        while piece := file.read(PIECE):
            pieces += hashlib.sha1(piece).digest()
    return {"length": film.size, "name": film.name, "piece length": PIECE, "pieces": pieces}


def bencode(value) -> bytes:
    """BEP 3; keys of dictionaries must be in order."""
    if isinstance(value, int):
        return b"i%de" % value
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        return b"%d:%s" % (len(value), value)
    items = b"".join(bencode(key) + bencode(value[key]) for key in sorted(value))
    return b"d" + items + b"e"

