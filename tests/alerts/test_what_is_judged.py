"""Which steps are looked at, which values count, and that judging one thing disturbs no other."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from quantum_monitor import QuantumMonitor, alert_rule
from quantum_monitor.plugins import unregister

NewMonitor = Callable[..., QuantumMonitor]
RUN = {"experiment": "h2", "run": "a"}
FLAT = np.full(16, 1e-5)


def value_of(monitor: QuantumMonitor, alert: str) -> float | None:
    return monitor.registry.get_sample_value("quantum_alert_value", {"alert": alert, **RUN})


def firing(monitor: QuantumMonitor) -> set[str]:
    return {alert["type"] for alert in monitor.alert_system.active_alerts if alert["state"] == "firing"}


def test_a_converged_and_quiet_run_is_looked_at_once_in_a_hundred_steps(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")
    for step in range(300):
        monitor.log_training_step(-1.0 + math.exp(-step), FLAT, FLAT, step)
    run = monitor._run
    assert run is not None
    looks = set()
    for step in range(300, 1_000):
        monitor.log_training_step(-1.0, FLAT, FLAT, step)
        assert run.alerts.next_look > run.steps
        looks.add(run.alerts.next_look)
    assert len(looks) == 8


def test_a_plateau_is_found_while_other_thresholds_change(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")
    for step in range(200):
        monitor.log_training_step(0.5, FLAT, FLAT, step)
        if step % 50 == 0:
            monitor.alert_system.set_threshold("gradient_explosion", 10.0 + step)
    assert "barren_plateau" in firing(monitor)


@pytest.mark.parametrize("explosion", [10.0, None])
def test_infinite_gradients_are_not_finite_whatever_else_is_off(
    new_monitor: NewMonitor, explosion: float | None
) -> None:
    monitor = new_monitor(alert_config={"gradient_explosion": explosion}).start_run("a")
    for step in range(50):
        monitor.log_training_step(0.5, [math.inf, 1.0], [0.0, 0.0], step)
    assert value_of(monitor, "loss_not_finite") == 50
    assert "loss_not_finite" in firing(monitor)


@pytest.mark.parametrize("metrics", [{"loss": math.nan}, {"gradient_norm": math.nan}, {"loss": math.inf}])
def test_a_value_that_is_not_finite_counts_without_a_step_too(
    new_monitor: NewMonitor, metrics: dict[str, float]
) -> None:
    monitor = new_monitor().start_run("a")
    monitor.log_metrics(metrics)
    assert value_of(monitor, "loss_not_finite") == 1
    monitor.log_metrics({"parameter_norm": 1.0})
    assert value_of(monitor, "loss_not_finite") == 1


def test_a_rule_is_judged_for_a_metric_that_has_no_series(new_monitor: NewMonitor) -> None:
    monitor = new_monitor(custom_series_limit=1, alert_config={"temperature": {"above": 0.02}}).start_run("a")
    monitor.log_metrics({"first": 1.0})
    monitor.log_metrics({"temperature": 0.03})
    assert monitor.registry.get_sample_value("quantum_custom_metric", {"name": "temperature", **RUN}) is None
    assert firing(monitor) == {"temperature"}


def test_a_fidelity_that_falls_is_found_among_steps_in_disorder(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")
    zero = np.array([1.0, 0.0])
    for number in range(100):
        for step in (2 * number + 1, 2 * number):  # as two workers log them
            angle = 0.012 * step
            monitor.log_quantum_state(np.array([math.cos(angle), math.sin(angle)]), step, reference_state=zero)
    assert "fidelity_drop" in firing(monitor)


def test_two_monitors_that_judge_one_backend_differently_do_not_flood(new_monitor: NewMonitor) -> None:
    judging = new_monitor()
    silent = new_monitor("other", registry=judging.registry, alert_config={"backend_down": None})
    for _ in range(20):
        judging.log_backend_status("ibm_fez", up=False)
        silent.log_backend_status("ibm_fez", up=False)
    told = [alert["state"] for alert in judging.alert_system.alert_history if alert["type"] == "backend_down"]
    assert told == ["firing", "resolved"]
    assert silent.alert_system.alert_history == []


def test_what_is_judged_no_more_is_not_said_to_be_over(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")
    monitor.log_training_step(0.5, [300.0, 0.0], [0.0, 0.0], 0)
    monitor.alert_system.set_threshold("gradient_explosion", None)
    assert [alert["message"] for alert in monitor.alert_system.alert_history] == [
        "gradient norm: 300 is above 10",
        "judged no more, gradient norm: 300 was above 10",
    ]


def test_an_alert_of_ones_own_comes_and_goes_while_the_run_goes_on(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")

    @alert_rule("too_large", above=1.0)
    def too_large(fields: dict[str, float]) -> float:
        return fields["parameter_norm"]

    try:
        monitor._exporter.look_at_alerts()  # as its thread does once a second
        monitor.log_training_step(0.5, [1.0, 0.0], [3.0, 4.0], 0)
        assert firing(monitor) == {"too_large"}
    finally:
        unregister("too_large")
    monitor._exporter.look_at_alerts()
    assert firing(monitor) == set()


@pytest.mark.parametrize("name", ["quantum_training_best_loss", "quantum_cost_total", "quantum_training_steps_total"])
def test_a_rule_on_what_no_record_carries_is_refused(new_monitor: NewMonitor, name: str) -> None:
    with pytest.raises(ValueError, match="no record carries this metric"):
        new_monitor(alert_config={name: {"above": 1.0}})


def test_a_rule_takes_a_number_for_its_threshold_while_it_runs(new_monitor: NewMonitor) -> None:
    monitor = new_monitor(alert_config={"temperature": {"below": 0.5, "severity": "high"}}).start_run("a")
    monitor.alert_system.set_threshold("temperature", 0.1)
    monitor.log_metrics({"temperature": 0.2})
    assert firing(monitor) == set()
    monitor.log_metrics({"temperature": 0.05})
    assert [alert["severity"] for alert in monitor.alert_system.active_alerts] == ["high"]


def test_a_misspelt_metric_in_a_rule_is_told(new_monitor: NewMonitor, caplog: pytest.LogCaptureFixture) -> None:
    new_monitor(alert_config={"lss": {"above": 1.0}, "hardware_temp": {"above": 0.02}})
    assert [record.getMessage() for record in caplog.records] == [
        "alert_config.lss: taken for a metric of your own; did you mean loss?"
    ]


def test_an_alert_that_prometheus_judges_has_no_threshold_here(new_monitor: NewMonitor) -> None:
    with pytest.raises(ValueError, match="Prometheus judges this alert by itself"):
        new_monitor(alert_config={"run_vanished": 3})


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (1.0, "the run has ended; gradient norm: 300 was above 10"),
        (40.0, "the run has ended; at its end, gradient norm: 300 is above 10"),
    ],
)
def test_what_was_only_held_is_not_said_to_stand_at_the_end(new_monitor: NewMonitor, last: float, message: str) -> None:
    monitor = new_monitor().start_run("a")
    monitor.log_training_step(0.5, [300.0, 0.0], [0.0, 0.0], 0)
    monitor.log_training_step(0.5, [last, 0.0], [0.0, 0.0], 1)
    monitor.end_run()
    assert monitor.alert_system.alert_history[-1]["message"] == message
