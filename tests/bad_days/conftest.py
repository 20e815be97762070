"""Scrapes that are checked as they are read, and programs that run beside the test."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from quantum_monitor import QuantumMonitor
from quantum_monitor.prometheus.exposition import expose

Series = tuple[str, frozenset[tuple[str, str]]]
Scrape = Callable[[QuantumMonitor], dict[Series, float]]
Program = Callable[..., "subprocess.Popen[str]"]


def read_page(text: str) -> dict[Series, float]:
    """All series of a page in the text format, none of which may come twice."""
    found: dict[Series, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            series = (sample.name, frozenset(sample.labels.items()))
            assert series not in found, f"{series} comes twice"
            found[series] = sample.value
    return found


@pytest.fixture
def parse() -> Callable[[str], dict[Series, float]]:
    """Reads a page: name and labels to value; a series that comes twice fails the test."""
    return read_page


@pytest.fixture
def scrape() -> Scrape:
    """What ``/metrics`` shows of a monitor's registry, read back from its text."""
    return lambda monitor: read_page(expose(monitor.registry)[1].decode())


@pytest.fixture
def value(scrape: Scrape) -> Callable[..., float | None]:
    """One series as ``/metrics`` shows it; None if it is absent."""

    def one(monitor: QuantumMonitor, metric: str, /, **labels: str) -> float | None:
        return scrape(monitor).get((metric, frozenset(labels.items())))

    return one


@pytest.fixture
def start_program() -> Iterator[Program]:
    """Starts Python programs with pipes for output and errors, as a user would: internal errors are not raised."""
    started: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", program, *map(str, arguments)]
        environment = {name: text for name, text in os.environ.items() if name != "QUANTUM_MONITOR_RAISE"}
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,  # a group of its own, to be ended with all its children
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.fixture
def run_program(start_program: Program) -> Callable[..., str]:
    """Runs a program to its end and returns its output; one that fails, or takes a minute, fails the test."""

    def run(program: str, *arguments: object, status: int = 0) -> str:
        process = start_program(program, *arguments)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == status, errors
        return output

    return run
