"""What the panels of a dashboard ask Prometheus, with the variables filled in as Grafana would."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parents[2] / "dashboards" / "json"
EVERYTHING = ".+"


class PanelQuery(NamedTuple):
    """One query of one panel; an annotation counts as a panel called `annotation NAME`."""

    dashboard: str
    panel: str
    ref_id: str
    expr: str
    legend: str


MAY_BE_EMPTY: Mapping[tuple[str, str, str], str] = {
    ("quantum-overview", "annotation Run ends", "A"): "no run ended while its series are there",
    ("quantum-overview", "annotation Alerts", "A"): "nothing fires",
    ("quantum-overview", "Value against threshold", "A"): "nothing fires",
    ("quantum-overview", "Value against threshold", "B"): "nothing fires",
    ("quantum-overview", "How often", "A"): "nothing fired",
    ("quantum-training", "Variance across components", "B"): "the alert is off",
    ("quantum-training", "Since the last step", "A"): "no run is running",
    ("quantum-training", "Since the last step", "B"): "the alert is off",
    ("quantum-training", "Loss above its best", "A"): "the latest loss is the best",
    ("quantum-state", "Infidelity", "A"): "the fidelity is exactly 1",
    ("quantum-state", "Entanglement lost", "A"): "the alert is off unless asked for",
    ("quantum-state", "Entanglement lost", "B"): "the alert is off unless asked for",
    ("quantum-circuits", "Failures among the last 50", "A"): "fewer than 10 executions",
    ("quantum-circuits", "Error rate above the best", "A"): "no error rates reported",
    ("quantum-cost", "Forecast against budget", "A"): "no budget set",
    ("quantum-cost", "Forecast against budget", "B"): "no budget set",
    ("quantum-cost", "Forecast against budget", "C"): "no budget set",
    ("quantum-cost", "Share of the budget", "A"): "no budget set",
    ("quantum-cost", "Cost over the median", "A"): "fewer than five executions with a cost",
    ("quantum-health", "Watchdog", "A"): "the rules are not loaded",
    ("quantum-health", "Rules that failed", "A"): "Prometheus does not scrape itself",
    ("quantum-health", "Rules that failed", "B"): "Prometheus does not scrape itself",
    ("quantum-health", "Notifications", "A"): "Prometheus does not scrape itself",
    ("quantum-health", "Notifications", "B"): "Prometheus does not scrape itself",
    ("quantum-health", "Notifications", "C"): "Prometheus does not scrape itself",
    (
        "quantum-health",
        "Messages to people",
        "A",
    ): "Prometheus does not scrape Alertmanager, or nobody was told anything",
    (
        "quantum-health",
        "Messages to people",
        "B",
    ): "Prometheus does not scrape Alertmanager, or nobody was told anything",
}
"""Queries that a healthy installation may answer with nothing: dashboard, panel, refId, and when that is."""


def dashboards() -> dict[str, Any]:
    """Every generated dashboard, by the name of its file."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.json"))}


def panels(dashboard: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Its panels, without the titles of rows."""
    return (panel for panel in dashboard["panels"] if panel["type"] != "row")


def queries(
    dashboard: Mapping[str, Any],
    *,
    rate_interval: str = "1m",
    time_range: str = "1h",
    variables: Mapping[str, str] | None = None,
) -> list[PanelQuery]:
    """Every query of a dashboard, ready for Prometheus.

    Args:
        dashboard: its JSON.
        rate_interval: what `$__rate_interval` stands for.
        time_range: what `$__range` stands for.
        variables: regular expressions for the dashboard's variables; everything unless given.
    """
    uid = dashboard["uid"]
    written = [
        PanelQuery(uid, panel["title"], target["refId"], target["expr"], target["legendFormat"])
        for panel in panels(dashboard)
        for target in panel.get("targets", [])
    ]
    events = [event for event in dashboard["annotations"]["list"] if "expr" in event]
    written += [PanelQuery(uid, f"annotation {e['name']}", "A", e["expr"], e["titleFormat"]) for e in events]
    everything = dict.fromkeys(query_variables(dashboard), EVERYTHING)
    values = {**everything, **(variables or {}), "__rate_interval": rate_interval, "__range": time_range}
    return [asked._replace(expr=filled(asked.expr, values)) for asked in written]


def query_variables(dashboard: Mapping[str, Any]) -> dict[str, str]:
    """The variables that offer values of Prometheus, with the query that finds them."""
    found = dashboard["templating"]["list"]
    return {variable["name"]: variable["definition"] for variable in found if variable["type"] == "query"}


def filled(expr: str, values: Mapping[str, str]) -> str:
    """A query with the values of its variables; a dollar sign in a value is none of a variable."""
    return re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda found: values.get(found[1] or found[2], found[0]), expr)


def as_grafana_writes(value: str) -> str:
    """A value that was chosen, as Grafana puts it into a regular expression between double quotes.

    This is what it does with its feature `prometheusSpecialCharsInLabelValues`; without, a double quote in a value ends
    the text that it stands in.
    """
    value = value.replace("\\", "\\" * 4).replace('"', '\\\\\\"')
    return re.sub(r"[$^*{}\[\]'+?.()|]", r"\\\\\g<0>", value)
