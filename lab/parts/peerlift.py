"""`peerlift` as a server and as a client: the only place that knows its options."""
import re
import signal
from dataclasses import dataclass
from pathlib import Path

from world.here import Here
from world.program import Program
from world.waiting import until

from .content import Content, sha256

PORT = 8080
RELAY_QUIC_PORT = 7842
# Long enough that only a hang reaches it, whatever else the machine does.
DOWNLOAD_SECONDS = 180
START_SECONDS = 30
# Refused, timed out, and two kinds of nothing: curl's exit codes before a server is ready.
CURL_NOT_YET = (7, 28, 52, 56)


def publish(stage, host, folder, *options):
    """Signs what lies in the folder."""
    stage.command([stage.tools.peerlift, "publish", *options, folder], "publish", host)


def examine(stage, host, url, env=None):
    """What `peerlift doctor` says of a download from there."""
    return stage.command([stage.tools.peerlift, "doctor", url], "doctor", host, env)


def found_at(server, *relays):
    """Options of `publish` for files whose control node and relay are at that server; more relays
    may be at others."""
    relays = [word for at in (server, *relays)
              for word in ("--relay", f"{at.url},quic={RELAY_QUIC_PORT}")]
    return ["--control", server.url, *relays]


@dataclass(frozen=True)
class Server:
    """A running `peerlift serve`."""
    program: Program
    host: object
    url: str
    tls: Path | None = None  # the certificate that its own machine trusts

    def metric(self, name):
        """The sum of a metric over its labels."""
        text = self.fetch("/metrics")
        found = re.findall(rf"^{name}(?:\{{[^}}]*\}})? ([0-9.e+]+)$", text, re.MULTILINE)
        return sum(map(float, found))

    def fetch(self, path):
        """What its own machine gets from it."""
        return self.host.namespace.inside("curl", "-sSf", *self._curl_options(), self.url + path)

    def answers(self, path):
        """Whether there is something under the path."""
        status = self.host.namespace.inside(
            "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", *self._curl_options(),
            self.url + path, ok=(0, *CURL_NOT_YET))
        return status == "200"

    def _curl_options(self):
        return ["--max-time", "10", *(["--cacert", self.tls] if self.tls else [])]


def serve(stage, host, folder, *options, port=PORT, wait_for=None, tls=None) -> Server:
    """Starts the all-in-one server; returns when it serves, and has signed the named file."""
    # Only a machine of its own has the port to itself.
    quic = 0 if host is Here else RELAY_QUIC_PORT
    program = stage.start(
        [stage.tools.peerlift, "serve", folder, "--listen", f"{host.address}:{port}",
         "--relay-quic-port", quic, *options], "serve", host)
    server = Server(program, host, f"{'https' if tls else 'http'}://{host.address}:{port}", tls)
    path = f"/{wait_for}.peerlift" if wait_for else "/healthz"
    until(lambda: program.code is not None or server.answers(path), f"{path} of serve",
          START_SECONDS)
    stage.check(program.code is None, f"serve ended: {program.last_words()}")
    return server


class Download:
    """A running `peerlift get`."""

    def __init__(self, stage, host, url, *options, content: Content, name="get", env=None):
        self.stage, self.host, self.content = stage, host, content
        self.path = stage.folder / host.name / content.name
        self.program = stage.start(
            [stage.tools.peerlift, "get", url, "-o", self.path, "--json", *options], name, host, env)

    def wait_progress(self, share, within=DOWNLOAD_SECONDS):
        """Until so much of it is there; gives the progress event."""
        return self.program.wait_event(
            lambda event: event["event"] == "progress" and event["done"] >= share * event["size"],
            f"{share:.0%} of the download", within)

    def wait_report(self, within=DOWNLOAD_SECONDS, verified="manifest"):
        """Until it is complete; checks the file and gives the report."""
        report = self.program.wait_event(lambda event: event["event"] == "completed",
                                         "completion", within)
        self.stage.equal(sha256(self.path), self.content.sha256, f"{self.host.name}: SHA-256")
        self.stage.equal(report["size"], self.content.size, f"{self.host.name}: size")
        self.stage.equal(report["verified"]["by"], verified, f"{self.host.name}: verified by")
        return report

    def wait_end(self, within=DOWNLOAD_SECONDS, verified="manifest"):
        """Until it is complete and the program has ended well; gives the report."""
        report = self.wait_report(within, verified)
        self.stage.equal(self.program.wait_exit(within), 0, f"{self.host.name}: exit code")
        return report

    def leave(self):
        """Stops sharing, as a person does with Ctrl-C."""
        self.program.signal(signal.SIGINT)
