"""Figures on the page: in the colours of its theme, in cards, with what a person may do with them."""

from __future__ import annotations

from typing import Any

from dash import dcc, html

from quantum_monitor.views.live.course import dressed
from quantum_monitor.views.theme import Theme, template

CONFIG = {"displaylogo": False, "responsive": True, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"]}
_HEIGHT = 300


def graph(key: Any, figure: dict[str, Any] | None, title: str) -> Any:
    """A figure in its box, as tall as it wants to be; ``key`` is what callbacks call it."""
    height = (figure or {}).get("layout", {}).get("height") or _HEIGHT
    drawn = dcc.Graph(id=key, figure=figure, config=CONFIG, responsive=True)
    style = {"flexBasis": f"{height}px"}
    return html.Div(drawn, role="figure", className="drawing", style=style, **{"aria-label": title})


def card(title: str, drawing: Any) -> Any:
    """A box with a heading and a drawing."""
    return html.Div([html.Div(html.H2(title), className="head"), drawing], className="card")


def themed(figure: Any, theme: Theme, *, revision: str) -> dict[str, Any]:
    """A figure that was drawn for light pages, as the page shows it; one with a template of its own keeps that."""
    if figure.layout.template.layout.colorway == template("light").layout.colorway:
        figure.layout.template = template(theme)
    return dressed(figure, revision=revision)
