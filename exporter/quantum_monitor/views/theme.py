"""How every figure looks: colours that all people can tell apart, on light and on dark, and text that stays text."""

from __future__ import annotations

import html
import re
from functools import cache
from typing import Any, Literal, get_args

from quantum_monitor import masking
from quantum_monitor.extras import missing

Theme = Literal["light", "dark"]

SEQUENTIAL = "Cividis"
"""Colour scale of amounts: even in lightness, and the same to people who do not tell red from green."""

PHASES = "Twilight"
"""Colour scale of angles: it ends where it begins."""

_LONGEST = 60
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

# Okabe and Ito (2008), in an order that keeps neighbours apart; on dark the same hues, lighter. The last two are told
# from the first by the patterns that a figure gives its lines.
_COLOURS = {
    "light": ("#0072b2", "#d55e00", "#007a58", "#a8428a", "#8a6d00", "#2b7fa8", "#5b4b9a", "#555b61"),
    "dark": ("#56b4e9", "#ff9e4a", "#3fc79a", "#e69ac9", "#f0e442", "#9ad3f5", "#b8a9f0", "#c3c9d0"),
}
_PAGE = {"light": "#ffffff", "dark": "#14181d"}
_INK = {"light": "#1b1f24", "dark": "#e4e8ec"}
_GRID = {"light": "#e1e5ea", "dark": "#2c343d"}
_AXIS = {"light": "#8c959f", "dark": "#6b7684"}


def graph_objects() -> Any:
    """The module ``plotly.graph_objects``.

    Raises:
        MissingExtraError: plotly is not installed.
    """
    try:
        import plotly.graph_objects as go
    except ImportError as error:
        raise missing("views", "plotly", "Figures") from error
    return go


def label(value: object, longest: int = _LONGEST) -> str:
    """Any text as a figure shows it: plotly reads a subset of HTML in every text, so this escapes it.

    Cut at ``longest`` characters, secrets masked, control characters and marks of direction replaced.
    """
    told = _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", masking.text(str(value)))
    told = told if len(told) <= longest else f"{told[: longest - 1]}…"
    # A dollar sign at both ends would be read as TeX where a page has MathJax.
    return html.escape(told, quote=False).replace("$", "&#36;")


def ink(theme: Theme) -> str:
    """Colour of text and outlines."""
    return _INK[checked(theme)]


def paper(theme: Theme) -> str:
    """Colour of the page behind a figure."""
    return _PAGE[checked(theme)]


def checked(theme: str) -> Theme:
    """A theme that is one.

    Raises:
        ValueError: another word.
    """
    if theme not in get_args(Theme):
        raise ValueError(f"theme: {theme!r} is neither 'light' nor 'dark'")
    return theme  # type: ignore[return-value]  # told by the line above


@cache
def template(theme: Theme = "light") -> Any:
    """The plotly template of all figures: fonts, grid, order of colours.

    Raises:
        ValueError: a theme that is none.
        MissingExtraError: plotly is not installed.
    """
    page, ink_, grid, axis = (colours[checked(theme)] for colours in (_PAGE, _INK, _GRID, _AXIS))
    go = graph_objects()
    line: dict[str, object] = {"gridcolor": grid, "linecolor": axis, "zerolinecolor": axis, "tickcolor": axis}
    line |= {"ticks": "outside", "showline": True, "automargin": True, "exponentformat": "power"}
    line["title"] = {"standoff": 8}
    space = {"gridcolor": grid, "linecolor": axis, "zerolinecolor": axis, "backgroundcolor": page, "color": ink_}
    polar = {"bgcolor": page, "angularaxis": {"gridcolor": grid}, "radialaxis": {"gridcolor": grid}}
    return go.layout.Template(
        layout={
            "colorway": list(_COLOURS[theme]),
            "font": {"family": "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif", "size": 13, "color": ink_},
            "title": {"x": 0.0, "xref": "paper", "xanchor": "left", "font": {"size": 16}},
            "paper_bgcolor": page,
            "plot_bgcolor": page,
            "xaxis": line,
            "yaxis": line,
            "scene": {"xaxis": space, "yaxis": space, "zaxis": space},
            "polar": polar,
            "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
            "hovermode": "x unified",
            "hoverlabel": {"bgcolor": page, "bordercolor": axis, "font": {"color": ink_}},
            "margin": {"l": 60, "r": 20, "t": 60, "b": 50},
            "colorscale": {"sequential": SEQUENTIAL, "sequentialminus": SEQUENTIAL},
        }
    )
