"""Who takes part in the swarm benches, and how each is started and asked whether it is done."""
import shutil
import subprocess
import time

import torrent
from parts import content, nginx, peerlift

LIAR_PORT, LIAR_SECONDS = 7000, 30
SYSTEM_PYTHON = "/usr/bin/python3"  # Debian's, which finds Debian's python3-libtorrent


class Ours:
    """`peerlift serve` at the edge, `peerlift get` at the peers; they stay to share."""

    def __init__(self, title, *options):
        self.title, self.options = title, options

    def missing(self):
        """Why it cannot take part; None when it can."""
        return None

    def serve(self, stage, host, film):
        return peerlift.serve(stage, host, film.path.parent, wait_for=film.name)

    def begin(self, stage, host, server, film):
        return OurDownload(stage, host, f"{server.url}/{film.name}", *self.options, content=film)

    def begin_liar(self, stage, host, server, film, how):
        """A peer that does not mean well."""
        liar = stage.start([stage.tools.liar, server.url, f"{host.address}:{LIAR_PORT}",
                            film.path, how], "liar", host)
        liar.wait_line(lambda text: text == "ready", "readiness", LIAR_SECONDS)


class OurDownload(peerlift.Download):
    """Its report says where the bytes came from."""

    def wait_done(self, within):
        """The moment of completion, and the report."""
        report = self.wait_report(within)
        at = next(line.at for line in self.program.lines
                  if line.event and line.event.get("event") == "completed")
        return at, report


class Foreign:
    """A program that is done when it says `done` or, unless it stays, when it ends."""

    def __init__(self, title, needs, argv, serve, stays):
        self.title, self.needs, self.argv = title, needs, argv
        self.serve_at, self.stays = serve, stays

    def missing(self):
        return self.needs()

    def serve(self, stage, host, film):
        return self.serve_at(stage, host, film)

    def begin(self, stage, host, server, film):
        return ForeignDownload(stage, host, self, server, film)

    def begin_liar(self, stage, host, server, film, how):
        """The lab has no liars that speak another protocol: it goes without."""


class ForeignDownload:
    """It tells nothing but that it is done."""

    def __init__(self, stage, host, contender, server, film):
        self.stage, self.film, self.stays = stage, film, contender.stays
        self.path = stage.folder / host.name / film.name
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.program = stage.start(contender.argv(self.path, server, film), "get", host)

    def wait_done(self, within):
        if self.stays:
            self.program.wait_line(lambda text: text == "done", "completion", within)
            at = next(line.at for line in self.program.lines if line.text == "done")
        else:
            self.stage.equal(self.program.wait_exit(within), 0, "exit code")
            at = self.program.ended_at
        self.stage.equal(content.sha256(self.path), self.film.sha256, "SHA-256")
        return at, None


def curl(path, server, film):
    return ["curl", "-sSf", "-o", path, f"{server}/{film.name}"]


def aria2(path, metainfo, film):
    hook = path.parent / "on-complete"
    hook.write_text("#!/bin/sh\necho done\n")
    hook.chmod(0o755)
    return ["aria2c", "--no-conf", "--enable-dht=false", "--enable-dht6=false",
            "--bt-enable-lpd=false", "--seed-ratio=0", "--file-allocation=none",
            "--summary-interval=0", "--listen-port=6881", "--console-log-level=warn",
            "--show-console-readout=false", "--on-bt-download-complete", hook,
            "-d", path.parent, metainfo]


def libtorrent(*changes):
    return lambda path, metainfo, film: [SYSTEM_PYTHON, torrent.NODE, metainfo, path.parent,
                                         *changes]


def needs(*programs):
    def missing():
        gone = [program for program in programs if not shutil.which(program)]
        return f"{', '.join(gone)} is not installed" if gone else None
    return missing


def needs_libtorrent():
    done = subprocess.run([SYSTEM_PYTHON, "-c", "import libtorrent"], capture_output=True)
    return needs("opentracker")() if done.returncode == 0 else "python3-libtorrent is not installed"


def web(stage, host, film):
    return nginx.serve(stage, host, film.path.parent)[1]


# For somebody who read the manual: no large requests to the web seed, everybody unchoked, TCP.
TUNED = ("urlseed_max_request_bytes=524288", "unchoke_slots_limit=-1", "enable_outgoing_utp=0",
         "enable_incoming_utp=0")
SHARE = ("--share", "for=1h")
CONTENDERS = {
    "fastest": Ours("peerlift get --goal fastest", *SHARE, "--goal", "fastest"),
    "thrifty": Ours("peerlift get", *SHARE, "--goal", "thrifty"),
    "edge-only": Ours("peerlift get --no-peers", "--no-peers"),
    "curl": Foreign("curl", needs("curl"), curl, web, stays=False),
    "aria2": Foreign("aria2c", needs("aria2c", "opentracker"), aria2, torrent.serve, stays=True),
    "libtorrent": Foreign("libtorrent", needs_libtorrent, libtorrent(), torrent.serve, stays=True),
    "libtorrent-tuned": Foreign("libtorrent, tuned", needs_libtorrent, libtorrent(*TUNED),
                                torrent.serve, stays=True),
}


def pause(moment):
    """Until a moment of the scenario's own time; what happens then is no answer to anything."""
    time.sleep(max(0.0, moment - time.monotonic()))
