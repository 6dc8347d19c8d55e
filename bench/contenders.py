"""Who takes part in the swarm benches, and how each is started and asked whether it is done."""
import time

import foreign
from parts import peerlift

LIAR_PORT, LIAR_SECONDS = 7000, 30


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


SHARE = ("--share", "for=1h")
CONTENDERS = {
    "fastest": Ours("peerlift get --goal fastest", *SHARE, "--goal", "fastest"),
    "thrifty": Ours("peerlift get", *SHARE, "--goal", "thrifty"),
    "edge-only": Ours("peerlift get --no-peers", "--no-peers"),
    **foreign.CONTENDERS,
}


def pause(moment):
    """Until a moment of the scenario's own time; what happens then is no answer to anything."""
    time.sleep(max(0.0, moment - time.monotonic()))
