"""What a bare metrics dictionary says about each alert, given the looks before it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from quantum_monitor.alerts.conditions import CostSpikes

Numbers = Mapping[str, float]
"""Values under the first names of a rule's ``reads``; what was not measured is absent."""


class Looks:
    """Turns numbers into the value that a threshold is compared with.

    Keeps what one look needs of those before it: the best entanglement and error rate, recent costs, and how many looks
    in a row were not finite. Not safe for several threads at once: the caller holds a lock.
    """

    def __init__(self) -> None:
        self._best_entanglement = 0.0
        self._lowest_error_rate = math.inf
        self._cost_spikes = CostSpikes()
        self._not_finite = 0
        self._special: dict[str, Callable[[Numbers], float | None]] = {
            "fidelity_drop": self._fidelity_drop,
            "entanglement_loss": self._entanglement_loss,
            "loss_not_finite": self._steps_not_finite,
            "cost_spike": self._cost_spike,
            "error_rate_increase": self._error_rate_increase,
            "backend_down": self._backend_down,
        }

    def value(self, alert: str, numbers: Numbers) -> float | None:
        """What the threshold of an alert is compared with.

        Args:
            alert: the key of a built-in alert, or the name of a metric with a rule of its own.
            numbers: what was measured; not empty.

        Returns:
            The value, NaN where it cannot be told, or None where there is nothing to judge.
        """
        special = self._special.get(alert)
        return next(iter(numbers.values())) if special is None else special(numbers)

    def _fidelity_drop(self, numbers: Numbers) -> float | None:
        return 1.0 - numbers["fidelity"]

    def _entanglement_loss(self, numbers: Numbers) -> float | None:
        entropy = numbers["entanglement_entropy"]
        if not math.isfinite(entropy):
            return math.nan
        self._best_entanglement = max(self._best_entanglement, entropy)
        return 1.0 - entropy / self._best_entanglement if self._best_entanglement > 0 else None

    def _steps_not_finite(self, numbers: Numbers) -> float | None:
        finite = all(map(math.isfinite, numbers.values()))
        self._not_finite = 0 if finite else self._not_finite + 1
        return float(self._not_finite)

    def _cost_spike(self, numbers: Numbers) -> float | None:
        cost = numbers["cost"]
        return self._cost_spikes.take(cost) if math.isfinite(cost) else math.nan

    def _error_rate_increase(self, numbers: Numbers) -> float | None:
        rate = next(iter(numbers.values()))
        if not math.isfinite(rate):
            return math.nan
        self._lowest_error_rate = min(self._lowest_error_rate, rate)
        return rate - self._lowest_error_rate

    def _backend_down(self, numbers: Numbers) -> float | None:
        return numbers["backend_down"] if "backend_down" in numbers else 1.0 - numbers["backend_up"]
