"""Quantum volume: heavy outputs, the test of confidence, and an estimate for who has not measured it.

Source of the protocol: A. W. Cross, L. S. Bishop, S. Sheldon, P. D. Nation, J. M. Gambetta, Phys. Rev. A 100, 032328
(2019).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from quantum_monitor.physics.states import as_numbers

THRESHOLD = 2 / 3
LEAST_CIRCUITS = 100
_SU4_GATES = 3  # two-qubit gates that a general two-qubit unitary takes
_LARGEST_EXPONENT = 1023  # of a double

ModelCircuit: TypeAlias = "list[tuple[tuple[int, int], NDArray[np.complex128]]]"


@dataclass(frozen=True)
class QuantumVolumeTest:
    """Outcome of the heavy-output test at one width.

    Attributes:
        mean: heavy-output probability over all circuits and shots.
        sigma: its standard deviation, sqrt(mean (1 - mean) / circuits): the bound in Algorithm 1 of Cross et al.
        lower_bound: mean minus two sigma.
        circuits: number of circuits measured.
        passed: ``lower_bound`` exceeds 2/3 and there are at least 100 circuits.
    """

    mean: float
    sigma: float
    lower_bound: float
    circuits: int
    passed: bool


def heavy_output_probability(ideal_probabilities: Any, outcomes: Any) -> float:
    """Return the share of measured outcomes that are heavy: more likely, ideally, than the median outcome.

    Args:
        ideal_probabilities: (2^n,) probabilities of the ideal circuit, in order of the outcome's number.
        outcomes: counts (outcome to how often) or a sequence of samples. An outcome is a number, or a bit string
            whose leftmost bit is the most significant (spaces between registers are left out).

    Returns:
        a ratio: 0.5 for noise, towards (1 + ln 2) / 2 = 0.847 for ideal random circuits.

    Raises:
        ValueError: the probabilities are not 2^n numbers of sum 1, or an outcome is none of theirs, or there is none.
    """
    probabilities = as_numbers(ideal_probabilities, "ideal_probabilities")
    size = len(probabilities) if probabilities.ndim == 1 else 0
    if size < 2 or size & (size - 1):
        raise ValueError(f"ideal_probabilities: shape {probabilities.shape} is not (2^n,) for n from 1 on")
    if probabilities.dtype.kind == "c" or not (probabilities >= -1e-9).all() or abs(probabilities.sum() - 1.0) > 1e-6:
        raise ValueError("ideal_probabilities: expected numbers from 0 to 1 with the sum 1")
    heavy = probabilities > np.median(probabilities)
    counts = outcomes if isinstance(outcomes, Mapping) else Counter(_plain_samples(outcomes))
    total = hits = 0.0
    for outcome, count in counts.items():
        if not count >= 0 or not math.isfinite(count):
            raise ValueError(f"outcomes: {outcome!r} has the count {count!r}; expected 0 or more")
        total += count
        hits += count * bool(heavy[_outcome_number(outcome, size)])
    if total == 0:
        raise ValueError("outcomes: empty; at least one shot is needed")
    return hits / total


def quantum_volume_test(heavy_counts: Sequence[int], shots: int | Sequence[int]) -> QuantumVolumeTest:
    """Test whether the heavy-output probability exceeds 2/3 with two-sigma confidence.

    Args:
        heavy_counts: how many shots of each circuit were heavy.
        shots: shots of each circuit, or one number for all.

    Raises:
        ValueError: no circuit, lists of different lengths, or counts outside 0 to shots.
    """
    heavy = np.asarray(heavy_counts, dtype=np.float64)
    if heavy.ndim != 1 or heavy.size == 0:
        raise ValueError(f"heavy_counts: shape {heavy.shape}; expected one count for each circuit")
    taken = np.asarray(shots, dtype=np.float64)
    if taken.ndim and taken.shape != heavy.shape:
        raise ValueError(f"shots: shape {taken.shape} does not match {heavy.size} circuits")
    taken = np.broadcast_to(taken, heavy.shape)
    if not (taken > 0).all() or not ((heavy >= 0) & (heavy <= taken)).all():
        raise ValueError("heavy_counts: every count must lie between 0 and its circuit's shots, which must be above 0")
    mean = float(heavy.sum() / taken.sum())
    sigma = math.sqrt(mean * (1.0 - mean) / heavy.size)
    lower = mean - 2.0 * sigma
    return QuantumVolumeTest(mean, sigma, lower, heavy.size, lower > THRESHOLD and heavy.size >= LEAST_CIRCUITS)


def measured_quantum_volume(results: Mapping[int, QuantumVolumeTest]) -> int:
    """Return 2^n for the largest width n whose test passed; 1 where none did.

    Args:
        results: width (which is also the depth of its circuits) to the outcome of its test.

    Raises:
        ValueError: a width below 1.
    """
    if wrong := [width for width in results if width < 1]:
        raise ValueError(f"results: width {wrong[0]} is below 1")
    return 1 << max((width for width, result in results.items() if result.passed), default=0)


def ideal_heavy_output_probability(n_qubits: int) -> float:
    """Return the mean heavy-output probability of Haar-random states: 1/2 + (H(2^n) - H(2^(n-1))) / 2.

    H are harmonic numbers. The mean of the sorted probabilities of a random state is known in closed form (exponential
    spacings); summing the upper half gives 0.817 for three qubits and tends to (1 + ln 2) / 2.
    """
    if n_qubits > 20:  # the difference of harmonic numbers is ln 2 to six digits
        return (1.0 + math.log(2.0)) / 2.0
    half = 2 ** (n_qubits - 1)
    return 0.5 + 0.5 * math.fsum(1.0 / k for k in range(half + 1, 2 * half + 1))


def estimate_quantum_volume(n_qubits: int, circuit_depth: int, gate_fidelity: float = 0.99) -> float:
    r"""Estimate the quantum volume from the fidelity of a two-qubit gate. This is an estimate, not a measurement.

    Model: a square circuit of width m has :math:`m\lfloor m/2\rfloor` random two-qubit unitaries of three gates each,
    so it keeps the fidelity :math:`F = f^{3m\lfloor m/2\rfloor}` and gives uniform noise otherwise; its heavy-output
    probability is :math:`F h_m + (1 - F)/2` with the ideal :math:`h_m` of random states. The estimate is
    :math:`2^m` for the largest m up to both the number of qubits and the depth whose probability exceeds 2/3.
    Crosstalk, idling and readout errors are not in it.

    Args:
        n_qubits: qubits of the device, 1 or more.
        circuit_depth: layers of two-qubit unitaries the device can run, 0 or more.
        gate_fidelity: average fidelity of a two-qubit gate, 0 to 1.

    Returns:
        :math:`2^m`, at most :math:`2^{1023}`.

    Raises:
        ValueError: an argument out of its range.
    """
    if n_qubits < 1:
        raise ValueError(f"n_qubits: {n_qubits} is below 1")
    if circuit_depth < 0:
        raise ValueError(f"circuit_depth: {circuit_depth} is below 0")
    if not 0.0 <= gate_fidelity <= 1.0:
        raise ValueError(f"gate_fidelity: {gate_fidelity} is outside 0 to 1")
    width = min(n_qubits, circuit_depth, _LARGEST_EXPONENT)
    while width > 0:
        kept = gate_fidelity ** (_SU4_GATES * width * (width // 2))
        if kept * ideal_heavy_output_probability(width) + (1.0 - kept) / 2.0 > THRESHOLD:
            break
        width -= 1
    return 2.0**width


def random_model_circuit(
    n_qubits: int, *, depth: int | None = None, seed: int | np.random.Generator | None = None
) -> ModelCircuit:
    """Make a model circuit of the quantum-volume protocol.

    Each layer pairs the qubits at random and applies a Haar-random two-qubit unitary to each pair.

    Args:
        n_qubits: width, 2 or more.
        depth: layers; as many as qubits where None.
        seed: seed or generator of the random numbers.

    Returns:
        (pair of qubits, 4 by 4 unitary) in order of application; the first qubit of a pair is the more significant.

    Raises:
        ValueError: fewer than two qubits.
    """
    if n_qubits < 2:
        raise ValueError(f"n_qubits: a model circuit needs two qubits or more, got {n_qubits}")
    random = np.random.default_rng(seed)
    circuit: ModelCircuit = []
    for _ in range(n_qubits if depth is None else depth):
        order = [int(qubit) for qubit in random.permutation(n_qubits)]
        circuit += [((a, b), _haar_su4(random)) for a, b in zip(order[::2], order[1::2], strict=False)]
    return circuit


def output_probabilities(circuit: ModelCircuit, n_qubits: int) -> NDArray[np.float64]:
    """Return the probabilities of the 2^n outcomes of a circuit that starts in |0...0>, qubit 0 most significant."""
    state = np.zeros((2,) * n_qubits, dtype=np.complex128)
    state[(0,) * n_qubits] = 1.0
    for pair, unitary in circuit:
        applied = np.tensordot(unitary.reshape(2, 2, 2, 2), state, axes=((2, 3), pair))
        state = np.moveaxis(applied, (0, 1), pair)
    amplitudes = state.reshape(-1)
    return np.square(amplitudes.real) + np.square(amplitudes.imag)


def _haar_su4(random: np.random.Generator) -> NDArray[np.complex128]:
    """Return a Haar-random unitary of determinant 1. Source: F. Mezzadri, Notices AMS 54, 592 (2007)."""
    gaussian = random.normal(size=(4, 4)) + 1j * random.normal(size=(4, 4))
    q, r = np.linalg.qr(gaussian)
    unitary = q * (r.diagonal() / np.abs(r.diagonal()))
    return cast("NDArray[np.complex128]", unitary / np.linalg.det(unitary) ** 0.25)


def _plain_samples(samples: Iterable[Any]) -> Iterable[Any]:
    return samples.tolist() if isinstance(samples, np.ndarray) else samples


def _outcome_number(outcome: Any, size: int) -> int:
    try:
        number = int(outcome.replace(" ", ""), 2) if isinstance(outcome, str) else int(outcome.__index__())
    except (AttributeError, ValueError):
        raise ValueError(f"outcomes: {outcome!r} is neither a bit string nor a number") from None
    if not 0 <= number < size:
        raise ValueError(f"outcomes: {outcome!r} is not one of the {size} outcomes of the ideal circuit")
    return number
