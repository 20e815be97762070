"""Bloch spheres: the reduced state of each qubit as an arrow, shorter the more it is mixed or entangled."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from quantum_monitor.physics.states import StateLike, as_state
from quantum_monitor.views import figure_basis as basis
from quantum_monitor.views.theme import Theme, graph_objects

if TYPE_CHECKING:
    from numpy.typing import NDArray

Vectors = dict[int, "NDArray[np.float64]"]
"""Bloch vector of each qubit that is shown, by its number."""

SPHERES_APART = 4
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
_POLES_AT = 1.17
_ZOOM = 1.9
_EYE = (1.3, 0.7, 0.5)
_ROOM, _NAMES = 0.35, 4  # a name takes that much of a radius, and so many stand in a line
_SPHERE, _GAP, _TOP = 300, 60, 80  # pixels: a sphere, between two of them, and above the first
_NUMBERS = 32
_DASHES = ("solid", "dash")
_COLOURS = 8  # in the template
_SYMBOLS = ("circle", "square", "diamond", "cross", "x")


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
        draw_components(figure, vectors, 1, 1, coloraxis="coloraxis", theme=theme)
        note = "One row a qubit: the components of its Bloch vector and its length."
        basis.entitle(figure, f"Bloch vectors of {len(vectors)} qubits", note, height=130 + 22 * len(vectors))
        return figure
    if len(vectors) > SPHERES_APART:
        figure = basis.canvas(1, 1, theme, specs=[[{"type": "scene"}]])
        draw_spheres(figure, {(1, 1): vectors})
        name_arrows(figure, below=-0.02)
        height = 640
    else:
        height = _TOP + 60 + (_SPHERE + _GAP) * len(vectors) - _GAP
        figure = _apart(vectors, theme, _GAP / (height - _TOP - 60))
    plural = "s" * (len(vectors) > 1)
    basis.entitle(figure, f"Bloch sphere{plural}", height=height, top=_TOP)
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
        names = _names(vectors) if len(vectors) > 1 else {}
        for qubit, vector in vectors.items():
            figure.add_trace(_arrow(qubit, vector, next(places), names.get(qubit, "")), *cell)
    for cell in spheres:
        _draw_sphere(figure, *cell)


def name_arrows(figure: Any, *, below: float) -> None:
    """Say in a legend which arrow is which qubit's; it hangs from a height, as a share of the figure's plots."""
    place = {"x": 0.5, "xanchor": "center", "y": below, "yanchor": "top", "itemsizing": "constant"}
    figure.update_traces(showlegend=False, selector=lambda trace: trace.type != "scatter3d")
    figure.update_layout(showlegend=True, legend=place)


def draw_components(figure: Any, vectors: Vectors, row: int, column: int, *, coloraxis: str, theme: Theme) -> None:
    """Draw the components of Bloch vectors and their lengths as a table of colours, with numbers where they fit."""
    components = np.array(list(vectors.values()))
    values = np.column_stack((components, np.linalg.norm(components, axis=1))) + 0.0
    x, y = ["x", "y", "z", "|r|"], [f"q{qubit}" for qubit in vectors]
    scale = basis.signed_scale(1.0, theme)
    figure.add_heatmap(
        z=values,
        x=x,
        y=y,
        coloraxis=coloraxis,
        hovertemplate="%{y}: %{x} = %{z:.6f}<extra></extra>",
        row=row,
        col=column,
    )
    if len(vectors) <= _NUMBERS:
        basis.add_numbers(figure, values, x, y, scale, row=row, col=column)
    figure.update_xaxes(type="category", row=row, col=column)
    figure.update_yaxes(type="category", autorange="reversed", row=row, col=column)
    figure.update_layout({coloraxis: {**scale, "colorbar": basis.scale_beside(figure, row, column)}})


def _draw_sphere(figure: Any, row: int, column: int) -> None:
    for trace in _sphere():
        figure.add_trace(trace, row, column)
    figure.update_scenes(
        xaxis=_HIDDEN,
        yaxis=_HIDDEN,
        zaxis=_HIDDEN,
        aspectmode="manual",
        aspectratio={"x": _ZOOM, "y": _ZOOM, "z": _ZOOM},
        camera={"eye": dict(zip("xyz", _EYE, strict=True)), "projection": {"type": "orthographic"}},
        row=row,
        col=column,
    )


def _apart(vectors: Vectors, theme: Theme, gap: float) -> Any:
    """One sphere below the other: side by side they would have no room on a phone."""
    rows = len(vectors)
    figure = basis.canvas(
        rows,
        1,
        theme,
        specs=[[{"type": "scene"}]] * rows,
        subplot_titles=[described(*item) for item in vectors.items()],
        vertical_spacing=gap,
    )
    draw_spheres(figure, {(row, 1): {qubit: vector} for row, (qubit, vector) in enumerate(vectors.items(), start=1)})
    figure.update_annotations(font_size=13)
    return figure


def _names(vectors: Vectors) -> dict[int, str]:
    """What stands beside which tip: where some are too close for a name each, all their names beside the first."""
    groups: list[list[int]] = []
    for qubit, vector in vectors.items():
        close = (group for group in groups if np.linalg.norm(_seen(vector - vectors[group[0]])) < _ROOM)
        group = next(close, [])
        if not group:
            groups.append(group)
        group.append(qubit)
    return {group[0]: _together(group) for group in groups}


def _beside(vector: NDArray[np.float64], letters: int) -> str:
    """On which side of a tip a name is furthest from the names of the poles, and from the arrow itself."""
    tip, half = _seen(vector), np.array([0.05 * letters + 0.1, 0.15])
    taken = [_POLES_AT * _seen(np.array(pole, dtype=float)) for pole in _POLES.values()] + [0.7 * tip]
    sides = {"middle right": (1, 0), "middle left": (-1, 0), "top center": (0, 1), "bottom center": (0, -1)}
    return max(sides, key=lambda side: min(float(np.abs((tip + half * sides[side] - at) / half).max()) for at in taken))


def _seen(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    """A vector as the eye sees it at first: to the right, and upwards."""
    eye = np.array(_EYE) / np.linalg.norm(_EYE)
    right = np.cross([0.0, 0.0, 1.0], eye)
    right /= np.linalg.norm(right)
    return np.array([vector @ right, vector @ np.cross(eye, right)])


def _together(qubits: list[int]) -> str:
    names = [f"q{qubit}" for qubit in qubits]
    shown = names if len(names) <= _NAMES else [*names[: _NAMES - 1], f"{len(names) - _NAMES + 1} more"]
    return ", ".join(shown)


def _arrow(qubit: int, vector: NDArray[np.float64], place: int, name: str) -> Any:
    """A line from the middle with a head of four strokes, and a name beside the tip."""
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
    names[1] = f" {name} " if name else ""  # beside the marker, not on it
    said = described(qubit, vector)
    return graph_objects().Scatter3d(
        x=x,
        y=y,
        z=z,
        mode="lines+markers+text",
        line={"width": 7, "dash": _DASHES[place // _COLOURS % 2]},
        marker={"size": [0, 4] + [0] * (len(points) - 2), "symbol": _SYMBOLS[place % len(_SYMBOLS)]},
        text=names,
        textposition=_beside(vector, len(name)),
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
    quiet = {"hoverinfo": "skip", "showlegend": False}
    for (x, y, z), width, opacity in ((wires, 1.5, 0.45), (axes, 2, 0.9)):
        line = {"color": basis.OUTLINE, "width": width}
        yield go.Scatter3d(x=x, y=y, z=z, mode="lines", line=line, opacity=opacity, **quiet)
    x, y, z = _POLES_AT * np.array(list(_POLES.values()), dtype=float).T
    yield go.Scatter3d(x=x, y=y, z=z, mode="text", text=list(_POLES), textposition="middle center", **quiet)
