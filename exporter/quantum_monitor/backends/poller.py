"""Poller: asks backends for their status at intervals, on threads of its own."""

from __future__ import annotations

import math
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from quantum_monitor import masking
from quantum_monitor.backends.reading import BackendReading, Reader, name_of, reader_of
from quantum_monitor.backends.rounds import Rounds, renewed_after_fork
from quantum_monitor.faults import FAULTS
from quantum_monitor.log import LOG
from quantum_monitor.names import text

INTERVAL_SECONDS = 60.0

_WHERE = "backends"
_BACKENDS_AT_MOST = 100
_OBJECTS_AT_MOST = 8
_FAILURES_BORNE = 3
_LONGEST_PAUSE = 10  # intervals


class Poller:
    """Asks each backend once an interval and hands on what it says. Safe for many threads.

    Each backend is asked on a thread of its own (16 at most), so that one that hangs delays no other. One that cannot
    be asked is not thereby down: nothing is reported of it, the error is counted, and after three in a row the pauses
    grow up to ten intervals.

    Args:
        report: takes a name and what is known, as `QuantumMonitor.log_backend_status` does.
        interval: seconds from one look to the next.

    Attributes:
        interval: the same, for looks to come.
    """

    def __init__(self, report: Callable[..., None], interval: float = INTERVAL_SECONDS) -> None:
        self._report = report
        self.interval = interval
        self._rounds = Rounds(_WHERE)
        self.renew()
        renewed_after_fork(self)

    @property
    def interval(self) -> float:
        """Seconds from one look to the next.

        Raises:
            ValueError: set to no finite number above 0.
        """
        return self._interval

    @interval.setter
    def interval(self, seconds: float) -> None:
        if not 0 < seconds < math.inf:
            raise ValueError(f"interval is {seconds}: hand over seconds above 0, such as 60")
        self._interval = float(seconds)

    @property
    def watched(self) -> list[str]:
        """Names of the backends that are asked."""
        return list(self._watched)

    def renew(self) -> None:
        """Begin anew: at construction, and in a forked child, which asks for nothing that its parent asked for."""
        self._lock = threading.RLock()
        self._watched: dict[str, _Watched] = {}
        self._known: dict[int, Callable[[], Any]] = {}

    def watch(self, *backends: Any) -> None:
        """Ask these backends from now on, for as long as the poller is open.

        Raises:
            ValueError: one of them cannot be read; then none is taken.
        """
        for backend in backends:
            if reader_of(type(backend)) is None:
                raise ValueError(
                    f"{type(backend).__name__} is no backend that can be asked for its status; hand over a BackendV2 "
                    "of Qiskit (IBM Runtime's, Aer's, ...), an AwsDevice or a LocalSimulator"
                )
        for backend in backends:
            self._take(backend, keep=True)

    def note(self, backend: Any) -> None:
        """Ask this backend from now on, for as long as somebody else holds it; known or of another kind: no effect."""
        known = self._known.get(id(backend))
        if known is None or known() is not backend:
            self._take(backend, keep=False)

    def close(self) -> None:
        """Ask no more; what comes back later is not reported."""
        with self._lock:
            for watched in self._watched.values():
                watched.open = False
            self._watched.clear()
            self._known.clear()
        self._rounds.close()

    def _take(self, backend: Any, *, keep: bool) -> None:
        held = self._reference(backend)
        with self._lock:
            if held is not None:
                self._known[id(backend)] = held
            reader = reader_of(type(backend))
            if reader is None:
                return
            name = name_of(backend)
            watched = self._watched.get(name)
            if watched is None and len(self._watched) >= _BACKENDS_AT_MOST:
                FAULTS.rejected(_WHERE, f"{_BACKENDS_AT_MOST} backends are asked for their status: no further one is")
                return
            new = watched is None
            if watched is None:
                watched = self._watched[name] = _Watched(self, name, reader)
            if keep or held is None:
                watched.kept = backend
            else:
                watched.objects.appendleft(held)
        if new:
            self._rounds.add(watched.turn, name)

    def _reference(self, backend: Any) -> Callable[[], Any] | None:
        """A weak reference, which takes the backend off the list of those known; None where there can be none."""
        key, known = id(backend), self._known

        def forget(_: object) -> None:  # no lock: it runs wherever an object happens to go
            known.pop(key, None)

        try:
            return weakref.ref(backend, forget)
        except TypeError:
            return None

    def _forget(self, watched: _Watched) -> bool:
        """Whether nobody holds the backend any more; then it is asked no more."""
        with self._lock:
            if watched.backend() is not None:
                return False
            watched.open = False
            if self._watched.get(watched.name) is watched:
                del self._watched[watched.name]
            return True

    def _hand_on(self, watched: _Watched, reading: BackendReading) -> None:
        with self._lock:
            if not watched.open:
                return
        self._report(watched.name, **reading.told())


class _Watched:
    """One backend, which several objects may stand for."""

    def __init__(self, poller: Poller, name: str, reader: Reader) -> None:
        self.name, self.open = name, True
        self.kept: Any = None
        self.objects: deque[Callable[[], Any]] = deque(maxlen=_OBJECTS_AT_MOST)
        self._poller, self._reader = poller, reader
        self._failures = 0

    def backend(self) -> Any:
        """An object that stands for it; None where there is none any more."""
        alive = (backend for held in tuple(self.objects) if (backend := held()) is not None)
        return next(alive, self.kept)

    def turn(self) -> float | None:
        """Ask once; the seconds until it is asked again."""
        backend = self.backend()
        if backend is None and not self._poller._forget(self):
            backend = self.backend()
        if backend is None or not self.open:
            return None
        try:
            reading = self._reader(backend)
        except Exception as error:  # noqa: BLE001 - a backend, or the network, may raise anything
            return self._failed(error)
        if self._failures >= _FAILURES_BORNE:
            LOG.info("the backend %s answers again", self.name)
        self._failures = 0
        self._poller._hand_on(self, reading)
        return self._poller.interval

    def _failed(self, error: Exception) -> float:
        self._failures += 1
        FAULTS.rejected(_WHERE, f"{self.name}: {type(error).__name__}: {masking.text(text(error))}")
        if self._failures == _FAILURES_BORNE:
            LOG.warning(
                "the backend %s could not be asked for its status %d times in a row: what is shown of it is what it "
                "said last; it is asked less often, up to every %g s, until it answers",
                self.name,
                _FAILURES_BORNE,
                _LONGEST_PAUSE * self._poller.interval,
            )
        beyond = max(0, self._failures - _FAILURES_BORNE)
        return self._poller.interval * min(1 << min(beyond, _LONGEST_PAUSE), _LONGEST_PAUSE)
