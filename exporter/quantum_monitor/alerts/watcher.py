"""Watcher: the thread that judges again what time changes."""

from __future__ import annotations

import threading
from collections.abc import Callable

from quantum_monitor.faults import FAULTS

INTERVAL_SECONDS = 1.0
_JOIN_SECONDS = 2.0


class Watcher:
    """Calls ``look`` once a second in a thread, for as long as somebody wants it to. Safe for many threads."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self.renew()

    def renew(self) -> None:
        """Begin anew: at construction, and in a forked child, where the thread is gone and the lock may be held."""
        self._lock = threading.RLock()
        self._owners: set[object] = set()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def start(self, owner: object) -> None:
        """Look for this owner; the first one starts the thread. Where none can be had, the next start tries again."""
        with self._lock:
            self._owners.add(owner)
            if self._thread is not None:
                return
            stop = self._stop = threading.Event()
            thread = threading.Thread(target=self._run, args=(stop,), name="quantum-monitor-alerts", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # no more threads, or the interpreter is ending
                FAULTS.rejected("alerts", error)
                return
            self._thread = thread

    def stop(self, owner: object) -> None:
        """Look no more for this owner; the last one ends the thread."""
        with self._lock:
            self._owners.discard(owner)
            if self._owners or self._thread is None:
                return
            thread, self._thread = self._thread, None
            self._stop.set()
        if thread is not threading.current_thread():
            thread.join(_JOIN_SECONDS)

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(INTERVAL_SECONDS):
            try:
                self._look()
            except Exception as error:  # noqa: BLE001 - counted; the next look gets its chance
                FAULTS.internal("alerts", error)
