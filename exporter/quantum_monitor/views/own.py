"""Figures of the user's own, drawn beside ours: guarded, so that one that fails spoils no view."""

from __future__ import annotations

import base64
import io
import sys
import textwrap
from collections.abc import Iterator
from typing import Any

from quantum_monitor import masking
from quantum_monitor.faults import FAULTS
from quantum_monitor.plugins import FIGURES, load_entry_points
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.views.theme import graph_objects, label, template

_SVG_AT_MOST = 2**21
_DOTS_PER_INCH = 150
_WRAPPED = 56


def figures(run: StoredRun) -> Iterator[tuple[str, Any]]:
    """What the functions registered with `quantum_monitor.figure` draw of a run.

    One that raises is counted, logged once per cause, and has a figure that says so in its place. It is called again
    for the next run.

    Yields:
        The name, and a plotly figure, or the source of an SVG drawing as a text where the function returned a
        matplotlib figure, which is closed then. A plotly figure of plotly's own template gets ours.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    graph_objects()
    load_entry_points()
    for plugin in tuple(FIGURES):
        try:
            drawn = _usable(plugin.function(run))
        except Exception as error:  # noqa: BLE001 - the user's code
            FAULTS.rejected(f"plugin:{plugin.name}", error)
            drawn = _sentence(f"This figure could not be drawn: {type(error).__name__}: {error}")
        if drawn is not None:
            yield plugin.name, drawn


def _usable(drawn: Any) -> Any:
    if drawn is None:
        return None
    from plotly.basedatatypes import BaseFigure

    if isinstance(drawn, BaseFigure):
        return _in_our_colours(drawn)
    matplotlib = sys.modules.get("matplotlib.figure")
    if matplotlib is not None and isinstance(drawn, matplotlib.Figure):
        return _as_svg(drawn)
    raise TypeError(f"returned {type(drawn).__name__}; return a plotly figure, a matplotlib figure or None")


def _in_our_colours(figure: Any) -> Any:
    import plotly.io

    ours = graph_objects().Figure(figure)  # a copy: the user may hold on to theirs
    usual = plotly.io.templates.default
    if ours.layout.template.layout.colorway is None or (usual and ours.layout.template == plotly.io.templates[usual]):
        ours.update_layout(template=template())
    return ours


def _as_svg(figure: Any) -> str:
    try:
        drawn = io.BytesIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
        if drawn.tell() <= _SVG_AT_MOST:
            return drawn.getvalue().decode()
        # Every point is an element of its own: as many as this are smaller as pixels.
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", dpi=_DOTS_PER_INCH)
        width, height = (round(inches * 72) for inches in figure.get_size_inches())
        pixels = base64.b64encode(drawn.getvalue()).decode()
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
            f'<image width="{width}" height="{height}" href="data:image/png;base64,{pixels}"/></svg>'
        )
    finally:
        pyplot = sys.modules.get("matplotlib.pyplot")
        if pyplot is not None:
            pyplot.close(figure)  # it would be kept for ever otherwise


def _sentence(told: str) -> Any:
    """A figure that is a sentence: the same in every view."""
    lines = textwrap.wrap(" ".join(masking.text(told).split())[:300], _WRAPPED)
    words = "<br>".join(label(line, _WRAPPED) for line in lines)
    note = {"text": words, "x": 0, "xref": "paper", "xanchor": "left", "align": "left", "showarrow": False}
    note |= {"y": 0.5, "yref": "paper", "yanchor": "middle"}
    hidden = {"visible": False}
    return graph_objects().Figure(layout={
        "template": template(), "annotations": [note], "xaxis": hidden, "yaxis": hidden, "height": 60 + 24 * len(lines),
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
    })  # fmt: skip
