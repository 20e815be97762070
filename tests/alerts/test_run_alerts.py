"""Every built-in alert, from log calls to callback and series; thresholds, cooldown, several monitors."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

from quantum_monitor import QuantumMonitor
from quantum_monitor.alerts.shared import SharedAlerts
from quantum_monitor.alerts.system import QuantumAlertSystem
from quantum_monitor.config import ConfigurationError
from quantum_monitor.store.reader import StoredRun
from tests.alerts.watching import CALM, OVER, RUN, Listener, NewMonitor, Time, calm_down, explode, look, shown
from tests.server_process import eventually

BELL, PRODUCT = np.array([1.0, 0.0, 0.0, 1.0]) / math.sqrt(2), np.array([1.0, 0.0, 0.0, 0.0])
WAVY = np.array([1e-4, -1e-4] * 4)  # variance 1e-8
BACKEND = {"backend": "ibm"}

Log = Callable[[QuantumMonitor], object]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


def execute(monitor: QuantumMonitor, **options: Any) -> None:
    monitor.log_circuit_execution(None, 0.1, backend_info="ibm", **options)


def pay(monitor: QuantumMonitor, *costs: float) -> None:
    for cost in costs:
        execute(monitor, cost=cost)


def end_as(monitor: QuantumMonitor, *statuses: str) -> None:
    for status in statuses:
        execute(monitor, status=status)


def fidelity(monitor: QuantumMonitor, *states: Any, times: int = 10) -> None:
    for _ in range(times):
        for state in states:
            monitor.log_quantum_state(state, None, reference_state=[1.0, 0.0])


def steps(monitor: QuantumMonitor, count: int, loss: float, gradient: Any, first: int = 0) -> None:
    for number in range(first, first + count):
        monitor.log_training_step(loss, gradient, None, number)


@dataclass(frozen=True)
class Case:
    """An alert, how it comes about and goes, and what is said of it."""

    alert: str
    severity: tuple[str, str]
    sound: Log
    bad: Log
    mended: Log
    value: float
    threshold: float
    labels: Mapping[str, str] = field(default_factory=lambda: RUN)
    config: Mapping[str, object] = field(default_factory=dict)
    wait: float = 0.0
    tolerance: float = 1e-9
    told_at: float | None = None  # the value that it was told at, where it went on from there


HIGH, MEDIUM, LOW = ("high", "critical"), ("medium", "warning"), ("low", "info")

CASES = [
    Case("fidelity_drop", HIGH, lambda m: fidelity(m, [1.0, 0.0]), lambda m: fidelity(m, [0.8, 0.6]),
         lambda m: fidelity(m, [1.0, 0.0]), 0.36, 0.05, told_at=0.18),
    Case("entanglement_loss", MEDIUM, lambda m: [m.log_quantum_state(BELL, n) for n in range(10)],
         lambda m: [m.log_quantum_state(PRODUCT, n) for n in range(10, 20)],
         lambda m: [m.log_quantum_state(BELL, n) for n in range(20, 30)], 1.0, 0.1, config={"entanglement_loss": 0.1},
         told_at=0.5),
    Case("gradient_explosion", HIGH, calm_down, explode, calm_down, 50.0, 10.0),
    Case("loss_not_finite", HIGH, calm_down, lambda m: m.log_training_step(math.nan, CALM, None, 2),
         lambda m: m.log_training_step(1.0, CALM, None, 3), 1.0, 0.0),
    Case("barren_plateau", MEDIUM, lambda m: steps(m, 99, 1.0, WAVY), lambda m: steps(m, 1, 1.0, WAVY, 99),
         lambda m: steps(m, 20, 0.1, WAVY * 1e4, 100), 1e-8, 1e-6),
    Case("training_stalled", MEDIUM, lambda m: steps(m, 3, 1.0, CALM), lambda _: None,
         lambda m: steps(m, 3, 1.0, CALM, 3), 301.0, 300.0, wait=301.0, tolerance=0.1),
    Case("queue_time_limit", LOW, lambda m: execute(m, queue_time=300.0), lambda m: execute(m, queue_time=300.5),
         lambda m: execute(m, queue_time=1.0), 300.5, 300.0),
    Case("cost_spike", MEDIUM, lambda m: pay(m, *[1.0] * 6), lambda m: pay(m, 3.0), lambda m: pay(m, 1.0), 3.0, 2.0),
    Case("circuit_failures", MEDIUM, lambda m: end_as(m, *["success"] * 8, "failed"),
         lambda m: end_as(m, "failed", "failed"), lambda m: end_as(m, *["success"] * 30), 3 / 11, 0.2),
    Case("error_rate_increase", MEDIUM, lambda m: m.log_backend_status("ibm", up=True, error_rates={"2q": 0.01}),
         lambda m: m.log_backend_status("ibm", up=True, error_rates={"2q": 0.05}),
         lambda m: m.log_backend_status("ibm", up=True, error_rates={"2q": 0.02}), 0.04, 0.02, BACKEND),
    Case("backend_down", HIGH, lambda m: m.log_backend_status("ibm", up=True),
         lambda m: m.log_backend_status("ibm", up=False), lambda m: m.log_backend_status("ibm", up=True),
         1.0, 0.0, BACKEND),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.alert)
def test_each_alert_is_told_and_shown_and_ends(case: Case, new_monitor: NewMonitor, clock: Time) -> None:
    monitor = new_monitor(alert_config=case.config).start_run("a")
    listener = Listener(monitor)
    word, label = case.severity

    def stands(series: str, **labels: str) -> float | None:
        return shown(monitor, series, case.alert, case.labels, **labels)

    case.sound(monitor)
    look(monitor)
    assert stands("firing", severity=label) == 0.0
    assert monitor.alert_system.active_alerts == []

    case.bad(monitor)
    clock.passes(case.wait, monitor)
    value = pytest.approx(case.value, rel=case.tolerance)
    (told,) = listener.hears((case.alert, "firing"))
    assert told["value"] == (value if case.told_at is None else pytest.approx(case.told_at))
    assert (told["severity"], told["threshold"], told["labels"]) == (word, case.threshold, case.labels)
    assert stands("value") == value
    assert stands("threshold") == case.threshold
    assert (stands("firing", severity=label), stands("quantum_alerts_total", severity=label)) == (1.0, 1.0)
    (active,) = monitor.alert_system.active_alerts
    assert (active["type"], active["state"], active["value"]) == (case.alert, "firing", value)

    case.mended(monitor)
    clock.passes(OVER, monitor)
    _, resolved = listener.hears((case.alert, "firing"), (case.alert, "resolved"))
    assert resolved["labels"] == case.labels
    assert resolved["started_at"] == told["started_at"] <= told["timestamp"]
    assert "is no longer" in resolved["message"]
    assert (stands("firing", severity=label), stands("quantum_alerts_total", severity=label)) == (0.0, 1.0)
    assert monitor.alert_system.active_alerts == []


def test_money_spent_never_comes_back(new_monitor: NewMonitor, clock: Time) -> None:
    monitor = new_monitor(alert_config={"cost_budget": 50}).start_run("a")
    listener = Listener(monitor)
    execute(monitor, cost=50.0)
    assert shown(monitor, "firing", "cost_budget", RUN, severity="critical") == 0.0
    execute(monitor, cost=0.5)
    (told,) = listener.hears(("cost_budget", "firing"))
    assert (told["value"], told["threshold"]) == (50.5, 50.0)
    clock.passes(200.0, monitor)
    assert shown(monitor, "firing", "cost_budget", RUN, severity="critical") == 1.0


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """What psutil reads: processors that are in use to a share, and memory."""
    reading = SimpleNamespace(cpu=0.5, memory=0.5, seconds=0.0)

    class Times(SimpleNamespace):
        def _asdict(self) -> dict[str, float]:
            return vars(self)

    busy = [0.0]

    def cpu_times() -> Times:
        reading.seconds += 1.0
        busy[0] += reading.cpu
        return Times(user=busy[0], idle=reading.seconds - busy[0])

    monkeypatch.setattr(psutil, "cpu_times", cpu_times)
    total = 1_000_000
    monkeypatch.setattr(
        psutil, "virtual_memory", lambda: SimpleNamespace(total=total, available=total * (1 - reading.memory))
    )
    return reading


@pytest.mark.parametrize(("alert", "reading"), [("cpu_high", "cpu"), ("memory_high", "memory")])
def test_a_machine_that_was_busy_for_five_minutes_is_told_of(
    alert: str, reading: str, clock: Time, machine: SimpleNamespace, new_monitor: NewMonitor
) -> None:
    monitor = new_monitor()
    listener = Listener(monitor)

    def reads(value: float) -> None:
        setattr(machine, reading, value)
        monitor.start_realtime_monitoring(0.05)
        eventually(lambda: shown(monitor, "value", alert, {}) == pytest.approx(value), seconds=20, what="the reading")
        monitor.stop_realtime_monitoring()

    reads(0.95)
    clock.passes(400.0, monitor)
    assert shown(monitor, "firing", alert, {}, severity="info") == 0.0
    reads(0.99)
    (pending,) = monitor.alert_system.active_alerts
    assert (pending["type"], pending["state"], pending["duration"], pending["labels"]) == (alert, "pending", 0.0, {})
    clock.passes(280.0, monitor)
    assert shown(monitor, "firing", alert, {}, severity="info") == 0.0
    clock.passes(21.0, monitor)
    (told,) = listener.hears((alert, "firing"))
    assert (told["severity"], told["value"], told["threshold"]) == ("low", pytest.approx(0.99), 0.95)
    assert shown(monitor, "firing", alert, {}, severity="info") == 1.0
    reads(0.5)
    listener.hears((alert, "firing"), (alert, "resolved"))


# Not stalled


def test_training_that_waits_for_a_backend_is_not_stalled(new_monitor: NewMonitor, clock: Time) -> None:
    monitor = new_monitor().start_run("a")
    listener = Listener(monitor)
    steps(monitor, 3, 1.0, CALM)
    with monitor.waiting_for_backend("ibm"), monitor.waiting_for_backend("ibm"):
        clock.passes(3_600.0, monitor)
        assert monitor.get_comprehensive_summary()["execution_summary"]["waiting_for"] == ["ibm"]
    clock.passes(290.0, monitor)
    assert listener.story == []
    clock.passes(20.0, monitor)
    listener.hears(("training_stalled", "firing"))


def test_an_execution_is_a_sign_of_life(new_monitor: NewMonitor, clock: Time) -> None:
    monitor = new_monitor().start_run("a")
    steps(monitor, 3, 1.0, CALM)
    for _ in range(4):
        clock.passes(290.0, monitor)
        execute(monitor)
    assert monitor.alert_system.alert_history == []


def test_slow_steps_are_not_stalled_before_ten_of_them_would_have_been(
    new_monitor: NewMonitor, monkeypatch: pytest.MonkeyPatch, clock: Time
) -> None:
    monitor = new_monitor().start_run("a")
    listener, now = Listener(monitor), [1e9]
    with monkeypatch.context() as patch:
        patch.setattr("time.time", lambda: now[0])
        for number in range(5):
            monitor.log_training_step(1.0, CALM, None, number)
            now[0] += 100.0
    clock.passes(990.0, monitor)
    assert shown(monitor, "threshold", "training_stalled", RUN) == pytest.approx(1_000.0)
    assert listener.story == []
    clock.passes(20.0, monitor)
    listener.hears(("training_stalled", "firing"))


def test_changing_another_threshold_stalls_no_slow_training(
    new_monitor: NewMonitor, monkeypatch: pytest.MonkeyPatch, clock: Time
) -> None:
    monitor = new_monitor().start_run("a")
    with monkeypatch.context() as patch:
        patch.setattr("time.time", iter(range(0, 100_000, 100)).__next__)
        steps(monitor, 5, 1.0, CALM)
    clock.passes(600.0, monitor)
    monitor.alert_system.set_threshold("cost_spike", 5)
    look(monitor)
    assert monitor.alert_system.alert_history == []


# Boundaries


@pytest.mark.parametrize(
    ("alert", "severity", "labels", "log"),
    [
        ("gradient_explosion", "critical", RUN, lambda m: m.log_training_step(1.0, [6.0, 8.0], None, 0)),
        ("queue_time_limit", "info", RUN, lambda m: execute(m, queue_time=300.0)),
        ("cost_spike", "warning", RUN, lambda m: pay(m, *[1.0] * 5, 2.0)),
        ("circuit_failures", "warning", RUN, lambda m: end_as(m, *["success"] * 8, "failed", "failed")),
        ("fidelity_drop", "critical", RUN,
         lambda m: [m.log_metrics({"fidelity": f}) for f in (1.0,) * 10 + (0.95,) * 10]),
        ("error_rate_increase", "warning", BACKEND,
         lambda m: [m.log_backend_status("ibm", up=True, error_rates={"2q": e}) for e in (0.01, 0.03)]),
    ],
)  # fmt: skip
def test_a_value_at_the_threshold_is_silent(
    alert: str, severity: str, labels: Mapping[str, str], log: Log, new_monitor: NewMonitor
) -> None:
    monitor = new_monitor().start_run("a")
    log(monitor)
    look(monitor)
    assert monitor.alert_system.alert_history == []
    assert shown(monitor, "firing", alert, labels, severity=severity) == 0.0
    value, threshold = (shown(monitor, series, alert, labels) for series in ("value", "threshold"))
    assert value == threshold  # the rule in Prometheus compares them again


# Cooldown


def test_a_loop_that_explodes_at_every_step_tells_it_once(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")
    listener = Listener(monitor)
    for number in range(1_000):
        explode(monitor, number)
    listener.hears(("gradient_explosion", "firing"))
    assert shown(monitor, "quantum_alerts_total", "gradient_explosion", RUN, severity="critical") == 1.0
    assert monitor.get_comprehensive_summary()["training_summary"]["gradient_explosion_count"] == 1_000


def test_what_fires_again_within_the_cooldown_is_counted_but_not_told_and_nor_is_its_end(
    new_monitor: NewMonitor, clock: Time
) -> None:
    monitor = new_monitor(alert_config={"training_stalled": None}).start_run("a")
    for start in (0, 10):
        explode(monitor, start)
        calm_down(monitor, start + 1)
        clock.passes(OVER, monitor)
    history = monitor.alert_system.alert_history
    assert [(alert["type"], alert["state"]) for alert in history] == [
        ("gradient_explosion", "firing"),
        ("gradient_explosion", "resolved"),
    ]
    assert shown(monitor, "quantum_alerts_total", "gradient_explosion", RUN, severity="critical") == 2.0
    clock.passes(100.0, monitor)
    explode(monitor, 20)
    assert len(monitor.alert_system.alert_history) == 3


def test_what_goes_on_firing_is_told_again_after_the_cooldown(new_monitor: NewMonitor, clock: Time) -> None:
    monitor = new_monitor().start_run("a")
    listener = Listener(monitor)
    explode(monitor)
    clock.passes(290.0, monitor)
    assert len(monitor.alert_system.alert_history) == 1
    clock.passes(20.0, monitor)
    first, again = listener.hears(*[("gradient_explosion", "firing")] * 2)
    assert again["started_at"] == first["started_at"]


# Thresholds while it runs


def test_a_threshold_can_be_changed_while_the_training_runs(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")
    alerts = monitor.alert_system
    monitor.log_training_step(1.0, [3.0, 4.0], None, 0)
    alerts.set_threshold("gradient_explosion", 4)
    monitor.log_training_step(1.0, [3.0, 4.0], None, 1)
    alerts.set_threshold("gradient_explosion", 5)
    assert [(alert["state"], alert["threshold"]) for alert in alerts.alert_history] == [("firing", 4), ("resolved", 5)]
    assert shown(monitor, "threshold", "gradient_explosion", RUN) == 5.0
    assert monitor.get_comprehensive_summary()["training_summary"]["gradient_explosion_count"] == 1


def test_none_switches_an_alert_off_and_resolves_it_and_a_number_brings_it_back(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")
    explode(monitor)
    monitor.alert_system.set_threshold("gradient_explosion", None)
    assert [alert["state"] for alert in monitor.alert_system.alert_history] == ["firing", "resolved"]
    for series in ("value", "threshold", "firing", "quantum_alerts_total"):
        assert shown(monitor, series, "gradient_explosion", RUN) is None
    explode(monitor, 1)
    assert monitor.alert_system.active_alerts == []
    monitor.alert_system.set_threshold("gradient_explosion", 20)
    explode(monitor, 2)
    assert [alert["threshold"] for alert in monitor.alert_system.active_alerts] == [20.0]


@pytest.mark.parametrize(
    ("key", "threshold", "says"),
    [
        ("gradient_explosoin", 1, "gradient_explosion"),
        ("gradient_explosion", "high", "not a number"),
        ("gradient_explosion", math.nan, "not a finite number"),
        ("gradient_explosion", -1, "of 0 or more"),
        ("no such thing", None, "no such alert to switch off"),
        ("my_metric", {"abov": 1}, "above"),
    ],
)
def test_a_wrong_threshold_is_refused_with_the_mend_and_changes_nothing(
    key: str, threshold: object, says: str, new_monitor: NewMonitor
) -> None:
    monitor = new_monitor().start_run("a")
    before = monitor.alert_system.thresholds
    with pytest.raises(ConfigurationError, match=says):
        monitor.alert_system.set_threshold(key, threshold)
    assert monitor.alert_system.thresholds == before


# Several monitors


def test_two_monitors_judge_their_runs_by_their_own_thresholds(new_monitor: NewMonitor) -> None:
    strict = new_monitor("strict", alert_config={"gradient_explosion": 1.0}).start_run("a")
    lenient = new_monitor("lenient", alert_config={"gradient_explosion": 100.0}, registry=strict.registry)
    lenient.start_run("a")
    heard = [Listener(monitor) for monitor in (strict, lenient)]
    for monitor in (strict, lenient):
        explode(monitor)
    (told,) = heard[0].hears(("gradient_explosion", "firing"))
    assert told["labels"] == {"experiment": "strict", "run": "a"}
    assert heard[1].story == []
    firing = [shown(strict, "firing", "gradient_explosion", {"experiment": experiment, "run": "a"}, severity="critical")
              for experiment in ("strict", "lenient")]  # fmt: skip
    assert firing == [1.0, 0.0]
    lenient.alert_system.set_threshold("gradient_explosion", 10.0)
    heard[1].hears(("gradient_explosion", "firing"))
    assert strict.alert_system.thresholds["gradient_explosion"] == 1.0


def test_two_runs_of_one_monitor_have_alerts_of_their_own(new_monitor: NewMonitor) -> None:
    monitor = new_monitor()
    for name in ("a", "b"):
        monitor.start_run(name)
        assert monitor.alert_system.active_alerts == []
        explode(monitor)
    assert [(alert["labels"]["run"], alert["state"]) for alert in monitor.alert_system.alert_history] == [
        ("a", "firing"), ("a", "resolved"), ("b", "firing")
    ]  # fmt: skip


def test_two_backends_stand_for_themselves(new_monitor: NewMonitor) -> None:
    monitor = new_monitor(labels={"team": "x"})
    listener = Listener(monitor)
    for name, up in (("ibm", False), ("ionq", True)):
        monitor.log_backend_status(name, up=up, error_rates={"2q": 0.01})
    monitor.log_backend_status("ionq", up=True, error_rates={"1q": 0.04})
    (told,) = listener.hears(("backend_down", "firing"))
    assert told["labels"] == {"backend": "ibm", "team": "x"}
    for name, down in (("ibm", 1.0), ("ionq", 0.0)):
        labels = {"backend": name, "team": "x"}
        assert shown(monitor, "firing", "backend_down", labels, severity="critical") == down
        assert shown(monitor, "firing", "error_rate_increase", labels, severity="warning") == 0.0


def test_whoever_was_told_that_a_backend_is_down_is_told_that_it_is_up(new_monitor: NewMonitor, clock: Time) -> None:
    first = new_monitor("first")
    second = new_monitor("second", registry=first.registry)
    heard = [Listener(monitor) for monitor in (first, second)]
    first.log_backend_status("ibm", up=False)
    heard[0].hears(("backend_down", "firing"))
    second.log_backend_status("ibm", up=False)
    heard[1].hears(("backend_down", "firing"))
    first.log_backend_status("ibm", up=True)
    clock.passes(OVER, first)
    for listener in heard:
        listener.hears(("backend_down", "firing"), ("backend_down", "resolved"))
    assert shown(first, "quantum_alerts_total", "backend_down", BACKEND, severity="critical") == 1.0


def test_a_backend_is_judged_by_the_thresholds_of_whoever_reported_it_last(new_monitor: NewMonitor) -> None:
    first = new_monitor("first", alert_config={"error_rate_increase": 0.5})
    second = new_monitor("second", registry=first.registry, alert_config={"error_rate_increase": 0.01})
    for rate in (0.01, 0.1):
        first.log_backend_status("ibm", up=True, error_rates={"2q": rate})
    assert first.alert_system.alert_history == []
    second.log_backend_status("ibm", up=True)
    assert [alert["value"] for alert in second.alert_system.alert_history] == [pytest.approx(0.09)]
    assert shown(first, "threshold", "error_rate_increase", BACKEND) == 0.01
    second.alert_system.set_threshold("error_rate_increase", None)
    assert [alert["state"] for alert in second.alert_system.alert_history] == ["firing", "resolved"]


def test_a_system_that_leaves_hears_that_it_is_over_and_nothing_more() -> None:
    leaving, staying = QuantumAlertSystem(), QuantumAlertSystem()
    kept: list[str] = []
    backend = SharedAlerts("backend", BACKEND, staying)
    backend.backend({"up": 0.0}, {})
    backend.adopt(leaving, lambda alert: kept.append(alert["state"]))
    backend.backend({"up": 0.0}, {})
    backend.leave(leaving)
    leaving.cooldown = 0.0
    backend.backend({"up": 0.0}, {"2q": 0.5})
    backend.look()
    assert kept == ["firing", "resolved"]
    first, last = leaving.alert_history
    assert (last["message"], last["labels"]) == (f"the monitor was closed; at its end, {first['message']}", BACKEND)
    assert [alert["state"] for alert in staying.alert_history] == ["firing"]
    backend.adopt(staying)
    backend.backend({"up": 1.0}, {})
    assert backend.rows()[1]


def test_reports_of_backends_are_kept_in_the_active_run(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")
    monitor.log_backend_status("ibm", up=False)
    path = monitor.run_path
    monitor.end_run()
    assert path is not None
    kept = [record for _, record in StoredRun(path).records() if record.kind == "alert"]
    assert [record.labels["alert"] for record in kept] == ["backend_down"]


# Restarts and references


def test_another_reference_state_is_no_drop_of_the_fidelity(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")
    for reference in ([1.0, 0.0], [1.0, 1.0], [0.0, 1.0]):
        for _ in range(15):
            monitor.log_quantum_state([1.0, 0.0], None, reference_state=np.array(reference))
    assert monitor.alert_system.alert_history == []


def test_a_training_loop_that_is_started_anew_drops_nothing(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")
    for fidelities in ((0.99,) * 15, (0.1,) * 15):
        for number, value in enumerate(fidelities):
            monitor.log_metrics({"fidelity": value}, step=number)
    assert monitor.alert_system.alert_history == []


def test_a_share_of_no_failures_is_shown_again_after_its_alert_was_off(new_monitor: NewMonitor) -> None:
    monitor = new_monitor()
    with monitor.start_run("a"):
        for _ in range(12):
            execute(monitor)
        assert shown(monitor, "value", "circuit_failures", RUN) == 0.0
        monitor.alert_system.set_threshold("circuit_failures", None)
        monitor.alert_system.set_threshold("circuit_failures", 0.3)
        execute(monitor)
        assert shown(monitor, "value", "circuit_failures", RUN) == 0.0
