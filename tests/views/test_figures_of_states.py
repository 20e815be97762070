"""What the figures of states show is what another library computes of the same state, whoever's object it is."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from quantum_monitor.views.figure_amplitudes import amplitudes_figure
from quantum_monitor.views.figure_bloch import bloch_figure
from quantum_monitor.views.figure_density import density_figure
from quantum_monitor.views.figure_entanglement import entanglement_figure
from quantum_monitor.views.figure_evolution import evolution_figure
from quantum_monitor.views.figure_states import state_figure

Draw = Callable[..., Any]
ONE_STATE: list[Draw] = [amplitudes_figure, bloch_figure, density_figure, state_figure]
BELL = np.array([1, 0, 0, 1]) / np.sqrt(2)


def vector(n_qubits: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    values = random.normal(size=2**n_qubits) + 1j * random.normal(size=2**n_qubits)
    normalised: np.ndarray = values / np.linalg.norm(values)
    return normalised


def mixed(n_qubits: int) -> np.ndarray:
    parts = [vector(n_qubits, seed) for seed in range(3)]
    return sum(  # type: ignore[return-value]  # not 0: there are parts
        weight * np.outer(part, part.conj()) for weight, part in zip((0.5, 0.3, 0.2), parts, strict=True)
    )


def ghz(n_qubits: int) -> np.ndarray:
    values = np.zeros(2**n_qubits)
    values[[0, -1]] = math.sqrt(0.5)
    return values


def numbers(values: Any) -> np.ndarray:
    return np.array(values, dtype=float)


def of_type(figure: Any, kind: str) -> list[Any]:
    """The traces of a kind, but for the numbers in the cells of maps and what only carries a bar of colours."""
    drawn = [trace for trace in figure.data if trace.type == kind and trace.name != "numbers"]
    return [trace for trace in drawn if kind != "scatter" or list(trace.x) != [None]]


def colour_of(phase: float) -> str:
    """A phase's colour in the scale of phases, turned so that plus is blue."""
    from plotly.colors import sample_colorscale

    (colour,) = sample_colorscale("Twilight", [(phase / (2 * np.pi) + 0.5 + 0.75) % 1.0])
    return str(colour)


def parts_of(colour: str) -> np.ndarray:
    if colour.startswith("#"):
        return numbers([int(colour[at : at + 2], 16) for at in (1, 3, 5)])
    return numbers(re.findall(r"[\d.]+", colour)[:3])


def contrast(one: str, other: str) -> float:
    """WCAG 2: from 1 to 21."""
    shares = [parts_of({"white": "#ffffff", "black": "#000000"}.get(each, each)) / 255 for each in (one, other)]
    linear = [np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4) for share in shares]
    light, dark = sorted((float(each @ (0.2126, 0.7152, 0.0722)) for each in linear), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def arrows(figure: Any) -> dict[str, np.ndarray]:
    """The tip of each arrow on the Bloch spheres, by the name of its qubit."""
    found = [trace for trace in of_type(figure, "scatter3d") if trace.name]
    return {trace.name.split(":")[0]: numbers([trace.x[1], trace.y[1], trace.z[1]]) for trace in found}


def names_beside(figure: Any) -> list[str]:
    """What stands beside the tips of arrows."""
    return [trace.text[1].strip() for trace in of_type(figure, "scatter3d") if trace.name and trace.text[1]]


def notes(figure: Any) -> str:
    return " ".join(note.text for note in figure.layout.annotations).replace("<br>", " ")


# Bloch vectors


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ([1, 0], (0, 0, 1)),
        ([0, 1], (0, 0, -1)),
        ([1, 1], (1, 0, 0)),
        ([1, -1], (-1, 0, 0)),
        ([1, 1j], (0, 1, 0)),
        ([1, -1j], (0, -1, 0)),
        (np.diag([0.75, 0.25]), (0, 0, 0.5)),
        (np.eye(2) / 2, (0, 0, 0)),
    ],
)
def test_an_arrow_ends_where_the_state_is(state: Any, expected: tuple[float, ...]) -> None:
    figure = bloch_figure(state)
    np.testing.assert_allclose(arrows(figure)["qubit 0"], expected, atol=1e-12)
    assert f"|r| {np.linalg.norm(expected):.2f}" in notes(figure)


@pytest.mark.parametrize("state", [vector(3), mixed(3)], ids=["pure", "mixed"])
def test_each_qubit_of_several_has_the_expectation_values_that_qutip_finds(state: np.ndarray) -> None:
    import qutip

    side = [2] * 3
    matrix = state if state.ndim == 2 else np.outer(state, state.conj())
    known = qutip.Qobj(matrix, dims=[side, side])
    for given in (state, known):
        drawn = arrows(bloch_figure(given))
        for qubit in range(3):
            reduced = known.ptrace(qubit)
            expected = [qutip.expect(axis, reduced) for axis in (qutip.sigmax(), qutip.sigmay(), qutip.sigmaz())]
            np.testing.assert_allclose(drawn[f"qubit {qubit}"], expected, atol=1e-12)


@pytest.mark.parametrize("kind", ["Statevector", "DensityMatrix"])
def test_qubit_k_of_a_qiskit_object_is_qiskits_qubit_k(kind: str) -> None:
    import qiskit
    from qiskit import quantum_info

    circuit = qiskit.QuantumCircuit(3)
    circuit.x(0)
    circuit.h(1)
    state = getattr(quantum_info, kind)(circuit)
    drawn = arrows(bloch_figure(state))
    np.testing.assert_allclose(drawn["qubit 0"], (0, 0, -1), atol=1e-12)
    np.testing.assert_allclose(drawn["qubit 1"], (1, 0, 0), atol=1e-12)
    np.testing.assert_allclose(drawn["qubit 2"], (0, 0, 1), atol=1e-12)
    bars = of_type(amplitudes_figure(state), "bar")[0]
    expected = {f"|{bits}⟩": weight for bits, weight in state.probabilities_dict().items()}
    assert {ket: weight for ket, weight in zip(bars.x, bars.y, strict=True) if weight > 1e-12} == pytest.approx(
        expected
    )
    assert "|q2 q1 q0⟩" in json.dumps(
        amplitudes_figure(state).to_plotly_json()["layout"], default=str, ensure_ascii=False
    )


def test_qubit_k_of_cirq_and_pennylane_is_theirs() -> None:
    import cirq
    import pennylane as qml

    line = cirq.LineQubit.range(3)
    simulated = cirq.Simulator().simulate(cirq.Circuit(cirq.X(line[0]), cirq.H(line[1]), cirq.I(line[2])))

    @qml.qnode(qml.device("default.qubit", wires=3))
    def circuit() -> Any:
        qml.PauliX(0)
        qml.Hadamard(1)
        qml.Identity(2)
        return qml.state()

    for state in (simulated, circuit()):
        drawn = arrows(bloch_figure(state))
        np.testing.assert_allclose(drawn["qubit 0"], (0, 0, -1), atol=1e-6)
        np.testing.assert_allclose(drawn["qubit 1"], (1, 0, 0), atol=1e-6)
        np.testing.assert_allclose(drawn["qubit 2"], (0, 0, 1), atol=1e-6)


def test_only_the_chosen_qubits_are_shown_in_the_order_of_the_choice() -> None:
    figure = bloch_figure(vector(5), qubits=[3, 1])
    assert list(arrows(figure)) == ["qubit 3", "qubit 1"]
    wrongs: list[Any] = [[5], [1, 1], [], "ab"]
    for wrong in wrongs:
        with pytest.raises(ValueError, match="qubits"):
            bloch_figure(vector(5), qubits=wrong)


@pytest.mark.parametrize("n_qubits", [1, 2, 4, 5, 12])
def test_up_to_twelve_qubits_have_arrows_in_few_scenes(n_qubits: int) -> None:
    figure = bloch_figure(vector(n_qubits))
    assert len(arrows(figure)) == n_qubits
    assert len({trace.scene for trace in of_type(figure, "scatter3d")}) == (n_qubits if n_qubits < 5 else 1)


@pytest.mark.parametrize("draw", [bloch_figure, state_figure])
def test_the_names_of_arrows_that_end_close_together_do_not_lie_over_each_other(draw: Draw) -> None:
    n_qubits = 5 if draw is bloch_figure else 4  # of fewer each has a sphere in the first
    many = draw(ghz(n_qubits))
    assert names_beside(many) == (["q0, q1, q2, 2 more"] if n_qubits == 5 else ["q0, q1, q2, q3"])
    up_and_down = np.zeros(2**n_qubits)
    up_and_down[2] = 1
    assert f"q{n_qubits - 2}" in names_beside(draw(up_and_down))
    told = [trace for trace in many.data if trace.type != "heatmap" and trace.showlegend is not False]
    named = [trace.name.split(":")[0] for trace in told]
    assert many.layout.showlegend
    assert named == [f"qubit {qubit}" for qubit in range(n_qubits)]
    assert len({trace.marker.symbol for trace in told}) == n_qubits


def test_more_qubits_are_a_table_of_the_same_numbers() -> None:
    parts = [vector(1, seed) for seed in range(14)]
    state = parts[0]
    for part in parts[1:]:
        state = np.kron(state, part)
    (table,) = of_type(bloch_figure(state), "heatmap")
    for row, part in zip(table.z, parts, strict=True):
        expected = next(iter(arrows(bloch_figure(part)).values()))
        np.testing.assert_allclose(row, [*expected, 1.0], atol=1e-12)


# Amplitudes


def test_bars_are_probabilities_and_marks_are_phases() -> None:
    state = np.array([0.5, 0.5j, -0.5, -0.5j])
    figure = amplitudes_figure(state)
    (bars,), (marks,) = of_type(figure, "bar"), of_type(figure, "scatter")
    assert list(bars.x) == ["|00⟩", "|01⟩", "|10⟩", "|11⟩"]
    np.testing.assert_allclose(bars.y, 0.25)
    np.testing.assert_allclose(numbers(marks.y) / np.pi, [0, 0.5, 1, -0.5])
    for colour, phase in zip(bars.marker.color, marks.y, strict=True):
        np.testing.assert_allclose(parts_of(colour), parts_of(colour_of(phase)), atol=3)
    assert len(set(bars.marker.color)) == 4
    assert bars.hovertext[1] == "|01⟩: probability 0.25, phase 0.5π"
    assert bars.hovertext[2] == "|10⟩: probability 0.25, phase π"


def test_minus_one_has_one_phase_whatever_the_rounding() -> None:
    (marks,) = of_type(amplitudes_figure([complex(-1, -1e-17), complex(-1, 1e-17)]), "scatter")
    np.testing.assert_allclose(marks.y, np.pi)


def test_what_is_next_to_nothing_has_no_phase() -> None:
    (marks,) = of_type(amplitudes_figure([1, -1e-12]), "scatter")
    np.testing.assert_array_equal(np.isnan(numbers(marks.y)), [False, True])


def test_a_density_matrix_has_populations_and_no_phases() -> None:
    figure = amplitudes_figure(mixed(2))
    (bars,) = of_type(figure, "bar")
    np.testing.assert_allclose(bars.y, mixed(2).diagonal().real)
    assert not of_type(figure, "scatter")
    assert "populations" in figure.layout.title.text


@pytest.mark.parametrize("n_qubits", [7, 12])
def test_a_map_has_a_cell_for_each_basis_state(n_qubits: int) -> None:
    state = vector(n_qubits)
    weights, phases = of_type(amplitudes_figure(state), "heatmap")
    for index in (0, 1, 5, 2**n_qubits - 2):
        bits = f"{index:0{n_qubits}b}"
        row, column = list(weights.y).index(bits[: n_qubits // 2]), list(weights.x).index(bits[n_qubits // 2 :])
        assert weights.z[row][column] == pytest.approx(abs(state[index]) ** 2)
        assert phases.z[row][column] == pytest.approx(np.angle(state[index]))


def test_of_fourteen_qubits_the_most_likely_have_bars_and_the_rest_is_said() -> None:
    state = vector(14)
    figure = amplitudes_figure(state)
    top, rest = of_type(figure, "bar")
    weights = np.sort(np.abs(state) ** 2)[::-1]
    np.testing.assert_allclose(top.y, weights[:32])
    assert rest.y[0] == pytest.approx(weights[32:].sum())
    assert rest.x[0] == "16,352 others"
    assert "32 most likely basis states" in notes(figure)
    assert "all 16,352 others" in notes(figure)
    assert figure.layout.yaxis.type == "log"  # else the rest would dwarf all bars


def test_basis_states_that_are_impossible_get_no_bar_among_the_most_likely() -> None:
    top, rest = of_type(amplitudes_figure(ghz(14)), "bar")
    assert list(top.x) == [f"|{'0' * 14}⟩", f"|{'1' * 14}⟩"]
    assert rest.y[0] == 0


# Density matrices


def test_maps_are_the_real_and_imaginary_part() -> None:
    real, imaginary = of_type(density_figure(mixed(2)), "heatmap")
    np.testing.assert_allclose(real.z, mixed(2).real, atol=1e-15)
    np.testing.assert_allclose(imaginary.z, mixed(2).imag, atol=1e-15)
    assert (list(real.y)[1], list(real.x)[2]) == ("|01⟩", "⟨10|")


def test_a_vector_is_drawn_as_its_projector() -> None:
    real, imaginary = of_type(density_figure(vector(2)), "heatmap")
    np.testing.assert_allclose(real.z + 1j * imaginary.z, np.outer(vector(2), vector(2).conj()), atol=1e-15)


def test_a_city_has_a_column_as_high_as_each_entry_and_none_for_zero() -> None:
    state = np.array([1, 0, 0, -1j]) / np.sqrt(2)
    real, imaginary = of_type(density_figure(state, style="city"), "mesh3d")
    for mesh, expected in ((real, [0.5, 0.5]), (imaginary, [0.5, -0.5])):
        tops = mesh.z.reshape(-1, 8)
        np.testing.assert_allclose(tops[np.arange(2), np.abs(tops).argmax(axis=1)], expected)
    centres = [
        (mesh.x.reshape(-1, 8).mean(axis=1).round(), mesh.y.reshape(-1, 8).mean(axis=1).round())
        for mesh in (real, imaginary)
    ]
    np.testing.assert_array_equal(centres, [[[0, 3], [0, 3]], [[0, 3], [3, 0]]])
    assert "|00⟩⟨11|: 0.5" in imaginary.hovertext


@pytest.mark.parametrize("given", ["array", "Statevector"])
def test_reduced_matrices_are_those_of_qiskits_partial_trace(given: str) -> None:
    from qiskit.quantum_info import Statevector, partial_trace

    theirs = Statevector(vector(4))
    # Qiskit's qubit k is bit k from the right, that of a bare vector from the left.
    state, gone, chosen = (theirs, [0, 2], [1, 3]) if given == "Statevector" else (vector(4), [0, 2], [0, 2])
    figure = density_figure(state, qubits=chosen)
    real, imaginary = of_type(figure, "heatmap")
    np.testing.assert_allclose(real.z + 1j * imaginary.z, partial_trace(theirs, gone).data, atol=1e-12)
    assert ("|q3 q1⟩" if given == "Statevector" else "|q0 q2⟩") in figure.layout.yaxis.title.text


@pytest.mark.parametrize("as_matrix", [False, True])
def test_above_six_qubits_each_block_shows_its_largest_entry(as_matrix: bool) -> None:
    state = vector(8)
    matrix = np.outer(state, state.conj())
    figure = density_figure(matrix if as_matrix else state)
    (blocks,) = of_type(figure, "heatmap")
    assert blocks.z[3][60] == pytest.approx(np.abs(matrix[12:16, 240:244]).max())
    assert "largest of 4 by 4 entries" in notes(figure)


def test_a_city_of_too_many_columns_is_a_map_and_says_so() -> None:
    figure = density_figure(vector(6), style="city")
    assert len(of_type(figure, "heatmap")) == 2
    assert "a map in place of the city" in notes(figure)
    with pytest.raises(ValueError, match="style: 'village'"):
        density_figure(BELL, style="village")  # type: ignore[arg-type]


# Entanglement


def information_of(figure: Any) -> np.ndarray:
    (found,) = of_type(figure, "heatmap")
    return numbers(found.z)


def test_a_bell_pair_shares_two_bits_and_a_classical_correlation_one() -> None:
    np.testing.assert_allclose(information_of(entanglement_figure(BELL)), [[1, 2], [2, 1]], atol=1e-9)
    classical = np.diag([0.5, 0, 0, 0.5])
    np.testing.assert_allclose(information_of(entanglement_figure(classical)), [[1, 1], [1, 1]], atol=1e-9)
    product = np.kron(vector(1, 1), vector(1, 2))
    np.testing.assert_allclose(information_of(entanglement_figure(product)), np.zeros((2, 2)), atol=1e-6)


def test_ghz_and_w_have_the_information_that_is_known_of_them() -> None:
    np.testing.assert_allclose(information_of(entanglement_figure(ghz(4))), np.ones((4, 4)), atol=1e-9)
    w = np.zeros(8)
    w[[1, 2, 4]] = 1
    found = information_of(entanglement_figure(w))
    one = -(1 / 3) * math.log2(1 / 3) - (2 / 3) * math.log2(2 / 3)
    np.testing.assert_allclose(found, np.full((3, 3), one), atol=1e-9)  # S(A) + S(B) - S(AB), and S(AB) = S(C)


@pytest.mark.parametrize("kind", ["Statevector", "DensityMatrix"])
def test_information_of_pairs_is_that_of_qiskit(kind: str) -> None:
    from qiskit.quantum_info import DensityMatrix, Statevector, entropy, mutual_information, partial_trace

    state = Statevector(vector(4)) if kind == "Statevector" else DensityMatrix(mixed(4))
    found = information_of(entanglement_figure(state))
    for a in range(4):
        assert found[a, a] == pytest.approx(entropy(partial_trace(state, [q for q in range(4) if q != a])), abs=1e-9)
        for b in range(a):
            pair = partial_trace(state, [q for q in range(4) if q not in (a, b)])
            assert found[a, b] == pytest.approx(mutual_information(pair), abs=1e-9)


@pytest.mark.parametrize("reverse", [False, True], ids=["array", "qiskit"])
def test_of_eighteen_qubits_those_of_the_highest_entropy_are_shown(reverse: bool) -> None:
    from qiskit.quantum_info import Statevector

    # Qubits 4 and 9 share a Bell state, 11 to 13 a GHZ state; the others are 0.
    values = np.zeros((2,) * 18)
    for pair in (0, 1):
        for three in (0, 1):
            index = [0] * 18
            index[4] = index[9] = pair
            index[11] = index[12] = index[13] = three
            values[tuple(index)] = 0.5
    state: Any = values.reshape(-1)
    if reverse:
        state = Statevector(values.transpose(range(17, -1, -1)).reshape(-1))
    figure = entanglement_figure(state)
    (drawn,) = of_type(figure, "heatmap")
    found = numbers(drawn.z)
    names = list(drawn.x)
    assert {"q4", "q9", "q11", "q12", "q13"} < set(names)
    assert len(names) == 8
    assert found[names.index("q4"), names.index("q9")] == pytest.approx(2)
    assert found[names.index("q11"), names.index("q13")] == pytest.approx(1)
    assert found[names.index("q4"), names.index("q11")] == pytest.approx(0, abs=1e-9)
    assert "The 8 of 18 qubits with the highest entropy" in notes(figure)
    asked = entanglement_figure(state, qubits=[9, 4, 0])
    np.testing.assert_allclose(information_of(asked), [[1, 2, 0], [2, 1, 0], [0, 0, 0]], atol=1e-9)
    with pytest.raises(ValueError, match="name up to 8"):
        entanglement_figure(state, qubits=range(9))


def test_one_qubit_has_no_pairs() -> None:
    with pytest.raises(ValueError, match="this state has 1"):
        entanglement_figure([1, 0])


# What is legible


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "draw",
    [
        lambda theme: entanglement_figure(mixed(4), theme=theme),
        lambda theme: entanglement_figure(np.kron(ghz(2), np.diag([0.3, 0, 0, 0.7])[0] + [0, 0.6, 0, 0]), theme=theme),
        lambda theme: density_figure(mixed(3), theme=theme),
        lambda theme: bloch_figure(np.kron(ghz(12), [1, 1j]), theme=theme),
        lambda theme: state_figure(vector(5), theme=theme),
    ],
)
def test_each_number_in_a_map_is_there_once_and_stands_out_from_the_colour_of_its_cell(draw: Draw, theme: str) -> None:
    from plotly.colors import sample_colorscale

    figure = draw(theme=theme)
    written = [trace for trace in figure.data if trace.name == "numbers"]
    assert written
    for axes in {(trace.xaxis, trace.yaxis) for trace in written}:
        (cells,) = [map_ for map_ in of_type(figure, "heatmap") if (map_.xaxis, map_.yaxis) == axes]
        scale = figure.layout[cells.coloraxis]
        colours = [[place, colour] for place, colour in scale.colorscale]
        inks = [trace for trace in written if (trace.xaxis, trace.yaxis) == axes]
        seen = np.array([np.isfinite(numbers(trace.z)) for trace in inks])
        np.testing.assert_array_equal(seen.sum(axis=0), 1)
        for trace in inks:
            for value, number in zip(numbers(cells.z).ravel(), numbers(trace.z).ravel(), strict=True):
                if np.isfinite(number):
                    assert number == value
                    at = (value - scale.cmin) / (scale.cmax - scale.cmin)
                    (cell,) = sample_colorscale(colours, [min(max(at, 0.0), 1.0)])
                    assert contrast(trace.textfont.color, cell) > 4.5


@pytest.mark.parametrize(
    "figure",
    [bloch_figure(np.kron(BELL, BELL)), density_figure(BELL), density_figure(BELL, style="city"), state_figure(BELL)],
)
def test_no_plot_stands_beside_another_where_a_phone_has_no_room(figure: Any) -> None:
    plots = [axis.domain for axis in figure.select_xaxes()] + [scene.domain.x for scene in figure.select_scenes()]
    assert len(plots) > 1
    assert set(plots) - {None} == {(0.0, 1.0)}


# All together


@pytest.mark.parametrize("n_qubits", [1, 2, 5, 12, 14])
def test_the_overview_of_a_vector_shows_what_its_parts_show(n_qubits: int) -> None:
    state = vector(n_qubits)
    figure = state_figure(state)
    if n_qubits <= 6:
        np.testing.assert_allclose(of_type(figure, "bar")[0].y, np.abs(state) ** 2)
    if n_qubits > 1:
        pairs = [m for m in of_type(figure, "heatmap") if m.coloraxis == "coloraxis3"]
        np.testing.assert_array_equal(pairs[0].z, information_of(entanglement_figure(state)))
    assert len({trace.scene for trace in of_type(figure, "scatter3d")}) <= 1


@pytest.mark.parametrize("n_qubits", [1, 3, 7])
def test_the_overview_of_a_density_matrix_shows_populations_and_magnitudes(n_qubits: int) -> None:
    matrix = mixed(n_qubits)
    figure = state_figure(matrix)
    drawn = [m for m in of_type(figure, "heatmap") if m.coloraxis == "coloraxis"]
    if n_qubits <= 6:
        np.testing.assert_allclose(of_type(figure, "bar")[0].y, matrix.diagonal().real)
        np.testing.assert_allclose(drawn[0].z, np.abs(matrix), atol=1e-15)
    assert "density matrix" in figure.layout.title.text


@pytest.mark.parametrize("draw", ONE_STATE)
@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ([0, 0], "zero"),
        ([1, math.nan], "NaN"),
        ([1, 0, 0], "power of two"),
        (np.ones((2, 4)), "shape"),
        ([[1, 5], [0, 0]], "adjoint"),
        ("00", "numbers"),
    ],
)
def test_what_is_no_state_is_refused_with_the_reason(draw: Draw, wrong: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        draw(wrong)


@pytest.mark.parametrize(
    "draw", [*ONE_STATE, entanglement_figure, lambda state, theme: evolution_figure([state], theme=theme)]
)
def test_both_themes_draw_and_a_third_is_refused(draw: Draw) -> None:
    light, dark = (draw(BELL, theme=theme) for theme in ("light", "dark"))
    assert light.layout.template != dark.layout.template
    with pytest.raises(ValueError, match="theme: 'sepia'"):
        draw(BELL, theme="sepia")


def test_a_state_is_normalised_before_it_is_drawn() -> None:
    np.testing.assert_allclose(of_type(amplitudes_figure([3, 4]), "bar")[0].y, [0.36, 0.64])


# Over steps


def turning(steps: int, n_qubits: int = 1) -> Iterator[np.ndarray]:
    for step in range(steps):
        angle = 0.5 * np.pi * step / max(steps - 1, 1)
        one = np.array([np.cos(angle), 1j * np.sin(angle)])
        state = one
        for _ in range(n_qubits - 1):
            state = np.kron(state, one)
        yield state


def test_the_map_and_the_slider_show_every_state_of_a_short_history() -> None:
    states = list(turning(5, 2))
    figure = evolution_figure({10 * step: state for step, state in enumerate(states)})
    (drawn,), (bars,) = of_type(figure, "heatmap"), of_type(figure, "bar")
    assert list(drawn.x) == [0, 10, 20, 30, 40]
    np.testing.assert_allclose(numbers(drawn.z).T, [np.abs(state) ** 2 for state in states], atol=1e-15)
    np.testing.assert_allclose(bars.y, np.abs(states[-1]) ** 2, atol=1e-15)
    (slider,) = figure.layout.sliders
    assert [step.label for step in slider.steps] == ["0", "10", "20", "30", "40"]
    restyle, relayout, traces = slider.steps[2].args
    assert list(traces) == [figure.data.index(bars)]
    np.testing.assert_allclose(restyle["y"][0], 0.25)
    for colour, phase in zip(restyle["marker.color"][0], [0, np.pi / 2, np.pi / 2, np.pi], strict=True):
        np.testing.assert_allclose(parts_of(colour), parts_of(colour_of(phase)), atol=3)
    assert relayout["shapes[0].x0"] == 20


def test_pairs_lists_generators_and_rows_are_histories() -> None:
    states = list(turning(4))
    expected = numbers(evolution_figure(states).data[0].z)
    histories: list[Any] = [list(enumerate(states)), turning(4), np.array(states), dict(enumerate(states))]
    for history in histories:
        np.testing.assert_array_equal(evolution_figure(history).data[0].z, expected)


def test_a_history_of_pairs_of_amplitudes_is_one_of_states() -> None:
    drawn = evolution_figure([(1, 0), (0, 1), (0.6, 0.8)]).data[0]
    np.testing.assert_allclose(numbers(drawn.z).T, [[1.0, 0.0], [0.0, 1.0], [0.36, 0.64]])


def test_a_buffer_that_is_written_again_does_not_change_what_was_drawn() -> None:
    buffer = np.zeros(2)

    def states() -> Iterator[np.ndarray]:
        for one in (0, 1):
            buffer[:] = (1 - one, one)
            yield buffer

    np.testing.assert_array_equal(evolution_figure(states()).data[0].z, [[1, 0], [0, 1]])


def test_of_ten_thousand_states_the_one_that_stands_out_is_drawn() -> None:
    alone = 4_567

    def states() -> Iterator[Any]:
        for step, state in enumerate(turning(10_000)):
            yield step, (np.array([1, -1]) if step == alone else state * 0 + [1, 0])

    figure = evolution_figure(states())
    drawn = of_type(figure, "heatmap")[0]
    assert 100 <= len(drawn.x) <= 202
    assert (drawn.x[0], drawn.x[-1]) == (0, 9_999)
    assert alone in list(drawn.x)
    assert f"{len(drawn.x)} of 10,000 states" in notes(figure)
    assert len(figure.layout.sliders[0].steps) == len(drawn.x)


def test_one_state_is_a_history() -> None:
    figure = evolution_figure([BELL])
    np.testing.assert_allclose(of_type(figure, "bar")[0].y, [0.5, 0, 0, 0.5])
    assert "of 2 qubits over 1 step" in figure.layout.title.text


def test_of_twelve_qubits_the_most_likely_basis_states_have_rows_and_the_rest_adds_up_to_one() -> None:
    states = [np.eye(1, 4096, index).ravel() for index in range(100, 110)] + [vector(12)]
    drawn = of_type(evolution_figure(states), "heatmap")[0]
    assert len(drawn.y) == 32
    assert {f"|{index:012b}⟩" for index in range(100, 110)} < set(drawn.y)
    np.testing.assert_allclose(numbers(drawn.z).sum(axis=0), 1)


def test_the_sum_of_all_others_does_not_hide_the_states_that_have_a_row() -> None:
    figure = evolution_figure([vector(12, seed) for seed in range(3)])
    drawn = of_type(figure, "heatmap")[0]
    assert figure.layout.coloraxis2.cmax == pytest.approx(numbers(drawn.z)[:-1].max())
    assert figure.layout.yaxis2.type == "log"
    assert 10 ** figure.layout.yaxis2.range[0] < numbers(drawn.z)[:-1].max() / 10
    assert "may be off the scale of colours" in notes(figure)


@pytest.mark.parametrize(("steps", "every"), [([0], 1), ([3, 4, 5], 1), ([0, 0.1], None), ([0, 1_000], None)])
def test_there_are_no_half_steps_on_the_axis(steps: list[float], every: int | None) -> None:
    assert evolution_figure([(step, [1, 0]) for step in steps]).layout.xaxis.dtick == every


@pytest.mark.parametrize("reverse", [False, True], ids=["array", "qiskit"])
def test_above_twelve_qubits_each_qubit_has_a_row(reverse: bool) -> None:
    from qiskit.quantum_info import Statevector

    ones = np.linspace(0.1, 0.9, 14)
    state: np.ndarray = np.ones(1)
    for one in ones[::-1] if reverse else ones:
        state = np.kron(state, np.sqrt([1 - one, one]))
    figure = evolution_figure([Statevector(state) if reverse else state])
    drawn = of_type(figure, "heatmap")[0]
    assert list(drawn.y) == [f"q{qubit}" for qubit in range(14)]
    np.testing.assert_allclose(numbers(drawn.z).ravel(), ones, atol=1e-12)
    assert "probability of reading 1" in notes(figure)


def test_steps_that_do_not_rise_are_not_an_axis_but_still_names() -> None:
    figure = evolution_figure([(5, [1, 0]), (5, [0, 1]), (2, [1, 1])])
    assert list(figure.data[0].x) == [0, 1, 2]
    assert list(figure.layout.xaxis.ticktext) == ["5", "5", "2"]


@pytest.mark.parametrize(
    ("history", "why"),
    [
        ([], "history: empty"),
        ([[1, 0], [1, 0, 0, 0]], r"history\[1\]: 2 qubits, those before have 1"),
        ([[1, 0], [0, 0]], r"history\[1\]: all values are zero"),
        ([1, 0], r"history\[0\].*hand over a list of states"),
    ],
)
def test_what_is_no_history_is_refused_with_the_place(history: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        evolution_figure(history)


def test_matrices_over_steps_have_populations_and_no_phases() -> None:
    figure = evolution_figure([mixed(2), np.eye(4) / 4])
    np.testing.assert_allclose(of_type(figure, "bar")[0].y, 0.25)
    assert "marker.color" not in figure.layout.sliders[0].steps[0].args[0]


def test_names_of_steps_are_text() -> None:
    hostile = "<img src=x onerror=alert(1)>"
    figure = evolution_figure([(hostile, [1, 0]), ("%{x}", [0, 1])])
    drawn = json.dumps(figure.to_plotly_json(), default=str)
    assert "<img" not in drawn
    assert figure.layout.sliders[0].steps[0].label == "&lt;img src=x onerror=alert(1)&gt;"
    assert "%{x}" not in (figure.data[0].hovertemplate or "").replace("step %{x}", "")
