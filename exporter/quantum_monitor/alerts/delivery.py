"""Subscriber: hands alerts to one callback or notifier, on a thread of its own, so that a slow one delays nobody."""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from quantum_monitor.alerts.message import Alert
from quantum_monitor.alerts.notifiers.protocol import DeliveryError
from quantum_monitor.faults import FAULTS
from quantum_monitor.log import LOG

QUEUE_LIMIT = 100
"""Alerts that may wait for one subscriber."""

_NAP_SECONDS = 50e-6
_RANDOM = random.Random()  # noqa: S311 - jitter is no secret; its own, for the training script's seed is not ours to use


@dataclass(frozen=True)
class Retry:
    """How a failed delivery is tried again.

    Attributes:
        first: seconds before the second try; each further pause is twice as long, less up to a half by chance, so that
            a hundred processes do not all come back at once.
        longest: seconds of the longest such pause.
        patience: seconds after which an alert that could not be delivered is dropped.
        longest_asked: seconds of the longest pause that a receiver's ``Retry-After`` is granted.
    """

    first: float = 1.0
    longest: float = 60.0
    patience: float = 600.0
    longest_asked: float = 300.0

    def pause(self, failures: int, asked: float | None) -> float:
        """Seconds to wait after so many failures in a row, the last of which asked for that many seconds."""
        pause = min(self.longest, self.first * 2.0 ** min(failures - 1, 30)) * _RANDOM.uniform(0.5, 1.0)
        return max(pause, min(asked or 0.0, self.longest_asked))


@dataclass(frozen=True)
class _Waiting:
    alert: Alert
    since: float = field(default_factory=time.monotonic)

    @property
    def subject(self) -> tuple[Any, ...]:
        """What the alert is about: two with the same one tell of the same thing at different times."""
        return self.alert["type"], tuple(sorted((self.alert.get("labels") or {}).items()))


class Subscriber:
    """Delivers alerts to one callback or notifier, in order, each on its own copy.

    ``put`` never waits: alerts queue up while a delivery takes its time. At most 100 wait; beyond that the oldest one
    goes, since the newest says how things stand now. The thread starts with the first alert.

    Without ``retry`` (callbacks) each alert is delivered once, and an exception is counted and forgotten. With
    ``retry`` (notifiers) a `DeliveryError` that another try may help is tried again, and all that waits is kept short:
    a person who could not be reached for a while wants to know how things stand, not everything that was. So an alert
    that fires replaces what waits of the same type and labels, and one that is resolved joins it without replacing its
    beginning: of each alert, the last time that it began and ended is told. Any other exception is a fault of the
    notifier, which another try does not help; only its type is told, for its text may hold a secret.

    Args:
        name: who is told, as the log calls it.
        deliver: called with one alert, in the thread.
        retry: how failed deliveries are tried again; None for not at all.
        where: the label of ``quantum_monitor_errors_total`` that failures are counted under.

    Example:
        >>> subscriber = Subscriber("pager", lambda alert: print(alert["message"]), where="alert_callback")
        >>> subscriber.put({"type": "purity", "state": "firing", "message": "purity: 0.4 is below 0.9"})
        >>> subscriber.close(timeout=5.0)
        True
    """

    def __init__(
        self, name: str, deliver: Callable[[Alert], object], *, retry: Retry | None = None, where: str
    ) -> None:
        self.name = name
        self._deliver = deliver
        self._retry = retry
        self._where = where
        self._closing_by: float | None = None  # monotonic time by which the last alert must be delivered
        self._renew()
        _LIVE.add(self)

    def _renew(self) -> None:
        """Have no thread and nothing to deliver: at construction, and in a forked child."""
        # A SimpleQueue may be put to by a signal handler that interrupted another put of the same thread.
        self._inbox: SimpleQueue[Alert | None] = SimpleQueue()
        self._waiting: list[_Waiting] = []  # taken from the inbox; the thread's alone until it has ended
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._delivering = False
        self._failures, self._resume_at = 0, 0.0
        self._given_up = False
        self._lost = 0

    def put(self, alert: Alert) -> None:
        """Have an alert delivered. Never blocks and never raises; after ``close`` it is dropped and counted."""
        if self._closing_by is not None:
            FAULTS.dropped("alerts", "closed")
            return
        if self._inbox.qsize() >= QUEUE_LIMIT:
            self._drop_the_oldest()
        self._inbox.put(alert)
        if self._thread is None:
            self._start()

    def wait_taken(self, timeout: float) -> bool:
        """Let the thread have the interpreter until it has taken everything put so far.

        A loop of small NumPy calls gives the interpreter lock away and takes it back within a microsecond, over and
        over, and so keeps every other thread out for seconds; only a caller that sleeps lets one in.

        Args:
            timeout: seconds at most.

        Returns:
            False where that took too long, and at once where the thread is busy with an earlier alert.
        """
        deadline = time.monotonic() + timeout
        while not self._inbox.empty():
            if self._delivering or self._thread is None or time.monotonic() > deadline:
                return False
            time.sleep(_NAP_SECONDS)
        return True

    def close(self, timeout: float) -> bool:
        """Deliver what is left, without long pauses between tries, and end the thread; harmless a second time.

        Args:
            timeout: seconds at most; what is not delivered by then is dropped and counted. A delivery that hangs is
                left behind.

        Returns:
            Whether everything was delivered. False when called by ``deliver`` itself, which must return first.
        """
        if self._closing_by is None:
            self._closing_by = time.monotonic() + timeout
        self._resume_at = 0.0
        self._inbox.put(None)  # wakes the thread
        thread = self._thread
        if thread is threading.current_thread():
            return False
        if thread is not None and thread.is_alive():  # else a signal handler may have come before its start
            thread.join(timeout)
        self._give_up()
        return self._lost == 0

    def _start(self) -> None:
        if not self._starting.acquire(blocking=False):
            return  # another thread is starting it, or this one, interrupted by a signal handler
        try:
            if self._thread is None:
                name = f"quantum-monitor-alerts-{self.name}"
                self._thread = threading.Thread(target=self._serve, name=name, daemon=True)
                self._thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter is ending: the next put tries again
            self._thread = None
            FAULTS.rejected(self._where, error)
        finally:
            self._starting.release()

    def _drop_the_oldest(self) -> None:
        try:
            if self._inbox.get_nowait() is not None:
                FAULTS.dropped("alerts", "queue_full")
        except Empty:  # the thread has just taken them
            pass

    # The thread

    def _serve(self) -> None:
        while True:
            self._take()
            now = time.monotonic()
            closing_by = self._closing_by
            if self._given_up or (closing_by is not None and (not self._waiting or now > closing_by)):
                break
            if self._waiting and now >= self._resume_at:
                self._try(self._waiting[0])
        self._give_up()

    def _take(self) -> None:
        """Take everything from the inbox; wait for it while there is nothing else to do."""
        pause = max(0.0, self._resume_at - time.monotonic()) if self._waiting else None
        if self._closing_by is not None:
            pause = min(pause or 0.0, max(0.0, self._closing_by - time.monotonic()))
        try:
            taken = self._inbox.get(timeout=pause)
            while True:
                if taken is not None:
                    self._line_up(_Waiting(taken))
                taken = self._inbox.get_nowait()
        except Empty:
            pass

    def _line_up(self, new: _Waiting) -> None:
        if self._retry is not None and new.alert.get("state") == "firing":
            self._waiting = [waiting for waiting in self._waiting if waiting.subject != new.subject]
        if len(self._waiting) >= QUEUE_LIMIT:
            del self._waiting[0]
            FAULTS.dropped("alerts", "queue_full")
        self._waiting.append(new)

    def _try(self, first: _Waiting) -> None:
        self._delivering = True
        try:
            self._deliver(copy.deepcopy(first.alert))
        except DeliveryError as error:
            if self._retry is not None and error.retry:
                self._fail(error, self._retry)
                return
            self._refused(str(error))
        except BaseException as error:  # noqa: BLE001 - sys.exit() in a callback must not end the deliveries either
            self._refused(error if self._retry is None else type(error).__name__)
        finally:
            self._delivering = False
        if self._failures:
            self._log(logging.INFO, "the receiver of alerts answers again")
        self._failures = 0
        self._waiting = [waiting for waiting in self._waiting if waiting is not first]

    def _refused(self, reason: object) -> None:
        """Note a failure that another try would not help."""
        FAULTS.rejected(self._where, reason)
        if self._retry is not None and not self._given_up:
            FAULTS.dropped("alerts", "refused")

    def _fail(self, error: DeliveryError, retry: Retry) -> None:
        """Note a failure that another try may help, and drop what has waited too long."""
        FAULTS.rejected(self._where, f"{error}; tried again for {retry.patience:g} s")
        self._failures += 1
        now = time.monotonic()
        pause = retry.pause(self._failures, error.after)
        # A process that is about to end has no minute to wait.
        self._resume_at = now + (pause if self._closing_by is None else min(pause, retry.first))
        if self._given_up:
            return
        kept = [waiting for waiting in self._waiting if now - waiting.since <= retry.patience]
        if dropped := len(self._waiting) - len(kept):
            self._waiting = kept
            lasted = f"could not be delivered for {retry.patience:g} s"
            self._log(logging.WARNING, f"dropped {_counted(dropped)} that {lasted}; the last reason: {error}")
            FAULTS.dropped("alerts", "undelivered", dropped)

    def _give_up(self) -> None:
        """Drop what is left: at the end of the thread, and when closing took too long."""
        self._given_up = True
        left, self._waiting = len(self._waiting), []
        while not self._inbox.empty():
            try:
                left += self._inbox.get_nowait() is not None
            except Empty:
                break
        if left:
            self._lost += left
            FAULTS.dropped("alerts", "closed", left)
            self._log(logging.WARNING, f"dropped {_counted(left)} that could not be delivered before the end")

    def _log(self, level: int, sentence: str) -> None:
        with contextlib.suppress(Exception):  # a logging handler of the user's may raise: deliveries go on
            LOG.log(level, "%s: %s", self.name, sentence)


def _counted(alerts: int) -> str:
    return "1 alert" if alerts == 1 else f"{alerts} alerts"


_LIVE: weakref.WeakSet[Subscriber] = weakref.WeakSet()


def _after_fork() -> None:
    """In a forked child: the threads are the parent's, and so is what waits for them."""
    for subscriber in list(_LIVE):
        subscriber._renew()


os.register_at_fork(after_in_child=_after_fork)
