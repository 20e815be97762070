"""Labelled traces: what a training loop tells the monitor, in virtual time, and which alerts must come of it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from quantum_monitor import QuantumMonitor
from quantum_monitor import monitor as monitor_module
from quantum_monitor import run as run_module
from quantum_monitor.alerts import shared

START = 1_700_000_000.0


class Clock:
    """The time of a trace. Stands in for the module ``time``: an hour in a queue takes no time."""

    def __init__(self) -> None:
        self.passed = 0.0

    def perf_counter(self) -> float:
        return self.passed

    def monotonic(self) -> float:
        return self.passed

    def time(self) -> float:
        return START + self.passed


class Machine:
    """A machine whose load the trace decides."""

    def __init__(self) -> None:
        self.sample: dict[str, float] = {}

    def latest(self, _max_age: float) -> Mapping[str, float]:
        return self.sample


class Training:
    """A training loop whose every second the trace decides.

    Attributes:
        monitor: what it logs to.
        machine: what it runs on.
        random: for noise; the same in every run of the trace.
    """

    def __init__(self, monitor: QuantumMonitor, clock: Clock) -> None:
        self.monitor, self._clock = monitor, clock
        self.machine = Machine()
        self.random = np.random.default_rng(7)
        self._exporter = monitor._exporter
        self._exporter.machine = self.machine  # type: ignore[assignment]
        self._exporter._watcher.stop(monitor.alert_system)  # `wait` looks instead, in virtual time
        monitor.alert_system.now = clock.time
        monitor.alert_system.monotonic = clock.perf_counter
        self.monitor.start_run("trace")

    def wait(self, seconds: float) -> None:
        """Let time pass; the alerts are looked at once a second, as the monitor's thread does."""
        until = self._clock.passed + seconds
        while (second := float(int(self._clock.passed + 1e-9) + 1)) <= until + 1e-9:
            self._clock.passed = second
            self._exporter.look_at_alerts()
        self._clock.passed = until

    def step(
        self,
        number: int | None,
        loss: float | None,
        gradient: Any = None,
        parameters: Any = None,
        *,
        takes: float = 0.1,
    ) -> None:
        """Spend so many seconds on a step and log it."""
        self.wait(takes)
        self.monitor.log_training_step(loss, gradient, parameters, number)

    def descend(
        self,
        function: Callable[[Any], tuple[float, Any]],
        parameters: Any,
        steps: int,
        *,
        rate: float,
        first: int = 0,
        takes: float = 0.1,
        noise: float = 0.0,
        after: Callable[[int, Any], None] = lambda _step, _parameters: None,
    ) -> Any:
        """Descend along the gradient, which has shot noise of this deviation, as has the loss; the last parameters."""
        for number in range(first, first + steps):
            loss, gradient = function(parameters)
            if noise:
                loss += noise * self.random.normal()
                gradient = gradient + noise * self.random.normal(size=np.shape(gradient))
            self.step(number, loss, gradient, parameters, takes=takes)
            after(number, parameters)
            parameters = parameters - rate * gradient
        return parameters

    def execute(self, count: int = 1, *, every: float = 1.0, **facts: Any) -> None:
        """Execute circuits, so many seconds apart."""
        facts = {"execution_time": 0.5, "backend_info": "backend", **facts}
        for _ in range(count):
            self.wait(every)
            self.monitor.log_circuit_execution(None, **facts)


@dataclass(frozen=True)
class Fires:
    """One alert that must fire.

    Attributes:
        earliest: it begins at this second of the trace or later ...
        latest: ... and at this one at the latest.
        told: how often callbacks hear that it fires.
        over: how often they hear that it is over, the end of the run included.
    """

    earliest: float
    latest: float
    told: int = 1
    over: int = 1


@dataclass(frozen=True)
class Trace:
    """A labelled trace.

    Attributes:
        name: what happens, in words.
        play: logs it.
        fires: the alerts that must fire, and no others.
        options: of the monitor.
    """

    name: str
    play: Callable[[Training], None]
    fires: Mapping[str, Fires]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Outcome:
    """What came of a trace.

    Attributes:
        first: alert to the second of its first report.
        told: alert to how often it was told to fire.
        over: alert to how often it was told to be over.
    """

    first: dict[str, float] = field(default_factory=dict)
    told: Counter[str] = field(default_factory=Counter)
    over: Counter[str] = field(default_factory=Counter)


TRACES: dict[str, Trace] = {}


def trace(
    name: str, *, fires: Mapping[str, Fires] | None = None, **options: Any
) -> Callable[[Callable[[Training], None]], Callable[[Training], None]]:
    """Label a trace; without ``fires``, nothing may fire."""

    def label(play: Callable[[Training], None]) -> Callable[[Training], None]:
        assert name not in TRACES
        TRACES[name] = Trace(name, play, fires or {}, options)
        return play

    return label


def outcome(trace: Trace, folder: Path) -> Outcome:
    """Play a trace to its end; reports count as the callbacks heard them."""
    heard: list[dict[str, Any]] = []
    with _virtual_time() as clock:
        monitor = QuantumMonitor(
            "traces",
            storage_path=folder,
            metrics_port=None,
            registry=CollectorRegistry(),
            enable_mlflow=False,
            **trace.options,
        )
        monitor.alert_system.register_callback(lambda _, alert: heard.append(alert))
        try:
            trace.play(Training(monitor, clock))
        finally:
            monitor.close()
    result = Outcome()
    for alert in heard:
        if alert["state"] == "firing":
            result.first.setdefault(alert["type"], alert["timestamp"] - START)
            result.told[alert["type"]] += 1
        else:
            result.over[alert["type"]] += 1
    return result


@contextmanager
def _virtual_time() -> Iterator[Clock]:
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        for module in (run_module, monitor_module, shared):
            patch.setattr(module, "time", clock)
        yield clock


def table(outcomes: Mapping[str, Outcome]) -> str:
    """Trace by alert: what was expected, what came, when it was first told, and how often."""
    rows = [("trace", "alert", "expected", "got", "first told", "told firing", "told over")]
    for name, result in outcomes.items():
        expected = TRACES[name].fires
        alerts = sorted(expected.keys() | result.told.keys())
        for shown, alert in zip(itertools.chain([name], itertools.repeat("")), alerts, strict=False):
            label = expected.get(alert)
            when = "silent" if label is None else f"{label.earliest:g} to {label.latest:g} s"
            got = f"{result.first[alert]:.0f} s" if alert in result.first else "never"
            fired = "fires" if alert in result.first else "silent"
            rows.append((shown, alert, when, fired, got, str(result.told[alert]), str(result.over[alert])))
        if not alerts:
            rows.append((name, "", "silent", "silent", "", "0", "0"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines) + "\n"
