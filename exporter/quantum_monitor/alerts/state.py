"""AlertState: where one alert of one run, backend or process stands, and the worst value of late."""

from __future__ import annotations

import math
from enum import Enum

HELD_SECONDS = 120.0
"""The worst value is held for at least this long, so that no scrape misses it.

A minute is enough for that. A restart of Alertmanager asks for the second one: what it did not take, Prometheus sends
again a minute later only.
"""
_ROUNDING = 1e-9


class Transition(Enum):
    """What a look at an alert can bring."""

    BEGAN = "began"
    ENDED = "ended"


class AlertState:
    """One alert: its threshold, its value, and whether it is inactive, pending or firing.

    Without a hold, the alert is judged by the worst value of the last two to four minutes, the present one included:
    what fires for one step is seen by every scrape, and ends when it has been over for that long. With a hold, it is
    judged by the present value, which must have been beyond the threshold for that long.

    Not safe for several threads at once: the caller holds a lock. Times are seconds of one monotonic clock.

    Attributes:
        threshold: the value must be beyond this; the threshold itself does not count.
        firing: whether it fires.
        since: when the present breach began; None where there is none.
        present: the latest value; None where nothing is judged at present.
        worst: the worst value of the present minute; None where there is none.
        times_fired: how often it began to fire.
    """

    __slots__ = (
        "_before",
        "_began",
        "below",
        "firing",
        "hold",
        "present",
        "since",
        "threshold",
        "times_fired",
        "worst",
    )

    def __init__(self, threshold: float, *, below: bool = False, hold: float = 0.0) -> None:
        self.threshold, self.below, self.hold = threshold, below, hold
        self.firing = False
        self.since: float | None = None
        self.times_fired = 0
        self.present: float | None = None
        self.worst: float | None = None
        self._before: float | None = None  # the worst of the minute before
        self._began = -math.inf  # of the present minute

    @property
    def word(self) -> str:
        """``inactive``, ``pending`` or ``firing``."""
        return "firing" if self.firing else "inactive" if self.since is None else "pending"

    @property
    def beyond(self) -> bool:
        """Whether the present value itself is beyond the threshold, and not only one that is held."""
        return self._breached(self._rounded(self.present))

    @property
    def value(self) -> float | None:
        """What the threshold is compared with; None where there is nothing to judge."""
        value = self.present if self.hold else self.worst
        if value is not None and self._before is not None and not self.hold:
            value = self._worse(value, self._before)
        return self._rounded(value)

    def see(self, value: float, now: float) -> Transition | None:
        """Take in a value. NaN changes nothing: nobody knows on which side of the threshold it lies."""
        if value != value:  # noqa: PLR0124 - NaN, at a third of the price of math.isnan
            return None
        self.present = value
        self.worst = value if self.worst is None else self._worse(value, self.worst)
        return self.look(now)

    def forget(self, now: float) -> Transition | None:
        """There is nothing to judge any more: a new beginning, or a condition that no longer applies."""
        self.present = self.worst = self._before = None
        return self.look(now)

    def look(self, now: float) -> Transition | None:
        """Judge again, as time has passed or the threshold has changed."""
        if now - self._began >= HELD_SECONDS:
            self._before, self.worst, self._began = self.worst, self.present, now
        if not self._breached(self.value):
            self.since = None
            ended, self.firing = self.firing, False
            return Transition.ENDED if ended else None
        if self.since is None:
            self.since = now
        if self.firing or now - self.since < self.hold:
            return None
        self.firing = True
        self.times_fired += 1
        return Transition.BEGAN

    def _rounded(self, value: float | None) -> float | None:
        # 1 - 0.95 is a little above 0.05: what rounding added is not beyond the threshold.
        close = value is not None and math.isclose(value, self.threshold, rel_tol=_ROUNDING)
        return self.threshold if close else value

    def _worse(self, one: float, other: float) -> float:
        return min(one, other) if self.below else max(one, other)

    def _breached(self, value: float | None) -> bool:
        if value is None:
            return False
        return value < self.threshold if self.below else value > self.threshold
