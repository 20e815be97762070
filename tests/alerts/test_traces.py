"""Alerts are judged on labelled traces: each fires when it should, and none when it should not."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from quantum_monitor.alerts.message import Alert
from quantum_monitor.alerts.run_alerts import RunAlerts
from quantum_monitor.alerts.system import QuantumAlertSystem
from tests.alerts import traces_of_hardware, traces_of_states, traces_of_training
from tests.alerts.traces import TRACES, Outcome, Trace, Training, outcome, table

RESULTS = Path(__file__).with_name("traces.results.txt")
_MODULES = (traces_of_training, traces_of_states, traces_of_hardware)  # whose import fills TRACES

_OWN_RULES = {
    "loss": {"below": 0.7},
    "gradient_variance": {"above": 4.0},
    "parameters": {"above": 9, "for": "10s"},
}
_STEP_ALERTS = {"gradient_explosion", "loss_not_finite", "barren_plateau", *_OWN_RULES}

OutcomeOf = Callable[[str], Outcome]


@pytest.fixture(scope="module")
def outcome_of(tmp_path_factory: pytest.TempPathFactory) -> OutcomeOf:
    played: dict[str, Outcome] = {}

    def result(name: str) -> Outcome:
        if name not in played:
            played[name] = outcome(TRACES[name], tmp_path_factory.mktemp("trace"))
        return played[name]

    return result


@pytest.mark.parametrize("name", TRACES)
def test_exactly_the_labelled_alerts_fire(name: str, outcome_of: OutcomeOf) -> None:
    expected, got = TRACES[name].fires, outcome_of(name)
    assert got.told.keys() == expected.keys()
    for alert, label in expected.items():
        assert label.earliest <= got.first[alert] <= label.latest, alert
        assert (got.told[alert], got.over[alert]) == (label.told, label.over), alert


def test_the_table_of_results_is_the_committed_one(outcome_of: OutcomeOf) -> None:
    results = table({name: outcome_of(name) for name in TRACES})
    if os.environ.get("UPDATE_GOLDEN"):
        RESULTS.write_text(results, encoding="utf-8")
    assert results == RESULTS.read_text(encoding="utf-8"), "look at the difference, then renew it with UPDATE_GOLDEN=1"


def test_every_alert_that_is_judged_in_the_process_fires_in_one_trace_and_is_silent_in_others() -> None:
    from quantum_monitor.alerts.rules import ALERTS

    fired = {alert for trace in TRACES.values() for alert in trace.fires}
    assert {rule.key for rule in ALERTS} <= fired
    assert len(TRACES) >= 25
    assert sum(not trace.fires for trace in TRACES.values()) >= 10


def _anything(training: Training) -> None:
    """Phases of all sorts: norms on either side of the threshold, flat ones, NaN, restarts, pauses."""
    random, step = training.random, 0
    training.monitor.alert_system.cooldown = 0.0
    for _ in range(60):
        norm, angles = 10 ** random.uniform(-6, 2), int(random.integers(8, 12))
        loss = float(random.choice([1.0, 1.0, 0.5, np.nan]))
        step = 0 if random.random() < 0.1 else step
        for _ in range(random.integers(1, 200)):
            gradient = norm * random.normal(size=angles) * 10 ** random.uniform(-0.2, 0.2)
            measured = gradient if random.random() < 0.95 else None
            training.step(step, loss, measured, np.ones(angles), takes=float(random.choice([0.05, 0.4])))
            step += 1
        training.wait(float(random.choice([0.0, 0.0, 70.0])))


def _transitions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, float, float]]:
    """Each beginning and end of an alert: alert, state, time, value. Repeats come when somebody looks: left out."""
    changes: list[tuple[str, str, float, float]] = []
    standing: dict[str, str] = {}

    def tell(_: object, alert: Alert) -> None:
        if standing.get(alert["type"]) != alert["state"]:
            standing[alert["type"]] = alert["state"]
            changes.append((alert["type"], alert["state"], alert["timestamp"], alert["value"]))

    monkeypatch.setattr(QuantumAlertSystem, "tell", tell)
    outcome(Trace("anything", _anything, {}, {"alert_config": _OWN_RULES}), folder)
    return changes


def test_steps_within_the_quiet_bounds_would_have_changed_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounded = _transitions(tmp_path / "bounded", monkeypatch)

    def judge_each_step(alerts: RunAlerts) -> None:
        alerts.norm, alerts.low, alerts.high, alerts.next_look = -math.inf, -math.inf, math.inf, 0

    monkeypatch.setattr(RunAlerts, "_set_bounds", judge_each_step)
    monkeypatch.setattr(RunAlerts, "_brings_nothing_new", lambda *_: False)
    assert {alert for alert, *_ in bounded} == _STEP_ALERTS
    assert _transitions(tmp_path / "each", monkeypatch) == bounded
