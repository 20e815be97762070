"""The views of a run that are tables and pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from dash import html

from quantum_monitor.store import artifacts
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.views import report_figures, report_numbers, report_sections
from quantum_monitor.views.live import blocks
from quantum_monitor.views.live.runs import Entry
from quantum_monitor.views.report_data import Facts
from quantum_monitor.views.theme import Theme

CIRCUIT = "/circuit"
_PICTURES_AT_MOST = 30


def alerts(facts: Facts, _: Entry, __: Theme) -> list[Any]:
    """What alerts reported."""
    return blocks.chapter(report_sections.alerts(facts))


def backends(facts: Facts, entry: Entry, theme: Theme) -> list[Any]:
    """Where circuits ran, what that took and cost, and what is known of the backends."""
    chapters = [make(facts) for make in (report_numbers.circuits, report_numbers.costs, report_numbers.backends)]
    chapters.append(report_figures.hardware(StoredRun(entry.directory), facts, drawn=True))
    found = [part for chapter in chapters for part in blocks.chapter(chapter, theme)]
    return found or [blocks.sentence("No circuit execution and no backend was logged.")]


def details(facts: Facts, _: Entry, __: Theme) -> list[Any]:
    """What the run was started with, what it ran on, and every metric."""
    makers: tuple[Callable[[Facts], Any], ...] = (
        report_sections.parameters, report_sections.tags, report_numbers.training, report_numbers.states,
        report_numbers.metrics, report_sections.artifacts, report_sections.environment, report_sections.gaps,
    )  # fmt: skip
    return [part for make in makers for part in blocks.chapter(make(facts))]


def circuits(facts: Facts, entry: Entry, _: Theme) -> list[Any]:
    """The circuits that were logged, the latest first, each as the picture that was drawn when it was."""
    drawn = [a for a in reversed(facts.artifacts) if a.kind == "circuit" and picture_of(a) is not None]
    if not drawn:
        return [blocks.sentence("No circuit was logged. log_circuit(circuit, name) keeps one.")]
    found = [html.Section([html.H2(a.name), _picture(a, entry)], key=str(a.number)) for a in drawn[:_PICTURES_AT_MOST]]
    left = len(drawn) - len(found)
    return [*found, *([blocks.sentence(f"{left:,} older ones are in the run's directory.")] if left else [])]


def _picture(artifact: artifacts.Artifact, entry: Entry) -> Any:
    source = f"{CIRCUIT}?{urlencode({'run': entry.key, 'number': artifact.number})}"
    told = f"Circuit {artifact.name}"
    image = html.Img(src=source, alt=told, className="picture")
    return html.Div(image, className="scroll", tabIndex="0", role="region", **{"aria-label": told})


def picture_of(artifact: artifacts.Artifact) -> Any:
    """The file with the drawing of a circuit; None where there is none."""
    file = artifact.path / "circuit.svg"
    return file if file.is_file() and not file.is_symlink() else None


TABLES: dict[str, Callable[[Facts, Entry, Theme], list[Any]]] = {
    "alerts": alerts,
    "backends": backends,
    "circuits": circuits,
    "details": details,
}
"""By view."""
