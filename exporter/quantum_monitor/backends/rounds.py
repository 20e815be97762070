"""Rounds: functions that are called again and again on a few daemon threads, each when it is due."""

from __future__ import annotations

import heapq
import os
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Protocol

from quantum_monitor.faults import FAULTS

THREADS_AT_MOST = 16
"""Calls that may hang at the same time before the others wait."""

_PATIENCE_SECONDS = 30.0
_LOOK_SECONDS = 5.0
_IDLE_AT_MOST = 2
_AGAIN_AFTER_AN_ERROR = 60.0
_JOIN_SECONDS = 0.5


@dataclass(order=True, frozen=True)
class _Turn:
    due: float
    number: int
    what: str = field(compare=False)
    call: Callable[[], float | None] = field(compare=False)


class Rounds:
    """Calls functions, each in a thread of the pool, until they ask for no further turn. Safe for many threads.

    A function returns the seconds until its next turn, or None for no further one. One that hangs holds the thread that
    it is on and delays nobody else, up to 16 of them. In a forked child there are no turns.

    Args:
        where: under which name what goes wrong is counted.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._numbers = count()
        self.renew()
        renewed_after_fork(self)

    def renew(self) -> None:
        """Begin anew: at construction, and in a forked child, where the threads are gone and the lock may be held."""
        self._condition = threading.Condition()
        self._turns: list[_Turn] = []
        self._busy: dict[int, tuple[_Turn, float]] = {}
        self._told: set[int] = set()
        self._threads: set[threading.Thread] = set()
        self._idle = 0
        self._closed = False

    def add(self, call: Callable[[], float | None], what: str, *, after: float = 0.0) -> None:
        """Give a function its first turn.

        Args:
            call: returns the seconds until its next turn; None for no further one.
            what: what it asks, for people.
            after: seconds until the first turn.
        """
        with self._condition:
            self._closed = False
            heapq.heappush(self._turns, _Turn(time.monotonic() + after, next(self._numbers), what, call))
            if self._idle:
                self._condition.notify()
            else:
                self._start_a_thread()

    def close(self) -> None:
        """Give no further turn. What hangs is left alone: its thread ends with the process."""
        with self._condition:
            self._closed = True
            self._turns.clear()
            self._condition.notify_all()
            threads = self._threads - {threading.current_thread()}
        until = time.monotonic() + _JOIN_SECONDS
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _start_a_thread(self) -> None:
        if len(self._threads) >= THREADS_AT_MOST:
            return
        thread = threading.Thread(target=self._serve, name=f"quantum-monitor-{self._where}", daemon=True)
        self._threads.add(thread)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter is ending
            self._threads.discard(thread)
            FAULTS.rejected(self._where, error)

    def _serve(self) -> None:
        while (turn := self._taken()) is not None:
            seconds: float | None = _AGAIN_AFTER_AN_ERROR
            try:
                seconds = turn.call()
            except Exception as error:  # noqa: BLE001 - counted; the next turn gets its chance
                FAULTS.internal(self._where, error)
            finally:
                self._done(turn, seconds)

    def _done(self, turn: _Turn, seconds: float | None) -> None:
        with self._condition:
            self._busy.pop(turn.number, None)
            self._told.discard(turn.number)
            if seconds is not None and not self._closed:
                heapq.heappush(self._turns, replace(turn, due=time.monotonic() + seconds))
                self._condition.notify()

    def _taken(self) -> _Turn | None:
        """The turn that is due next, waited for; None where this thread is not needed any more."""
        with self._condition:
            turn = None
            if self._idle < _IDLE_AT_MOST:
                self._idle += 1
                turn = self._waited_for()
                self._idle -= 1
            if turn is None:
                self._threads.discard(threading.current_thread())
            elif not self._idle:
                self._start_a_thread()  # for whatever is due while this one is asked
            return turn

    def _waited_for(self) -> _Turn | None:
        while not self._closed and (self._turns or self._busy):
            wait = self._turns[0].due - time.monotonic() if self._turns else _LOOK_SECONDS
            if wait <= 0:
                turn = heapq.heappop(self._turns)
                self._busy[turn.number] = turn, time.monotonic()
                return turn
            self._condition.wait(min(wait, _LOOK_SECONDS) if self._busy else wait)
            self._say_what_hangs()
        return None

    def _say_what_hangs(self) -> None:
        for number, (turn, since) in self._busy.items():
            if number not in self._told and time.monotonic() - since > _PATIENCE_SECONDS:
                self._told.add(number)
                FAULTS.rejected(self._where, f"{turn.what} has not answered for {_PATIENCE_SECONDS:.0f} s")


class Renewable(Protocol):
    """What must begin anew in a forked child."""

    def renew(self) -> None:
        """Begin anew."""


_FORKED: weakref.WeakSet[Renewable] = weakref.WeakSet()


def renewed_after_fork(thing: Renewable) -> None:
    """Have something begin anew in a forked child, for as long as it lives."""
    _FORKED.add(thing)


def _after_fork() -> None:
    for thing in list(_FORKED):
        thing.renew()


os.register_at_fork(after_in_child=_after_fork)
