"""Groups over the steps: where most runs of a group are, how far the groups are apart, and how sure that is."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from quantum_monitor.comparison.differences import FEWEST
from quantum_monitor.comparison.metrics import Metric, kind_of, over_steps
from quantum_monitor.comparison.runs import Extent, Group, Member
from quantum_monitor.store.reader import Numbers
from quantum_monitor.views.words import number

POINTS = 400
"""So many points a course has at most."""

_Counts = np.ndarray[tuple[int], np.dtype[np.int64]]
_Matrix = np.ndarray[tuple[int, int], np.dtype[np.float64]]


class Band(NamedTuple):
    """Where the runs of a group are; arrays as long as the steps, NaN where no run has a finite value.

    Attributes:
        median: over the runs.
        low: lower quartile; ``high`` the upper one.
        runs: runs that have a finite value there.
    """

    median: Numbers
    low: Numbers
    high: Numbers
    runs: _Counts


@dataclass(frozen=True)
class Course:
    """One field of both groups over the steps that all of their runs have.

    Attributes:
        field: the field's name.
        unit: of its values.
        by_step: whether ``step`` are steps; else they are numbers of values, from 0.
        step: the places, at most `POINTS`, in order.
        a: group A.
        b: group B.
        difference: mean of B minus mean of A.
        low: lower end of the confidence interval of the difference at each place by itself; ``high`` the upper end.
            NaN where a group has fewer than three finite values.
        runs: how many runs of A and of B have the field.
        paired: whether the differences are those within pairs.
    """

    field: str
    unit: str
    by_step: bool
    step: Numbers
    a: Band
    b: Band
    difference: Numbers
    low: Numbers
    high: Numbers
    runs: tuple[int, int]
    paired: bool


class _Grid(NamedTuple):
    """Where the runs are looked at: at places, or over the cells between edges."""

    begin: float
    end: float
    by_step: bool
    places: Numbers
    edges: Numbers | None


class _Points(NamedTuple):
    """A run's values by step, which rise."""

    step: Numbers
    value: Numbers


def course(
    field: str, a: Group, b: Group, pairs: Sequence[tuple[int, int]], *, confidence: float
) -> tuple[Course | None, tuple[Group, Group], Metric, list[str]]:
    """One field over the steps that all runs which have it share.

    Args:
        field: one of `COURSES`.
        a: group A.
        b: group B.
        pairs: places of the runs of A and B that belong together; empty where the groups are independent.
        confidence: of the intervals, between 0 and 1.

    Returns:
        The course, None where the groups share no step; the groups with the mean over those steps as a further value
        (of those runs that are finite all along); its metric; what is to be said about it.
    """
    metric = over_steps(field)
    with_it = [[m for m in side.members if field in m.extents] for side in (a, b)]
    if not all(with_it):
        return None, (a, b), metric, []
    grid = _grid(field, with_it[0] + with_it[1])
    if grid is None:
        return None, (a, b), metric, [f"{field}: the runs share no step"]
    rows: tuple[dict[int, Numbers], dict[int, Numbers]] = ({}, {})
    sides, broken = list[Group](), 0
    for side, found_rows in zip((a, b), rows, strict=True):
        members = list(side.members)
        for place, member in enumerate(members):
            if field in member.extents:
                found_rows[place], mean = _look(_points(member, field, by_step=grid.by_step), grid)
                broken += mean is None
                if mean is not None:
                    members[place] = replace(member, values={**member.values, metric.key: mean})
        sides.append(replace(side, members=tuple(members)))
    tables = [np.vstack(list(found_rows.values())) for found_rows in rows]
    both = [(rows[0][i], rows[1][j]) for i, j in pairs if i in rows[0] and j in rows[1]]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # places where no run is finite
        apart = _within_pairs(both, confidence) if pairs else _apart(tables[0], tables[1], confidence)
        found = Course(field, metric.unit, grid.by_step, grid.places, _band(tables[0]), _band(tables[1]),
                       *apart, (len(tables[0]), len(tables[1])), bool(pairs))  # fmt: skip
    extents = [member.extents[field] for member in with_it[0] + with_it[1]]
    said = _shortened(field, grid, extents)
    without = sum(not extent.by_step for extent in extents)
    if 0 < without < len(extents):
        told = f"{without} of {len(extents)} runs have no steps in order"
        said.append(f"{field}: {told}: all are compared by the number of the value")
    if broken:
        told = f"{broken} of {sum(map(len, rows))} runs have NaN or infinity on the way"
        said.append(f"{field}: {told}: they have no mean over the steps")
    return found, (sides[0], sides[1]), metric, said


def _grid(field: str, members: Sequence[Member]) -> _Grid | None:
    """The steps that all of these runs have in common; None if there are none."""
    extents = [member.extents[field] for member in members]
    by_step = all(extent.by_step for extent in extents)
    begin = max(extent.first for extent in extents) if by_step else 0.0
    end = min(extent.last if by_step else float(extent.values - 1) for extent in extents)
    if end < begin:
        return None
    if max(extent.values for extent in extents) <= POINTS:
        steps = [_points(member, field, by_step=by_step).step for member in members]
        places = np.unique(np.concatenate(steps))
        places = places[(places >= begin) & (places <= end)]
        if 0 < len(places) <= POINTS:
            return _Grid(begin, end, by_step, places, None)
    if begin == end:
        return _Grid(begin, end, by_step, np.array([begin]), None)
    edges = np.linspace(begin, end, POINTS + 1)
    return _Grid(begin, end, by_step, (edges[:-1] + edges[1:]) / 2, edges)


def _shortened(field: str, grid: _Grid, extents: Sequence[Extent]) -> list[str]:
    """What is to be said where a tenth or more of the longest reach of the runs is not compared."""
    first = min(extent.first for extent in extents) if grid.by_step else 0.0
    last = max(extent.last if grid.by_step else float(extent.values - 1) for extent in extents)
    if grid.end - grid.begin > 0.9 * (last - first) or last == first:
        return []
    word = "step" if grid.by_step else "value"
    ends = [number(place) for place in (grid.begin, grid.end, first, last)]
    told = f"compared from {word} {ends[0]} to {ends[1]}, where all runs are"
    return [f"{field}: {told}; the longest reach from {ends[2]} to {ends[3]}"]


def _points(member: Member, field: str, *, by_step: bool) -> _Points:
    """The values of a run; of several at one step the last."""
    _, step, value = member.run.series(field, kind=kind_of(field))
    count = member.extents[field].values  # a run that goes on may have more by now
    step, value = step[:count], value[:count]
    if not by_step:
        return _Points(np.arange(len(value), dtype=np.float64), value)
    last = np.append(step[1:] > step[:-1], True)
    return _Points(step[last], value[last])


def _look(points: _Points, grid: _Grid) -> tuple[Numbers, float | None]:
    """A run's values on the grid, NaN where it is not finite; its mean, None where it is not finite all along."""
    finite = np.isfinite(points.value)
    if not finite.any():
        return np.full(len(grid.places), np.nan), None
    step, value = points.step[finite], points.value[finite]
    bad = points.step[~finite]
    with np.errstate(over="ignore", invalid="ignore"):
        if grid.edges is None:
            row = np.interp(grid.places, step, value)
            right = np.searchsorted(points.step, grid.places).clip(0, len(finite) - 1)
            left = np.where(points.step[right] == grid.places, right, (right - 1).clip(0))
            row[~(finite[left] & finite[right])] = np.nan
        else:
            row = np.diff(_integral(step, value, grid.edges)) / np.diff(grid.edges)
            cells = np.searchsorted(grid.edges, bad[(bad >= grid.begin) & (bad <= grid.end)]) - 1
            row[cells.clip(0)] = np.nan
        if ((bad >= grid.begin) & (bad <= grid.end)).any():
            return row, None
        ends = np.array([grid.begin, grid.end])
        if grid.begin == grid.end:
            return row, float(row[0])
        mean = float(np.diff(_integral(step, value, ends))[0] / (grid.end - grid.begin))
    return row, mean if np.isfinite(mean) else None


def _integral(step: Numbers, value: Numbers, places: Numbers) -> Numbers:
    """The area below the straight lines through the points, up to each place."""
    areas = np.concatenate(([0.0], np.cumsum(np.diff(step) * (value[1:] / 2 + value[:-1] / 2))))
    before = (np.searchsorted(step, places, side="right") - 1).clip(0)
    there = np.interp(places, step, value)
    area: Numbers = areas[before] + (places - step[before]) * (value[before] / 2 + there / 2)
    return area


def _band(rows: _Matrix) -> Band:
    low, median, high = np.nanquantile(rows, (0.25, 0.5, 0.75), axis=0)
    return Band(median, low, high, np.isfinite(rows).sum(axis=0))


def _apart(a: _Matrix, b: _Matrix, confidence: float) -> tuple[Numbers, Numbers, Numbers]:
    """Difference of the means at each place, with Welch's interval."""
    counts = [np.isfinite(rows).sum(axis=0) for rows in (a, b)]
    shares = [np.nanvar(rows, axis=0, ddof=1) / n for rows, n in zip((a, b), counts, strict=True)]
    together = shares[0] + shares[1]
    freedom = together**2 / (shares[0] ** 2 / (counts[0] - 1) + shares[1] ** 2 / (counts[1] - 1))
    difference = np.nanmean(b, axis=0) - np.nanmean(a, axis=0)
    return _interval(difference, np.sqrt(together), freedom, np.minimum(*counts), confidence)


def _within_pairs(pairs: Sequence[tuple[Numbers, Numbers]], confidence: float) -> tuple[Numbers, Numbers, Numbers]:
    """Mean of the differences within pairs at each place, with Student's interval."""
    rows = np.vstack([other - one for one, other in pairs])
    count = np.isfinite(rows).sum(axis=0)
    deviation = np.sqrt(np.nanvar(rows, axis=0, ddof=1) / count)
    return _interval(np.nanmean(rows, axis=0), deviation, count - 1.0, count, confidence)


def _interval(
    difference: Numbers, error: Numbers, freedom: Numbers, runs: _Counts, confidence: float
) -> tuple[Numbers, Numbers, Numbers]:
    from scipy import stats

    reach = stats.t.ppf(0.5 + confidence / 2, freedom) * error
    reach = np.where(error == 0.0, 0.0, reach)  # all runs the same there, as at a common start
    reach[runs < FEWEST] = np.nan
    return difference, difference - reach, difference + reach
