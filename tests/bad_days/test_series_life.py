"""How long the series of a run stay, and how many there are."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from quantum_monitor import QuantumMonitor

NewMonitor = Callable[..., QuantumMonitor]
Page = dict[tuple[str, frozenset[tuple[str, str]]], float]
Scrape = Callable[[QuantumMonitor], Page]
RUN = {("experiment", "h2"), ("run", "a")}


class Clock:
    """The exporter's clock, which can be set forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def monitor(new_monitor: NewMonitor) -> QuantumMonitor:
    return new_monitor().start_run("a")


@pytest.fixture
def clock(monitor: QuantumMonitor) -> Clock:
    monitor._exporter._clock = clock = Clock()
    return clock


@pytest.fixture
def runs_shown(monitor: QuantumMonitor, scrape: Scrape) -> Callable[[], list[str]]:
    return lambda: [dict(labels)["run"] for metric, labels in scrape(monitor) if metric == "quantum_run_info"]


def test_an_ended_run_that_was_seen_stays_for_its_grace_period(
    monitor: QuantumMonitor, clock: Clock, runs_shown: Callable[[], list[str]]
) -> None:
    monitor.end_run()
    assert runs_shown() == ["a"]
    clock.ahead = 59.0
    assert runs_shown() == ["a"]
    clock.ahead = 61.0
    assert runs_shown() == []


def test_an_ended_run_stays_until_one_scrape_has_seen_its_end(
    monitor: QuantumMonitor, clock: Clock, runs_shown: Callable[[], list[str]]
) -> None:
    runs_shown()  # while it runs: that is not its end
    monitor.end_run()
    clock.ahead = 599.0
    assert runs_shown() == ["a"]
    assert runs_shown() == []


def test_an_ended_run_that_nobody_asks_for_is_forgotten_after_ten_minutes(
    monitor: QuantumMonitor, clock: Clock, runs_shown: Callable[[], list[str]]
) -> None:
    monitor.end_run()
    clock.ahead = 601.0
    assert runs_shown() == []


def test_a_run_without_an_end_stays(monitor: QuantumMonitor, clock: Clock, runs_shown: Callable[[], list[str]]) -> None:
    clock.ahead = 1e6
    assert runs_shown() == ["a"]


def test_twenty_ended_runs_are_shown_at_most_and_the_counts_of_all(
    monitor: QuantumMonitor, scrape: Scrape, runs_shown: Callable[[], list[str]]
) -> None:
    for number in range(25):
        monitor.start_run(f"r{number}")
        monitor.log_metrics({"x": 1.0})
    assert runs_shown() == [f"r{number}" for number in range(4, 25)]  # twenty, and the one that runs
    page = scrape(monitor)
    assert page["quantum_monitor_records_total", frozenset({("kind", "custom")})] == 25
    assert page["quantum_monitor_log_duration_seconds_count", frozenset({("call", "log_metrics")})] == 25


def test_a_forgotten_run_holds_no_memory(monitor: QuantumMonitor) -> None:
    for number in range(50):
        monitor.start_run(f"r{number}")
    monitor.end_run()
    assert len(monitor._exporter._ended) == 20
    assert not monitor._exporter._live


def test_scrapes_while_runs_start_and_end_by_the_hundred_are_whole(
    new_monitor: NewMonitor, parse: Callable[[str], Page]
) -> None:
    registry = CollectorRegistry()
    monitors = [new_monitor(metrics_port=0, registry=registry) for _ in range(4)]
    url = str(monitors[0].metrics_url)
    pages: list[Page] = []
    done = threading.Event()
    problems: list[BaseException] = []

    def keep_scraping() -> None:
        try:
            while not done.is_set():
                with urllib.request.urlopen(url, timeout=20) as answer:
                    pages.append(parse(answer.read().decode()))
        except BaseException as problem:  # noqa: BLE001 - told by the test
            problems.append(problem)

    def begin_and_end(monitor: QuantumMonitor) -> None:
        for _ in range(25):
            monitor.start_run("a")
            monitor.log_training_step(0.5, np.ones(9), np.ones(9), 0)
            monitor.log_circuit_execution(None, 1.0, backend_info="aer")
            monitor.end_run()

    trainers = [threading.Thread(target=begin_and_end, args=(monitor,), daemon=True) for monitor in monitors]
    scraper = threading.Thread(target=keep_scraping, daemon=True)
    for thread in (*trainers, scraper):
        thread.start()
    for thread in trainers:
        thread.join(40)
        assert not thread.is_alive()
    done.set()
    scraper.join(20)
    assert not scraper.is_alive()
    assert not problems
    assert len(pages) > 5
    for page in pages:
        runs = {labels for metric, labels in page if metric == "quantum_run_start_timestamp_seconds"}
        assert len(runs) <= 20 + len(monitors)
        for labels in runs:  # all of a run is there, or nothing
            states = [page["quantum_run_status", labels | {("status", s)}] for s in ("running", "completed", "failed")]
            assert sum(states) == 1
            assert ("quantum_training_steps_total", labels) in page
            ended = ("quantum_run_end_timestamp_seconds", labels) in page
            assert states[0] == (not ended)
    kind = "quantum_monitor_records_total", frozenset({("kind", "training")})
    counts = [page.get(kind, 0) for page in pages]
    assert counts == sorted(counts)
    with urllib.request.urlopen(url, timeout=20) as answer:
        assert parse(answer.read().decode())[kind] == 100


def test_a_run_with_one_backend_costs_at_most_150_series(monitor: QuantumMonitor, scrape: Scrape) -> None:
    before = set(scrape(monitor)) - {series for series in scrape(monitor) if series[1] >= RUN}
    circuit = {"gates": [{"type": "h", "qubit": 0}, {"type": "cx", "control": 0, "target": 1}]}
    for step in range(3):
        monitor.log_training_step(1.0, np.ones(9), np.ones(9), step, {"learning_rate": 0.1})
        monitor.log_quantum_state([1.0, 0.0, 0.0, 1.0], step, reference_state=[1.0, 0.0, 0.0, 0.0])
        monitor.log_quantum_state(np.eye(4) / 4, step, reference_state=np.eye(4) / 4)
        for status in ("success", "failed", "cancelled"):
            monitor.log_circuit_execution(
                circuit, 1.0, queue_time=2.0, cost=0.1, backend_info="aer", shots=100, status=status
            )
        monitor.log_backend_status(
            "aer",
            up=True,
            pending_jobs=1,
            error_rates={"1q": 1e-4, "2q": 1e-2, "readout": 1e-2},
            qubits=2,
            volume=4,
            t1=[1e-4],
            t2=[1e-4],
            calibration_time=1e9,
            utilization=0.5,
        )
    monitor.end_run()
    page = scrape(monitor)
    of_the_run = [series for series in page if series[1] >= RUN]
    of_the_backend = [series for series in page if series[0].startswith("quantum_backend_")]
    missing = {"quantum_training_loss", "quantum_state_fidelity", "quantum_state_von_neumann_entropy"} - {
        name for name, _ in of_the_run
    }
    assert not missing
    assert len(of_the_backend) == 12
    assert len(of_the_run) + len(of_the_backend) <= 150
    assert len(set(page) - set(before) - set(of_the_run) - set(of_the_backend)) <= 20  # self metrics that appeared
