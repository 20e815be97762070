"""A clock that a test can put forward, and what a monitor shows and tells of its alerts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import psutil
import pytest

from quantum_monitor import QuantumMonitor
from quantum_monitor.alerts.state import HELD_SECONDS
from quantum_monitor.prometheus.exposition import expose
from tests.server_process import eventually

NewMonitor = Callable[..., QuantumMonitor]
Told = dict[str, Any]

_BETWEEN_LOOKS = 5.0
OVER = 2 * HELD_SECONDS + 3 * _BETWEEN_LOOKS  # seconds after which the last breach is held no longer

RUN = {"experiment": "h2", "run": "a"}
CALM, EXPLOSION = np.array([0.6, 0.8]), np.array([30.0, 40.0])  # norms 1 and 50


class Time:
    """The monotonic clock, put forward by as much as the test says, on a machine that has nothing to do.

    Of the real one nobody knows how busy the tests keep it, and five minutes of that are an alert.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._ahead, genuine, cpu_times = 0.0, time.perf_counter, psutil.cpu_times
        patch.setattr(time, "perf_counter", lambda: genuine() + self._ahead)

        def idle() -> Any:
            times = cpu_times()
            return times._replace(**{**dict.fromkeys(times._fields, 0.0), "idle": sum(times)})

        patch.setattr(psutil, "cpu_times", idle)

    def passes(self, seconds: float, *monitors: QuantumMonitor) -> None:
        """Let time pass, with a look now and then, as the watcher's thread takes one each second."""
        while seconds > 0:
            self._ahead += min(seconds, _BETWEEN_LOOKS)
            seconds -= _BETWEEN_LOOKS
            look(*monitors)


def look(*monitors: QuantumMonitor) -> None:
    """What the watcher's thread does each second."""
    for monitor in monitors:
        monitor._exporter.look_at_alerts()


def shown(monitor: QuantumMonitor, series: str, alert: str, labels: Mapping[str, str], **more: str) -> float | None:
    """A series of an alert, as a scrape sees it: value, threshold, firing; or alerts_total."""
    name = series if series == "quantum_alerts_total" else f"quantum_alert_{series}"
    return monitor.registry.get_sample_value(name, {**labels, "alert": alert, **more})


def page(monitor: QuantumMonitor) -> str:
    """The text of ``/metrics``."""
    return expose(monitor.registry)[1].decode()


class Listener:
    """A callback that keeps what it is told."""

    def __init__(self, monitor: QuantumMonitor) -> None:
        self.told: list[Told] = []
        monitor.alert_system.register_callback(lambda _, alert: self.told.append(alert))

    @property
    def story(self) -> list[tuple[str, str]]:
        """Type and state of each report."""
        return [(alert["type"], alert["state"]) for alert in self.told]

    def hears(self, *story: tuple[str, str]) -> list[Told]:
        """Wait until these were told, in any order, and nothing else."""
        eventually(lambda: len(self.told) >= len(story), seconds=20, what=f"{story} rather than {self.story}")
        assert sorted(self.story) == sorted(story)
        return self.told


def explode(monitor: QuantumMonitor, step: int = 0) -> None:
    """Log a step with a gradient norm of 50."""
    monitor.log_training_step(1.0, EXPLOSION, None, step)


def calm_down(monitor: QuantumMonitor, step: int = 1) -> None:
    """Log a step with a gradient norm of 1."""
    monitor.log_training_step(1.0, CALM, None, step)
