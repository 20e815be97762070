"""The step at which each run reaches an aim; runs that never do keep a metric from being tested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from quantum_monitor.comparison.metrics import COURSES, Metric, kind_of, reached
from quantum_monitor.comparison.runs import Group, Member


def reach_aims(
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
        metric = reached(field)
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
