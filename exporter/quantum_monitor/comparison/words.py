"""What a comparison says, in sentences."""

from __future__ import annotations

import math

from quantum_monitor.comparison.courses import Course
from quantum_monitor.comparison.differences import Sample
from quantum_monitor.comparison.result import Comparison, Difference
from quantum_monitor.views.words import number

TESTS = {
    "welch": "Welch",
    "mann-whitney": "Mann-Whitney",
    "paired-t": "paired t",
    "wilcoxon": "Wilcoxon",
}
_LEAST_P = 1e-4


def answer(comparison: Comparison) -> str:
    """Is B better than A: one or two sentences."""
    found: dict[str, list[str]] = {}
    for d in comparison.differences:
        found.setdefault(d.verdict, []).append(d.metric.key)
    said = [
        f"{verdict} in {_list(found[verdict])}"
        for verdict in ("better", "worse", "lower", "higher")
        if verdict in found
    ]
    open_ = len(found.get("not shown", ()))
    metrics = f"{open_} metric" if open_ == 1 else f"{open_} metrics"
    if said:
        rest = f" In {metrics} no difference was shown." if open_ else ""
        return f"B is {'; '.join(said)}.{rest}"
    if open_:
        return f"No difference was shown, in {metrics}."
    if any(d.outcome.needed for d in comparison.differences):
        return "Not enough runs to show anything."
    return "Nothing was tested." if comparison.differences else "The runs have no metric to compare."


def sentence(d: Difference, comparison: Comparison) -> str:
    """What is shown in one metric, and how."""
    outcome = d.outcome
    size = _short(abs(outcome.difference or 0.0))
    way, other = ("lower", "higher") if outcome.direction < 0 else ("higher", "lower")
    if outcome.p is None or d.adjusted is None:
        return f"{outcome.why}; B is {way} by {size}" if outcome.difference else outcome.why
    tests = f"Holm-adjusted over {comparison.tests}" if comparison.tests > 1 else "the only test"
    told = f"{p_value(d.adjusted)} ({TESTS[str(outcome.test)]}, {tests})"
    if d.verdict == "not shown":
        interval = _interval(outcome.low, outcome.high, comparison.confidence)
        return f"no difference was shown, {told}; B - A = {_short(outcome.difference)} ({interval})"
    judged = f", which is {d.verdict}" if d.verdict in {"better", "worse"} else ""
    if not outcome.difference:
        interval = _interval(outcome.low, outcome.high, comparison.confidence)
        return f"B is {way} more often than {other}{judged}, by 0 in the median ({interval}); {told}"
    low, high = outcome.low, outcome.high
    if way == "lower" and low is not None and high is not None:
        low, high = -high, -low
    return f"B is {way} by {size} ({_interval(low, high, comparison.confidence)}){judged}; {told}"


def change(d: Difference) -> str | None:
    """The difference with its interval; None where it is unknown."""
    outcome = d.outcome
    if outcome.difference is None:
        return None
    ends = "" if outcome.low is None else f" ({_short(outcome.low)} to {_short(outcome.high)})"
    return f"{_short(outcome.difference)}{ends}"


def effect(d: Difference) -> str:
    """The size of the effect; empty where there is none."""
    found = d.outcome.effect
    if found is None:
        return ""
    ends = f" ({found.low:.2f} to {found.high:.2f})" if found.low is not None and found.high is not None else ""
    return f"{found.name} = {found.value:.2f}{ends}"


def summary(values: Sample | None, *, ranks: bool) -> str:
    """A group in one metric: mean and standard deviation, or median and quartiles; one value as it is."""
    if values is None:
        return ""
    if values.runs == 1 or values.lowest == values.highest:
        return number(values.mean if values.runs == 1 else values.lowest)
    if ranks:
        return f"{_short(values.median)} ({_short(values.low_quartile)} to {_short(values.high_quartile)})"
    return f"{_short(values.mean)} ± {values.deviation:.2g}"


def by_ranks(d: Difference) -> bool:
    """Whether the groups are compared by ranks: then medians tell more of them than means."""
    return d.outcome.test in {"mann-whitney", "wilcoxon"}


def heading(side: str, comparison: Comparison) -> str:
    """A group: how many runs of what."""
    found = comparison.a if side == "A" else comparison.b
    runs = len(found.members)
    left = f", left out {found.reasons}" if found.left_out else ""
    return f"{side}: {found.name} ({runs} {'run' if runs == 1 else 'runs'}{left})"


def where(course: Course) -> str:
    """Over which steps a course goes, and of which runs."""
    word = "step" if course.by_step else "value"
    begin, end = (number(place) for place in (course.step[0], course.step[-1]))
    return f"{word}s {begin} to {end}, {course.runs[0]} runs of A and {course.runs[1]} of B"


def values_of(found: tuple[tuple[str | None, int], ...]) -> str:
    """The values of a parameter in a group, with how many runs have each where there are several."""
    told = [("absent" if value is None else value, count) for value, count in found[:_VALUES_AT_MOST]]
    more = f", {len(found) - len(told)} more" if len(found) > len(told) else ""
    if len(found) == 1:
        return told[0][0]
    return ", ".join(f"{value} ({count})" for value, count in told) + more


_VALUES_AT_MOST = 5


def _interval(low: float | None, high: float | None, confidence: float) -> str:
    return f"{100 * confidence:g} % CI {_short(low)} to {_short(high)}"


def p_value(p: float) -> str:
    """A p-value, to two digits."""
    return f"p < {_LEAST_P:g}" if p < _LEAST_P else f"p = {p:.2g}"


def _short(value: float | None) -> str:
    return "unknown" if value is None or math.isnan(value) else number(value, 4)


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
