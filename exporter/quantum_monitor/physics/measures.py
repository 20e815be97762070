"""Measures of a quantum state: fidelity, entropies, purity and entanglement.

Every function takes anything `quantum_monitor.physics.as_state` reads, normalises it, and raises its ``ValueError`` for
what is no state. Entropies are in bits. Qubit 0 is the most significant bit of an index (the order of `numpy.kron`);
an object of a framework keeps that framework's numbering, so qubit 0 of a Qiskit ``Statevector`` is Qiskit's qubit 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from quantum_monitor.physics.linalg import (
    coherences,
    density_root,
    entropy_bits,
    marginal_differences,
    partial_trace,
    probabilities,
    schmidt_spectrum,
    spectrum,
)
from quantum_monitor.physics.states import Array, State, StateLike, as_state, sum_of_squares

_PURE_TOLERANCE = 1e-6
_SPIN_FLIP = np.array([[0, 0, 0, -1], [0, 0, 1, 0], [0, 1, 0, 0], [-1, 0, 0, 0]], dtype=np.float64)


def fidelity(a: StateLike, b: StateLike) -> float:
    r"""Return Uhlmann's fidelity, squared: :math:`(\mathrm{Tr}\sqrt{\sqrt{a}\,b\sqrt{a}})^2`.

    For two vectors this is :math:`|\langle a|b\rangle|^2`, for a vector and a density matrix
    :math:`\langle a|b|a\rangle`. Two density matrices are compared through the singular values of the product of their
    roots, which keeps full accuracy for states of low rank. Amplitudes are compared index by index.
    Source: R. Jozsa, J. Mod. Opt. 41, 2315 (1994). (QuTiP's ``fidelity`` is the square root of this.)

    Returns:
        a ratio from 0 (orthogonal) to 1 (equal).

    Raises:
        ValueError: either is no state, or they have different numbers of qubits.
    """
    left, right = as_state(a, name="state"), as_state(b, name="reference state")
    if left.n_qubits != right.n_qubits:
        raise ValueError(
            f"reference state: has {right.n_qubits} qubits, the state has {left.n_qubits}; fidelity needs equal numbers"
        )
    if left.is_vector and right.is_vector:
        value = abs(complex(np.vdot(left.data, right.data))) ** 2
    elif left.is_vector or right.is_vector:
        vector, matrix = (left.data, right.data) if left.is_vector else (right.data, left.data)
        value = float(np.vdot(vector, matrix @ vector).real)
    else:
        product = density_root(left.data).conj().T @ density_root(right.data)
        value = float(np.linalg.svd(product, compute_uv=False).sum()) ** 2
    return min(max(value, 0.0), 1.0)


def purity(state: StateLike) -> float:
    r"""Return :math:`\mathrm{Tr}\,\rho^2`: 1 for a pure state down to :math:`2^{-n}` for the maximally mixed one."""
    known = as_state(state)
    return 1.0 if known.is_vector else min(sum_of_squares(known.data), 1.0)


def participation_ratio(state: StateLike) -> float:
    r"""Return :math:`1/\sum_i p_i^2` of the probabilities in the computational basis.

    It tells over how many basis states the state spreads: 1 for a basis state, :math:`2^n` for a uniform superposition.
    It depends on the basis and is no measure of entanglement. Unit: basis states.
    """
    return _participation(probabilities(as_state(state).data))


def entanglement_entropy(state: StateLike, subsystem_qubits: Iterable[int] | None = None) -> float:
    r"""Return the entanglement entropy of a pure state across a cut, in bits.

    This is the von Neumann entropy :math:`-\mathrm{Tr}\,\rho_A\log_2\rho_A` of the reduced state, computed from the
    smaller side of the cut, which has the same spectrum.
    Source: C. H. Bennett et al., Phys. Rev. A 53, 2046 (1996).

    Args:
        state: a state vector, or the density matrix of a pure state, of two qubits or more.
        subsystem_qubits: the qubits on one side; the first half (rounded down) where None.

    Returns:
        0 (a product) to min(qubits on either side) bits.

    Raises:
        ValueError: no state, one qubit only, a mixed state (ask `von_neumann_entropy` or `mutual_information`), or
            qubits that are no proper part of the state's.
    """
    known = _require_pure(as_state(state), "entanglement_entropy")
    if known.n_qubits < 2:
        raise ValueError("state: entanglement_entropy needs two qubits or more, got 1")
    if subsystem_qubits is None:
        qubits = list(range(known.n_qubits // 2))
    else:
        qubits = checked_qubits(subsystem_qubits, known.n_qubits, "subsystem_qubits")
        if len(qubits) == known.n_qubits:
            raise ValueError(
                f"subsystem_qubits: all {known.n_qubits} qubits leave nothing on the other side of the cut"
            )
    return _subsystem_entropy(known, qubits)


def von_neumann_entropy(state: StateLike) -> float:
    r"""Return :math:`-\mathrm{Tr}\,\rho\log_2\rho` of the whole state in bits: 0 for a pure state, n at most.

    Raises:
        ValueError: no state.
    """
    known = as_state(state, defer_positivity=True)
    return 0.0 if known.is_vector else entropy_bits(spectrum(known.data))


def meyer_wallach(state: StateLike) -> float:
    r"""Return the global entanglement Q of Meyer and Wallach of a pure state.

    :math:`Q = 2\,(1 - \frac1n\sum_k \mathrm{Tr}\,\rho_k^2)` over the reduced states of the single qubits (the form of
    G. K. Brennen, Quantum Inf. Comput. 3, 619 (2003)).
    Source: D. A. Meyer, N. R. Wallach, J. Math. Phys. 43, 4273 (2002).

    Returns:
        0 (a product) to 1 (every qubit maximally entangled with the rest: GHZ, for one); 0 for one qubit.

    Raises:
        ValueError: no state, or a mixed one.
    """
    known = _require_pure(as_state(state), "meyer_wallach")
    return _meyer_wallach(known.data, probabilities(known.data))


def concurrence(state: StateLike) -> float:
    """Return the concurrence of two qubits: 0 (separable) to 1 (a Bell state), for pure and mixed states.

    Source: W. K. Wootters, Phys. Rev. Lett. 80, 2245 (1998).

    Raises:
        ValueError: no state, or not of two qubits.
    """
    known = as_state(state)
    if known.n_qubits != 2:
        raise ValueError(f"state: concurrence is defined for two qubits, got {known.n_qubits}")
    if known.is_vector:
        return min(abs(complex(known.data @ _SPIN_FLIP @ known.data)), 1.0)
    root = density_root(known.data)
    values = np.linalg.svd(root.T @ _SPIN_FLIP @ root, compute_uv=False)
    return min(max(2.0 * float(values[0]) - float(values.sum()), 0.0), 1.0)


def mutual_information(state: StateLike, a: Iterable[int], b: Iterable[int]) -> float:
    """Return the quantum mutual information S(A) + S(B) - S(AB) of two groups of qubits, in bits.

    Args:
        state: a state vector or a density matrix.
        a: qubits of the first group.
        b: qubits of the second group, none of them in the first.

    Returns:
        0 (uncorrelated) to twice the number of qubits in the smaller group.

    Raises:
        ValueError: no state, a group that is empty or out of range, or groups that overlap.
    """
    known = as_state(state)
    left, right = checked_qubits(a, known.n_qubits, "a"), checked_qubits(b, known.n_qubits, "b")
    if shared := sorted(set(left) & set(right)):
        raise ValueError(f"b: qubits {shared} are in both groups; mutual information is between disjoint ones")
    joint = _subsystem_entropy(known, left + right)
    return max(_subsystem_entropy(known, left) + _subsystem_entropy(known, right) - joint, 0.0)


def reduced_density_matrix(state: StateLike, qubits: Iterable[int]) -> Array:
    """Return the density matrix of some of the qubits, the others traced out.

    Args:
        state: a state vector or a density matrix.
        qubits: which to keep. The first named becomes the most significant of the result (for a Qiskit object the
            least significant, as in Qiskit).

    Returns:
        An array of shape (2^k, 2^k) for k qubits.

    Raises:
        ValueError: no state, or qubits that are out of range, repeated or none.
    """
    known = as_state(state)
    kept = checked_qubits(qubits, known.n_qubits, "qubits")
    return partial_trace(known.data, _axes(known, kept), known.n_qubits)


def describe_state(state: StateLike) -> dict[str, float]:
    """Return every measure that applies to a state, by name.

    The keys are those of `quick_measures` and of `entropies`.

    Raises:
        ValueError: no state.
    """
    known = as_state(state, defer_positivity=True)
    return {**quick_measures(known), **entropies(known)}


def quick_measures(state: StateLike, reference: StateLike | None = None) -> dict[str, float]:
    """Return what costs next to nothing, or one overlap where there is a reference.

    Returns:
        ``norm`` (as measured before normalising), ``qubits``, ``fidelity`` only with a reference.

    Raises:
        ValueError: no state, or a reference of another size.
    """
    known = as_state(state)
    fields = {"norm": known.norm, "qubits": float(known.n_qubits)}
    if reference is not None:
        fields["fidelity"] = fidelity(known, reference)
    return fields


def entropies(state: StateLike) -> dict[str, float]:
    """Return what is worth a background thread for a large state.

    Returns:
        ``purity``, ``participation_ratio``; for a vector of two qubits or more ``entanglement_entropy`` (bits, across
        the middle) and ``global_entanglement`` (Meyer-Wallach); for a density matrix ``von_neumann_entropy`` (bits).

    Raises:
        ValueError: no state.
    """
    known = as_state(state, defer_positivity=True)
    weights = probabilities(known.data)
    fields = {"purity": purity(known), "participation_ratio": _participation(weights)}
    if not known.is_vector:
        fields["von_neumann_entropy"] = von_neumann_entropy(known)
    elif known.n_qubits > 1:
        fields["entanglement_entropy"] = entanglement_entropy(known)
        fields["global_entanglement"] = _meyer_wallach(known.data, weights)
    return fields


def _participation(weights: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    return 1.0 / sum_of_squares(weights)


def _meyer_wallach(data: Array, weights: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """Return Q from the Bloch vectors: Tr rho_k^2 = (1 + |r_k|^2) / 2, so Q = 1 - mean |r_k|^2."""
    z = marginal_differences(weights)
    xy = coherences(data)  # sum over the rest of <0|rho_k|1>, which is (x - iy) / 2
    length = float(z.dot(z)) + 4.0 * float(np.vdot(xy, xy).real)
    return min(max(1.0 - length / len(z), 0.0), 1.0)


def _subsystem_entropy(state: State, qubits: list[int]) -> float:
    axes = _axes(state, qubits)
    if not state.is_vector:
        return entropy_bits(spectrum(partial_trace(state.data, axes, state.n_qubits)))
    if len(axes) == state.n_qubits:
        return 0.0
    return entropy_bits(schmidt_spectrum(state.data, axes, state.n_qubits))


def _axes(state: State, qubits: list[int]) -> list[int]:
    """Translate qubit numbers into bits of an index, the most significant first."""
    return [state.n_qubits - 1 - qubit for qubit in reversed(qubits)] if state.little_endian else qubits


def checked_qubits(qubits: Iterable[int], n_qubits: int, name: str) -> list[int]:
    """Return the numbers of qubits that somebody chose.

    Raises:
        ValueError: one is no qubit of the state, or stands twice.
    """
    try:
        chosen = [qubit.__index__() for qubit in qubits]
    except (AttributeError, TypeError):
        raise ValueError(f"{name}: expected a list of qubit numbers, got {qubits!r}") from None
    if not chosen:
        raise ValueError(f"{name}: empty; name at least one qubit")
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"{name}: {chosen} names a qubit twice")
    if outside := [qubit for qubit in chosen if not 0 <= qubit < n_qubits]:
        raise ValueError(f"{name}: qubits {outside} are outside 0 to {n_qubits - 1}")
    return chosen


def _require_pure(state: State, what: str) -> State:
    """Return a pure state as amplitudes: every column of |a><a| is a multiple of a."""
    if state.is_vector:
        return state
    if (measured := purity(state)) < 1.0 - _PURE_TOLERANCE:
        raise ValueError(f"state: {what} is defined for pure states, this one has purity {measured:.6g}")
    largest = int(np.argmax(state.data.diagonal().real))
    vector = as_state(state.data[:, largest])
    return State(vector.data, state.norm, state.n_qubits, state.little_endian)
