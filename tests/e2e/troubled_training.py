"""A training that goes wrong when it is told to.

It trains in earnest, twenty steps a second, and does what stands in the lines of its standard input, one after
another: a JSON list with the name of one of `Training`'s methods, and its arguments. To each it answers a line of JSON.

    python troubled_training.py '{"experiment": "h2", "run": "a", "held": 3}'
"""

from __future__ import annotations

import json
import select
import sys
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantum_monitor import QuantumMonitor
from quantum_monitor.alerts import state

Vector = NDArray[np.float64]

BACKEND = "lab-chip"
STEP_SECONDS = 0.05
QUBITS = 9
SHOT_NOISE = 1e-3
SHIFT, MUCH_TOO_SMALL_SHIFT = 0.1, 1e-6
CIRCUIT = {"n_qubits": 2, "gates": [{"type": "h", "qubit": 0}, {"type": "cx", "control": 0, "target": 1}]}
BELL = np.sqrt([0.5, 0.0, 0.0, 0.5])
FLIPPED_BELL = BELL * [1, 1, 1, -1]


class Training:
    """Lowers the energy of nine qubits, each in a field, by gradients from noisy finite differences.

    Args:
        options: `experiment`, `run`, and, where a value is to be held for less than a minute, `held` in seconds.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        # Every value is held by this one number. Smaller, it makes alerts end within the time of a test.
        state.HELD_SECONDS = options.get("held", state.HELD_SECONDS)
        self._experiment = options["experiment"]
        self._random = np.random.default_rng(7)
        self._parameters = np.linspace(0.3, 0.6, QUBITS)
        self._step = 0
        self._shift, self._fidelity, self._up = SHIFT, 1.0, True
        self._monitor = self._watched_run(options["run"])
        self._others: list[QuantumMonitor] = []

    def train(self, *, queue_time: float = 2.0, cost: float = 0.5) -> float:
        """One step; the norm of its gradient."""
        gradient, monitor, step = self._gradient(), self._monitor, self._step
        self._parameters -= 0.1 * np.clip(gradient, -1, 1)
        monitor.log_training_step(self._energy(self._parameters), gradient, self._parameters, step)
        monitor.log_quantum_state(self._state(), step, reference_state=BELL)
        monitor.log_quantum_state(np.eye(4) / 4, step)
        monitor.log_circuit_execution(
            CIRCUIT, execution_time=0.02, queue_time=queue_time, cost=cost, backend_info=BACKEND, shots=1_000
        )
        run = monitor.active_run  # what automatic instrumentation tells it
        if run is not None:
            run.execution(
                {"billed_time": 0.25}, backend=BACKEND, status="success", currency="USD", cost_kind="estimated"
            )
            run.transpilation(0.125, {"depth": 2.0, "two_qubit_gates": 2.0}, {"depth": 6.0, "two_qubit_gates": 3.0})
            run.job(BACKEND, None, "running")
            run.job(BACKEND, "running", None)
        monitor.log_backend_status(
            BACKEND, up=self._up, pending_jobs=3, error_rates={"2q": 0.01}, qubits=4, volume=16, t1=[1e-4], t2=[5e-5],
            calibration_time=time.time(), utilization=0.75,
        )  # fmt: skip
        monitor.log_metrics({"learning_rate": 0.1}, step=step)
        self._step += 1
        return float(np.linalg.norm(gradient))

    def _gradient(self) -> Vector:
        shifts = self._shift * np.eye(QUBITS)
        pairs = [(self._energy(self._parameters + one), self._energy(self._parameters - one)) for one in shifts]
        return np.array([(above - below) / (2 * self._shift) for above, below in pairs])

    def _energy(self, parameters: Vector) -> float:
        return float(-np.cos(parameters).mean() + SHOT_NOISE * self._random.standard_normal())

    def _state(self) -> Vector:
        return np.asarray(np.sqrt(self._fidelity) * BELL + np.sqrt(1 - self._fidelity) * FLIPPED_BELL)

    def _watched_run(self, name: str) -> QuantumMonitor:
        monitor = QuantumMonitor(
            self._experiment, metrics_port=0, storage_path="runs", enable_mlflow=False,
            alert_config={"cost_budget": 1e6, "entanglement_loss": 0.9},
        )  # fmt: skip
        return monitor.start_run(name)

    # What goes wrong

    def explode(self) -> float:
        """One step whose finite differences divide the noise by next to nothing; the norm of its gradient."""
        self._shift = MUCH_TOO_SMALL_SHIFT
        norm = self.train()
        self._shift = SHIFT
        return norm

    def lose_the_loss(self) -> None:
        """One step without a loss."""
        self._monitor.log_training_step(np.nan, self._gradient(), self._parameters, self._step)

    def set_fidelity(self, fidelity: float) -> None:
        """The states of the steps to come have this fidelity."""
        self._fidelity = fidelity

    def wait_in_queue(self, seconds: float) -> None:
        """One step whose job waited for so long, by what its backend says."""
        self.train(queue_time=seconds)

    def pay(self, cost: float) -> None:
        """One step that cost so much."""
        self.train(cost=cost)

    def set_backend(self, up: bool) -> None:
        """The backend of the steps to come takes jobs, or none."""
        self._up = up

    def begin(self, name: str) -> None:
        """Begin another run; the one before is completed."""
        self._monitor.start_run(name)

    def leave(self) -> None:
        """End in order, at once."""
        self._monitor.close()
        sys.exit()

    def train_others(self, number: int) -> None:
        """Begin so many further runs of the experiment, `other-0` and so on, each with a quiet step."""
        self._others = [self._watched_run(f"other-{index}") for index in range(number)]
        for monitor in self._others:
            monitor.log_training_step(0.5, np.full(QUBITS, 0.1), self._parameters, 0)

    def explode_others(self) -> None:
        """One step of each of them whose gradient explodes, and one that is quiet again."""
        for step, component in ((1, 100.0), (2, 0.1)):
            for monitor in self._others:
                monitor.log_training_step(0.5, np.full(QUBITS, component), self._parameters, step)

    def fail_others(self) -> None:
        """All of them end as failed."""
        for monitor in self._others:
            monitor.end_run("failed")


def main(options: str) -> None:
    """Train until there is nobody left to tell what to do."""
    training = Training(json.loads(options))
    answer("up")
    with open(0, "rb", buffering=0) as orders:
        while True:
            if not select.select([orders], [], [], STEP_SECONDS)[0]:
                training.train()
                continue
            order = orders.readline()
            if not order:
                return
            method, *arguments = json.loads(order)
            answer(getattr(training, method)(*arguments))


def answer(value: object) -> None:
    """Say that an order was carried out, and what came of it."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
