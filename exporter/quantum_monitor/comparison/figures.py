"""The figures of a comparison: both groups over the steps, and how far they are apart."""

from __future__ import annotations

from typing import Any

import numpy as np

from quantum_monitor.comparison.courses import Course
from quantum_monitor.store.reader import Numbers
from quantum_monitor.views import theme
from quantum_monitor.views.theme import Theme

_BAND = 0.22


def groups_figure(course: Course, colours: Theme = "light") -> Any:
    """Median and quartile band of each group over the steps, as a plotly figure.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    go = theme.graph_objects()
    template = theme.template(colours)
    figure = go.Figure(layout={"template": template})
    for name, band, place, dash in (("A", course.a, 0, "solid"), ("B", course.b, 1, "dash")):
        colour = template.layout.colorway[place]
        figure.add_trace(_area(go, course.step, band.low, band.high, colour))
        line = {"color": colour, "dash": dash, "width": 2}
        figure.add_trace(_line(go, course.step, band.median, f"{name}, median", line))
    every = np.concatenate((course.a.low, course.a.high, course.b.low, course.b.high))
    every = every[np.isfinite(every)]
    scale = course.field == "gradient_norm" and len(every) and every.min() > 0 and every.max() > 10 * every.min()
    figure.update_yaxes(title=_quantity(course), type="log" if scale else "linear")
    figure.update_xaxes(title=_axis(course))
    return figure


def difference_figure(course: Course, colours: Theme = "light") -> Any:
    """Difference of the means over the steps with its interval, as a plotly figure; None where there is no interval.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    if not np.isfinite(course.low).any():
        return None
    go = theme.graph_objects()
    template = theme.template(colours)
    colour = template.layout.colorway[2]
    figure = go.Figure(layout={"template": template})
    figure.add_trace(_area(go, course.step, course.low, course.high, colour))
    figure.add_trace(_line(go, course.step, course.difference, "B - A", {"color": colour, "width": 2}))
    figure.add_hline(y=0, line={"color": theme.ink(colours), "width": 1, "dash": "dot"})
    figure.update_yaxes(title=f"B - A, {_quantity(course)}")
    figure.update_xaxes(title=_axis(course))
    figure.update_layout(showlegend=False)
    return figure


def _line(go: Any, x: Numbers, y: Numbers, name: str, line: dict[str, Any]) -> Any:
    mode = "lines" if len(x) > 1 else "markers"
    return go.Scatter(x=x, y=y, mode=mode, name=name, line=line, marker={"color": line["color"], "size": 9})


def _area(go: Any, x: Numbers, low: Numbers, high: Numbers, colour: str) -> Any:
    """The area between two lines; one polygon for each stretch that has both."""
    there = np.isfinite(low) & np.isfinite(high)
    begins = np.flatnonzero(there & ~np.append(False, there[:-1]))
    ends = np.flatnonzero(there & ~np.append(there[1:], False)) + 1
    gap = [np.nan]
    xs = [np.concatenate((x[i:j], x[i:j][::-1], x[i : i + 1], gap)) for i, j in zip(begins, ends, strict=True)]
    ys = [np.concatenate((low[i:j], high[i:j][::-1], low[i : i + 1], gap)) for i, j in zip(begins, ends, strict=True)]
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return go.Scatter(
        x=np.concatenate(xs) if xs else [],
        y=np.concatenate(ys) if ys else [],
        fill="toself",
        fillcolor=f"rgba({red}, {green}, {blue}, {_BAND})",
        line={"width": 1, "color": f"rgba({red}, {green}, {blue}, {2 * _BAND})"},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
    )


def quantity(course: Course) -> str:
    """What is drawn, for people."""
    return course.field.replace("_", " ").capitalize()


def _quantity(course: Course) -> str:
    return f"{quantity(course)} ({course.unit})" if course.unit else quantity(course)


def _axis(course: Course) -> str:
    return "Step" if course.by_step else "Number of the value"
