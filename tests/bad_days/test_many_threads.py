"""Threads that all log at once: nothing is counted twice, and nothing is missed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from quantum_monitor import QuantumMonitor
from quantum_monitor.faults import FAULTS
from quantum_monitor.store.reader import StoredRun

NewMonitor = Callable[..., QuantumMonitor]
Page = dict[tuple[str, frozenset[tuple[str, str]]], float]

THREADS, ROUNDS = 64, 40
TOTAL = THREADS * ROUNDS
RUN = {"experiment": "h2", "run": "a"}
LARGE = np.full(2**9, 2**-4.5)


def log_rounds(monitor: QuantumMonitor, thread: int, begin: threading.Barrier) -> None:
    begin.wait(20)
    gradient = np.full(9, float(thread))
    for number in range(ROUNDS):
        monitor.log_training_step(float(thread), gradient, gradient, number)
        monitor.log_metrics({"x": number, f"own {thread}": number})
        monitor.log_circuit_execution(None, 1.0, queue_time=2.0, cost=0.5, backend_info=f"b{thread % 4}", shots=3)
        monitor.log_quantum_state([1.0, 0.0], number)
        monitor.log_backend_status("b", up=True, error_rates={f"{thread % 30}": 0.1})
        monitor.log_params({f"p{thread}": number})
    monitor.log_quantum_state(LARGE, 0)


def test_what_64_threads_log_at_once_adds_up(new_monitor: NewMonitor, scrape: Callable[[QuantumMonitor], Page]) -> None:
    monitor = new_monitor().start_run("a")
    begin, ended, pages = threading.Barrier(THREADS + 1), threading.Event(), []
    drops, errors = FAULTS.drops.copy(), FAULTS.errors.copy()

    def keep_scraping() -> None:
        while not ended.is_set():
            pages.append(scrape(monitor))

    loggers = [threading.Thread(target=log_rounds, args=(monitor, n, begin), daemon=True) for n in range(THREADS)]
    scraper = threading.Thread(target=keep_scraping, daemon=True)
    for thread in (*loggers, scraper):
        thread.start()
    begin.wait(20)
    for thread in loggers:
        thread.join(60)
        assert not thread.is_alive()
    ended.set()
    scraper.join(20)
    assert not scraper.is_alive()
    summary = monitor.get_comprehensive_summary()
    monitor.end_run()
    page = scrape(monitor)

    def shown(metric: str, **labels: str) -> float:
        return page[metric, frozenset(labels.items())]

    assert shown("quantum_training_steps_total", **RUN) == TOTAL
    assert shown("quantum_training_step_duration_seconds_count", **RUN) == TOTAL - 1
    assert shown("quantum_training_step_duration_seconds_bucket", **RUN, le="+Inf") == TOTAL - 1
    for number in range(4):
        place = {**RUN, "backend": f"b{number}"}
        assert shown("quantum_circuit_executions_total", **place, status="success") == TOTAL / 4
        assert shown("quantum_circuit_execution_duration_seconds_count", **place) == TOTAL / 4
        assert shown("quantum_circuit_queue_duration_seconds_sum", **place) == TOTAL / 2
        assert shown("quantum_circuit_shots_total", **place) == TOTAL * 3 / 4
        assert shown("quantum_cost_total", **place, currency="USD", kind="reported") == TOTAL / 8
    assert summary["quantum_summary"]["states_logged"] == TOTAL + THREADS
    calls = dict.fromkeys(("log_training_step", "log_metrics", "log_circuit_execution", "log_backend_status"), TOTAL)
    for call, count in {**calls, "log_quantum_state": TOTAL + THREADS}.items():
        assert shown("quantum_monitor_log_duration_seconds_count", call=call) == count

    unmeasured = FAULTS.drops["entropies", "budget"] - drops["entropies", "budget"]
    kinds = dict.fromkeys(("training", "custom", "circuit", "backend"), TOTAL)
    kinds["state"] = TOTAL + 2 * THREADS - unmeasured  # of a large state: norm at once, entropies within the budget
    kinds["alert"] = len(monitor.alert_system.alert_history)  # the gradients of these loops explode, each report once
    for kind, count in kinds.items():
        assert shown("quantum_monitor_records_total", kind=kind) == count, kind
    assert monitor.run_path is not None
    stored = StoredRun(monitor.run_path)
    assert Counter(record.kind for _, record in stored.records()) == kinds
    assert len(stored.info["params"]) == THREADS
    assert FAULTS.drops - drops == Counter({("entropies", "budget"): unmeasured})
    assert set(FAULTS.errors - errors) == {"series"}  # the operations above twenty

    steps = [page.get(("quantum_training_steps_total", frozenset(RUN.items())), 0) for page in pages]
    assert steps == sorted(steps)
    assert pages


@pytest.mark.parametrize("monitors", [1, 16])
def test_runs_that_start_and_end_in_many_threads_leave_one_directory_each(
    new_monitor: NewMonitor, scrape: Callable[[QuantumMonitor], Page], monitors: int
) -> None:
    made = [new_monitor() for _ in range(monitors)]
    for monitor in made:
        monitor._exporter = made[0]._exporter  # as monitors of a process that are given no registry
    labels: list[str] = []

    def begin_and_end(monitor: QuantumMonitor) -> None:
        for _ in range(32 // monitors):
            monitor.start_run("a")
            monitor.log_training_step(0.5, None, None, 0)
            monitor.end_run()

    threads = [threading.Thread(target=begin_and_end, args=(monitor,), daemon=True) for monitor in made]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        labels.extend(dict(series)["run"] for metric, series in scrape(made[0]) if metric == "quantum_run_info")
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    page = scrape(made[0])
    assert page["quantum_monitor_records_total", frozenset({("kind", "training")})] == 32
    assert sum(metric == "quantum_run_info" for metric, _ in page) == 20
    assert set(labels) <= {"a", *(f"a-{number}" for number in range(2, 33))}
