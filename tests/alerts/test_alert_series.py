"""What a scrape shows of alerts: there from the start, gone when off, few, and sound whatever the names."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from quantum_monitor import QuantumMonitor, plugins
from quantum_monitor.alerts.rules import ALERTS
from quantum_monitor.alerts.state import HELD_SECONDS
from quantum_monitor.config import ConfigurationError
from tests.alerts.watching import CALM, EXPLOSION, OVER, RUN, NewMonitor, Time, calm_down, explode, look, page, shown
from tests.prometheus.full_use import log_everything
from tests.server_process import eventually

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]

SERIES_OF_A_RUN_AT_MOST = 150


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


def read(monitor: QuantumMonitor, prefix: str = "quantum_alert") -> Series:
    """The series of alerts, read back from the text; one that comes twice fails the test."""
    found: Series = {}
    for family in text_string_to_metric_families(page(monitor)):
        for sample in family.samples:
            if sample.name.startswith(prefix):
                series = (sample.name, frozenset(sample.labels.items()))
                assert series not in found
                found[series] = sample.value
    return found


def of(series: Series, **labels: str) -> Series:
    return {key: value for key, value in series.items() if labels.items() <= dict(key[1]).items()}


def test_what_is_on_has_threshold_firing_and_count_at_0_from_the_start_and_no_value(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")
    monitor.log_backend_status("ibm", up=True, error_rates={})
    series = read(monitor)
    scopes: dict[str, dict[str, str]] = {"run": RUN, "backend": {"backend": "ibm"}, "process": {}}
    for rule in ALERTS:
        labels = {**scopes[rule.scope], "alert": rule.key}
        mine = of(series, alert=rule.key)
        if rule.default is None:
            assert not mine
            continue
        named = frozenset({**labels, "severity": rule.severity.label}.items())
        assert series["quantum_alert_threshold", frozenset(labels.items())] == rule.default
        assert series["quantum_alert_firing", named] == series["quantum_alerts_total", named] == 0.0
        if rule.scope != "process":  # whose processors take a moment to be measured
            assert len(mine) == (4 if rule.key == "backend_down" else 3), mine
    assert len(of(series, **RUN)) == 3 * sum(rule.scope == "run" and rule.default is not None for rule in ALERTS)


def test_what_is_switched_off_or_not_asked_for_is_absent(new_monitor: NewMonitor) -> None:
    everything = {rule.key: None for rule in ALERTS}
    monitor = new_monitor(alert_config=everything).start_run("a")
    log_everything(monitor)
    explode(monitor)
    assert read(monitor) == {}
    assert monitor.alert_system.alert_history == []


def test_severities_are_those_of_the_rules_and_thresholds_those_of_the_script(new_monitor: NewMonitor) -> None:
    monitor = new_monitor(alert_config={"gradient_explosion": 7, "cost_budget": 50, "temp": {"below": 3}})
    monitor.start_run("a")
    assert shown(monitor, "threshold", "gradient_explosion", RUN) == 7.0
    assert shown(monitor, "threshold", "cost_budget", RUN) == 50.0
    assert shown(monitor, "threshold", "temp", RUN) == 3.0
    severities = {dict(labels).get("severity") for _, labels in read(monitor)}
    assert severities == {None, "critical", "warning", "info"}


def test_constant_labels_stand_on_the_alerts_of_runs_and_backends_and_in_reports(new_monitor: NewMonitor) -> None:
    monitor = new_monitor(labels={"team": "x"}).start_run("a")
    monitor.log_backend_status("ibm", up=False)
    explode(monitor)
    for _, labels in read(monitor):
        assert ("team" in dict(labels)) == (dict(labels)["alert"] not in {"cpu_high", "memory_high"})
    assert [alert["labels"] for alert in monitor.alert_system.alert_history] == [
        {"backend": "ibm", "team": "x"}, {**RUN, "team": "x"}
    ]  # fmt: skip


@pytest.mark.parametrize("name", ['"quoted"', "back\\slash", "{{ .Value }}", "<script>", "x" * 500])
def test_untrusted_names_come_through_as_they_are(name: str, new_monitor: NewMonitor) -> None:
    monitor = new_monitor(alert_config={name[:100]: {"above": 0.0}}).start_run(name)
    monitor.log_backend_status(name, up=False)
    monitor.log_metrics({name[:100]: 1.0})
    explode(monitor)
    told = {alert["type"]: alert for alert in monitor.alert_system.active_alerts}
    assert told.keys() == {"gradient_explosion", "backend_down", name[:100]}
    series = read(monitor)
    for alert in told.values():
        fired = of(series, alert=alert["type"], **alert["labels"])
        assert fired[next(key for key in fired if key[0] == "quantum_alert_firing")] == 1.0
        assert all(len(label) <= 128 for label in alert["labels"].values())


@pytest.mark.parametrize("name", ["\ud800", "a\0b", "new\nline"])
def test_a_name_that_no_series_can_carry_is_refused_as_an_alert_and_mended_in_a_label(
    name: str, new_monitor: NewMonitor
) -> None:
    with pytest.raises(ConfigurationError, match=r"call it '\S*\\\\"):
        new_monitor(alert_config={name: {"above": 0.0}})
    with pytest.raises(ValueError, match="call it"):
        plugins.alert_rule(name, above=0.0)
    monitor = new_monitor().start_run(name)
    monitor.log_backend_status(name, up=False)
    explode(monitor)
    fired = [value for (metric, _), value in read(monitor).items() if metric == "quantum_alert_firing"]
    assert sum(fired) == 2.0


def test_a_run_with_everything_on_has_at_most_150_series(new_monitor: NewMonitor) -> None:
    plugins.alert_rule("mine", above=1.0)(lambda _: 2.0)
    try:
        monitor = new_monitor(alert_config={"cost_budget": 0.1, "entanglement_loss": 0.1, "temp": {"above": 1}})
        monitor.start_run("a")
        monitor.log_metrics({"temp": 2.0}, step=0)
        for number in range(30):
            monitor.log_metrics({"fidelity": 0.9, "entanglement_entropy": 1.0})
            monitor.log_training_step(float("nan"), np.full(9, 9.0), None, number)
            monitor.log_circuit_execution(None, 1.0, queue_time=400.0, cost=1.0, backend_info="simulator", shots=1)
        log_everything(monitor, run="everything")
    finally:
        plugins.unregister("mine")
    for run in ("a", "everything"):
        assert 40 < len(of(read(monitor, ""), run=run)) <= SERIES_OF_A_RUN_AT_MOST


def test_an_ended_run_keeps_its_alerts_as_they_were_for_the_grace_period(
    new_monitor: NewMonitor, clock: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monitor = new_monitor().start_run("a")
    now = [1_000.0]
    monkeypatch.setattr(monitor._exporter, "_clock", lambda: now[0])
    explode(monitor)
    before = of(read(monitor), **RUN)
    monitor.end_run("failed")
    assert monitor.alert_system.active_alerts == []
    clock.passes(60.0, monitor)
    now[0] += 59.0
    assert of(read(monitor), **RUN) == before
    assert shown(monitor, "value", "gradient_explosion", RUN) == 50.0
    assert shown(monitor, "firing", "gradient_explosion", RUN, severity="critical") == 1.0
    monitor.alert_system.set_threshold("gradient_explosion", None)
    assert of(read(monitor), **RUN) == before
    now[0] += 2.0
    assert of(read(monitor), **RUN) == {}
    states = [(alert["state"], alert["message"]) for alert in monitor.alert_system.alert_history]
    assert states == [
        ("firing", "gradient norm: 50 is above 10"),
        ("resolved", "the run has ended; at its end, gradient norm: 50 is above 10"),
    ]


def test_a_spike_of_one_step_is_seen_by_a_scrape_up_to_two_minutes_later(new_monitor: NewMonitor, clock: Time) -> None:
    monitor = new_monitor().start_run("a")
    for number in range(1_000):
        (explode if number == 500 else calm_down)(monitor, number)
    clock.passes(HELD_SECONDS - 1.0, monitor)
    assert shown(monitor, "value", "gradient_explosion", RUN) == 50.0
    assert shown(monitor, "firing", "gradient_explosion", RUN, severity="critical") == 1.0
    clock.passes(HELD_SECONDS + 10.0, monitor)
    assert shown(monitor, "value", "gradient_explosion", RUN) == 1.0
    assert shown(monitor, "firing", "gradient_explosion", RUN, severity="critical") == 0.0


def test_quiet_steps_are_in_the_worst_value_too(new_monitor: NewMonitor, clock: Time) -> None:
    monitor = new_monitor().start_run("a")
    for number, norm in enumerate((1.0, 3.0, 2.0, 9.0, 4.0)):
        monitor.log_training_step(1.0, [norm], None, number)
    look(monitor)
    assert shown(monitor, "value", "gradient_explosion", RUN) == 9.0
    clock.passes(OVER, monitor)
    assert shown(monitor, "value", "gradient_explosion", RUN) == 4.0


def is_torn(alert: Mapping[str, float]) -> bool:
    """Whether value and threshold of an alert above say something else than whether it fires."""
    if "quantum_alert_value" not in alert:
        return bool(alert["quantum_alert_firing"])
    return (alert["quantum_alert_value"] > alert["quantum_alert_threshold"]) != bool(alert["quantum_alert_firing"])


def test_scrapes_and_steps_at_once_see_no_alert_torn(new_monitor: NewMonitor) -> None:
    monitor = new_monitor(alert_config={"cpu_high": None, "memory_high": None}).start_run("a")
    torn: list[Mapping[str, float]] = []
    ended, scrapes = threading.Event(), [0]

    def scrape() -> None:
        while not ended.is_set():
            alerts: dict[str, dict[str, float]] = {}
            for (name, labels), value in read(monitor).items():
                alerts.setdefault(dict(labels)["alert"], {})[name] = value
            torn.extend(alert for alert in alerts.values() if is_torn(alert))
            scrapes[0] += 1

    reader = threading.Thread(target=scrape, daemon=True)
    monitor.alert_system.set_threshold("barren_plateau", None)  # which fires below
    reader.start()
    number = 0
    while scrapes[0] < 20:
        assert reader.is_alive()
        number += 1
        monitor.log_training_step(1.0, EXPLOSION if number % 3 == 0 else CALM, None, number)
        if number % 50 == 0:
            monitor.alert_system.set_threshold("gradient_explosion", 10.0 if number % 100 else 100.0)
    ended.set()
    reader.join(20)
    assert not torn


def test_the_machine_is_judged_for_as_long_as_a_monitor_is_open(new_monitor: NewMonitor) -> None:
    registry = CollectorRegistry()
    first = new_monitor(registry=registry, alert_config={"memory_high": 0.5})
    second = new_monitor(registry=registry, alert_config={"memory_high": 0.7})
    assert shown(first, "threshold", "memory_high", {}) == 0.7
    second.close()
    assert shown(first, "threshold", "memory_high", {}) == 0.5
    first.close()
    assert shown(first, "threshold", "memory_high", {}) is None


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "quantum-monitor-alerts"]


@pytest.fixture
def nobody_watches() -> Iterator[Callable[[], None]]:
    def check() -> None:
        eventually(lambda: not watchers(), seconds=20, what="the end of the watcher's thread")

    check()
    yield check
    check()


def test_one_thread_watches_for_all_monitors_of_a_registry_and_ends_with_the_last(
    nobody_watches: Callable[[], None], new_monitor: NewMonitor
) -> None:
    registry = CollectorRegistry()
    for _ in range(2):
        made = [new_monitor(registry=registry) for _ in range(3)]
        assert len(watchers()) == 1
        for monitor in made:
            assert len(watchers()) == 1
            monitor.close()
            monitor.close()
        nobody_watches()


def test_monitors_that_come_and_go_in_many_threads_leave_no_thread(
    nobody_watches: Callable[[], None], new_monitor: NewMonitor
) -> None:
    registry = CollectorRegistry()

    def come_and_go() -> None:
        for _ in range(5):
            with new_monitor(registry=registry) as monitor:
                explode(monitor)
                assert len(watchers()) == 1
            monitor.close()

    threads = [threading.Thread(target=come_and_go, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    nobody_watches()


def test_the_watcher_ends_an_alert_without_another_log_call(
    new_monitor: NewMonitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Time(monkeypatch)
    monitor = new_monitor(alert_config={"training_stalled": None}).start_run("a")
    explode(monitor)
    calm_down(monitor)

    def is_over() -> bool:
        clock.passes(10.0)
        return not monitor.alert_system.active_alerts

    eventually(is_over, seconds=20, what="the end")
    assert [alert["state"] for alert in monitor.alert_system.alert_history] == ["firing", "resolved"]
