"""A comparison as one self-contained HTML page."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from quantum_monitor.comparison import words
from quantum_monitor.comparison.result import Comparison
from quantum_monitor.extras import MissingExtraError
from quantum_monitor.views.pages import figure_box, interactive_page
from quantum_monitor.views.report_html import paragraph, section, table, text
from quantum_monitor.views.words import Cell

_RUNS_AT_MOST = 500
_SETTINGS_AT_MOST = 200


def html_page(comparison: Comparison) -> str:
    """What a comparison says, with figures where plotly is installed, else with one sentence on that."""
    try:
        drawn = _over_steps(comparison)
        figures = section("Over the steps", *drawn) if drawn else ""
    except MissingExtraError as error:
        figures = section("Over the steps", paragraph(f"{error}. The numbers are in --format json."))
    return interactive_page("Comparison of runs", [*_parts(comparison, figures)])


def _parts(comparison: Comparison, figures: str) -> Iterator[str]:
    groups = "\n".join(paragraph(words.heading(side, comparison)) for side in "AB")
    yield (
        f"<header>\n<h1>Comparison of runs</h1>\n<p><strong>{text(words.answer(comparison))}</strong></p>\n"
        f"{groups}\n{paragraph(_how(comparison), 'soft')}\n</header>"
    )
    yield section("Metrics", _metrics(comparison), paragraph(_KEY, "soft") if comparison.differences else "")
    yield section("What to keep in mind", *(paragraph(note) for note in comparison.notes))
    yield figures
    yield section("In words", _in_words(comparison))
    yield section("Parameters that differ", _settings(comparison))
    yield section("Every run", _runs(comparison))


_KEY = (
    "Mean and standard deviation; median and quartiles where ranks are compared. Differences are B - A. Intervals hold "
    "for each metric by itself, p-values are adjusted for all of them."
)


def _how(comparison: Comparison) -> str:
    tests = "1 test" if comparison.tests == 1 else f"{comparison.tests} tests"
    pairing = comparison.pairing[:1].upper() + comparison.pairing[1:]
    return f"{pairing}. {tests} at a level of {1 - comparison.confidence:.3g}, adjusted by Holm."


def _metrics(comparison: Comparison) -> str:
    rows: list[tuple[Cell, ...]] = [
        (
            d.metric.title,
            d.metric.unit,
            d.verdict,
            words.summary(d.a, ranks=words.by_ranks(d)) or None,
            words.summary(d.b, ranks=words.by_ranks(d)) or None,
            words.change(d),
            words.effect(d) or None,
            None if d.adjusted is None else words.p_value(d.adjusted).removeprefix("p ").removeprefix("= "),
        )
        for d in comparison.differences
    ]
    interval = f"B - A ({100 * comparison.confidence:g} % CI)"
    columns = ("Metric", "Unit", "B is", "A", "B", interval, "Effect", "Adjusted p")
    return table(columns, rows, label="Metrics of both groups")


def _in_words(comparison: Comparison) -> str:
    rows: list[tuple[Cell, ...]] = [
        (d.metric.title, words.sentence(d, comparison), d.outcome.why if d.outcome.p is not None else None)
        for d in comparison.differences
    ]
    return table(("Metric", "What is shown", "Why this test"), rows, label="What is shown, in words")


def _over_steps(comparison: Comparison) -> list[str]:
    from quantum_monitor.comparison.figures import difference_figure, groups_figure, quantity

    boxes = []
    for course in comparison.courses:
        name = quantity(course)
        note = f"Median of the runs, and the band between their quartiles; {words.where(course)}."
        boxes += ['<div class="figures wide">', figure_box(groups_figure(course), title=name, note=note)]
        apart = difference_figure(course)
        if apart is not None:
            within = " within pairs" if course.paired else ""
            sure = f"{100 * comparison.confidence:g} % interval of each step by itself"
            boxes.append(figure_box(apart, title=f"{name}: B - A", note=f"Difference of the means{within}, {sure}."))
        boxes.append("</div>")
    return ['<div class="figures">', *boxes, "</div>"] if boxes else []


def _settings(comparison: Comparison) -> str:
    rows = [
        (s.name, words.values_of(s.a), words.values_of(s.b), "also within a group" if s.mixed else "between the groups")
        for s in comparison.settings[:_SETTINGS_AT_MOST]
    ]
    more = len(comparison.settings) - len(rows)
    left = paragraph(f"{more} more differ; --format json has them all.") if more > 0 else ""
    return table(("Parameter", "A", "B", "Differs"), rows, label="Parameters that differ") + left


def _runs(comparison: Comparison) -> str:
    metrics = [d.metric for d in comparison.differences]
    sides = (("A", comparison.a), ("B", comparison.b))
    members = [(side, m) for side, group in sides for m in group.members]
    rows: list[tuple[Cell, ...]] = [
        (m.name, side, m.experiment, m.run_id[:8], m.status, m.seed, *(m.values.get(metric.key) for metric in metrics))
        for side, m in members[:_RUNS_AT_MOST]
    ]
    left_out = chain.from_iterable(((n, side, w) for n, w in group.left_out) for side, group in sides)
    columns = ("Run", "Group", "Experiment", "Id", "Status", "Seed", *(metric.title for metric in metrics))
    more = len(members) - len(rows)
    return (
        table(columns, rows, label="Every run that is compared")
        + (paragraph(f"{more} more are compared; --format json has them all.") if more > 0 else "")
        + table(("Left out", "Group", "Why"), list(left_out)[:_RUNS_AT_MOST], label="Runs that are left out")
    )
