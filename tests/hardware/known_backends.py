"""Backends whose errors are known exactly: Qiskit's interface over its simulator, with what each test gets wrong."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from qiskit.circuit import Measure, Parameter
from qiskit.circuit.library import CZGate, RZGate, SXGate, XGate
from qiskit.providers import BackendV2, JobTimeoutError, JobV1, Options, QubitProperties
from qiskit.providers.basic_provider import BasicSimulator
from qiskit.providers.jobstatus import JobStatus
from qiskit.transpiler import InstructionProperties, Target


def line_target(
    size: int, *, readout: Sequence[float] = (), t1: Sequence[float | None] = (), two_qubit: Sequence[float] = ()
) -> Target:
    """A line of qubits; what is not given is not stated."""
    target = Target(
        num_qubits=size, qubit_properties=[QubitProperties(t1=time, t2=time) for time in t1] if t1 else None
    )
    ones = [(qubit,) for qubit in range(size)]
    target.add_instruction(
        RZGate(Parameter("a")), {qubit: InstructionProperties(error=0.0, duration=0.0) for qubit in ones}
    )
    for gate in (SXGate(), XGate()):
        stated = (
            [InstructionProperties(error=0.001 * (n + 1), duration=3e-8) for n in range(size)] if two_qubit else None
        )
        target.add_instruction(gate, {qubit: stated[n] if stated else None for n, qubit in enumerate(ones)})
    pairs = [(qubit, qubit + 1) for qubit in range(size - 1)]
    if pairs:
        errors = [InstructionProperties(error=error, duration=1e-7) for error in two_qubit] or [None] * len(pairs)
        both = dict(zip(pairs, errors, strict=True))
        target.add_instruction(CZGate(), both | {pair[::-1]: error for pair, error in both.items()})
    errors = [InstructionProperties(error=error) for error in readout] or [None] * size
    target.add_instruction(Measure(), dict(zip(ones, errors, strict=True)))
    return target


class KnownBackend(BackendV2):  # type: ignore[misc]  # Qiskit is untyped here
    """Runs circuits without errors, then makes those that it is told to.

    Args:
        target: qubits, gates, and what is stated.
        kept: share of shots that come from the circuit; the others are noise.
        flips: P(1|0) and P(0|1) of each physical qubit.
        swaps_bits: whether it gets the first and the last bit of every outcome wrong way round.
        fails_from: number of the job, from 0, from which on ``run`` raises.
        error: what it raises.
    """

    def __init__(
        self,
        target: Target,
        *,
        name: str = "known",
        kept: float = 1.0,
        flips: Sequence[tuple[float, float]] = (),
        swaps_bits: bool = False,
        fails_from: int | None = None,
        error: BaseException | None = None,
    ) -> None:
        super().__init__(name=name)
        self._target = target
        self._kept, self._flips, self._swaps_bits = kept, flips, swaps_bits
        self._fails_from, self._error = fails_from, error or RuntimeError("the fridge is warm")
        self._random = np.random.default_rng(5)
        self.jobs = 0
        self.circuits: list[Any] = []

    @property
    def target(self) -> Target:
        return self._target

    @property
    def max_circuits(self) -> None:
        return None

    @classmethod
    def _default_options(cls) -> Options:
        return Options(shots=1024)

    def run(self, run_input: list[Any], *, shots: int) -> Any:
        if self._fails_from is not None and self.jobs >= self._fails_from:
            raise self._error
        self.jobs += 1
        self.circuits += run_input
        result = BasicSimulator().run(run_input, shots=shots, seed_simulator=self.jobs).result()
        return Done([self._wrong(circuit, result.get_counts(number)) for number, circuit in enumerate(run_input)])

    def _wrong(self, circuit: Any, counts: dict[str, int]) -> dict[str, int]:
        bits = np.array([list(map(int, outcome)) for outcome, count in counts.items() for _ in range(count)])
        noise = self._random.random(len(bits)) >= self._kept
        bits[noise] = self._random.integers(2, size=(int(noise.sum()), bits.shape[1]))
        for operation in circuit.data if self._flips else ():
            if operation.operation.name == "measure":
                qubit = circuit.find_bit(operation.qubits[0]).index
                place = bits.shape[1] - 1 - circuit.find_bit(operation.clbits[0]).index
                chance = np.where(bits[:, place] == 1, self._flips[qubit][1], self._flips[qubit][0])
                bits[:, place] ^= self._random.random(len(bits)) < chance
        if self._swaps_bits:
            bits = bits[:, ::-1]
        return dict(Counter("".join(map(str, row)) for row in bits.tolist()))


class Done:
    """A job that is done, and its own result."""

    success = True

    def __init__(self, counts: list[dict[str, int]]) -> None:
        self._counts = counts

    def result(self) -> Done:
        return self

    def get_counts(self, number: int) -> dict[str, int]:
        return self._counts[number]


class QueuedBackend(KnownBackend):
    """A service whose jobs stay in the queue."""

    def __init__(self, target: Target) -> None:
        super().__init__(target, name="queued")
        self.queued: list[QueuedJob] = []

    def run(self, run_input: list[Any], *, shots: int) -> Any:  # noqa: ARG002 - they stay in the queue
        self.queued.append(QueuedJob(self, "1"))
        return self.queued[-1]


class QueuedJob(JobV1):  # type: ignore[misc]  # Qiskit is untyped here
    """A job that never runs."""

    cancelled = False

    def submit(self) -> None: ...

    def status(self) -> JobStatus:
        return JobStatus.CANCELLED if self.cancelled else JobStatus.QUEUED

    def cancel(self) -> None:
        self.cancelled = True

    def result(self, timeout: float | None = None) -> Any:
        threading.Event().wait(timeout)
        raise JobTimeoutError("still queued")
