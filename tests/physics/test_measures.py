"""Measures against closed forms and against Qiskit, QuTiP and PennyLane on random states."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantum_monitor.physics import (
    concurrence,
    describe_state,
    entanglement_entropy,
    entropies,
    fidelity,
    meyer_wallach,
    mutual_information,
    participation_ratio,
    purity,
    quick_measures,
    reduced_density_matrix,
    von_neumann_entropy,
)
from quantum_monitor.physics.passes import copy_vector

BELL = np.array([1, 0, 0, 1]) / math.sqrt(2)
SEEDS = st.integers(0, 2**32 - 1)
random_states = settings(max_examples=25, deadline=None)


def vector(n_qubits: int, seed: int, *, real: bool = False) -> np.ndarray:
    random = np.random.default_rng(seed)
    values = random.normal(size=2**n_qubits) + (0 if real else 1j * random.normal(size=2**n_qubits))
    normalised: np.ndarray = values / np.linalg.norm(values)
    return normalised


def density(n_qubits: int, seed: int, rank: int | None = None) -> np.ndarray:
    random = np.random.default_rng(seed)
    shape = (2**n_qubits, rank or 2**n_qubits)
    root = random.normal(size=shape) + 1j * random.normal(size=shape)
    matrix = root @ root.conj().T
    normalised: np.ndarray = matrix / np.trace(matrix).real
    return normalised


def ghz(n_qubits: int) -> np.ndarray:
    state = np.zeros(2**n_qubits)
    state[[0, -1]] = 1 / math.sqrt(2)
    return state


def w_state(n_qubits: int) -> np.ndarray:
    state = np.zeros(2**n_qubits)
    state[[2**k for k in range(n_qubits)]] = 1 / math.sqrt(n_qubits)
    return state


def werner(p: float) -> np.ndarray:
    return p * np.outer(BELL, BELL) + (1 - p) * np.eye(4) / 4


def binary_entropy(p: float) -> float:
    return -p * math.log2(p) - (1 - p) * math.log2(1 - p)


@pytest.mark.parametrize("n_qubits", [2, 3, 4, 5, 9, 12, 13])
def test_ghz_has_one_bit_across_every_cut_and_global_entanglement_one(n_qubits: int) -> None:
    assert entanglement_entropy(ghz(n_qubits)) == pytest.approx(1, abs=1e-12)
    assert entanglement_entropy(ghz(n_qubits), [n_qubits - 1]) == pytest.approx(1, abs=1e-12)
    assert meyer_wallach(ghz(n_qubits)) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("n_qubits", [2, 3, 5, 8, 11])
def test_w_state_has_its_closed_forms(n_qubits: int) -> None:
    assert meyer_wallach(w_state(n_qubits)) == pytest.approx(4 * (n_qubits - 1) / n_qubits**2, abs=1e-12)
    for qubit in range(n_qubits):
        assert entanglement_entropy(w_state(n_qubits), [qubit]) == pytest.approx(
            binary_entropy(1 / n_qubits), abs=1e-12
        )


@pytest.mark.parametrize("p", [0.0, 0.2, 1 / 3, 0.5, 0.9, 1.0])
def test_werner_states_have_their_closed_forms(p: float) -> None:
    assert concurrence(werner(p)) == pytest.approx(max(0, (3 * p - 1) / 2), abs=1e-12)
    assert purity(werner(p)) == pytest.approx((1 + 3 * p**2) / 4, abs=1e-12)
    assert fidelity(werner(p), BELL) == pytest.approx((1 + 3 * p) / 4, abs=1e-12)
    assert fidelity(werner(p), np.outer(BELL, BELL)) == pytest.approx((1 + 3 * p) / 4, abs=1e-12)


def test_fidelity_of_two_commuting_states_is_the_squared_sum_of_roots() -> None:
    assert fidelity(np.diag([0.5, 0.5]), np.diag([0.9, 0.1])) == pytest.approx(0.8, abs=1e-14)


def test_a_product_of_superpositions_has_no_entropy() -> None:
    """Earlier monitors took the entropy of the diagonal and gave |++> one bit."""
    plus = np.full(4, 0.5)
    assert entanglement_entropy(plus) == pytest.approx(0, abs=1e-12)
    assert von_neumann_entropy(np.outer(plus, plus)) == pytest.approx(0, abs=1e-12)
    assert describe_state(plus)["entanglement_entropy"] == pytest.approx(0, abs=1e-12)


def test_there_is_no_fidelity_without_a_reference() -> None:
    """Earlier monitors reported a fidelity of 1 for every state that came without a reference."""
    assert "fidelity" not in quick_measures(BELL)
    assert "fidelity" not in describe_state(BELL)
    assert quick_measures([1, 0, 0, 0], BELL)["fidelity"] == pytest.approx(0.5)


def test_participation_counts_basis_states() -> None:
    assert participation_ratio([0, 0, 1, 0]) == 1
    assert participation_ratio(np.ones(32)) == pytest.approx(32)
    assert participation_ratio(np.eye(8) / 8) == pytest.approx(8)


def test_entropy_of_the_maximally_mixed_state_is_the_number_of_qubits() -> None:
    assert von_neumann_entropy(np.eye(32) / 32) == pytest.approx(5, abs=1e-12)
    assert von_neumann_entropy(BELL) == 0.0


def test_mutual_information_of_a_bell_pair_is_two_bits_and_of_a_classical_pair_one() -> None:
    assert mutual_information(BELL, [0], [1]) == pytest.approx(2, abs=1e-12)
    assert mutual_information(np.diag([0.5, 0, 0, 0.5]), [0], [1]) == pytest.approx(1, abs=1e-12)
    assert mutual_information(ghz(4), [0], [3]) == pytest.approx(1, abs=1e-12)
    assert mutual_information(np.kron([1, 0], [0.6, 0.8]), [0], [1]) == pytest.approx(0, abs=1e-12)


def test_qubit_zero_is_the_most_significant_of_a_bare_vector() -> None:
    zero_plus = np.kron([1, 0], [1, 1]) / math.sqrt(2)
    np.testing.assert_allclose(reduced_density_matrix(zero_plus, [0]), [[1, 0], [0, 0]], atol=1e-15)
    np.testing.assert_allclose(reduced_density_matrix(zero_plus, [1]), [[0.5, 0.5], [0.5, 0.5]], atol=1e-15)


@given(n_qubits=st.integers(1, 6), seed=SEEDS)
@random_states
def test_fidelity_agrees_with_qiskit_for_every_pairing(n_qubits: int, seed: int) -> None:
    from qiskit.quantum_info import DensityMatrix, Statevector, state_fidelity

    a, b = vector(n_qubits, seed), vector(n_qubits, seed + 1)
    mixed_a, mixed_b = density(n_qubits, seed, rank=3), density(n_qubits, seed + 1)
    assert fidelity(a, b) == pytest.approx(state_fidelity(Statevector(a), Statevector(b)), abs=1e-12)
    assert fidelity(a, mixed_b) == pytest.approx(state_fidelity(Statevector(a), DensityMatrix(mixed_b)), abs=1e-10)
    assert fidelity(mixed_b, a) == pytest.approx(fidelity(a, mixed_b), abs=1e-12)
    expected = state_fidelity(DensityMatrix(mixed_a), DensityMatrix(mixed_b), validate=False)
    assert fidelity(mixed_a, mixed_b) == pytest.approx(expected, abs=1e-6)


@given(n_qubits=st.integers(1, 3), seed=SEEDS)
@random_states
def test_fidelity_is_the_square_of_qutips(n_qubits: int, seed: int) -> None:
    import qutip

    a, b = density(n_qubits, seed), density(n_qubits, seed + 1)
    assert fidelity(a, b) == pytest.approx(qutip.fidelity(qutip.Qobj(a), qutip.Qobj(b)) ** 2, abs=1e-6)


@given(n_qubits=st.integers(1, 5), seed=SEEDS, rank=st.integers(1, 4))
@random_states
def test_fidelity_of_a_mixed_state_with_itself_is_one_at_every_rank(n_qubits: int, seed: int, rank: int) -> None:
    state = density(n_qubits, seed, rank=min(rank, 2**n_qubits))
    assert fidelity(state, state) == pytest.approx(1, abs=1e-12)


@given(n_qubits=st.integers(2, 9), seed=SEEDS, real=st.booleans(), data=st.data())
@random_states
def test_entropy_of_any_cut_agrees_with_qiskit_and_pennylane(
    n_qubits: int, seed: int, real: bool, data: st.DataObject
) -> None:
    import pennylane as qml
    from qiskit.quantum_info import Statevector, entropy, partial_trace

    state = vector(n_qubits, seed, real=real)
    cut = data.draw(st.lists(st.integers(0, n_qubits - 1), min_size=1, max_size=n_qubits - 1, unique=True))
    ours = entanglement_entropy(state, cut)
    rest = [qubit for qubit in range(n_qubits) if qubit not in cut]
    assert ours == pytest.approx(
        qml.math.vn_entanglement_entropy(np.outer(state, state.conj()), cut, rest, base=2), abs=1e-9
    )
    theirs = Statevector(state)
    assert entanglement_entropy(theirs, cut) == pytest.approx(entropy(partial_trace(theirs, rest), base=2), abs=1e-9)


@pytest.mark.parametrize("n_qubits", range(2, 15))
@pytest.mark.parametrize("kind", ["real", "complex", "complex type without imaginary part"])
def test_the_half_cut_agrees_with_the_singular_values_at_every_size(n_qubits: int, kind: str) -> None:
    state = vector(n_qubits, 5, real=kind != "complex")
    if kind.startswith("complex"):
        state = state.astype(complex)
    p = np.linalg.svd(state.reshape(2 ** (n_qubits // 2), -1), compute_uv=False) ** 2
    assert entanglement_entropy(state) == pytest.approx(-(p * np.log2(p)).sum(), abs=1e-11)
    unbalanced = np.linalg.svd(state.reshape(2 ** (n_qubits - 1), 2), compute_uv=False) ** 2
    expected = -(unbalanced * np.log2(unbalanced)).sum()
    assert entanglement_entropy(state, range(n_qubits - 1)) == pytest.approx(expected, abs=1e-11)


def test_the_default_cut_of_a_qiskit_state_is_qiskits_first_half() -> None:
    from qiskit.quantum_info import Statevector, entropy, partial_trace

    theirs = Statevector(vector(5, 3))
    expected = entropy(partial_trace(theirs, [2, 3, 4]), base=2)
    assert entanglement_entropy(theirs) == pytest.approx(expected, abs=1e-10)
    assert describe_state(theirs)["entanglement_entropy"] == pytest.approx(expected, abs=1e-10)


@given(n_qubits=st.integers(1, 6), seed=SEEDS)
@random_states
def test_von_neumann_entropy_and_purity_agree_with_qutip_and_pennylane(n_qubits: int, seed: int) -> None:
    import pennylane as qml
    import qutip

    state = density(n_qubits, seed)
    assert von_neumann_entropy(state) == pytest.approx(qutip.entropy_vn(qutip.Qobj(state), base=2), abs=1e-9)
    assert von_neumann_entropy(state) == pytest.approx(
        qml.math.vn_entropy(state, range(n_qubits)) / math.log(2), abs=1e-9
    )  # PennyLane's default unit is the nat
    assert purity(state) == pytest.approx(qutip.Qobj(state).purity(), abs=1e-12)


@given(seed=SEEDS)
@random_states
def test_concurrence_agrees_with_qiskit_and_qutip(seed: int) -> None:
    import qutip
    from qiskit.quantum_info import DensityMatrix
    from qiskit.quantum_info import concurrence as qiskit_concurrence

    mixed, pure = density(2, seed, rank=2), vector(2, seed)
    assert concurrence(mixed) == pytest.approx(qiskit_concurrence(DensityMatrix(mixed)), abs=1e-6)
    assert concurrence(mixed) == pytest.approx(qutip.concurrence(qutip.Qobj(mixed, dims=[[2, 2], [2, 2]])), abs=1e-6)
    assert concurrence(pure) == pytest.approx(concurrence(np.outer(pure, pure.conj())), abs=1e-7)


@given(n_qubits=st.integers(2, 5), seed=SEEDS, data=st.data())
@random_states
def test_reduced_states_agree_with_pennylane_qutip_and_qiskit(n_qubits: int, seed: int, data: st.DataObject) -> None:
    import pennylane as qml
    import qutip
    from qiskit.quantum_info import DensityMatrix, partial_trace

    matrix = density(n_qubits, seed)
    kept = data.draw(st.lists(st.integers(0, n_qubits - 1), min_size=1, max_size=n_qubits, unique=True))
    ours = reduced_density_matrix(matrix, kept)
    np.testing.assert_allclose(ours, qml.math.reduce_dm(matrix, kept), atol=1e-12)
    dims = [[2] * n_qubits] * 2
    ordered = reduced_density_matrix(matrix, sorted(kept))
    np.testing.assert_allclose(ordered, qutip.Qobj(matrix, dims=dims).ptrace(sorted(kept)).full(), atol=1e-12)
    gone = [qubit for qubit in range(n_qubits) if qubit not in kept]
    theirs = partial_trace(DensityMatrix(matrix), gone).data
    np.testing.assert_allclose(reduced_density_matrix(DensityMatrix(matrix), sorted(kept)), theirs, atol=1e-12)


@given(n_qubits=st.integers(2, 5), seed=SEEDS, pure=st.booleans())
@random_states
def test_mutual_information_agrees_with_pennylane(n_qubits: int, seed: int, pure: bool) -> None:
    import pennylane as qml

    state = vector(n_qubits, seed) if pure else density(n_qubits, seed)
    matrix = np.outer(state, state.conj()) if pure else state
    expected = qml.math.mutual_info(matrix, [0], [n_qubits - 1], base=2)
    assert mutual_information(state, [0], [n_qubits - 1]) == pytest.approx(expected, abs=1e-9)


@given(n_qubits=st.integers(2, 12), seed=SEEDS, real=st.booleans())
@random_states
def test_meyer_wallach_is_the_mean_linear_entropy_of_the_qubits(n_qubits: int, seed: int, real: bool) -> None:
    state = vector(n_qubits, seed, real=real)
    purities = [purity(reduced_density_matrix(state, [qubit])) for qubit in range(n_qubits)]
    assert meyer_wallach(state) == pytest.approx(2 * (1 - np.mean(purities)), abs=1e-12)


@given(n_qubits=st.integers(1, 5), seed=SEEDS)
@random_states
def test_measures_do_not_change_when_a_state_is_scaled_or_turned(n_qubits: int, seed: int) -> None:
    state = vector(n_qubits, seed)
    known, turned = describe_state(state), describe_state(state * 3e5j)
    assert turned.pop("norm") == pytest.approx(3e5)
    known.pop("norm")
    assert turned == pytest.approx(known, abs=1e-11)


def test_describe_state_has_the_fields_that_apply() -> None:
    common = {"norm", "qubits", "purity", "participation_ratio"}
    assert set(describe_state(BELL)) == common | {"entanglement_entropy", "global_entanglement"}
    assert set(describe_state([1, 0])) == common
    assert set(describe_state(werner(0.5))) == common | {"von_neumann_entropy"}
    assert set(quick_measures(BELL)) | set(entropies(BELL)) == set(describe_state(BELL))
    assert all(type(value) is float for value in describe_state(BELL).values())


def test_the_density_matrix_of_a_pure_state_has_its_entanglement() -> None:
    state = vector(4, 7)
    matrix = np.outer(state, state.conj())
    assert entanglement_entropy(matrix) == pytest.approx(entanglement_entropy(state), abs=1e-10)
    assert meyer_wallach(matrix) == pytest.approx(meyer_wallach(state), abs=1e-10)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: entanglement_entropy([1, 0]), "two qubits or more"),
        (lambda: entanglement_entropy(werner(0.5)), "purity"),
        (lambda: meyer_wallach(werner(0.5)), "purity"),
        (lambda: entanglement_entropy(BELL, []), "subsystem_qubits: empty"),
        (lambda: entanglement_entropy(BELL, [0, 1]), "other side"),
        (lambda: entanglement_entropy(BELL, [2]), r"\[2\] are outside 0 to 1"),
        (lambda: entanglement_entropy(BELL, [-1]), "outside"),
        (lambda: entanglement_entropy(ghz(3), [0, 0]), "twice"),
        (
            lambda: entanglement_entropy(BELL, [0.5]),  # type: ignore[list-item]
            "list of qubit numbers",
        ),
        (
            lambda: entanglement_entropy(BELL, 0),  # type: ignore[arg-type]
            "list of qubit numbers",
        ),
        (lambda: reduced_density_matrix(BELL, [5]), "qubits: "),
        (lambda: mutual_information(ghz(3), [0, 1], [1]), "both groups"),
        (lambda: concurrence(ghz(3)), "two qubits, got 3"),
        (lambda: fidelity([1, 0], BELL), "reference state: has 2 qubits"),
        (lambda: fidelity(BELL, [1, 0, 0]), "reference state: length 3"),
        (lambda: von_neumann_entropy(np.diag([1.5, -0.5])), "eigenvalue"),
    ],
)
def test_wrong_questions_are_refused_with_field_and_reason(call: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        call()  # type: ignore[operator]


@given(n_qubits=st.integers(1, 14), seed=SEEDS, scale=st.sampled_from([1.0, 1e-200, 3.0, 1e200]))
@settings(max_examples=15, deadline=None)
def test_one_pass_over_a_vector_tells_what_separate_passes_tell(n_qubits: int, seed: int, scale: float) -> None:
    state, reference = vector(n_qubits, seed) * scale, vector(n_qubits, seed + 1) * 2
    copied = copy_vector(state, reference)
    assert copied.norm == pytest.approx(scale, rel=1e-12)
    assert copied.fidelity == pytest.approx(fidelity(state, reference), rel=1e-10, abs=1e-14)
    assert fidelity(copied.state(), state) == pytest.approx(1)
    assert not np.shares_memory(copied.data, state)
