"""RunStore: the one writer of a run's directory, on a thread of its own."""

from __future__ import annotations

import ctypes
import logging
import math
import os
import sqlite3
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from quantum_monitor.faults import FAULTS
from quantum_monitor.record import Record
from quantum_monitor.store import blocks, opening, runfile
from quantum_monitor.store.layout import DATABASE, DESCRIPTION
from quantum_monitor.store.reader import StoredRun

_log = logging.getLogger("quantum_monitor")
_MEMORY_LIMIT = 64 * 2**20
_STATES_EVERY = 1.0
_LONGEST_PAUSE = 5.0
_PATIENCE = 0.01
_NAP_SECONDS = 50e-6
_NAPS = 20
_SHORTEST_REST, _LONGEST_REST = 0.01, 1.0
_DESCRIPTIONS_AT_MOST = 10_000
_DIRECTORY_CHECKED_EVERY = 1.0


class RunStore:
    """Writes the records and the description of one run.

    ``put`` costs the caller about 70 ns: it appends to a bounded queue, which a daemon thread empties every
    ``flush_interval`` seconds. Where the disk cannot be written at the start, the same database lives in memory
    (bounded, the oldest records go first); where it fails later, records wait in the queue while the thread tries
    again and again, at most five seconds apart. A forked child's copy takes nothing and touches nothing.

    Args:
        directory: the run's directory, made if need be; see ``layout.run_directory``.
        info: what ``run.json`` says: ``experiment``, ``name``, ``run_id``, ``status``, ``start_time`` (Unix seconds),
            ``params``, ``tags`` and whatever else; values that are not JSON are written as text.
        queue_limit: how many records may wait; more are dropped and counted under ``queue_full``.
        flush_interval: seconds between two flushes.
        keep_states: how many snapshots of states are kept; in memory, 50 at most.

    Attributes:
        directory: the run's directory.
        in_memory: whether the records are kept in memory because the directory could not be written.
        before_writing: called by the thread before it writes: whoever holds something back can hand it over then.
        states: takes the states of the run, see `StateKeeper.offer`. They are written once a second, by ``flush`` and
            by ``close``.

    Raises:
        ValueError: an option is out of range, another live process of this host writes the run, or its database
            belongs to a newer version.
    """

    def __init__(
        self,
        directory: str | Path,
        info: Mapping[str, Any],
        *,
        queue_limit: int = 200_000,
        flush_interval: float = 0.05,
        keep_states: int = 200,
    ) -> None:
        if queue_limit < 1:
            message = f"queue_limit is {queue_limit}; it must be at least 1"
            raise ValueError(message)
        if not 0 < flush_interval <= 60:
            message = f"flush_interval is {flush_interval}; it must be above 0 and at most 60 seconds"
            raise ValueError(message)
        if keep_states < 0:
            message = f"keep_states is {keep_states}; it must be at least 0"
            raise ValueError(message)
        self.directory = Path(directory).absolute()
        self._queue: deque[Record] = deque()
        self._limit = queue_limit
        self._refusal = "queue_full"
        self._interval = flush_interval
        self._info: dict[str, Any] = {
            "status": "running",
            "start_time": time.time(),
            "environment": runfile.environment(),
            **runfile.plain(info),
            "writer": runfile.this_writer(),
        }
        self.before_writing: Callable[[], None] = lambda: None
        self._described: deque[dict[str, Any]] = deque()  # what the thread has not merged into the description yet
        self._info_changed = False
        self._batch: blocks.Batch | None = None
        self._held: deque[tuple[int, int, int]] = deque()  # in memory: first sequence, records and bytes of batches
        self._held_bytes = 0
        self._connection, self._address = opening.open_run(self.directory, self._info)
        self._packer = opening.packer_behind(self._connection)
        self.states = opening.keeper_behind(self._connection, keep_states, None if self.in_memory else self.directory)
        self._states_due = 0.0
        self._memory_freed = weakref.finalize(self, self._connection.close) if self.in_memory else None
        if self._memory_freed:
            self._memory_freed.atexit = False  # the thread may be inside SQLite then
        self._directory_checked = time.monotonic()
        self._requested = self._completed = 0
        self._closing = False
        # Unix time by which the next flush should be over, and how long `put` rested before it last gave way.
        self._overdue, self._rest = time.time() + self._interval + _PATIENCE, _SHORTEST_REST
        self._renew_locks()
        with _OPEN_LOCK:
            _OPEN.add(self)
        self._thread = threading.Thread(target=self._serve, name="quantum-monitor-store", daemon=True)
        self._thread.start()

    @property
    def in_memory(self) -> bool:
        """Whether the records are kept in memory because the directory could not be written."""
        return self._address is not None

    @property
    def backlog(self) -> int:
        """How many records were put but are not written yet."""
        batch = self._batch
        return len(self._queue) + (batch.taken if batch else 0)

    @property
    def accepted(self) -> int:
        """How many records were taken in so far, written or not: the sequence number of the latest."""
        return self._packer.next_sequence - 1 + len(self._queue)

    @property
    def pending(self) -> bool:
        """Whether records or changes of the description are not written yet."""
        return bool(self.backlog or self._described) or self._info_changed

    def put(self, record: Record) -> None:
        """Hand over a record. Never blocks and never raises; a record that finds no room is dropped and counted."""
        if len(self._queue) < self._limit:
            self._queue.append(record)
            if record.time > self._overdue:
                self._give_way()
        else:
            FAULTS.dropped("store", self._refusal)

    def _give_way(self) -> None:
        """Let the writer, which should have flushed by now, have the interpreter.

        It may wait for the interpreter lock for seconds: NumPy gives the lock away and takes it back within a
        microsecond at every small array, which starts the writer's 5 ms of patience anew each time and never lets it
        in. Only a caller that sleeps does. A disk that hangs makes the writer late as well, so this takes 2 ms at
        most, and rests in between, longer and longer.
        """
        if threading.get_ident() == self._thread.ident:  # what was held back is handed over by the writer itself
            return
        late = self._overdue
        for _ in range(_NAPS):
            time.sleep(_NAP_SECONDS)
            if self._overdue != late:
                return
        self._rest = min(2 * self._rest, _LONGEST_REST)
        self._overdue = time.time() + self._rest

    def describe(self, **info: Any) -> None:
        """Merge into ``run.json``, where the thread writes it; mappings (``params``, ``tags``) merge by key.

        Without effect, but counted, after ``close`` and in a forked child.
        """
        if self._limit == 0:
            FAULTS.rejected("store", f"description of a run whose store is {self._refusal}")
            return
        # Left to the thread without any lock: a signal handler may interrupt this very call, and end the run.
        if len(self._described) < _DESCRIPTIONS_AT_MOST:
            self._described.append(runfile.plain(info))
        else:
            FAULTS.dropped("store", "description")

    def reader(self) -> StoredRun:
        """What was written so far, from the directory, or from memory where that had to do.

        The database in memory lives as long as this object.
        """
        if self._address is None:
            return StoredRun(self.directory)
        return StoredRun(self.directory, address=self._address, info=lambda: self._info)

    def flush(self, timeout: float = 5.0) -> bool:
        """Wait until everything put and described so far is written; False if ``timeout`` seconds did not do.

        A directory that was deleted while it was written takes its records along: that is counted, not waited for.
        """
        with self._changed:
            if self._refusal == "forked":
                return False
            if not self._thread.is_alive():
                return not self.pending
            self._requested += 1
            wanted = self._requested
            self._wake.set()
            return self._changed.wait_for(lambda: self._completed >= wanted, timeout)

    def close(self, timeout: float = 5.0) -> bool:
        """Write everything, make ``records.db`` one plain file and end the thread; harmless a second time.

        Returns:
            False if ``timeout`` seconds did not do; the thread goes on trying while the process lives.
        """
        if self._refusal == "forked":
            return False
        with self._changed:
            if not self._closing:
                self._refusal, self._limit = "closed", 0
                self._described.append({"writer": None})
                self._closing = True
        self._wake.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # The thread

    def _serve(self) -> None:
        failures = 0
        due = time.monotonic() + self._interval
        while True:
            self._wake.wait(max(0.0, due - time.monotonic()))
            self._wake.clear()
            requested, closing = self._requested, self._closing
            try:
                self._write_all(states=closing or requested > self._completed or time.monotonic() >= self._states_due)
                failures = 0
                if closing:
                    self._finish()
            except Exception as error:  # noqa: BLE001 - the thread must outlive whatever a disk or a bug does
                self._note(error)
                failures += 1
                self._overdue = math.inf
                due = time.monotonic() + min(_LONGEST_PAUSE, self._interval * 2 ** min(failures, 10))
                continue
            with self._changed:
                self._completed = max(self._completed, requested)
                self._changed.notify_all()
            if closing:
                return
            self._overdue, self._rest = time.time() + self._interval + _PATIENCE, _SHORTEST_REST
            due = max(due + self._interval, time.monotonic())

    def _note(self, error: Exception) -> None:
        if isinstance(error, (sqlite3.Error, OSError)):
            FAULTS.rejected("store", f"{self.directory}: {error}; records wait in memory until it can be written")
        else:
            FAULTS.internal("store", error)

    def _write_all(self, *, states: bool) -> None:
        """Write what the queue holds at this moment, then the description as it was before that moment.

        So a run that reads as completed has all of its records.
        """
        self.before_writing()
        self._merge_descriptions()
        waiting = len(self._queue)
        while self._batch or waiting > 0:
            with self._in_database:
                if self._batch is None:
                    self._forget_shapes_in_memory()
                    self._batch = self._packer.pack(self._queue, waiting)
                    waiting -= self._batch.taken
                blocks.write(self._connection, self._batch)
                self._bound_memory(self._batch)
                self._batch = None
        if states:
            self._write_states()
        if self._info_changed:
            self._write_description()
        self._look_for_the_directory()

    def _write_states(self) -> None:
        """Write the snapshots of states that wait. Where they fail, the run goes on, and may end, without them."""
        self._states_due = time.monotonic() + _STATES_EVERY
        try:
            with self._in_database:
                self.states.write(self._connection)
        except (OSError, sqlite3.Error) as error:
            FAULTS.rejected("store", f"{self.directory}: {error}; snapshots of states wait until it can be written")
        except Exception as error:  # noqa: BLE001 - snapshots must not keep a run from its end
            FAULTS.internal("store", error)

    def _merge_descriptions(self) -> None:
        while self._described:
            self._info = runfile.merged(self._info, self._described.popleft())
            self._info_changed = True

    def _write_description(self) -> None:
        if not self.in_memory:
            try:
                with self._in_database:
                    runfile.write(self.directory / DESCRIPTION, self._info, durable=self._closing)
            except OSError:
                if self.directory.exists():
                    raise
        self._info_changed = False

    def _bound_memory(self, batch: blocks.Batch) -> None:
        if not self.in_memory or not batch.blocks:
            return
        self._held.append((batch.blocks[0][1], batch.taken, batch.size))
        self._held_bytes += batch.size
        dropped = 0
        while self._held_bytes > _MEMORY_LIMIT and len(self._held) > 1:
            _, records, size = self._held.popleft()
            self._held_bytes -= size
            dropped += records
        if dropped:
            self._connection.execute("DELETE FROM blocks WHERE first < ?", (self._held[0][0],))
            FAULTS.dropped("store", "memory_full", dropped)

    def _forget_shapes_in_memory(self) -> None:
        if self.in_memory and self._packer.forgetful:
            self._connection.execute("DELETE FROM shapes WHERE id NOT IN (SELECT shape FROM blocks)")

    def _look_for_the_directory(self) -> None:
        now = time.monotonic()
        if self.in_memory or now - self._directory_checked < _DIRECTORY_CHECKED_EVERY:
            return
        self._directory_checked = now
        if not (self.directory / DATABASE).exists():
            FAULTS.rejected("store", f"{self.directory / DATABASE} was deleted while it was written: records are lost")

    def _finish(self) -> None:
        if left := len(self._queue):  # put by a thread that had found the store open a moment before
            self._queue.clear()
            FAULTS.dropped("store", "closed", left)
        if left := len(self._described):
            self._described.clear()
            FAULTS.dropped("store", "description", left)
        if left := self.states.close():
            FAULTS.dropped("store", "states", left)
        with _OPEN_LOCK:
            _OPEN.discard(self)
        if self.in_memory:
            return
        with self._in_database:
            try:
                # One plain file, which opens from read-only media too. A reader may be in the way: then the log stays.
                self._connection.execute("PRAGMA journal_mode=DELETE")
            except sqlite3.Error as error:
                _log.debug("the write-ahead log of %s stays: %s", self.directory, error)
            self._connection.close()

    # Forks

    def _renew_locks(self) -> None:
        self._changed = threading.Condition()  # guards the two counters of flushes
        self._in_database = threading.Lock()  # held by the thread inside SQLite, so that no fork happens there
        self._wake = threading.Event()

    def _forked(self) -> None:
        """In a forked child: take no more records, and never touch the parent's files."""
        self._refusal, self._limit = "forked", 0
        self._renew_locks()
        self._queue.clear()
        self._described.clear()
        self.states.close()
        self._batch, self._info_changed = None, False
        if self._memory_freed:
            self._memory_freed.detach()
        # Even closing an inherited connection may harm the parent's database: keep it from being collected, for good.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))


_OPEN: weakref.WeakSet[RunStore] = weakref.WeakSet()
_OPEN_LOCK = threading.Lock()
_HELD_FOR_A_FORK: list[RunStore] = []


def _before_fork() -> None:
    _OPEN_LOCK.acquire()
    _HELD_FOR_A_FORK.extend(store for store in _OPEN if store._in_database.acquire(timeout=1.0))


def _after_fork_in_parent() -> None:
    for store in _HELD_FOR_A_FORK:
        store._in_database.release()
    _HELD_FOR_A_FORK.clear()
    _OPEN_LOCK.release()


def _after_fork_in_child() -> None:
    _HELD_FOR_A_FORK.clear()
    for store in list(_OPEN):
        store._forked()
    _OPEN.clear()
    _OPEN_LOCK.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
