"""HardwareProfile: what was measured of a backend, what its vendor states, and how to measure it again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

from quantum_monitor.physics.volume import (
    LEAST_CIRCUITS,
    QuantumVolumeTest,
    measured_quantum_volume,
    quantum_volume_test,
)

CONFIDENCE = 0.95
"""Confidence of the intervals of readout errors."""

Verdict = Literal["passed", "failed", "too few circuits"]
Stopped = Literal[
    "width failed", "all widths measured", "time limit", "backend failed", "too few qubits"
]  # also what a stored profile may say


class Interval(NamedTuple):
    """A probability and its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class WidthResult:
    """The model circuits of one width.

    Attributes:
        width: qubits, and layers.
        heavy: heavy outcomes of each circuit.
        shots: shots of each circuit.
        ideal: heavy-output probability of these circuits without errors, their mean; 0.5 to 1.
    """

    width: int
    heavy: tuple[int, ...]
    shots: tuple[int, ...]
    ideal: float

    @cached_property
    def test(self) -> QuantumVolumeTest:
        """Mean, sigma and lower bound of the heavy-output probability."""
        return quantum_volume_test(self.heavy, self.shots)

    @property
    def probabilities(self) -> list[float]:
        """The heavy-output probability of each circuit, 0 to 1."""
        return [heavy / shots for heavy, shots in zip(self.heavy, self.shots, strict=True)]

    @property
    def verdict(self) -> Verdict:
        """Fewer than 100 circuits neither pass nor fail."""
        if self.test.circuits < LEAST_CIRCUITS:
            return "too few circuits"
        return "passed" if self.test.passed else "failed"


@dataclass(frozen=True)
class QubitReadout:
    """How often one qubit was read wrongly; with it the error of the gate that prepares the 1.

    Attributes:
        qubit: the backend's name for it.
        zeros: shots that prepared 0.
        ones_of_zero: those of them that read 1.
        ones: shots that prepared 1.
        zeros_of_one: those of them that read 0.
    """

    qubit: str
    zeros: int
    ones_of_zero: int
    ones: int
    zeros_of_one: int

    @property
    def error(self) -> Interval:
        """The share of wrong readings: the mean of P(1|0) and P(0|1)."""
        return wilson(self.ones_of_zero + self.zeros_of_one, self.zeros + self.ones)


@dataclass(frozen=True)
class Readout:
    """Readout errors over all qubits that were measured.

    The intervals take shots and qubits for independent: qubits that disturb each other's readout make them too narrow.
    """

    qubits: tuple[QubitReadout, ...]

    @property
    def given_zero(self) -> Interval:
        """P(1|0), the mean over the qubits."""
        return wilson(sum(qubit.ones_of_zero for qubit in self.qubits), sum(qubit.zeros for qubit in self.qubits))

    @property
    def given_one(self) -> Interval:
        """P(0|1), the mean over the qubits."""
        return wilson(sum(qubit.zeros_of_one for qubit in self.qubits), sum(qubit.ones for qubit in self.qubits))

    @property
    def error(self) -> Interval:
        """The readout error: the mean of P(1|0) and P(0|1), over the qubits."""
        wrong = sum(qubit.ones_of_zero + qubit.zeros_of_one for qubit in self.qubits)
        return wilson(wrong, sum(qubit.zeros + qubit.ones for qubit in self.qubits))


@dataclass(frozen=True)
class Stated:
    """What the vendor, or a simulator's noise model, states; None for what nobody does.

    Attributes:
        one_qubit_error: error of a one-qubit gate, the median over the qubits, 0 to 1.
        two_qubit_error: error of a two-qubit gate, the median over the pairs.
        readout_error: the median over the qubits.
        t1: relaxation time in seconds, the median over the qubits.
        t2: dephasing time, likewise.
        calibration_time: Unix time in seconds.
    """

    one_qubit_error: float | None = None
    two_qubit_error: float | None = None
    readout_error: float | None = None
    t1: float | None = None
    t2: float | None = None
    calibration_time: float | None = None


@dataclass(frozen=True)
class HardwareProfile:
    """What a backend does. Below 100 circuits a width, or where the time ran out, it says less; see ``notes``.

    Attributes:
        backend: the backend's name.
        framework: ``qiskit`` or ``cirq``.
        qubits: how many the backend has; None for a simulator that takes any.
        basis_gates: names of its gates, empty where it does not say.
        chosen_qubits: the qubits that the caller chose, in order; empty where the compiler did.
        compilation: how the circuits were compiled.
        measured_at: Unix time in seconds of the beginning.
        seconds: how long it took.
        circuits: model circuits asked for, a width.
        shots: shots asked for, a circuit.
        seed: makes the same circuits again, and on a simulator that takes a seed the same outcomes.
        versions: packages and backend to version.
        widths: what was measured of each width, upward.
        readout: None where it was not measured.
        stated: what the vendor states.
        stopped: why no further width was measured.
        problems: a sentence for each failure.
    """

    backend: str
    framework: str
    qubits: int | None
    basis_gates: tuple[str, ...]
    chosen_qubits: tuple[str, ...]
    compilation: str
    measured_at: float
    seconds: float
    circuits: int
    shots: int
    seed: int
    stopped: Stopped
    versions: Mapping[str, str] = field(default_factory=dict)
    widths: tuple[WidthResult, ...] = ()
    readout: Readout | None = None
    stated: Stated = Stated()
    problems: tuple[str, ...] = ()

    @property
    def volume(self) -> int | None:
        """The measured quantum volume: 2^n of the widest width n that passed, 1 where width 2 failed.

        None where it was not measured: no width had 100 circuits, or those that did are wide and failed.
        """
        tests = {result.width: result.test for result in self.widths if result.verdict != "too few circuits"}
        if not any(test.passed for test in tests.values()) and 2 not in tests:
            return None
        return measured_quantum_volume(tests)

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences on what limits this profile: why it stopped, what failed, what is too little for a verdict."""
        return (self._why_it_stopped(), *self._too_few(), *self.problems)

    def _why_it_stopped(self) -> str:
        last = self.widths[-1].width if self.widths else None
        if self.stopped == "width failed":
            return f"Stopped at width {last}, whose two-sigma lower bound does not exceed 2/3."
        if self.stopped == "all widths measured":
            return f"Every width asked for was measured, up to {last}; the backend may do more."
        if self.stopped == "time limit":
            return f"The time limit was reached after {self.seconds:.0f} s: no further width was measured."
        if self.stopped == "too few qubits":
            return "A quantum volume takes two qubits: there is none."
        return "The backend failed: this is what was measured before."

    def _too_few(self) -> tuple[str, ...]:
        few = [result for result in self.widths if result.verdict == "too few circuits"]
        told = ", ".join(f"{result.test.circuits} at width {result.width}" for result in few)
        return (f"Fewer than {LEAST_CIRCUITS} circuits decide nothing: {told}.",) if few else ()


def wilson(count: int, total: int) -> Interval:
    """A share and its Wilson interval of 95 %: it has a width also where nothing, or everything, was counted.

    Args:
        count: how often, 0 to ``total``.
        total: of how many, 1 or more.
    """
    from scipy.stats import binomtest

    found = binomtest(count, total).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(count / total, float(found.low), float(found.high))
