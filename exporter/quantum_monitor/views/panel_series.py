"""The lines of panels: which curve each one shows, and its points."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from quantum_monitor.store.reader import Numbers
from quantum_monitor.views.observed import Amount, Labels, Line, Observed

Over = Literal["step", "time"]
How = Literal["extremes", "mean", "sum"]
Points = np.ndarray[tuple[int], np.dtype[Any]]

_CLOCKS_SAY = 2e11  # seconds to about the years -4370 and 8300, which a date axis can show


class Course(Protocol):
    """What a line is drawn from: an `observed.Curve`, or something made of some.

    Attributes:
        line: the values, thinned.
        by_step: whether ``line.x`` are steps.
        span: number of values in a span of the line.
        seen: number of values; the first ``seen // span`` spans never change again, unless ``span`` does.
    """

    @property
    def line(self) -> Line: ...  # noqa: D102 - see above
    @property
    def by_step(self) -> bool: ...  # noqa: D102
    @property
    def span(self) -> int: ...  # noqa: D102
    @property
    def seen(self) -> int: ...  # noqa: D102


class Trace(NamedTuple):
    """One line of a panel.

    Attributes:
        key: tells it from the others of its panel, whatever else comes later.
        name: what the legend says, as it was logged: not escaped.
        curve: what it shows.
        how: each span as its lowest and highest value, as the mean, or as the sum of everything up to its end.
        axis: ``y``, or ``y2``, ``y3`` ... where a panel has several scales.
        over: whether x are steps, or times.
        positive: whether its axis is logarithmic, so that a 0 is a gap: plotly would draw a line down through the foot.
    """

    key: str
    name: str
    curve: Course
    how: How = "extremes"
    axis: str = "y"
    over: Over = "step"
    positive: bool = False


class Merged:
    """Several series as one, in the order of time.

    Attributes:
        parts: the series.
    """

    def __init__(self, parts: Sequence[Course]) -> None:
        self.parts = parts

    @property
    def line(self) -> Line:
        """The spans of all series."""
        lines = [part.line for part in self.parts]
        order = np.concatenate([line.time for line in lines]).argsort(kind="stable")
        columns: Any = (np.concatenate(column)[order] for column in zip(*lines, strict=True))
        return Line(*columns)

    @property
    def by_step(self) -> bool:
        """Whether all of them have steps."""
        return all(part.by_step for part in self.parts)

    @property
    def span(self) -> int:
        """1; where a part has longer spans more than `seen`, since spans of several parts do not end together."""
        return 1 if all(part.span == 1 for part in self.parts) else self.seen + 1

    @property
    def seen(self) -> int:
        """Number of values."""
        return sum(part.seen for part in self.parts)


class Scaled:
    """A series in another unit."""

    def __init__(self, curve: Course, factor: float) -> None:
        self._curve, self._factor = curve, factor
        self.by_step, self.span, self.seen = curve.by_step, curve.span, curve.seen

    @property
    def line(self) -> Line:
        """The values times a positive factor."""
        line, factor = self._curve.line, self._factor
        return line._replace(low=line.low * factor, high=line.high * factor, total=line.total * factor)


class Thinned:
    """A series in fewer spans, which keep its extremes."""

    def __init__(self, curve: Course, spans_at_most: int) -> None:
        line = curve.line
        together = -(-len(line.x) // spans_at_most)
        begins = np.arange(0, len(line.x), max(together, 1))
        self.by_step, self.seen, self.span = curve.by_step, curve.seen, curve.span * max(together, 1)
        self.line = line
        if together > 1:
            low, high = np.minimum.reduceat(line.low, begins), np.maximum.reduceat(line.high, begins)
            with np.errstate(over="ignore"):
                total, finite = np.add.reduceat(line.total, begins), np.add.reduceat(line.finite, begins)
            broken = np.logical_or.reduceat(line.broken, begins)
            self.line = Line(line.x[begins], line.time[begins], low, high, total, finite, broken)


def points(trace: Trace, since_span: int = 0) -> tuple[Points, Points]:
    """What to draw of a line, with every extreme of its values.

    Args:
        trace: the line.
        since_span: the spans before this one are left out: what a page has drawn already.

    Returns:
        x and y, of one length; x steps, or times in UTC as ``datetime64[ms]``; y NaN where a span has no finite value,
        and for 0 where the line is ``positive``.
        Where spans have several values ``extremes`` has two points a span, so that neighbours join at near ends.
    """
    curve = trace.curve
    line = curve.line
    x = _places(line, trace.over)
    shown = line.finite > 0
    if trace.how == "sum":
        with np.errstate(over="ignore"):
            y = np.cumsum(line.total)
    elif trace.how == "mean":
        y = np.divide(line.total, line.finite, out=np.full(len(x), math.nan), where=shown)
    elif bool((line.low[shown] == line.high[shown]).all()) and curve.span == 1:
        y = np.where(shown, line.low, math.nan)
    else:
        pairs = np.where(shown, np.stack((line.low, line.high)), math.nan)
        pairs[:, 1::2] = pairs[::-1, 1::2]
        x, y, since_span = np.repeat(x, 2), pairs.T.ravel(), 2 * since_span
    if trace.positive:
        y = np.where(y > 0, y, math.nan)
    return x[since_span:], y[since_span:]


def breaks(trace: Trace) -> Points:
    """Where a line has NaN or infinite values: the beginnings of those spans."""
    return _places(trace.curve.line, trace.over)[trace.curve.line.broken]


def moments(seconds: Iterable[float] | Numbers) -> Points:
    """Unix times as ``datetime64[ms]`` in UTC; NaT for what a clock never says."""
    times = np.asarray(seconds if isinstance(seconds, np.ndarray) else list(seconds), dtype=np.float64)
    sane = np.abs(times) < _CLOCKS_SAY  # False for NaN
    found = np.full(len(times), np.datetime64("NaT", "ms"))
    found[sane] = np.rint(times[sane] * 1000).astype("int64").astype("datetime64[ms]")
    return found


def _places(line: Line, over: Over) -> Points:
    return moments(line.time) if over == "time" else line.x


def named(kind: str, fields: Iterable[tuple[str, str, str]], over: Over = "step") -> Callable[[Observed], list[Trace]]:
    """Lines of fields without labels: field, what the legend calls it, and its axis."""
    wanted = tuple(fields)

    def find(observed: Observed) -> list[Trace]:
        found = ((observed.one(kind, field), name, axis) for field, name, axis in wanted)
        return [Trace(a.field, name, a.curve, axis=axis, over=over) for a, name, axis in found if a and a.curve]

    return find


def by_backend(kind: str, fields: Iterable[tuple[str, str]]) -> Callable[[Observed], list[Trace]]:
    """A line for each backend and field, whatever else tells its records apart; over time."""
    wanted = tuple(fields)

    def find(observed: Observed) -> list[Trace]:
        found = []
        for field, word in wanted:
            for (backend,), curve in _grouped(observed.of(kind, field), ("backend",)):
                name = f"{word}: {backend}" if word else backend
                found.append(Trace(f"{field} {backend}", name, curve, over="time"))
        return found

    return find


def error_ratios(observed: Observed) -> list[Trace]:
    """A line for each backend and operation."""
    fields = dict.fromkeys(a.field for a in observed.of("backend") if a.field.startswith("error_ratio_"))
    return by_backend("backend", [(field, field.removeprefix("error_ratio_")) for field in fields])(observed)


def spent(observed: Observed) -> list[Trace]:
    """What was spent up to each moment: each currency by itself, and what was reported, estimated and billed apart."""
    groups = _grouped(observed.of("circuit", "cost"), ("currency", "cost_kind"))
    return [
        Trace(f"{currency} {kind}", f"{currency}, {kind}", curve, how="sum", over="time")
        for (currency, kind), curve in groups
    ]


def shares_of_the_machine(observed: Observed) -> list[Trace]:
    """Processors and memory in use, by the machine and by this process."""
    found = named("system", [("cpu_ratio", "processors, machine", "y"),
                             ("process_cpu_ratio", "processors, this process", "y")], "time")(observed)  # fmt: skip
    memory = observed.one("system", "memory_total_bytes")
    if memory is not None and memory.last > 0 and math.isfinite(memory.last):
        for field, name in (("memory_used_bytes", "memory, machine"), ("process_memory_bytes", "memory, this process")):
            used = observed.one("system", field)
            if used is not None and used.curve is not None:
                found.append(Trace(field, name, Scaled(used.curve, 1 / memory.last), over="time"))
    return found


def custom(observed: Observed) -> list[Trace]:
    """The metrics of the user's own; each has a scale of its own."""
    drawn = [a for a in observed.of("custom") if a.curve is not None]
    return [Trace(_told(a), _told(a), a.curve) for a in drawn if a.curve is not None]


def _told(amount: Amount) -> str:
    return " · ".join((amount.field, *(value for _, value in amount.labels)))


def _grouped(amounts: Iterable[Amount], names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Course]]:
    """The curves of amounts by the values of these labels; those that other labels tell apart are merged."""
    groups: dict[tuple[str, ...], list[Course]] = {}
    for amount in amounts:
        if amount.curve is not None:
            groups.setdefault(_values(amount.labels, names), []).append(amount.curve)
    for values, curves in groups.items():
        yield values, curves[0] if len(curves) == 1 else Merged(curves)


def _values(labels: Labels, names: tuple[str, ...]) -> tuple[str, ...]:
    known = dict(labels)
    return tuple(known.get(name, "unknown") for name in names)
