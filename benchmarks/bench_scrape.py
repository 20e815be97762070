"""What a scrape of 20 live runs costs, and what it costs the training loop that is being scraped."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from benchmarks import _report
from benchmarks._logging import median_ratio, monitored, percentiles, prepared, scraped
from quantum_monitor import QuantumMonitor

_RUNS = 20
_CIRCUIT = {"gates": [{"type": "h", "qubit": 0}, {"type": "cx", "control": 0, "target": 1}]}
_LOOP_SECONDS = 2.0
_LOOP_TURNS = 5
_EVERY = 0.1


def main() -> None:
    """Render our registry and plain gauges in turns, then scrape a training loop through its endpoint."""
    with ExitStack() as stack:
        # They share one registry, as the monitors of a process do.
        monitors = [stack.enter_context(monitored(f"experiment-{number}")) for number in range(_RUNS)]
        for monitor in monitors:
            _log_everything(monitor)
        text = f"{_rendering(monitors[0])}\n\n{_loop(monitors[0])}"
    _report.write("scrape", f"A scrape of {_RUNS} live runs", text)


def _log_everything(monitor: QuantumMonitor) -> None:
    random = np.random.default_rng(0)
    state = random.normal(size=16) + 1j * random.normal(size=16)
    state /= np.linalg.norm(state)
    for step in range(12):
        monitor.log_training_step(0.1, random.normal(size=100), random.normal(size=100), step)
        monitor.log_quantum_state(state, step, reference_state=state)
        monitor.log_circuit_execution(
            _CIRCUIT, execution_time=0.2, queue_time=3.0, cost=0.01, backend_info="device", shots=1_000
        )
        monitor.log_metrics({"learning_rate": 0.1, "temperature": random.normal(size=20)}, step)
    monitor.log_backend_status("device", up=True, pending_jobs=3, error_rates={"1q": 1e-4, "2q": 1e-3}, qubits=27)


def _rendering(monitor: QuantumMonitor) -> str:
    ours = monitor.registry
    plain, series = _plain_gauges(ours)
    renderings: dict[str, Callable[[], bytes]] = {
        "quantum-monitor": lambda: generate_latest(ours),
        "plain gauges": lambda: generate_latest(plain),
    }
    turns = [_report.measure(renderings, repeats=1, least_seconds=0.1) for _ in range(15)]
    ratio, spread = median_ratio(*([turn[name] for turn in turns] for name in renderings))
    rows = [["generate_latest over", "series", "one scrape", "a series"]]
    for name in renderings:
        seconds = float(np.median([turn[name] for turn in turns]))
        rows.append([name, f"{series:,}", _report.duration(seconds), _report.duration(seconds / series)])
    return (
        "Everything is logged in each run: steps, states, circuits with queue and cost, custom metrics. The plain "
        "gauges of prometheus_client have the same names, labels and values, so both write the same number "
        "of lines.\n\n"
        f"{_report.table(rows)}\n\nRatio {ratio:.2f} (middle half {spread})."
    )


def _plain_gauges(registry: CollectorRegistry) -> tuple[CollectorRegistry, int]:
    """A registry of gauges with the series of another one, and their number."""
    plain = CollectorRegistry()
    gauges: dict[tuple[str, frozenset[str]], Gauge] = {}
    series = 0
    for family in registry.collect():
        for sample in family.samples:
            # A gauge has one set of label names: alerts of runs, backends and the machine are three gauges of it.
            key = (sample.name, frozenset(sample.labels))
            gauge = gauges.get(key)
            if gauge is None:
                name = f"{sample.name}_{sum(known == sample.name for known, _ in gauges) or ''}".removesuffix("_")
                gauge = gauges[key] = Gauge(name, family.documentation, sample.labels, registry=plain)
            (gauge.labels(**sample.labels) if sample.labels else gauge).set(sample.value)
            series += 1
    return plain, series


def _loop(monitor: QuantumMonitor) -> str:
    step = prepared(100)(monitor.log_training_step)
    alone: list[float] = []
    under: list[float] = []
    scrapes = 0
    for _ in range(_LOOP_TURNS):
        alone += _pace(step)
        with scraped(monitor.metrics_url, _EVERY) as stop:
            under += _pace(step)
            scrapes += stop()
    rows = [["log_training_step", "p50", "p99", "p99.9", "largest"]]
    rows.append(["no scrape", *map(_report.duration, percentiles(alone))])
    rows.append([f"a scrape every {_EVERY:g} s", *map(_report.duration, percentiles(under))])
    lost = (sum(under) / len(under) - sum(alone) / len(alone)) * len(under) / max(scrapes, 1)
    return (
        "A loop of 1,000 steps a second logs 100 parameters while another process scrapes all runs through the "
        f"endpoint, {scrapes} times:\n\n{_report.table(rows)}\n\n"
        f"Its log calls wait {_report.duration(max(lost, 0.0))} longer for each scrape."
    )


def _pace(step: Callable[[int], None]) -> list[float]:
    seconds = []
    due = time.perf_counter()
    for number in range(int(_LOOP_SECONDS * 1_000)):
        due += 0.001
        time.sleep(max(0.0, due - time.perf_counter()))
        start = time.perf_counter()
        step(number)
        seconds.append(time.perf_counter() - start)
    return seconds
