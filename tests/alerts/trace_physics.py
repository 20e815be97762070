"""Small circuits for labelled traces: real amplitudes, exact gradients, NumPy only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Observable = Callable[[Vector], Vector]
"""Applies a Hermitian, real operator to amplitudes."""


@dataclass(frozen=True)
class Ansatz:
    """The hardware-efficient ansatz from ``|0...0>``: layers of a rotation about Y on each qubit and a ladder of CZ."""

    qubits: int
    layers: int

    @property
    def parameters(self) -> int:
        return self.qubits * self.layers

    def state(self, angles: Vector) -> Vector:
        """Amplitudes of shape (2**qubits,)."""
        state = zero_state(self.qubits)
        for layer in angles.reshape(self.layers, self.qubits):
            for qubit, angle in enumerate(layer):
                state = _rotate(state, qubit, angle)
            state = state * self._signs
        return state

    def loss_and_gradient(self, angles: Vector, observable: Observable) -> tuple[float, Vector]:
        """Expectation value and its gradient by adjoint differentiation."""
        state = self.state(angles)
        other = observable(state)
        loss = float(state @ other)
        gradient = np.zeros((self.layers, self.qubits))
        grid = angles.reshape(self.layers, self.qubits)
        for layer in reversed(range(self.layers)):
            state, other = state * self._signs, other * self._signs
            for qubit in reversed(range(self.qubits)):
                # d/da RY(a) = RY(pi) RY(a) / 2, and RY(pi) takes |0> to |1> and |1> to -|0>.
                ours, others = state.reshape(2**qubit, 2, -1), other.reshape(2**qubit, 2, -1)
                gradient[layer, qubit] = np.vdot(others[:, 1], ours[:, 0]) - np.vdot(others[:, 0], ours[:, 1])
                state = _rotate(state, qubit, -grid[layer, qubit])
                other = _rotate(other, qubit, -grid[layer, qubit])
        return loss, gradient.ravel()

    @property
    def _signs(self) -> Vector:
        return _LADDERS.setdefault(self.qubits, _ladder(self.qubits))


_LADDERS: dict[int, Vector] = {}


def _ladder(qubits: int) -> Vector:
    bits = (np.arange(2**qubits)[:, None] >> np.arange(qubits)) & 1
    return np.where((bits[:, 1:] & bits[:, :-1]).sum(axis=1) % 2, -1.0, 1.0)


def _rotate(state: Vector, qubit: int, angle: float) -> Vector:
    pairs = state.reshape(2**qubit, 2, -1)
    c, s = np.cos(angle / 2), np.sin(angle / 2)
    zero, one = pairs[:, 0], pairs[:, 1]
    rotated = np.empty_like(pairs)
    rotated[:, 0], rotated[:, 1] = c * zero - s * one, s * zero + c * one
    return rotated.reshape(-1)


def zero_state(qubits: int) -> Vector:
    state = np.zeros(2**qubits)
    state[0] = 1.0
    return state


def global_cost(state: Vector) -> Vector:
    """One minus the projector on ``|0...0>``: its gradient vanishes exponentially (Cerezo et al. 2021)."""
    return np.concatenate(([0.0], state[1:]))


def local_cost(state: Vector) -> Vector:
    """The mean over the qubits of the projector on ``|1>``: the same minimum without the plateau at a small depth."""
    qubits = len(state).bit_length() - 1
    ones = ((np.arange(len(state))[:, None] >> np.arange(qubits)) & 1).sum(axis=1)
    return np.asarray(state * ones / qubits)


_HYDROGEN = {
    0.4: (-0.904361, 0.447450, 1.850916, 0.164515),
    0.7414: (-1.116684, -0.351190, 0.459250, 0.181289),
}
"""Bond length in angstrom to energies in hartree, STO-3G: Hartree-Fock, open shell, doubly excited, exchange."""


def hydrogen(bond_length: float) -> NDArray[np.float64]:
    """H2 with two electrons and no net spin, on two qubits, shape (4, 4); ``|00>`` is the Hartree-Fock state."""
    hartree_fock, open_shell, double, exchange = _HYDROGEN[bond_length]
    matrix = np.diag([hartree_fock, open_shell, open_shell, double])
    matrix[0, 3] = matrix[3, 0] = exchange
    matrix[1, 2] = matrix[2, 1] = -exchange
    return matrix


def ising(qubits: int, field: float) -> NDArray[np.float64]:
    """The Ising chain, coupled along X, in a field along Z; in a strong one its ground state is nearly a product."""
    flip, sign = np.array([[0.0, 1.0], [1.0, 0.0]]), np.diag([1.0, -1.0])
    matrix = np.zeros((2**qubits, 2**qubits))
    for qubit in range(qubits):
        matrix -= field * np.kron(np.kron(np.eye(2**qubit), sign), np.eye(2 ** (qubits - qubit - 1)))
    for qubit in range(qubits - 1):
        pair = np.kron(flip, flip)
        matrix -= np.kron(np.kron(np.eye(2**qubit), pair), np.eye(2 ** (qubits - qubit - 2)))
    return matrix


def ground_state(matrix: NDArray[np.float64]) -> Vector:
    return np.asarray(np.linalg.eigh(matrix)[1][:, 0])
