"""The linear algebra under the measures: which routine does the work at which size."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from quantum_monitor.physics.states import STATE_TOLERANCE, Array, negative_eigenvalue

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SCIPY_FROM = 16  # up to here numpy's eigvalsh wins by its lower overhead, from here on LAPACK without extra copies
_TABLES_UP_TO = 9  # qubits for which tables of index pairs are kept (2^9 * 9 * 8 bytes each)


def schmidt_spectrum(vector: Array, axes: list[int], n_qubits: int) -> NDArray[np.float64]:
    """Return the eigenvalues of the reduced state of some qubits of a pure state, from the smaller side of the cut.

    Args:
        vector: normalised amplitudes (2^n,).
        axes: the qubits on one side, 0 the most significant; a proper, non-empty part.
        n_qubits: n.
    """
    count = len(axes)
    first = axes == list(range(count))
    if first or axes == list(range(n_qubits - count, n_qubits)):  # the cut of a reshape: nothing to move
        matrix = vector.reshape(2 ** (count if first else n_qubits - count), -1)
    else:
        rest = [axis for axis in range(n_qubits) if axis not in axes]
        matrix = vector.reshape((2,) * n_qubits).transpose(axes + rest).reshape(2**count, -1)
    return _gram_spectrum(matrix)


def spectrum(matrix: Array) -> NDArray[np.float64]:
    """Return the eigenvalues of a density matrix, rising.

    Raises:
        ValueError: one is negative beyond rounding.
    """
    values = _eigenvalues(np.array(matrix, order="F") if len(matrix) >= _SCIPY_FROM else matrix)
    if values[0] < -STATE_TOLERANCE:
        raise negative_eigenvalue(float(values[0]))
    return values


def entropy_bits(eigenvalues: NDArray[np.float64]) -> float:
    """Return minus the sum of p log2 p; what rounding made negative counts as 0."""
    p = eigenvalues[eigenvalues > 0.0]
    return max(-float(p.dot(np.log2(p))), 0.0) + 0.0  # which turns -0.0 into 0.0


def density_root(matrix: Array) -> Array:
    """Return R of shape (2^n, rank) with R R^H = the density matrix.

    Raises:
        ValueError: an eigenvalue is negative beyond rounding.
    """
    values, vectors = np.linalg.eigh(matrix)
    if values[0] < -STATE_TOLERANCE:
        raise negative_eigenvalue(float(values[0]))
    kept = values > len(values) * np.finfo(np.float64).eps * values[-1]
    return cast("Array", vectors[:, kept] * np.sqrt(values[kept]))


def partial_trace(data: Array, axes: list[int], n_qubits: int) -> Array:
    """Return the reduced density matrix of the given qubits, the first of them the most significant."""
    kept = 2 ** len(axes)
    every = list(range(n_qubits))
    if data.ndim == 1:
        rest = [axis for axis in every if axis not in axes]
        matrix = data.reshape((2,) * n_qubits).transpose(axes + rest).reshape(kept, -1)
        return cast("Array", matrix @ matrix.conj().T)
    # A qubit that goes has the same index in row and column, and is summed where it stands: no copy of the whole.
    columns = [axis + n_qubits if axis in axes else axis for axis in every]
    result = [*axes, *(axis + n_qubits for axis in axes)]
    reduced = np.einsum(data.reshape((2,) * (2 * n_qubits)), every + columns, result)  # type: ignore[arg-type]  # stubs
    return cast("Array", reduced.reshape(kept, kept))


def probabilities(data: Array) -> NDArray[np.float64]:
    """Return the probabilities of the basis states, (2^n,), of amplitudes or of a density matrix."""
    if data.ndim == 2:
        return np.ascontiguousarray(data.diagonal().real)
    if data.dtype.kind == "f":
        return np.square(data)
    squares = np.square(data.real)
    squares += np.square(data.imag)
    return squares


def marginal_differences(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return p(0) - p(1) of each qubit, most significant first, from the probabilities of the basis states."""
    n_qubits = len(weights).bit_length() - 1
    if n_qubits <= _TABLES_UP_TO:
        return _signs(n_qubits) @ weights
    differences = np.empty(n_qubits)
    for qubit in range(n_qubits):  # halving what is left each time makes this two passes, not n
        zero, one = weights.reshape(2, -1)
        differences[qubit] = zero.sum() - one.sum()
        weights = zero + one
    return differences


def coherences(vector: Array) -> Array:
    """Return the off-diagonal element of each single-qubit reduced state of a pure state, most significant first."""
    n_qubits = len(vector).bit_length() - 1
    conjugate = vector.conj()
    if n_qubits <= _TABLES_UP_TO:
        zero, one = _pairs(n_qubits)
        return cast("Array", np.einsum("ij,ij->i", vector[zero], conjugate[one]))
    values = np.empty_like(vector, shape=n_qubits)
    for qubit in range(n_qubits):
        shape = (2**qubit, 2, -1)
        values[qubit] = np.einsum("ij,ij->", vector.reshape(shape)[:, 0], conjugate.reshape(shape)[:, 1])
    return values


@lru_cache(maxsize=_TABLES_UP_TO)
def _signs(n_qubits: int) -> NDArray[np.float64]:
    bits = np.arange(2**n_qubits) >> np.arange(n_qubits - 1, -1, -1)[:, None] & 1
    return np.where(bits, -1.0, 1.0)


@lru_cache(maxsize=_TABLES_UP_TO)
def _pairs(n_qubits: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return, for each qubit, the indices with that bit 0, and those beside them with the bit 1."""
    indices = np.arange(2**n_qubits)
    bits = [1 << (n_qubits - 1 - qubit) for qubit in range(n_qubits)]
    zero = np.array([indices[indices & bit == 0] for bit in bits])
    return zero, zero + np.array(bits)[:, None]


def _gram_spectrum(matrix: Array) -> NDArray[np.float64]:
    """Return the eigenvalues of M M^H or of M^H M, whichever is smaller, for M in C order."""
    rows, columns = matrix.shape
    smaller = min(rows, columns)
    if smaller < _SCIPY_FROM:
        side = matrix if rows <= columns else matrix.T
        return np.linalg.eigvalsh(side @ side.conj().T)
    from scipy.linalg import blas

    if matrix.dtype.kind == "c" and not matrix.imag.any():
        matrix = np.ascontiguousarray(matrix.real)  # real routines take a third of the time
    # BLAS reads M in C order as the transpose of M: no copy. `trans` picks conj(M M^H) or M^T conj(M), whose
    # eigenvalues are the same, and the rank-k update computes one triangle only.
    across = 1 if rows <= columns else 0
    if matrix.dtype.kind == "c":
        return _eigenvalues(blas.zherk(1.0, matrix.T, trans=2 * across))
    return _eigenvalues(blas.dsyrk(1.0, matrix.T, trans=across))


def _eigenvalues(matrix: Any) -> NDArray[np.float64]:
    """Return the eigenvalues of a Hermitian matrix, which is overwritten; a large one needs its upper triangle only."""
    if len(matrix) < _SCIPY_FROM:
        return np.linalg.eigvalsh(matrix)
    from scipy.linalg import eigh

    return cast(
        "NDArray[np.float64]",
        eigh(matrix, lower=False, eigvals_only=True, overwrite_a=True, check_finite=False, driver="evd"),
    )
