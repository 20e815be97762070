"""What a run's records amount to: sums, extremes, thinned curves; in bounded memory, and followed while it goes."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from quantum_monitor.store.reader import Numbers, StoredRun, Table

Labels = tuple[tuple[str, str], ...]
"""Labels in the order of their names."""

ALERTS_AT_MOST = 200
SPANS_AT_MOST = 1_000
_SERIES_AT_MOST = {"custom": 2_000}
_SERIES_OF_OTHER_KINDS = 10_000
_CURVES_AT_MOST = {"custom": 100}
_CURVES_OF_OTHER_KINDS = 100
_ALERT_FIELDS = ("alert_value", "alert_threshold", "alert_firing")


class Line(NamedTuple):
    """A series thinned to spans of equally many values; arrays of one length.

    Attributes:
        x: where each span begins: the step, or the number of the value from 0 where steps are missing or go back.
        time: when each span begins, Unix time in seconds.
        low: the span's lowest finite value, infinity if it has none.
        high: the span's highest finite value, minus infinity if it has none.
        total: sum of the span's finite values.
        finite: how many finite values it has.
        broken: whether the span has a NaN or an infinite value.
    """

    x: Numbers
    time: Numbers
    low: Numbers
    high: Numbers
    total: Numbers
    finite: Numbers
    broken: np.ndarray[tuple[int], np.dtype[np.bool_]]


class Curve:
    """Thins a series as it comes in. Spans hold equally many values and pair up when they become too many.

    Attributes:
        by_step: whether ``line.x`` are steps.
        span: number of values in a span; only the last span may have fewer.
        seen: number of values so far.
    """

    def __init__(self, spans_at_most: int = SPANS_AT_MOST) -> None:
        self.by_step = True
        self.span = 1
        self.seen = 0
        self._spans_at_most = spans_at_most
        self._last_step = -math.inf
        self._steps = np.empty(0)
        self._rest = _line((np.empty(0),) * 6, np.empty(0, bool))

    @property
    def line(self) -> Line:
        """The series so far."""
        return self._rest._replace(x=self._steps) if self.by_step else self._rest

    @np.errstate(all="ignore")  # sums may overflow, and a process may have turned NumPy's warnings into errors
    def take(self, time: Numbers, step: Numbers, value: Numbers) -> None:
        """Take in the next values; at least one."""
        ordered = step[0] >= self._last_step and bool((step[1:] >= step[:-1]).all())  # False where a step is NaN
        self.by_step = self.by_step and ordered
        self._last_step = step[-1]
        finite = np.isfinite(value)
        added = Line(
            np.arange(self.seen, self.seen + len(value), dtype=np.float64),
            time,
            np.where(finite, value, math.inf),
            np.where(finite, value, -math.inf),
            np.where(finite, value, 0.0),
            finite.astype(np.float64),
            ~finite,
        )
        # The spans so far and the new values, each by the number of its first value.
        *numbers, broken = (np.concatenate(pair) for pair in zip(self._rest, added, strict=True))
        self._rest = _line(numbers, broken)
        self._steps = np.concatenate((self._steps, step))
        self.seen += len(value)
        while self.seen > self.span * self._spans_at_most:
            self.span *= 2
        if self.span > 1:
            self._join()

    def _join(self) -> None:
        number, time, low, high, total, count, broken = self._rest
        spans = number // self.span
        begins = np.flatnonzero(np.diff(spans, prepend=-1.0))
        self._steps = self._steps[begins]
        self._rest = Line(
            number[begins],
            time[begins],
            np.minimum.reduceat(low, begins),
            np.maximum.reduceat(high, begins),
            np.add.reduceat(total, begins),
            np.add.reduceat(count, begins),
            np.logical_or.reduceat(broken, begins),
        )


def _line(numbers: Sequence[Any], broken: Any) -> Line:
    x, time, low, high, total, finite = numbers
    return Line(x, time, low, high, total, finite, broken)


@dataclass
class Amount:
    """What one field amounts to under one kind and one set of labels.

    Attributes:
        field: the field's name.
        kind: the kind of its records.
        labels: their labels.
        count: number of values.
        finite: how many of them are neither NaN nor infinite; ``total``, ``mean`` and the extremes are of these.
        first: the first value, whatever it is.
        last: the last one.
        lowest: the lowest, and ``lowest_at`` its step.
        highest: the highest, and ``highest_at`` its step.
        first_time: Unix time of the first value in seconds; ``last_time`` of the last one.
        first_step: step of the first value, NaN if it had none; ``last_step`` of the last one.
        curve: the course of the values; None where there are too many series to draw.
    """

    field: str
    kind: str
    labels: Labels
    count: int = 0
    finite: int = 0
    total: float = 0.0
    mean: float = math.nan
    first: float = math.nan
    last: float = math.nan
    lowest: float = math.nan
    lowest_at: float = math.nan
    highest: float = math.nan
    highest_at: float = math.nan
    first_time: float = math.nan
    last_time: float = math.nan
    first_step: float = math.nan
    last_step: float = math.nan
    curve: Curve | None = None

    @np.errstate(all="ignore")
    def take(self, time: Numbers, step: Numbers, value: Numbers) -> None:
        """Take in the next values; at least one."""
        if not self.count:
            self.first, self.first_time, self.first_step = float(value[0]), float(time[0]), float(step[0])
        self.count += len(value)
        self.last, self.last_time, self.last_step = float(value[-1]), float(time[-1]), float(step[-1])
        if self.curve is not None:
            self.curve.take(time, step, value)
        finite = np.isfinite(value)
        if not finite.all():
            value, step = value[finite], step[finite]
        if len(value):
            self._take_finite(step, value)

    def _take_finite(self, step: Numbers, value: Numbers) -> None:
        lowest, highest = int(value.argmin()), int(value.argmax())
        if not value[lowest] >= self.lowest:
            self.lowest, self.lowest_at = float(value[lowest]), float(step[lowest])
        if not value[highest] <= self.highest:
            self.highest, self.highest_at = float(value[highest]), float(step[highest])
        # Divided first: a sum of large numbers overflows. Even so the rounded sum of the largest doubles may.
        mean = _between(float((value / len(value)).sum()), float(value[lowest]), float(value[highest]))
        self.finite += len(value)
        share = len(value) / self.finite
        mixed = mean if share == 1.0 else self.mean * (1.0 - share) + mean * share
        self.mean = _between(mixed, self.lowest, self.highest)
        self.total += float(value.sum())


class AlertReport(NamedTuple):
    """One report of an alert; ``step`` is that of the training at the time, None before the first."""

    time: float
    step: int | None
    alert: str
    severity: str
    value: float
    threshold: float
    firing: bool


@dataclass
class Observed:
    """What the records of a run amount to.

    Attributes:
        amounts: by kind, field and labels, in the order of their first appearance.
        records: number of records by kind and labels.
        alerts: the latest reports of alerts, oldest first.
        alerts_reported: how many there were.
        last_time: Unix time of the latest record in seconds; None without records.
        left_out: series that found no room in ``amounts``.
        cursor: sequence number of the last record taken in.
    """

    amounts: dict[tuple[str, str, Labels], Amount] = field(default_factory=dict)
    records: Counter[tuple[str, Labels]] = field(default_factory=Counter)
    alerts: deque[AlertReport] = field(default_factory=lambda: deque(maxlen=ALERTS_AT_MOST))
    alerts_reported: int = 0
    last_time: float | None = None
    left_out: set[int] = field(default_factory=set)
    cursor: int = 0
    _of_kind: Counter[str] = field(default_factory=Counter, repr=False)

    def follow(self, run: StoredRun) -> int:
        """Take in what was written since the last time, and return how many records that were.

        A million steps take about a second and some tens of megabytes. Not to be called from two threads at once.
        """
        before = sum(self.records.values()) + self.alerts_reported
        for tables in run.tables(after=self.cursor):
            self._take(tables)
        return sum(self.records.values()) + self.alerts_reported - before

    def of(self, kind: str, name: str | None = None) -> Iterator[Amount]:
        """The amounts of a kind, of one field or of all."""
        return (a for a in self.amounts.values() if a.kind == kind and name in {None, a.field})

    def one(self, kind: str, name: str) -> Amount | None:
        """The amount of a field that has no labels; None where it was never measured."""
        return self.amounts.get((kind, name, ()))

    def _take(self, tables: Iterable[Table]) -> None:
        """Take in the records of some batches: what one field has in tables of several shapes is one series."""
        parts: dict[tuple[str, str, Labels], list[tuple[Numbers, Numbers, Numbers, Numbers]]] = {}
        reports: list[tuple[float, AlertReport]] = []
        for table in tables:
            columns = np.ascontiguousarray(table.rows.T)
            sequence, time, step = columns[:3]
            self.cursor = max(self.cursor, int(sequence[-1]))
            self.last_time = max(float(time.max()), self.last_time if self.last_time is not None else -math.inf)
            if table.kind == "alert":
                reports += _alerts(table)
                continue
            labels = tuple(sorted(table.labels))
            self.records[table.kind, labels] += len(sequence)
            for name, value in zip(table.fields, columns[3:], strict=True):
                parts.setdefault((table.kind, name, labels), []).append((sequence, time, step, value))
        for key, pieces in parts.items():
            amount = self._amount(*key)
            if amount is not None:
                amount.take(*_in_order(pieces))
        reports.sort(key=lambda found: found[0])
        self.alerts_reported += len(reports)
        self.alerts.extend(report for _, report in reports)

    def _amount(self, kind: str, name: str, labels: Labels) -> Amount | None:
        """The place where a series is added up; None where there is room for no more."""
        key = (kind, name, labels)
        found = self.amounts.get(key)
        if found is None:
            if self._of_kind[kind] >= _SERIES_AT_MOST.get(kind, _SERIES_OF_OTHER_KINDS):
                self.left_out.add(hash(key))
                return None
            drawn = self._of_kind[kind] < _CURVES_AT_MOST.get(kind, _CURVES_OF_OTHER_KINDS)
            self._of_kind[kind] += 1
            found = self.amounts[key] = Amount(name, kind, labels, curve=Curve() if drawn else None)
        return found


def observe(run: StoredRun) -> Observed:
    """What the records of a run amount to by now."""
    observed = Observed()
    observed.follow(run)
    return observed


def _between(number: float, lowest: float, highest: float) -> float:
    return min(max(number, lowest), highest)


def _in_order(pieces: list[tuple[Numbers, Numbers, Numbers, Numbers]]) -> tuple[Numbers, Numbers, Numbers]:
    """Time, step and value in the order in which they were logged."""
    if len(pieces) == 1:
        return pieces[0][1:]
    sequence, time, step, value = (np.concatenate(columns) for columns in zip(*pieces, strict=True))
    order = sequence.argsort(kind="stable")
    return time[order], step[order], value[order]


def _alerts(table: Table) -> Iterator[tuple[float, AlertReport]]:
    """The reports of a table, each with its sequence number."""
    labels = dict(table.labels)
    alert, severity = labels.get("alert", ""), labels.get("severity", "")
    for sequence, time, step, *values in table.rows.tolist():
        known = dict(zip(table.fields, values, strict=True))
        value, threshold, firing = (known.get(name, math.nan) for name in _ALERT_FIELDS)
        number = int(step) if math.isfinite(step) else None
        yield sequence, AlertReport(time, number, alert, severity, value, threshold, firing > 0)
