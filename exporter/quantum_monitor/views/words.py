"""How views tell numbers and times, and what stands in a cell of a table."""

from __future__ import annotations

import math
from datetime import datetime, timezone


class Exact(float):
    """A number that is shown with twelve digits: the cents of large sums count."""

    __slots__ = ()


class Code(str):
    """Text that is a piece of a program."""

    __slots__ = ()


Cell = str | float | int | None
"""A cell of a table: text, a number, or None for what was not measured."""


def number(value: float, digits: int = 6) -> str:
    """A number as people read it: whole ones in full, others with six digits."""
    if math.isnan(value):
        return "NaN"
    if isinstance(value, int) or (abs(value) < 1e12 and math.isclose(value, round(value), rel_tol=1e-12)):
        return f"{round(value):,}"  # the mean of ones may be off one by rounding
    return f"{value:.{digits}g}"


def in_full(value: float) -> str:
    """A number as a cell shows it."""
    return number(value, 12 if isinstance(value, Exact) else 6)


def moment(seconds: float) -> str:
    """Unix time as ISO 8601 in UTC, to the second."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):  # what a clock never says
        return number(seconds)


def duration(seconds: float) -> str:
    """A time span in the units that suit it."""
    if not 60 <= seconds < 1e9:
        return f"{number(seconds, 4)} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{amount} {unit}" for amount, unit in units if amount)
