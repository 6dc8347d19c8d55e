"""The programs of others in the swarm benches: how each is started, and tells that it is done."""
import json
import shutil
import subprocess

import torrent
from parts import content, nginx

CHECK_SECONDS = 60
SYSTEM_PYTHON = "/usr/bin/python3"  # Debian's, which finds Debian's python3-libtorrent


class Foreign:
    """A program that is done when a line of its output has certain words, and stays to share;
    one without such words is done when it ends."""

    def __init__(self, title, needs, argv, serve, says=None):
        self.title, self.needs, self.argv = title, needs, argv
        self.serve_at, self.says = serve, says

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
        self.stage, self.film, self.says = stage, film, contender.says
        self.path = stage.folder / host.name / film.name
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.program = stage.start(contender.argv(self.path, server, film), "get", host)

    def wait_done(self, within):
        if self.says:
            self.program.wait_line(lambda text: self.says in text, "completion", within)
            at = next(line.at for line in self.program.lines if self.says in line.text)
        else:
            self.stage.equal(self.program.wait_exit(within), 0, "exit code")
            at = self.program.ended_at
        self.stage.equal(content.sha256(self.path), self.film.sha256, "SHA-256")
        return at, None


def curl(path, server, film):
    return ["curl", "-sSf", "-o", path, f"{server}/{film.name}"]


def aria2(path, metainfo, film):
    return ["aria2c", "--no-conf", "--enable-dht=false", "--enable-dht6=false",
            "--bt-enable-lpd=false", "--seed-ratio=0", "--file-allocation=none",
            "--summary-interval=0", "--listen-port=6881", "--console-log-level=warn",
            "--show-console-readout=false", "--on-bt-download-complete", hook(path),
            "-d", path.parent, metainfo]


def transmission(path, metainfo, film):
    """Has options for some of its settings, and a file for all of them."""
    settings = path.parent / "settings"
    settings.mkdir()
    (settings / "settings.json").write_text(json.dumps({
        "dht-enabled": False, "lpd-enabled": False, "port-forwarding-enabled": False,
        "utp-enabled": True, "pex-enabled": True,
        "peer-port": 6881, "peer-port-random-on-start": False}))
    return ["transmission-cli", "-g", settings, "-f", hook(path), "-w", path.parent, metainfo]


def rqbit(path, metainfo, film):
    return ["rqbit", "-v", "info", "--disable-dht", "--disable-lsd", "--ipv4-only",
            "--listen-ip", "0.0.0.0", "--listen-port", 6881,
            "download", "--disable-http-api", "-o", path.parent, metainfo]


def serve_rqbit(stage, host, film):
    """It knows no web seeds: one that has the file runs at the edge."""
    metainfo = torrent.track(stage, host, film, {})
    seed = stage.start([*rqbit(film.path, metainfo, film), "--overwrite"], "seed", host)
    seed.wait_line(lambda text: "Initial check results" in text, "the check of its file",
                   CHECK_SECONDS)
    return metainfo


def hook(path):
    """A script for programs that run one when they are done: it writes to their output, in which
    a line may have begun."""
    script = path.parent / "on-complete"
    script.write_text("#!/bin/sh\nprintf '\\ndone\\n'\n")
    script.chmod(0o755)
    return script


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
    "curl": Foreign("curl", needs("curl"), curl, web),
    "aria2": Foreign("aria2c", needs("aria2c", "opentracker"), aria2, torrent.serve, "done"),
    "transmission": Foreign("transmission-cli", needs("transmission-cli", "opentracker"),
                            transmission, torrent.serve, "done"),
    "rqbit": Foreign("rqbit", needs("rqbit", "opentracker"), rqbit, serve_rqbit,
                     "torrent finished downloading"),
    "libtorrent": Foreign("libtorrent", needs_libtorrent, libtorrent(), torrent.serve, "done"),
    "libtorrent-tuned": Foreign("libtorrent, tuned", needs_libtorrent, libtorrent(*TUNED),
                                torrent.serve, "done"),
}
