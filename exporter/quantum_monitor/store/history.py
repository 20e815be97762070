"""History: the latest records of each kind in memory, and what they sum up to."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypedDict

import numpy as np

from quantum_monitor.record import Record

_KINDS_AT_MOST = 64
_OTHER = "other"
_TREND_FROM = 10
_TREND_OVER = 100
_STANDARD_ERRORS = 3.0
_RELATIVE_ROUNDING = 1e-9

Trend = Literal["increasing", "decreasing", "stable"]
"""None, where it is allowed, is a trend that too few values leave open."""


class Summary(TypedDict):
    """What the values of one field sum up to.

    ``latest`` may be NaN or infinite and ``count`` counts every value; ``mean``, ``std`` (of the population), ``min``,
    ``max`` and ``trend`` see the finite values only, and the four numbers are NaN if there is none. ``trend`` is
    None below ten finite values.
    """

    latest: float
    mean: float
    std: float
    min: float
    max: float
    count: int
    trend: Trend | None


class History:
    """The latest records of each kind.

    Appending is one ``deque.append``, safe from any number of threads: ``history.of("training").append(record)``;
    keep the bound ``append`` where it matters. Beyond 64 kinds, further ones share one history.

    Args:
        limit: how many records of a kind are kept.
        rename: ``(kind, field)`` to the name that ``series`` and ``summary`` use, for fields of several kinds
            that share a name (``("circuit", "qubits"): "circuit_qubits"``).

    Raises:
        ValueError: ``limit`` is below 1.
    """

    def __init__(self, limit: int = 10_000, *, rename: Mapping[tuple[str, str], str] | None = None) -> None:
        if limit < 1:
            message = f"history_limit is {limit}; it must be at least 1"
            raise ValueError(message)
        self.limit = limit
        self._rename = dict(rename or {})
        self._kinds: dict[str, deque[Record]] = {}

    def of(self, kind: str) -> deque[Record]:
        """The history of one kind, made if need be."""
        try:
            return self._kinds[kind]
        except KeyError:
            known = kind if len(self._kinds) < _KINDS_AT_MOST else _OTHER
            return self._kinds.setdefault(known, deque(maxlen=self.limit))

    def clear(self) -> None:
        """Forget all records; what ``of`` returned stays valid."""
        for records in list(self._kinds.values()):
            records.clear()

    def series(self, field: str) -> list[float]:
        """The values of a field that are still here, in the order of their time; empty if it was never logged."""
        return self._values().get(field, [])

    def summary(self) -> dict[str, Summary]:
        """What each field sums up to over the records that are still here."""
        return {field: summarise(values) for field, values in self._values().items()}

    def _values(self) -> dict[str, list[float]]:
        found: dict[str, dict[str, list[tuple[float, float]]]] = {}
        for kind, records in list(self._kinds.items()):
            for record in _copy(records):
                for field, value in record.fields.items():
                    name = self._rename.get((record.kind, field), field)
                    found.setdefault(name, {}).setdefault(kind, []).append((record.time, value))
        return {name: _in_order_of_time(kinds.values()) for name, kinds in found.items()}


def summarise(values: Iterable[float]) -> Summary:
    """Sum up a series of values; raises ValueError if it is empty.

    Mean and deviation take two passes over doubles, so a large offset costs no digits.
    """
    every = np.fromiter(values, dtype=np.float64)
    if not every.size:
        message = "values is empty; there is nothing to sum up"
        raise ValueError(message)
    finite = every[np.isfinite(every)]
    if not finite.size:
        nan = math.nan
        return Summary(latest=float(every[-1]), mean=nan, std=nan, min=nan, max=nan, count=every.size, trend=None)
    scale = float(np.abs(finite).max()) or 1.0  # keeps squares of the largest doubles finite
    scaled = finite / scale
    mean = float(scaled.mean())
    mean += float((scaled - mean).mean())
    return Summary(
        latest=float(every[-1]),
        mean=mean * scale,
        std=math.sqrt(float(((scaled - mean) ** 2).mean())) * scale,
        min=float(finite.min()),
        max=float(finite.max()),
        count=every.size,
        trend=trend(scaled),
    )


def trend(values: np.ndarray[Any, np.dtype[np.float64]]) -> Trend | None:
    """Where finite values are going: the median of the recent half against the median of the earlier half.

    Looks at the last 100 values. ``increasing`` or ``decreasing`` when the two medians differ by more than three
    standard errors (each half's spread is 1.4826 times its median absolute deviation, so single outliers decide
    nothing) and by more than rounding (1e-9 of the larger); ``stable`` otherwise; None with fewer than ten values.
    """
    recent = values[-_TREND_OVER:]
    if len(recent) < _TREND_FROM:
        return None
    half = len(recent) // 2
    halves = (recent[:-half], recent[-half:])
    before, now = (float(np.median(part)) for part in halves)
    spreads = [1.4826 * float(np.median(np.abs(part - np.median(part)))) for part in halves]
    standard_error = math.sqrt(math.pi / 2 * sum(spread**2 / half for spread in spreads))
    noise = max(_STANDARD_ERRORS * standard_error, _RELATIVE_ROUNDING * max(abs(before), abs(now)))
    if abs(now - before) <= noise:
        return "stable"
    return "increasing" if now > before else "decreasing"


def _copy(records: deque[Record]) -> list[Record]:
    while True:
        try:
            return list(records)
        except RuntimeError:  # another thread appended meanwhile
            continue


def _in_order_of_time(kinds: Iterable[list[tuple[float, float]]]) -> list[float]:
    several = list(kinds)
    timed = several[0] if len(several) == 1 else sorted((item for one in several for item in one), key=_time)
    return [value for _, value in timed]


def _time(item: tuple[float, float]) -> float:
    return item[0]
