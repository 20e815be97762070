"""The head of the page: which run this is, how it stands, and the links to its views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import dcc, html

from quantum_monitor.views.live import address
from quantum_monitor.views.live.address import VIEWS, Address
from quantum_monitor.views.live.runs import Entry
from quantum_monitor.views.live.tiles import Tile
from quantum_monitor.views.observed import AlertReport
from quantum_monitor.views.words import moment


def of_run(entry: Entry, where: Address, tiles: Sequence[Tile], alerts: Sequence[AlertReport]) -> list[Any]:
    """The head of a run.

    Args:
        entry: the run.
        where: the address, which says the view that is shown.
        tiles: its numbers.
        alerts: those that fire.
    """
    status = html.Span(entry.status, className=f"status {entry.status}")
    started = "" if entry.start is None else f" · started {moment(entry.start)}"
    firing = ", ".join(f"{alert.alert} ({alert.severity})" for alert in alerts)
    return [
        back(),
        html.Div([html.H1(entry.name), status], className="named"),
        html.P([entry.experiment, f" · {entry.directory.name}", started], className="soft"),
        html.Div([_tile(tile) for tile in tiles], className="tiles"),
        html.P(f"Firing: {firing}", className="firing") if firing else None,
        html.Nav([_view(entry, view, where.view) for view in VIEWS], className="views",
                 **{"aria-label": "Views of the run"}),
    ]  # fmt: skip


def back() -> Any:
    """The link to the list, where a window is too narrow to show both."""
    return dcc.Link("All runs", href="?", className="back")


def problem(sentence: str) -> Any:
    """What went wrong."""
    return html.P(sentence, className="problem", role="alert")


def _view(entry: Entry, view: str, shown: str) -> Any:
    link = dcc.Link(VIEWS[view], href=address.of_run(entry.key, view), className="view")
    current: dict[str, str] = {"className": "current", "aria-current": "page"} if view == shown else {}
    return html.Span(link, **current)


def _tile(tile: Tile) -> Any:
    parts = [html.Span(tile.label, className="label"), html.Span(tile.value, className="value")]
    return html.Div([*parts, html.Span(tile.note, className="note")], className=f"tile {tile.kind}")
