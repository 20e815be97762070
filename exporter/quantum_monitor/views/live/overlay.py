"""Chosen runs side by side: their curves in common figures, their ends in a table, two groups tested."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from dash import dcc, html

from quantum_monitor.views import theme
from quantum_monitor.views.live import address, blocks
from quantum_monitor.views.live.course import dressed
from quantum_monitor.views.live.runs import Entry
from quantum_monitor.views.live.tiles import tiles
from quantum_monitor.views.observed import Observed
from quantum_monitor.views.panel_series import Trace
from quantum_monitor.views.panels import points
from quantum_monitor.views.theme import Theme, label

_CURVES = (
    ("Loss", "training", "loss"),
    ("Gradient norm", "training", "gradient_norm"),
    ("Fidelity", "state", "fidelity"),
)
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "5px,2px,1px,2px", "1px,3px")
_COLUMNS = ("Steps", "Loss", "Best loss", "Fidelity", "Duration")


class Compared(NamedTuple):
    """A run of a comparison: which, what it amounts to, and its group, ``A`` or ``B``."""

    entry: Entry
    observed: Observed
    group: str


def figures(runs: Sequence[Compared], name: Theme) -> list[tuple[str, dict[str, Any]]]:
    """Title and figure of each quantity that one of the runs has."""
    go = theme.graph_objects()
    grouped = any(run.group == "B" for run in runs)
    found = []
    for title, kind, field in _CURVES:
        figure = go.Figure(layout={"template": theme.template(name), "showlegend": True, "height": 380,
                                   "xaxis_title": "Step",
                                   "yaxis_title": title, "legend_font_size": 11})  # fmt: skip
        for place, run in enumerate(runs):
            amount = run.observed.one(kind, field)
            if amount is None or amount.curve is None:
                continue
            x, y = points(Trace(field, field, amount.curve))
            told = f"{run.group}: {run.entry.name}" if grouped else run.entry.name
            dash = _DASHES[place % len(_DASHES)]
            line = {"dash": dash, "width": 1.6}
            figure.add_trace(go.Scatter(x=x, y=y, mode="lines", name=label(told, 40), line=line))
        if figure.data:
            found.append((title, dressed(figure, revision=field)))
    return found


def table(runs: Sequence[Compared], now: float) -> Any:
    """What each run amounts to, and the links that move it to the other group or out."""
    keys = {group: [run.entry.key for run in runs if run.group == group] for group in ("A", "B")}
    rows = []
    for run in runs:
        values = {tile.label: tile.value for tile in tiles(run.entry, run.observed, now)}
        values["Duration"] = values.get("Duration") or values.get("Running for") or ""
        rows.append((
            dcc.Link(run.entry.name, href=address.of_run(run.entry.key)), run.group, run.entry.experiment,
            html.Span(run.entry.status, className=f"status {run.entry.status}"),
            *(values.get(column) for column in _COLUMNS), _moves(run, keys),
        ))  # fmt: skip
    columns = ("Run", "Group", "Experiment", "Status", *_COLUMNS, "Move")
    return blocks.table(columns, rows, "The runs that are compared")


def _moves(run: Compared, keys: Mapping[str, list[str]]) -> Any:
    other = "B" if run.group == "A" else "A"
    rest = {group: [key for key in found if key != run.entry.key] for group, found in keys.items()}
    to = {**rest, other: [*rest[other], run.entry.key]}
    links = [dcc.Link(f"to {other}", href=address.of_comparison(to["A"], to["B"]), title=f"Move to group {other}")]
    if any(rest.values()):
        links += [" ", dcc.Link("remove", href=address.of_comparison(rest["A"], rest["B"]))]
    return html.Span(links, className="moves")


def judged(runs: Sequence[Compared]) -> Any:
    """Whether group B is better than group A; how to make two groups where there is one."""
    a, b = ([run.entry.directory for run in runs if run.group == group] for group in ("A", "B"))
    title = html.H2("Is B better than A?")
    if not (a and b):
        told = "Move some of the runs to the other group to test whether B is better than A."
        return html.Section([title, blocks.sentence(told)])
    from quantum_monitor.comparison import compare_runs, words

    found = compare_runs(a, b)
    rows = [
        (
            d.metric.key, words.summary(d.a, ranks=words.by_ranks(d)), words.summary(d.b, ranks=words.by_ranks(d)),
            d.metric.unit, d.verdict, words.sentence(d, found), words.effect(d),
        )
        for d in found.differences
    ]  # fmt: skip
    columns = ("Metric", "A", "B", "Unit", "B is", "What is shown", "Effect")
    return html.Section([
        title,
        html.P(html.Strong(words.answer(found))),
        blocks.table(columns, rows, "Both groups, metric by metric") if rows else None,
        blocks.sentence(f"{found.pairing[:1].upper()}{found.pairing[1:]}."),
        *(blocks.sentence(note) for note in found.notes),
    ])  # fmt: skip
