"""What log_quantum_state costs the loop, and what its background work takes from the machine."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable

import numpy as np
import scipy.linalg  # noqa: F401 - frameworks have it loaded; else the first large state pays for it, in the background
from numpy.typing import NDArray

from benchmarks import _report
from benchmarks._logging import Contender, median_ratio, monitored, take_turns, with_blas_threads
from quantum_monitor import QuantumMonitor

_LARGE = 20
_EVERY = 0.01
_SECONDS = 8.0
_BUDGETED = (14, 16, 18)
_SMALL = (2, 4, 8)


def main() -> None:
    """Time the call for large and small states, then a loop that logs one every 10 ms."""
    text = (
        f"{_LARGE} qubits, against one copy of the state and one overlap with a reference:\n\n{_large()}\n\n"
        f"A small state is measured completely within the call (entropy, purity, Meyer-Wallach, participation ratio, "
        f"fidelity):\n\n{_small()}\n\n"
        f"A loop that logs a state every {_EVERY * 1e3:.0f} ms for {_SECONDS:.0f} s, and what the threads in the "
        "background take meanwhile, as processor time over wall time; the budget of the entropies is 5 %, and the "
        "writing of the store comes on top:\n\n"
        f"{_budget()}"
    )
    _report.write("state", "One quantum state", text)


def _random_state(n_qubits: int, seed: int) -> NDArray[np.complex128]:
    random = np.random.default_rng(seed)
    amplitudes = random.normal(size=2**n_qubits) + 1j * random.normal(size=2**n_qubits)
    return np.asarray(amplitudes / np.linalg.norm(amplitudes))


def _large() -> str:
    rows = [["log_quantum_state", "BLAS threads", "the loop waits", "copy and overlap", "ratio"]]
    for threads in ("1", "default"):
        rows += [[name, threads, *cells] for name, *cells in with_blas_threads(threads, "bench_state")]
    return _report.table(rows)


def _large_rows() -> list[list[str]]:
    states = [_random_state(_LARGE, seed) for seed in (0, 1)]
    reference = _random_state(_LARGE, 2)

    def floor(step: int) -> None:
        state = states[step & 1]
        np.vdot(reference, state.copy())

    with monitored() as monitor:
        log = monitor.log_quantum_state
        contenders = [
            Contender("copy and overlap", floor),
            Contender("with reference", lambda step: log(states[step & 1], step, reference_state=reference)),
            Contender("without reference", lambda step: log(states[step & 1], step)),
        ]
        costs = take_turns(contenders)
    calls = {name: [cost.call for cost in each] for name, each in costs.items()}
    floors = calls.pop("copy and overlap")
    rows = []
    for name, ours in calls.items():
        ratio, spread = median_ratio(ours, floors)
        times = (_report.duration(statistics.median(each)) for each in (ours, floors))
        rows.append([name, *times, f"{ratio:.2f} ({spread})"])
    return rows


def _small() -> str:
    rows = [["qubits", "one call with a reference"]]
    with monitored() as monitor:
        for n_qubits in _SMALL:
            state, reference = _random_state(n_qubits, 0), _random_state(n_qubits, 1)
            seconds = _report.measure({"": _logging(monitor, state, reference)})
            rows.append([str(n_qubits), _report.duration(seconds[""])])
    return _report.table(rows)


def _logging(monitor: QuantumMonitor, *states: NDArray[np.complex128]) -> Callable[[], None]:
    state, reference = states
    return lambda: monitor.log_quantum_state(state, 0, reference_state=reference)


def _budget() -> str:
    rows = [["qubits", "states logged", "states with entropies", "background"]]
    for n_qubits in _BUDGETED:
        state = _random_state(n_qubits, 0)
        time.sleep(0.5)  # the threads that BLAS took for this still spin for a while
        with monitored(history_limit=100_000) as monitor:
            wall, here, everywhere = time.perf_counter(), time.thread_time(), time.process_time()
            for step in range(int(_SECONDS / _EVERY)):
                monitor.log_quantum_state(state, step)
                time.sleep(max(0.0, wall + (step + 1) * _EVERY - time.perf_counter()))
            background = time.process_time() - everywhere - (time.thread_time() - here)
            share = background / (time.perf_counter() - wall)
            measured = len(monitor.entanglement_history)
        rows.append([str(n_qubits), f"{step + 1:,}", f"{measured:,}", f"{share:.1%}"])
    return _report.table(rows)


if __name__ == "__main__":
    print(json.dumps(_large_rows()))
