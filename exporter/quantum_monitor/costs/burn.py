"""Burn: how fast a run spends money, and what it will have spent in six hours.

The forecast is that of the Prometheus alert QuantumBudgetForecast (alertmanager/rules/budget.rules.yml), so that both
say the same: what is spent, and eight times what the last hour added outside of its dearest quarter, which is six hours
at the rate of the other three. One lump is no rate. What a run younger than an hour spent is not scaled up.

Money is sampled once a minute by the thread that looks at alerts: executions do nothing for it.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from typing import NamedTuple

_SAMPLE_SECONDS = 60.0
_HOUR, _QUARTER = 3_600.0, 900.0
_QUARTERS_SECONDS, _QUARTER_STEP = 3_000.0, 300.0  # their ends: as [50m:5m] in the rule
_HOURS_AHEAD, _HOURS_STEADY = 6.0, 0.75
_KEPT_SECONDS = _QUARTERS_SECONDS + _QUARTER + 2 * _SAMPLE_SECONDS
_HOLD_SECONDS = 300.0  # as the rule's `for`
_QUIET_SECONDS = 3_600.0  # as long as the rule's alert goes on once the forecast is within the budget again


class Due(NamedTuple):
    """A warning that is due.

    Attributes:
        currency: of the money.
        forecast: what will have been spent in six hours.
        budget: the budget.
    """

    currency: str
    forecast: float
    budget: float


class Burn:
    """The money that was spent in the last hour, minute by minute. The run's lock guards it.

    Times are seconds of one monotonic clock.

    Args:
        began: when the run began.
    """

    def __init__(self, began: float) -> None:
        self._began = began
        self._times: list[float] = []
        self._spent: list[dict[str, float]] = []
        self._above_since: float | None = None
        self._above_last = -math.inf
        self._told = False

    def look(self, now: float, spent: Mapping[str, float], budget: float | None) -> Due | None:
        """Take in what is spent; once a minute at most, whoever calls more often.

        Args:
            now: the time.
            spent: money by currency.
            budget: the budget; None where there is none.

        Returns:
            What to warn of, where that is due: the forecast has been above the budget for five minutes, and
            what is spent is not. Once, until it has not been above it for an hour.
        """
        if self._times and now - self._times[-1] < _SAMPLE_SECONDS:
            return None
        self._times.append(now)
        self._spent.append(dict(spent))
        old = bisect_right(self._times, now - _KEPT_SECONDS) - 1
        if old > 0:  # one sample from before is kept: it says where the money stood when the hour began
            del self._times[:old], self._spent[:old]
        return None if budget is None else self._warning(now, budget)

    def _warning(self, now: float, budget: float) -> Due | None:
        forecasts = {currency: self.forecast(now, currency, spent) for currency, spent in self._spent[-1].items()}
        currency = max(forecasts, key=lambda known: forecasts[known], default="")
        if not currency or forecasts[currency] <= budget or self._spent[-1][currency] > budget:
            self._above_since = None
            if now - self._above_last >= _QUIET_SECONDS:
                self._told = False
            return None
        self._above_last = now
        if self._above_since is None:
            self._above_since = now
        if self._told or now - self._above_since < _HOLD_SECONDS:
            return None
        self._told = True
        return Due(currency, forecasts[currency], budget)

    def correct(self, currency: str, difference: float) -> None:
        """A bill has taken the place of an estimate: what was spent before was so much more, or less."""
        for spent in self._spent:
            if currency in spent:
                spent[currency] += difference

    def per_hour(self, now: float, currency: str, spent: float) -> float | None:
        """What was spent an hour of late: over the last hour, or since the run began; None in its first minute.

        Args:
            now: the time.
            currency: of the money.
            spent: what is spent by now.
        """
        window = min(_HOUR, now - self._began)
        if window < _SAMPLE_SECONDS:
            return None
        before = 0.0 if now - window <= self._began else self._at(now - window, currency, 0.0)
        return (spent - before) / window * _HOUR

    def forecast(self, now: float, currency: str, spent: float) -> float:
        """What will be spent in six hours; as the Prometheus rule reckons it."""
        return spent + _HOURS_AHEAD * self._steady(now, currency, spent)

    def hours_left(self, now: float, currency: str, spent: float, left: float) -> float | None:
        """Hours until that much more is spent, at the rate of the forecast; None where there is no rate."""
        rate = self._steady(now, currency, spent)
        return max(0.0, left) / rate if rate > 0 else None

    def _steady(self, now: float, currency: str, spent: float) -> float:
        """Money an hour, the dearest quarter of the last hour left out."""
        hour = spent - self._at(now - _HOUR, currency)
        quarter = 0.0
        for step in range(int(_QUARTERS_SECONDS / _QUARTER_STEP) + 1):
            end = now - step * _QUARTER_STEP
            at_end = spent if step == 0 else self._at(end, currency)
            quarter = max(quarter, at_end - self._at(end - _QUARTER, currency))
        return max(0.0, hour - quarter) / _HOURS_STEADY

    def _at(self, time: float, currency: str, before: float | None = None) -> float:
        """What was spent at a time; before the currency's first sample as much as in that, or ``before``."""
        index = bisect_right(self._times, time) - 1
        if index >= 0 and currency in self._spent[index]:
            return self._spent[index][currency]
        if before is not None:
            return before
        return next((spent[currency] for spent in self._spent if currency in spent), 0.0)
