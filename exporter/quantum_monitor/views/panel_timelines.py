"""Panels that show spans of time: alerts from firing to resolved, backends up and down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np

from quantum_monitor.views import theme
from quantum_monitor.views.observed import AlertReport, Observed
from quantum_monitor.views.panel_series import by_backend, moments
from quantum_monitor.views.theme import Theme, label
from quantum_monitor.views.words import number

FEW_TICKS = {"nticks": 4, "tickangle": 0}
"""Of an axis of times: many would be written askew, and take the room of what is drawn."""

_ROWS_AT_MOST = 20
_ROW, _ABOVE_AND_BELOW = 48, 160
_SYMBOLS = {"critical": "triangle-up", "warning": "diamond", "info": "circle"}
_DASHES = {"critical": "solid", "warning": "dash", "info": "dot"}


class Firing(NamedTuple):
    """An alert from firing to resolved; ``end`` is None while it fires, ``begin`` the first report of it."""

    alert: str
    severity: str
    begin: float
    end: float | None
    step: int | None
    value: float
    threshold: float


def firings(reports: Sequence[AlertReport]) -> list[Firing]:
    """What fired from when to when, in the order of the beginnings.

    Reports that repeat that an alert fires lengthen nothing; one that is resolved without ever having fired, since
    only the latest reports are kept, is left out.
    """
    found: list[Firing] = []
    open_: dict[str, int] = {}
    for report in reports:
        place = open_.get(report.alert)
        if report.firing and place is None:
            open_[report.alert] = len(found)
            alert, severity, value, threshold = report.alert, report.severity, report.value, report.threshold
            found.append(Firing(alert, severity, report.time, None, report.step, value, threshold))
        elif not report.firing and place is not None:
            found[open_.pop(report.alert)] = found[place]._replace(end=report.time)
    return found


def alerts_figure(observed: Observed, name: Theme) -> Any:
    """One row an alert, a bar from firing to resolved; None where none fired."""
    fired = firings(observed.alerts)
    if not fired:
        return None
    go = theme.graph_objects()
    rows = list(dict.fromkeys(firing.alert for firing in reversed(fired)))[:_ROWS_AT_MOST][::-1]
    last = observed.last_time if observed.last_time is not None else math.nan
    figure = _timeline(go, "Alerts", rows, observed, name)
    colours = cycle(theme.template(name).layout.colorway)
    for severity, colour in zip(dict.fromkeys(firing.severity for firing in fired), colours, strict=False):
        mine = [
            (f, rows.index(f.alert), max(last, f.begin) if f.end is None else f.end)
            for f in fired
            if f.severity == severity and f.alert in rows
        ]
        if mine:
            figure.add_traces(_bars(go, severity, colour, mine))
    return figure


def _bars(go: Any, severity: str, colour: str, fired: list[tuple[Firing, int, float]]) -> list[Any]:
    """The bars of one severity, a symbol where each begins, and arrows where one goes on: each in a row, to an end."""
    symbol, word = _SYMBOLS.get(severity, "square"), label(severity or "no severity")
    x = [at for f, _, end in fired for at in (f.begin, end, math.nan)]
    y = [place for _, row, _ in fired for place in (row, row, math.nan)]
    goes_on = [(end, row) for f, row, end in fired if f.end is None]
    line = {"width": 5, "dash": _DASHES.get(severity, "solid"), "color": colour}
    marker = {"size": 12, "color": colour}
    bars = go.Scatter(x=moments(x), y=np.array(y), mode="lines", name=word, hoverinfo="skip", line=line,
                      legendgroup=word, showlegend=False)  # fmt: skip
    begins = go.Scatter(
        x=moments([f.begin for f, _, _ in fired]), y=np.array([row for _, row, _ in fired]), mode="markers", name=word,
        hoverinfo="text", hovertext=[_told(f) for f, _, _ in fired], marker=marker | {"symbol": symbol},
        legendgroup=word,
    )  # fmt: skip
    arrows = go.Scatter(
        x=moments([end for end, _ in goes_on]), y=np.array([row for _, row in goes_on]), mode="markers",
        name=f"{word}, goes on", hoverinfo="name", marker=marker | {"symbol": "triangle-right"},
        legendgroup=word,
    )  # fmt: skip
    return [bars, begins, *([arrows] if goes_on else [])]


def _told(firing: Firing) -> str:
    until = "not resolved by the last record" if firing.end is None else f"for {number(firing.end - firing.begin, 4)} s"
    at = "" if firing.step is None else f" at step {number(firing.step)}"
    values = f"{number(firing.value)}, threshold {number(firing.threshold)}"
    return f"{label(firing.alert)}{at}: {values}, {until}"


def alert_marks(go: Any, observed: Observed) -> Any:
    """Triangles at the top of a panel over steps, where alerts began to fire; None where none did at a step."""
    fired = [firing for firing in firings(observed.alerts) if firing.step is not None]
    if not fired:
        return None
    return go.Scatter(
        x=np.array([float(f.step or 0) for f in fired]), y=np.full(len(fired), 0.98), yaxis="y9", mode="markers",
        name="an alert fires", hoverinfo="text", hovertext=[_told(f) for f in fired],
        marker={"symbol": "triangle-down", "size": 9},
    )  # fmt: skip


def availability_figure(observed: Observed, name: Theme) -> Any:
    """One row a backend, a line while it was reported up, crosses where down; None where nothing was reported."""
    found = by_backend("backend", [("up", "")])(observed)[:_ROWS_AT_MOST]
    if not found:
        return None
    go = theme.graph_objects()
    rows = [trace.name for trace in found][::-1]
    figure = _timeline(go, "Backends up and down", rows, observed, name)
    until = observed.last_time if observed.last_time is not None else math.nan
    x: dict[str, list[float]] = {"up": [], "down": []}
    y: dict[str, list[float]] = {"up": [], "down": []}
    for height, trace in enumerate(reversed(found)):
        reported = trace.curve.line
        states = ["up" if low > 0 else "down" for low in reported.low.tolist()]
        times = [*reported.time.tolist(), max(until, float(reported.time[-1]))]
        for place, state in enumerate(states):
            x[state] += [times[place], times[place + 1], math.nan]
            y[state] += [height, height, math.nan]
    for state, dash, symbol in (("up", "solid", "circle"), ("down", "dot", "x")):
        if x[state]:
            marker = {"symbol": symbol, "size": 8}
            line = {"width": 4, "dash": dash}
            figure.add_trace(go.Scatter(x=moments(x[state]), y=np.array(y[state]), name=state, mode="lines+markers",
                                        marker=marker, line=line, hoverinfo="x+name"))  # fmt: skip
    return figure


def rows_left_out(key: str, observed: Observed) -> str:
    """What a reader of one of the figures above must know: how many rows it leaves out; empty where none."""
    if key == "alerts":
        left = len({firing.alert for firing in firings(observed.alerts)}) - _ROWS_AT_MOST
        return f"The {_ROWS_AT_MOST} that fired last; {number(left)} more are in the store." if left > 0 else ""
    more = len(by_backend("backend", [("up", "")])(observed)) > _ROWS_AT_MOST
    return f"The first {_ROWS_AT_MOST}; the others are in the store." if more else ""


def _timeline(go: Any, title: str, rows: list[str], observed: Observed, name: Theme) -> Any:
    """An empty figure with a row for each name, over the time of the run."""
    begin = min((a.first_time for a in observed.amounts.values()), default=math.nan)
    x: dict[str, Any] = {"type": "date", "title": {"text": "Time (UTC)"}, **FEW_TICKS}
    last = observed.last_time
    if last is not None and last > begin:
        edge = 0.02 * (last - begin)
        x["range"] = [str(at) for at in moments([begin - edge, last + edge])]
    y = {"tickvals": list(range(len(rows))), "showticklabels": False, "ticks": "", "zeroline": False}
    y |= {"range": [-0.5, len(rows) - 0.3]}
    # The names stand in the rows: beside them they would take half of a narrow screen.
    names = [
        {"text": label(row, 40), "x": 0.01, "xref": "paper", "xanchor": "left", "y": height + 0.12, "yanchor": "bottom",
         "showarrow": False}
        for height, row in enumerate(rows)
    ]  # fmt: skip
    return go.Figure(layout={
        "template": theme.template(name), "title": title, "xaxis": x, "yaxis": y, "hovermode": "closest",
        "showlegend": True, "height": _ROW * len(rows) + _ABOVE_AND_BELOW, "annotations": names,
    })  # fmt: skip
