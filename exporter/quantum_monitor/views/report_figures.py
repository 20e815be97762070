"""What a report draws: the course of the run, its last state, its circuits, its backends, figures of the user's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.parsers import expat

from quantum_monitor.extras import MissingExtraError
from quantum_monitor.faults import FAULTS
from quantum_monitor.store.artifacts import Artifact
from quantum_monitor.store.copying import open_regular
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.views import theme
from quantum_monitor.views.report_data import Facts
from quantum_monitor.views.report_model import Block, Chapter, Figure, Figures, Paragraph, Picture, Table, chapter
from quantum_monitor.views.words import moment, number

_SPANS_A_PANEL = 2_000
_PICTURES_AT_MOST = 12
_PROFILES_AT_MOST = 8
_PICTURE_LIMIT = 2**19
_DRAWING_LIMIT = 20_000


def why_not_drawn() -> str:
    """Why there can be no figures, in a sentence that says what brings them; empty where there can."""
    try:
        theme.graph_objects()
    except MissingExtraError as error:
        mend = str(error).partition(": ")[2]
        return (
            "Figures of every quantity over steps and time, of the last state and of your own are left out, for plotly "
            f"is not installed; {mend} adds them."
        )
    return ""


def panels(facts: Facts) -> Iterator[Figure]:
    """Every panel of which something was recorded."""
    from quantum_monitor.views.panels import PANELS, panel_figure, panel_note

    for panel in PANELS:
        drawn = panel_figure(panel, facts.observed, spans=_SPANS_A_PANEL)
        if drawn is not None:
            yield Figure(panel.title, drawn, panel_note(panel, facts.observed, spans=_SPANS_A_PANEL))


def course(facts: Facts) -> Chapter:
    """The panels."""
    return chapter("Course", *_guarded("The course of the run", lambda: [Figures(list(panels(facts)))]))


def last_state(run: StoredRun) -> Iterable[Block]:
    """The last state that was kept: its basis states, its qubits, and what they share."""

    def draw() -> Iterator[Block]:
        from quantum_monitor.views.visualization import QuantumVisualization

        for last in run.states()[-1:]:
            state, views = run.state(last.number), QuantumVisualization
            basis = views.plot_amplitudes if last.vector else views.plot_density_matrix
            drawn = {"Amplitudes" if last.vector else "Density matrix": basis, "Qubits": views.plot_bloch_sphere}
            if last.qubits > 1:
                drawn["Entanglement"] = views.plot_entanglement
            at = "the last state" if last.step is None else f"step {number(last.step)}"
            yield Figures([Figure(f"{what} at {at}", draw_one(state)) for what, draw_one in drawn.items()])

    return _guarded("The last state", draw)


def circuit_pictures(artifacts: Iterable[Artifact]) -> Iterator[Block]:
    """The drawings of the circuits that were logged, the latest of each name."""
    latest = {artifact.name: artifact for artifact in artifacts if artifact.kind == "circuit"}
    drawn = 0
    for name, artifact in reversed(latest.items()):
        svg, drawing = _svg(artifact.path / "circuit.svg"), _text(artifact.path / "circuit.txt", _DRAWING_LIMIT)
        if (svg or drawing) and drawn < _PICTURES_AT_MOST:
            drawn += 1
            yield Picture(f"Circuit {name}", svg, drawing)
    if len(latest) > drawn:
        yield Paragraph(f"{number(len(latest) - drawn)} more circuits are among the artifacts.", soft=True)


def hardware(run: StoredRun, facts: Facts, *, drawn: bool) -> Chapter:
    """What was measured of backends, the latest profile of each."""

    def draw() -> Iterator[Block]:
        from quantum_monitor.hardware import heavy_output_figure, profile_rows, stored_profiles

        latest = {profile.backend: profile for profile in stored_profiles(run.directory)}
        for backend, profile in list(latest.items())[-_PROFILES_AT_MOST:]:
            yield Paragraph(
                f"{backend}, measured {moment(profile.measured_at)}: {number(profile.circuits)} model circuits a width "
                f"of {number(profile.shots)} shots."
            )
            told = [(row.quantity, row.value, row.unit, row.source, row.confidence) for row in profile_rows(profile)]
            yield Table(("Quantity", "Value", "Unit", "Source", "How sure"), told, f"Profile of {backend}")
            figure = heavy_output_figure(profile) if drawn else None
            if figure is not None:
                yield Figures([Figure(f"Heavy outputs of {backend}", figure)])

    there = any(artifact.kind == "profile" for artifact in facts.artifacts)
    return chapter("Hardware profile", *_guarded("A hardware profile", draw) if there else ())


def own_figures(run: StoredRun) -> Chapter:
    """What functions of the user's own draw."""

    def draw() -> Iterator[Block]:
        from quantum_monitor.views import own

        drawn = list(own.figures(run))
        yield Figures([Figure(name, figure) for name, figure in drawn if not isinstance(figure, str)])
        for name, svg in drawn:
            if isinstance(svg, str):
                yield Picture(name, svg)

    return chapter("Figures of your own", *_guarded("A figure of your own", draw))


def _guarded(what: str, draw: Callable[[], Iterable[Block]]) -> Iterable[Block]:
    """What was drawn; where that fails, a sentence in its place, for the rest of the report is right all the same."""
    try:
        return list(draw())
    except Exception as error:  # noqa: BLE001 - files of a run may hold anything, and so may plotly raise anything
        FAULTS.rejected("report", f"{what} cannot be drawn: {type(error).__name__}: {error}")
        return [Paragraph(f"{what} cannot be drawn ({type(error).__name__}; the log says more).", soft=True)]


def _svg(path: Path) -> str:
    """A drawing as it was filed; empty where it is none that a browser would show."""
    svg = _text(path, _PICTURE_LIMIT)
    parser = expat.ParserCreate()
    roots: list[str] = []

    def begin(name: str, _attributes: Any) -> None:
        roots.append(name) if not roots else None

    def refuse(*_: Any) -> None:
        raise ValueError("a document type, which may define entities without end")

    parser.StartElementHandler = begin
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(svg.encode(), True)
    except (expat.ExpatError, ValueError):
        return ""
    return svg if roots == ["svg"] else ""


def _text(path: Path, limit: int) -> str:
    """What a file holds; empty where it is no file, or longer than ``limit`` bytes."""
    try:
        with os.fdopen(open_regular(path, follow=False), "rb") as stream:
            content = stream.read(limit + 1)
        return content.decode() if len(content) <= limit else ""
    except (OSError, ValueError):
        return ""
