"""Plug-ins and collectors of other people, and parts of our own, that fail: the rest goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import NoReturn

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client import Metric as Family
from prometheus_client.registry import Collector

from quantum_monitor import QuantumMonitor, plugins
from quantum_monitor.alerts.shared import SharedAlerts
from quantum_monitor.faults import FAULTS
from quantum_monitor.prometheus.collector import BackendStatus

NewMonitor = Callable[..., QuantumMonitor]
Value = Callable[..., "float | None"]

RUN = {"experiment": "h2", "run": "a"}


class UntoldError(Exception):
    def __str__(self) -> NoReturn:
        raise RuntimeError("no text")


@pytest.fixture(autouse=True)
def _no_plugin_is_left() -> Iterator[None]:
    before = {plugin.name for plugin in plugins.STATE + plugins.CIRCUIT + plugins.GRADIENT}
    yield
    for plugin in plugins.STATE + plugins.CIRCUIT + plugins.GRADIENT:
        if plugin.name not in before:
            plugins.unregister(plugin.name)


def raises(_: object) -> NoReturn:
    raise UntoldError


@pytest.mark.parametrize(
    "broken",
    [
        raises,
        lambda _: None,
        lambda _: "text",
        lambda _: [1.0, 2.0],
        lambda _: {1: 2.0},
        lambda _: 1j,
        lambda _: {"x": "y"},
    ],
    ids=["raises", "None", "text", "list", "no name", "complex", "no number"],
)
def test_a_broken_plugin_costs_its_own_number_only(
    new_monitor: NewMonitor, value: Value, broken: Callable[[object], object]
) -> None:
    for register in (plugins.state_metric, plugins.circuit_metric, plugins.gradient_metric):
        register(f"broken {register.__name__}")(broken)
        register(f"good {register.__name__}")(lambda _: 7.0)
    monitor = new_monitor().start_run("a")
    before = FAULTS.errors.copy()
    monitor.log_training_step(0.5, np.ones(9), np.ones(9), 0)
    monitor.log_quantum_state([1.0, 0.0], 0)
    monitor.log_circuit_execution({"gates": []}, 1.0)
    assert value(monitor, "quantum_training_loss", **RUN) == 0.5
    assert value(monitor, "quantum_state_purity", **RUN) == 1.0
    assert value(monitor, "quantum_circuit_gates", **RUN, backend="unknown") == 0
    for kind in ("state", "circuit", "gradient"):
        assert value(monitor, "quantum_custom_metric", **RUN, name=f"good {kind}_metric") == 7.0
        where = f"plugin:broken {kind}_metric"
        assert value(monitor, "quantum_monitor_errors_total", where=where) == before[where] + 1


def test_a_plugin_that_hangs_holds_up_its_own_call_and_nothing_else(new_monitor: NewMonitor, value: Value) -> None:
    entered, go_on = threading.Event(), threading.Event()

    @plugins.gradient_metric("hangs")
    def hangs(_: object) -> float:
        entered.set()
        assert go_on.wait(20)
        return 1.0

    monitor = new_monitor().start_run("a")
    waiting = threading.Thread(target=monitor.log_training_step, args=(0.5, np.ones(9), np.ones(9), 0), daemon=True)
    waiting.start()
    assert entered.wait(20)
    others = threading.Thread(target=lambda: [monitor.log_metrics({"x": n}) for n in range(100)], daemon=True)
    others.start()
    others.join(20)
    assert not others.is_alive()
    assert value(monitor, "quantum_custom_metric", **RUN, name="x") == 99.0
    monitor.end_run()  # even while it hangs
    go_on.set()
    waiting.join(20)
    assert not waiting.is_alive()


class _Foreign(Collector):
    def describe(self) -> list[Family]:
        return []

    def collect(self) -> Iterator[Family]:
        yield Family("foreign", "Before it fails.", "gauge")
        raise UntoldError


def test_a_foreign_collector_that_raises_takes_nothing_else_with_it(new_monitor: NewMonitor, value: Value) -> None:
    registry = CollectorRegistry()
    registry.register(_Foreign())
    before = FAULTS.errors["collector"]
    monitor = new_monitor(registry=registry).start_run("a")
    monitor.log_training_step(0.5, None, None, 0)
    assert value(monitor, "quantum_training_loss", **RUN) == 0.5
    assert FAULTS.errors["collector"] == before + 1


def _break_a_backend(monitor: QuantumMonitor) -> None:
    alerts = SharedAlerts("backend", {"backend": "x"}, monitor.alert_system)
    alerts.rows = None  # type: ignore[assignment,method-assign]
    monitor._exporter._backends[()] = BackendStatus({"backend": "x"}, alerts)


@pytest.mark.parametrize(
    ("where", "breaks"),
    [
        ("collect_run", lambda monitor: setattr(monitor._run, "_circuits", None)),
        ("collect_backend", _break_a_backend),
        ("collect_machine", lambda monitor: setattr(monitor._exporter.machine, "latest", None)),
    ],
)
def test_a_part_of_our_own_that_fails_takes_no_other_part_with_it(
    new_monitor: NewMonitor,
    value: Value,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    breaks: Callable[[QuantumMonitor], None],
) -> None:
    monkeypatch.delenv("QUANTUM_MONITOR_RAISE")
    registry = CollectorRegistry()
    other = new_monitor(registry=registry).start_run("other")
    other.log_training_step(0.25, None, None, 0)
    monitor = new_monitor(registry=registry).start_run("a")
    breaks(monitor)
    before = FAULTS.errors[where]
    assert value(monitor, "quantum_training_loss", experiment="h2", run="other") == 0.25
    assert FAULTS.errors[where] == before + 1
    assert value(monitor, "quantum_monitor_errors_total", where=where) == before + 2
