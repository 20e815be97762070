"""The panels that every view of a run draws: what is in each, and the figure of one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantum_monitor.views.observed import Observed
from quantum_monitor.views.panel_series import (
    Over,
    Thinned,
    Trace,
    breaks,
    by_backend,
    custom,
    error_ratios,
    moments,
    named,
    points,
    shares_of_the_machine,
    spent,
)
from quantum_monitor.views.panel_timelines import alert_marks, alerts_figure, availability_figure
from quantum_monitor.views.theme import Theme, graph_objects, label, template
from quantum_monitor.views.words import number

__all__ = ["PANELS", "Panel", "Trace", "panel_figure", "panel_note", "points"]

TRACES_AT_MOST = 8
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "5px,2px,1px,2px", "1px,3px")
_SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up", "star", "hexagon", "triangle-down")
_MARKERS_UP_TO = 60
_DENSE_FROM = 600
_HEIGHT, _LEGEND_ROW = 340, 20
_LEGEND_LENGTH = 38
_ROW, _ABOVE_AND_BELOW = 110, 90
_AT_THE_TOP = {"y": 0.98, "yref": "container", "yanchor": "top"}  # legends grow upwards from the lines
Find = Callable[[Observed], list[Trace]]


@dataclass(frozen=True)
class Panel:
    """One panel.

    Attributes:
        key: its name in addresses and settings.
        title: what stands above it.
        y_title: quantity and unit of the left axis; ``y2_title`` of the right one, where it has one.
        x: whether it is drawn over steps, or over time.
        find: every line that it could have.
        log: a logarithmic axis, where all values are positive and differ by a factor of ten.
        marks_alerts: whether it shows at which steps alerts fired.
        rows: each line has a scale of its own, in a row of its own.
        figure: draws it instead, where a panel has no lines.
    """

    key: str
    title: str
    y_title: str
    x: Over
    find: Find = lambda _: []
    y2_title: str = ""
    log: bool = False
    marks_alerts: bool = False
    rows: bool = False
    figure: Callable[[Observed, Theme], Any] | None = None

    def traces(self, observed: Observed) -> list[Trace]:
        """The lines that are drawn: the eight with the most values, in the order of their first appearance."""
        found = self.find(observed)
        largest = sorted(found, key=lambda trace: -trace.curve.seen)[:TRACES_AT_MOST]
        kept = {trace.key for trace in largest}
        found = [trace for trace in found if trace.key in kept]
        if self.rows:
            return [trace._replace(axis=_axis(place)) for place, trace in enumerate(found)]
        return found


def _axis(place: int) -> str:
    return f"y{place + 1}" if place else "y"


_LOSS = [("loss", "loss", "y")]
_NORM = [("gradient_norm", "gradient norm", "y")]
_VARIANCE = [
    ("gradient_variance", "of the norms of 10 steps", "y"),
    ("gradient_component_variance", "across the components", "y"),
]
_STATE = [
    ("fidelity", "fidelity", "y"),
    ("purity", "purity", "y"),
    ("global_entanglement", "global entanglement", "y"),
    ("entanglement_entropy", "entanglement entropy (bits)", "y2"),
    ("von_neumann_entropy", "von Neumann entropy (bits)", "y2"),
]
_PARAMETERS = [("parameter_change", "change since the step before", "y"), ("parameter_norm", "norm (right)", "y2")]
_TIMES = [("execution_time", "execution"), ("queue_time", "queue")]
_DEPTHS = [("depth", "depth"), ("two_qubit_depth", "two-qubit depth")]

PANELS: tuple[Panel, ...] = (
    Panel("loss", "Loss", "Loss", "step", named("training", _LOSS), marks_alerts=True),
    Panel("gradient_norm", "Gradient norm", "Euclidean norm", "step", named("training", _NORM), log=True,
          marks_alerts=True),
    Panel("gradient_variance", "Gradient variance", "Variance", "step", named("training", _VARIANCE), log=True),
    Panel("fidelity_entropy", "Fidelity and entropy", "Ratio (0 to 1)", "step", named("state", _STATE), "Bits",
          marks_alerts=True),
    Panel("parameters", "Parameters", "Norm of the change", "step", named("training", _PARAMETERS), "Norm", log=True),
    Panel("depth", "Circuit depth", "Layers of gates", "time", by_backend("circuit", _DEPTHS)),
    Panel("times", "Execution and queue time", "Seconds", "time", by_backend("circuit", _TIMES), log=True),
    Panel("cost", "Cost", "Spent so far, in its currency", "time", spent),
    Panel("pending_jobs", "Jobs waiting at the backends", "Jobs", "time",
          by_backend("backend", [("pending_jobs", "")])),
    Panel("error_ratios", "Error ratios of the backends", "Ratio (0 to 1)", "time", error_ratios, log=True),
    Panel("availability", "Backends up and down", "", "time", figure=availability_figure),
    Panel("alerts", "Alerts", "", "time", figure=alerts_figure),
    Panel("system", "Process and machine", "Share of the machine", "time", shares_of_the_machine),
    Panel("custom", "Metrics of your own", "", "step", custom, rows=True),
)  # fmt: skip
"""All panels in the order in which they are shown."""


def panel_figure(panel: Panel, observed: Observed, theme: Theme = "light", *, spans: int | None = None) -> Any:
    """A panel as a plotly figure; None where nothing of it was recorded.

    NaN and infinite values are gaps, and crosses at the foot.

    Args:
        panel: what to draw.
        observed: what the run has shown.
        theme: light or dark.
        spans: draws at most about this many spans of values in all, with their extremes, where a file must stay
            small; as many as there are unless given.

    Raises:
        ValueError: a theme that is none.
        MissingExtraError: plotly is not installed.
    """
    if panel.figure is not None:
        return panel.figure(observed, theme)
    traces = _thinned(panel.traces(observed), spans)
    return _lines(panel, traces, observed, theme) if traces else None


def panel_note(panel: Panel, observed: Observed, *, spans: int | None = None) -> str:
    """What a reader of a panel must know: what is left out, thinned, or not finite; empty where there is nothing."""
    drawn = panel.traces(observed)
    left = len(panel.find(observed)) - len(drawn)
    if panel.key == "custom":
        left += sum(a.curve is None for a in observed.of("custom"))
    lines = [(trace, trace.curve.line) for trace in _thinned(drawn, spans)]
    thinned = max((t.curve.seen / len(line.x) for t, line in lines if t.how == "extremes" and len(line.x)), default=1)
    broken = sum(trace.curve.seen - int(line.finite.sum()) for trace, line in lines)
    are = "value is" if broken == 1 else "values are"
    said = [
        f"The {len(drawn)} with the most values; {number(left)} more are in the store." if left else "",
        f"Drawn through the lowest and the highest of every {math.ceil(thinned)} values or less."
        if thinned > 1
        else "",
        f"{number(broken)} {are} NaN or infinite: the crosses at the foot." if broken else "",
    ]
    return " ".join(sentence for sentence in said if sentence)


def _thinned(traces: list[Trace], spans: int | None) -> list[Trace]:
    if spans is None or not traces:
        return traces
    each = max(spans // len(traces), 1)
    return [trace._replace(curve=Thinned(trace.curve, each)) for trace in traces]


def _lines(panel: Panel, traces: list[Trace], observed: Observed, theme: Theme) -> Any:
    go = graph_objects()
    layout = {"template": template(theme), "title": {"text": panel.title, **_AT_THE_TOP}, "showlegend": len(traces) > 1}
    figure = go.Figure(layout=layout | {"height": _HEIGHT + _LEGEND_ROW * max(0, len(traces) - 2)})
    for place, trace in enumerate(traces):
        figure.add_trace(_drawn(go, trace, 0 if panel.rows else place, several=len(traces) > 1))
    feet = [1 - (place + 0.7) / len(traces) if panel.rows else 0.0 for place in range(len(traces))]
    marks = [_broken(go, traces, feet)]
    if panel.marks_alerts and all(trace.curve.by_step for trace in traces):
        marks.append(alert_marks(go, observed))
    marks = [mark for mark in marks if mark is not None]
    figure.add_traces(marks)
    figure.update_layout(_axes(panel, traces))
    if marks:
        # An axis from 0 to 1 over the whole panel: its foot and its top, whatever the values are.
        overall = {"range": [0, 1], "visible": False, "fixedrange": True} | ({} if panel.rows else {"overlaying": "y"})
        figure.update_layout(yaxis9=overall, showlegend=True)
    return figure


def _drawn(go: Any, trace: Trace, style: int, *, several: bool) -> Any:
    x, y = points(trace)
    marked: dict[str, Any] = {"mode": "lines+markers", "marker": {"symbol": _SYMBOLS[style], "size": 6}}
    if len(x) > _MARKERS_UP_TO:
        alone = _alone(y)
        # A value between two gaps has no line to be seen by.
        markers = {"marker": {"size": np.where(alone, 5, 0)}} if alone.any() else {}
        marked = {"mode": "lines+markers" if markers else "lines", **markers}
        marked |= {"opacity": 0.85} if several else {}
    line = {"width": 1.3 if len(x) > _DENSE_FROM else 1.8, "dash": _DASHES[style]}
    return go.Scatter(x=x, y=y, name=label(trace.name, _LEGEND_LENGTH), yaxis=trace.axis, line=line, **marked)


def _alone(y: Any) -> Any:
    finite = np.isfinite(y)
    before, after = np.append(False, finite[:-1]), np.append(finite[1:], False)
    return finite & ~before & ~after


def _broken(go: Any, traces: list[Trace], feet: list[float]) -> Any:
    """Crosses at the foot where values are NaN or infinite."""
    found = [
        (breaks(trace), foot, f"{label(trace.name)}: NaN or infinite") for trace, foot in zip(traces, feet, strict=True)
    ]
    found = [piece for piece in found if len(piece[0])]
    if not found:
        return None
    return go.Scatter(
        x=np.concatenate([x for x, _, _ in found]),
        y=np.concatenate([np.full(len(x), foot + 0.02) for x, foot, _ in found]),
        yaxis="y9",
        mode="markers",
        name="NaN or infinite",
        hovertext=[told for x, _, told in found for _ in x],
        hoverinfo="text",
        marker={"symbol": "x", "size": 7},
    )


def _axes(panel: Panel, traces: list[Trace]) -> dict[str, Any]:
    steps = [trace.curve.by_step for trace in traces]
    by_step = "Step" if all(steps) else "Step, or number of the value" if any(steps) else "Number of the value"
    x: dict[str, Any] = {"title": {"text": by_step}, "exponentformat": "none", "separatethousands": True}
    if panel.x == "time":
        x = {"title": {"text": "Time (UTC)"}, "type": "date"} | _around_a_moment(traces)
    if panel.rows:
        return {"xaxis": x | {"anchor": _axis(len(traces) - 1)}, **_rows(traces)}
    layout: dict[str, Any] = {"xaxis": x}
    sides = {trace.axis for trace in traces}
    titles = {"y": panel.y_title, "y2": panel.y2_title}
    for side in sides:
        axis: dict[str, Any] = {"title": {"text": titles[side]}}
        spread = _spread(trace for trace in traces if trace.axis == side) if panel.log and side == "y" else 0
        if spread >= 10:
            axis |= {"type": "log"} | ({"dtick": 1} if spread >= 1000 else {})
        if side == "y2":
            axis |= {"side": "right", "showgrid": False, "zeroline": False, "tickmode": "auto"}
            axis |= {"overlaying": "y"} if "y" in sides else {"side": "left"}
        layout[f"yaxis{side[1:]}"] = axis
    return layout


def _around_a_moment(traces: list[Trace]) -> dict[str, Any]:
    """A minute around what happened at one moment only; nothing where there are more."""
    times = {at for trace in traces for at in trace.curve.line.time[[0, -1]].tolist() if len(trace.curve.line.time)}
    if len(times) != 1:
        return {}
    (at,) = times
    return {"range": [str(end) for end in moments([at - 30, at + 30])]}


def _spread(traces: Any) -> float:
    """Highest by lowest value, 0 where there is none, or one that is not positive."""
    low, high = math.inf, 0.0
    for trace in traces:
        _, y = points(trace)
        y = y[np.isfinite(y)]
        if len(y):
            low, high = min(low, float(y.min())), max(high, float(y.max()))
    return high / low if 0 < low < math.inf else 0.0


def _rows(traces: list[Trace]) -> dict[str, Any]:
    """An axis for each line, from the top downwards, its name above it."""
    share = 1 / len(traces)
    layout: dict[str, Any] = {"height": _ROW * len(traces) + _ABOVE_AND_BELOW, "showlegend": False, "annotations": []}
    for place, trace in enumerate(traces):
        top, name = 1 - place * share, label(trace.name, _LEGEND_LENGTH)
        layout[f"yaxis{_axis(place)[1:]}"] = {"domain": [max(0.0, top - 0.68 * share), top - 0.08 * share], "nticks": 4}
        layout["annotations"].append(
            {"text": name, "x": 0, "xref": "paper", "xanchor": "left", "y": top - 0.08 * share,
             "yref": "paper", "yanchor": "bottom", "showarrow": False}
        )  # fmt: skip
    return layout
