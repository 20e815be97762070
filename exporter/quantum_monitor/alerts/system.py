"""The alert system: judges bare metrics dictionaries, calls back, and remembers what it reported."""

from __future__ import annotations

import math
import os
import threading
import time
import weakref
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from quantum_monitor.alerts.looks import Looks
from quantum_monitor.alerts.rules import ALERTS, AlertConfig, AlertRule, MetricRule, read_alert_config
from quantum_monitor.config import ConfigurationError
from quantum_monitor.faults import FAULTS

Alert = dict[str, Any]
Callback = Callable[[str, Alert], object]

_HISTORY_LENGTH = 1_000
_SECONDS_AN_HOUR = 3_600.0


class QuantumAlertSystem:
    """Judges metrics by thresholds and reports when an alert begins and ends. Safe for many threads.

    Args:
        alert_thresholds: as ``QuantumMonitor(alert_config=...)``: the key of a built-in alert with its threshold (None
            switches it off), or the name of any metric with ``{"above": x}`` or ``{"below": x}`` and optionally
            ``severity`` (high, medium, low) and ``for`` (seconds or a text such as "5m").
        cooldown: seconds before an alert that keeps firing is reported again.
        clock: where the time comes from, in Unix seconds.

    Raises:
        ConfigurationError: a key or threshold is wrong; all problems at once.

    Example:
        >>> alerts = QuantumAlertSystem({"gradient_explosion": 5.0})
        >>> [alert["type"] for alert in alerts.check_alerts({"gradient_norm": 7.0})]
        ['gradient_explosion']
    """

    def __init__(
        self,
        alert_thresholds: Mapping[str, object] | None = None,
        *,
        cooldown: float = 300.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        entries, problems = read_alert_config(alert_thresholds)
        if problems:
            raise ConfigurationError([f"alert_thresholds{key and '.'}{key}: {text}" for key, text in problems])
        self._watches = _watches(entries)
        self._looks = Looks()
        self._cooldown = cooldown
        self._clock = clock
        self._lock = threading.RLock()  # a signal handler in the middle of a check may ask for the summary
        _LIVE.add(self)
        self._callbacks: list[Callback] = []
        self._history: deque[Alert] = deque(maxlen=_HISTORY_LENGTH)

    @property
    def thresholds(self) -> dict[str, float]:
        """The threshold of each alert that is on, by type."""
        return {watch.type: watch.threshold for watch in self._watches}

    @property
    def alert_history(self) -> list[Alert]:
        """The last 1,000 reports, oldest first: firing (also when repeated) and resolved."""
        with self._lock:
            return [dict(alert) for alert in self._history]

    def register_callback(self, fn: Callback) -> None:
        """Have ``fn(type, alert)`` called for every report, in the thread that called ``check_alerts``.

        An exception in it is counted and stops neither the caller nor other callbacks.

        Raises:
            TypeError: ``fn`` cannot be called.
        """
        if not callable(fn):
            raise TypeError(f"fn: {fn!r} cannot be called; give a function of (type, alert)")
        with self._lock:
            self._callbacks.append(fn)

    def check_alerts(self, metrics: Mapping[str, object]) -> list[Alert]:
        """Judge one look at the metrics and report what changed.

        The list holds transitions: an alert is reported once when it begins (``state`` is firing) and once when it ends
        (resolved). While it goes on firing it is reported again after the cooldown, by default every 300 seconds.

        Each alert is judged from the names below and the catalog's aliases of them; what is absent or None changes
        nothing. A NaN counts for ``loss_not_finite`` and for nothing else: it neither begins nor ends another alert,
        since nobody knows on which side of the threshold it lies.

        - ``fidelity_drop``: ``fidelity`` (``quantum_fidelity``, ``quantum_state_fidelity``), measured from 1.
        - ``entanglement_loss``: ``entanglement_entropy`` (``entanglement``), as a fraction of the best seen here.
        - ``gradient_explosion``: ``gradient_norm``.
        - ``loss_not_finite``: ``loss`` and ``gradient_norm``, calls in a row.
        - ``barren_plateau``: ``gradient_component_variance``, else ``gradient_variance``. One look cannot tell a
          plateau from a converged run, and the variance of the norms is a weaker hint than that of the components.
        - ``training_stalled``: ``seconds_since_last_step``.
        - ``queue_time_limit``: ``queue_time`` in seconds.
        - ``cost_spike``: ``cost`` over the median of the last 50 seen here, from the sixth on; no measure while that
          median is 0.
        - ``cost_budget``: ``total_cost``.
        - ``circuit_failures``: ``failure_ratio``.
        - ``error_rate_increase``: ``error_rate`` (``error_ratio``) above the lowest seen here.
        - ``backend_down``: ``backend_down`` (1 is down) or ``backend_up`` (0 is down).
        - ``cpu_high``, ``memory_high``: ``cpu_ratio``, ``memory_ratio``, above in every call of five minutes.
        - a metric with a rule of its own: its name.

        Args:
            metrics: names and numbers.

        Returns:
            Dictionaries with ``type``, ``severity`` (high, medium, low), ``message``, ``timestamp`` (Unix seconds),
            ``value`` (what was compared), ``threshold`` and ``state`` (firing, resolved).
        """
        with self._lock:
            now = self._clock()
            alerts = [alert for watch in self._watches if (alert := self._judge(watch, metrics, now)) is not None]
            self._history.extend(alerts)
            callbacks = tuple(self._callbacks)
        for alert in alerts:
            for callback in callbacks:
                try:
                    callback(alert["type"], dict(alert))
                except Exception as error:  # noqa: BLE001 - the user's code must not stop the training
                    FAULTS.rejected("alert_callback", error)
        return [dict(alert) for alert in alerts]

    def get_alert_summary(self, hours: float = 24) -> dict[str, Any]:
        """What fired lately, as far as the history goes back.

        Args:
            hours: how far to look back.

        Returns:
            ``total_alerts`` (reports of firing alerts), ``alert_types`` and ``severity_breakdown`` (number by type and
            by severity), ``time_window_hours`` and ``most_recent`` (the latest of them, or None).
        """
        since = self._clock() - hours * _SECONDS_AN_HOUR
        fired = [alert for alert in self.alert_history if alert["state"] == "firing" and alert["timestamp"] >= since]
        return {
            "total_alerts": len(fired),
            "alert_types": dict(Counter(alert["type"] for alert in fired)),
            "severity_breakdown": dict(Counter(alert["severity"] for alert in fired)),
            "time_window_hours": hours,
            "most_recent": fired[-1] if fired else None,
        }

    def _judge(self, watch: _Watch, metrics: Mapping[str, object], now: float) -> Alert | None:
        numbers = watch.numbers(metrics)
        value = self._looks.value(watch.type, numbers) if numbers else None
        if value is None or math.isnan(value):
            return None
        if not watch.breached(value):
            watch.breached_since = None
            if not watch.firing:
                return None
            watch.firing = False
            return watch.alert(value, now)
        if watch.breached_since is None:
            watch.breached_since = now
        held = now - watch.breached_since >= watch.rule.hold_seconds
        repeated = watch.firing and now - watch.reported_at < self._cooldown
        if not held or repeated:
            return None
        watch.firing, watch.reported_at = True, now
        return watch.alert(value, now)


@dataclass
class _Watch:
    """A rule with its threshold and where it stands.

    ``reads`` maps each name that the rule reads to its spellings in a metrics dictionary.
    """

    type: str
    rule: AlertRule | MetricRule
    threshold: float
    reads: Mapping[str, tuple[str, ...]]
    breached_since: float | None = None
    firing: bool = False
    reported_at: float = 0.0

    def numbers(self, metrics: Mapping[str, object]) -> dict[str, float]:
        found = {}
        for name, spellings in self.reads.items():
            for spelling in spellings:
                number = _number(spelling, metrics.get(spelling))
                if number is not None:
                    found[name] = number
                    break
        return found

    def breached(self, value: float) -> bool:
        # 1 - 0.95 is a little above 0.05: what rounding added is not above the threshold.
        if math.isclose(value, self.threshold, rel_tol=1e-9):
            return False
        return value < self.threshold if self.rule.below else value > self.threshold

    def alert(self, value: float, now: float) -> Alert:
        quantity = self.rule.quantity if isinstance(self.rule, AlertRule) else self.type
        stands = "is" if self.firing else "is no longer"
        side = "below" if self.rule.below else "above"
        return {
            "type": self.type,
            "severity": self.rule.severity.word,
            "message": f"{quantity}: {value:.6g} {stands} {side} {self.threshold:.6g}",
            "timestamp": now,
            "value": value,
            "threshold": self.threshold,
            "state": "firing" if self.firing else "resolved",
        }


def _watches(entries: AlertConfig) -> list[_Watch]:
    watches = []
    for rule in ALERTS:
        threshold = entries.get(rule.key, rule.default)
        if isinstance(threshold, float):
            watches.append(_Watch(rule.key, rule, threshold, {name: _spellings(name) for name in rule.reads}))
    own = (entry for entry in entries.values() if isinstance(entry, MetricRule))
    watches.extend(_Watch(rule.name, rule, rule.threshold, {rule.name: _spellings(rule.name)}) for rule in own)
    return watches


def _spellings(name: str) -> tuple[str, ...]:
    """The name, and where the catalog knows it every other name it has for the same metric."""
    from quantum_monitor.prometheus.catalog import settable

    metric = settable().get(name)
    return tuple(dict.fromkeys((name, *(metric.names_in_log_metrics if metric else ()))))


def _number(name: str, value: object) -> float | None:
    if value is None:
        return None
    try:
        return float(value)  # type: ignore[arg-type]  # anything may stand in a metrics dictionary
    except (TypeError, ValueError, OverflowError):
        FAULTS.rejected("check_alerts", f"{name} is not a number but {type(value).__name__}")
        return None


_LIVE: weakref.WeakSet[QuantumAlertSystem] = weakref.WeakSet()


def _renew_locks() -> None:
    """In a forked child: another thread of the parent may have held them."""
    for system in list(_LIVE):
        system._lock = threading.RLock()


os.register_at_fork(after_in_child=_renew_locks)
