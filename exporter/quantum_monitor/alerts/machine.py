"""MachineAlerts: the alerts of the machine, judged by the thresholds of the monitor constructed last."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from quantum_monitor.alerts.shared import SharedAlerts

if TYPE_CHECKING:
    from quantum_monitor.alerts.board import Keep
    from quantum_monitor.alerts.system import QuantumAlertSystem


class MachineAlerts:
    """The alerts of the machine, for as long as a monitor is open. Safe for many threads.

    Attributes:
        alerts: what a scrape shows; None while no monitor is open.
    """

    alerts: SharedAlerts | None

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin anew: at construction, and in a forked child, where the monitors are the parent's."""
        self._lock = threading.RLock()
        self._systems: list[tuple[QuantumAlertSystem, Keep]] = []
        self.alerts = None

    def judge_by(self, system: QuantumAlertSystem, keep: Keep) -> None:
        """Judge by the thresholds of this system; nothing happens where it is known already."""
        with self._lock:
            if any(known is system for known, _ in self._systems):
                return
            self._systems.append((system, keep))
        self._judge_by_the_latest()

    def judge_no_more(self, system: QuantumAlertSystem) -> None:
        """This system's monitor is closed."""
        with self._lock:
            self._systems = [(other, keep) for other, keep in self._systems if other is not system]
        if self.alerts is not None:
            self.alerts.leave(system)
        self._judge_by_the_latest()

    def judge(self, sample: Mapping[str, float]) -> None:
        """Judge a sample of the machine."""
        alerts = self.alerts
        if alerts is not None:
            alerts.machine(sample)

    def look(self) -> None:
        """Judge again, as time has passed."""
        alerts = self.alerts
        if alerts is not None:
            alerts.look()

    def _judge_by_the_latest(self) -> None:
        with self._lock:
            latest = self._systems[-1] if self._systems else None
            if latest is None:
                self.alerts = None
            elif self.alerts is None:
                self.alerts = SharedAlerts("process", {}, *latest)
            alerts = self.alerts
        if alerts is not None and latest is not None:  # outside the lock: what is told here takes a run's
            alerts.adopt(*latest)
