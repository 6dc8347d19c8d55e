#!/usr/bin/env python3
"""A file is served, and several downloaders get it from the server and from one another.

    make demo                     a file that this machine has, or a tar of the Rust toolchain
    make demo FILE=film.mkv       a file of yours

Everything happens on this machine, on loopback, in a folder that is removed at the end. Real
processes: one `peerlift serve` and six `peerlift get`, each held to the speed of a fast home line.
Beside the build this needs Python 3 and room for seven copies of the file.
"""
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

DOWNLOADERS = 6
# 84 Mbit/s down and up, or more where a large file would take longer than a person watches.
LIMIT_MIB_PER_S = 10
WATCHED_SECONDS = 40
ARRIVE_EVERY_SECONDS = 1.5
SIZE_MIN = 256 << 20
START_WITHIN_SECONDS = 60
# Times what the limits explain; a busy machine is slow, one that takes longer is stuck.
PATIENCE = 4
REDRAW_SECONDS = 0.2
LINE_SECONDS = 5
BAR_CELLS = 24
PROGRESS = re.compile(r'^peerlift_edge_[a-z_]*bytes_total(?:\{[^}]*\})? ([0-9.e+]+)$', re.MULTILINE)


class Trouble(Exception):
    """Something the user can understand and perhaps mend."""


def main():
    if len(sys.argv) != 2:
        raise Trouble("usage: scripts/demo.py PEERLIFT-BINARY (or: make demo)")
    binary = Path(sys.argv[1]).resolve()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))
    with ExitStack() as stack:
        play(binary, stack)


def play(binary, stack):
    source = chosen_file()
    size = source.stat().st_size if source else estimate_of_toolchain()
    folder = roomy_folder(stack, (DOWNLOADERS + 1) * size)
    origin = folder / "origin"
    origin.mkdir()
    file = place(source, origin) if source else tar_of_toolchain(origin)
    size = file.stat().st_size
    print(f"The file: {source or 'a tar of the Rust toolchain'}, {mib(size)}", flush=True)

    limit = max(LIMIT_MIB_PER_S, -(-size // (WATCHED_SECONDS << 20)))

    server = Server(binary, origin, folder, stack)
    server.wait_until_signed(file.name)
    print(f"The server: {server.url} (edge, control node and relay in one process)")
    print(f"{DOWNLOADERS} downloaders come, one every {ARRIVE_EVERY_SECONDS} s, each with "
          f"--limit-down {limit}M --limit-up {limit}M, sharing what they have:\n", flush=True)

    before = server.bytes_sent()
    downloads = []
    screen = Screen(downloads)
    deadline = time.monotonic() + PATIENCE * size / (limit << 20) + 30
    for number in range(1, DOWNLOADERS + 1):
        downloads.append(Download(binary, server.url_of(file.name), limit, number, folder,
                                  stack))
        screen.show_until(time.monotonic() + ARRIVE_EVERY_SECONDS, deadline)
    screen.show_until(None, deadline)
    screen.finish()
    sent = server.bytes_sent() - before
    for download in downloads:
        download.end()
    close(file, size, downloads, sent)


# -- the file

def chosen_file():
    """The user's file, or a large one of this machine's; None when there is no large one."""
    if named := os.environ.get("FILE"):
        path = Path(named).expanduser()
        if not path.is_file():
            raise Trouble(f"FILE={named}: there is no such file")
        if path.stat().st_size == 0:
            raise Trouble(f"FILE={named}: the file is empty; there would be nothing to see")
        return path
    large = [path for path in toolchain_files() if path.stat().st_size >= SIZE_MIN]
    return min(large, key=lambda path: path.stat().st_size, default=None)


def toolchain_files():
    """The files of the Rust toolchain, which whoever builds Peerlift has; largest first."""
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True)
    root = Path(sysroot.stdout.strip() or "/usr/lib")
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    return sorted(files, key=lambda path: -path.stat().st_size)


def enough_of_toolchain():
    """The largest files of the toolchain, as many as are needed."""
    files, size = [], 0
    for path in toolchain_files():
        files.append(path)
        size += path.stat().st_size
        if size >= SIZE_MIN:
            return files, size
    raise Trouble("no large file was found on this machine; name one: make demo FILE=…")


def estimate_of_toolchain():
    return enough_of_toolchain()[1]


def tar_of_toolchain(folder):
    target = folder / "rust-toolchain.tar"
    files, _ = enough_of_toolchain()
    with tarfile.open(target, "w") as tar:
        for path in files:
            tar.add(path, arcname=path.name)
    return target


def place(source, folder):
    """Puts the file where it can be served: a second name for it where possible, else a copy."""
    target = folder / source.name.lstrip(".")
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return target


def roomy_folder(stack, needed):
    """A folder of ours, where there is room; removed at the end."""
    here = Path(__file__).resolve().parent.parent / "target"
    tried = []
    for base in (Path(tempfile.gettempdir()), here):
        free = shutil.disk_usage(base).free if base.is_dir() else 0
        if free > needed * 1.05:
            folder = Path(tempfile.mkdtemp(prefix="peerlift-demo-", dir=base))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            return folder
        tried.append(f"{base} has {mib(free)}")
    raise Trouble(f"{mib(needed)} of room are needed: {', '.join(tried)}; set TMPDIR, or name a "
                  "smaller file: make demo FILE=…")


# -- the programs

def start(binary, arguments, folder, stack):
    """Starts a peerlift with a home of its own, which is ended with the demo."""
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    clean = {name: value for name, value in os.environ.items()
             if not name.lower().endswith("_proxy") and not name.startswith(("XDG_", "PEERLIFT_"))}
    with open(folder / "errors", "wb") as errors:
        program = subprocess.Popen(
            [str(binary), *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=errors, text=True, env={**clean, "HOME": str(home)}, cwd=folder)
    stack.callback(end, program)
    return program


def end(program, within=10):
    """Asks a program to end, and insists."""
    if program.poll() is None:
        program.terminate()
        try:
            program.wait(within)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()


def events_of(program):
    """The JSON events that a program prints."""
    for line in program.stdout:
        if line.startswith("{"):
            yield json.loads(line)


class Server:
    """A running `peerlift serve`."""

    def __init__(self, binary, origin, folder, stack):
        self.folder = folder / "server"
        self.folder.mkdir()
        self.program = start(binary, ["serve", origin, "--listen", "127.0.0.1:0",
                                      "--relay-quic-port", "0", "--name", "The demo", "--json"],
                             self.folder, stack)
        ready = next((event for event in events_of(self.program) if event["event"] == "ready"),
                     None)
        if ready is None:
            raise Trouble(f"the server did not start: {last_words(self.folder)}")
        self.url = ready["urls"][0].rstrip("/")
        # Nobody reads what follows, and a full pipe would stop the server.
        threading.Thread(target=self.program.stdout.read, daemon=True).start()

    def url_of(self, name):
        return f"{self.url}/{urllib.request.quote(name)}"

    def fetch(self, url):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=10) as answer:
            return answer.read().decode()

    def wait_until_signed(self, name):
        deadline = time.monotonic() + START_WITHIN_SECONDS
        while True:
            try:
                self.fetch(self.url_of(name) + ".peerlift")
                return
            except urllib.error.HTTPError as error:
                if error.code != 404 or time.monotonic() > deadline:
                    raise Trouble(f"the server did not sign the file: {error}") from error
            time.sleep(0.1)

    def bytes_sent(self):
        """What the edge itself says it has sent of files."""
        text = self.fetch(self.url + "/metrics")
        return sum(float(value) for value in PROGRESS.findall(text))


class Download:
    """A running `peerlift get`, followed by a thread."""

    def __init__(self, binary, url, limit, number, folder, stack):
        self.number = number
        self.folder = folder / f"downloader{number}"
        self.folder.mkdir()
        self.now, self.report, self.failure = {}, None, None
        self.program = start(
            binary, ["get", url, "--json", "--share", "for=10m", "--limit-down", f"{limit}M",
                     "--limit-up", f"{limit}M"], self.folder, stack)
        self.thread = threading.Thread(target=self._follow, daemon=True)
        self.thread.start()

    def _follow(self):
        for event in events_of(self.program):
            if event["event"] == "progress":
                self.now = event
            elif event["event"] == "completed":
                self.report = event
            elif event["event"] == "failed":
                self.failure = event["message"]
        if self.program.wait() and not self.failure:
            self.failure = last_words(self.folder)

    def end(self):
        """Stops sharing, as Ctrl-C does."""
        if self.program.poll() is None:
            self.program.send_signal(signal.SIGINT)
        try:
            self.program.wait(10)
        except subprocess.TimeoutExpired:
            end(self.program)

    def line(self):
        name = f"downloader {self.number}"
        if self.report:
            report = self.report
            shared = self.now.get("uploaded", 0)
            return (f"{name}  {bar(1)}  done in {report['seconds']:.1f} s · "
                    f"{percent(report['from_peers'], report)} from {report['peers']} peers · "
                    f"{mib(shared)} shared")
        now = self.now
        if not now.get("size"):
            return f"{name}  {bar(0)}  starting"
        return (f"{name}  {bar(now['done'] / now['size'])}  {now['done'] / now['size']:4.0%}  "
                f"{now['rate_down'] / (1 << 20):5.1f} MiB/s · edge {percent(now['from_edge'], now)}"
                f" · {now['peers']} peers {percent(now['from_peers'], now)}")


def last_words(folder):
    said = (folder / "errors").read_text(errors="replace").strip()
    return said.splitlines()[-1] if said else "it said nothing"


# -- what is shown

class Screen:
    """The progress of all downloads: redrawn in a terminal, a few lines elsewhere."""

    def __init__(self, downloads):
        self.downloads = downloads
        self.moves = sys.stdout.isatty()
        self.drawn = 0
        self.next_line = time.monotonic() + LINE_SECONDS

    def show_until(self, moment, deadline):
        """Until the moment, or, without one, until all are complete."""
        while moment is None or time.monotonic() < moment:
            for download in self.downloads:
                if download.failure:
                    raise Trouble(f"downloader {download.number}: {download.failure}")
            if moment is None and all(download.report for download in self.downloads):
                return
            if time.monotonic() > deadline:
                raise Trouble("the downloads take much longer than the limits explain")
            self.draw()
            time.sleep(REDRAW_SECONDS)

    def draw(self, last=False):
        if self.moves:
            width = shutil.get_terminal_size().columns
            up = f"\x1b[{self.drawn}A" if self.drawn else ""
            lines = "".join(f"\x1b[2K{download.line()[:width - 1]}\n" for download in self.downloads)
            self.drawn = len(self.downloads)
            print(up + lines, end="", flush=True)
        elif last or time.monotonic() >= self.next_line:
            self.next_line = time.monotonic() + LINE_SECONDS
            print(*(download.line() for download in self.downloads), "", sep="\n", flush=True)

    def finish(self):
        self.draw(last=True)


def close(file, size, downloads, sent):
    """The table at the end, and whether all copies are right."""
    wanted = sha256(file)
    right = [sha256(download.folder / file.name) == wanted for download in downloads]
    reports = [download.report for download in downloads]
    print("\n                 seconds   from edge  from peers  peer efficiency  SHA-256")
    for download, equal in zip(downloads, right):
        row(f"downloader {download.number}", download.report, f"{download.report['seconds']:.1f}",
            equal)
    total = {key: sum(report[key] for report in reports) for key in ("from_edge", "from_peers")}
    slowest = max(report["seconds"] for report in reports)
    row("together", total, f"{slowest:.1f}", all(right))
    print(f"\n{DOWNLOADERS} copies were delivered; {sent / size:.2f} copies left the edge, "
          "by the edge's own count.")
    if not all(right):
        raise Trouble("a copy is not equal to the file")


def row(name, report, seconds, equal):
    print(f"{name:14}  {seconds:>8}  {mib(report['from_edge']):>10}  "
          f"{mib(report['from_peers']):>10}  {percent(report['from_peers'], report):>15}  "
          f"{'equal' if equal else 'DIFFERS'}")


def percent(part, split):
    whole = split["from_edge"] + split["from_peers"]
    return f"{part / whole:.0%}" if whole else "0%"


def bar(share):
    filled = round(share * BAR_CELLS)
    return "[" + "#" * filled + "-" * (BAR_CELLS - filled) + "]"


def mib(size):
    return f"{size / (1 << 20):.0f} MiB"


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    try:
        main()
    except Trouble as trouble:
        sys.exit(f"demo: {trouble}")
    except KeyboardInterrupt:
        sys.exit("demo: interrupted")
