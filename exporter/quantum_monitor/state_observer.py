"""Measures of the states that a run logs: small ones at once, large ones in the background within a budget."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quantum_monitor import observe, plugins
from quantum_monitor.faults import FAULTS
from quantum_monitor.names import text
from quantum_monitor.observe import usable
from quantum_monitor.physics.measures import entropies, quick_measures
from quantum_monitor.physics.passes import Copy, copy_vector
from quantum_monitor.physics.states import Array, State, as_array, as_state, count_qubits
from quantum_monitor.physics.threads import one_thread

if TYPE_CHECKING:
    from quantum_monitor.run import Run

BUDGET = 0.05
"""Share of wall time that background measures may take."""

# Up to here all measures together take less than a tenth of a millisecond, which a queue and a thread cost as well.
_VECTOR_QUBITS_AT_ONCE = 8
_MATRIX_QUBITS_AT_ONCE = 5
_NORM_TOLERANCE = 1e-6
_IMPORT_SECONDS = 10.0


@dataclass(frozen=True)
class _Work:
    run: Run
    step: int | None
    number: int
    state: Callable[[], State]
    measure: Callable[[State], dict[str, float]]


class StateObserver:
    """Turns states into records. Keeps one waiting state a run: a newer one takes its place, which is counted."""

    def __init__(self) -> None:
        self._busy: Run | None = None
        self._thread: threading.Thread | None = None
        self._renew()

    def observe(self, run: Run, state: Any, step: int | None, reference: Any) -> None:
        """Measure a state, or copy it and leave the expensive measures to the background.

        The store is offered a snapshot of it; that of a large one is the copy which the background measures.

        A reference that cannot be used is counted and costs the fidelity only.

        Raises:
            ValueError: no state.
        """
        array, little_endian = _read(state)
        qubits = count_qubits(array.shape, "state")
        other = usable(lambda value, name: as_array(value, name)[0], reference, "reference_state")
        if other is not None:
            run.reference(reference, other)
        number = run.next_state()
        if qubits <= (_VECTOR_QUBITS_AT_ONCE if array.ndim == 1 else _MATRIX_QUBITS_AT_ONCE):
            known = _state(array, little_endian)
            _record(run, step, {**entropies(known), **_quick(known, other)}, number)
            run.store.states.offer(known.data, step, little_endian=little_endian, copy=True)
            if plugins.STATE:
                observe.custom(run, step, plugins.evaluate("state", known.data))
        elif array.ndim == 1 and (other is None or other.ndim == 1):
            copy = _copy(array, other, little_endian)
            fields = {"norm": copy.norm, "qubits": float(qubits)}
            if copy.fidelity is not None:
                fields["fidelity"] = copy.fidelity
            _record(run, step, fields, number)
            run.store.states.offer(copy.data, step, little_endian=little_endian, copy=False)
            self._later(_Work(run, step, number, copy.state, entropies))
        else:
            known = _state(array, little_endian, copy=True)
            kept = usable(lambda value, name: as_state(value, name=name, copy=True), other, "reference_state")
            pure = kept is None or kept.is_vector
            _record(run, step, _quick(known, kept if pure else None), number)
            run.store.states.offer(known.data, step, little_endian=little_endian, copy=False)
            matrix = None if pure else kept  # the fidelity of two matrices takes decompositions of both
            self._later(_Work(run, step, number, lambda: known, lambda it: {**entropies(it), **_fidelity(it, matrix)}))
        with run.lock:
            run.states_logged += 1

    def flush(self, run: Run, timeout: float) -> bool:
        """Wait until no state of this run waits for its measures, at most ``timeout`` seconds; the budget rests.

        A signal handler that came in the middle of a log call does not wait: the measures could not be delivered
        before it returns.
        """
        if run.is_held_here:
            return False
        with self._changed:
            if run not in self._waiting and self._busy is not run:
                return True
            self._urgent += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: run not in self._waiting and self._busy is not run, timeout)
            finally:
                self._urgent -= 1

    def _later(self, work: _Work) -> None:
        with self._changed:
            if work.run in self._waiting:
                FAULTS.dropped("entropies", "budget")
            self._waiting[work.run] = work
            if not self._resting or self._urgent:  # else the thread looks by itself when it has rested
                self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="quantum-monitor-entropies", daemon=True)
                self._thread.start()

    def _work(self) -> None:
        with _importing, contextlib.suppress(ImportError):
            import scipy.linalg  # noqa: F401 - what the measures need
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                run = next(iter(self._waiting))
                work = self._waiting.pop(run)
                self._busy = run
            started = time.perf_counter()
            known: State | None
            try:
                with one_thread(), np.errstate(all="ignore"):  # a process may have turned NumPy's warnings into errors
                    known = work.state()
                    _record(work.run, work.step, work.measure(known), work.number)
                    if plugins.STATE:
                        observe.custom(work.run, work.step, plugins.evaluate("state", known.data))
            except ValueError as error:
                FAULTS.rejected("log_quantum_state", error)
            except Exception as error:  # noqa: BLE001 - counted; the next state gets its chance
                FAULTS.internal("entropies", error)
            spent = time.perf_counter() - started
            del run, work  # a state may be large, and a run forgotten, while this thread waits for the next
            known = None
            with self._changed:
                self._busy = None
                self._changed.notify_all()
                self._resting = True
                self._changed.wait_for(lambda: self._urgent and self._waiting, spent * (1 / BUDGET - 1))
                self._resting = False

    def after_fork(self) -> None:
        """Begin anew in a forked child, where the thread is gone and the lock may be held."""
        self._renew()

    def _renew(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[Run, _Work] = {}
        self._busy = None
        self._urgent = 0
        self._resting = False
        self._thread = None


# Held while a thread imports SciPy: a child forked meanwhile would wait for ever for the locks of the import, with
# nobody left to release them. A fork waits until the import is done.
_importing = threading.Lock()
_HELD_FOR_A_FORK: list[threading.Lock] = []


def _before_fork() -> None:
    if _importing.acquire(timeout=_IMPORT_SECONDS):
        _HELD_FOR_A_FORK.append(_importing)


def _after_fork() -> None:
    while _HELD_FOR_A_FORK:
        _HELD_FOR_A_FORK.pop().release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def _read(state: Any) -> tuple[Array, bool]:
    try:
        return as_array(state, "state")
    except ValueError:
        raise
    except Exception as error:  # a foreign object may raise anything when it is read
        raise ValueError(f"state: {type(state).__name__} cannot be read: {text(error)}") from error


def _state(array: Array, little_endian: bool, *, copy: bool = False) -> State:
    known = as_state(array, copy=copy, defer_positivity=True)
    return replace(known, little_endian=True) if little_endian else known


def _copy(array: Array, reference: Array | None, little_endian: bool) -> Copy:
    try:
        copy = copy_vector(array, reference)
    except ValueError as error:
        if reference is None:
            raise
        copy = copy_vector(array)  # which raises if it was the state
        FAULTS.rejected("reference_state", error)
    return replace(copy, little_endian=True) if little_endian else copy


def _quick(known: State, reference: Any) -> dict[str, float]:
    """Norm, qubits and fidelity; a reference that does not fit costs the fidelity only."""
    try:
        return quick_measures(known, reference)
    except ValueError as error:
        FAULTS.rejected("reference_state", error)
        return quick_measures(known)


def _fidelity(known: State, reference: State | None) -> dict[str, float]:
    return {name: value for name, value in _quick(known, reference).items() if name == "fidelity"}


def _record(run: Run, step: int | None, fields: dict[str, float], number: int) -> None:
    if abs(fields.get("norm", 1.0) - 1.0) > _NORM_TOLERANCE:
        FAULTS.rejected("state_norm", "a state's norm was not 1; it was normalised, see quantum_state_norm")
    run.values("state", step, fields, state_number=number)
