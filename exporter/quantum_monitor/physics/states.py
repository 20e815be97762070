"""Quantum states: what people hand over, checked, normalised and in double precision."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[np.float64] | NDArray[np.complex128]"
StateLike: TypeAlias = Any
"""Anything `as_state` understands; the frameworks that make these objects are never imported here."""

STATE_TOLERANCE = 1e-5
"""How far a density matrix of trace 1 may be from Hermitian, and its eigenvalues below 0: noise of single precision."""

_SAFE_SQUARES = (1e-280, 1e280)  # within these bounds a sum of squares in double has lost nothing that counts
_BLOCK = 8_192
_ROUNDING = 4e-15  # a norm this close to 1 is 1: scaling would only add rounding of its own


@dataclass(frozen=True, eq=False)
class State:
    """A normalised quantum state.

    Attributes:
        data: amplitudes of shape (2^n,), or a density matrix of shape (2^n, 2^n); float64 where the input was real,
            else complex128. Not to be written to: it may be the caller's own array.
        norm: what the input measured before it was normalised: the 2-norm of a vector, the trace of a density matrix.
        n_qubits: number of qubits, 1 or more.
        little_endian: True where qubit 0 is the least significant bit of an index (Qiskit), False for the order of
            `numpy.kron`.
    """

    data: Array
    norm: float
    n_qubits: int
    little_endian: bool = False

    @property
    def is_vector(self) -> bool:
        """Whether the state was given as amplitudes; a density matrix, even of a pure state, is not."""
        return self.data.ndim == 1


def as_state(state: StateLike, *, name: str = "state", copy: bool = False, defer_positivity: bool = False) -> State:
    """Read a state vector or a density matrix from whatever holds it.

    Understood are arrays and nested lists, the tensors of PyTorch (on any device, with gradients), JAX, PennyLane and
    autograd, Qiskit's ``Statevector`` and ``DensityMatrix``, QuTiP's ``Qobj``, and Cirq's simulation results. A vector
    of norm 1 and the right type is used as it is and costs one pass.

    Args:
        state: amplitudes (2^n, a column or a row of them) or a density matrix (2^n by 2^n). A `State` is returned
            unchanged.
        name: what error messages call it.
        copy: True if ``state`` may change later while the result is still needed.
        defer_positivity: True leaves the eigenvalues of a density matrix to the functions that compute them anyway
            (`von_neumann_entropy`, `fidelity`, `entropies`), which then raise the error for a negative one.

    Returns:
        The normalised state with the norm it had.

    Raises:
        ValueError: the input is empty, no numbers, not finite, zero, of a shape that is no power of two, or a density
            matrix that is not Hermitian or has an eigenvalue below -1e-5 of its trace.
    """
    if isinstance(state, State):
        return state
    array, little_endian = as_array(state, name)
    n_qubits = count_qubits(array.shape, name)
    if array.ndim == 1:
        data, norm = _normalised_vector(array, name, copy=copy)
    else:
        data, norm = _normalised_matrix(array, name, copy=copy)
        if not defer_positivity:
            _require_positive(data, name)
    return State(data, norm, n_qubits, little_endian)


def negative_eigenvalue(value: float, name: str = "state") -> ValueError:
    """Make the error for a density matrix of trace 1 with the given smallest eigenvalue."""
    return ValueError(
        f"{name}: an eigenvalue of {value:.3g} (of trace 1) is below -{STATE_TOLERANCE:g}; "
        "the eigenvalues of a density matrix are probabilities"
    )


def as_array(state: StateLike, name: str) -> tuple[Array, bool]:
    """Return the numbers of a state in double precision, and whether qubit 0 is the least significant bit of an index.

    Raises:
        ValueError: no numbers.
    """
    little_endian = False
    values: Any = state
    if type(state) is not np.ndarray:
        values, little_endian = _unwrap(state, name)
    array = as_numbers(values, name)
    if array.ndim == 2 and 1 in array.shape:
        array = array.reshape(-1)
    return array, little_endian


def as_numbers(values: Any, name: str) -> Array:
    """Return an array in double precision: float64 for real input, complex128 for complex.

    It shares memory with the input where nothing has to be converted.

    Raises:
        ValueError: no numbers, or a ragged list.
    """
    if type(values) is not np.ndarray:
        while hasattr(values, "_value") and hasattr(values, "_node"):  # autograd's box around a traced value
            values = values._value
        if hasattr(values, "detach") and hasattr(values, "cpu"):  # PyTorch
            values = values.detach().cpu().resolve_conj().resolve_neg()
            values = (values.double() if "bfloat16" in str(values.dtype) else values).numpy()
    try:
        array = np.asarray(values)
    except Exception as error:
        raise ValueError(f"{name}: {type(values).__name__} cannot be read as an array of numbers: {error}") from error
    kind = array.dtype.kind
    if kind not in "fciub":
        raise ValueError(f"{name}: expected numbers, got {type(values).__name__} of {array.dtype}")
    return array.astype(np.complex128 if kind == "c" else np.float64, copy=False)


def count_qubits(shape: tuple[int, ...], name: str) -> int:
    """Return n for the shape of a state vector (2^n,) or a density matrix (2^n, 2^n).

    Raises:
        ValueError: any other shape.
    """
    if len(shape) not in (1, 2) or (len(shape) == 2 and shape[0] != shape[1]):
        raise ValueError(
            f"{name}: shape {shape} is neither a state vector (2^n) nor a density matrix (2^n by 2^n); "
            "pass one state a call"
        )
    length = shape[0]
    if length == 0:
        raise ValueError(f"{name}: empty")
    if length < 2 or length & (length - 1):
        raise ValueError(f"{name}: length {length} is not a power of two from 2 on; n qubits have 2^n amplitudes")
    return length.bit_length() - 1


def sum_of_squares(array: Array) -> float:
    """Return the sum of the squared magnitudes.

    Blocks stay below the size from which NumPy's BLAS starts its threads: those would go on spinning for milliseconds
    beside the threads of SciPy's BLAS, which computes the spectra, and multiply their time.
    """
    if array.size <= _BLOCK:
        return float(np.vdot(array, array).real)
    flat = array.reshape(-1)
    blocks = (flat[start : start + _BLOCK] for start in range(0, flat.size, _BLOCK))
    return math.fsum(float(np.vdot(block, block).real) for block in blocks)


def _unwrap(state: StateLike, name: str) -> tuple[Any, bool]:
    """Take the array out of a framework's object; the second value is True for Qiskit's order of qubits."""
    for attribute in ("final_state_vector", "final_density_matrix"):  # Cirq
        if hasattr(state, attribute):
            return getattr(state, attribute), False
    if callable(getattr(state, "full", None)):  # QuTiP
        values = state.full()
        return (values.conj() if getattr(state, "isbra", False) else values), False
    if hasattr(state, "num_qubits") and isinstance(getattr(state, "data", None), np.ndarray):  # Qiskit
        if state.num_qubits is None:
            raise ValueError(f"{name}: {type(state).__name__} of dimensions {state.dims()} does not consist of qubits")
        return state.data, True
    return state, False


def _normalised_vector(vector: Array, name: str, *, copy: bool) -> tuple[Array, float]:
    squares = sum_of_squares(vector)
    if abs(squares - 1.0) <= _ROUNDING:
        return (vector.copy() if copy else vector), math.sqrt(squares)
    scale = 1.0
    if not _SAFE_SQUARES[0] < squares < _SAFE_SQUARES[1]:
        scale = _largest(vector, name)
        vector = vector / scale
        squares = sum_of_squares(vector)
    norm = math.sqrt(squares)
    return vector * (1.0 / norm), norm * scale


def _normalised_matrix(matrix: Array, name: str, *, copy: bool) -> tuple[Array, float]:
    squares = sum_of_squares(matrix)
    scale = 1.0
    if not _SAFE_SQUARES[0] < squares < _SAFE_SQUARES[1]:
        scale = _largest(matrix, name)
        matrix = matrix / scale
        squares = sum_of_squares(matrix)
    trace = float(np.trace(matrix).real)
    if trace <= _ROUNDING * math.sqrt(squares):
        raise ValueError(f"{name}: trace {trace * scale:.6g}; the trace of a density matrix is 1")
    if abs(trace - 1.0) > _ROUNDING:
        matrix = matrix * (1.0 / trace)
    elif copy:
        matrix = matrix.copy()
    adjoint = matrix.conj().T
    asymmetry = _magnitude(matrix - adjoint)
    if asymmetry > STATE_TOLERANCE:
        raise ValueError(
            f"{name}: differs from its adjoint by up to {asymmetry:.3g} (of trace 1, allowed {STATE_TOLERANCE:g}); "
            "a density matrix is Hermitian"
        )
    return (0.5 * (matrix + adjoint) if asymmetry else matrix), trace * scale


def _largest(array: Array, name: str) -> float:
    """Return the largest magnitude of any real or imaginary part, which must be finite and not zero."""
    largest = _magnitude(array)
    if not math.isfinite(largest):
        raise ValueError(f"{name}: holds NaN or infinite values")
    if largest == 0.0:
        raise ValueError(f"{name}: all values are zero, which is no state")
    return largest


def _magnitude(array: Array) -> float:
    parts = np.ascontiguousarray(array).view(np.float64)
    return max(float(parts.max()), -float(parts.min()))


def _require_positive(matrix: Array, name: str) -> None:
    """Raise for a negative eigenvalue: only without one does a Cholesky factor exist, at a tenth of their price."""
    shifted = matrix.copy()
    shifted.flat[:: len(matrix) + 1] += STATE_TOLERANCE
    try:
        np.linalg.cholesky(shifted)
    except np.linalg.LinAlgError:
        raise negative_eigenvalue(float(np.linalg.eigvalsh(matrix)[0]), name) from None
