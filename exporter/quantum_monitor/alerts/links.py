"""Where an alert sends its reader: the Grafana dashboard and the runbook page that belong to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from quantum_monitor.alerts.bases import GRAFANA_URL, RUNBOOK_URL
from quantum_monitor.alerts.rules import ALERTS, PROMETHEUS_ALERTS

_CUSTOM = "custom_alert"
_VARIABLES = ("experiment", "run", "backend")
_URL_LENGTH = 2_000
_DASHBOARDS: Mapping[str, str] = {
    **{rule.key: rule.dashboard for rule in ALERTS},
    **{alert.key: alert.dashboard for alert in PROMETHEUS_ALERTS},
}


@dataclass(frozen=True)
class Links:
    """The two bases, from the settings ``grafana_url`` and ``runbook_url``."""

    grafana: str = GRAFANA_URL
    runbooks: str = RUNBOOK_URL


def dashboard_url(alert: Mapping[str, Any], base: str = GRAFANA_URL) -> str:
    """The dashboard that shows an alert, with its experiment, run and backend selected.

    Args:
        alert: with ``type`` and ``labels``; an alert without a rule of its own leads to the overview.
        base: of Grafana, without a slash at its end.

    Returns:
        The address, every name in it percent-encoded. Where that would be longer than browsers and Slack take, nothing
        is selected.
    """
    uid = _DASHBOARDS.get(alert["type"], _DASHBOARDS[_CUSTOM])
    labels = alert.get("labels") or {}
    chosen = [(f"var-{name}", labels[name]) for name in _VARIABLES if name in labels]
    query = urlencode(chosen, errors="replace")
    bare = f"{base}/d/{uid}"
    return f"{bare}?{query}" if query and len(bare) + len(query) < _URL_LENGTH else bare


def runbook_url(alert: Mapping[str, Any], base: str = RUNBOOK_URL) -> str:
    """The runbook page of an alert: what it means, and what to do.

    Args:
        alert: with ``type``; all alerts without a rule of their own share the page of ``custom_alert``.
        base: the folder of the pages, without a slash at its end.
    """
    key = alert["type"] if alert["type"] in _DASHBOARDS else _CUSTOM
    return f"{base}/{key}.md"
