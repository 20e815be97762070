"""Whether memory stays flat over a million steps, and whether every record arrives."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable

import psutil

from benchmarks import _report
from benchmarks._logging import monitored, prepared, settle
from quantum_monitor import QuantumMonitor
from quantum_monitor.store.reader import StoredRun

_STEPS = 1_000_000
_LOOKS_AT = (1_000, 10_000, 50_000, 100_000, 250_000, 500_000, 750_000, 1_000_000)
_PACES = ((25_000, _STEPS), (10_000, 50_000), (math.inf, 300_000))
_STEPS_AT_ONCE = 10
_MIB = 2**20

Look = Callable[[int], None]


def main() -> None:
    """Log a million steps faster than required, then some at the required pace and some without a pause."""
    memory = [["steps logged", "resident memory"]]
    arrivals = [["steps a second", "kept", "steps", "records in the store", "dropped"]]

    def look(step: int) -> None:
        if step in _LOOKS_AT:
            memory.append([f"{step:,}", f"{psutil.Process().memory_info().rss / _MIB:.1f} MiB"])

    with monitored() as monitor:
        for pace, steps in _PACES:
            arrivals.append(_log(monitor, pace, steps, look if steps == _STEPS else lambda _: None))
    text = (
        f"One run of {_STEPS:,} steps, 100 parameters each, with exporter, history and store on:\n\n"
        f"{_report.table(memory)}\n\nThe history keeps 10,000 records, so memory grows until there are as many. What "
        f"arrived, by pace:\n\n{_report.table(arrivals)}"
    )
    _report.write("memory", "A million steps", text)


def _log(monitor: QuantumMonitor, pace: float, steps: int, look: Look) -> list[str]:
    monitor.start_run()
    gc.collect()
    step = prepared(100)(monitor.log_training_step)
    dropped = _dropped(monitor)
    start = time.perf_counter()
    for first in range(0, steps, _STEPS_AT_ONCE):
        for number in range(first, first + _STEPS_AT_ONCE):
            step(number)
        look(first + _STEPS_AT_ONCE)
        time.sleep(max(0.0, start + (first + _STEPS_AT_ONCE) / pace - time.perf_counter()))
    seconds = time.perf_counter() - start
    settle(monitor)
    assert monitor.run_path is not None
    stored = len(StoredRun(monitor.run_path).series("loss").value)
    asked = f"{pace:,}" if pace < math.inf else "no pause"
    return [asked, f"{steps / seconds:,.0f}", f"{steps:,}", f"{stored:,}", f"{_dropped(monitor) - dropped:,.0f}"]


def _dropped(monitor: QuantumMonitor) -> float:
    families = [f for f in monitor.registry.collect() if f.name == "quantum_monitor_records_dropped"]
    return sum(sample.value for family in families for sample in family.samples)
