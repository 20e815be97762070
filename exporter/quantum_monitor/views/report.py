"""The report of a run: one HTML page, or one Markdown text, that says what was recorded, and what was not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from quantum_monitor import masking
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.store.runfile import replacing
from quantum_monitor.views import report_figures as figures
from quantum_monitor.views import report_numbers as numbers
from quantum_monitor.views import report_sections as sections
from quantum_monitor.views.export import check_folder
from quantum_monitor.views.report_commands import go_on
from quantum_monitor.views.report_data import Facts, gather
from quantum_monitor.views.report_markdown import as_markdown
from quantum_monitor.views.report_model import Block, Chapter, Paragraph, Report
from quantum_monitor.views.report_page import as_page

FORMATS = ("html", "md")


def generate_report(
    run: StoredRun,
    path: str | Path | None = None,
    *,
    format: str = "html",  # noqa: A002 - the word users know
    include_visualizations: bool = True,
    status: str | None = None,
) -> Path:
    """Write the report of a run to a file, which takes its place only when it is complete.

    Everything comes from the run's directory, so the run may have been killed, or still be running. The page loads
    nothing and sends nothing. Values of parameters and tags whose names tell of a secret, and passwords in addresses,
    stand in it as ``(hidden)``.

    Args:
        run: the run.
        path: the file; ``report.html`` or ``report.md`` in the run's directory unless given.
        format: ``html``, or ``md`` for GitHub-flavoured Markdown.
        include_visualizations: whether an HTML report has figures, which takes the extra ``views`` (without it the
            report says so), and the drawings of circuits; Markdown has those as text. False gives a small page without
            scripts, with curves of loss, gradient norm and fidelity.
        status: what became of the run, where somebody knows better than its directory, which copied to another machine
            does not tell a killed run from one that goes on: ``completed``, ``failed``, ``stopped``, ``killed`` or
            ``running``.

    Returns:
        The path of the file.

    Raises:
        FileNotFoundError: the run is gone, or the folder does not exist.
        ValueError: another format, or the run's ``run.json`` is not JSON.
        sqlite3.DatabaseError: its records are damaged.
        OSError: the file cannot be written; one that was there before stays.
    """
    if format not in FORMATS:
        raise ValueError(f"format is {format!r}; it must be one of {', '.join(FORMATS)}")
    target = run.directory / f"report.{format}" if path is None else Path(path)
    if path is not None:
        check_folder(target)
    return _write(_as_text(run, format, status, plain=not include_visualizations), target)


def report(run: StoredRun, status: str | None = None) -> str:
    """The report as a page without scripts and figures; arguments and errors as of `generate_report`."""
    return _as_text(run, "html", status, plain=True)


def write_report(run: StoredRun, path: str | Path, status: str | None = None) -> Path:
    """Write the small report that goes with the end of a delivery; arguments and errors as of `generate_report`.

    It is made just before the run is closed at its tracker: a run that only waits for that counts as delivered.
    """
    return _write(_as_text(run, "html", status, plain=True, closing=True), Path(path))


def _write(content: str, target: Path) -> Path:
    with replacing(target) as stream:
        stream.write(content)
    return target


def _as_text(run: StoredRun, format_: str, status: str | None, *, plain: bool, closing: bool = False) -> str:
    facts = gather(run, status)
    facts = replace(facts, info=masking.values(facts.info))
    why_not = "" if plain or format_ == "md" else figures.why_not_drawn()
    drawn = not (plain or why_not or format_ == "md")
    chapters = list(_chapters(run, facts, drawn=drawn, pictured=not plain, closing=closing))
    if why_not:
        chapters[0] = _with(chapters[0], [Paragraph(why_not, soft=True)])
    whole = Report(sections.title(facts), sections.heading(facts), chapters)
    return as_markdown(whole) if format_ == "md" else as_page(whole, plain=plain)


def _chapters(run: StoredRun, facts: Facts, *, drawn: bool, pictured: bool, closing: bool) -> Iterator[Chapter]:
    yield figures.course(facts) if drawn else numbers.curves(facts)
    yield numbers.training(facts)
    yield _with(numbers.states(facts), figures.last_state(run) if drawn else ())
    yield _with(numbers.circuits(facts), figures.circuit_pictures(facts.artifacts) if pictured else ())
    yield numbers.costs(facts)
    yield numbers.backends(facts)
    yield figures.hardware(run, facts, drawn=drawn)
    if drawn:
        yield figures.own_figures(run)
    yield sections.alerts(facts)
    yield sections.parameters(facts)
    yield sections.tags(facts)
    yield numbers.metrics(facts)
    yield sections.artifacts(facts)
    yield sections.environment(facts)
    yield sections.gaps(facts)
    yield go_on(run, facts, closing=closing)


def _with(chapter: Chapter, more: Iterable[Block]) -> Chapter:
    return Chapter(chapter.title, (*chapter.blocks, *more))
