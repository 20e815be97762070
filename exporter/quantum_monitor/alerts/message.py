"""What a report of an alert says."""

from __future__ import annotations

from typing import Any

from quantum_monitor.alerts.rules import AlertRule, MetricRule

Alert = dict[str, Any]
"""A report: ``type``, ``severity`` (high, medium, low), ``message``, ``timestamp`` (Unix seconds), ``value`` (what was
compared), ``threshold``, ``state`` (firing, resolved), ``labels`` (of the run or backend; empty where an alert was
judged by hand), ``started_at`` (Unix seconds) and ``duration`` (seconds for which it has been firing)."""


def message(rule: AlertRule | MetricRule, value: float, threshold: float, *, stands: str = "is") -> str:
    """One sentence: the value, and on which side of the threshold it is, was, or is no longer."""
    quantity = rule.quantity if isinstance(rule, AlertRule) else rule.name
    side = "below" if rule.below else "above"
    return f"{quantity}: {value:.6g} {stands} {side} {threshold:.6g}"
