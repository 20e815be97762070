"""What the figures of states share: names of basis states, single qubits, colours of phases, and where things stand."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from quantum_monitor.physics.linalg import coherences, marginal_differences, probabilities
from quantum_monitor.physics.measures import checked_qubits
from quantum_monitor.physics.states import State
from quantum_monitor.views import theme as looks

if TYPE_CHECKING:
    from numpy.typing import NDArray

OUTLINE = "#7f8790"
"""Colour of outlines and wires: between the two pages, so that what it encloses is seen on both."""

SHOWN_QUBITS = 12
"""States of more qubits are summarised."""

NOTHING = 1e-9  # share of the largest probability below which a phase is that of rounding errors
_SHADES = 32
_LINE = 54  # a phone shows that many
_LINE_HEIGHT = 17
_ANGLES = ("-π", "-π/2", "0", "π/2", "π")


def canvas(rows: int, columns: int, theme: looks.Theme, **layout: Any) -> Any:
    """An empty figure of several plots.

    Raises:
        ValueError: a theme that is none.
        MissingExtraError: plotly is not installed.
    """
    looks.graph_objects()
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=rows, cols=columns, **layout)
    figure.update_layout(template=looks.template(theme), hovermode="closest", showlegend=False)
    return figure


def entitle(figure: Any, title: str, note: str = "", *, height: int, top: int = 70) -> None:
    """Give a figure its title, a note in words below it, and its height in pixels."""
    lines = textwrap.wrap(note, _LINE)
    figure.update_layout(
        title={"text": title, "y": 1, "yref": "container", "yanchor": "top", "pad": {"t": 14}},
        height=height + _LINE_HEIGHT * len(lines),
        margin={"t": top + _LINE_HEIGHT * len(lines), "l": 70, "r": 30, "b": 60},
    )
    if lines:  # no subtitle: a page that has a title of its own for the figure leaves out the figure's
        figure.add_annotation(
            text="<br>".join(lines),
            x=0,
            y=1,
            xref="paper",
            yref="paper",
            xanchor="left",
            yanchor="bottom",
            yshift=26,
            align="left",
            showarrow=False,
            font_size=12,
        )


def scale_beside(figure: Any, row: int, column: int, title: str = "") -> dict[str, Any]:
    """Where the colour bar of one plot stands: right of it, as high as the plot."""
    plot = figure.get_subplot(row, column)
    x, y = (plot.domain.x, plot.domain.y) if hasattr(plot, "domain") else (plot.xaxis.domain, plot.yaxis.domain)
    place = {"x": x[1] + 0.01, "xanchor": "left", "y": (y[0] + y[1]) / 2, "yanchor": "middle", "len": y[1] - y[0]}
    return {**place, "thickness": 12, "outlinewidth": 0, "title": {"text": title, "side": "right"}}


def phase_axis(colorbar: Mapping[str, Any]) -> dict[str, Any]:
    """A colour axis of phases from -π to π."""
    ticks = {"tickvals": angles(), "ticktext": list(_ANGLES)}
    return {"colorscale": _phase_scale(), "cmin": -np.pi, "cmax": np.pi, "colorbar": {**colorbar, **ticks}}


def angles() -> list[float]:
    """The phases that an axis names."""
    return [float(angle) for angle in np.linspace(-np.pi, np.pi, 5)]


def angle_text(phase: float) -> str:
    """A phase in words: ``0``, ``0.25π``, ``-π``; empty for NaN."""
    if np.isnan(phase):
        return ""
    turns = f"{phase / np.pi + 0.0:.4g}"
    return {"0": "0", "1": "π", "-1": "-π", "-0": "0"}.get(turns, f"{turns}π")


def angle_ticks() -> dict[str, Any]:
    """An axis of phases."""
    return {"tickvals": angles(), "ticktext": list(_ANGLES), "range": [-np.pi * 1.12, np.pi * 1.12]}


@cache
def _phase_scale() -> list[list[Any]]:
    """The scale of phases, turned by a quarter so that plus is blue and minus is red.

    Its palest and its darkest shade, which are weak on one of the pages each, are then those of the rarer i and -i.
    """
    from plotly.colors import sample_colorscale

    at = np.linspace(0.0, 1.0, _SHADES + 1)
    shades = sample_colorscale(looks.PHASES, ((at + 0.75) % 1.0).tolist())
    return [[float(place), shade] for place, shade in zip(at, shades, strict=True)]


def phases(state: State) -> NDArray[np.float64]:
    """The phase of each amplitude in radians, over -π up to π; NaN where the probability is next to nothing.

    All are NaN for a density matrix, which has none.
    """
    if not state.is_vector:
        return np.full(2**state.n_qubits, np.nan)
    weights = probabilities(state.data)
    angle = np.angle(state.data)
    angle[angle < 1e-9 - np.pi] = np.pi  # -1 and -1 with a rounding error have one phase
    angle[weights <= NOTHING * weights.max()] = np.nan
    return angle


def kets(n_qubits: int, indices: Iterable[int]) -> list[str]:
    """The names of basis states: ``|010⟩``."""
    return [f"|{index:0{n_qubits}b}⟩" for index in indices]


def reading_order(state: State) -> str:
    """How the bits in the name of a basis state are numbered: ``|q0 q1 q2⟩``, or the other way round for Qiskit."""
    last = state.n_qubits - 1
    names = [f"q{qubit}" for qubit in range(state.n_qubits)] if last < 4 else ["q0", "…", f"q{last}"]
    return f"|{' '.join(names[::-1] if state.little_endian else names)}⟩"


def what_it_is(state: State) -> str:
    """The beginning of a title: ``State of 3 qubits``."""
    kind = "State" if state.is_vector else "Density matrix"
    return f"{kind} of {state.n_qubits} qubit{'s' * (state.n_qubits > 1)}"


def bloch_vectors(state: State) -> NDArray[np.float64]:
    """The Bloch vector of each qubit's reduced state, in the order of the qubits' numbers.

    Returns:
        Shape (n, 3): the expectation values of X, Y and Z, each from -1 to 1.
    """
    z = marginal_differences(probabilities(state.data))
    if state.is_vector:
        upper = coherences(state.data)  # <0|rho_k|1>, which is (x - iy) / 2
    else:
        n = state.n_qubits
        shapes = [(2**k, 2, 2 ** (n - 1 - k)) for k in range(n)]
        upper = np.array([np.einsum("ijij->", state.data.reshape(2 * shape)[:, 0, :, :, 1, :]) for shape in shapes])
    vectors = np.column_stack((2.0 * upper.real, -2.0 * upper.imag, z))
    return vectors[::-1] if state.little_endian else vectors


def chosen_qubits(qubits: Iterable[int] | None, state: State) -> list[int]:
    """The numbers of the qubits to be shown: all where None.

    Raises:
        ValueError: none, one twice, or one that the state has not.
    """
    return list(range(state.n_qubits)) if qubits is None else checked_qubits(qubits, state.n_qubits, "qubits")
