"""A control node that is short of what a machine can give."""
import socket
import urllib.request

from registry import scenario
from world.here import Here
from world.waiting import until

# Enough for the node itself, and soon used up.
DESCRIPTORS = 64
# More than it has descriptors for, fewer than wait in the kernel.
CONNECTIONS = 200


@scenario("foreign", needs_root=False)
def a_node_out_of_descriptors_goes_on_when_there_are_some_again(stage):
    limited = ["sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$@"', "sh"]
    node = stage.start([*limited, stage.tools.peerlift, "control", "-v", "--json", "--listen",
                        f"{Here.address}:0", "--admin", f"{Here.address}:0"], "control", Here)
    ready = node.wait_event(lambda event: event["event"] == "ready", "readiness", 30)
    host, port = ready["listen"][0].rsplit(":", 1)
    crowd = [socket.create_connection((host, int(port)), timeout=30) for _ in range(CONNECTIONS)]
    log = node.folder / "control.err"
    until(lambda: "cannot accept a connection" in log.read_text(), "a complaint in the log", 30)
    for one in crowd:
        one.close()
    until(lambda: node.code is not None or answers(f"http://{host}:{port}/healthz"), "health", 30)
    stage.check(node.code is None, f"the node ended: {node.last_words()}")
    metrics = fetch(f"http://{ready['admin']}/metrics")
    failed = [line.split()[1] for line in metrics.splitlines()
              if line.startswith("peerlift_control_accept_errors_total")]
    stage.check(failed and float(failed[0]) > 0, f"accept errors counted: {failed}")


def answers(url):
    try:
        return bool(fetch(url))
    except OSError:
        return False


def fetch(url):
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().decode()
