"""What a report says, from one pass over a run's records in bounded memory."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from quantum_monitor.record import Record
from quantum_monitor.store import artifacts
from quantum_monitor.store.artifacts import Artifact
from quantum_monitor.store.reader import Numbers, StoredRun

Labels = tuple[tuple[str, str], ...]
"""Labels in the order of their names."""

ALERTS_AT_MOST = 200
_CURVES = {("training", "loss"), ("training", "gradient_norm"), ("state", "fidelity")}
_SPANS_AT_MOST = 400
_NUMBERS_AT_ONCE = 200_000
_SERIES_AT_MOST = {"custom": 2_000}
_SERIES_OF_OTHER_KINDS = 10_000


class Line(NamedTuple):
    """A series thinned to some hundred spans; arrays of one length.

    Attributes:
        x: where each span begins: the step, or the number of the value where steps are missing or go back.
        low: the span's lowest finite value, infinity if it has none.
        high: the span's highest finite value, minus infinity if it has none.
        broken: whether the span has a NaN or an infinite value.
    """

    x: Numbers
    low: Numbers
    high: Numbers
    broken: np.ndarray[tuple[int], np.dtype[np.bool_]]


class Curve:
    """Thins a series as it comes in. Spans hold equally many values and pair up when they become too many.

    Attributes:
        line: the series so far.
        by_step: whether ``line.x`` are steps.
    """

    def __init__(self) -> None:
        self._span = 1
        self._seen = 0
        self._last_step = -math.inf
        self.by_step = True
        self._steps = np.empty(0)
        self._rest = Line(np.empty(0), np.empty(0), np.empty(0), np.empty(0, bool))

    @property
    def line(self) -> Line:
        """The series so far."""
        return self._rest._replace(x=self._steps) if self.by_step else self._rest

    def take(self, step: Numbers, value: Numbers) -> None:
        """Take in the next values; at least one."""
        ordered = step[0] >= self._last_step and bool((np.diff(step) >= 0).all())  # False where a step is NaN
        self.by_step = self.by_step and ordered
        self._last_step = step[-1]
        number = self._seen + np.arange(len(value), dtype=np.float64)
        finite = np.isfinite(value)
        self._steps = np.concatenate((self._steps, step))
        added = (number, np.where(finite, value, math.inf), np.where(finite, value, -math.inf), ~finite)
        # The spans so far and the new values, each by the number of its first value.
        self._rest = Line(*(np.concatenate(pair) for pair in zip(self._rest, added, strict=True)))
        self._seen += len(value)
        while self._seen > self._span * _SPANS_AT_MOST:
            self._span *= 2
        self._join()

    def _join(self) -> None:
        spans = self._rest.x // self._span
        begins = np.flatnonzero(np.diff(spans, prepend=-1.0))
        x, low, high, broken = self._rest
        self._steps = self._steps[begins]
        self._rest = Line(
            x[begins],
            np.minimum.reduceat(low, begins),
            np.maximum.reduceat(high, begins),
            np.logical_or.reduceat(broken, begins),
        )


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
        curve: the course of the values, of those fields that are drawn.
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

    def take(self, time: Numbers, step: Numbers, value: Numbers) -> None:
        """Take in the next values; at least one."""
        if not self.count:
            self.first, self.first_time, self.first_step = float(value[0]), float(time[0]), float(step[0])
        self.count += len(value)
        self.last, self.last_time, self.last_step = float(value[-1]), float(time[-1]), float(step[-1])
        if self.curve is not None:
            self.curve.take(step, value)
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
        mean = float((value / len(value)).sum())  # divided first: a sum of large numbers overflows
        self.finite += len(value)
        share = len(value) / self.finite
        self.mean = mean if share == 1.0 else self.mean * (1.0 - share) + mean * share
        with np.errstate(over="ignore"):
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
    """

    amounts: dict[tuple[str, str, Labels], Amount] = field(default_factory=dict)
    records: Counter[tuple[str, Labels]] = field(default_factory=Counter)
    alerts: deque[AlertReport] = field(default_factory=lambda: deque(maxlen=ALERTS_AT_MOST))
    alerts_reported: int = 0
    last_time: float | None = None
    left_out: set[int] = field(default_factory=set)
    _of_kind: Counter[str] = field(default_factory=Counter, repr=False)

    def of(self, kind: str, name: str | None = None) -> Iterator[Amount]:
        """The amounts of a kind, of one field or of all."""
        return (a for a in self.amounts.values() if a.kind == kind and name in {None, a.field})

    def one(self, kind: str, name: str) -> Amount | None:
        """The amount of a field that has no labels; None where it was never measured."""
        return self.amounts.get((kind, name, ()))

    def amount(self, kind: str, name: str, labels: Labels) -> Amount | None:
        """The place where a series is added up; None where there is room for no more."""
        key = (kind, name, labels)
        found = self.amounts.get(key)
        if found is None:
            if self._of_kind[kind] >= _SERIES_AT_MOST.get(kind, _SERIES_OF_OTHER_KINDS):
                self.left_out.add(hash(key))
                return None
            self._of_kind[kind] += 1
            drawn = (kind, name) in _CURVES and not labels
            found = self.amounts[key] = Amount(name, kind, labels, curve=Curve() if drawn else None)
        return found


@dataclass(frozen=True)
class Facts:
    """Everything that a report says.

    Attributes:
        info: what ``run.json`` says.
        status: of the run, ``killed`` included.
        observed: what the records amount to.
        artifacts: those of the run.
    """

    info: Mapping[str, Any]
    status: str
    observed: Observed
    artifacts: Sequence[Artifact]


def gather(run: StoredRun, status: str | None = None) -> Facts:
    """Read a run once; a status given is stronger than its own.

    Takes about four seconds and some tens of megabytes for a million steps.

    Raises:
        FileNotFoundError: the run is gone.
        ValueError: its ``run.json`` is not JSON.
    """
    return Facts(run.info, run.status if status is None else status, observe(run), artifacts.read(run.directory))


def observe(run: StoredRun) -> Observed:
    """What the records of a run amount to."""
    observed = Observed()
    groups: dict[tuple[str, tuple[tuple[str, str], ...], tuple[str, ...]], list[float]] = {}
    waiting = 0
    for sequence, record in run.records():
        kind, time, step, fields, labels = record
        if kind == "alert":
            _keep_alert(observed, record)
        else:
            key = (kind, tuple(labels.items()), tuple(fields))
            flat = groups.get(key)
            if flat is None:
                flat = groups[key] = []
            flat += (sequence, time, math.nan if step is None else step, *fields.values())
            waiting += 3 + len(fields)
        if waiting >= _NUMBERS_AT_ONCE:
            _add_up(observed, groups)
            groups.clear()
            waiting = 0
    _add_up(observed, groups)
    return observed


def _keep_alert(observed: Observed, record: Record) -> None:
    fields, labels = record.fields, record.labels
    observed.alerts_reported += 1
    observed.alerts.append(
        AlertReport(
            record.time,
            record.step,
            labels.get("alert", ""),
            labels.get("severity", ""),
            fields.get("alert_value", math.nan),
            fields.get("alert_threshold", math.nan),
            bool(fields.get("alert_firing")),
        )
    )
    observed.last_time = max(record.time, observed.last_time or record.time)


def _add_up(observed: Observed, groups: Mapping[tuple[str, Labels, tuple[str, ...]], list[float]]) -> None:
    """Add the records of several shapes, each a flat list of (sequence, time, step, *values), to what is known."""
    parts: dict[tuple[str, str, Labels], list[Numbers]] = {}
    for (kind, unordered, fields), flat in groups.items():
        rows = np.array(flat).reshape(-1, 3 + len(fields))
        labels = tuple(sorted(unordered))
        observed.records[kind, labels] += len(rows)
        latest = float(rows[:, 1].max())
        observed.last_time = latest if observed.last_time is None else max(latest, observed.last_time)
        for number, name in enumerate(fields, start=3):
            parts.setdefault((kind, name, labels), []).append(rows[:, (0, 1, 2, number)])
    for key, tables in parts.items():
        amount = observed.amount(*key)
        if amount is not None:
            table = tables[0] if len(tables) == 1 else np.concatenate(tables)
            if len(tables) > 1:
                table = table[table[:, 0].argsort(kind="stable")]
            amount.take(table[:, 1], table[:, 2], table[:, 3])
