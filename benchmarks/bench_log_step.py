"""What one call of log_training_step costs the loop, against the leanest way to have the same six numbers."""

from __future__ import annotations

import json
import statistics
import sys

from benchmarks import _report
from benchmarks._logging import (
    Contender,
    leanest,
    median_ratio,
    monitored,
    pace,
    percentiles,
    prepared,
    scraped,
    settle,
    take_turns,
    with_blas_threads,
)

_PARAMETERS = (100, 1_000_000)
_STEPS_A_SECOND = 1_000
_PACED_TURNS = 4
_STEPS_A_TURN = 1_500


def main() -> None:
    """Compare in a tight loop, then at a realistic pace."""
    text = (
        "The floor is the same six numbers by the leanest NumPy (one dot product and one sum for the gradient; one dot "
        "product, one in-place difference with its dot product and one copy for the parameters) and six bound "
        "prometheus_client gauges. `log_training_step` has exporter, history and store on. Gradient and parameters "
        f"change at every step.\n\n{_tight_loop()}\n\n"
        "The ratio is the median over the repeats, in parentheses its middle half. 'Settled' counts the wait for the "
        "store to have written everything: a loop that does nothing but log pays that too, any other loop has it done "
        "while it computes. BLAS takes several threads for the floor's dot products of a million numbers, which is "
        "fast or slow with what else the cores do; ours keep to the caller's core.\n\n"
        f"At {_STEPS_A_SECOND:,} steps a second of 100 parameters, with a small matrix product between them, one call "
        f"takes:\n\n{_paced()}"
    )
    _report.write("log_step", "One training step", text)


def _tight_loop() -> str:
    rows = [["parameters", "BLAS threads", "floor", "log_training_step", "ratio", "settled", "ratio"]]
    for n in _PARAMETERS:
        each = [[threads, *with_blas_threads(threads, "bench_log_step", str(n))] for threads in ("1", "default")]
        rows += [[f"{n:,}", *row] for row in each]
    return _report.table(rows)


def _row(n: int) -> list[str]:
    steps_for = prepared(n)
    with monitored() as monitor:
        contenders = [
            Contender("floor", steps_for(leanest(n))),
            Contender("ours", steps_for(monitor.log_training_step), lambda: settle(monitor)),
        ]
        costs = take_turns(contenders)
    floor = [cost.call for cost in costs["floor"]]
    row = [_report.duration(statistics.median(floor))]
    for ours in ([cost.call for cost in costs["ours"]], [cost.settled for cost in costs["ours"]]):
        ratio, spread = median_ratio(ours, floor)
        row += [_report.duration(statistics.median(ours)), f"{ratio:.2f} ({spread})"]
    return row


def _paced() -> str:
    steps_for = prepared(100)
    with monitored() as monitor:
        floor, ours = steps_for(leanest(100)), steps_for(monitor.log_training_step)
        seconds: dict[str, list[float]] = {"floor": [], "log_training_step": [], "the same, scraped every second": []}
        for _ in range(_PACED_TURNS):
            seconds["floor"] += pace(floor, _STEPS_A_TURN, _STEPS_A_SECOND)
            seconds["log_training_step"] += pace(ours, _STEPS_A_TURN, _STEPS_A_SECOND)
            with scraped(monitor.metrics_url, every=1.0):
                seconds["the same, scraped every second"] += pace(ours, _STEPS_A_TURN, _STEPS_A_SECOND)
    rows = [["", "p50", "p99", "p99.9", "largest"]]
    rows += [[name, *map(_report.duration, percentiles(each))] for name, each in seconds.items()]
    return _report.table(rows)


if __name__ == "__main__":
    print(json.dumps(_row(int(sys.argv[1]))))
