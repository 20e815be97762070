"""The monitors that are open in this process: which one is meant, and what becomes of them at its end and in a fork."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantum_monitor.monitor import QuantumMonitor

OPEN: list[QuantumMonitor] = []

_ending: str | None = None
_ended_by: str | None = None


def current_monitor() -> QuantumMonitor | None:
    """The monitor whose run is active; of several the one constructed last; None without one."""
    return next((monitor for monitor in reversed(OPEN) if monitor.is_running), None)


def end_as(status: str, ended_by: str | None = None) -> None:
    """Have what is open at exit end so: whoever ran the script has seen how it ended, and by what."""
    global _ending, _ended_by
    _ending, _ended_by = status, ended_by


def close_all(status: str | None = None) -> None:
    """End what is still open, as the process ends unless a status is given."""
    status = status or _ending or _status_at_exit()
    for monitor in OPEN.copy():
        run = monitor.active_run
        if _ended_by is not None and run is not None and run.process == os.getpid():
            run.store.describe(ended_by=_ended_by)
        if status != "completed":
            monitor.end_run(status)
        with contextlib.suppress(KeyboardInterrupt):  # whoever does not want to wait for the last scrape
            monitor.close()


def _status_at_exit() -> str:
    """Failed if an exception is what ends the interpreter; a `sys.exit` leaves no trace."""
    # In an interactive session the last error may be hours old, and never what ends it.
    error = None if hasattr(sys, "ps1") else getattr(sys, "last_value", None)
    if error is None:
        return "completed"
    return "stopped" if isinstance(error, KeyboardInterrupt) else "failed"


def close_at_exit() -> None:
    """Have monitors closed at exit, before what was registered up to now: a target goes after its last scrape."""
    atexit.unregister(close_all)
    atexit.register(close_all)


def close_at_the_end_of_a_worker() -> None:
    """Have monitors closed in a worker of multiprocessing, too, which leaves without running ``atexit``."""
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is None or multiprocessing.parent_process() is None:
        return
    from multiprocessing.util import Finalize

    Finalize(None, close_all, exitpriority=0)


def _after_fork() -> None:
    for monitor in OPEN:
        monitor._after_fork()


os.register_at_fork(after_in_child=_after_fork)
