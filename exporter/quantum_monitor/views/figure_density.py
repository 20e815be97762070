"""A density matrix: real and imaginary parts as maps or as a city of columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from quantum_monitor.physics.measures import reduced_density_matrix
from quantum_monitor.physics.states import Array, State, StateLike, as_state
from quantum_monitor.views import figure_basis as basis
from quantum_monitor.views.theme import SEQUENTIAL, Theme, graph_objects

if TYPE_CHECKING:
    from numpy.typing import NDArray

Style = Literal["heatmap", "city"]

CELL_QUBITS = 6
"""Up to here each entry of the matrix has a cell of its own."""

CITY_QUBITS = 5
"""Up to here a city can be told from a thicket."""

_NUMBER_QUBITS = 3
_CELLS = 2**CELL_QUBITS
_COLORBAR = {"thickness": 12, "xpad": 4, "outlinewidth": 0}


def density_figure(
    state: StateLike, *, style: Style = "heatmap", qubits: Iterable[int] | None = None, theme: Theme = "light"
) -> Any:
    """Draw the real and the imaginary part of a density matrix, one below the other.

    Above 6 qubits the entries are too many: then a map of 64 by 64 blocks shows the largest magnitude in each, which
    hides no entry that stands out. Above 5 qubits a city becomes a map.

    Args:
        state: anything that `quantum_monitor.physics.as_state` reads; a vector is shown as its projector.
        style: ``heatmap`` or ``city`` (columns in space).
        qubits: show the reduced state of these, the first named first in the names of the basis states (for an object
            of Qiskit last, as there); all where None.
        theme: ``light`` or ``dark``.

    Raises:
        ValueError: no state, a style or theme that is none, or qubits that the state has not.
        MissingExtraError: plotly is not installed.
    """
    if style not in get_args(Style):
        raise ValueError(f"style: {style!r} is neither 'heatmap' nor 'city'")
    known = as_state(state)
    order = basis.reading_order(known)
    title = f"Density matrix of {known.n_qubits} qubit{'s' * (known.n_qubits > 1)}"
    if qubits is not None:
        chosen = basis.chosen_qubits(qubits, known)
        names = [f"q{qubit}" for qubit in (reversed(chosen) if known.little_endian else chosen)]
        order, title = f"|{' '.join(names)}⟩", f"Reduced density matrix of {', '.join(names)}"
        known = as_state(reduced_density_matrix(known, chosen))
    if known.n_qubits > CELL_QUBITS:
        return _blocks(known, order, title, theme)
    matrix = matrix_of(known)
    names = basis.kets(known.n_qubits, range(len(matrix)))
    if style == "city" and known.n_qubits <= CITY_QUBITS:
        figure, height = _city(matrix, names, theme), 800
    else:
        figure, height = _maps(matrix, names, order, theme), 940
    note = (
        f"More than {CITY_QUBITS} qubits: a map in place of the city."
        if style == "city" and known.n_qubits > CITY_QUBITS
        else ""
    )
    basis.entitle(figure, title, note, height=height, top=80)
    if figure.data[0].type == "mesh3d":
        figure.update_layout(margin_l=10)  # names of axes stand inside a scene
    return figure


def matrix_of(state: State) -> Array:
    """The density matrix of a state, (2^n, 2^n)."""
    if state.is_vector:
        matrix: Array = np.outer(state.data, state.data.conj())
        return matrix
    return state.data


def draw_magnitudes(figure: Any, state: State, row: int, column: int, *, coloraxis: str) -> None:
    """Draw the magnitude of each entry, or the largest of each block, into one plot of a figure."""
    values = magnitudes(state)
    bits = min(state.n_qubits, CELL_QUBITS)
    names = [f"{name[:-1]}{'…' * (state.n_qubits > bits)}⟩" for name in basis.kets(bits, range(len(values)))]
    figure.add_heatmap(
        z=values,
        x=_bras(names),
        y=names,
        coloraxis=coloraxis,
        hovertemplate="%{y}%{x}: %{z:.4g}<extra></extra>",
        row=row,
        col=column,
    )
    _name_axes(figure, bits, row, column)


def magnitudes(state: State) -> NDArray[np.float64]:
    """Magnitudes of the entries of a density matrix, above 6 qubits the largest in each of 64 by 64 blocks."""
    if not state.is_vector:
        size = np.abs(state.data)
        block = max(len(size) // _CELLS, 1)
        cells = len(size) // block
        blocks: NDArray[np.float64] = size.reshape(cells, block, cells, block).max(axis=(1, 3))
        return blocks
    # The largest of |a b*| over two blocks is the product of their largest.
    size = np.abs(state.data)
    largest = size.reshape(min(len(size), _CELLS), -1).max(axis=1)
    return np.outer(largest, largest)


def _blocks(state: State, order: str, title: str, theme: Theme) -> Any:
    figure = basis.canvas(1, 1, theme)
    draw_magnitudes(figure, state, 1, 1, coloraxis="coloraxis")
    figure.update_layout(
        coloraxis={
            "colorscale": SEQUENTIAL,
            "cmin": 0,
            "colorbar": {**_COLORBAR, "title": {"text": "magnitude", "side": "right"}},
        }
    )
    block = 2 ** (state.n_qubits - CELL_QUBITS)
    note = (
        f"Magnitudes. Each cell is the largest of {block:,} by {block:,} entries; it is named by the first "
        f"{CELL_QUBITS} bits of {order}."
    )
    basis.entitle(figure, title, note, height=560)
    return figure


def _maps(matrix: Array, names: list[str], order: str, theme: Theme) -> Any:
    titles = ["Real part", "Imaginary part"]
    figure = basis.canvas(2, 1, theme, subplot_titles=titles, vertical_spacing=0.16)
    scale = _signed(matrix, theme)
    for row, part in enumerate((matrix.real + 0.0, matrix.imag + 0.0), start=1):
        figure.add_heatmap(
            z=part,
            x=_bras(names),
            y=names,
            coloraxis="coloraxis",
            hovertemplate="%{y}%{x}: %{z:.6g}<extra></extra>",
            row=row,
            col=1,
        )
        if len(matrix) <= 2**_NUMBER_QUBITS:
            basis.add_numbers(figure, part, _bras(names), names, scale, row=row, col=1)
        _name_axes(figure, len(names).bit_length() - 1, row, 1)
    figure.update_yaxes(title_text=f"basis state {order}")
    figure.update_layout(coloraxis={**scale, "colorbar": _COLORBAR})
    return figure


def _name_axes(figure: Any, bits: int, row: int, column: int) -> None:
    axis = {"type": "category", "tickfont": {"family": "monospace"}, "row": row, "col": column}
    axis["nticks"] = 17 if bits <= 4 else 9
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis, autorange="reversed")


def _bras(names: list[str]) -> list[str]:
    return [f"⟨{name[1:-1]}|" for name in names]


def _signed(matrix: Array, theme: Theme) -> dict[str, Any]:
    # A little more than the largest: WebGL drops what rounding puts beyond the end of a scale.
    return basis.signed_scale(1.001 * float(max(np.abs(matrix.real).max(), np.abs(matrix.imag).max())), theme)


def _city(matrix: Array, names: list[str], theme: Theme) -> Any:
    figure = basis.canvas(
        2,
        1,
        theme,
        specs=[[{"type": "scene"}], [{"type": "scene"}]],
        subplot_titles=["Real part", "Imaginary part"],
        vertical_spacing=0.06,
    )
    tick = max(1, len(names) // 4)
    axis = {"tickvals": list(range(0, len(names), tick)), "ticktext": names[::tick], "title": {"text": ""}}
    largest = float(max(np.abs(matrix.real).max(), np.abs(matrix.imag).max()))
    lowest = float(min(matrix.real.min(), matrix.imag.min(), 0.0))
    for row, part in enumerate((matrix.real, matrix.imag), start=1):
        figure.add_trace(_columns(part + 0.0, names), row, 1)
        figure.update_scenes(
            xaxis={**axis, "range": [-0.7, len(names) - 0.3]},
            yaxis={**axis, "ticktext": _bras(names)[::tick], "range": [-0.7, len(names) - 0.3]},
            zaxis={"range": [1.05 * lowest, 1.05 * largest], "title": {"text": ""}},
            camera={"eye": {"x": 2.3, "y": -1.3, "z": 1.3}, "center": {"x": 0, "y": 0, "z": -0.12}},
            aspectmode="cube",
            row=row,
            col=1,
        )
    figure.update_layout(coloraxis={**_signed(matrix, theme), "colorbar": _COLORBAR})
    return figure


def _columns(values: NDArray[np.float64], names: list[str]) -> Any:
    """One mesh of a column for each entry, from 0 to its value."""
    shown = np.abs(values) > 1e-9 * np.abs(values).max()  # a plate at 0 would hide what stands below it
    if not shown.any():
        shown[0, 0] = True
    rows, columns = np.nonzero(shown)
    heights = values[shown]
    corners = np.array([(x, y, z) for x in (-0.35, 0.35) for y in (-0.35, 0.35) for z in (0.0, 1.0)])
    x = (rows[:, None] + corners[:, 0]).ravel()
    y = (columns[:, None] + corners[:, 1]).ravel()
    z = (heights[:, None] * corners[:, 2]).ravel()
    # Two triangles for each of the six faces; a corner's number is 4 x + 2 y + z.
    faces = [(0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5)]
    triangles = np.array([part for a, b, c, d in faces for part in ((a, b, c), (a, c, d))])
    i, j, k = (8 * np.arange(len(heights))[:, None, None] + triangles).reshape(-1, 3).T
    bras = _bras(names)
    places = zip(rows.tolist(), columns.tolist(), heights.tolist(), strict=True)
    said = [f"{names[row]}{bras[column]}: {height:.6g}" for row, column, height in places]
    return graph_objects().Mesh3d(
        x=x,
        y=y,
        z=z,
        i=i,
        j=j,
        k=k,
        intensity=np.repeat(heights, 8),
        coloraxis="coloraxis",
        flatshading=True,
        hovertext=[text for text in said for _ in range(8)],
        hoverinfo="text",
    )
