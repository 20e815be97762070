"""Judging a bare metrics dictionary: one look after the other, without a run."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quantum_monitor.alerts.looks import Looks
from quantum_monitor.alerts.message import Alert, message
from quantum_monitor.alerts.rules import AlertRule, MetricRule
from quantum_monitor.faults import FAULTS

Thresholds = Mapping[str, tuple[AlertRule | MetricRule, float]]


class ByHand:
    """Judges looks at metrics. Not safe for several threads at once: the caller holds a lock."""

    def __init__(self, thresholds: Thresholds) -> None:
        self._looks = Looks()
        self._watches: dict[str, _Watch] = {}
        self.adopt(thresholds)

    def adopt(self, thresholds: Thresholds) -> None:
        """Judge by these thresholds from now on; what an alert has seen so far stays."""
        known, self._watches = self._watches, {}
        for key, (rule, threshold) in thresholds.items():
            names = rule.reads if isinstance(rule, AlertRule) else (rule.name,)
            watch = known.get(key) or _Watch(key, rule, threshold, {name: _spellings(name) for name in names})
            watch.rule, watch.threshold = rule, threshold
            self._watches[key] = watch

    def judge(self, metrics: Mapping[str, object], now: float, cooldown: float) -> list[Alert]:
        """What changed since the last look; see `QuantumAlertSystem.check_alerts`."""
        reports = (self._judge(watch, metrics, now, cooldown) for watch in self._watches.values())
        return [alert for alert in reports if alert is not None]

    def _judge(self, watch: _Watch, metrics: Mapping[str, object], now: float, cooldown: float) -> Alert | None:
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
        if now - watch.breached_since < watch.rule.hold_seconds:
            return None
        if watch.firing and now - watch.reported_at < cooldown:
            return None
        watch.started_at = watch.started_at if watch.firing else now
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
    started_at: float = 0.0
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
        return {
            "type": self.type,
            "severity": self.rule.severity.word,
            "message": message(self.rule, value, self.threshold, stands="is" if self.firing else "is no longer"),
            "timestamp": now,
            "value": value,
            "threshold": self.threshold,
            "state": "firing" if self.firing else "resolved",
            "labels": {},
            "started_at": self.started_at,
            "duration": now - self.started_at,
        }


def _spellings(name: str) -> tuple[str, ...]:
    """The name, and where the catalog knows it every other name it has for the same metric."""
    from quantum_monitor.prometheus.catalog import settable

    metric = settable().get(name)
    return tuple(dict.fromkeys((name, *(metric.names_in_log_metrics if metric else ()))))


def _number(name: str, value: Any) -> float | None:
    if value is None:
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        FAULTS.rejected("check_alerts", f"{name} is not a number but {type(value).__name__}")
        return None
