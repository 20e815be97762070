"""What the monitor takes from the demo's training loop: a variational quantum eigensolver of H2 on default.qubit."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable

from benchmarks import _report
from benchmarks._logging import monitored
from quantum_monitor import QuantumMonitor

_BOND_LENGTH = 0.7414
_STEPS = 20  # one more state than the demo logs in as many: a turn ends with one
_PAIRS = 60


def main() -> int:
    """Train in short turns with and without the monitor, and add up the time inside its calls."""
    try:
        from quantum_monitor.demo import hydrogen, train

        problem = hydrogen(_BOND_LENGTH)
    except ImportError as error:
        print(f"not measured: {error.name} is not installed")
        return 0
    with monitored() as monitor:
        monitor.start_realtime_monitoring(1.0)

        def training(watching: QuantumMonitor | None) -> Callable[[], object]:
            return lambda: train(problem, _STEPS, monitor=watching)

        training(None)()
        training(monitor)()
        gc.freeze()  # else a full collection of all that PennyLane imported, 100 ms, falls into every third turn
        text = _compare(training(monitor), training(None), monitor)
    _report.write("h2", "The training loop of H2", text, packages=("pennylane",))
    return 0


def _compare(watched: Callable[[], object], alone: Callable[[], object], monitor: QuantumMonitor) -> str:
    before = _time_in_calls(monitor)
    wall: dict[Callable[[], object], list[float]] = {watched: [], alone: []}
    own: dict[Callable[[], object], list[float]] = {watched: [], alone: []}
    background = 0.0
    order = [watched, alone]
    for _ in range(_PAIRS):
        for train in order:
            start, here, everywhere = time.perf_counter(), time.thread_time(), time.process_time()
            train()
            wall[train].append(time.perf_counter() - start)
            own[train].append(time.thread_time() - here)
            background += time.process_time() - everywhere - own[train][-1]
        order.reverse()
    rows = [
        ["with the monitor", "median", "95 % interval"],
        ["wall time of a turn", *_slower(wall[watched], wall[alone])],
        ["processor time of the training thread", *_slower(own[watched], own[alone])],
        ["inside log calls (quantum_monitor_log_duration_seconds)",
         f"{(_time_in_calls(monitor) - before) / sum(wall[watched]):.2%}", ""],
        ["processor time of the other threads", f"{background / sum(map(sum, wall.values())):.2%}", ""],
    ]  # fmt: skip
    step = statistics.median(wall[alone]) / _STEPS
    return (
        f"{_PAIRS} pairs of short turns, {_STEPS} steps each, with and without the monitor (exporter, history, store, "
        f"sampling of the machine every second); one step takes {_report.duration(step)}. Every step logs loss, "
        "gradient, parameters and its circuit; every tenth and the last of a turn the state with its reference.\n\n"
        f"{_report.table(rows)}\n\nThe first two rows compare the turns of a pair, the last two are shares of wall "
        "time."
    )


def _slower(ours: list[float], theirs: list[float]) -> list[str]:
    """How much longer ours take in the median of the pairs, and the 95 % interval of that median.

    The interval is that of the order statistics, which asks nothing of the noise's shape.
    """
    ratios = sorted(our / their for our, their in zip(ours, theirs, strict=True))
    half_width = 0.98 * len(ratios) ** 0.5
    low, high = (ratios[round(len(ratios) / 2 + side * half_width)] for side in (-1, 1))
    return [f"{statistics.median(ratios) - 1:+.2%}", f"{low - 1:+.2%} to {high - 1:+.2%}"]


def _time_in_calls(monitor: QuantumMonitor) -> float:
    families = [f for f in monitor.registry.collect() if f.name == "quantum_monitor_log_duration_seconds"]
    return sum(sample.value for family in families for sample in family.samples if sample.name.endswith("_sum"))
