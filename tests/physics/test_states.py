"""What people hand over as a state is read, normalised in double precision, or refused with the reason."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from quantum_monitor.physics import as_state, describe_state, fidelity, purity

BELL = np.array([1, 0, 0, 1]) / np.sqrt(2)


def random_vector(n_qubits: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    vector = random.normal(size=2**n_qubits) + 1j * random.normal(size=2**n_qubits)
    normalised: np.ndarray = vector / np.linalg.norm(vector)
    return normalised


@pytest.mark.parametrize(
    "given",
    [
        [1, 0, 0, 1],
        (1.0, 0.0, 0.0, 1.0),
        np.array([1, 0, 0, 1], dtype=np.int8),
        np.array([1, 0, 0, 1], dtype=np.float32),
        np.array([1, 0, 0, 1], dtype=np.complex64),
        np.array([[1], [0], [0], [1]]),
        np.array([[1, 0, 0, 1]]),
        np.array([True, False, False, True]),
        np.array([1, 7, 0, 7, 0, 7, 1, 7])[::2],
    ],
)
def test_every_way_to_write_a_vector_gives_the_same_state(given: object) -> None:
    state = as_state(given)
    assert state.n_qubits == 2
    assert state.norm == pytest.approx(np.sqrt(2), rel=1e-15)
    np.testing.assert_allclose(state.data, BELL, atol=1e-16)
    assert state.data.dtype in (np.float64, np.complex128)


def test_real_input_stays_real_and_complex_input_complex() -> None:
    assert as_state([1, 1]).data.dtype == np.float64
    assert as_state([1, 1j]).data.dtype == np.complex128
    assert as_state(np.eye(2, dtype=np.float32) / 2).data.dtype == np.float64


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-3, 1.0, 1e200, 1e300])
def test_no_scale_is_too_small_or_too_large_to_square(scale: float) -> None:
    vector = as_state(np.array([3.0, 4.0]) * scale)
    np.testing.assert_allclose(vector.data, [0.6, 0.8], rtol=1e-15)
    assert vector.norm == pytest.approx(5 * scale, rel=1e-14)
    matrix = as_state(np.diag([0.25 + 0j, 0.75]) * scale)
    np.testing.assert_allclose(matrix.data, np.diag([0.25, 0.75]), rtol=1e-15)
    assert matrix.norm == pytest.approx(scale, rel=1e-14)


def test_the_sum_of_float32_amplitudes_is_taken_in_double() -> None:
    amplitudes = np.full(2**20, np.float32(2**-10))
    amplitudes[0] += np.float32(2**-30)
    exact = np.linalg.norm(amplitudes.astype(np.float64))
    assert as_state(amplitudes).norm == pytest.approx(exact, rel=1e-15)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([], "empty"),
        ([1.0], "length 1 is not a power of two"),
        ([1, 0, 0], "length 3 is not a power of two"),
        ([0, 0], "zero"),
        ([0, float("nan")], "NaN"),
        ([1, float("inf")], "NaN or infinite"),
        ([1, complex(0, float("inf"))], "NaN or infinite"),
        (np.ones((2, 2, 2)), r"shape \(2, 2, 2\)"),
        (np.ones((2, 4)), r"shape \(2, 4\)"),
        (np.eye(3), "length 3"),
        ([[1, 0], [0]], "array of numbers"),
        (["a", "b"], "expected numbers"),
        (None, "expected numbers"),
        ({"a": 1}, "expected numbers"),
        ("01", "expected numbers"),
        ([[1, 1], [0, 0]], "Hermitian"),
        (np.diag([1.5, -0.5]), "eigenvalue of -0.5"),
        (np.array([[0.5, 0.9], [0.9, 0.5]]), "eigenvalue of -0.4"),
        (np.diag([1.0, -1.0]), "trace"),
        (np.diag([-1.0, -1.0]), "trace"),
        (np.zeros((2, 2)), "zero"),
        (np.array([[1.0, np.nan], [np.nan, 0.0]]), "NaN"),
    ],
)
def test_what_is_no_state_is_refused_with_field_and_reason(given: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        as_state(given, name="reference state")
    assert str(caught.value).startswith("reference state: ")


def test_rounding_of_single_precision_is_not_refused() -> None:
    matrix = np.outer(BELL, BELL).astype(np.complex64)
    matrix[0, 3] += 1e-6
    matrix[1, 1] = -1e-6
    assert purity(matrix) == pytest.approx(1, abs=1e-5)


def test_positivity_may_be_left_to_who_computes_the_spectrum() -> None:
    negative = np.diag([1.5, -0.5])
    assert as_state(negative, defer_positivity=True).norm == 1.0
    with pytest.raises(ValueError, match="eigenvalue"):
        describe_state(negative)


def test_a_copy_does_not_follow_its_source() -> None:
    for source in (BELL.copy(), random_vector(3), np.outer(BELL, BELL)):
        known = as_state(source, copy=True)
        before = known.data.copy()
        source[...] = 0
        np.testing.assert_array_equal(known.data, before)


def test_a_normalised_vector_is_not_copied_unasked() -> None:
    vector = np.array([0.6, 0.8])
    assert np.shares_memory(as_state(vector).data, vector)


def test_a_state_is_read_once() -> None:
    known = as_state(BELL)
    assert as_state(known) is known


def test_qiskit_states_keep_their_order() -> None:
    info = pytest.importorskip("qiskit.quantum_info")
    vector = random_vector(3)
    state = as_state(info.Statevector(vector))
    assert state.little_endian
    np.testing.assert_allclose(state.data, vector)
    assert as_state(info.DensityMatrix(vector)).data.shape == (8, 8)
    with pytest.raises(ValueError, match="does not consist of qubits"):
        as_state(info.Statevector(np.ones(3) / np.sqrt(3), dims=(3,)))


def test_qutip_kets_bras_and_operators_are_read() -> None:
    qutip = pytest.importorskip("qutip")
    ket = qutip.rand_ket([2, 2, 2], seed=1)
    for given in (ket, ket.dag(), ket.proj()):
        assert fidelity(given, ket) == pytest.approx(1)
    assert not as_state(ket).little_endian


def test_pennylane_tensors_are_read() -> None:
    qml = pytest.importorskip("pennylane")
    assert purity(qml.numpy.array(BELL, requires_grad=True)) == 1.0


def test_a_value_that_autograd_traces_is_read() -> None:
    autograd = pytest.importorskip("autograd")
    seen = []

    def cost(x: object) -> object:
        seen.append(as_state(x).norm)
        return (x**2).sum()  # type: ignore[operator]

    autograd.grad(cost)(np.array([3.0, 4.0]))
    assert seen == [5.0]


def test_cirq_results_are_read() -> None:
    cirq = pytest.importorskip("cirq")
    a, b = cirq.LineQubit.range(2)
    circuit = cirq.Circuit(cirq.H(a), cirq.CNOT(a, b))
    assert fidelity(cirq.Simulator().simulate(circuit), BELL) == pytest.approx(1, abs=1e-6)
    assert fidelity(cirq.DensityMatrixSimulator().simulate(circuit), BELL) == pytest.approx(1, abs=1e-6)


def test_torch_tensors_are_read() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(BELL, dtype=torch.complex64, requires_grad=True)
    for given in (tensor, tensor.conj(), tensor.real, torch.tensor([1, 0, 0, 1], dtype=torch.bfloat16)):
        assert fidelity(given, BELL) == pytest.approx(1, abs=1e-6)


def test_jax_arrays_are_read() -> None:
    jax = pytest.importorskip("jax")
    assert fidelity(jax.numpy.array(BELL), BELL) == pytest.approx(1, abs=1e-6)


def test_importing_the_physics_loads_no_scipy_linalg() -> None:
    code = "import sys, quantum_monitor.physics; print('scipy.linalg' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"
