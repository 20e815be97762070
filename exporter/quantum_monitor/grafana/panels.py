"""Panels in the words of the domain; each is a function that gives a panel of grafanalib."""

from __future__ import annotations

from typing import Any

from grafanalib import core

from quantum_monitor.grafana.parts import NOTHING, Json, States, Target, common, mappings, override, targets
from quantum_monitor.grafana.queries import Query, query


class AlertListPanel(core.Panel):  # type: ignore[misc]  # grafanalib is untyped here
    """The list of firing alerts; grafanalib's own is that of Grafana 7 and no panel."""

    def to_json_data(self) -> Json:
        """The panel."""
        found: Json = self.panel_json({"type": "alertlist"})
        return found


def timeseries(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    empty: str = NOTHING,
    span: int | None = None,
    log: bool = False,
    stacked: bool = False,
    minimum: float | None = None,
    maximum: float | None = None,
) -> Any:
    """Lines over time, with thresholds as dashed red ones.

    Args:
        title: of the panel, unique in the dashboard.
        description: what a person reads behind the i.
        unit: Grafana's name of the unit.
        queries: what is drawn.
        empty: what is shown where there is no data.
        span: width in columns; an equal share of the line unless given.
        log: whether the axis is logarithmic; values of 0 and less are not drawn then.
        stacked: whether the series stand on each other.
        minimum: the axis starts here at the latest.
        maximum: the axis ends here at the earliest.
    """
    asks = targets(queries)
    overrides = [_drawn(target, written) for target, written in zip(asks, queries, strict=True)]
    legend = {"calcs": ["lastNotNull"], "displayMode": "list", "placement": "bottom", "showLegend": True}
    custom = {"axisSoftMin": minimum, "axisSoftMax": maximum, "spanNulls": False}
    return core.TimeSeries(
        **common(title, description, span),
        targets=asks,
        unit=unit,
        fillOpacity=40 if stacked else 0,
        stacking={"group": "A", "mode": "normal" if stacked else "none"},
        scaleDistributionType="log" if log else "linear",
        scaleDistributionLog=10,
        showPoints="auto",
        tooltipMode="multi",
        tooltipSort="desc",
        overrides=[drawn for drawn in overrides if drawn],
        extraJson={"fieldConfig": {"defaults": {"noValue": empty, "custom": custom}}, "options": {"legend": legend}},
    )


def stat(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    empty: str = NOTHING,
    span: int | None = None,
    decimals: int | None = None,
    red_from: float | None = None,
    since: str | None = None,
) -> Any:
    """The latest value of each series as a large number.

    Args:
        title: of the panel, unique in the dashboard.
        description: what a person reads behind the i.
        unit: Grafana's name of the unit.
        queries: what is shown.
        empty: what is shown where there is no data.
        span: width in columns; an equal share of the line unless given.
        decimals: after the point; as fits unless given.
        red_from: values from here on are red.
        since: a time range of the panel's own, such as ``24h``; the dashboard's unless given.
    """
    steps: list[Json] = [{"color": "text" if red_from is None else "green", "value": None}]
    if red_from is not None:
        steps.append({"color": "red", "value": red_from})
    return core.Stat(
        **common(title, description, span),
        targets=targets(queries, instant=True),
        timeFrom=since,
        format=unit,
        noValue=empty,
        decimals=decimals,
        thresholds=steps,
        color={"mode": "thresholds"},
        graphMode="none",
        reduceCalc="lastNotNull",
        extraJson={"options": {"showPercentChange": False, "wideLayout": True}},
    )


def heatmap(
    title: str, description: str, unit: str, histogram: str, *, empty: str = NOTHING, span: int | None = None
) -> Any:
    """How observations of a histogram spread over its buckets, over time.

    Args:
        title: of the panel, unique in the dashboard.
        description: what a person reads behind the i.
        unit: Grafana's name of the unit of the buckets.
        histogram: the metric, without ``_bucket``.
        empty: what is shown where there is no data.
        span: width in columns; an equal share of the line unless given.
    """
    counts = query(f"sum by (le) (increase({histogram}_bucket[$__rate_interval]))", "{{le}}")
    options = {
        "calculate": False,
        "cellGap": 1,
        "cellValues": {"unit": "short"},
        "color": {
            "exponent": 0.5, "fill": "dark-orange", "mode": "scheme", "reverse": False, "scale": "exponential",
            "scheme": "Blues", "steps": 64,
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto", "value": "count"},
        "showValue": "never",
        "tooltip": {"mode": "single", "showColorScale": False, "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
    }  # fmt: skip
    return core.Heatmap(
        **common(title, description, span),
        targets=targets([counts], form="heatmap"),
        options=options,
        extraJson={"fieldConfig": {"defaults": {"custom": _HEATMAP_CUSTOM, "noValue": empty, "unit": unit}}},
    )


def state_timeline(
    title: str, description: str, states: States, *queries: Query, empty: str = NOTHING, span: int | None = None
) -> Any:
    """One bar a series over time, coloured by what its value means; 20 on a page.

    Args:
        title: of the panel, unique in the dashboard.
        description: what a person reads behind the i.
        states: what the values mean.
        queries: what is shown; whole numbers.
        empty: what is shown where there is no data.
        span: width in columns; an equal share of the line unless given.
    """
    return core.StateTimeline(
        **common(title, description, span),
        targets=targets(queries),
        mappings=mappings(states),
        extraJson={
            "fieldConfig": {"defaults": {"noValue": empty, "unit": "none"}},
            "options": {"legend": {"showLegend": True}, "perPage": _ROWS_A_PAGE},
        },
    )


def alert_list(title: str, description: str, labels: str, *, empty: str = NOTHING, span: int | None = None) -> Any:
    """The alerts that fire now, most severe first, of every data source that manages alerts.

    Args:
        title: of the panel, unique in the dashboard.
        description: what a person reads behind the i.
        labels: matchers in PromQL's braces that an alert must meet.
        empty: what is shown where there is no data.
        span: width in columns; an equal share of the line unless given.
    """
    states = {"error": True, "firing": True, "noData": False, "normal": False, "pending": False, "recovering": False}
    options = {
        "alertInstanceLabelFilter": labels, "alertName": "", "dashboardAlerts": False, "groupBy": [],
        "groupMode": "default", "maxItems": 50, "showInactiveAlerts": False, "sortOrder": 3, "stateFilter": states,
        "viewMode": "list",
    }  # fmt: skip
    extra = {"fieldConfig": {"defaults": {"noValue": empty, "unit": "none"}}, "options": options}
    return AlertListPanel(**common(title, description, span), extraJson=extra)


_ROWS_A_PAGE = 20
_HEATMAP_CUSTOM = {
    "hideFrom": {"legend": False, "tooltip": False, "viz": False},
    "scaleDistribution": {"type": "linear"},
}
_DASHED_RED = {
    "color": {"fixedColor": "red", "mode": "fixed"},
    "custom.fillOpacity": 0,
    "custom.hideFrom": {"legend": True, "tooltip": False, "viz": False},
    "custom.lineStyle": {"dash": [8, 8], "fill": "dash"},
    "custom.stacking": {"group": False, "mode": "none"},
}


def _drawn(target: Target, written: Query) -> Json | None:
    """How one query is drawn, where that is not as the others."""
    properties: Json = dict(_DASHED_RED) if written.threshold else {}
    if written.right_unit is not None:
        properties |= {"unit": written.right_unit, "custom.axisPlacement": "right"}
    return override("byFrameRefID", target.refId, properties) if properties else None
