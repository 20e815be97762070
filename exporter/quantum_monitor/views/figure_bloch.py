"""Bloch spheres: the reduced state of each qubit as an arrow, shorter the more it is mixed or entangled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from quantum_monitor.physics.states import StateLike, as_state
from quantum_monitor.views import figure_basis as basis
from quantum_monitor.views.theme import SEQUENTIAL, Theme, graph_objects

if TYPE_CHECKING:
    from numpy.typing import NDArray

Vectors = dict[int, "NDArray[np.float64]"]
"""Bloch vector of each qubit that is shown, by its number."""

SPHERES_SIDE_BY_SIDE = 4
"""More qubits share one sphere: a browser has no more than about sixteen pictures in space on a page."""

_HIDDEN = {"visible": False, "range": [-1.25, 1.25]}
_POLES = {
    "|0⟩": (0, 0, 1),
    "|1⟩": (0, 0, -1),
    "|+⟩": (1, 0, 0),
    "|-⟩": (-1, 0, 0),
    "|i⟩": (0, 1, 0),
    "|-i⟩": (0, -1, 0),
}
_ZOOM = 1.4
_NUMBERS = 32
_DASHES = ("solid", "dash")
_COLOURS = 8  # in the template


def bloch_figure(state: StateLike, *, qubits: Iterable[int] | None = None, theme: Theme = "light") -> Any:
    """Draw the reduced state of each qubit on a Bloch sphere.

    Up to 4 qubits have a sphere each, up to 12 share one; the components of more are a table of colours and numbers.

    Args:
        state: anything that `quantum_monitor.physics.as_state` reads.
        qubits: which qubits to show, in this order; all where None.
        theme: ``light`` or ``dark``.

    Raises:
        ValueError: no state, qubits that it has not, or a theme that is none.
        MissingExtraError: plotly is not installed.
    """
    known = as_state(state)
    every = basis.bloch_vectors(known)
    vectors = {qubit: every[qubit] for qubit in basis.chosen_qubits(qubits, known)}
    if len(vectors) > basis.SHOWN_QUBITS:
        figure = basis.canvas(1, 1, theme)
        draw_components(figure, vectors, 1, 1, coloraxis="coloraxis")
        note = "One row a qubit: the components of its Bloch vector and its length."
        basis.entitle(figure, f"Bloch vectors of {len(vectors)} qubits", note, height=130 + 22 * len(vectors))
        return figure
    if len(vectors) > SPHERES_SIDE_BY_SIDE:
        figure = basis.canvas(1, 1, theme, specs=[[{"type": "scene"}]])
        draw_spheres(figure, {(1, 1): vectors})
        figure.update_layout(showlegend=True, legend={"y": -0.02, "yanchor": "top"})
        height = 640
    else:
        figure = _side_by_side(vectors, theme)
        height = 420 if len(vectors) < 3 else 780
    plural = "s" * (len(vectors) > 1)
    basis.entitle(figure, f"Bloch sphere{plural}", height=height, top=105)
    return figure


def described(qubit: int, vector: NDArray[np.float64]) -> str:
    """A qubit's Bloch vector in words: ``qubit 0: x 0.71, y 0.00, z 0.71, |r| 1.00``."""
    x, y, z = (f"{part + 0.0 if abs(part) >= 0.005 else 0.0:.2f}" for part in vector)
    return f"qubit {qubit}: x {x}, y {y}, z {z}, |r| {np.linalg.norm(vector):.2f}"


def draw_spheres(figure: Any, spheres: Mapping[tuple[int, int], Vectors]) -> None:
    """Draw spheres into the scenes at some rows and columns, each with an arrow for each of its qubits."""
    # All arrows first: a trace without a colour takes that of its number.
    places = count()
    for cell, vectors in spheres.items():
        for qubit, vector in vectors.items():
            figure.add_trace(_arrow(qubit, vector, next(places), named=len(vectors) > 1), *cell)
    for cell in spheres:
        _draw_sphere(figure, *cell)


def draw_components(figure: Any, vectors: Vectors, row: int, column: int, *, coloraxis: str) -> None:
    """Draw the components of Bloch vectors and their lengths as a table of colours, with numbers where they fit."""
    components = np.array(list(vectors.values()))
    figure.add_heatmap(
        z=np.column_stack((components, np.linalg.norm(components, axis=1))),
        x=["x", "y", "z", "|r|"],
        y=[f"q{qubit}" for qubit in vectors],
        coloraxis=coloraxis,
        texttemplate="%{z:.2f}" if len(vectors) <= _NUMBERS else None,
        hovertemplate="%{y}: %{x} = %{z:.6f}<extra></extra>",
        row=row,
        col=column,
    )
    figure.update_xaxes(type="category", row=row, col=column)
    figure.update_yaxes(type="category", autorange="reversed", row=row, col=column)
    scale = {"colorscale": SEQUENTIAL, "cmin": -1, "cmax": 1, "colorbar": basis.scale_beside(figure, row, column)}
    figure.update_layout({coloraxis: scale})


def _draw_sphere(figure: Any, row: int, column: int) -> None:
    for trace in _sphere():
        figure.add_trace(trace, row, column)
    figure.update_scenes(
        xaxis=_HIDDEN,
        yaxis=_HIDDEN,
        zaxis=_HIDDEN,
        aspectmode="manual",
        aspectratio={"x": _ZOOM, "y": _ZOOM, "z": _ZOOM},
        camera={"eye": {"x": 1.3, "y": 0.7, "z": 0.5}, "projection": {"type": "orthographic"}},
        row=row,
        col=column,
    )


def _side_by_side(vectors: Vectors, theme: Theme) -> Any:
    columns = 1 if len(vectors) == 1 else 2
    rows = -(-len(vectors) // columns)
    figure = basis.canvas(
        rows,
        columns,
        theme,
        specs=[[{"type": "scene"}] * columns] * rows,
        subplot_titles=[described(*item).replace(": ", "<br>").replace(", z", ",<br>z") for item in vectors.items()],
        horizontal_spacing=0.02,
        vertical_spacing=0.14,
    )
    cells = [(row, column) for row in range(1, rows + 1) for column in range(1, columns + 1)]
    draw_spheres(figure, {cell: {qubit: vector} for cell, (qubit, vector) in zip(cells, vectors.items(), strict=False)})
    figure.update_annotations(font_size=13)
    return figure


def _arrow(qubit: int, vector: NDArray[np.float64], place: int, *, named: bool) -> Any:
    """A line from the middle with a head of four strokes, its qubit's number beside the tip."""
    length = float(np.linalg.norm(vector))
    points = [np.zeros(3), vector]
    if length > 1e-3:
        along = vector / length
        # Any direction that is not along the arrow gives two across it.
        across = np.cross(along, np.eye(3)[np.abs(along).argmin()])
        across /= np.linalg.norm(across)
        size = min(0.1, 0.4 * length)
        for side in (across, -across, np.cross(along, across), -np.cross(along, across)):
            points += [vector - size * along + 0.4 * size * side, vector]
    x, y, z = np.array(points).T
    names = [""] * len(points)
    names[1] = f"q{qubit}" if named else ""
    said = described(qubit, vector)
    return graph_objects().Scatter3d(
        x=x,
        y=y,
        z=z,
        mode="lines+markers+text",
        line={"width": 7, "dash": _DASHES[place // _COLOURS % 2]},
        marker={"size": [0, 4] + [0] * (len(points) - 2)},
        text=names,
        textposition="top center",
        name=said,
        hovertext=said,
        hoverinfo="text",
    )


def _sphere() -> Iterator[Any]:
    """The wires of a sphere, its three axes, and the names of the states where they end."""
    go = graph_objects()
    turn = np.linspace(0.0, 2.0 * np.pi, 49)
    gap = np.full((3, 1), np.nan)
    x, z = np.cos(turn), np.sin(turn)
    parallels = [
        np.array([radius * x, radius * z, np.full_like(turn, height)])
        for height, radius in ((-0.5, np.sqrt(0.75)), (0.0, 1.0), (0.5, np.sqrt(0.75)))
    ]
    meridians = [np.array([np.cos(angle) * x, np.sin(angle) * x, z]) for angle in np.pi * np.arange(4) / 4]
    wires = np.hstack([part for circle in parallels + meridians for part in (circle, gap)])
    axes = np.hstack([np.hstack([-end, end, gap]) for end in np.eye(3)[:, :, None]])
    for (x, y, z), width, opacity in ((wires, 1.5, 0.45), (axes, 2, 0.9)):
        line = {"color": basis.OUTLINE, "width": width}
        shown = {"mode": "lines", "line": line, "opacity": opacity, "hoverinfo": "skip", "showlegend": False}
        yield go.Scatter3d(x=x, y=y, z=z, **shown)
    x, y, z = 1.17 * np.array(list(_POLES.values()), dtype=float).T
    yield go.Scatter3d(x=x, y=y, z=z, mode="text", text=list(_POLES), hoverinfo="skip", showlegend=False)
