"""What alerts are judged by: from the records of a run or a backend to the value that a threshold is compared with."""

from __future__ import annotations

import math
import weakref
import zlib
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from quantum_monitor.record import Record

MEDIAN_WINDOW = 10
"""Values that a rolling median is taken over."""
PLATEAU_WINDOW = 100
"""Steps for which a gradient must have been flat to be called a plateau."""
_COSTS_KEPT = 50
_COSTS_AT_LEAST = 5
_AS_DEAR = 0.9  # of a cost: another one of this much or more is of the same level
_LEVEL_AT_LEAST = 2
_CURRENCIES_AT_MOST = 10
_PRICES_AT_MOST = 500  # pairs of backend and currency
_EXECUTIONS_KEPT = 50
_EXECUTIONS_AT_LEAST = 10
_PACE_STEPS = 100
_PROBED = 1_024
_RECORDS_LOOKED_AT = 400  # other training records than steps may stand between them


class _Window:
    """The last values of a series, also in order: the median of a few at the price of an insertion."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._latest: deque[float] = deque()
        self.ordered: list[float] = []

    def take(self, value: float) -> None:
        self._latest.append(value)
        insort(self.ordered, value)
        if len(self._latest) > self._length:
            del self.ordered[bisect_left(self.ordered, self._latest.popleft())]

    def clear(self) -> None:
        self._latest.clear()
        self.ordered.clear()

    @property
    def median(self) -> float:
        return _middle(self.ordered)


def _middle(ordered: Sequence[float]) -> float:
    """The median of values in order; ``statistics`` brings decimals and fractions along, a tenth of our import."""
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


class _Steps:
    """Step numbers, and where they begin anew. A little disorder, as of several workers, is no beginning."""

    def __init__(self) -> None:
        self._first = self._highest = -math.inf

    def begins_anew(self, step: int) -> bool:
        """Whether this one goes back to the first or before it, or by more than ten."""
        known = self._highest > -math.inf
        if known and (step < max(self._first, self._highest - MEDIAN_WINDOW) or step == self._first < self._highest):
            self._first = self._highest = step
            return True
        self._first = self._first if known else step
        self._highest = max(self._highest, step)
        return False


class RollingMedian:
    """The rolling median of the last ten values, and the best that it has been.

    Medians on both sides: the best single value of a noisy run lies above everything that follows.
    """

    def __init__(self) -> None:
        self._values = _Window(MEDIAN_WINDOW)
        self._best = -math.inf
        self._steps = _Steps()

    def begins_anew(self, step: int | None) -> bool:
        """Whether the step number of the value to come begins anew; then what came before is forgotten.

        Each quantity has its own: what the background measures of a state comes after quick values of later steps.
        """
        anew = step is not None and self._steps.begins_anew(step)
        if anew:
            self.restart()
        return anew

    def take(self, value: float) -> tuple[float, float] | None:
        """Take in a value; the best median so far and the present one, or None before there are ten values."""
        if not math.isfinite(value):
            return None
        self._values.take(value)
        if len(self._values.ordered) < MEDIAN_WINDOW:
            return None
        present = self._values.median
        self._best = max(self._best, present)
        return self._best, present

    def restart(self) -> None:
        """Begin anew."""
        self._values.clear()
        self._best = -math.inf


class CostSpikes:
    """The cost of an execution over what is usual on the same backend in the same currency.

    Usual is the median of recent costs; or, where two of them were as dear as this one, the median of such: a batch
    with cheap and dear circuits has two levels, and neither is a spike.
    """

    def __init__(self) -> None:
        self._recent: dict[tuple[str, str], _Window] = {}

    def take(self, cost: float, backend: str = "", currency: str = "") -> float | None:
        """Take in a cost; None before five are known, and where they cost nothing."""
        recent = self._recent.get((backend, currency))
        if recent is None:
            if len(self._recent) >= _PRICES_AT_MOST:
                return None
            recent = self._recent[backend, currency] = _Window(_COSTS_KEPT)
        costs = recent.ordered
        usual = recent.median if len(costs) >= _COSTS_AT_LEAST else 0.0
        if cost > usual > 0:
            as_dear = costs[bisect_left(costs, _AS_DEAR * cost) :]
            usual = _middle(as_dear) if len(as_dear) >= _LEVEL_AT_LEAST else usual
        recent.take(cost)
        return cost / usual if usual > 0 else None


class Spending:
    """The money spent: the largest sum of one currency, for sums of several mean nothing. Ten of them at most."""

    def __init__(self) -> None:
        self.by_currency: dict[str, float] = {}

    def take(self, cost: float, currency: str) -> float:
        """Take in a cost, or what a bill differs by from what it takes the place of; what was spent up to now."""
        if currency in self.by_currency or len(self.by_currency) < _CURRENCIES_AT_MOST:
            self.by_currency[currency] = self.by_currency.get(currency, 0.0) + cost
        return max(self.by_currency.values())


class FailureShare:
    """The share of failed executions among the last 50; a cancelled one is neither a failure nor a success."""

    def __init__(self) -> None:
        self._failed: deque[bool] = deque(maxlen=_EXECUTIONS_KEPT)
        self._failures = 0

    def take(self, status: str) -> float | None:
        """Take in how an execution ended; None before ten have ended."""
        if status == "cancelled":
            return None
        if len(self._failed) == _EXECUTIONS_KEPT:
            self._failures -= self._failed[0]
        self._failed.append(status == "failed")
        self._failures += status == "failed"
        return self._failures / len(self._failed) if len(self._failed) >= _EXECUTIONS_AT_LEAST else None


class ErrorRates:
    """The largest rise of an operation's error rate above the lowest seen for it."""

    def __init__(self) -> None:
        self._lowest: dict[str, float] = {}
        self._present: dict[str, float] = {}

    def take(self, ratios: Mapping[str, float]) -> float:
        """Take in error rates by operation; operations that are absent keep theirs."""
        self._present.update(ratios)
        for operation, ratio in ratios.items():
            self._lowest[operation] = min(ratio, self._lowest.get(operation, math.inf))
        return max(ratio - self._lowest[operation] for operation, ratio in self._present.items())


class References:
    """Notices when states are compared with another reference than before."""

    def __init__(self) -> None:
        self._known: weakref.ref[object] | None = None
        self._content: tuple[object, ...] = ()
        self._probe = b""

    def changed(self, given: object, array: NDArray[np.generic]) -> bool:
        """Whether this reference is another one than before; the first is no change.

        Up to 1,024 amplitudes are compared as they are. Of more, the object that was given before is probed in some
        places only; any other is read as a whole, which takes a millisecond for each million amplitudes.
        """
        small = array.size <= _PROBED
        probe = array.tobytes() if small else array.reshape(-1)[:: array.size // _PROBED].tobytes()
        if probe == self._probe and (small or (self._known is not None and self._known() is given)):
            return False
        content = (array.shape, array.dtype, probe if small else _checksum(array))
        changed = bool(self._content) and content != self._content
        self._content, self._probe = content, probe
        try:
            self._known = weakref.ref(given)
        except TypeError:  # a list
            self._known = None
        return changed


def _checksum(array: NDArray[np.generic]) -> int:
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def flattest(history: deque[Record]) -> float | None:
    """The largest component variance of the last 100 steps that have one; None where there is none."""
    latest = islice(reversed(history), _RECORDS_LOOKED_AT)
    variances = (record.fields.get("gradient_component_variance") for record in latest)
    return max(islice((variance for variance in variances if variance is not None), PLATEAU_WINDOW), default=None)


def recent_loss(history: deque[Record]) -> float | None:
    """The median of the last ten finite losses; None without any."""
    losses = list(islice(finite_losses(islice(reversed(history), _RECORDS_LOOKED_AT)), MEDIAN_WINDOW))
    return _middle(sorted(losses)) if losses else None


def finite_losses(records: Iterable[Record]) -> Iterator[float]:
    """The losses of records, without NaN and infinite ones."""
    return filter(math.isfinite, (record.fields.get("loss", math.nan) for record in records))


def records_after(history: deque[Record], last: Record | None) -> list[Record]:
    """The records from this one on, oldest first; the latest 400 at most."""
    latest = []
    for record in islice(reversed(history), _RECORDS_LOOKED_AT):
        latest.append(record)
        if record is last:
            break
    return latest[::-1]


def since_restart(records: Sequence[Record], first: int | None) -> int | None:
    """Where in these records a training loop was started anew, as its step numbers tell: the index of its first step.

    None where it was not; of several starts, the last. ``first`` is the first step of the loop up to here, if known.
    """
    numbers = [record.step for record in records if record.step is not None]
    if numbers == sorted(numbers) and (first is None or not numbers or first <= numbers[0]):
        return None  # as nearly always, at a tenth of the price
    steps, start = _Steps(), None
    if first is not None:
        steps.begins_anew(first)
    for index, record in enumerate(records):
        if record.step is not None and steps.begins_anew(record.step):
            start = index
    return start


def pace(history: deque[Record]) -> float | None:
    """The median time from one step to the next over the last hundred, in seconds; None where there are no two."""
    latest = islice(reversed(history), _RECORDS_LOOKED_AT)
    times = list(islice((record.time for record in latest if "loss" in record.fields), _PACE_STEPS + 1))
    between = [later - earlier for later, earlier in pairwise(times)]
    return max(0.0, _middle(sorted(between))) if between else None
