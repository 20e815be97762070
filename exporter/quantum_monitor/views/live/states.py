"""The states that a run has kept, chosen by a slider."""

from __future__ import annotations

from typing import Any, NamedTuple

from quantum_monitor.store.reader import StoredRun
from quantum_monitor.views.live.course import dressed
from quantum_monitor.views.theme import Theme
from quantum_monitor.views.words import moment, number

_MARKS_AT_MOST = 5


class Slider(NamedTuple):
    """A slider over the states of a run.

    Attributes:
        numbers: those of the states, oldest first; the slider's values are the places in this list.
        marks: what stands below some places.
    """

    numbers: tuple[int, ...]
    marks: dict[int, str]

    @property
    def last(self) -> int:
        """The place of the newest."""
        return len(self.numbers) - 1


def slider(run: StoredRun) -> Slider | None:
    """The slider of a run; None where it has kept no state."""
    kept = run.states()
    if not kept:
        return None
    last = len(kept) - 1
    places = sorted({round(last * part / (_MARKS_AT_MOST - 1)) for part in range(_MARKS_AT_MOST)})
    return Slider(tuple(state.number for state in kept), {place: _short(kept[place]) for place in places})


def state_figure(run: StoredRun, place: int | None, theme: Theme) -> tuple[dict[str, Any], str]:
    """The figure of a state, and a sentence about it.

    Args:
        run: the run.
        place: that of the slider; the newest where it is None or there is none such any more.
        theme: of the figure.

    Raises:
        LookupError: the run has kept no state.
    """
    from quantum_monitor.views.visualization import QuantumVisualization

    for _ in range(2):
        kept = run.states()
        if not kept:
            break
        state = kept[-1 if place is None else max(0, min(place, len(kept) - 1))]
        try:
            found = run.state(state.number)
        except KeyError:  # thinned out between the two questions
            continue
        drawn = QuantumVisualization.plot_state(found, theme=theme)
        drawn.update_layout(margin_t=48)
        figure = dressed(drawn, revision=f"{run.directory}/{state.qubits}")
        qubits = f"{state.qubits} qubit{'' if state.qubits == 1 else 's'}"
        kind = "state vector" if state.vector else "density matrix"
        return figure, f"{_told(state).capitalize()}, logged {moment(state.time)}: {kind} of {qubits}."
    raise LookupError("the run has kept no state")


def _short(state: Any) -> str:
    return number(state.number if state.step is None else state.step)


def _told(state: Any) -> str:
    return f"step {number(state.step)}" if state.step is not None else f"state {number(state.number)}"
