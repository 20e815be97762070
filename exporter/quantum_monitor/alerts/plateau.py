"""Plateau: whether the gradient is flat while the loss gets nowhere."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from quantum_monitor.alerts.conditions import (
    MEDIAN_WINDOW,
    PLATEAU_WINDOW,
    finite_losses,
    flattest,
    recent_loss,
    records_after,
    since_restart,
)

if TYPE_CHECKING:
    from quantum_monitor.alerts.board import Board
    from quantum_monitor.record import Record

_KEY = "barren_plateau"


class Plateau:
    """Judges whether a run is on a barren plateau, from the steps that may change the answer.

    It must hear of the first step, of each whose component variance lies outside ``low`` and ``high``, and of the step
    number ``due``. The others it reads in the history.

    Attributes:
        low: a component variance below this changes something.
        high: so does one above this.
        due: number of the next step to hear of in any case, counted from 1 in this run.
    """

    def __init__(self, history: deque[Record], board: Board) -> None:
        self._history, self._board = history, board
        self._threshold = -math.inf
        self._looked_at: Record | None = None
        self._first_step: int | None = None
        self._first_loss: float | None = None
        self._flat_since: int | None = None
        self._begin(0)

    def judge_by(self, threshold: float | None) -> None:
        """Judge by this threshold from now on; None for not at all. Where it is another one, the window begins anew."""
        before, self._threshold = self._threshold, -math.inf if threshold is None else threshold
        if self._threshold == before:
            return
        self._flat_since = None
        self._set_bounds()

    def step(self, steps: int, record: Record, now: float) -> None:
        """Take in the step of this number."""
        self._note_variance(steps, record.fields.get("gradient_component_variance"), now)
        if steps >= self.due:
            self._look_back(steps, record, now)
        self._set_bounds()

    def see_again(self, now: float, variance: float | None) -> None:
        """Judge once more, as time has passed: most steps have not been heard of; this is their latest variance."""
        entry = self._board.entries.get(_KEY)
        if entry is not None and entry.state.present is not None:
            self._board.see(_KEY, variance if self._flat_since is None else flattest(self._history), now)

    def _begin(self, steps: int) -> None:
        self._began_at = steps
        self._improved = False
        self._first_step = self._first_loss = self._flat_since = None
        self.due = steps + 1
        self._set_bounds()

    def _note_variance(self, steps: int, variance: float | None, now: float) -> None:
        if variance is None:
            return
        if not variance < self._threshold:
            if self._is_plateau(steps):
                self._board.see(_KEY, variance, now)
            self._flat_since = None
        elif self._flat_since is None:
            self._flat_since = steps
            if self._can_be:
                self.due = min(self.due, steps + PLATEAU_WINDOW - 1)

    def _look_back(self, steps: int, record: Record, now: float) -> None:
        """Read the steps since the last look: at the first, then each hundred, and where a plateau may begin."""
        latest = records_after(self._history, self._looked_at)
        start = since_restart(latest, self._first_step)
        if start is not None:
            latest = latest[start:]
            self._begin(steps - len(latest))  # what the loop had reached before counts no more
            self._board.forget(_KEY, now)
            self._note_variance(steps, record.fields.get("gradient_component_variance"), now)
        if self._first_step is None:
            self._first_step = next((known.step for known in latest if known.step is not None), None)
        if self._first_loss is None:
            self._first_loss = next(finite_losses(latest), None)
        self._judge(steps, now)
        self._looked_at, self.due = record, steps + PLATEAU_WINDOW
        if self._flat_since is not None and self._can_be and not self._is_plateau(steps):
            self.due = min(self.due, self._flat_since + PLATEAU_WINDOW - 1)

    def _judge(self, steps: int, now: float) -> None:
        if steps - self._began_at >= MEDIAN_WINDOW and not self._improved:
            loss, first = recent_loss(self._history), self._first_loss
            # On a plateau the differences of the cost concentrate as the gradient does (Arrasmith et al. 2022): a
            # loss that fell by more than the threshold's deviation has left it.
            if loss is not None and first is not None and first - loss > math.sqrt(max(self._threshold, 0.0)):
                self._improved = True
                self._board.forget(_KEY, now)
        if self._is_plateau(steps):
            self._board.see(_KEY, flattest(self._history), now)

    def _is_plateau(self, steps: int) -> bool:
        """Whether the gradient has been flat for the whole window, and the loss has got nowhere."""
        flat = self._flat_since is not None and steps - self._flat_since >= PLATEAU_WINDOW - 1
        return flat and self._can_be

    @property
    def _can_be(self) -> bool:
        """Whether it is judged at all: the loss has not improved, and the run is known from its first steps."""
        resumed = self._first_step is not None and self._first_step > PLATEAU_WINDOW
        return not self._improved and not resumed

    def _set_bounds(self) -> None:
        watched = self._can_be and self._threshold > -math.inf
        flat = watched and self._flat_since is not None
        self.low = -math.inf if flat or not watched else self._threshold
        self.high = math.nextafter(self._threshold, -math.inf) if flat else math.inf
