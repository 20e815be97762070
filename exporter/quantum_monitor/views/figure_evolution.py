"""A state over steps: a map of probabilities, and below it the state at the step that a slider chooses."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from quantum_monitor.physics.states import State
from quantum_monitor.views import figure_basis as basis
from quantum_monitor.views.state_history import History, Moment, thinned
from quantum_monitor.views.theme import SEQUENTIAL, Theme, graph_objects, label

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS_AT_MOST = 32
"""More basis states share the last row, but for the most likely ones."""

_MARK = "#d55e00"  # is seen on both pages, and on every colour of the map
_WORDS_UP_TO = 8
_TICKS = 16


class _Rows(NamedTuple):
    """What the map shows.

    Attributes:
        names: of its rows, from the top.
        chosen: which entries of the weights these are.
        others: how many share the row after them; 0 where there is no such row.
    """

    names: list[str]
    chosen: list[int]
    others: int


def evolution_figure(history: History, *, theme: Theme = "light") -> Any:
    """Draw how a state changes over steps, with a slider that chooses the one that is drawn as bars.

    Of more than 200 states one of each span is drawn: the one that differs most from the span's first, so that a state
    that stands out alone is seen. Of more than 32 basis states (6 to 12 qubits) the most likely ones have a row, and
    the others share one; above 12 qubits each qubit has a row, with the probability of reading 1.

    Args:
        history: states (anything that `quantum_monitor.physics.as_state` reads) or pairs of a step and a state, in the
            order of the steps; a mapping of steps to states; or a stored run, whose snapshots are drawn.
        theme: ``light`` or ``dark``.

    Raises:
        ValueError: no states, what is no state, states of different numbers of qubits, or a theme that is none.
        MissingExtraError: plotly is not installed.
    """
    figure = basis.canvas(2, 1, theme, row_heights=[0.58, 0.42], vertical_spacing=0.17)
    moments, seen, known, left_out = thinned(history)
    rows = _rows(moments, known)
    x, numbered = _steps(moments)
    values = np.array([_values(moment, rows) for moment in moments])
    _draw_map(figure, moments, rows, values, x, numbered=numbered)
    _draw_bars(figure, moments, rows, values, x)
    if known.n_qubits > basis.SHOWN_QUBITS:
        bars = {"title_text": "probability of 1", "range": [0, 1.05]}
    else:
        bars = basis.heights(*np.split(values, [len(rows.chosen)], axis=1))
    figure.update_yaxes(**bars, row=2, col=1)
    title = f"State of {known.n_qubits} qubit{'s' * (known.n_qubits > 1)} over {seen:,} step{'s' * (seen > 1)}"
    basis.entitle(figure, title, " ".join(filter(None, [*_notes(moments, seen, rows, known), left_out])), height=780)
    figure.update_layout(margin_b=40)
    return figure


def _rows(moments: list[Moment], state: State) -> _Rows:
    if state.n_qubits > basis.SHOWN_QUBITS:
        return _Rows([f"q{qubit}" for qubit in range(state.n_qubits)], list(range(state.n_qubits)), 0)
    count = 2**state.n_qubits
    if count <= ROWS_AT_MOST:
        return _Rows(basis.kets(state.n_qubits, range(count)), list(range(count)), 0)
    highest = np.max([moment.weights for moment in moments], axis=0)
    chosen = sorted(np.argsort(-highest, kind="stable")[: ROWS_AT_MOST - 1].tolist())
    others = count - len(chosen)
    return _Rows([*basis.kets(state.n_qubits, chosen), f"{others:,} others"], chosen, others)


def _values(moment: Moment, rows: _Rows) -> NDArray[np.float64]:
    values = moment.weights[rows.chosen]
    return np.append(values, max(1.0 - float(values.sum()), 0.0)) if rows.others else values


def _steps(moments: list[Moment]) -> tuple[list[float], bool]:
    """Where the states stand on the axis, and whether that is by their steps: numbers that rise."""
    steps = [moment.step for moment in moments]
    if all(isinstance(step, Real) and np.isfinite(float(step)) for step in steps):
        numbers = [float(step) for step in steps]
        if all(a < b for a, b in pairwise(numbers)):
            return numbers, True
    return [float(moment.place) for moment in moments], False


def _draw_map(
    figure: Any, moments: list[Moment], rows: _Rows, values: NDArray[np.float64], x: list[float], *, numbered: bool
) -> None:
    figure.add_heatmap(
        z=values.T,
        x=x,
        y=rows.names,
        coloraxis="coloraxis2",
        hovertemplate="step %{x}, %{y}: %{z:.4g}<extra></extra>",
        row=1,
        col=1,
    )
    figure.update_yaxes(type="category", autorange="reversed", tickfont_family="monospace", nticks=17, row=1, col=1)
    named: dict[str, Any] = (
        {} if numbered or len(x) > _TICKS else {"tickvals": x, "ticktext": [label(m.step) for m in moments]}
    )
    if numbered and x[-1] - x[0] <= _TICKS and all(place.is_integer() for place in x):
        named = {"dtick": 1, "tick0": 0}
    title = "" if "ticktext" in named else "step" if numbered else "number of the state"
    figure.update_xaxes(title_text=title, exponentformat="none", **named, row=1, col=1)
    top = figure.get_subplot(1, 1).yaxis.domain
    line = {"x0": x[-1], "x1": x[-1], "xref": "x", "yref": "paper", "y0": top[0], "y1": top[1] + 0.02}
    figure.add_shape(type="line", line={"color": _MARK, "width": 2}, **line)
    # By the states that have a row: on a scale that the sum of all others fits, they may all look like nothing.
    scale = {"colorscale": SEQUENTIAL, "cmin": 0, "cmax": float(values[:, : len(rows.chosen)].max()) or 1.0}
    figure.update_layout(coloraxis2={**scale, "colorbar": basis.scale_beside(figure, 1, 1)})


def _draw_bars(figure: Any, moments: list[Moment], rows: _Rows, values: NDArray[np.float64], x: list[float]) -> None:
    """Draw the last state, and the slider that puts another one in its place."""
    phased = all(moment.phases is not None for moment in moments)
    shown = [_bars(moment, rows, weights, phased=phased) for moment, weights in zip(moments, values, strict=True)]
    figure.add_trace(graph_objects().Bar(x=rows.names, hoverinfo="text", textposition="outside"), row=2, col=1)
    figure.update_traces(selector={"type": "bar"}, marker_line={"color": basis.OUTLINE, "width": 1}, cliponaxis=False)
    figure.update_traces(selector={"type": "bar"}, **{key.replace(".", "_"): now for key, now in shown[-1].items()})
    figure.update_xaxes(type="category", tickfont_family="monospace", row=2, col=1)
    if phased:
        # Marks nobody sees: the bar of colours stands for an axis that something uses.
        marker = {"color": [0.0], "coloraxis": "coloraxis"}
        figure.add_scatter(x=[None], y=[None], mode="markers", marker=marker, hoverinfo="skip", row=2, col=1)
        figure.update_layout(coloraxis=basis.phase_axis(basis.scale_beside(figure, 2, 1, "phase (rad)")))
    # The names of many bars stand upright.
    below = 60 if len(rows.names) <= _WORDS_UP_TO else 50 + 9 * len(rows.names[-1])
    steps = [
        {
            "method": "update",
            "label": label(moment.step),
            "args": [
                {key: [now] for key, now in bars.items()},
                {"shapes[0].x0": place, "shapes[0].x1": place},
                [1],
            ],
        }
        for moment, bars, place in zip(moments, shown, x, strict=True)
    ]
    slider = {
        "active": len(steps) - 1,
        "steps": steps,
        "currentvalue": {"prefix": "step "},
        "pad": {"t": below, "b": 10},
    }
    figure.update_layout(sliders=[slider])


def _bars(moment: Moment, rows: _Rows, weights: NDArray[np.float64], *, phased: bool) -> dict[str, list[Any]]:
    """What changes about the bars from step to step, as lists of numbers and texts."""
    shown: dict[str, list[Any]] = {"y": weights.tolist()}
    said = [f"{name}: {weight:.6g}" for name, weight in zip(rows.names, weights.tolist(), strict=True)]
    if phased and moment.phases is not None:
        phases = np.append(moment.phases[rows.chosen], [np.nan] * bool(rows.others))
        words = [basis.angle_text(phase) for phase in phases.tolist()]
        said = [f"{text}, phase {word}" if word else text for text, word in zip(said, words, strict=True)]
        shown["marker.color"] = basis.phase_colours(phases)
        if len(words) <= _WORDS_UP_TO:
            shown["text"] = words
    return shown | {"hovertext": said}


def _notes(moments: list[Moment], seen: int, rows: _Rows, state: State) -> Iterator[str]:
    if len(moments) < seen:
        yield (
            f"{len(moments):,} of {seen:,} states: the first, the last, and of each span between the one that "
            "differs most."
        )
    if rows.others:
        yield (
            f"The {len(rows.chosen)} basis states that get most likely; the last row is the sum of all others, "
            "and may be off the scale of colours."
        )
    if state.n_qubits > basis.SHOWN_QUBITS:
        yield "For each qubit the probability of reading 1."
