"""The panels that every view of a run draws: what is in each, and the figure of one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantum_monitor.views.observed import Observed
from quantum_monitor.views.panel_axes import LEGEND_LENGTH, axes, is_logarithmic
from quantum_monitor.views.panel_series import (
    Over,
    Thinned,
    Trace,
    breaks,
    by_backend,
    custom,
    error_ratios,
    named,
    points,
    shares_of_the_machine,
    spent,
)
from quantum_monitor.views.panel_timelines import (
    alert_marks,
    alerts_figure,
    availability_figure,
    rows_left_out,
)
from quantum_monitor.views.theme import Theme, graph_objects, label, template
from quantum_monitor.views.words import number

__all__ = ["PANELS", "Panel", "Trace", "panel_figure", "panel_note", "points"]

TRACES_AT_MOST = 8
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "5px,2px,1px,2px", "1px,3px")
_SYMBOLS = ("circle", "square", "diamond", "cross", "triangle-up", "star", "hexagon", "triangle-down")
_MARKERS_UP_TO = 60
_DENSE_FROM = 600
_HEIGHT, _LEGEND_ROW = 340, 20
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
        log: a logarithmic axis, where the values are positive but for a few zeros, and differ by a factor of ten.
        marks_alerts: whether it shows at which steps alerts fired.
        rows: each line has a scale of its own, in a row of its own.
        events: values that have nothing to do with their neighbours: as dots, where lines of several would be bands.
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
    events: bool = False
    figure: Callable[[Observed, Theme], Any] | None = None

    def traces(self, observed: Observed) -> list[Trace]:
        """The lines that are drawn: the eight with the most values, in the order of their first appearance."""
        found = self.find(observed)
        largest = sorted(found, key=lambda trace: -trace.curve.seen)[:TRACES_AT_MOST]
        kept = {trace.key for trace in largest}
        found = [trace for trace in found if trace.key in kept]
        if self.rows:
            return [trace._replace(axis=_axis(place)) for place, trace in enumerate(found)]
        if is_logarithmic(self, found):
            return [trace._replace(positive=trace.axis == "y") for trace in found]
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
    Panel("depth", "Circuit depth", "Layers of gates", "time", by_backend("circuit", _DEPTHS), events=True),
    Panel("times", "Execution and queue time", "Seconds", "time", by_backend("circuit", _TIMES), log=True,
          events=True),
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
    if panel.figure is not None:
        return rows_left_out(panel.key, observed)
    drawn = panel.traces(observed)
    more = len(panel.find(observed)) > len(drawn)
    lines = [(trace, trace.curve.line) for trace in _thinned(drawn, spans)]
    thinned = max((t.curve.seen / len(line.x) for t, line in lines if t.how == "extremes" and len(line.x)), default=1)
    broken = sum(trace.curve.seen - int(line.finite.sum()) for trace, line in lines)
    on_the_left = [line for trace, line in lines if trace.axis == "y"]
    zeros = is_logarithmic(panel, (trace for trace, _ in lines)) and any((line.low == 0).any() for line in on_the_left)
    are = "value is" if broken == 1 else "values are"
    said = [
        f"The {len(drawn)} with the most values; the others are in the store." if more else "",
        f"Drawn through the lowest and the highest of every {number(math.ceil(thinned))} values or less."
        if thinned > 1
        else "",
        f"{number(broken)} {are} NaN or infinite: the crosses at the foot." if broken else "",
        "Values of 0 have no place on the logarithmic axis: gaps." if zeros else "",
    ]
    return " ".join(sentence for sentence in said if sentence)


def _thinned(traces: list[Trace], spans: int | None) -> list[Trace]:
    if spans is None or not traces:
        return traces
    each = max(spans // len(traces), 1)
    return [trace._replace(curve=Thinned(trace.curve, each)) for trace in traces]


def _lines(panel: Panel, traces: list[Trace], observed: Observed, theme: Theme) -> Any:
    go = graph_objects()
    several = len(traces) > 1
    dots = panel.events and several
    # A line by itself is named as well, unless the title is its name: which currency, which backend, which variance?
    named = several or traces[0].name.casefold() != panel.title.casefold()
    layout = {"template": template(theme), "title": {"text": panel.title, **_AT_THE_TOP}, "showlegend": named}
    if dots:
        layout["legend"] = {"itemsizing": "constant"}  # so large that their shapes are told apart
    figure = go.Figure(layout=layout | {"height": _HEIGHT + _LEGEND_ROW * max(0, len(traces) - 2)})
    for place, trace in enumerate(traces):
        style = 0 if panel.rows else place
        figure.add_trace(_dots(go, trace, style) if dots else _drawn(go, trace, style, several=several))
    feet = [1 - (place + 0.7) / len(traces) if panel.rows else 0.0 for place in range(len(traces))]
    marks = [_broken(go, traces, feet)]
    if panel.marks_alerts and all(trace.curve.by_step for trace in traces):
        marks.append(alert_marks(go, observed))
    marks = [mark for mark in marks if mark is not None]
    figure.add_traces(marks)
    figure.update_layout(axes(panel, traces))
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
    return go.Scatter(x=x, y=y, name=label(trace.name, LEGEND_LENGTH), yaxis=trace.axis, line=line, **marked)


def _dots(go: Any, trace: Trace, style: int) -> Any:
    x, y = points(trace)
    marker = {"symbol": _SYMBOLS[style], "size": 6 if len(x) <= _MARKERS_UP_TO else 4, "opacity": 0.8}
    return go.Scatter(x=x, y=y, name=label(trace.name, LEGEND_LENGTH), yaxis=trace.axis, mode="markers", marker=marker)


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
