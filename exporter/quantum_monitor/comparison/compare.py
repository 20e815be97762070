"""Is run B better than run A: two groups of runs, compared at the end and over the steps."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from quantum_monitor.comparison.courses import Course, course
from quantum_monitor.comparison.differences import (
    FEWEST,
    TESTS,
    Outcome,
    Sample,
    Test,
    compare_groups,
    compare_pairs,
    holm,
    least_p,
    sample,
)
from quantum_monitor.comparison.metrics import COURSES, Metric, kind_of, over_steps, reached, wanted
from quantum_monitor.comparison.result import Comparison, Difference, Setting, Verdict
from quantum_monitor.comparison.runs import OTHER_STATUSES, Group, Member, Runs, flat_params, group

_SHOWN_AT_MOST = 5
_Result = tuple[Metric, Sample | None, Sample | None, Outcome]


def compare_runs(
    a: Runs,
    b: Runs,
    *,
    metrics: Collection[str] | None = None,
    confidence: float = 0.95,
    test: Test = "auto",
    include: Collection[str] = (),
    aims: Mapping[str, float] | None = None,
) -> Comparison:
    """Compare two groups of runs; signs are those of B minus A.

    Args:
        a: a run's directory, an experiment's or a storage folder, a run that was opened, or several of these;
            `select_runs` finds runs by name, parameter or tag.
        b: the runs to compare with them.
        metrics: keys, fields or patterns of those to compare (``final_loss``, ``fidelity``, ``custom:*``); the common
            ones unless given. The fewer, the more each can show.
        confidence: of the intervals, between 0.5 and 1; 1 minus it is the level of the tests.
        test: ``auto`` chooses as ``docs/comparison.md`` says; else ``welch``, ``mann-whitney`` or ``paired``.
        include: statuses that count beside completed and stopped runs: ``failed``, ``killed``, ``running``.
        aims: fields with a value to reach, such as ``{"loss": 0.01}``: compares the step at which each run got there.

    Raises:
        FileNotFoundError: there is no run at one of the places.
        ValueError: an argument that cannot be used, a group without runs to compare, or a run in both groups.

    Example:
        >>> print(compare_runs("runs/adam", "runs/spsa", metrics=["loss"]).to_text())  # doctest: +SKIP
    """
    _check(confidence, test, include)
    known: dict[str, Metric] = {}
    sides = (group(a, include, known), group(b, include, known))
    _check_groups(*sides)
    pairs, pairing = paired_by_seed(*sides, test)
    notes, courses = _notes(*sides), list[Course]()
    for field in COURSES:
        found, sides, metric, said = course(field, *sides, pairs, confidence=confidence)
        if any(side.values(metric) for side in sides):
            known[metric.key] = metric
        courses += [found] if found else []
        notes += said
    sides, aimed, biased = _reach_aims(aims or {}, *sides)
    chosen, more = wanted(known, metrics, aimed)
    notes += [more] if more else []
    if metrics is not None:
        courses = [c for c in courses if over_steps(c.field) in chosen]
    results: list[_Result] = []
    for metric in chosen:
        if metric.key in biased:
            outcome = Outcome(None, why=biased[metric.key])
        elif pairs:
            outcome = compare_pairs(*_in_pairs(metric, sides, pairs), confidence=confidence)
        else:
            outcome = compare_groups(*(side.values(metric) for side in sides), test=test, confidence=confidence)
        results.append((metric, sample(sides[0].values(metric)), sample(sides[1].values(metric)), outcome))
    judged, tests = _judged(results, 1.0 - confidence)
    notes += _on_metrics(judged, sides, tests, 1.0 - confidence)
    return Comparison(*sides, confidence, len(pairs), pairing, judged, tuple(courses), _settings(*sides), tests,
                      tuple(notes))  # fmt: skip


def _check(confidence: float, test: str, include: Collection[str]) -> None:
    if not 0.5 <= confidence < 1.0:
        raise ValueError(f"confidence: {confidence!r} is not between 0.5 and 1; 0.95 is usual")
    if test not in TESTS:
        raise ValueError(f"test: {test!r} is none; give one of {', '.join(TESTS)}")
    for status in include:
        if status not in OTHER_STATUSES:
            raise ValueError(f"include: {status!r} is no status; give some of {', '.join(OTHER_STATUSES)}")


def _check_groups(a: Group, b: Group) -> None:
    for name, side in (("A", a), ("B", b)):
        if not side.members:
            reasons = side.reasons or "none there"
            raise ValueError(
                f"{name} ({side.name}) holds no run that has ended well: {reasons}; include says otherwise"
            )
    ids = {m.run.directory.resolve() for m in a.members}
    common = [m.name for m in b.members if m.run.directory.resolve() in ids]
    if common:
        raise ValueError(f"{_some(common)}: in both groups; give each run to one of them")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN_AT_MOST]) + (", ..." if len(names) > _SHOWN_AT_MOST else "")


def paired_by_seed(a: Group, b: Group, test: Test) -> tuple[list[tuple[int, int]], str]:
    """The places of the runs in A and B that have the same seed, in order of the seeds; and why they are paired or not.

    Raises:
        ValueError: ``test`` is ``paired``, and no seeds match.
    """
    if test not in {"auto", "paired"}:
        return [], f"not paired: {test} was asked for"
    seeds = [[m.seed for m in side.members] for side in (a, b)]
    pairs = [
        (seeds[0].index(seed), seeds[1].index(seed))
        for seed in sorted({s for s in seeds[0] if s is not None} & {s for s in seeds[1] if s is not None})
        if seeds[0].count(seed) == seeds[1].count(seed) == 1
    ]
    larger = max(len(a.members), len(b.members))
    alone = ", ".join(f"{len(s.members) - len(pairs)} of {n}" for n, s in zip("AB", (a, b), strict=True)
                      if len(s.members) > len(pairs))  # fmt: skip
    left = f"; no partner, so in the columns A and B but in no test: {alone}" if alone else ""
    told = f"{len(pairs)} {'pair' if len(pairs) == 1 else 'pairs'} with the same seed"
    if test == "paired":
        if not pairs:
            raise ValueError(
                "test: 'paired' takes runs with the same parameter or tag 'seed' in A and B; there are none"
            )
        return pairs, f"{told}, as asked for{left}"
    if len(pairs) >= FEWEST and 2 * len(pairs) >= larger:
        return pairs, f"{told}{left}"
    if not pairs:
        return [], "not paired: there is no seed that one run of A and one of B has"
    return [], f"not paired: too few seeds match, {len(pairs)} of {larger}"


def _reach_aims(
    aims: Mapping[str, float], a: Group, b: Group
) -> tuple[tuple[Group, Group], list[Metric], dict[str, str]]:
    """The groups with the steps at which their runs reach aims, as further values.

    Args:
        aims: field to the value to reach: from above, of a fidelity from below.
        a: group A.
        b: group B.

    Returns:
        The groups; the metrics; by key of a metric, why a test of it would mislead.

    Raises:
        ValueError: a field that has no aim.
    """
    metrics, biased = list[Metric](), dict[str, str]()
    for field, aim in aims.items():
        if field not in COURSES:
            raise ValueError(f"aims: {field!r} has no aim; give some of {', '.join(COURSES)}")
        metric = reached(field, aim)
        a, b = (replace(side, members=tuple(_reach(m, field, aim, metric) for m in side.members)) for side in (a, b))
        metrics.append(metric)
        never = [(len(side.members) - len(side.values(metric)), len(side.members)) for side in (a, b)]
        if any(count for count, _ in never):
            told = ", ".join(f"{count} of {runs} in {name}" for name, (count, runs) in zip("AB", never, strict=True))
            biased[metric.key] = f"runs that never reached {aim:g} ({told}) have no step to compare"
    return (a, b), metrics, biased


def _reach(member: Member, field: str, aim: float, metric: Metric) -> Member:
    """The run with the step at which it was at the aim for the first time; the number of the value without steps."""
    extent = member.extents.get(field)
    if extent is None:
        return member
    _, step, value = member.run.series(field, kind=kind_of(field))
    there = np.flatnonzero(value >= aim if field == "fidelity" else value <= aim)
    if not len(there):
        return member
    at = float(step[there[0]]) if extent.by_step else float(there[0])
    return replace(member, values={**member.values, metric.key: at})


def _in_pairs(
    metric: Metric, sides: tuple[Group, Group], pairs: Sequence[tuple[int, int]]
) -> tuple[list[float], list[float]]:
    """The values of A and of B, of those pairs of which both have one."""
    both = [
        tuple(side.members[place].values.get(metric.key) for side, place in zip(sides, pair, strict=True))
        for pair in pairs
    ]
    known = [(x, y) for x, y in both if x is not None and y is not None]
    return [x for x, _ in known], [y for _, y in known]


def _judged(results: Sequence[_Result], level: float) -> tuple[tuple[Difference, ...], int]:
    """The results with what they show once their p-values are adjusted; and how many those are."""
    adjusted = iter(holm([outcome.p for *_, outcome in results if outcome.p is not None]))
    judged = []
    for metric, a, b, outcome in results:
        p = None if outcome.p is None else next(adjusted)
        judged.append(Difference(metric, a, b, outcome, p, _verdict(metric, outcome, p, level)))
    return tuple(judged), sum(outcome.p is not None for *_, outcome in results)


def _verdict(metric: Metric, outcome: Outcome, p: float | None, level: float) -> Verdict:
    if p is None:
        return "not tested"
    if p > level or not outcome.direction:
        return "not shown"
    way: Literal["lower", "higher"] = "lower" if outcome.direction < 0 else "higher"
    if metric.better is None:
        return way
    return "better" if way == metric.better else "worse"


def _notes(a: Group, b: Group) -> list[str]:
    """What is to be said about the choice of runs."""
    said = []
    for name, side in (("A", a), ("B", b)):
        odd = Counter(m.status for m in side.members if m.status != "completed")
        if odd:
            told = ", ".join(f"{count} {status}" for status, count in odd.items())
            said.append(
                f"{name}: counts {told} of {len(side.members)} runs as they are, which did not run to their end"
            )
    return said


def _on_metrics(judged: Sequence[Difference], sides: tuple[Group, Group], tests: int, level: float) -> list[str]:
    """What is to be said about the values: missing and broken ones, and tests that cannot show anything."""
    keys: dict[str, list[str]] = {}
    for d in judged:
        for name, side, found in zip("AB", sides, (d.a, d.b), strict=True):
            count, all_of_them = found.runs if found else 0, len(side.members)
            if count < all_of_them:
                told = f"{all_of_them - count} of {all_of_them} runs of {name} do not have it"
                keys.setdefault(told, []).append(d.metric.key)
            broken = sum(d.metric.key in m.broken for m in side.members)
            if broken:
                told = f"{broken} of {all_of_them} runs of {name} end in NaN or infinity; the last finite value counts"
                keys.setdefault(told, []).append(d.metric.key)
    said = [f"{_some(metrics)}: {told}" for told, metrics in keys.items()]
    least = [least_p(d.outcome, d.a.runs, d.b.runs) for d in judged if d.outcome.p is not None and d.a and d.b]
    if any(p * tests > level for p in least):
        told = "With so few runs some rank tests cannot show a difference"
        said.append(f"{told} among {tests} tests: name fewer metrics, or add runs")
    alone = [d.metric.key for d in judged if d.verdict == "not shown" and d.outcome.p is not None
             and d.outcome.p <= level < (d.adjusted or 0.0)]  # fmt: skip
    if alone:
        said.append(
            f"{_some(alone)}: p is at most {level:.3g} before the adjustment over {tests} metrics and above it after; "
            "a question decided before looking at the results can be asked alone, with --metric NAME "
            "(metrics=[...] in Python)"
        )
    return said


def _settings(a: Group, b: Group) -> tuple[Setting, ...]:
    """The parameters that are not the same in all runs, in the order of their first appearance; without the seed."""
    given = [[flat_params(m.info) for m in side.members] for side in (a, b)]
    found = []
    for name in dict.fromkeys(name for params in (*given[0], *given[1]) for name in params):
        values = [Counter(params.get(name) for params in side).most_common() for side in given]
        if name != "seed" and len({value for side in values for value, _ in side}) > 1:
            found.append(Setting(name, tuple(values[0]), tuple(values[1])))
    return tuple(found)
