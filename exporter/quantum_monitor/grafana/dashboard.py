"""Dashboards: sections of panels with the variables, annotations and links that all dashboards share."""

from __future__ import annotations

import json
from typing import Any

import attr
from grafanalib import core
from grafanalib._gen import DashboardEncoder

from quantum_monitor.grafana.layout import Section, arranged
from quantum_monitor.grafana.normal import normal_dashboard
from quantum_monitor.grafana.parts import DATASOURCE
from quantum_monitor.grafana.queries import expand

UIDS = {
    "quantum-overview": "Overview",
    "quantum-training": "Training",
    "quantum-state": "Quantum state",
    "quantum-circuits": "Circuits and backends",
    "quantum-cost": "Cost",
    "quantum-health": "Monitor health",
}
"""Every dashboard, in the order in which they link to each other."""

TAG = "quantum-monitor"
_ON_TIME_RANGE = 2
_SHARED_CROSSHAIR = 1
_ALL = {"selected": True, "text": ["All"], "value": ["$__all"]}

_VARIABLES = {
    "job": ("Job", "quantum_monitor_build_info", "Job of the scrape configuration."),
    "instance": ("Instance", "quantum_monitor_build_info", "Training process: the address that is scraped."),
    "experiment": ("Experiment", "quantum_run_info", "Experiment, as in QuantumMonitor(...)."),
    "run": ("Run", "quantum_run_info", "Run, as in start_run(...); finished ones within the time range, too."),
    "backend": (
        "Backend",
        '{__name__=~"quantum_backend_up|quantum_circuit_qubits|quantum_cost_last_execution"}',
        "Backend that circuits were executed on or whose status was logged.",
    ),
}
"""Name to label, to the metric whose label values are offered, and to what it is; each is narrowed by those before."""


class Dashboard(core.Dashboard):  # type: ignore[misc]  # grafanalib is untyped here
    """A dashboard in the form of today, also where grafanalib's own ``generate-dashboards`` writes it."""

    def to_json_data(self) -> dict[str, Any]:
        """The whole of it as plain dictionaries and lists."""
        plain = json.loads(json.dumps(super().to_json_data(), cls=DashboardEncoder))
        return normal_dashboard(plain)


def board(uid: str, description: str, *sections: Section, since: str = "now-6h", by_backend: bool = False) -> Dashboard:
    """A dashboard, with its panels placed and its queries narrowed by the variables.

    Args:
        uid: one of `UIDS`.
        description: the question that it answers.
        sections: what it shows, from top to bottom.
        since: where its time range starts.
        by_backend: whether it has the variable ``backend`` beside data source, job, instance, experiment and run.

    Raises:
        ValueError: the uid is unknown, two panels have the same title, or a line does not fill the grid.
    """
    if uid not in UIDS:
        raise ValueError(f"no dashboard has the uid {uid!r}; add it to quantum_monitor.grafana.dashboard.UIDS")
    names = [name for name in _VARIABLES if by_backend or name != "backend"]
    return Dashboard(
        uid=uid,
        title=f"Quantum / {UIDS[uid]}",
        description=description,
        tags=[TAG],
        panels=[_narrowed(panel, names) for panel in arranged(sections, uid)],
        templating=core.Templating([_datasource(), *(_variable(name) for name in names)]),
        annotations=core.Annotations(_annotations(names)),
        links=[_link(other) for other in UIDS if other != uid],
        time=core.Time(since, "now"),
        refresh="30s",
        timezone="browser",
        graphTooltip=_SHARED_CROSSHAIR,
        editable=False,
    )


def _narrowed(panel: Any, variables: list[str]) -> Any:
    targets = [attr.evolve(target, expr=expand(target.expr, variables)) for target in panel.targets]
    return attr.evolve(panel, targets=targets)


def _datasource() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "current": {"selected": True, "text": "Prometheus", "value": "prometheus"},
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "options": [],
        "refresh": 1,
        "regex": "",
        "description": "Prometheus server to ask.",
    }


def _variable(name: str) -> dict[str, Any]:
    """A variable that also finds finished runs: its values are asked for over the dashboard's time range."""
    label, metric, description = _VARIABLES[name]
    before = list(_VARIABLES)[: list(_VARIABLES).index(name)]
    # Facts of a backend belong to no run: its names are narrowed by job and instance only.
    narrowing = [other for other in before if other in ("job", "instance") or name == "run"]
    selectors = ", ".join(f'{other}=~"${other}"' for other in narrowing)
    series = f"{metric[:-1]}, {selectors}}}" if metric.endswith("}") else f"{metric}{{{selectors}}}"
    asked = f"label_values({series if selectors else metric}, {name})"
    return {
        "name": name,
        "label": label,
        "description": description,
        "type": "query",
        "datasource": DATASOURCE,
        "definition": asked,
        "query": {"qryType": 1, "query": asked, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "refresh": _ON_TIME_RANGE,
        "includeAll": True,
        "allValue": ".+",
        "multi": True,
        "current": _ALL,
        "hide": 0,
        "options": [],
        "regex": "",
        "sort": 1,
    }


def _annotations(variables: list[str]) -> list[dict[str, Any]]:
    """Start and end of runs, at the time that the series says, and the spans in which alerts fire."""
    # Over the time between two points, or what is shorter than that gets lost at long time ranges.
    firing = "max_over_time(quantum_alert_firing[$__rate_interval]) == 1"
    start, end = (
        f"1000 * last_over_time(quantum_run_{edge}_timestamp_seconds[$__rate_interval])" for edge in ("start", "end")
    )
    return [
        {
            "builtIn": 1,
            "datasource": {"type": "grafana", "uid": "-- Grafana --"},
            "enable": True,
            "hide": True,
            "iconColor": "rgba(0, 211, 255, 1)",
            "name": "Annotations & Alerts",
            "type": "dashboard",
        },
        _event("Run starts", start, "blue", "start", variables),
        _event("Run ends", end, "purple", "end", variables),
        {
            **_event("Alerts", firing, "red", "{{alert}} ({{severity}})", variables),
            "tagKeys": "severity",
            "useValueForTime": False,
        },
    ]


def _event(name: str, expr: str, color: str, title: str, variables: list[str]) -> dict[str, Any]:
    return {
        "datasource": DATASOURCE,
        "enable": True,
        "expr": expand(expr, variables),
        "hide": False,
        "iconColor": color,
        "name": name,
        "tagKeys": "experiment,run",
        "textFormat": "{{experiment}} {{run}} {{backend}}",
        "titleFormat": title,
        "useValueForTime": True,
    }


def _link(uid: str) -> core.DashboardLink:
    return core.DashboardLink(
        title=UIDS[uid], type="link", uri=f"/d/{uid}", icon="dashboard", keepTime=True, includeVars=True,
        tooltip=f"{UIDS[uid]} of the same selection and time",
    )  # fmt: skip
