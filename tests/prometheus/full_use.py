"""A run in which everything is logged once, with numbers that come out the same on every machine.

As a program (`python -m tests.prometheus.full_use`) it prints the `/metrics` page of that run.
"""

from __future__ import annotations

import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from quantum_monitor import QuantumMonitor
from quantum_monitor.prometheus.exposition import expose

CIRCUIT = {
    "n_qubits": 4,
    "gates": [
        {"type": "h", "qubit": 0},
        {"type": "h", "qubit": 1},
        {"type": "cx", "control": 0, "target": 2},
        {"type": "cx", "control": 1, "target": 3},
    ],
}
# (|0000> + |0101> + |1010> + |1111>) / 2: two bits of entropy between the halves, and no rounding anywhere.
PAIRS = np.zeros(16)
PAIRS[[0b0000, 0b0101, 0b1010, 0b1111]] = 0.5
MIXED = np.eye(4) / 4


def log_everything(monitor: QuantumMonitor, *, run: str = "bond-0.74", backend: str = "simulator") -> None:
    """Log one run that uses every call, and end it; every metric of the catalog has a value then."""
    monitor.start_run(run)
    monitor.log_params({f"parameter {i}": i for i in range(1_001)})  # one more than is kept: a record is dropped
    for step, (a, b) in enumerate(((3, 4), (3, 4), (5, 12), (5, 12))):  # norms 5, 5, 13, 13
        gradient = np.array([a, b, 0, 0, 0, 0, 0, 0], float)
        monitor.log_training_step(-1.0 - step / 8, gradient, np.full(9, step + 1.0), step)
    monitor.log_quantum_state(PAIRS, 3, reference_state=np.eye(16)[0])
    monitor.log_quantum_state(MIXED, 3)
    monitor.log_circuit_execution(
        CIRCUIT, execution_time=0.25, queue_time=20.0, cost=0.5, backend_info=backend, shots=1_000
    )
    monitor.log_circuit_execution(CIRCUIT, execution_time=4.0, cost=0.25, backend_info=backend, status="failed")
    active = monitor.active_run  # what automatic instrumentation tells it
    assert active is not None
    active.execution({"billed_time": 2.0}, backend=backend, status="success", currency="USD", cost_kind="estimated")
    active.job(backend, None, "queued")
    active.job(backend, "queued", "running")
    active.transpilation(0.5, {"depth": 2.0, "two_qubit_gates": 2.0}, {"depth": 6.0, "two_qubit_gates": 3.0})
    monitor.log_backend_status(
        backend, up=True, pending_jobs=3, error_rates={"1q": 0.001, "2q": 0.01, "readout": 0.02}, qubits=4, volume=16,
        t1=[0.0001, 0.0002, 0.0003], t2=[0.00005], calibration_time=datetime(2026, 1, 2, tzinfo=timezone.utc),
        utilization=0.75,
    )  # fmt: skip
    monitor.log_metrics({"learning_rate": 0.125, "weights": [1.0, 3.0]}, step=3)
    monitor.log_metrics({"not measured": None})  # refused, and counted
    monitor.end_run()


def wait_for_machine(monitor: QuantumMonitor) -> None:
    """Wait until processor ratios are known, which takes a tenth of a second and a fresh sample."""
    deadline = time.monotonic() + 20
    while monitor.registry.get_sample_value("quantum_process_cpu_ratio") is None:
        assert time.monotonic() < deadline, "no processor ratio"
        time.sleep(0.05)


def main(storage: str) -> None:
    """Print the page."""
    monitor = QuantumMonitor("h2", metrics_port=None, storage_path=Path(storage), registry=CollectorRegistry())
    log_everything(monitor)
    wait_for_machine(monitor)
    sys.stdout.buffer.write(expose(monitor.registry)[1])
    monitor.close()


if __name__ == "__main__":
    main(sys.argv[1])
