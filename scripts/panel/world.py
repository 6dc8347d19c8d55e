"""The world of the panel's test: a real `peerlift serve` behind a slow line, another downloader who
shares, and a home with the background service whose panel is looked at."""
import json
import os
import random
import socket
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

FILE_BYTES = 320 << 20
# The slow line: long enough a transfer to look at, short enough to wait for.
LINE_BYTES_PER_S = 3 << 20
PEER_LIMIT = "2M"
START_WITHIN_SECONDS = 60
END_WITHIN_SECONDS = 20


class World:
    """All programs, each with a home of its own below one folder."""

    def __init__(self, binary, folder, stack):
        self.binary, self.folder, self.stack = binary, folder, stack
        self.origin = folder / "origin"
        self.origin.mkdir()
        write_content(self.origin / "example-os.iso", FILE_BYTES)
        self.line = SlowLine(LINE_BYTES_PER_S, stack)
        self.home = folder / "user" / "home"
        self.downloads = self.home / "Downloads"
        self.downloads.mkdir(parents=True)
        self.socket = runtime(self.home) / "peerlift" / "daemon.sock"
        (self.home / ".config" / "peerlift").mkdir(parents=True)
        # Whatever machine this runs on, the uploads are to go.
        (self.home / ".config" / "peerlift" / "config.toml").write_text(
            "[share]\npause-on-metered = false\npause-on-battery = false\npause-on-vpn = false\n")
        self.serve()
        self.help_out()

    def serve(self):
        """Starts the publisher's server."""
        server = self.start("server", "serve", self.origin, "--listen", "127.0.0.1:0",
                            "--relay-quic-port", "0", "--name", "Example OS", "--json",
                            "--access-log", "off")
        self.direct = first_event(server, "ready")["urls"][0].rstrip("/")
        drain(server)
        self.line.lead_to(int(self.direct.rsplit(":", 1)[1]))
        wait_for(lambda: fetches(f"{self.direct}/example-os.iso.peerlift"), "the file is signed")

    def help_out(self):
        """Lets somebody else have the file, and share it."""
        helper = self.start("helper", "get", f"{self.direct}/example-os.iso", "--json", "--share",
                            "for=10m", "--limit-up", PEER_LIMIT)
        first_event(helper, "completed")
        drain(helper)

    def start(self, name, *arguments):
        """Starts a peerlift that is ended with the world."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        home = folder / "home"
        home.mkdir(exist_ok=True)
        with open(folder / "errors", "wb") as errors:
            program = subprocess.Popen([str(self.binary), *map(str, arguments)], cwd=folder,
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=errors, text=True, env=environment(home))
        self.stack.callback(end, program)
        return program

    def run(self, *arguments, check=True):
        """Runs a command of the user's to its end; its standard output."""
        done = subprocess.run([str(self.binary), *map(str, arguments)], cwd=self.home,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              env=environment(self.home), timeout=60)
        if check and done.returncode != 0:
            raise RuntimeError(f"peerlift {' '.join(map(str, arguments))}: {done.stderr}")
        return done.stdout

    def json(self, *arguments):
        return json.loads(self.run(*arguments, "--json"))

    def link(self):
        """A fresh link to the panel; starts the service where it does not run."""
        return self.json("panel", "--no-open")["url"]

    def end_service(self):
        self.run("daemon", "--stop", check=False)

    def download(self):
        """Puts the file into the service's queue, over the slow line."""
        self.run("get", f"{self.line.url}/example-os.iso", "--queue", "-o", self.downloads)

    def first(self):
        """The first download as `status` shows it."""
        return self.json("status")["downloads"][0]


class SlowLine:
    """A TCP port that leads to another one, and lets so many bytes a second through, all connections
    together."""

    def __init__(self, bytes_per_s, stack):
        self.rate, self.lock, self.free_at, self.port = bytes_per_s, threading.Lock(), 0.0, None
        self.socket = socket.create_server(("127.0.0.1", 0))
        stack.callback(self.socket.close)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def lead_to(self, port):
        self.port = port

    def accept(self):
        while True:
            try:
                near, _ = self.socket.accept()
                far = socket.create_connection(("127.0.0.1", self.port))
            except OSError:
                if self.socket.fileno() < 0:
                    return
                continue
            for source, sink, slow in ((near, far, False), (far, near, True)):
                threading.Thread(target=self.pump, args=(source, sink, slow), daemon=True).start()

    def pump(self, source, sink, slow):
        try:
            while data := source.recv(16 << 10):
                if slow:
                    self.wait_for_room(len(data))
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for end_point in (source, sink):
                end_point.close()

    def wait_for_room(self, count):
        with self.lock:
            now = time.monotonic()
            self.free_at = max(self.free_at, now) + count / self.rate
            wait = self.free_at - now
        time.sleep(wait)


def environment(home):
    clean = {name: value for name, value in os.environ.items()
             if not name.lower().endswith("_proxy") and not name.startswith(("XDG_", "PEERLIFT_"))}
    return {**clean, "HOME": str(home), "XDG_RUNTIME_DIR": str(runtime(home)), "USER": "kim"}


def runtime(home):
    folder = home.parent / "run"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def write_content(path, size):
    source = random.Random(2026)
    with open(path, "wb") as file:
        for _ in range(size >> 20):
            file.write(source.randbytes(1 << 20))


def first_event(program, name):
    for line in program.stdout:
        if line.startswith("{") and json.loads(line)["event"] == name:
            return json.loads(line)
    raise RuntimeError(f"{program.args[1]} ended before it was {name}")


def drain(program):
    """Nobody reads what follows, and a full pipe would stop the program."""
    threading.Thread(target=program.stdout.read, daemon=True).start()


def fetches(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10) as answer:
            return answer.status == 200
    except OSError:
        return False


def wait_for(condition, what, within=START_WITHIN_SECONDS):
    """Waits until something holds that tells nobody when it does."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{what}: not within {within} s")
        time.sleep(0.1)


def end(program):
    if program.poll() is None:
        program.terminate()
        try:
            program.wait(END_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()
