"""Where dashboards and runbooks are, unless the settings say otherwise."""

from __future__ import annotations

GRAFANA_URL = "http://localhost:3000"
"""The base of dashboard links unless ``grafana_url`` says otherwise."""

RUNBOOK_URL = "https://github.com/quantum-monitor/quantum-monitor/blob/main/docs/runbooks"
"""The base of runbook links unless ``runbook_url`` says otherwise."""
