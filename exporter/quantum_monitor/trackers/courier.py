"""The courier: the delivery process as the training process sees it, started when a run asks for a tracker."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from quantum_monitor import sinks
from quantum_monitor.faults import FAULTS
from quantum_monitor.log import LOG
from quantum_monitor.names import text
from quantum_monitor.trackers import child
from quantum_monitor.trackers.lanes import Lanes, News
from quantum_monitor.trackers.shipment import Shipment

if TYPE_CHECKING:
    from quantum_monitor.store.writer import RunStore

_CRASHES_AT_MOST = 5
_FIRST_PAUSE = 0.2
_ENVIRONMENT = ("MLFLOW_", "WANDB_")


class Courier:
    """Starts the delivery process, tells it of runs, and hears from it; starts it again where it dies.

    Everything that could take time is done by one thread, which sleeps while there is nothing to hear. Where no process
    can be started, and for runs whose records are in memory because there is no disk, threads of this process deliver.
    """

    def __init__(self) -> None:
        self._grace = 0.0
        self._renew()

    def _renew(self) -> None:
        """Begin anew: at construction, and in a forked child, whose parent's deliveries are none of its business."""
        self._shipments: dict[str, Shipment] = {}
        self._changed = threading.Condition(threading.RLock())
        self._needed = False
        self._trouble: dict[tuple[str, str], str] = {}
        self._thread: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._here: Lanes | None = None
        self._crashes = 0

    def deliver(self, store: RunStore, trackers: Mapping[str, Mapping[str, Any]], *, grace: float) -> Shipment:
        """Have a run delivered from now on; returns at once.

        Args:
            store: the run's store.
            trackers: tracker name to options.
            grace: seconds that the delivery process may go on after this process has gone.
        """
        shipment = Shipment(store, trackers)
        for name in trackers:
            sinks.register(name, partial(self.backlog, name))
        with self._changed:
            self._grace = max(self._grace, grace)
            self._forget_what_is_done()
            self._shipments[shipment.key] = shipment
            if store.in_memory:
                self._deliver_here(shipment)
                return shipment
            if self._thread is None and not self._supervised():
                return shipment
            self._tell_of(shipment)
            self._need()
        return shipment

    def wait(self, shipment: Shipment, timeout: float) -> bool:
        """Wait until a run is delivered everywhere, or cannot be; False if that is not so after ``timeout`` seconds.

        Does not wait for a service that is in trouble: the delivery process goes on trying.
        """
        self._look()
        with self._changed:
            self._need()  # where it was given up: once more
            self._changed.wait_for(lambda: shipment.settled or self._in_vain(shipment), timeout)
            return shipment.settled

    def wait_until_told(self, timeout: float) -> None:
        """Wait until the delivery process knows of every run: from then on it delivers them without this process."""
        with self._changed:
            self._changed.wait_for(self._told, timeout)

    def backlog(self, tracker: str) -> int:
        """How many records of all runs wait for a tracker."""
        # Without the lock: a scrape asks, and must not wait for a process that is being started.
        shipments = list(self._shipments.values())
        return sum(shipment.backlog(tracker) for shipment in shipments if tracker in shipment.trackers)

    @property
    def pid(self) -> int | None:
        """Id of the delivery process, or None."""
        process = self._process
        return None if process is None else process.pid

    def _told(self) -> bool:
        return self._process is not None or all(one.stuck for one in self._waiting())

    def _in_vain(self, shipment: Shipment) -> bool:
        """Whether all that is not settled is in trouble, or is for a service that is."""
        left = [name for name in shipment.trackers if not shipment.settled_at(name)]
        return all(shipment.trouble(name) or _service(shipment, name) in self._trouble for name in left)

    def _need(self) -> None:
        with self._changed:
            self._needed = True
            self._changed.notify_all()

    def _forget_what_is_done(self) -> None:
        self._shipments = {key: shipment for key, shipment in self._shipments.items() if not shipment.settled}

    def _look(self) -> None:
        with self._changed:
            if self._here is not None:
                self._here.look()
            self._write({})

    # The process

    def _supervised(self) -> bool:
        thread = threading.Thread(target=self._supervise, name="quantum-monitor-delivery", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # the interpreter is going down, or the system has no more threads
            self._given_up(text(error))
            return False
        self._thread = thread
        return True

    def _supervise(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._needed)
                self._needed = False
            try:
                process = self._start()
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever keeps a process from starting
                self._given_up(text(error))
                continue
            if process is None:
                continue
            heard = False
            for line in child.lines(cast("IO[bytes]", process.stdout)):
                heard = True
                self._hear(line)
            with self._changed:
                self._process = None
            status = child.reap(process)
            with self._changed:
                left = self._waiting()
            if left and (status or not heard):
                self._crashed(status)
            elif left:
                self._need()

    def _waiting(self) -> list[Shipment]:
        return [one for one in self._shipments.values() if not one.settled and not one.here]

    def _crashed(self, status: int) -> None:
        self._crashes += 1
        FAULTS.rejected("delivery", f"the delivery process ended with status {status}; it is started again")
        if self._crashes >= _CRASHES_AT_MOST:
            self._given_up(f"the delivery process ended {self._crashes} times")
            return
        time.sleep(_FIRST_PAUSE * 4 ** (self._crashes - 1))
        self._need()

    def _given_up(self, reason: str) -> None:
        LOG.warning("nothing is delivered (%s); `quantum-monitor sync` brings what is left", reason)
        with self._changed:
            for shipment in self._waiting():
                shipment.fail(reason)
            self._changed.notify_all()

    def _start(self) -> subprocess.Popen[bytes] | None:
        """Start the process and tell it of everything that waits; the caller of `deliver` is not kept from going on."""
        with self._changed:
            waiting = self._waiting()
        if not waiting:
            return None
        try:
            process = child.spawn()
        except OSError as error:
            FAULTS.rejected("delivery", f"no process can be started ({error}): a thread of this one delivers")
            try:
                with self._changed:
                    for shipment in self._waiting():
                        self._deliver_here(shipment)
            except RuntimeError as refusal:  # the system has no more threads either
                self._given_up(text(refusal))
            return None
        stdin = cast("IO[bytes]", process.stdin).fileno()
        first = {"path": child.path(), "grace": self._grace, "training": os.getpid()}
        lines = b"".join(map(_line, [first, _environment(), *map(_message, waiting)]))
        with contextlib.suppress(OSError):  # it has ended already: that is seen where its output is read
            while lines:
                lines = lines[os.write(stdin, lines) :]
        os.set_blocking(stdin, False)
        with self._changed:
            self._process = process
            for shipment in self._waiting():
                if shipment not in waiting:  # asked for meanwhile
                    self._tell_of(shipment)
            self._changed.notify_all()
        return process

    def _tell_of(self, shipment: Shipment) -> None:
        self._write(_environment())  # keys that were set after the process had started
        self._write(_message(shipment))

    def _write(self, message: Mapping[str, Any]) -> None:
        process = self._process
        if process is None or process.stdin is None:
            return
        line = _line(message)
        try:
            taken = os.write(process.stdin.fileno(), line)
        except BlockingIOError:
            taken = 0
        except (OSError, ValueError):
            return  # it has just ended; the supervisor sees to it
        if taken < len(line):  # it has stopped reading long ago: another one goes on where it was
            process.kill()

    def _hear(self, line: bytes) -> None:
        try:
            message = json.loads(line)
            if "fatal" in message:
                FAULTS.rejected("delivery", f"the delivery process could not begin: {message['fatal']}")
                return
            news = News(**message)
        except (ValueError, TypeError):
            return
        self._note(news)

    # Threads of this process instead

    def _deliver_here(self, shipment: Shipment) -> None:
        if self._here is None:
            self._here = Lanes(self._note)
        store = shipment.store
        directory = None if store.in_memory else Path(shipment.key)
        self._here.add(shipment.key, store.reader(), shipment.trackers, directory)
        shipment.here = True

    def _note(self, news: News) -> None:
        with self._changed:
            shipment = self._shipments.get(news.run)
            if shipment is None:
                return
            before = shipment.news.get(news.tracker)
            if before is not None and before.dropped > news.dropped:  # a process that has only just begun
                news = news._replace(dropped=before.dropped)
            shipment.news[news.tracker] = news
            service = _service(shipment, news.tracker)
            if news.error:
                self._trouble[service] = news.error
            elif news.condition in {"delivering", "delivered"}:
                self._trouble.pop(service, None)
            if news.delivered > (before.delivered if before else 0):
                self._crashes = 0
            self._changed.notify_all()
        if news.error and (before is None or news.error != before.error):
            FAULTS.rejected(news.tracker, f"{news.error}; records wait in {news.run}")
        if lost := news.dropped - (before.dropped if before else 0):
            FAULTS.dropped(news.tracker, "rejected", lost)
        if news.url and (before is None or not before.url):
            LOG.info("%s: %s", news.tracker, news.url)

    def _forked(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            # Else the delivery process would not hear the end of the parent while this child lives.
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with contextlib.suppress(OSError):
                        stream.close()
            process.returncode = 0  # the parent's to wait for
        self._renew()


def _service(shipment: Shipment, tracker: str) -> tuple[str, str]:
    """Where a shipment goes by a tracker: what troubles one on this way troubles the others."""
    return tracker, json.dumps(shipment.trackers[tracker], sort_keys=True)


def _environment() -> dict[str, Any]:
    return {"environment": {name: value for name, value in os.environ.items() if name.startswith(_ENVIRONMENT)}}


def _message(shipment: Shipment) -> dict[str, Any]:
    return {"run": shipment.key, "trackers": shipment.trackers}


def _line(message: Mapping[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


COURIER = Courier()
os.register_at_fork(after_in_child=COURIER._forked)
