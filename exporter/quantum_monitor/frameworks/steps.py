"""Automatic training steps: what the optimizer of a framework tells of a step, for programs that log none themselves.

A program that is instrumented may also call ``log_training_step``: then its steps are the ones that count. So the
first automatic step of a run is held back until the second begins, or the run ends: if the program has logged a step
by then, there are no automatic steps in this run.
"""

from __future__ import annotations

import time
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from quantum_monitor import observe, plugins
from quantum_monitor.faults import FAULTS
from quantum_monitor.frameworks.destination import target
from quantum_monitor.log import LOG
from quantum_monitor.tensors import to_float, to_vector

if TYPE_CHECKING:
    from quantum_monitor.run import Run
    from quantum_monitor.training import Vector


class _Step(NamedTuple):
    loss: float | None
    gradient: Vector | None
    parameters: Vector | None
    seconds: float  # that it took to read them


class _Automatic:
    """The automatic steps of one run; guarded by the run's lock.

    Attributes:
        taken: number of automatic steps so far, the one that is held back included.
        held: the first one, until it is known whether anybody else logs steps.
        off: whether somebody does.
    """

    def __init__(self) -> None:
        self.taken = 0
        self.held: _Step | None = None
        self.off = False

    def take(self, run: Run, step: _Step) -> None:
        """Log a step; hold it back if it is the first."""
        self.release(run)
        if self.off:
            return
        self.taken += 1
        if self.taken == 1:
            self.held = step._replace(gradient=_copy(step.gradient), parameters=_copy(step.parameters))
        else:
            _log(run, self.taken - 1, step)

    def release(self, run: Run) -> None:
        """Log the step that is held back, unless somebody else has logged one."""
        held, self.held = self.held, None
        logged = self.taken if held is None else self.taken - 1
        if run.steps != logged and not self.off:
            self.off = True
            LOG.info("%s: the program logs its training steps itself; what its optimizer tells is left out", run.label)
        if held is not None and not self.off:
            _log(run, 0, held)


_AUTOMATIC: weakref.WeakKeyDictionary[Run, _Automatic] = weakref.WeakKeyDictionary()


def step_begins() -> None:
    """An optimizer begins a step: nobody else has a say any more in the one before."""
    if not _AUTOMATIC:
        return
    try:
        _, run = target()
        automatic = None if run is None else _AUTOMATIC.get(run)
        if run is not None and automatic is not None and automatic.held is not None:
            with run.lock:
                automatic.release(run)
    except Exception as error:  # noqa: BLE001 - the user's program goes on whatever happens in here
        FAULTS.internal("instrumentation", error)


def automatic_step(loss: Any, gradient: Any, parameters: Any) -> None:
    """Log a training step to the active run, numbered from 0 on, unless the program logs its steps itself.

    Args:
        loss: as for `QuantumMonitor.log_training_step`; None where the optimizer does not know it.
        gradient: likewise.
        parameters: those after the step, likewise.
    """
    began = time.perf_counter()
    try:
        _, run = target()
        if run is None:
            return
        automatic = _of(run)
        if automatic.off:
            return
        number = observe.usable(to_float, loss, "loss")
        slopes = observe.usable(to_vector, gradient, "gradients")
        values = observe.usable(to_vector, parameters, "parameters")
        with run.lock:
            automatic.take(run, _Step(number, slopes, values, time.perf_counter() - began))
    except Exception as error:  # noqa: BLE001 - the user's program goes on whatever happens in here
        FAULTS.internal("instrumentation", error)


def _of(run: Run) -> _Automatic:
    """The automatic steps of a run. What is held back is logged before it ends: there is no second step to wait for."""
    with run.lock:
        automatic = _AUTOMATIC.get(run)
        if automatic is None:
            automatic = _AUTOMATIC[run] = _Automatic()
            run.at_end.append(partial(_release, run))
        return automatic


def _release(run: Run) -> None:
    with run.lock:
        _AUTOMATIC[run].release(run)


def _copy(vector: Vector | None) -> Vector | None:
    """The program may write into its arrays before the step is logged."""
    return None if vector is None else vector.copy()


def _log(run: Run, number: int, step: _Step) -> None:
    if run.ended is not None:
        return
    loss, gradient, parameters, seconds = step
    called_at = time.perf_counter() - seconds
    try:
        run.training_step(number, loss, gradient, parameters, called_at)
    except (RuntimeWarning, FloatingPointError):
        run.training_step_quietly(number, loss, gradient, parameters, called_at)
    if plugins.GRADIENT and gradient is not None:
        observe.custom(run, number, plugins.evaluate("gradient", gradient))
