"""What the figures of states share: names of basis states, single qubits, colours of phases, and where things stand."""

from __future__ import annotations

import re
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
_SHADES = 256
_LINE = 44  # a phone shows that many
_LEFT = 50
_DWARFS = 20
_LINE_HEIGHT = 17
_PALE = 0.179  # luminance: black and white are as easy to read on it, at a contrast of 4.6
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
        margin={"t": top + _LINE_HEIGHT * len(lines), "l": _LEFT, "r": 10, "b": 60},
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
            xshift=-_LEFT,
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
    return {**place, "thickness": 12, "xpad": 4, "outlinewidth": 0, "title": {"text": title, "side": "right"}}


def add_numbers(figure: Any, values: NDArray[np.float64], x: list[str], y: list[str], scale: Any, **where: Any) -> None:
    """Write the numbers of a map into its cells, each black or white: what is the easier to read on its colour.

    plotly's own choice, white or dark grey, is hard to read on colours of middle lightness.

    Args:
        figure: that has the map.
        values: of the cells, (rows, columns).
        x: names of the columns.
        y: names of the rows.
        scale: the colour axis of the map, with ``colorscale``, ``cmin`` and ``cmax``.
        where: ``row`` and ``col`` of the plot.
    """
    from plotly.colors import get_colorscale, sample_colorscale

    known = scale["colorscale"]
    at = np.clip((values - scale["cmin"]) / (scale["cmax"] - scale["cmin"]), 0.0, 1.0).ravel()
    colours = sample_colorscale(get_colorscale(known) if isinstance(known, str) else known, at.tolist())
    pale = np.reshape([_luminance(colour) > _PALE for colour in colours], values.shape)
    for ink, cells in (("white", ~pale), ("black", pale)):
        if not cells.any():
            continue
        figure.add_heatmap(
            z=np.where(cells, values, np.nan),
            x=x,
            y=y,
            name="numbers",
            colorscale=["rgba(0,0,0,0)"] * 2,
            showscale=False,
            hoverinfo="skip",
            texttemplate="%{z:.2f}",
            textfont={"color": ink},
            **where,
        )


def _luminance(colour: str) -> float:
    """The relative luminance of a colour like ``rgb(1, 2, 3)`` from 0 to 1, as WCAG 2 defines it."""
    shares = np.array([float(part) for part in re.findall(r"[\d.]+", colour)[:3]]) / 255.0
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def signed_scale(largest: float, theme: looks.Theme) -> dict[str, Any]:
    """A colour axis from blue (below 0) over the colour of the page (0) to orange; all people tell these apart."""
    blue, orange, *_ = looks.template(theme).layout.colorway
    colours = [[0.0, blue], [0.5, looks.paper(theme)], [1.0, orange]]
    return {"colorscale": colours, "cmin": -largest, "cmax": largest}


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


def heights(own: NDArray[np.float64], others: NDArray[np.float64]) -> dict[str, Any]:
    """An axis of probabilities; logarithmic where the bar of all ``others`` would dwarf those that have their own."""
    highest = float(own.max())
    if others.size and others.max() > _DWARFS * highest:
        lowest = np.log10(max(own[own > 0].min(), 1e-3 * highest)) - 0.5
        return {"title_text": "probability (log)", "type": "log", "range": [lowest, 0.1], "dtick": 1}
    return {"title_text": "probability", "range": [0, max(min(1.05, 1.1 * max((highest, *others.flat))), 1e-3)]}


def angle_ticks() -> dict[str, Any]:
    """An axis of phases."""
    return {"tickvals": angles(), "ticktext": list(_ANGLES), "range": [-np.pi * 1.12, np.pi * 1.12]}


def phase_colours(phases: NDArray[np.float64]) -> list[str]:
    """The colour of each phase on `phase_axis`, that of outlines for NaN.

    Bars take colours: of numbers, which become colours by way of an axis, plotly complains in the console of a page.
    """
    scale = _phase_scale()
    places = np.rint((np.nan_to_num(phases) / (2.0 * np.pi) + 0.5) * _SHADES).astype(int)
    return [
        OUTLINE if nothing else scale[place][1]
        for place, nothing in zip(places.tolist(), np.isnan(phases).tolist(), strict=True)
    ]


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
