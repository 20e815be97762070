"""What grafanalib 0.7.1 writes, brought into the form that today's Grafana reads."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

SCHEMA_VERSION = 41
"""Of the dashboard's JSON: Grafana 11.6 and 12; later ones migrate it by themselves."""
PLUGIN_VERSION = "11.6.0"
"""Of the panels' options: without it Grafana takes them for those of version 6 and rewrites them."""

_DASHBOARD_KEYS = (
    "annotations", "description", "editable", "fiscalYearStartMonth", "graphTooltip", "links", "panels", "refresh",
    "schemaVersion", "tags", "templating", "time", "timepicker", "timezone", "title", "uid", "version",
)  # fmt: skip
_PANEL_KEYS = (
    "collapsed", "datasource", "description", "fieldConfig", "gridPos", "id", "options", "panels", "pluginVersion",
    "targets", "timeFrom", "title", "transformations", "type",
)  # fmt: skip
_ROW_KEYS = ("collapsed", "gridPos", "id", "panels", "title", "type")
_GRID_KEYS = ("h", "w", "x", "y")


def normal_dashboard(data: Json) -> Json:
    """The dashboard with the keys of today only, and the panels in their normal form.

    grafanalib adds ``rows``, ``style``, ``hideControls`` and ``sharedCrosshair``, and says schema version 12.
    """
    found = {
        **data,
        "editable": False,
        "fiscalYearStartMonth": 0,
        "panels": [normal_panel(panel) for panel in data["panels"]],
        "schemaVersion": SCHEMA_VERSION,
        "timepicker": {},
        "version": 1,
    }
    return _only(found, _DASHBOARD_KEYS)


def normal_panel(data: Json) -> Json:
    """The panel with the keys of today only.

    grafanalib gives a panel ``maxDataPoints`` 100, which hides short events, keys of the Angular panels (of heatmap and
    table), and null where Grafana wants nothing. The first step of thresholds is the one null that means something.
    """
    if data["type"] == "row":
        return _only({**data, "gridPos": _only(data["gridPos"], _GRID_KEYS)}, _ROW_KEYS)
    panel: Json = without_nulls({**data, "pluginVersion": PLUGIN_VERSION})
    panel["gridPos"] = _only(panel["gridPos"], _GRID_KEYS)
    panel["fieldConfig"] = _field_config(data.get("fieldConfig") or {})
    if not panel.get("transformations"):
        panel.pop("transformations", None)
    return _only(panel, _PANEL_KEYS)


def without_nulls(value: Any) -> Any:
    """The value without entries that are null, at any depth."""
    if isinstance(value, dict):
        return {key: without_nulls(entry) for key, entry in value.items() if entry is not None}
    return [without_nulls(entry) for entry in value] if isinstance(value, list) else value


def _field_config(data: Json) -> Json:
    defaults = without_nulls(data.get("defaults", {}))
    steps = data.get("defaults", {}).get("thresholds", {}).get("steps") or [{"color": "green", "value": None}]
    defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    scale = defaults.get("custom", {}).get("scaleDistribution", {})
    if scale.get("type") == "linear":
        scale.pop("log", None)
    return {"defaults": defaults, "overrides": data.get("overrides", [])}


def _only(data: Json, keys: tuple[str, ...]) -> Json:
    return {key: data[key] for key in keys if key in data and data[key] is not None}
