"""Destination: the monitor, and the run, that executions and steps belong to."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from quantum_monitor.faults import FAULTS
from quantum_monitor.process import OPEN

if TYPE_CHECKING:
    from quantum_monitor.monitor import QuantumMonitor
    from quantum_monitor.run import Run


class _Here(threading.local):
    """The monitor that the present thread's executions are to go to, as those of a watched object do."""

    monitor: QuantumMonitor | None = None


_HERE = _Here()
_GIVEN: list[QuantumMonitor] = []


def send_to(monitor: QuantumMonitor | None) -> None:
    """Log executions to this monitor; None: to the one whose run is active."""
    _GIVEN[:] = [] if monitor is None else [monitor]


@contextlib.contextmanager
def sending_to(monitor: QuantumMonitor | None) -> Iterator[None]:
    """Log what this thread executes in the block to this monitor."""
    before, _HERE.monitor = _HERE.monitor, monitor
    try:
        yield
    finally:
        _HERE.monitor = before


def of_this_thread() -> QuantumMonitor | None:
    """The monitor that this thread is sending to, by `sending_to`."""
    return _HERE.monitor


def active() -> tuple[QuantumMonitor | None, Run | None]:
    """Whom executions belong to: the active run, if it is one of this process and not of the one it was forked from."""
    process = os.getpid()
    given = _HERE.monitor
    monitors = (given,) if given is not None else tuple(_GIVEN) or reversed(OPEN)
    for monitor in monitors:
        run = monitor.active_run
        if run is not None and run.process == process:
            return monitor, run
    return None, None


def target() -> tuple[QuantumMonitor | None, Run | None]:
    """The same; where there has not been a run yet, one begins."""
    monitor, run = active()
    if run is None:
        monitor, run = _first_run(os.getpid())
    if run is not None:
        _MAKING.process = None  # there is a monitor: when it is closed, none takes its place
    return monitor, run


def _first_run(process: int) -> tuple[QuantumMonitor | None, Run | None]:
    """Begin a run where there has not been one: what is executed between two runs belongs to none."""
    given = _HERE.monitor
    monitor = given if given is not None else (_GIVEN or OPEN or (None,))[-1]
    if monitor is None:
        monitor = _MAKING.monitor(process)
    if monitor is None:
        return None, None
    if monitor.awaits_its_first_run:
        _MAKING.first_run(monitor)
    run = monitor.active_run  # several threads may have come here at once
    return (monitor, run) if run is not None and run.process == process else (None, None)


class _Making:
    """Makes a monitor, once, where automatic instrumentation was asked for and nobody has made one."""

    def __init__(self) -> None:
        self.process: int | None = None
        self.after_fork()

    def after_fork(self) -> None:
        self._lock = threading.Lock()

    def first_run(self, monitor: QuantumMonitor) -> None:
        with self._lock:
            if monitor.awaits_its_first_run:
                monitor.start_run()

    def monitor(self, process: int) -> QuantumMonitor | None:
        with self._lock:
            if self.process != process:
                return OPEN[-1] if OPEN else None  # another thread may have made it
            self.process = None
            from quantum_monitor.monitor import QuantumMonitor

            try:
                return QuantumMonitor()
            except ValueError as error:  # a configuration file, or the environment
                FAULTS.rejected("instrument", error)
                return None


_MAKING = _Making()
os.register_at_fork(after_in_child=_MAKING.after_fork)


def make_a_monitor_if_needed() -> None:
    """From the first execution on, where no monitor is open by then."""
    _MAKING.process = os.getpid() if not OPEN else None
