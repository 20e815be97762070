"""The list of runs beside the page: search, status, pages, and which runs are picked for a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import dcc, html

from quantum_monitor.views.live import address
from quantum_monitor.views.live.runs import Entry, chosen, counts
from quantum_monitor.views.words import moment

A_PAGE = 50
_TAGS_AT_MOST = 3


def sidebar(folder: str) -> Any:
    """The list as it is before anything was read."""
    return html.Nav(
        [
            html.Div([html.Span("quantum-monitor", className="brand"), html.Span(folder, className="folder soft")]),
            html.Label("Search", htmlFor="search", className="hidden"),
            dcc.Input(id="search", type="search", value="", placeholder="Search name, tag, parameter", debounce=0.2,
                      autoComplete="off", maxLength=200, className="search"),
            html.Fieldset([
                html.Legend("Status", className="hidden"),
                dcc.RadioItems(id="status", options=statuses([]), value="all", className="statuses"),
            ]),
            html.Div(id="listed", className="listed"),
            html.Div([
                html.Button("Newer", id="newer", className="button"),
                html.Span(id="place", className="soft"),
                html.Button("Older", id="older", className="button"),
            ], id="pager", className="pager", hidden=True),
            html.Div(id="comparing", className="comparing"),
        ],
        className="side", **{"aria-label": "Runs"},
    )  # fmt: skip


def statuses(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The choices of a status, each with how many runs have it."""
    found = [("all", f"All {len(entries):,}")]
    found += [(status, f"{status.capitalize()} {count:,}") for status, count in counts(entries).items()]
    return [{"label": label, "value": status} for status, label in found]


def page_of(entries: Sequence[Entry], search: str, status: str, page: int) -> tuple[list[Entry], int, int]:
    """The entries of a page of what was asked for, which page that is, the last if there are fewer, and of how many."""
    found = chosen(entries, search, status)
    page = max(0, min(page, (len(found) - 1) // A_PAGE))
    return found[page * A_PAGE : (page + 1) * A_PAGE], page, len(found)


def rows(entries: Sequence[Entry], current: str, picked: Sequence[str]) -> Any:
    """The list itself."""
    return html.Ul([_row(entry, current=entry.key == current, picked=entry.key in picked) for entry in entries])


def nothing(entries: Sequence[Entry]) -> Any:
    """What stands in an empty list."""
    if entries:
        return html.P("No run matches. Shorten the search, or choose another status.", className="soft")
    return html.P("No run here yet.", className="soft")


def comparison(picked: Sequence[str], names: Sequence[str]) -> Any:
    """What can be done with the picked runs."""
    if not picked:
        return None
    if len(picked) == 1:
        return html.P(["1 run picked: pick another to compare them."], className="soft")
    many = len(picked) > address.COMPARED_AT_MOST
    told = f"Compare {min(len(picked), address.COMPARED_AT_MOST)} runs" + (" (the first picked)" if many else "")
    # Two are one against the other; of more, nobody but the person who looks knows which belong together.
    a, b = (picked[:1], picked[1:]) if len(picked) == 2 else (picked[: address.COMPARED_AT_MOST], ())
    link = dcc.Link(told, href=address.of_comparison(a, b), className="button strong")
    return [link, html.P(", ".join(names), className="soft names")]


def _row(entry: Entry, *, current: bool, picked: bool) -> Any:
    tags = " ".join(f"{name}={value}" for name, value in entry.tags[:_TAGS_AT_MOST])
    link = dcc.Link(
        [
            html.Span(entry.name, className="name"),
            html.Span(entry.experiment, className="soft experiment"),
            html.Span([
                html.Span(entry.status, className=f"status {entry.status}"),
                html.Span("" if entry.start is None else moment(entry.start).replace("T", " "), className="soft when"),
            ], className="line"),
            html.Span(tags, className="soft tags") if tags else None,
        ],
        href=address.of_run(entry.key), className="run current" if current else "run",
    )  # fmt: skip
    label = html.Span(f"Pick {entry.name} for a comparison", className="hidden")
    box = dcc.Checklist(id={"type": "pick", "run": entry.key}, options=[{"label": label, "value": "on"}],
                        value=["on"] if picked else [], className="pick")  # fmt: skip
    return html.Li([box, link], key=entry.key)
