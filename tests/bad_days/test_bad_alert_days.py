"""Alerts while processes fork, signals come, threads log by the dozen, callbacks hang and the interpreter ends."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from quantum_monitor import QuantumMonitor
from quantum_monitor.alerts.watcher import Watcher
from quantum_monitor.faults import FAULTS
from quantum_monitor.store.layout import find_runs
from quantum_monitor.store.reader import StoredRun

NewMonitor = Callable[..., QuantumMonitor]
RunProgram = Callable[..., str]
Value = Callable[..., "float | None"]

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this machine")

RUN = {"experiment": "h2", "run": "a"}
THREADS, ROUNDS = 64, 30

PROGRAM = """
import faulthandler, os, signal, sys, threading, time, warnings
import numpy as np
from quantum_monitor import QuantumMonitor
from quantum_monitor.prometheus.exposition import expose

faulthandler.register(signal.SIGALRM, chain=True)  # a deadlock ends the process, and shows where it was
signal.alarm(40)
warnings.simplefilter("ignore")  # threads and fork: what is tested
monitor = QuantumMonitor("h2", storage_path=sys.argv[1], metrics_port=None, enable_mlflow=False)
monitor.alert_system.cooldown = 0.0
calm, explosion = np.array([0.6, 0.8]), np.array([30.0, 40.0])
"""


# Threads


def test_64_threads_that_explode_at_once_begin_one_alert_and_end_it_once(new_monitor: NewMonitor, value: Value) -> None:
    monitor = new_monitor().start_run("a")
    begin, told = threading.Barrier(THREADS), Counter[tuple[str, str]]()
    monitor.alert_system.register_callback(lambda kind, alert: told.update([(kind, alert["state"])]))

    def log(thread: int) -> None:
        begin.wait(20)
        for number in range(ROUNDS):
            monitor.log_training_step(1.0, np.array([30.0, float(thread)]), None, number)
            monitor.log_backend_status(f"b{thread % 4}", up=False, error_rates={"2q": 0.01 * (1 + number % 2)})
            monitor.log_circuit_execution(None, 1.0, queue_time=301.0, backend_info="b")
            _ = monitor.alert_system.active_alerts
            if number == thread % ROUNDS:
                monitor.alert_system.set_threshold("cost_spike", float(thread))

    threads = [threading.Thread(target=log, args=(n,), daemon=True) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert value(monitor, "quantum_alerts_total", **RUN, alert="gradient_explosion", severity="critical") == 1.0
    assert monitor.get_comprehensive_summary()["training_summary"]["gradient_explosion_count"] == THREADS * ROUNDS
    monitor.close()
    run = {("gradient_explosion", "firing"): 1, ("gradient_explosion", "resolved"): 1,
           ("queue_time_limit", "firing"): 1, ("queue_time_limit", "resolved"): 1}  # fmt: skip
    assert {report: count for report, count in told.items() if report[0] != "backend_down"} == run
    assert told["backend_down", "firing"] == 4
    history = Counter((alert["type"], alert["state"]) for alert in monitor.alert_system.alert_history)
    assert history == told


def test_active_alerts_can_be_read_while_runs_begin_in_other_threads(new_monitor: NewMonitor) -> None:
    monitor, ended = new_monitor(), threading.Event()
    failed: list[Exception] = []

    def read() -> None:
        while not ended.is_set():
            try:
                _ = monitor.alert_system.active_alerts
                monitor.alert_system.set_threshold("cost_spike", 3)
            except Exception as error:  # noqa: BLE001 - to be shown by the test's own thread
                failed.append(error)
                return

    def report(thread: int) -> None:
        for number in range(24):
            monitor.log_backend_status(f"{thread} {number}", up=True)
            if number % 8 == 0:
                monitor.start_run("a")

    reader = threading.Thread(target=read, daemon=True)
    reporters = [threading.Thread(target=report, args=(n,), daemon=True) for n in range(4)]
    for thread in (reader, *reporters):
        thread.start()
    for thread in reporters:
        thread.join(60)
    ended.set()
    reader.join(60)
    assert not failed
    assert not any(thread.is_alive() for thread in (reader, *reporters))


def test_a_machine_without_threads_to_spare_is_watched_from_the_next_monitor_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watcher, before = Watcher(lambda: None), FAULTS.errors["alerts"]

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        watcher.start("first")
    assert FAULTS.errors["alerts"] == before + 1
    count = threading.active_count()
    watcher.start("second")
    assert threading.active_count() == count + 1
    watcher.stop("first")
    assert threading.active_count() == count + 1
    watcher.stop("second")
    assert threading.active_count() == count


# Fork

FORKS = (
    PROGRAM
    + """
told = []
monitor.alert_system.register_callback(lambda kind, alert: told.append((os.getpid(), kind, alert["state"])))
monitor.start_run("parent")
ended = threading.Event()

def log(thread):
    number = 0
    while not ended.wait(0.0002):
        number += 1
        monitor.log_training_step(1.0, explosion if number % 2 else calm, None, number)
        monitor.log_backend_status(f"b{thread}", up=number % 2 == 0)
        monitor.alert_system.set_threshold("gradient_explosion", 10.0 if number % 4 else 100.0)
        monitor.alert_system.active_alerts

threads = [threading.Thread(target=log, args=(n,)) for n in range(4)]
for thread in threads:
    thread.start()
for _ in range(8):
    child = os.fork()
    if not child:
        signal.alarm(30)
        told.clear()
        assert monitor.alert_system.active_alerts == [], "the parent's"
        assert "quantum_alert" not in expose(monitor.registry)[1].decode()
        for number in range(20):  # of the parent's run: neither judged nor told here
            monitor.log_training_step(1.0, explosion * (number + 1), None, number)
        monitor.end_run()
        assert not told, told
        monitor.log_backend_status("child", up=False)  # a backend is whose who reports it
        own = QuantumMonitor("own", storage_path=sys.argv[1], metrics_port=None, enable_mlflow=False)
        heard = []
        own.alert_system.register_callback(lambda kind, alert: heard.append(alert))
        with own.start_run("child"):
            own.log_training_step(1.0, explosion, None, 0)
            assert [alert["type"] for alert in own.alert_system.active_alerts] == ["gradient_explosion"]
        own.close()
        assert [alert["state"] for alert in heard] == ["firing", "resolved"], heard
        assert {alert["labels"]["run"] for alert in heard} == {"child"}
        sys.exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
ended.set()
for thread in threads:
    thread.join()
monitor.close()
assert told and {process for process, _, _ in told} == {os.getpid()}
assert told[-1][2] == "resolved" or told[-1][1] == "backend_down"
"""
)


@needs_fork
def test_a_child_forked_while_alerts_fire_neither_deadlocks_nor_reports_for_its_parent(
    tmp_path: Path, run_program: RunProgram
) -> None:
    run_program(FORKS, tmp_path)
    by_name: dict[str, list[StoredRun]] = {}
    for run in map(StoredRun, find_runs(tmp_path)):
        by_name.setdefault(run.info["name"], []).append(run)
    assert (len(by_name["parent"]), len(by_name["child"])) == (1, 8)
    for child in by_name["child"]:
        kept = [record for _, record in child.records() if record.kind == "alert"]
        assert [record.fields["alert_firing"] for record in kept] == [1.0, 0.0]


# Signals

SIGNALS = (
    PROGRAM
    + """
seen = []

def ask(*_):
    seen.append(len(monitor.alert_system.active_alerts))
    monitor.alert_system.get_alert_summary()
    monitor.alert_system.set_threshold("cost_spike", 2.0 + len(seen) % 3)
    monitor.log_metrics({"asked": len(seen)})

signal.signal(signal.SIGUSR1, ask)
monitor.alert_system.register_callback(lambda *_: None)
monitor.start_run("a")
ended = threading.Event()

def disturb():
    number = 0
    while not ended.wait(0.001):
        number += 1
        os.kill(os.getpid(), signal.SIGUSR1)
        monitor.log_backend_status("ibm", up=number % 2 == 0)
        monitor.alert_system.set_threshold("backend_down", number % 3 / 2)
        monitor._exporter.look_at_alerts()

thread = threading.Thread(target=disturb)
thread.start()
number = 0
while len(seen) < 300:
    number += 1
    monitor.log_training_step(1.0, explosion if number % 2 else calm, None, number)
    monitor.log_quantum_state([1.0, 0.0], number, reference_state=[1.0, 0.0])
    monitor.alert_system.active_alerts
    monitor.alert_system.set_threshold("gradient_explosion", None if number % 5 == 0 else 10.0)
ended.set()
thread.join()
assert max(seen) >= 1
monitor.close()
"""
)


def test_a_signal_handler_may_ask_for_alerts_in_the_middle_of_a_step(tmp_path: Path, run_program: RunProgram) -> None:
    run_program(SIGNALS, tmp_path)
    (run,) = find_runs(tmp_path)
    assert StoredRun(run).status == "completed"


def test_a_report_of_a_backend_is_kept_without_a_lock_that_a_log_call_could_wait_for(new_monitor: NewMonitor) -> None:
    # A signal handler in the middle of a log call holds the run's lock when it asks for the backend's alerts.
    monitor = new_monitor().start_run("a")
    run = monitor._run
    assert run is not None
    reporting = threading.Thread(target=monitor.log_backend_status, args=("ibm",), kwargs={"up": False}, daemon=True)
    with run.lock:
        reporting.start()
        while not (active := monitor.alert_system.active_alerts):
            assert reporting.is_alive()
        assert [alert["type"] for alert in active] == ["backend_down"]
        assert reporting.is_alive()  # it waits for the run
    reporting.join(20)
    assert not reporting.is_alive()


def test_a_log_call_that_reports_waits_for_nobody_who_uses_the_alert_system(new_monitor: NewMonitor) -> None:
    # Whoever holds its lock may have been interrupted by a signal handler that waits for the run.
    monitor = new_monitor().start_run("a")
    logging = threading.Thread(target=monitor.log_training_step, args=(1.0, np.array([50.0]), None, 0), daemon=True)
    with monitor.alert_system._lock:
        logging.start()
        logging.join(20)
        assert not logging.is_alive()
    assert len(monitor.alert_system.alert_history) == 1


# The end

ENDS = (
    PROGRAM
    + """
def tell(kind, alert):
    print(kind, alert["state"], flush=True)
    HANG

monitor.alert_system.register_callback(tell)
monitor.start_run("a")
monitor.log_training_step(1.0, explosion, None, 0)
END
"""
)


@pytest.mark.parametrize(
    ("end", "status", "exit_status"),
    [
        ("", "completed", 0),
        ("sys.exit(3)", "completed", 3),
        ("1 / 0", "failed", 1),
        ("raise KeyboardInterrupt", "stopped", 130),
    ],
)
def test_an_alert_that_fires_when_the_interpreter_ends_is_resolved(
    end: str, status: str, exit_status: int, tmp_path: Path, start_program: Callable[..., object]
) -> None:
    process = start_program(ENDS.replace("HANG", "").replace("END", end), tmp_path)
    output, errors = process.communicate(timeout=60)  # type: ignore[attr-defined]
    assert output.splitlines() == ["gradient_explosion firing", "gradient_explosion resolved"], errors
    assert process.returncode in {exit_status, -2}, errors  # type: ignore[attr-defined]
    (run,) = find_runs(tmp_path)
    assert StoredRun(run).status == status
    kept = [record.fields["alert_firing"] for _, record in StoredRun(run).records() if record.kind == "alert"]
    assert kept == [1.0, 0.0]


def test_a_callback_that_hangs_keeps_no_process_from_ending(tmp_path: Path, run_program: RunProgram) -> None:
    output = run_program(ENDS.replace("HANG", "time.sleep(600)").replace("END", ""), tmp_path)
    assert output.splitlines() == ["gradient_explosion firing"]
    (run,) = find_runs(tmp_path)
    assert StoredRun(run).status == "completed"


BLOCKS = (
    PROGRAM
    + """
from quantum_monitor import current_monitor
monitor.alert_system.register_callback(lambda kind, alert: print(kind, alert["state"], flush=True))
with monitor.start_run("a"):
    while not monitor.alert_system.alert_history:  # small NumPy calls, which leave nobody else the interpreter
        monitor.log_training_step(1.0, np.tanh(explosion * 50), None, 0)
        monitor.log_training_step(1.0, explosion, None, 1)
    for _ in range(1000):
        np.tanh(explosion)
"""
)


def test_a_short_script_is_told_of_everything_before_it_ends(tmp_path: Path, run_program: RunProgram) -> None:
    output = run_program(BLOCKS, tmp_path)
    assert output.splitlines() == ["gradient_explosion firing", "gradient_explosion resolved"]
