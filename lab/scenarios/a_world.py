"""The world does what the other scenarios take for granted. Peerlift has no part in it."""
import sys
from pathlib import Path

from registry import scenario
from world.nat import Nat
from world.network import Plan

LITTLE = [sys.executable, Path(__file__).parents[1] / "parts" / "little.py"]
PORT = 9000
MEBIBYTE = 1 << 20


def little(stage, host, *words, name):
    return stage.start([*LITTLE, *words], name, host)


def ready(line):
    return line == "ready"


@scenario("world")
def hosts_are_as_far_apart_as_planned(stage):
    net = stage.network(Plan("edge", distance_ms=10), Plan("near"), Plan("far"), distance_ms=25)
    for host in ("edge", "near"):
        echo = little(stage, net[host], "echo", PORT, name="echo")
        echo.wait_line(ready, "readiness", 10)
    for host, round_trip_ms in (("edge", 20), ("near", 50)):
        took = stage.command([*LITTLE, "time", net[host].address, PORT], f"to-{host}", net["far"])
        # Less than the delay is impossible but for half a step; more depends on the machine.
        stage.check(float(took) >= round_trip_ms - 1, f"{host}: {took} ms is too near")
        stage.note(f"{round_trip_ms} ms took {float(took):.1f}")


@scenario("world")
def links_carry_no_more_than_their_rate(stage):
    net = stage.network(Plan("slow", up=16), Plan("fast", down=400))
    sink = little(stage, net["fast"], "sink", PORT, name="sink")
    sink.wait_line(ready, "readiness", 10)
    before = net["slow"].sent(), net["fast"].received()
    stage.command([*LITTLE, "send", net["fast"].address, PORT, 2 * MEBIBYTE], "send", net["slow"])
    stage.equal(sink.wait_exit(30), 0, "the sink's exit code")
    seconds = float(sink.lines[-1].text)
    stage.check(seconds >= 0.9, f"2 MiB at 16 Mbit/s in {seconds:.2f} s")
    for moved in (net["slow"].sent() - before[0], net["fast"].received() - before[1]):
        stage.check(2 * MEBIBYTE <= moved <= 2.2 * MEBIBYTE, f"{moved} bytes counted for 2 MiB")
    stage.note(f"16 Mbit/s gave {2 * 8 * 1.048576 / seconds:.1f}")


def punched(stage, kind_a, kind_b):
    """What two hosts behind home routers hear of each other."""
    net = stage.network(Plan("meeting"), Plan("a", nat=kind_a), Plan("b", nat=kind_b),
                        distance_ms=5)
    meeting = little(stage, net["meeting"], "rendezvous", PORT, name="rendezvous")
    meeting.wait_line(ready, "readiness", 10)
    both = [little(stage, net[name], "punch", net["meeting"].address, PORT, name, name="punch")
            for name in "ab"]
    for one in both:
        stage.equal(one.wait_exit(30), 0, "exit code")
    return [one.lines[-1].text for one in both]


@scenario("world")
def holes_can_be_punched_between_port_restricted_nats(stage):
    heard = punched(stage, Nat.PORT_RESTRICTED, Nat.PORT_RESTRICTED)
    stage.equal(heard, ["direct", "direct"], "heard")


@scenario("world")
def no_hole_can_be_punched_between_symmetric_nats(stage):
    heard = punched(stage, Nat.SYMMETRIC, Nat.SYMMETRIC)
    stage.equal(heard, ["nothing", "nothing"], "heard")


@scenario("world")
def blocked_udp_gets_nowhere_and_tcp_does(stage):
    net = stage.network(Plan("server"), Plan("office", udp=False))
    for command in ("echo", "sink"):
        server = little(stage, net["server"], command, PORT, name=command)
        server.wait_line(ready, "readiness", 10)
    asked = little(stage, net["office"], "time", net["server"].address, PORT, name="time")
    stage.equal(asked.wait_exit(30), 1, "exit code over UDP")
    stage.command([*LITTLE, "send", net["server"].address, PORT, 1000], "send", net["office"])
