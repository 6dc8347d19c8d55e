"""The programs of others in the swarm benches: how each is started, and tells that it is done."""
import shutil
import subprocess

import torrent
from parts import content, nginx

SYSTEM_PYTHON = "/usr/bin/python3"  # Debian's, which finds Debian's python3-libtorrent


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
CONTENDERS = {
    "curl": Foreign("curl", needs("curl"), curl, web, stays=False),
    "aria2": Foreign("aria2c", needs("aria2c", "opentracker"), aria2, torrent.serve, stays=True),
    "libtorrent": Foreign("libtorrent", needs_libtorrent, libtorrent(), torrent.serve, stays=True),
    "libtorrent-tuned": Foreign("libtorrent, tuned", needs_libtorrent, libtorrent(*TUNED),
                                torrent.serve, stays=True),
}
