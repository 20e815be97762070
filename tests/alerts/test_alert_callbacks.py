"""Callbacks of a monitor's alerts: from a thread of their own, in order, whatever they do; and what is kept."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quantum_monitor import QuantumMonitor
from quantum_monitor.faults import FAULTS
from quantum_monitor.store.reader import StoredRun
from tests.alerts.watching import OVER, RUN, Listener, NewMonitor, Time, calm_down, explode, shown
from tests.server_process import eventually

FIRING, RESOLVED = ("gradient_explosion", "firing"), ("gradient_explosion", "resolved")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


# Who calls


def test_log_calls_are_told_in_a_thread_of_the_callbacks_own(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")
    threads: list[tuple[int, threading.Thread]] = []
    for number in range(2):
        monitor.alert_system.register_callback(
            lambda *_, number=number: threads.append((number, threading.current_thread()))
        )
    explode(monitor)
    monitor.log_backend_status("ibm", up=False)
    eventually(lambda: len(threads) == 4, seconds=20)
    by_callback = [{thread for number, thread in threads if number == one} for one in range(2)]
    assert [len(found) for found in by_callback] == [1, 1]
    assert len(by_callback[0] | by_callback[1] | {threading.current_thread()}) == 3
    assert all(thread.daemon for _, thread in threads)


def test_the_type_comes_first_and_then_all_there_is_to_say(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")
    told: list[tuple[str, dict[str, Any]]] = []
    monitor.alert_system.register_callback(lambda *both: told.append(both))
    explode(monitor)
    eventually(lambda: told, seconds=20)
    kind, alert = told[0]
    assert kind == "gradient_explosion"
    assert alert == monitor.alert_system.alert_history[0]
    assert alert.keys() == {
        "type", "severity", "message", "timestamp", "value", "threshold", "state", "labels", "started_at", "duration",
    }  # fmt: skip
    assert alert["started_at"] == pytest.approx(alert["timestamp"], abs=1.0)
    assert alert["labels"] == RUN


def test_reports_come_in_the_order_in_which_things_happened(new_monitor: NewMonitor) -> None:
    monitor = new_monitor(alert_config={"temp": {"above": 0}})
    monitor.alert_system.cooldown = 0.0
    listener = Listener(monitor)
    monitor.start_run("a")
    for number in range(40):
        monitor.log_metrics({"temp": number + 1.0})
    monitor.end_run()
    eventually(lambda: len(listener.told) == 41, seconds=20)
    assert [alert["value"] for alert in listener.told] == [*range(1, 41), 40]
    assert [alert["state"] for alert in listener.told] == ["firing"] * 40 + ["resolved"]


def test_each_callback_has_a_copy_of_its_own(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")
    wiped = threading.Event()

    def wipe(_: str, alert: dict[str, Any]) -> None:
        alert["labels"].clear()
        alert.clear()
        wiped.set()

    monitor.alert_system.register_callback(wipe)
    listener = Listener(monitor)
    explode(monitor)
    (told,) = listener.hears(FIRING)
    assert wiped.wait(20)
    assert told["labels"] == monitor.alert_system.alert_history[0]["labels"] == RUN


def test_by_hand_the_callback_is_called_in_the_callers_thread_before_check_alerts_returns(
    new_monitor: NewMonitor,
) -> None:
    monitor = new_monitor().start_run("a")
    threads: list[threading.Thread] = []
    monitor.alert_system.register_callback(lambda *_: threads.append(threading.current_thread()))
    (alert,) = monitor.alert_system.check_alerts({"gradient_norm": 50.0})
    assert threads == [threading.current_thread()]
    assert (alert["labels"], monitor.alert_system.alert_history) == ({}, [alert])
    assert shown(monitor, "firing", "gradient_explosion", RUN, severity="critical") == 0.0


# What a callback may do


def test_a_callback_that_raises_is_counted_and_called_again_and_stops_no_other(new_monitor: NewMonitor) -> None:
    monitor, calls = new_monitor().start_run("a"), []

    def raises(kind: str, _: object) -> None:
        calls.append(kind)
        raise RuntimeError(kind)

    before = FAULTS.errors["alert_callback"]
    monitor.alert_system.register_callback(raises)
    listener = Listener(monitor)
    explode(monitor)
    monitor.end_run()
    listener.hears(FIRING, RESOLVED)
    eventually(lambda: FAULTS.errors["alert_callback"] == before + 2, seconds=20)
    assert len(calls) == 2


def test_a_callback_that_hangs_delays_no_log_call_no_other_callback_and_no_close(new_monitor: NewMonitor) -> None:
    monitor, free = new_monitor().start_run("a"), threading.Event()
    hanging: list[str] = []

    def hang(kind: str, _: object) -> None:
        hanging.append(kind)
        free.wait(120)

    monitor.alert_system.register_callback(hang)
    listener = Listener(monitor)
    for number in range(50):
        explode(monitor, number)
    monitor.log_backend_status("ibm", up=False)
    listener.hears(FIRING, ("backend_down", "firing"))
    closing = threading.Thread(target=monitor.close, daemon=True)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()
    assert RESOLVED in listener.story
    assert hanging == ["gradient_explosion"]
    free.set()


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.get_comprehensive_summary(),
        lambda m: m.get_metrics_summary(),
        lambda m: m.alert_system.set_threshold("gradient_explosion", 20.0),
        lambda m: m.alert_system.get_alert_summary(),
        lambda m: m.alert_system.active_alerts,
        lambda m: m.alert_system.register_callback(lambda *_: None),
        lambda m: m.alert_system.check_alerts({"queue_time": 500.0}),
        lambda m: m.log_metrics({"told": 1.0}),
        lambda m: m.log_training_step(1.0, [50.0], None, 7),
        lambda m: m.log_backend_status("ibm", up=False),
        lambda m: m.set_tags({"exploded": "yes"}),
        lambda m: m.start_run("another"),
        lambda m: m.end_run("stopped"),
        lambda m: m.close(),
    ],
    ids=[
        "summary", "metrics", "set_threshold", "alert summary", "active", "register", "by hand", "log_metrics",
        "log step", "log backend", "tags", "start_run", "end_run", "close",
    ],
)  # fmt: skip
def test_a_callback_may_call_back_into_the_monitor(
    call: Callable[[QuantumMonitor], object], new_monitor: NewMonitor
) -> None:
    monitor, done = new_monitor().start_run("a"), threading.Event()

    def react(kind: str, _: object) -> None:
        if kind == "gradient_explosion" and not done.is_set():
            call(monitor)
            done.set()

    monitor.alert_system.register_callback(react)
    explode(monitor)
    calm_down(monitor)
    assert done.wait(20)
    monitor.close()


def test_a_callback_may_stop_the_training(new_monitor: NewMonitor) -> None:
    monitor, stop = new_monitor(), threading.Event()
    monitor.alert_system.register_callback(lambda kind, _: stop.set() if kind == "gradient_explosion" else None)
    with monitor.start_run("a"):
        number = 0
        while not stop.is_set():
            assert number < 1_000_000
            explode(monitor, number)
            number += 1
    assert monitor.get_comprehensive_summary()["training_summary"]["gradient_explosion_count"] == number


def test_a_callback_that_comes_later_hears_of_what_comes_then(new_monitor: NewMonitor) -> None:
    monitor = new_monitor().start_run("a")
    explode(monitor)
    listener = Listener(monitor)
    monitor.log_backend_status("ibm", up=False)
    monitor.end_run()
    assert listener.hears(("backend_down", "firing"), RESOLVED)


def test_close_delivers_what_is_left(new_monitor: NewMonitor) -> None:
    monitor, go, got = new_monitor(), threading.Event(), []

    def slow(_: str, alert: dict[str, Any]) -> None:
        go.wait(20)
        got.append((alert["labels"]["run"], alert["state"]))

    monitor.alert_system.register_callback(slow)
    for name in "abc":
        monitor.start_run(name)
        explode(monitor)
    closing = threading.Thread(target=monitor.close, daemon=True)
    closing.start()
    go.set()
    closing.join(60)
    assert got == [(name, state) for name in "abc" for state in ("firing", "resolved")]


# What is kept


def test_reports_stand_in_the_store_and_in_every_export(new_monitor: NewMonitor, tmp_path: Path) -> None:
    monitor = new_monitor().start_run("a")
    calm_down(monitor, 6)
    explode(monitor, 7)
    path = monitor.run_path
    monitor.end_run()
    assert path is not None
    kept = [record for _, record in StoredRun(path).records() if record.kind == "alert"]
    assert [(record.step, dict(record.labels), dict(record.fields)) for record in kept] == [
        (
            7,
            {"alert": "gradient_explosion", "severity": "high"},
            {"alert_value": 50.0, "alert_threshold": 10.0, "alert_firing": firing},
        )
        for firing in (1.0, 0.0)
    ]
    history = monitor.alert_system.alert_history
    assert [record.time for record in kept] == [alert["timestamp"] for alert in history]

    for form in ("csv", "json", "comprehensive"):
        monitor.export_metrics(tmp_path / form, form)
    with (tmp_path / "csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "alert"]
    assert len(rows) == 2
    assert "gradient_explosion" in str(rows[0])
    (series,) = json.loads((tmp_path / "json").read_text())["series"]["alert_firing"]
    assert (series["labels"]["alert"], series["value"]) == ("gradient_explosion", [1.0, 0.0])
    records = json.loads((tmp_path / "comprehensive").read_text())["records"]
    assert sum(record["kind"] == "alert" for record in records) == 2
    info = json.loads((path / "run.json").read_text())
    assert info["summary"]["alert_summary"]["alert_types"] == {"gradient_explosion": 1}


def test_the_summary_counts_the_reports_of_firing_alerts(new_monitor: NewMonitor, clock: Time) -> None:
    monitor = new_monitor(alert_config={"training_stalled": None}).start_run("a")
    explode(monitor)
    clock.passes(310.0, monitor)
    monitor.log_circuit_execution(None, 1.0, queue_time=400.0, backend_info="ibm")
    calm_down(monitor)
    clock.passes(OVER, monitor)
    summary = monitor.get_comprehensive_summary()
    assert summary["training_summary"]["gradient_explosion_count"] == 1
    assert summary["alert_summary"] == {
        "total_alerts": 3,
        "alert_types": {"gradient_explosion": 2, "queue_time_limit": 1},
        "severity_breakdown": {"high": 2, "low": 1},
        "time_window_hours": 24,
        "most_recent": next(
            alert for alert in monitor.alert_system.alert_history if alert["type"] == "queue_time_limit"
        ),
    }


def test_what_stands_is_described_until_the_run_ends(new_monitor: NewMonitor, clock: Time) -> None:
    monitor = new_monitor(alert_config={"temp": {"above": 1, "for": "1h"}, "training_stalled": None}).start_run("a")
    assert monitor.alert_system.active_alerts == []
    explode(monitor)
    monitor.log_metrics({"temp": 2.0})
    clock.passes(60.0, monitor)
    standing = {alert["type"]: alert for alert in monitor.alert_system.active_alerts}
    assert {kind: alert["state"] for kind, alert in standing.items()} == {
        "gradient_explosion": "firing",
        "temp": "pending",
    }
    assert standing["temp"]["duration"] == 0.0
    assert standing["temp"]["started_at"] == standing["temp"]["timestamp"]
    assert standing["gradient_explosion"]["started_at"] <= standing["gradient_explosion"]["timestamp"]
    monitor.end_run()
    assert monitor.alert_system.active_alerts == []
