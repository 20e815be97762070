"""What went wrong inside the monitor: counted always, logged once per cause, never raised into training."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections import Counter

from quantum_monitor.log import LOG
from quantum_monitor.names import text

_CAUSES_LOGGED_AT_MOST = 1_000
_CAUSE_LENGTH = 1_000
_NUMBERS = re.compile(r"0x[0-9a-fA-F]+|[-+]?[0-9][0-9.e+-]*")


class Faults:
    """Counts errors and dropped records of this process and logs each cause once.

    The counts are what ``quantum_monitor_errors_total{where}`` and
    ``quantum_monitor_records_dropped_total{sink,reason}`` show.
    """

    def __init__(self) -> None:
        self._renew()
        self._logged: set[tuple[str, str]] = set()

    def rejected(self, where: str, reason: object) -> None:
        """Note input or an environment that the monitor could not use: counted, logged once per cause."""
        self._note(where, _told(reason) if isinstance(reason, BaseException) else text(reason))

    def internal(self, where: str, error: BaseException) -> None:
        """Note an error of our own making. With ``QUANTUM_MONITOR_RAISE=1`` (our tests) it is raised instead."""
        if os.environ.get("QUANTUM_MONITOR_RAISE") == "1":
            raise error
        self._note(where, _told(error), error)

    def dropped(self, sink: str, reason: str, count: int = 1) -> None:
        """Note records that a sink (``store``, ``physics`` ...) did not take; logged once per sink and reason."""
        with self._lock:
            self.drops[sink, reason] += count
        self._log_once(f"dropped.{sink}", reason, None)

    def _note(self, where: str, cause: str, error: BaseException | None = None) -> None:
        with self._lock:
            self.errors[where] += 1
        self._log_once(where, cause, error)

    def _log_once(self, where: str, cause: str, error: BaseException | None) -> None:
        cause = cause[:_CAUSE_LENGTH].encode(errors="backslashreplace").decode()  # lone surrogates break log handlers
        key = (where, _NUMBERS.sub("#", cause)[:200])  # the same cause with other numbers is not a new one
        with self._lock:
            if key in self._logged or len(self._logged) >= _CAUSES_LOGGED_AT_MOST:
                return
            self._logged.add(key)
        with contextlib.suppress(Exception):  # a logging handler of the user's may raise: training goes on
            LOG.warning("%s: %s (counted from here on, not logged again)", where, cause, exc_info=error)

    def _renew(self) -> None:
        """Begin anew: at construction, and in a forked child, where the counts are those of the parent."""
        # Reentrant: a signal handler may interrupt a log call of its own thread in here, and end the run.
        self._lock = threading.RLock()
        self.errors: Counter[str] = Counter()
        self.drops: Counter[tuple[str, str]] = Counter()


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {text(error)}"


FAULTS = Faults()
os.register_at_fork(after_in_child=FAULTS._renew)
