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


def current_monitor() -> QuantumMonitor | None:
    """The monitor whose run is active; of several the one constructed last; None without one."""
    return next((monitor for monitor in reversed(OPEN) if monitor.is_running), None)


def _close_all() -> None:
    """End what is still open when the interpreter exits: as failed if an exception is what ends it."""
    # In an interactive session the last error may be hours old, and never what ends it.
    error = None if hasattr(sys, "ps1") else getattr(sys, "last_value", None)
    for monitor in OPEN.copy():
        if error is not None:
            monitor.end_run("stopped" if isinstance(error, KeyboardInterrupt) else "failed")
        with contextlib.suppress(KeyboardInterrupt):  # whoever does not want to wait for the last scrape
            monitor.close()


def close_at_exit() -> None:
    """Have monitors closed at exit, before what was registered up to now: a target goes after its last scrape."""
    atexit.unregister(_close_all)
    atexit.register(_close_all)


def close_at_the_end_of_a_worker() -> None:
    """Have monitors closed in a worker of multiprocessing, too, which leaves without running ``atexit``."""
    multiprocessing = sys.modules.get("multiprocessing.process")
    if multiprocessing is None or multiprocessing.parent_process() is None:
        return
    from multiprocessing.util import Finalize

    Finalize(None, _close_all, exitpriority=0)


def _after_fork() -> None:
    for monitor in OPEN:
        monitor._after_fork()


os.register_at_fork(after_in_child=_after_fork)
