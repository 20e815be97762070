"""Lanes: one thread a tracker, so that a service that hangs delays no other."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from quantum_monitor.names import text
from quantum_monitor.store.layout import is_run
from quantum_monitor.store.reader import StoredRun
from quantum_monitor.trackers import finding
from quantum_monitor.trackers.delivery import Condition, Delivery
from quantum_monitor.trackers.protocol import UnusableError
from quantum_monitor.trackers.state import BusyError

_LOOK_SECONDS = 1.0
_TELL_SECONDS = 0.5
_FIRST_PAUSE, _LONGEST_PAUSE, _LONGEST_PAUSE_WHEN_OVER = 1.0, 60.0, 5.0
_ERROR_LENGTH = 500


class News(NamedTuple):
    """What has become of the delivery of one run to one tracker, small enough for a line.

    Attributes:
        run: which run, as it was named when it was added.
        tracker: the tracker's name.
        condition: ``starting``, ``waiting`` for more, ``delivering``, ``retrying`` after an error, ``delivered`` with
            the run closed, or ``unusable`` for this process.
        delivered: sequence number of the last record acknowledged.
        dropped: how much the service refused for good.
        url: where a person finds the run.
        error: the last error; empty if all is well.
    """

    run: str
    tracker: str
    condition: Condition
    delivered: int
    dropped: int
    url: str
    error: str


Tell = Callable[[News], None]


class _Task:
    """One run on its way to one tracker."""

    def __init__(self, key: str, run: StoredRun, name: str, options: Mapping[str, Any], directory: Path | None) -> None:
        self.key, self.name = key, name
        self.due = 0.0
        self._run, self._options, self._directory = run, options, directory
        self._delivery: Delivery | None = None
        self._failures = 0
        self._told_at = 0.0
        self._told: News | None = None
        self.condition: Condition = "starting"
        self.error = ""

    @property
    def settled(self) -> bool:
        return self.condition in {"delivered", "unusable"}

    def work(self, over: bool) -> None:
        """Deliver the next piece, and say when to come back."""
        try:
            if self._delivery is None:
                tracker = finding.make(self.name, self._options)
                delivery = Delivery(self._run, self.name, tracker, directory=self._directory)
                settled = delivery.settled_before()
                self._delivery = delivery
                if settled:
                    self.condition, self.error = "delivered", ""
                    return
            self._delivery.over = over
            more = self._delivery.advance()
            self._failures, self.error = 0, ""
            self._settle(self._delivery, more)
        except UnusableError as error:
            self.condition, self.error = "unusable", text(error)[:_ERROR_LENGTH]
            self.release()
        except BusyError as error:
            self.condition, self.error = "retrying", text(error)
            self.due = time.monotonic() + _LOOK_SECONDS
        except FileNotFoundError as error:
            if self._directory is not None and not is_run(self._directory):
                self.condition, self.error = "unusable", f"{self._directory} was deleted"
                self.release()
            else:
                self._failed(error, over)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a tracker may raise anything, and ends no other
            self._failed(error, over)

    def _settle(self, delivery: Delivery, more: bool) -> None:
        if more:
            self.condition, self.due = "delivering", 0.0
        elif delivery.finished:
            self.condition = "delivered"
        else:
            self.condition, self.due = "waiting", time.monotonic() + _LOOK_SECONDS

    def _failed(self, error: BaseException, over: bool) -> None:
        self.condition = "retrying"
        self.error = f"{type(error).__name__}: {text(error)}"[:_ERROR_LENGTH]
        longest = _LONGEST_PAUSE_WHEN_OVER if over else _LONGEST_PAUSE
        pause = min(longest, _FIRST_PAUSE * 2 ** min(self._failures, 10))
        self._failures += 1
        self.due = time.monotonic() + pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads retries, keeps no secret

    def tell(self, tell: Tell) -> None:
        """Say what is new, a few times a second at most."""
        progress = None if self._delivery is None else self._delivery.progress
        delivered, dropped, url = (
            (0, 0, "") if progress is None else (progress.delivered, progress.dropped, progress.url)
        )
        news = News(self.key, self.name, self.condition, delivered, dropped, url, self.error)
        now = time.monotonic()
        told = self._told
        turned = told is None or (news.condition, news.error) != (told.condition, told.error)
        if news != told and (turned or now - self._told_at >= _TELL_SECONDS):
            self._told, self._told_at = news, now
            tell(news)

    def release(self) -> None:
        """Let another process go on."""
        if self._delivery is not None:
            self._delivery.release()


class Lane(threading.Thread):
    """Delivers every run that is added to one tracker, in turns, until all are delivered; then it waits for more."""

    def __init__(self, name: str, tell: Tell) -> None:
        super().__init__(name=f"quantum-monitor-{name}", daemon=True)
        self._tracker, self._tell = name, tell
        self._tasks: dict[str, _Task] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._over = False

    def add(self, key: str, run: StoredRun, options: Mapping[str, Any], directory: Path | None) -> None:
        """Deliver this run too, unless it is on its way already."""
        with self._lock:
            if key not in self._tasks:
                self._tasks[key] = _Task(key, run, self._tracker, options, directory)
        self._wake.set()

    def look(self, *, over: bool = False) -> None:
        """Look again now; with ``over``, whose runs run no more: from now on with short pauses only."""
        with self._lock:
            self._over = self._over or over
            for task in self._tasks.values():
                if over or not task.error:
                    task.due = 0.0
        self._wake.set()

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way."""
        with self._lock:
            return not self._tasks

    def run(self) -> None:
        """The thread."""
        while True:
            with self._lock:
                tasks, over = list(self._tasks.values()), self._over
            for task in tasks:
                if task.due <= time.monotonic():
                    task.work(over)
                    task.tell(self._tell)
            with self._lock:
                self._tasks = {key: task for key, task in self._tasks.items() if not task.settled}
                due = min((task.due for task in self._tasks.values()), default=None)
            self._wake.wait(None if due is None else max(0.0, due - time.monotonic()))
            self._wake.clear()


class Lanes:
    """All lanes of a process, one for each tracker that was asked for.

    Args:
        tell: called from the lanes' threads with what is new.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._lanes: dict[str, Lane] = {}

    def add(self, key: str, run: StoredRun, trackers: Mapping[str, Mapping[str, Any]], directory: Path | None) -> None:
        """Deliver a run to these trackers."""
        for name, options in trackers.items():
            lane = self._lanes.get(name)
            if lane is None:
                lane = self._lanes[name] = Lane(name, self._tell)
                lane.start()
            lane.add(key, run, options, directory)

    def look(self, *, over: bool = False) -> None:
        """Look again now."""
        for lane in self._lanes.values():
            lane.look(over=over)

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way."""
        return all(lane.idle for lane in self._lanes.values())
