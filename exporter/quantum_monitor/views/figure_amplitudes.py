"""The amplitudes of a state: how likely each basis state is, and its phase."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from quantum_monitor.physics.linalg import probabilities
from quantum_monitor.physics.states import State, StateLike, as_state
from quantum_monitor.views import figure_basis as basis
from quantum_monitor.views.theme import SEQUENTIAL, Theme, graph_objects

if TYPE_CHECKING:
    from numpy.typing import NDArray

BAR_QUBITS = 6
"""Up to here each basis state has a bar of its own."""

BARS_OF_MANY = 32
"""How many of the basis states have a bar where not all have one."""

Cell = tuple[int, int]
"""Row and column of a plot in a figure."""


class Bars(NamedTuple):
    """Basis states with a bar of their own, and what is left.

    Attributes:
        names: what stands under the bars.
        weights: probabilities, from 0 to 1.
        phases: in radians, NaN where there is none.
        others: number of the basis states that share the last bar; 0 where there is no such bar.
    """

    names: list[str]
    weights: NDArray[np.float64]
    phases: NDArray[np.float64]
    others: int


def amplitudes_figure(state: StateLike, *, theme: Theme = "light") -> Any:
    """Draw the probability and the phase of each basis state.

    Up to 6 qubits each basis state has a bar, up to 12 a cell in a map of its first and its last bits; beyond, the 32
    most likely ones have a bar and all others share one. Phases are those of the amplitudes as they were given, the
    global phase included. A density matrix has populations and no phases.

    Args:
        state: anything that `quantum_monitor.physics.as_state` reads.
        theme: ``light`` or ``dark``.

    Raises:
        ValueError: no state, or a theme that is none.
        MissingExtraError: plotly is not installed.
    """
    known = as_state(state)
    phased = known.is_vector
    if is_map(known):
        count = 2 if phased else 1
        titles = ["Probability", "Phase"][:count]
        figure = basis.canvas(count, 1, theme, subplot_titles=titles, vertical_spacing=0.14)
        height = 500 * count
    else:
        rows = {"rows": 2, "row_heights": [0.68, 0.32]} if phased else {"rows": 1}
        figure = basis.canvas(columns=1, theme=theme, shared_xaxes=True, vertical_spacing=0.06, **rows)
        height = 560 if phased else 420
    draw_amplitudes(figure, known, (1, 1), (2, 1) if phased else None)
    what = "probabilities and phases" if phased else "populations"
    basis.entitle(figure, f"{basis.what_it_is(known)}: {what}", amplitudes_note(known), height=height)
    return figure


def is_map(state: State) -> bool:
    """Whether the basis states are cells of a map rather than bars."""
    return BAR_QUBITS < state.n_qubits <= basis.SHOWN_QUBITS


def amplitudes_note(state: State) -> str:
    """What a reader must know of what was left out; empty where nothing was."""
    if state.n_qubits <= basis.SHOWN_QUBITS:
        return ""
    bars = take_bars(state)
    return f"The {len(bars.names) - 1} most likely basis states; the last bar is the sum of all {bars.others:,} others."


def draw_amplitudes(figure: Any, state: State, upper: Cell, lower: Cell | None) -> None:
    """Draw probabilities into one plot, and phases into another if there is one; uses ``coloraxis`` and the next."""
    if is_map(state):
        _draw_maps(figure, state, upper, lower)
        return
    bars = take_bars(state)
    for trace in bar_traces(bars, phased=lower is not None):
        figure.add_trace(trace, *upper)
    figure.update_yaxes(
        **basis.heights(*np.split(bars.weights, [len(bars.names) - bool(bars.others)])), row=upper[0], col=upper[1]
    )
    bottom = lower or upper
    named = {
        "type": "category",
        "tickfont": {"family": "monospace"},
        "title_text": f"basis state {basis.reading_order(state)}",
    }
    figure.update_xaxes(**named, row=bottom[0], col=bottom[1])
    if lower is not None:
        figure.update_xaxes(type="category", showticklabels=False, row=upper[0], col=upper[1])
        figure.add_trace(phase_trace(bars), *lower)
        figure.update_yaxes(title_text="phase (rad)", **basis.angle_ticks(), row=lower[0], col=lower[1])
        figure.update_layout(coloraxis=basis.phase_axis(basis.scale_beside(figure, *upper)))


def take_bars(state: State, at_most: int = BARS_OF_MANY) -> Bars:
    """The basis states that get a bar: all of up to 6 qubits, else the most likely first and the sum of the others."""
    weights, phases = probabilities(state.data), basis.phases(state)
    if state.n_qubits <= BAR_QUBITS:
        return Bars(basis.kets(state.n_qubits, range(len(weights))), weights, phases, 0)
    top = np.argpartition(weights, -at_most)[-at_most:]
    top = top[np.lexsort((top, -weights[top]))]
    top = top[weights[top] > basis.NOTHING * weights.max()]
    others = len(weights) - len(top)
    rest = max(float(np.delete(weights, top).sum()), 0.0)
    names = [*basis.kets(state.n_qubits, top.tolist()), f"{others:,} others"]
    return Bars(names, np.append(weights[top], rest), np.append(phases[top], np.nan), others)


def bar_traces(bars: Bars, *, phased: bool) -> list[Any]:
    """Bars as high as the probabilities, coloured by phase where there are phases; grey the one of all others."""
    go = graph_objects()
    marker: dict[str, Any] = {"line": {"color": basis.OUTLINE, "width": 1}}
    said = told(bars)
    own = len(bars.names) - bool(bars.others)
    coloured = {"color": basis.phase_colours(bars.phases[:own])} if phased else {}
    shown = {"hoverinfo": "text", "textposition": "none"}
    traces = [go.Bar(x=bars.names[:own], y=bars.weights[:own], marker=marker | coloured, hovertext=said[:own], **shown)]
    if bars.others:
        grey = {"color": basis.OUTLINE, "pattern": {"shape": "/"}}
        traces.append(go.Bar(x=bars.names[own:], y=bars.weights[own:], marker=grey, hovertext=said[own:], **shown))
    return traces


def phase_trace(bars: Bars) -> Any:
    """A mark at the phase of each amplitude; none where the probability is next to nothing."""
    marker = {"color": np.nan_to_num(bars.phases), "coloraxis": "coloraxis", "size": 9}
    marker["line"] = {"color": basis.OUTLINE, "width": 1}
    return graph_objects().Scatter(
        x=bars.names, y=bars.phases, mode="markers", marker=marker, hovertext=told(bars), hoverinfo="text"
    )


def told(bars: Bars) -> list[str]:
    """What a reader is told of each bar: ``|01⟩: probability 0.5, phase 0.5π``."""
    lines = zip(bars.names, bars.weights.tolist(), bars.phases.tolist(), strict=True)
    words = ((name, weight, basis.angle_text(phase)) for name, weight, phase in lines)
    return [f"{name}: probability {weight:.6g}{phase and f', phase {phase}'}" for name, weight, phase in words]


def _draw_maps(figure: Any, state: State, upper: Cell, lower: Cell | None) -> None:
    n = state.n_qubits
    first, last = n // 2, n - n // 2
    shape = (2**first, 2**last)
    weights, phases = probabilities(state.data).reshape(shape), basis.phases(state).reshape(shape)
    shown: Sequence[tuple[Cell | None, Any, str, str]] = (
        (upper, weights, "coloraxis2", "probability %{z:.4g}"),
        (lower, phases, "coloraxis", "phase %{customdata:.4g}π"),
    )
    order = basis.reading_order(state)
    for cell, values, axis, said in shown:
        if cell is None:
            continue
        where = {"row": cell[0], "col": cell[1]}
        figure.add_heatmap(
            z=values,
            x=[f"{index:0{last}b}" for index in range(shape[1])],
            y=[f"{index:0{first}b}" for index in range(shape[0])],
            customdata=values / np.pi,
            coloraxis=axis,
            hovertemplate=f"|%{{y}}%{{x}}⟩: {said}<extra></extra>",
            **where,
        )
        bits = {"type": "category", "nticks": 9, "tickfont": {"family": "monospace"}}
        figure.update_xaxes(**bits, title_text=f"last {last} bits of {order}", **where)
        figure.update_yaxes(**bits, title_text=f"first {first} bits", autorange="reversed", **where)
    figure.update_layout(
        coloraxis2={
            "colorscale": SEQUENTIAL,
            "cmin": 0,
            "cmax": float(weights.max()),
            "colorbar": basis.scale_beside(figure, *upper),
        }
    )
    if lower is not None:
        phase_axis = basis.phase_axis(basis.scale_beside(figure, *lower, "rad"))
        figure.update_layout(coloraxis=phase_axis)
