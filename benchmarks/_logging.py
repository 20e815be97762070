"""What the logging benchmarks share: a monitor to log into, prepared steps, the leanest way to log them, fair turns."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Gauge

from quantum_monitor import QuantumMonitor

Vector = NDArray[np.float64]
LogStep = Callable[[float, Vector, Vector, int], None]

SIX = ("loss", "gradient_norm", "gradient_component_variance", "parameter_norm", "parameter_change", "step")
_SCRAPER = """
import sys, time, urllib.request
while True:
    with urllib.request.urlopen(sys.argv[1], timeout=10) as answer:
        answer.read()
    print(flush=True)
    time.sleep(float(sys.argv[2]))
"""


@contextmanager
def monitored(name: str = "benchmark", **options: Any) -> Iterator[QuantumMonitor]:
    """A monitor with a run: exporter, history and store on, its files in a folder that goes away with it."""
    # What delivers to a tracker may still write there.
    with tempfile.TemporaryDirectory(prefix="quantum-monitor-", ignore_cleanup_errors=True) as folder:
        options = {"metrics_port": 0, "storage_path": folder, "enable_mlflow": False, **options}
        monitor = QuantumMonitor(name, **options)
        monitor.start_run("run")
        try:
            yield monitor
        finally:
            monitor.close()


def settle(monitor: QuantumMonitor) -> None:
    """Wait until the store has written what was logged."""
    assert monitor._run is not None
    monitor._run.store.flush(60.0)


def bound_gauges() -> list[Callable[[float], None]]:
    """The ``set`` of six labelled gauges of prometheus_client, each bound to its child."""
    registry = CollectorRegistry()
    gauges = [Gauge(name, name, ["experiment", "run"], registry=registry) for name in SIX]
    return [gauge.labels("benchmark", "run").set for gauge in gauges]


def leanest(n: int) -> LogStep:
    """The floor: the same six numbers of a step by the fewest NumPy calls, into six bound gauges, and nothing else.

    It checks nothing, keeps nothing, and is wrong where squares overflow or the variance cancels.
    """
    loss_, norm_, variance_, parameter_norm_, change_, step_ = bound_gauges()
    last = np.zeros(n)
    sqrt, subtract = math.sqrt, np.subtract

    def log(loss: float, gradient: Vector, parameters: Vector, step: int) -> None:
        square, mean = gradient.dot(gradient), gradient.sum() / n
        parameter_square = parameters.dot(parameters)
        subtract(parameters, last, last)
        change = last.dot(last)
        last[:] = parameters
        loss_(loss)
        norm_(sqrt(square))
        variance_(square / n - mean * mean)
        parameter_norm_(sqrt(parameter_square))
        change_(sqrt(change))
        step_(step)

    return log


def prepared(n: int) -> Callable[[LogStep], Callable[[int], None]]:
    """Steps that differ from one to the next, as a function that gives a logger one of them by its number."""
    random = np.random.default_rng(0)
    gradients = [random.normal(size=n) for _ in range(2)]
    parameters = [random.normal(size=n) for _ in range(2)]

    def steps_for(log: LogStep) -> Callable[[int], None]:
        def step(number: int) -> None:
            log(0.5, gradients[number & 1], parameters[number & 1], number)

        return step

    return steps_for


@dataclass(frozen=True)
class Contender:
    """A way to log: what the loop calls with the number of its step, and how to wait for the work it leaves behind."""

    name: str
    step: Callable[[int], object]
    settle: Callable[[], object] = lambda: None


@dataclass(frozen=True)
class Cost:
    """Seconds a step: what the loop waited for, and what it took until all background work was done."""

    call: float
    settled: float


def take_turns(contenders: Sequence[Contender], *, repeats: int = 15, seconds: float = 0.2) -> dict[str, list[Cost]]:
    """Let the contenders log in turns of so many seconds, in an order reversed from repeat to repeat.

    Each turn ends when the contender's own background work is done, so that none slows down the next one.

    Returns:
        By name, the costs of each turn: turns of the same repeat may be compared.
    """
    lengths = {contender.name: _turn_length(contender, seconds) for contender in contenders}
    costs: dict[str, list[Cost]] = {contender.name: [] for contender in contenders}
    order, first = list(contenders), 1_000_000
    for _ in range(repeats):
        for contender in order:
            costs[contender.name].append(_turn(contender, first, lengths[contender.name]))
            first += lengths[contender.name]
        order.reverse()
    return costs


def _turn(contender: Contender, first: int, length: int) -> Cost:
    step = contender.step
    start = time.perf_counter()
    for number in range(first, first + length):
        step(number)
    called = time.perf_counter()
    contender.settle()
    return Cost((called - start) / length, (time.perf_counter() - start) / length)


def _turn_length(contender: Contender, seconds: float) -> int:
    length = 1
    while True:
        took = _turn(contender, 0, length).call * length
        if took > seconds / 10:
            return max(1, int(length * seconds / took))
        length *= 4


def median_ratio(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, str]:
    """The median of the ratios of turns of the same repeat, and their middle half as text."""
    ratios = [our / their for our, their in zip(ours, theirs, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return middle, f"{low:.2f} to {high:.2f}"


def percentiles(seconds: Sequence[float]) -> list[float]:
    """Median, 99th and 99.9th percentile and the largest."""
    return [float(value) for value in np.quantile(seconds, (0.5, 0.99, 0.999, 1.0))]


def pace(step: Callable[[int], None], steps: int, rate: float) -> list[float]:
    """Seconds of each call in a loop that works a little and waits for its next step, so many a second."""
    matrix = np.random.default_rng(0).normal(size=(64, 64))
    seconds = []
    due = time.perf_counter()
    for number in range(steps):
        matrix @ matrix
        due += 1 / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        start = time.perf_counter()
        step(number)
        seconds.append(time.perf_counter() - start)
    return seconds


def with_blas_threads(threads: str, module: str, argument: str = "") -> Any:
    """What a module prints as JSON in a process of its own, because BLAS reads the number of its threads when loaded.

    Args:
        threads: a number, or ``default``.
        module: its name below ``benchmarks``.
        argument: of its command line.
    """
    environment = {**os.environ, **({} if threads == "default" else {"OPENBLAS_NUM_THREADS": threads})}
    child = [sys.executable, "-m", f"benchmarks.{module}", argument]
    return json.loads(subprocess.run(child, env=environment, check=True, stdout=subprocess.PIPE).stdout)


@contextmanager
def scraped(url: str | None, every: float) -> Iterator[Callable[[], int]]:
    """A process of its own that scrapes an address; gives a function that ends it and tells how often it did."""
    assert url is not None
    scraper = subprocess.Popen([sys.executable, "-c", _SCRAPER, url, str(every)], stdout=subprocess.PIPE)
    assert scraper.stdout is not None
    scraper.stdout.readline()  # it runs

    def stop() -> int:
        scraper.terminate()
        output, _ = scraper.communicate()
        return output.count(b"\n")

    try:
        yield stop
    finally:
        if scraper.poll() is None:
            stop()
