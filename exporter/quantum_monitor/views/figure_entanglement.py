"""How much two qubits know of each other: a map of the mutual information of all pairs."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from quantum_monitor.physics.linalg import entropy_bits
from quantum_monitor.physics.measures import mutual_information, reduced_density_matrix
from quantum_monitor.physics.states import State, StateLike, as_state
from quantum_monitor.views import figure_basis as basis
from quantum_monitor.views.theme import SEQUENTIAL, Theme

if TYPE_CHECKING:
    from numpy.typing import NDArray

VECTOR_QUBITS = 16
"""All pairs of a vector of so many qubits take a tenth of a second."""

MATRIX_QUBITS = 10
"""All pairs of a density matrix of so many qubits take half a second."""

_CHOSEN = 8
_NUMBERS = 12


def entanglement_figure(state: StateLike, *, qubits: Iterable[int] | None = None, theme: Theme = "light") -> Any:
    """Draw the mutual information between each two qubits, in bits, and on the diagonal the entropy of each.

    It is 0 for two that are uncorrelated, 2 for two that share a Bell state; a classical correlation gives up to 1.
    Above 16 qubits (a density matrix: 10) the 8 of the highest entropy are shown, which bounds the time: the mutual
    information with any other is at most twice that one's entropy.

    Args:
        state: anything that `quantum_monitor.physics.as_state` reads.
        qubits: which qubits to show, in this order; None: all, or those 8.
        theme: ``light`` or ``dark``.

    Raises:
        ValueError: no state, one of a single qubit, qubits that it has not, more qubits than can be computed in
            reasonable time, or a theme that is none.
        MissingExtraError: plotly is not installed.
    """
    known = as_state(state)
    if known.n_qubits < 2:
        raise ValueError("state: mutual information is between two qubits, this state has 1; use plot_bloch_sphere")
    shown, values = information(known, qubits)
    figure = basis.canvas(1, 1, theme)
    draw_information(figure, shown, values, 1, 1, coloraxis="coloraxis")
    note = "Diagonal: entropy of the qubit itself. " + information_note(known, shown, values, asked=qubits is not None)
    size = 480 if len(shown) <= _NUMBERS else 600
    basis.entitle(figure, "Mutual information between qubits", note, height=size)
    return figure


def information(state: State, qubits: Iterable[int] | None = None) -> tuple[list[int], NDArray[np.float64]]:
    """Mutual information of pairs of qubits in bits, the qubits' own entropies on the diagonal.

    Returns:
        The numbers of k qubits, and an array (k, k).

    Raises:
        ValueError: qubits that the state has not, or too many of them.
    """
    own = one_qubit_entropies(state)
    chosen = basis.chosen_qubits(qubits, state)
    if state.n_qubits <= (VECTOR_QUBITS if state.is_vector else MATRIX_QUBITS):
        reduced, places = state, chosen
    else:
        if qubits is None:
            chosen = sorted(np.argsort(-own, kind="stable")[:_CHOSEN].tolist())
        elif len(chosen) > _CHOSEN:
            raise ValueError(f"qubits: {len(chosen)} of {state.n_qubits} take too long; name up to {_CHOSEN}")
        # In the order of numpy.kron whatever the order of the object: the first named is the first.
        order = chosen[::-1] if state.little_endian else chosen
        reduced, places = as_state(reduced_density_matrix(state, order)), list(range(len(chosen)))
    values = np.diag(own[chosen])
    for a, b in combinations(range(len(chosen)), 2):
        values[a, b] = values[b, a] = mutual_information(reduced, [places[a]], [places[b]])
    return chosen, values


def one_qubit_entropies(state: State) -> NDArray[np.float64]:
    """The von Neumann entropy of each qubit's reduced state in bits, from 0 to 1, in the order of the qubits."""
    lengths = np.minimum(np.linalg.norm(basis.bloch_vectors(state), axis=1), 1.0)
    return np.array([entropy_bits(np.array([(1.0 - length) / 2.0, (1.0 + length) / 2.0])) for length in lengths])


def information_note(state: State, shown: list[int], values: NDArray[np.float64], *, asked: bool = False) -> str:
    """What a reader must know of the qubits that are not shown; empty where all are or the choice was the reader's."""
    if asked or len(shown) == state.n_qubits:
        return ""
    least = float(values.diagonal().min())
    return (
        f"The {len(shown)} of {state.n_qubits} qubits with the highest entropy; each of the others has at most "
        f"{least:.3g} bits. Other qubits on request: qubits=[…]."
    )


def draw_information(
    figure: Any, qubits: list[int], values: NDArray[np.float64], row: int, column: int, *, coloraxis: str
) -> None:
    """Draw the map into one plot of a figure, with numbers where they fit."""
    names = [f"q{qubit}" for qubit in qubits]
    said = [
        [f"entropy of {a}: {value:.4g} bits" if a == b else f"{a} and {b}: {value:.4g} bits" for b, value in line]
        for a, line in ((a, zip(names, line.tolist(), strict=True)) for a, line in zip(names, values, strict=True))
    ]
    figure.add_heatmap(
        z=values,
        x=names,
        y=names,
        coloraxis=coloraxis,
        hovertext=said,
        hoverinfo="text",
        row=row,
        col=column,
    )
    scale = {"colorscale": SEQUENTIAL, "cmin": 0, "cmax": 2}
    if len(qubits) <= _NUMBERS:
        basis.add_numbers(figure, values, names, names, scale, row=row, col=column)
    figure.update_xaxes(type="category", row=row, col=column)
    figure.update_yaxes(type="category", autorange="reversed", row=row, col=column)
    figure.update_layout({coloraxis: {**scale, "colorbar": basis.scale_beside(figure, row, column, "bits")}})
