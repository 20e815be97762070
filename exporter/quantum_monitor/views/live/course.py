"""The panels of a run on the page: drawn once, then only what is new is added to their lines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from quantum_monitor.views.observed import Amount, Observed
from quantum_monitor.views.panel_series import Merged, Trace, breaks
from quantum_monitor.views.panels import PANELS, Panel, panel_figure, panel_note, points
from quantum_monitor.views.theme import Theme
from quantum_monitor.views.words import number

_LATEST_AT_MOST = 4
_SECONDS_OF_TIMELINES = 10

Drawn = Mapping[str, Any]
"""What a page shows of a panel, as it sends it back: ``lines`` (key, span, number of spans of each) and ``marks``."""


@dataclass(frozen=True)
class Change:
    """What a page has to change in a panel.

    Attributes:
        key: of the panel.
        drawn: what the page shows of it afterwards.
        figure: to draw instead of the one before; None where points are added to that.
        added: what to add: trace number, x and y.
        latest: the latest values, each with its name.
        note: what a reader must know.
    """

    key: str
    drawn: Drawn
    figure: dict[str, Any] | None
    added: Sequence[tuple[int, list[Any], list[Any]]]
    latest: Sequence[tuple[str, str]]
    note: str


def changes(
    observed: Observed, drawn: Mapping[str, Drawn], theme: Theme, *, revision: str, goes_on: bool
) -> Iterator[Change]:
    """What a page that shows ``drawn`` has to change to show a run as it is by now, panel by panel.

    Args:
        observed: what the run amounts to.
        drawn: by panel, what earlier changes left there; empty for a page that shows nothing yet.
        theme: of the figures.
        revision: zoom and pan are kept from figure to figure of the same revision.
        goes_on: whether more may come: then the last span of a thinned line is held back until it is complete.
    """
    amounts = {id(amount.curve): amount for amount in observed.amounts.values() if amount.curve is not None}
    for panel in PANELS:
        before = drawn.get(panel.key)
        traces = panel.traces(observed)
        now = _now(panel, traces, observed, goes_on=goes_on)
        if now is None or now == before:
            continue
        added: list[tuple[int, list[Any], list[Any]]] = []
        figure = None
        if before is not None and _grows(before, now):
            pairs = zip(traces, before["lines"], now["lines"], strict=True)
            for place, (trace, (_, _, had), (_, _, has)) in enumerate(pairs):
                if has > had:
                    added.append((place, *_values(trace, had, has)))
        else:
            figure = panel_figure(panel, observed, theme)
            if figure is None:
                continue
            figure = dressed(figure, revision=f"{revision}/{panel.key}")
            for place, trace in enumerate(traces):
                # As lists: to arrays that travelled as binary numbers the browser adds no points.
                figure["data"][place] |= dict(zip("xy", _values(trace, 0, now["lines"][place][2]), strict=True))
        latest = [(trace.name, told) for trace in traces[:_LATEST_AT_MOST] if (told := _latest(trace, amounts))]
        yield Change(panel.key, now, figure, added, latest, panel_note(panel, observed))


def _now(panel: Panel, traces: Sequence[Trace], observed: Observed, *, goes_on: bool) -> Drawn | None:
    """What there is to show of a panel; None if nothing."""
    if panel.figure is not None:
        if not (observed.alerts_reported if panel.key == "alerts" else any(observed.of("backend", "up"))):
            return None
        reports = observed.alerts_reported + sum(amount.count for amount in observed.of("backend", "up"))
        return {"lines": [], "marks": [reports, int((observed.last_time or 0) // _SECONDS_OF_TIMELINES), goes_on]}
    if not traces:
        return None
    lines = [
        [trace.key, trace.curve.span if _appends(trace) else 0, _shown(trace, goes_on=goes_on)] for trace in traces
    ]
    # Drawn again when it has grown to the double, for markers and the kind of axis depend on how much there is.
    size = max(trace.curve.seen for trace in traces).bit_length()
    broken = sum(len(breaks(trace)) for trace in traces)
    alerts = observed.alerts_reported if panel.marks_alerts else 0
    return {"lines": lines, "marks": [size, broken, alerts, all(trace.curve.by_step for trace in traces), goes_on]}


def _grows(before: Drawn, now: Drawn) -> bool:
    """Whether all that is new are points at the ends of lines."""
    if before["marks"] != now["marks"] or not before["lines"] or len(before["lines"]) != len(now["lines"]):
        return False
    pairs = zip(before["lines"], now["lines"], strict=True)
    return all(old[:2] == new[:2] and (new[1] or old == new) and new[2] >= old[2] for old, new in pairs)


def _appends(trace: Trace) -> bool:
    """Whether its spans never change once they are complete; those of merged series may come in between."""
    return trace.curve.span <= trace.curve.seen


def _shown(trace: Trace, *, goes_on: bool) -> int:
    """How many of its spans are shown."""
    spans = len(trace.curve.line.x)
    return min(spans, trace.curve.seen // trace.curve.span) if goes_on and _appends(trace) else spans


def dressed(figure: Any, *, revision: str) -> dict[str, Any]:
    """A figure as the page shows it: its title gives way to that of the card, its width to the card's."""
    figure.layout.title = None
    figure.layout.width = None
    figure.layout.autosize = True
    figure.layout.uirevision = revision
    figure.update_xaxes(tickangle=0, nticks=4, selector={"type": "date"})
    if figure.layout.margin.t is None:
        figure.layout.margin = {"l": 56, "r": 16, "t": 36 if figure.layout.showlegend else 12, "b": 44}
    told: dict[str, Any] = figure.to_plotly_json()
    return told


def _values(trace: Trace, since: int, until: int) -> tuple[list[Any], list[Any]]:
    """The points of the spans from one number to another."""
    x, y = points(trace, since)
    spans = len(trace.curve.line.x) - since
    a_span = len(x) // spans if spans else 1
    x, y = x[: (until - since) * a_span], y[: (until - since) * a_span]
    told = np.datetime_as_string(x).tolist() if x.dtype.kind == "M" else x.tolist()
    return told, [value if math.isfinite(value) else None for value in y.tolist()]


def _latest(trace: Trace, amounts: Mapping[int, Amount]) -> str:
    """The latest value of a line as text; empty where that is not known."""
    curve = trace.curve
    if trace.how == "extremes":
        parts = curve.parts if isinstance(curve, Merged) else [curve]
        known = [amounts[id(part)] for part in parts if id(part) in amounts]
        if known:
            return number(max(known, key=lambda amount: amount.last_time).last)
    _, y = points(trace)
    return number(float(y[-1])) if len(y) else ""
