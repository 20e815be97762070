"""Dashboards for Grafana in the words of the domain, over grafanalib (``pip install quantum-monitor[grafana]``)."""

from __future__ import annotations

from quantum_monitor.grafana.dashboard import board
from quantum_monitor.grafana.layout import line, section
from quantum_monitor.grafana.panels import alert_list, heatmap, stat, state_timeline, timeseries
from quantum_monitor.grafana.parts import ALERT_STATES, AVAILABILITY, END_NOT_SEEN, RUN_STATES, VANISHED
from quantum_monitor.grafana.queries import gained, last, quantile, query, threshold, worst
from quantum_monitor.grafana.tables import Column, table

__all__ = [
    "ALERT_STATES",
    "AVAILABILITY",
    "END_NOT_SEEN",
    "RUN_STATES",
    "VANISHED",
    "Column",
    "alert_list",
    "board",
    "gained",
    "heatmap",
    "last",
    "line",
    "quantile",
    "query",
    "section",
    "stat",
    "state_timeline",
    "table",
    "threshold",
    "timeseries",
    "worst",
]
