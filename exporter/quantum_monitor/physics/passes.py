"""One pass over a large state: what a training loop waits for before it may go on and change its buffer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from quantum_monitor.physics.states import Array, State, StateLike, as_array, as_state, count_qubits

# Amplitudes in a block. Three of the small ones stay in a core's cache, and BLAS starts no threads for so few. Of a
# vector that fills the caches of the machine, the calls for small blocks would cost as much as the arithmetic.
_BLOCK, _LARGE_BLOCK = 8_192, 65_536
_LARGE = 2**17
_SAFE_SQUARES = (1e-280, 1e280)


@dataclass(frozen=True, eq=False)
class Copy:
    """An independent copy of a state vector as it was handed over, with what one pass over it tells.

    Attributes:
        data: the amplitudes, not normalised.
        norm: their 2-norm.
        fidelity: squared overlap with the reference, both normalised; None without one.
        little_endian: see `State`.
    """

    data: Array
    norm: float
    fidelity: float | None
    little_endian: bool

    def state(self) -> State:
        """The normalised state; may take a pass of its own."""
        known = as_state(self.data)
        return State(known.data, self.norm, known.n_qubits, self.little_endian)


def copy_vector(state: StateLike, reference: StateLike | None = None) -> Copy:
    """Copy a state vector, and measure its norm and its overlap with a reference on the way.

    Block by block, so that every amplitude is fetched from memory once: norms cost nothing beside copy and overlap.

    Args:
        state: amplitudes, shape (2^n,), in anything `as_state` reads.
        reference: amplitudes of the same number of qubits.

    Raises:
        ValueError: not a state vector, not finite, zero, or a reference of another shape.
    """
    vector, little_endian = as_array(state, "state")
    count_qubits(vector.shape, "state")
    other = None if reference is None else as_array(reference, "reference state")[0]
    if vector.ndim != 1 or (other is not None and other.shape != vector.shape):
        shapes = f"{vector.shape}" if other is None else f"{vector.shape} and {other.shape}"
        raise ValueError(f"state: expected vectors of one length, got shapes {shapes}")
    copy: Array = np.empty_like(vector, order="C")
    squares = other_squares = 0.0
    overlap = 0j
    size = _LARGE_BLOCK if len(vector) >= _LARGE else _BLOCK
    for start in range(0, len(vector), size):
        part = slice(start, start + size)
        block = copy[part]
        block[:] = vector[part]
        squares += _squares(block)
        if other is not None:
            other_block = other[part]
            overlap += complex(np.vdot(other_block, block))
            other_squares += _squares(other_block)
    if not all(
        _SAFE_SQUARES[0] < value < _SAFE_SQUARES[1] for value in (squares, 1.0 if other is None else other_squares)
    ):
        return _carefully(copy, other, little_endian)
    fidelity = None if other is None else min(abs(overlap) ** 2 / (squares * other_squares), 1.0)
    return Copy(copy, math.sqrt(squares), fidelity, little_endian)


def _squares(block: Array) -> float:
    # Real and imaginary parts side by side: half the products of a complex one.
    parts = np.ascontiguousarray(block).view(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        return float(parts.dot(parts))


def _carefully(copy: Array, other: Array | None, little_endian: bool) -> Copy:
    """Where squares leave the range of a double, or something is not finite or zero."""
    known = as_state(copy)
    fidelity = None
    if other is not None:
        fidelity = min(abs(complex(np.vdot(known.data, as_state(other, name="reference state").data))) ** 2, 1.0)
    return Copy(known.data, known.norm, fidelity, little_endian)
