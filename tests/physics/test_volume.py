"""Quantum volume is what heavy outputs measure; the estimate is only that."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quantum_monitor.physics import (
    QuantumMetricsCalculator,
    estimate_quantum_volume,
    heavy_output_probability,
    ideal_heavy_output_probability,
    measured_quantum_volume,
    output_probabilities,
    quantum_volume_test,
    random_model_circuit,
)


def heavy_share(n_qubits: int, circuits: int, seed: int, depth: int | None = None) -> float:
    random = np.random.default_rng(seed)
    shares = []
    for _ in range(circuits):
        ideal = output_probabilities(random_model_circuit(n_qubits, depth=depth, seed=random), n_qubits)
        shares.append(heavy_output_probability(ideal, dict(enumerate(ideal))))
    return float(np.mean(shares))


def test_heavy_outputs_of_random_circuits_have_the_known_probability() -> None:
    assert heavy_share(3, 800, seed=1, depth=12) == pytest.approx(0.817, abs=0.01)
    assert heavy_share(6, 60, seed=2) == pytest.approx((1 + math.log(2)) / 2, abs=0.02)


def test_heavy_outputs_of_square_circuits_are_those_of_qiskits() -> None:
    """Three layers leave one of three qubits out in turn: 0.848, not yet the 0.817 of a random state."""
    library = pytest.importorskip("qiskit.circuit.library")
    info = pytest.importorskip("qiskit.quantum_info")
    shares = []
    for seed in range(150):
        ideal = info.Statevector(library.quantum_volume(3, seed=seed)).probabilities()
        shares.append(heavy_output_probability(ideal, dict(enumerate(ideal))))
    ours = heavy_share(3, 800, seed=1)
    assert ours == pytest.approx(0.848, abs=0.01)
    assert np.mean(shares) == pytest.approx(ours, abs=0.025)


def test_the_closed_form_of_random_states_is_known_at_both_ends() -> None:
    assert ideal_heavy_output_probability(3) == pytest.approx(0.817, abs=5e-4)
    assert ideal_heavy_output_probability(20) == pytest.approx((1 + math.log(2)) / 2, abs=1e-6)
    assert ideal_heavy_output_probability(21) == pytest.approx(ideal_heavy_output_probability(20), abs=1e-6)


def test_model_circuits_are_unitary_of_determinant_one_and_pair_every_qubit() -> None:
    circuit = random_model_circuit(5, seed=3)
    assert len(circuit) == 5 * 2
    for pair, unitary in circuit:
        assert len(set(pair)) == 2
        np.testing.assert_allclose(unitary @ unitary.conj().T, np.eye(4), atol=1e-12)
        assert np.linalg.det(unitary) == pytest.approx(1)
    assert output_probabilities(circuit, 5).sum() == pytest.approx(1)


def test_model_circuits_agree_with_qiskit() -> None:
    qiskit = pytest.importorskip("qiskit")
    circuit = random_model_circuit(4, seed=4)
    theirs = qiskit.QuantumCircuit(4)
    for (a, b), unitary in circuit:  # Qiskit counts qubits from the least significant
        theirs.unitary(unitary, [3 - b, 3 - a])
    expected = qiskit.quantum_info.Statevector(theirs).probabilities()
    np.testing.assert_allclose(output_probabilities(circuit, 4), expected, atol=1e-12)


def test_outcomes_may_be_counts_samples_strings_or_numbers() -> None:
    ideal = [0.1, 0.2, 0.3, 0.4]
    for outcomes in (
        {"00": 1, "1 0": 1, "11": 2},
        {0: 1, 2: 1, 3: 2},
        ["00", "10", "11", "11"],
        np.array([0, 2, 3, 3]),
    ):
        assert heavy_output_probability(ideal, outcomes) == 0.75


@pytest.mark.parametrize(
    ("ideal", "outcomes", "reason"),
    [
        ([0.5, 0.2, 0.3], {0: 1}, "ideal_probabilities: shape"),
        ([0.5, 0.2], {0: 1}, "sum 1"),
        ([1.5, -0.5], {0: 1}, "sum 1"),
        ([math.nan, 1.0], {0: 1}, "sum 1"),
        ([0.5, 0.5], {}, "outcomes: empty"),
        ([0.5, 0.5], {"10": 1}, "not one of the 2"),
        ([0.5, 0.5], {"x": 1}, "neither a bit string"),
        ([0.5, 0.5], {0: -1}, "count -1"),
    ],
)
def test_wrong_measurements_are_refused(ideal: object, outcomes: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        heavy_output_probability(ideal, outcomes)


def test_the_confidence_test_is_that_of_cross_and_others() -> None:
    result = quantum_volume_test([75] * 400, 100)
    assert (result.mean, result.circuits) == (0.75, 400)
    heavy, circuits, shots = 75 * 400, 400, 100
    published = (heavy - 2 * math.sqrt(heavy * (shots - heavy / circuits))) / (circuits * shots)
    assert result.lower_bound == pytest.approx(published, abs=1e-15)
    assert result.passed


def test_too_few_circuits_or_too_little_confidence_do_not_pass() -> None:
    assert not quantum_volume_test([84] * 99, 100).passed
    assert quantum_volume_test([84] * 100, 100).passed
    assert not quantum_volume_test([70] * 100, 100).passed
    assert quantum_volume_test([50, 90], [100, 100]).mean == 0.7


@pytest.mark.parametrize(
    ("heavy", "shots", "reason"),
    [([], 10, "heavy_counts"), ([11], 10, "heavy_counts"), ([-1], 10, "heavy_counts"), ([1, 2], [10], "shots")],
)
def test_wrong_counts_are_refused(heavy: list[int], shots: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        quantum_volume_test(heavy, shots)  # type: ignore[arg-type]


def test_measured_volume_is_two_to_the_largest_width_that_passed() -> None:
    """Earlier monitors called min(n, d)^2 * f^gates the quantum volume."""
    good, bad = quantum_volume_test([80] * 200, 100), quantum_volume_test([60] * 200, 100)
    assert measured_quantum_volume({2: good, 3: good, 4: bad}) == 8
    assert measured_quantum_volume({2: bad}) == measured_quantum_volume({}) == 1
    with pytest.raises(ValueError, match="width 0"):
        measured_quantum_volume({0: good})


def test_the_estimate_follows_its_model() -> None:
    assert estimate_quantum_volume(5, 5, 1.0) == 32
    assert estimate_quantum_volume(5, 3, 1.0) == 8
    assert estimate_quantum_volume(5, 0) == 1
    assert estimate_quantum_volume(20, 20, 0.0) == 2
    assert estimate_quantum_volume(5000, 5000, 1.0) == 2.0**1023
    volumes = [estimate_quantum_volume(30, 30, fidelity) for fidelity in (0.9, 0.99, 0.999)]
    assert volumes == sorted(volumes)
    assert all(math.log2(volume).is_integer() for volume in volumes)
    width = int(math.log2(volumes[1]))
    for m, above in ((width, True), (width + 1, False)):
        kept = 0.99 ** (3 * m * (m // 2))
        assert (kept * ideal_heavy_output_probability(m) + (1 - kept) / 2 > 2 / 3) is above


@pytest.mark.parametrize("arguments", [(0, 1), (1, -1), (2, 2, 1.5), (2, 2, -0.1), (2, 2, math.nan)])
def test_an_estimate_out_of_range_is_refused(arguments: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"is (below|outside)"):
        estimate_quantum_volume(*arguments)  # type: ignore[arg-type]


def test_the_calculator_answers_by_every_agreed_name() -> None:
    bell = np.array([1, 0, 0, 1]) / math.sqrt(2)
    ask = QuantumMetricsCalculator
    assert ask.calculate_fidelity(bell, bell) == pytest.approx(1)
    assert ask.calculate_entanglement_entropy(bell) == pytest.approx(1)
    assert ask.calculate_entanglement_entropy(bell, subsystem_qubits=[1]) == pytest.approx(1)
    assert ask.calculate_circuit_depth({"gates": [{"type": "h", "qubit": 0}]}) == 1
    assert ask.calculate_gradient_variance([[1.0], [3.0]]) == 1.0
    assert ask.calculate_quantum_volume(4, 4, gate_fidelity=1.0) == 16
    assert ask().calculate_purity(bell) == 1.0
    assert ask.calculate_participation_ratio(bell) == pytest.approx(2)
    assert ask.calculate_meyer_wallach(bell) == pytest.approx(1)
    assert ask.calculate_concurrence(bell) == pytest.approx(1)
    assert ask.calculate_mutual_information(bell, [0], [1]) == pytest.approx(2)
    assert ask.calculate_von_neumann_entropy(np.eye(2) / 2) == pytest.approx(1)
    assert ask.calculate_heavy_output_probability([0.9, 0.1], ["0"]) == 1.0
    assert ask.calculate_measured_quantum_volume({}) == 1
