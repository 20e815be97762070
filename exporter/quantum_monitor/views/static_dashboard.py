"""The static dashboard: a run at one look, in one file that needs and loads nothing else."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

from quantum_monitor import masking
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.store.runfile import replacing
from quantum_monitor.views import own, report_numbers, report_sections
from quantum_monitor.views.dashboard_picture import Cell, picture
from quantum_monitor.views.panel_timelines import firings
from quantum_monitor.views.report_data import Facts, gather
from quantum_monitor.views.report_figures import circuit_pictures, last_state, own_figures, panels
from quantum_monitor.views.report_model import Chapter, Figures, Heading, Pairs, Paragraph, Report, chapter
from quantum_monitor.views.report_page import as_page
from quantum_monitor.views.theme import graph_objects
from quantum_monitor.views.words import Cell as Told
from quantum_monitor.views.words import Exact, number

Format = Literal["html", "png", "svg"]

_NAMES_AT_MOST = 5
_SUMS_AT_MOST = 6


def static_dashboard(
    run: StoredRun,
    path: str | os.PathLike[str],
    format: Format = "html",  # noqa: A002 - the facade's word
    *,
    status: str | None = None,
) -> Path:
    """Write everything there is to see of a run to one file, which takes its place only when it is complete.

    Everything comes from the run's directory, so the run may have been killed, or still be running. Ten thousand steps
    take about a second as HTML, and a few more as an image.

    Args:
        run: the run.
        path: the file; its folder must exist.
        format: ``html``: a page with figures to look into, readable on a phone and on paper, light or dark as the
            reader's system is. ``png``, ``svg``: the figures as one picture.
        status: what became of the run, where somebody knows better than its directory.

    Returns:
        The path of the file.

    Raises:
        ValueError: another format, or its ``run.json`` is not JSON.
        MissingExtraError: plotly is not installed, or for an image kaleido.
        ImageError: there is no browser that could draw an image; HTML works without.
        FileNotFoundError: the run is gone, or the folder does not exist.
        OSError: the file cannot be written.
    """
    if format not in get_args(Format):
        raise ValueError(f"format: {format!r} is none of {', '.join(get_args(Format))}")
    graph_objects()
    facts = gather(run, status)
    facts = replace(facts, info=masking.values(facts.info))
    content = _page(run, facts) if format == "html" else picture(_heading(facts), _cells(run, facts), format)
    target = Path(path)
    with replacing(target) as stream:
        stream.buffer.write(content)
    return target


def _page(run: StoredRun, facts: Facts) -> bytes:
    chapters = [
        _course(facts),
        Chapter("State", tuple(last_state(run))),
        own_figures(run),
        chapter("Circuits", *circuit_pictures(facts.artifacts)),
        *([report_sections.alerts(facts)] if facts.observed.alerts_reported else []),
        report_numbers.backends(facts),
        report_sections.gaps(facts),
    ]
    page = as_page(Report(report_sections.title(facts), _heading(facts), chapters), plain=False)
    return page.encode("utf-8", "backslashreplace")


def _course(facts: Facts) -> Chapter:
    drawn = list(panels(facts))
    return chapter("Course", Figures(drawn) if drawn else Paragraph("Nothing was recorded that could be drawn."))


def _cells(run: StoredRun, facts: Facts) -> Iterator[Cell]:
    """What the picture holds."""
    for panel in panels(facts):
        yield Cell(panel.title, panel.figure)
    for block in last_state(run):
        if isinstance(block, Figures):
            for figure in block.figures:
                yield Cell(figure.title, figure.figure)
    for name, drawn in own.figures(run):
        yield Cell(name, drawn)


def _heading(facts: Facts) -> Heading:
    """Which run this is, and the numbers that people ask for first."""
    told = report_sections.heading(facts)
    return replace(told, facts=Pairs({**told.facts.entries, **_key_numbers(facts)}))


def _key_numbers(facts: Facts) -> dict[str, Told]:
    observed = facts.observed
    entries: dict[str, Told] = {}
    loss = observed.one("training", "loss")
    if loss is not None:
        entries |= {"Steps": loss.count, "Last loss": loss.last}
        if loss.finite:
            at = f" (step {number(loss.lowest_at)})" if math.isfinite(loss.lowest_at) else ""
            entries[f"Best loss{at}"] = loss.lowest
    fidelity = observed.one("state", "fidelity")
    if fidelity is not None:
        entries["Last fidelity"] = fidelity.last
    executions = sum(n for (kind, labels), n in observed.records.items() if kind == "circuit" and _has_status(labels))
    entries["Executions"] = executions or None
    entries |= _costs(facts)
    firing = [firing.alert for firing in firings(observed.alerts) if firing.end is None]
    if firing:
        more = f" and {len(firing) - _NAMES_AT_MOST} more" if len(firing) > _NAMES_AT_MOST else ""
        entries["Alerts that fire"] = ", ".join(firing[:_NAMES_AT_MOST]) + more
    elif observed.alerts_reported:
        entries["Alerts that fire"] = "none any more"
    return entries


def _has_status(labels: Any) -> bool:
    return any(name == "status" for name, _ in labels)


def _costs(facts: Facts) -> dict[str, Told]:
    spent: dict[str, float] = {}
    for amount in facts.observed.of("circuit", "cost"):
        known = dict(amount.labels)
        money = f"Cost, {known.get('currency', 'unknown')} {known.get('cost_kind', 'unknown')}"
        spent[money] = spent.get(money, 0.0) + amount.total
    return {money: Exact(total) for money, total in list(spent.items())[:_SUMS_AT_MOST]}
