"""Alerts of what a whole process shares: its backends and its machine."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from quantum_monitor.alerts.board import Board, Keep
from quantum_monitor.alerts.conditions import ErrorRates

if TYPE_CHECKING:
    from quantum_monitor.alerts.board import AlertRow
    from quantum_monitor.alerts.message import Alert
    from quantum_monitor.alerts.system import QuantumAlertSystem


class SharedAlerts:
    """The alerts of one backend or of the machine. Safe for many threads.

    Args:
        scope: ``backend`` or ``process``.
        labels: of the series.
        system: whose thresholds are in force at first.
        keep: told of every report, to write it down.
    """

    def __init__(
        self, scope: str, labels: Mapping[str, str], system: QuantumAlertSystem, keep: Keep | None = None
    ) -> None:
        self._renew()
        self._to_keep: deque[tuple[Keep, Alert]] = deque()
        self._board = Board(scope, labels, system, self._later(keep))
        self._error_rates = ErrorRates()
        system.judge(self)
        _LIVE.add(self)

    def adopt(self, system: QuantumAlertSystem, keep: Keep | None = None) -> None:
        """Judge by the thresholds of this system from now on, and report to it."""
        with self._judging():
            if system is not self._board.system or not self._board.judging:
                self._board.keep, self._board.judging = self._later(keep), True
                self._board.adopt(system)
                system.judge(self)

    def leave(self, system: QuantumAlertSystem) -> None:
        """This system's monitor is closed: it is told nothing more."""
        with self._judging():
            self._board.leave(system)

    def backend(self, fields: Mapping[str, float], error_ratios: Mapping[str, float]) -> None:
        """Judge what was reported of a backend."""
        now = time.perf_counter()
        with self._judging():
            if "up" in fields:
                self._board.see("backend_down", 1.0 - fields["up"], now)
            if error_ratios:
                self._board.see("error_rate_increase", self._error_rates.take(error_ratios), now)
                fields = {**fields, "error_ratio": max(error_ratios.values())}
            self._judge_own("backend", fields, now)

    def machine(self, sample: Mapping[str, float]) -> None:
        """Judge a sample of the machine."""
        now = time.perf_counter()
        total = sample.get("memory_total_bytes")
        with self._judging():
            self._board.see("cpu_high", sample.get("cpu_ratio"), now)
            if total:
                self._board.see("memory_high", sample.get("memory_used_bytes", 0.0) / total, now)
            self._judge_own("system", sample, now)

    def _judge_own(self, kind: str, fields: Mapping[str, float], now: float) -> None:
        for key, field in self._board.system.own_rules(self._board.scope).get(kind, ()):
            self._board.see(key, fields.get(field), now)

    def look(self) -> None:
        """Judge again, as time has passed."""
        with self._judging():
            self._board.look(time.perf_counter())

    def rows(self) -> tuple[Mapping[str, str], list[AlertRow]]:
        """The labels, and every alert, for a scrape."""
        with self._lock:
            return self._board.labels, list(self._board.rows())

    def refresh_alerts(self) -> None:
        """Take over thresholds that have changed."""
        with self._judging():
            self._board.adopt(self._board.system)

    def standing_alerts(self) -> list[Alert]:
        """The alerts that are pending or firing."""
        with self._lock:
            return list(self._board.standing())

    @contextmanager
    def _judging(self) -> Iterator[None]:
        with self._lock:
            yield
        # Without the lock: keeping takes a run's, which a signal handler that asks for the alerts here may hold.
        while True:
            try:
                keep, alert = self._to_keep.popleft()
            except IndexError:
                return
            keep(alert)

    def _later(self, keep: Keep | None) -> Keep | None:
        return None if keep is None else lambda alert: self._to_keep.append((keep, alert))

    def _renew(self) -> None:
        self._lock = threading.RLock()


_LIVE: weakref.WeakSet[SharedAlerts] = weakref.WeakSet()


def _renew_locks() -> None:
    """In a forked child: another thread of the parent may have held them."""
    for alerts in list(_LIVE):
        alerts._renew()


os.register_at_fork(after_in_child=_renew_locks)
