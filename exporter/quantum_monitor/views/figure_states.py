"""A state at one look: its basis states, its qubits on the Bloch sphere, and what pairs of qubits share."""

from __future__ import annotations

from typing import Any

from quantum_monitor.physics.states import State, StateLike, as_state
from quantum_monitor.views import figure_amplitudes as amplitudes
from quantum_monitor.views import figure_basis as basis
from quantum_monitor.views import figure_entanglement as entanglement
from quantum_monitor.views.figure_bloch import SPHERES_APART, draw_components, draw_spheres, name_arrows
from quantum_monitor.views.figure_density import draw_magnitudes
from quantum_monitor.views.theme import SEQUENTIAL, Theme

_PLOT = 240
_MARGINS = 150


def state_figure(state: StateLike, *, theme: Theme = "light") -> Any:
    """Draw what there is to see of a state in one figure.

    From the top: the probabilities and the phases of the basis states (of a density matrix: the populations and the
    magnitudes of its entries), the reduced states of the qubits (up to 4 on a Bloch sphere, more as the components of
    their Bloch vectors), and the mutual information of pairs of qubits. Each part is summarised for many qubits as in
    its own figure.

    Args:
        state: anything that `quantum_monitor.physics.as_state` reads.
        theme: ``light`` or ``dark``.

    Raises:
        ValueError: no state, or a theme that is none.
        MissingExtraError: plotly is not installed.
    """
    known = as_state(state)
    alone, sphere = known.n_qubits == 1, known.n_qubits <= SPHERES_APART
    titles = ["Probability", "Phase"] if known.is_vector else ["Populations", "Magnitudes of the density matrix"]
    titles += ["Bloch sphere" if sphere else "Bloch vectors", "Mutual information; diagonal: entropy (bits)"]
    rows = 3 if alone else 4
    gap = _gap(known)
    height = _MARGINS + _PLOT * rows + gap * (rows - 1)
    # One below the other: side by side they would have no room on a phone.
    figure = basis.canvas(
        rows,
        1,
        theme,
        specs=[[{}], [{}], [{"type": "scene" if sphere else "xy"}], [{}]][:rows],
        subplot_titles=titles[:rows],
        vertical_spacing=gap / (height - _MARGINS),
    )
    if known.is_vector:
        amplitudes.draw_amplitudes(figure, known, (1, 1), (2, 1))
    else:
        amplitudes.draw_amplitudes(figure, known, (1, 1), None)
        draw_magnitudes(figure, known, 2, 1, coloraxis="coloraxis")
        scale = basis.scale_beside(figure, 2, 1)
        figure.update_layout(coloraxis={"colorscale": SEQUENTIAL, "cmin": 0, "colorbar": scale})
    notes = [amplitudes.amplitudes_note(known), _draw_qubits(figure, known, theme)]
    figure.update_annotations(font_size=13)
    kind = "" if known.is_vector else ", given as a density matrix"
    title = f"State of {known.n_qubits} qubit{'' if alone else 's'}{kind}"
    basis.entitle(figure, title, " ".join(filter(None, notes)), height=height, top=90)
    return figure


def _gap(state: State) -> int:
    """Pixels between two plots: on a phone the names of more than a few basis states stand upright."""
    letters = (state.n_qubits + 1) // 2 if amplitudes.is_map(state) else state.n_qubits + 2
    return 75 + 9 * letters if state.n_qubits > 1 else 90


def _draw_qubits(figure: Any, state: State, theme: Theme) -> str:
    """Draw qubits and pairs of qubits; returns what was left out."""
    vectors = dict(enumerate(basis.bloch_vectors(state)))
    if len(vectors) <= SPHERES_APART:
        draw_spheres(figure, {(3, 1): vectors})
        if len(vectors) > 1:
            name_arrows(figure, below=figure.layout.scene.domain.y[0])
    else:
        draw_components(figure, vectors, 3, 1, coloraxis="coloraxis4", theme=theme)
    if len(vectors) == 1:
        return ""
    shown, values = entanglement.information(state)
    entanglement.draw_information(figure, shown, values, 4, 1, coloraxis="coloraxis3")
    return entanglement.information_note(state, shown, values)
