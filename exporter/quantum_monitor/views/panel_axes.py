"""The axes of panels: titles and units, where one is logarithmic, and what keeps small numbers and ticks legible."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from quantum_monitor.views.panel_series import Trace, moments, points
from quantum_monitor.views.panel_timelines import FEW_TICKS
from quantum_monitor.views.theme import label

if TYPE_CHECKING:
    from quantum_monitor.views.panels import Panel

LEGEND_LENGTH = 38
"""Characters of a name in a legend or above a row, on a phone too."""

_ZEROS_AT_MOST = 0.1
_DECADES_WITH_DIGITS, _POWERS_AT_MOST = 3, 6
_ROW, _ABOVE_AND_BELOW = 110, 90


def axes(panel: Panel, traces: list[Trace]) -> dict[str, Any]:
    """The layout of all axes of a panel that has these lines."""
    steps = [trace.curve.by_step for trace in traces]
    by_step = "Step" if all(steps) else "Step, or number of the value" if any(steps) else "Number of the value"
    x: dict[str, Any] = {"title": {"text": by_step}, "exponentformat": "none", "separatethousands": True}
    if panel.x == "time":
        x = {"title": {"text": "Time (UTC)"}, "type": "date", **FEW_TICKS} | _around_a_moment(traces)
    if panel.rows:
        return {"xaxis": x | {"anchor": traces[-1].axis}, **_rows(traces)}
    layout: dict[str, Any] = {"xaxis": x}
    sides = {trace.axis for trace in traces}
    titles = {"y": panel.y_title, "y2": panel.y2_title}
    for side in sides:
        axis: dict[str, Any] = {"title": {"text": titles[side]}}
        extent = _extent(trace for trace in traces if trace.axis == side)
        if panel.log and side == "y" and extent.has_decades:
            axis |= {"type": "log", "dtick": _tick(extent)}
        else:
            axis |= _around_a_constant(extent)
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


class _Extent(NamedTuple):
    """The finite values of lines: the least and the most, the least of those above 0, and the share of zeros."""

    least: float
    above_zero: float
    most: float
    zeros: float

    @property
    def has_decades(self) -> bool:
        """Whether a logarithmic axis shows more than it hides: nothing is negative, and at most a tenth is 0."""
        return self.least >= 0 and self.zeros <= _ZEROS_AT_MOST and self.most / self.above_zero >= 10


def _extent(traces: Iterable[Trace]) -> _Extent:
    found = np.concatenate([np.empty(0), *(points(trace)[1] for trace in traces)])
    found = found[np.isfinite(found)]
    if not len(found):
        return _Extent(math.nan, math.nan, math.nan, 1.0)
    above = float(found.min(where=found > 0, initial=math.inf))
    return _Extent(float(found.min()), above, float(found.max()), float((found == 0).mean()))


def _around_a_constant(extent: _Extent) -> dict[str, Any]:
    """Shows a constant half way between 0 and its double: in plotly's own range of 2 a small one looks like 0."""
    constant = {"rangemode": "tozero", "autorangeoptions": {"include": [2 * extent.most]}}
    return constant if extent.least == extent.most else {}


def is_logarithmic(panel: Panel, traces: Iterable[Trace]) -> bool:
    """Whether the left axis of a panel that has these lines is logarithmic."""
    return panel.log and _extent(trace for trace in traces if trace.axis == "y").has_decades


def _tick(extent: _Extent) -> str | int:
    """Each 1, 2 and 5 of a few decades, the powers of ten of more, about six of them where there are many."""
    decades = math.log10(extent.most) - math.log10(extent.above_zero)
    return "D2" if decades < _DECADES_WITH_DIGITS else math.ceil(decades / _POWERS_AT_MOST)


def _rows(traces: list[Trace]) -> dict[str, Any]:
    """An axis for each line, from the top downwards, its name above it."""
    share = 1 / len(traces)
    layout: dict[str, Any] = {"height": _ROW * len(traces) + _ABOVE_AND_BELOW, "showlegend": False, "annotations": []}
    for place, trace in enumerate(traces):
        top, name = 1 - place * share, label(trace.name, LEGEND_LENGTH)
        domain = [max(0.0, top - 0.68 * share), top - 0.08 * share]
        layout[f"yaxis{trace.axis[1:]}"] = {"domain": domain, "nticks": 4} | _around_a_constant(_extent([trace]))
        layout["annotations"].append(
            {"text": name, "x": 0, "xref": "paper", "xanchor": "left", "y": top - 0.08 * share,
             "yref": "paper", "yanchor": "bottom", "showarrow": False}
        )  # fmt: skip
    return layout
