"""Rules of the user's own on any metric, and alerts of the user's own by decorator and entry point."""

from __future__ import annotations

import logging
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantum_monitor import QuantumMonitor, plugins
from quantum_monitor.config import ConfigurationError
from quantum_monitor.faults import FAULTS
from tests.alerts.watching import CALM, OVER, RUN, Listener, NewMonitor, Time, calm_down, explode, look, shown

Log = Callable[[QuantumMonitor], object]


@pytest.fixture(autouse=True)
def _nothing_left() -> Iterator[None]:
    yield
    for plugin in tuple(plugins.ALERTS):
        plugins.unregister(plugin.name)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


def reports(monitor: QuantumMonitor) -> list[tuple[str, str, float]]:
    return [(alert["type"], alert["state"], alert["value"]) for alert in monitor.alert_system.alert_history]


# Rules by configuration


def status(**options: Any) -> Log:
    return lambda monitor: monitor.log_backend_status("ibm", up=True, **options)


def execution(**options: Any) -> Log:
    return lambda monitor: monitor.log_circuit_execution(
        {"gates": [{"type": "h", "qubit": 0}] * 7}, 9.0, backend_info="ibm", **options
    )


def metrics(**values: Any) -> Log:
    return lambda monitor: monitor.log_metrics(values, step=1)


def step(monitor: QuantumMonitor) -> None:
    monitor.log_training_step(0.25, CALM, np.full(9, 2.0), 0)


def mixed_state(monitor: QuantumMonitor) -> None:
    monitor.log_quantum_state(np.eye(2) / 2, 0)


BACKEND = {"backend": "ibm"}


@pytest.mark.parametrize(
    ("name", "rule", "log", "value_and_labels"),
    [
        ("loss", {"above": 0.2}, step, (0.25, RUN)),
        ("training_loss", {"below": 0.3}, step, (0.25, RUN)),
        ("quantum_training_loss", {"above": 0.2}, metrics(loss=0.25), (0.25, RUN)),
        ("gradient_norm", {"above": 0.5}, step, (1.0, RUN)),
        ("quantum_training_parameter_norm", {"above": 5}, step, (6.0, RUN)),
        ("purity", {"below": 0.9}, mixed_state, (0.5, RUN)),
        ("quantum_state_von_neumann_entropy", {"above": 0.5}, mixed_state, (1.0, RUN)),
        ("fidelity", {"below": 0.9}, metrics(fidelity=0.5), (0.5, RUN)),
        ("execution_time", {"above": 8}, execution(), (9.0, RUN)),
        ("queue_time", {"above": 8}, execution(queue_time=20.0), (20.0, RUN)),
        ("cost", {"above": 1.5}, execution(cost=2.0), (2.0, RUN)),
        ("depth", {"above": 6}, execution(), (7.0, RUN)),
        ("quantum_circuit_gates", {"above": 6}, execution(), (7.0, RUN)),
        ("backend_pending_jobs", {"above": 100}, status(pending_jobs=101), (101.0, BACKEND)),
        ("quantum_backend_pending_jobs", {"above": 100}, status(pending_jobs=101), (101.0, BACKEND)),
        ("quantum_backend_error_ratio", {"above": 0.1}, status(error_rates={"1q": 0.05, "2q": 0.2}), (0.2, BACKEND)),
        ("backend_utilization", {"below": 0.5}, status(utilization=0.25), (0.25, BACKEND)),
        ("hardware_temp", {"above": 0.02}, metrics(hardware_temp=0.03), (0.03, RUN)),
        ("Temperatur in °C", {"below": 0}, lambda m: m.log_metrics({"Temperatur in °C": -1}), (-1.0, RUN)),
        ("weights_max", {"above": 2}, metrics(weights=[1.0, 3.0]), (3.0, RUN)),
    ],
)  # fmt: skip
def test_a_rule_on_any_metric_is_judged_and_shown(
    name: str, rule: Mapping[str, object], log: Log, value_and_labels: Any, new_monitor: NewMonitor
) -> None:
    value, labels = value_and_labels
    monitor = new_monitor(alert_config={name: {**rule, "severity": "high"}}).start_run("a")
    log(monitor)
    (told,) = (alert for alert in monitor.alert_system.alert_history if alert["type"] == name)
    side = "above" if "above" in rule else "below"
    assert (told["state"], told["severity"], told["labels"]) == ("firing", "high", labels)
    assert told["message"] == f"{name}: {value:g} is {side} {rule[side]:g}"
    assert shown(monitor, "value", name, labels) == value == told["value"]
    assert shown(monitor, "threshold", name, labels) == rule[side]
    assert shown(monitor, "firing", name, labels, severity="critical") == 1.0
    assert shown(monitor, "quantum_alerts_total", name, labels, severity="critical") == 1.0


def test_a_rule_on_the_machine_has_no_labels(new_monitor: NewMonitor) -> None:
    monitor = new_monitor(alert_config={"quantum_system_memory_total_bytes": {"above": 1, "severity": "low"}})
    assert monitor.registry.get_sample_value("quantum_system_memory_total_bytes")
    assert monitor.registry.get_sample_value(
        "quantum_alert_firing", {"alert": "quantum_system_memory_total_bytes", "severity": "info"}
    ) == 1.0  # fmt: skip


def test_a_rule_is_silent_at_its_threshold_and_medium_unless_told_otherwise(new_monitor: NewMonitor) -> None:
    monitor = new_monitor(alert_config={"temp": {"above": 0.05}}).start_run("a")
    monitor.log_metrics({"temp": 1 - 0.95})
    assert shown(monitor, "firing", "temp", RUN, severity="warning") == 0.0
    assert shown(monitor, "value", "temp", RUN) == 0.05
    monitor.log_metrics({"temp": math.nan})
    monitor.log_metrics({"temp": 0.051})
    assert reports(monitor) == [("temp", "firing", 0.051)]


@pytest.mark.parametrize("duration", ["5m", 300, "300s"])
def test_a_rule_with_a_duration_is_pending_first(duration: object, new_monitor: NewMonitor, clock: Time) -> None:
    monitor = new_monitor(alert_config={"temp": {"above": 1, "for": duration}}).start_run("a")
    monitor.log_metrics({"temp": 2.0})
    (pending,) = monitor.alert_system.active_alerts
    assert (pending["type"], pending["state"], pending["duration"]) == ("temp", "pending", 0.0)
    assert shown(monitor, "firing", "temp", RUN, severity="warning") == 0.0
    clock.passes(290.0, monitor)
    monitor.log_metrics({"temp": 1.0})
    monitor.log_metrics({"temp": 2.0})
    clock.passes(290.0, monitor)
    assert reports(monitor) == []
    clock.passes(20.0, monitor)
    assert reports(monitor) == [("temp", "firing", 2.0)]
    monitor.log_metrics({"temp": 1.0})
    assert [state for _, state, _ in reports(monitor)] == ["firing", "resolved"]
    monitor.log_metrics({"temp": 2.0})
    (again,) = monitor.alert_system.active_alerts
    assert (again["state"], again["duration"], again["started_at"]) == ("pending", 0.0, again["timestamp"])


def test_a_rule_on_what_each_step_measures_sees_each_step_also_the_quiet_ones(
    new_monitor: NewMonitor, clock: Time
) -> None:
    monitor = new_monitor(alert_config={"loss": {"below": -1.0}}).start_run("a")
    for number in range(300):
        monitor.log_training_step(-2.0 if number == 250 else 0.0, CALM, None, number)
    assert shown(monitor, "value", "loss", RUN) == -2.0
    clock.passes(OVER, monitor)
    assert reports(monitor) == [("loss", "firing", -2.0), ("loss", "resolved", 0.0)]


def test_a_rule_can_be_changed_switched_off_and_made_while_the_training_runs(new_monitor: NewMonitor) -> None:
    monitor = new_monitor(alert_config={"temp": {"above": 1}}).start_run("a")
    alerts = monitor.alert_system
    monitor.log_metrics({"temp": 2.0})
    alerts.set_threshold("temp", {"above": 3, "severity": "high"})
    alerts.set_threshold("temp", {"above": 1.5})
    alerts.set_threshold("temp", None)
    alerts.set_threshold("temp", None)
    assert shown(monitor, "firing", "temp", RUN, severity="warning") is None
    assert [state for _, state, _ in reports(monitor)] == ["firing", "resolved"]
    alerts.set_threshold("pressure", {"below": 0})
    monitor.log_metrics({"temp": 9.0, "pressure": -1.0})
    assert [alert["type"] for alert in alerts.active_alerts] == ["pressure"]


def test_a_rule_that_changes_sides_ends_what_fired_on_the_other(new_monitor: NewMonitor) -> None:
    monitor = new_monitor(alert_config={"temp": {"above": 1}}).start_run("a")
    monitor.log_metrics({"temp": 2.0})
    monitor.alert_system.set_threshold("temp", {"below": 1})
    assert [state for _, state, _ in reports(monitor)] == ["firing", "resolved"]
    monitor.log_metrics({"temp": 0.0})
    assert monitor.alert_system.active_alerts[0]["message"] == "temp: 0 is below 1"


# Alerts of the user's own


def test_an_alert_of_ones_own_is_called_with_the_fields_and_judged(new_monitor: NewMonitor) -> None:
    seen: list[Mapping[str, float]] = []

    @plugins.alert_rule("overshoot", above=0.5, severity="high")
    def overshoot(fields: Mapping[str, float]) -> float | None:
        seen.append(fields)
        return fields.get("parameter_change")

    monitor = new_monitor().start_run("a")
    listener = Listener(monitor)
    monitor.log_training_step(1.0, CALM, np.zeros(9), 0)
    assert shown(monitor, "value", "overshoot", RUN) is None
    assert shown(monitor, "firing", "overshoot", RUN, severity="critical") == 0.0
    monitor.log_training_step(1.0, CALM, np.full(9, 1.0), 1)
    (told,) = listener.hears(("overshoot", "firing"))
    assert (told["value"], told["threshold"], told["severity"]) == (3.0, 0.5, "high")
    assert shown(monitor, "value", "overshoot", RUN) == 3.0
    assert seen[0]["loss"] == 1.0
    with pytest.raises(TypeError):
        seen[0]["loss"] = 2.0  # type: ignore[index]


@pytest.mark.parametrize(
    ("on", "log"),
    [("training", calm_down), ("state", mixed_state), ("circuit", execution()), ("training", metrics(loss=1.0))],
)
def test_an_alert_of_ones_own_is_judged_on_its_kind_of_record_only(on: str, log: Log, new_monitor: NewMonitor) -> None:
    for kind in ("training", "state", "circuit"):
        plugins.alert_rule(f"on {kind}", below=1.0, on=kind)(lambda _: 0.0)
    monitor = new_monitor().start_run("a")
    log(monitor)
    monitor.log_metrics({"my own": 1.0})
    assert reports(monitor) == [(f"on {on}", "firing", 0.0)]


def test_an_alert_of_ones_own_may_hold(new_monitor: NewMonitor, clock: Time) -> None:
    plugins.alert_rule("slow", above=0.5, hold="2m")(lambda _: 1.0)
    monitor = new_monitor().start_run("a")
    calm_down(monitor)
    clock.passes(100.0, monitor)
    assert reports(monitor) == []
    clock.passes(40.0, monitor)
    assert reports(monitor) == [("slow", "firing", 1.0)]


@pytest.mark.parametrize("nonsense", ["0.9", [1.0], {"other": "x"}, 1j, object()])
def test_nonsense_from_an_alert_of_ones_own_is_counted_and_judged_as_nothing(
    nonsense: object, new_monitor: NewMonitor
) -> None:
    plugins.alert_rule("nonsense", above=0.0)(lambda _: nonsense)
    plugins.alert_rule("sound", above=0.0)(lambda _: 1.0)
    monitor, before = new_monitor().start_run("a"), FAULTS.errors["plugin:nonsense"]
    calm_down(monitor)
    assert FAULTS.errors["plugin:nonsense"] == before + 1
    assert reports(monitor) == [("sound", "firing", 1.0)]
    assert shown(monitor, "value", "nonsense", RUN) is None


@pytest.mark.parametrize("nothing", [None, math.nan])
def test_none_and_nan_are_nothing_to_judge_and_no_failure(nothing: float | None, new_monitor: NewMonitor) -> None:
    answers = iter([5.0, *[nothing] * 50])
    plugins.alert_rule("sometimes", above=1.0)(lambda _: next(answers))
    monitor = new_monitor().start_run("a")
    for number in range(30):
        calm_down(monitor, number)
    assert [alert["value"] for alert in monitor.alert_system.active_alerts] == [5.0]
    assert "sometimes" in plugins.alerts()
    assert FAULTS.errors["plugin:sometimes"] == 0


def test_an_alert_of_ones_own_that_raises_ten_times_in_a_row_is_switched_off(
    new_monitor: NewMonitor, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []

    @plugins.alert_rule("broken", above=1.0)
    def broken(_: object) -> float:
        calls.append(1)
        if len(calls) == 5:
            return 0.0
        raise RuntimeError("no")

    monitor, before = new_monitor().start_run("a"), FAULTS.errors["plugin:broken"]
    with caplog.at_level(logging.WARNING):
        for number in range(40):
            calm_down(monitor, number)
    assert len(calls) == 15
    assert FAULTS.errors["plugin:broken"] == before + 14
    assert sum("switched off" in record.message for record in caplog.records) == 1
    assert monitor.get_comprehensive_summary()["training_summary"]["total_steps"] == 40


def test_the_threshold_of_ones_own_alert_comes_from_alert_config_and_may_change(new_monitor: NewMonitor) -> None:
    plugins.alert_rule("mine", below=0.5)(lambda fields: fields.get("loss"))
    strict, lenient, off = (new_monitor(alert_config=config) for config in ({"mine": 2}, None, {"mine": None}))
    for monitor in (strict, lenient, off):
        monitor.start_run("a")
        calm_down(monitor)
    assert [reports(monitor) for monitor in (strict, lenient, off)] == [[("mine", "firing", 1.0)], [], []]
    assert shown(off, "threshold", "mine", RUN) is None
    lenient.alert_system.set_threshold("mine", 3)
    assert reports(lenient) == [("mine", "firing", 1.0)]
    lenient.alert_system.set_threshold("mine", None)
    assert [state for _, state, _ in reports(lenient)] == ["firing", "resolved"]


def test_alert_config_may_give_ones_own_alert_another_rule(new_monitor: NewMonitor) -> None:
    plugins.alert_rule("mine", above=0.5)(lambda fields: fields.get("loss"))
    monitor = new_monitor(alert_config={"mine": {"below": 2.0, "severity": "low"}}).start_run("a")
    calm_down(monitor)
    (told,) = monitor.alert_system.alert_history
    assert (told["message"], told["severity"]) == ("mine: 1 is below 2", "low")


def test_ones_own_alert_named_as_a_metric_of_a_backend_belongs_to_the_run(new_monitor: NewMonitor) -> None:
    plugins.alert_rule("backend_pending_jobs", above=0.5)(lambda _: 1.0)
    monitor = new_monitor().start_run("a")
    calm_down(monitor)
    assert shown(monitor, "firing", "backend_pending_jobs", RUN, severity="warning") == 1.0


def test_an_alert_that_was_unregistered_is_called_and_judged_no_more(new_monitor: NewMonitor) -> None:
    calls: list[object] = []
    plugins.alert_rule("gone", above=0.0)(calls.append)
    monitor = new_monitor().start_run("a")
    calm_down(monitor)
    plugins.unregister("gone")
    calm_down(monitor, 2)
    assert len(calls) == 1
    monitor.start_run("b")
    assert shown(monitor, "firing", "gone", {"experiment": "h2", "run": "b"}, severity="warning") is None
    with pytest.raises(ConfigurationError, match="there is no such alert"):
        new_monitor(alert_config={"gone": 1.0})


def test_an_alert_of_ones_own_may_log_and_ask(new_monitor: NewMonitor) -> None:
    monitor = new_monitor()

    @plugins.alert_rule("curious", above=0.0)
    def curious(_: object) -> float:
        monitor.log_metrics({"asked": 1.0})
        return float(len(monitor.alert_system.active_alerts))

    monitor.start_run("a")
    explode(monitor)
    look(monitor)
    assert [alert["type"] for alert in monitor.alert_system.active_alerts] == ["gradient_explosion", "curious"]
    assert monitor.registry.get_sample_value("quantum_custom_metric", {**RUN, "name": "asked"}) == 1.0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"name": "gradient_explosion", "above": 1}, "built-in"),
        ({"name": "x"}, "above"),
        ({"name": "x", "above": 1, "below": 0}, "above"),
        ({"name": "x", "above": math.nan}, "finite"),
        ({"name": "x", "above": 1, "severity": "critical"}, "high, medium, low"),
        ({"name": "x", "above": 1, "hold": "5 minutes"}, "5m"),
        ({"name": "x", "above": 1, "on": "states"}, "state"),
        ({"name": " ", "above": 1}, "1 to 128"),
        ({"name": "x" * 129, "above": 1}, "1 to 128"),
    ],
)
def test_a_wrong_registration_is_refused_with_the_mend(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        plugins.alert_rule(**options)(lambda _: 1.0)
    assert plugins.alerts() == {}


PROGRAM = """
import sys
from prometheus_client import CollectorRegistry
from quantum_monitor import QuantumMonitor

sys.path.insert(0, sys.argv[1])
monitor = QuantumMonitor("h2", metrics_port=None, storage_path=sys.argv[2], registry=CollectorRegistry(),
                         enable_mlflow=False, alert_config={"from_package": 0.5})
with monitor.start_run("a"):
    monitor.log_training_step(1.0, None, None, 0)
    print([(alert["type"], alert["value"], alert["threshold"]) for alert in monitor.alert_system.active_alerts])
"""


def test_an_alert_comes_from_an_installed_package_and_alert_config_may_name_it(tmp_path: Path) -> None:
    package = tmp_path / "packages"
    (package / "acme-1.0.dist-info").mkdir(parents=True)
    (package / "acme-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    (package / "acme-1.0.dist-info" / "entry_points.txt").write_text(
        "[quantum_monitor.alerts]\nfrom_package = acme:from_package\nbroken = acme:missing\n"
    )
    (package / "acme.py").write_text(
        "from quantum_monitor.plugins import alert_rule\n"
        '@alert_rule("from_package", above=2.0)\ndef from_package(fields):\n    return fields["loss"]\n'
    )
    environment = {name: text for name, text in os.environ.items() if name != "QUANTUM_MONITOR_RAISE"}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, package, tmp_path / "runs"], capture_output=True, text=True, timeout=60,
        check=False, env=environment,
    )  # fmt: skip
    assert ended.stdout == "[('from_package', 1.0, 0.5)]\n", ended.stderr
    assert "plugin:broken" in ended.stderr
