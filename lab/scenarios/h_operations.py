"""What operators are given: alert rules and a dashboard that speak of what there is."""
import json
import re
import shutil
from pathlib import Path

from parts import content, peerlift
from registry import scenario
from world.here import Here, free_port

OPERATIONS = Path(__file__).resolve().parents[2] / "docs" / "operations"
# Series that Prometheus makes itself, and labels that it gives to all.
OF_PROMETHEUS = {"up", "ALERTS"}
LABELS_OF_PROMETHEUS = {"job", "instance"}
# A name, and its label matchers if it has any. Functions and keywords are followed by a bracket.
SELECTOR = re.compile(r"\b((?:peerlift|process)_\w+|up|ALERTS)\b(?:\{([^}]*)\})?")
SERIES = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+", re.MULTILINE)


def here(function):
    """A scenario over loopback."""
    return scenario("foreign", needs_root=False)(function)


@here
def alerts_and_dashboard_speak_of_what_is_exported(stage):
    film = content.make(stage.folder / "origin", content.MEBIBYTE)
    server = peerlift.serve(stage, Here, film.path.parent, port=free_port(), wait_for=film.name)
    exported = series(server.fetch("/metrics"))
    stage.check("peerlift_edge_requests_total" in exported, f"exported: {sorted(exported)}")
    dashboard = json.loads((OPERATIONS / "grafana-dashboard.json").read_text())
    asked = {"alerts.yml": without_comments((OPERATIONS / "alerts.yml").read_text()),
             "alerts-test.yml": without_comments((OPERATIONS / "alerts-test.yml").read_text()),
             "grafana-dashboard.json": "\n".join(expressions(dashboard))}
    for file, text in asked.items():
        found = SELECTOR.findall(text)
        stage.check(len(found) > 10, f"{file}: only {len(found)} series are asked for")
        for name, matchers in found:
            stage.check(name in OF_PROMETHEUS or name in exported, f"{file}: nobody exports {name}")
            labels = set(re.findall(r"(\w+)\s*[=!]", matchers)) - LABELS_OF_PROMETHEUS
            if name not in OF_PROMETHEUS:
                stage.check(labels <= exported[name], f"{file}: {name} has no labels {labels}")


@here
def alerts_fire_when_they_should(stage):
    rules, played = ((OPERATIONS / name).read_text() for name in ("alerts.yml", "alerts-test.yml"))
    for alert in re.findall(r"alert: (\w+)", rules):
        stage.check(f"alertname: {alert}}}" in played, f"nobody tries when {alert} keeps silent")
        stage.check(f'alertname="{alert}"' in played, f"nobody tries when {alert} fires")
    if not shutil.which("promtool"):
        stage.note("not tried: promtool is not installed (Debian: prometheus)")
        return
    stage.command(["promtool", "check", "rules", OPERATIONS / "alerts.yml"], "check", Here)
    stage.command(["promtool", "test", "rules", OPERATIONS / "alerts-test.yml"], "test", Here)


def series(text):
    """Name of every exported series to its labels."""
    found = {}
    for name, labels in SERIES.findall(text):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def expressions(part):
    """Every query in a dashboard, however deep."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key in ("expr", "query") and isinstance(value, str):
                yield value
            else:
                yield from expressions(value)
    elif isinstance(part, list):
        for value in part:
            yield from expressions(value)


def without_comments(text):
    """Summaries and descriptions are words for people, too, but name no series."""
    return "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
