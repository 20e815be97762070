"""A history of states: from whatever holds it, and thinned to as many as a figure can show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Number, Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from quantum_monitor.physics.linalg import marginal_differences, probabilities
from quantum_monitor.physics.states import State, as_state
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.views import figure_basis as basis

if TYPE_CHECKING:
    from numpy.typing import NDArray

History = StoredRun | Mapping[Any, Any] | Iterable[Any]
"""States in the order of the steps; see `figure_evolution.evolution_figure`."""

SPANS_AT_MOST = 200
"""More states are thinned to one of each span, and the first and the last one."""


class Moment(NamedTuple):
    """A state of a history.

    Attributes:
        place: its number in the history, from 0.
        step: what the history calls it: a number, or any text.
        weights: probabilities of the basis states; above 12 qubits the probability of reading 1 from each qubit.
        phases: of the amplitudes in radians; None where there are none to show.
    """

    place: int
    step: Any
    weights: NDArray[np.float64]
    phases: NDArray[np.float64] | None


@dataclass
class _Span:
    """Some states in a row.

    Attributes:
        first: probabilities of its first state.
        kept: the state that differs most from the first.
        distance: by how much: the total variation distance of the probabilities, from 0 to 1.
    """

    first: NDArray[np.float64]
    kept: Moment
    distance: float = 0.0

    def consider(self, moment: Moment) -> None:
        distance = 0.5 * float(np.abs(moment.weights - self.first).sum())
        if distance > self.distance:
            self.kept, self.distance = moment, distance


def _snapshots(run: StoredRun) -> tuple[Iterator[tuple[Any, Any]], str]:
    """The snapshots of a run that have as many qubits as the newest one."""
    kept = run.states()
    if not kept:
        raise ValueError(
            f"history: {run.directory} keeps no states; log_quantum_state keeps those of up to 12 qubits (density "
            "matrices: 6) unless keep_states=0"
        )
    fitting = [state for state in kept if state.qubits == kept[-1].qubits]

    def loaded() -> Iterator[tuple[Any, Any]]:
        for state in fitting:
            try:
                yield (state.number if state.step is None else state.step), run.state(state.number)
            except KeyError:  # the run goes on, and has thinned it out by now
                continue

    left = len(kept) - len(fitting)
    return loaded(), f"Left out: {left:,} of {len(kept):,} states, of other sizes." if left else ""


def _read(items: Iterable[Any]) -> Iterator[tuple[int, Any, State]]:
    for place, item in enumerate(items):
        step, state = item if _is_pair(item) else (place, item)
        try:
            yield place, step, as_state(state, name=f"history[{place}]")
        except ValueError as error:
            if np.ndim(state) == 0:
                message = f"{error}; hand over a list of states, or of pairs (step, state)"
                raise ValueError(message) from None
            raise


def _is_pair(item: Any) -> bool:
    return (
        isinstance(item, tuple)
        and len(item) == 2
        and isinstance(item[0], Real | str)
        and not isinstance(item[1], Number)
    )


def thinned(history: History) -> tuple[list[Moment], int, State, str]:
    """The states to draw, how many there are, the last of them, and a sentence on what was left out.

    Raises:
        ValueError: no states, what is no state, or states of different numbers of qubits.
    """
    left_out = ""
    if isinstance(history, StoredRun):
        history, left_out = _snapshots(history)
    spans: list[_Span] = []
    size, seen = 1, 0
    known: State | None = None
    first = last = None
    for place, step, state in _read(history.items() if isinstance(history, Mapping) else history):
        if known is not None and state.n_qubits != known.n_qubits:
            raise ValueError(
                f"history[{place}]: {state.n_qubits} qubits, those before have {known.n_qubits}; draw them apart"
            )
        known = state
        last = _moment(place, step, state)
        first = first or last
        if seen % size:
            spans[-1].consider(last)
        else:
            spans.append(_Span(last.weights, last))
        seen += 1
        if len(spans) > SPANS_AT_MOST:
            spans, size = _joined(spans), 2 * size
    if known is None or first is None or last is None:
        raise ValueError("history: empty; hand over at least one state")
    found = {moment.place: moment for moment in (first, *(span.kept for span in spans), last)}
    return [found[place] for place in sorted(found)], seen, known, left_out


def _joined(spans: list[_Span]) -> list[_Span]:
    for left, right in zip(spans[::2], spans[1::2], strict=False):
        left.consider(right.kept)
    return spans[::2]


def _moment(place: int, step: Any, state: State) -> Moment:
    weights = probabilities(state.data)
    if state.n_qubits > basis.SHOWN_QUBITS:
        ones = 0.5 * (1.0 - marginal_differences(weights))
        return Moment(place, step, ones[::-1] if state.little_endian else ones, None)
    return Moment(place, step, weights, basis.phases(state) if state.is_vector else None)
