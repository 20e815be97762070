"""The alert system: what each alert is judged from, transitions, cooldown, callbacks, history."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from quantum_monitor.alerts.system import QuantumAlertSystem
from quantum_monitor.config import ConfigurationError
from quantum_monitor.faults import FAULTS


class Clock:
    """A time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def reports(system: QuantumAlertSystem, *looks: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(alert["type"], alert["state"]) for look in looks for alert in system.check_alerts(look)]


@pytest.mark.parametrize(
    ("alert", "sound", "bad"),
    [
        ("fidelity_drop", {"fidelity": 0.96}, {"fidelity": 0.9}),
        ("fidelity_drop", {"quantum_fidelity": 0.96}, {"quantum_fidelity": 0.9}),
        ("fidelity_drop", {"quantum_state_fidelity": 0.96}, {"quantum_state_fidelity": 0.9}),
        ("fidelity_drop", {"state_fidelity": 0.96}, {"state_fidelity": 0.9}),
        ("gradient_explosion", {"gradient_norm": 9.0}, {"gradient_norm": 11.0}),
        ("gradient_explosion", {"gradient_norm": 9.0}, {"grad_norm": 11}),
        ("loss_not_finite", {"loss": 1.0}, {"loss": math.nan}),
        ("loss_not_finite", {"loss": 1.0}, {"loss": -math.inf}),
        ("loss_not_finite", {"loss": 1.0, "gradient_norm": 1.0}, {"loss": 1.0, "gradient_norm": math.nan}),
        ("barren_plateau", {"gradient_component_variance": 1e-3}, {"gradient_component_variance": 0.0}),
        ("barren_plateau", {"gradient_variance": 1e-3}, {"gradient_variance": 1e-8}),
        ("training_stalled", {"seconds_since_last_step": 5}, {"seconds_since_last_step": 301}),
        ("queue_time_limit", {"queue_time": 5.0}, {"queue_time": 301.0}),
        ("circuit_failures", {"failure_ratio": 0.1}, {"failure_ratio": 0.5}),
        ("error_rate_increase", {"error_rate": 0.01}, {"error_rate": 0.05}),
        ("error_rate_increase", {"error_ratio": 0.01}, {"error_ratio": 0.05}),
        ("backend_down", {"backend_down": 0}, {"backend_down": 1}),
        ("backend_down", {"backend_up": True}, {"backend_up": False}),
    ],
)
def test_an_alert_fires_on_a_bad_look_and_is_silent_before(
    alert: str, sound: Mapping[str, object], bad: Mapping[str, object]
) -> None:
    system = QuantumAlertSystem()
    assert reports(system, sound, sound) == []
    assert (alert, "firing") in reports(system, bad)
    assert (alert, "resolved") in reports(system, sound)


def test_an_alert_is_reported_with_everything_there_is_to_say() -> None:
    clock = Clock()
    (alert,) = QuantumAlertSystem(clock=clock).check_alerts({"gradient_norm": 12.5})
    assert alert == {
        "type": "gradient_explosion",
        "severity": "high",
        "message": "gradient norm: 12.5 is above 10",
        "timestamp": clock.now,
        "value": 12.5,
        "threshold": 10.0,
        "state": "firing",
        "labels": {},
        "started_at": clock.now,
        "duration": 0.0,
    }


def test_component_variance_is_believed_before_the_variance_of_the_norms() -> None:
    assert reports(QuantumAlertSystem(), {"gradient_component_variance": 1.0, "gradient_variance": 0.0}) == []


def test_what_rounding_adds_is_not_above_the_threshold() -> None:
    assert reports(QuantumAlertSystem(), {"fidelity": 0.95}) == []


def test_a_budget_and_entanglement_are_watched_only_when_asked_for() -> None:
    looks: list[Mapping[str, object]] = [{"total_cost": 1e9, "entanglement": 1.0}, {"entanglement": 0.01}]
    assert reports(QuantumAlertSystem(), *looks) == []
    asked = QuantumAlertSystem({"cost_budget": 50, "entanglement_loss": 0.1})
    assert reports(asked, *looks) == [("cost_budget", "firing"), ("entanglement_loss", "firing")]


def test_a_cost_is_a_spike_only_against_five_others() -> None:
    system = QuantumAlertSystem()
    assert reports(system, *[{"cost": 1.0}] * 4, {"cost": 5.0}) == []
    (alert,) = system.check_alerts({"cost": 3.0})
    assert (alert["type"], alert["value"]) == ("cost_spike", 3.0)


def test_costs_of_zero_give_no_measure_for_a_spike() -> None:
    assert reports(QuantumAlertSystem(), *[{"cost": 0.0}] * 10, {"cost": 5.0}) == []


def test_cpu_and_memory_fire_only_after_five_minutes() -> None:
    clock = Clock()
    system = QuantumAlertSystem(clock=clock)
    busy: Mapping[str, object] = {"cpu_ratio": 0.99, "memory_ratio": 0.99}
    assert reports(system, busy) == []
    clock.now += 200
    assert reports(system, {"cpu_ratio": 0.5, "memory_ratio": 0.99}) == []
    clock.now += 101
    assert reports(system, busy) == [("memory_high", "firing")]


def test_a_metric_with_a_rule_of_its_own_is_judged_under_every_name_of_it() -> None:
    system = QuantumAlertSystem({
        "hardware_temp": {"above": 0.02, "severity": "high"},
        "training_loss": {"below": -1.0},
    })  # fmt: skip
    alerts = system.check_alerts({"hardware_temp": 0.03, "quantum_training_loss": -2.0})
    assert [(alert["type"], alert["severity"], alert["message"]) for alert in alerts] == [
        ("hardware_temp", "high", "hardware_temp: 0.03 is above 0.02"),
        ("training_loss", "medium", "training_loss: -2 is below -1"),
    ]


def test_a_rule_with_a_duration_waits_for_it() -> None:
    clock = Clock()
    system = QuantumAlertSystem({"temp": {"above": 1, "for": "1m"}}, clock=clock)
    assert reports(system, {"temp": 2}) == []
    clock.now += 59
    assert reports(system, {"temp": 2}) == []
    clock.now += 1
    assert reports(system, {"temp": 2}) == [("temp", "firing")]


@pytest.mark.parametrize("off", [None, False])
def test_an_alert_can_be_switched_off(off: object) -> None:
    system = QuantumAlertSystem({"gradient_explosion": off})
    assert reports(system, {"gradient_norm": 1e9}) == []
    assert "gradient_explosion" not in system.thresholds


def test_wrong_thresholds_are_refused_all_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        QuantumAlertSystem({"gradient_explosoin": 1, "cpu_high": 95})
    assert len(caught.value.problems) == 2
    assert caught.value.problems[0].startswith("alert_thresholds.gradient_explosoin: ")


# NaN


def test_a_nan_is_neither_healthy_nor_a_breach_but_not_finite() -> None:
    system = QuantumAlertSystem()
    assert reports(system, {"gradient_norm": 50.0}) == [("gradient_explosion", "firing")]
    assert reports(system, {"gradient_norm": math.nan}) == [("loss_not_finite", "firing")]
    assert reports(system, {"fidelity": math.nan, "error_rate": math.nan, "cost": math.nan}) == []
    assert set(reports(system, {"gradient_norm": 1.0})) == {
        ("gradient_explosion", "resolved"),
        ("loss_not_finite", "resolved"),
    }


def test_an_infinite_gradient_is_an_explosion_and_not_finite() -> None:
    fired = reports(QuantumAlertSystem(), {"gradient_norm": math.inf})
    assert fired == [("gradient_explosion", "firing"), ("loss_not_finite", "firing")]


def test_steps_that_are_not_finite_are_counted_in_a_row() -> None:
    system = QuantumAlertSystem({"loss_not_finite": 2})
    bad: Mapping[str, object] = {"loss": math.nan}
    assert reports(system, bad, bad, {"loss": 1.0}, bad, bad) == []
    assert reports(system, bad) == [("loss_not_finite", "firing")]


@pytest.mark.parametrize("value", ["high", [1, 2], {}, 1j, object()])
def test_what_is_no_number_is_counted_and_changes_nothing(value: object) -> None:
    before = FAULTS.errors["check_alerts"]
    assert reports(QuantumAlertSystem(), {"queue_time": value, "cost": None}) == []
    assert FAULTS.errors["check_alerts"] == before + 1


# Transitions and cooldown


def test_an_alert_is_reported_once_and_again_only_after_the_cooldown() -> None:
    clock = Clock()
    system = QuantumAlertSystem(clock=clock)
    told = []
    for _ in range(1_000):
        clock.now += 1
        told += reports(system, {"gradient_norm": 20.0})
    assert told == [("gradient_explosion", "firing")] * 4
    assert reports(system, {"gradient_norm": 1.0}, {"gradient_norm": 1.0}) == [("gradient_explosion", "resolved")]


def test_what_is_absent_resolves_nothing() -> None:
    system = QuantumAlertSystem()
    assert reports(system, {"gradient_norm": 20.0}, {}, {"loss": 1.0}) == [("gradient_explosion", "firing")]


# Callbacks, history, summary


def test_callbacks_hear_transitions_in_the_thread_of_the_caller() -> None:
    system = QuantumAlertSystem()
    heard: list[tuple[str, str, int]] = []
    system.register_callback(lambda kind, alert: heard.append((kind, alert["state"], threading.get_ident())))
    reports(system, {"gradient_norm": 20.0}, {"gradient_norm": 20.0}, {"gradient_norm": 1.0})
    here = threading.get_ident()
    assert heard == [("gradient_explosion", "firing", here), ("gradient_explosion", "resolved", here)]


def test_a_callback_that_raises_is_counted_and_stops_no_other() -> None:
    system = QuantumAlertSystem()
    heard: list[str] = []

    def raises(kind: str, alert: dict[str, Any]) -> None:
        alert.clear()
        raise RuntimeError(kind)

    system.register_callback(raises)
    system.register_callback(lambda _, alert: heard.append(alert["type"]))
    before = FAULTS.errors["alert_callback"]
    assert reports(system, {"gradient_norm": 20.0}) == [("gradient_explosion", "firing")]
    assert heard == ["gradient_explosion"]
    assert FAULTS.errors["alert_callback"] == before + 1
    assert system.alert_history[0]["type"] == "gradient_explosion"


def test_a_callback_may_ask_the_system_that_called_it() -> None:
    system = QuantumAlertSystem()
    seen: list[int] = []
    system.register_callback(lambda *_: seen.append(len(system.alert_history)))
    reports(system, {"gradient_norm": 20.0})
    assert seen == [1]


def test_what_cannot_be_called_is_refused_as_a_callback() -> None:
    with pytest.raises(TypeError, match="function of"):
        QuantumAlertSystem().register_callback("print")  # type: ignore[arg-type]


def test_the_history_is_bounded() -> None:
    system = QuantumAlertSystem(cooldown=0)
    for _ in range(1_500):
        system.check_alerts({"gradient_norm": 20.0})
    assert len(system.alert_history) == 1_000


def test_the_summary_counts_what_fired_within_its_hours() -> None:
    clock = Clock()
    system = QuantumAlertSystem(clock=clock)
    reports(system, {"gradient_norm": 20.0}, {"gradient_norm": 1.0})
    clock.now += 7_200
    reports(system, {"queue_time": 500.0})
    assert system.get_alert_summary(hours=1) == {
        "total_alerts": 1,
        "alert_types": {"queue_time_limit": 1},
        "severity_breakdown": {"low": 1},
        "time_window_hours": 1,
        "most_recent": system.alert_history[-1],
    }
    assert system.get_alert_summary()["alert_types"] == {"gradient_explosion": 1, "queue_time_limit": 1}


def test_with_nothing_fired_the_summary_says_so() -> None:
    summary = QuantumAlertSystem().get_alert_summary()
    assert (summary["total_alerts"], summary["most_recent"]) == (0, None)


def test_many_threads_see_one_transition_in_all() -> None:
    system = QuantumAlertSystem()
    told: list[tuple[str, str]] = []
    start = threading.Barrier(16)

    def look() -> None:
        start.wait(timeout=30)
        for _ in range(50):
            told.extend(reports(system, {"gradient_norm": 20.0, "loss": 1.0}))

    threads = [threading.Thread(target=look) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert told == [("gradient_explosion", "firing")]
