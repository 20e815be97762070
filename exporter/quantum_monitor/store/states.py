"""Snapshots of the states that a run logs: few enough to keep, and enough to look at."""

from __future__ import annotations

import errno
import itertools
import shutil
import sqlite3
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple

import numpy as np

from quantum_monitor.faults import FAULTS
from quantum_monitor.physics.states import Array, State, as_state

TABLE = """CREATE TABLE IF NOT EXISTS states(
    number INTEGER PRIMARY KEY,  -- counts the states of the run that are small enough to be kept, from 1
    time REAL NOT NULL,
    step INTEGER,
    qubits INTEGER NOT NULL,
    vector INTEGER NOT NULL,     -- 1 for amplitudes, 0 for a density matrix
    data BLOB NOT NULL)          -- little-endian complex doubles: what is computed from them is what was measured"""

_NUMBERS_AT_MOST = 4_096  # amplitudes of 12 qubits, or entries of a density matrix of 6
_BYTES_AT_MOST = 16 * _NUMBERS_AT_MOST
_LEFT_TO_THE_RECORDS = 16 * 2**20
# A file may come from a stranger: what is no snapshot is none, before a byte of it is loaded.
_SOUND = """typeof(time) = 'real' AND typeof(step) IN ('integer', 'null')
    AND vector IN (0, 1) AND typeof(qubits) = 'integer' AND qubits BETWEEN 1 AND CASE vector WHEN 1 THEN 12 ELSE 6 END
    AND typeof(data) = 'blob' AND length(data) = 16 << CASE vector WHEN 1 THEN qubits ELSE 2 * qubits END"""


class KeptState(NamedTuple):
    """What is known of a snapshot without loading it.

    Attributes:
        number: counts the logged states of the run that are small enough to be kept, from 1.
        time: when it was logged, Unix time in seconds.
        step: the training step it was logged with, or None.
        qubits: number of qubits, 1 to 12; of a density matrix 1 to 6.
        vector: whether it is a vector of amplitudes, else a density matrix.
    """

    number: int
    time: float
    step: int | None
    qubits: int
    vector: bool


class _Snapshot(NamedTuple):
    number: int
    time: float
    step: int | None
    data: Array
    little_endian: bool


class StateKeeper:
    """Chooses the states of a run that are kept, and holds them until the store's thread writes them.

    Kept are at most ``limit``: the newest, and of the others every first, second, fourth ... of ``stride``, which
    doubles whenever they become too many, so that they are spread evenly over the run and begin with its first state.
    What waits is thinned in the same way: a disk that hangs costs no more memory than ``limit`` states.

    There are no locks: a signal handler may interrupt ``offer`` and wait for the thread that writes.

    Args:
        limit: how many states are kept; 0 keeps none.
        directory: where the database is; None in memory.
        last_number: the number of the last state that the database holds, 0 if there is none.
    """

    def __init__(self, limit: int, directory: Path | None = None, *, last_number: int = 0) -> None:
        self._limit = limit
        self._directory = directory
        self._numbers = itertools.count(last_number + 1)
        self._waiting: deque[_Snapshot] = deque()
        self._newest: _Snapshot | None = None
        self._written = last_number

    def offer(self, data: Array, step: int | None, *, little_endian: bool, copy: bool) -> None:
        """Take in a state that was logged; one that is too large is left out.

        Args:
            data: amplitudes or a density matrix of any norm.
            step: the training step it belongs to.
            little_endian: whether qubit 0 is the least significant bit of an index.
            copy: True if somebody may change ``data`` later.
        """
        limit = self._limit
        if not limit or data.size > _NUMBERS_AT_MOST:
            return
        number = next(self._numbers)
        snapshot = _Snapshot(number, time.time(), step, data.copy() if copy else data, little_endian)
        stride = _stride(number, limit)
        if _fits(number, stride):
            if len(self._waiting) >= limit:
                self._thin(stride)
            self._waiting.append(snapshot)
        self._newest = snapshot

    def write(self, connection: sqlite3.Connection) -> None:
        """Write what waits, and delete what no longer fits; what cannot be written goes on waiting.

        Raises:
            OSError, sqlite3.Error: the disk does not allow it.
        """
        newest = self._newest
        if newest is None or (newest.number <= self._written and not self._waiting):
            return
        if self._directory is not None:
            _require_room(self._directory, len(self._waiting) + 1)
        waiting = self._take()
        try:
            newest = max((newest, *waiting), key=_number)
            stride = _stride(newest.number, self._limit)
            fitting = {one.number: one for one in waiting if _fits(one.number, stride)}
            fitting[newest.number] = newest
            rows = [row for row in map(_row, fitting.values()) if row]
            _replace(connection, rows, newest.number, stride)
        except BaseException:
            self._waiting.extendleft(reversed(waiting))
            raise
        self._written = newest.number

    def close(self) -> int:
        """Take no more, and let go of what waits; returns how many states that were."""
        self._limit = 0
        left = {one.number for one in self._take()}
        if self._newest and self._newest.number > self._written:
            left.add(self._newest.number)
        self._newest = None
        return len(left)

    def _take(self) -> list[_Snapshot]:
        taken = []
        try:
            while True:
                taken.append(self._waiting.popleft())
        except IndexError:
            return taken

    def _thin(self, stride: int) -> None:
        self._waiting.extend(one for one in self._take() if _fits(one.number, stride))


def _number(snapshot: _Snapshot) -> int:
    return snapshot.number


def kept(connection: sqlite3.Connection, *, after: int = 0) -> list[KeptState]:
    """The snapshots with a number above ``after`` in their order; none where a database has no place for them."""
    if not _has_table(connection):
        return []
    rows = connection.execute(
        f"SELECT number, time, step, qubits, vector FROM states WHERE number > ? AND {_SOUND} ORDER BY number",  # noqa: S608 - a constant
        (after,),
    )
    return [KeptState(number, moment, step, qubits, bool(vector)) for number, moment, step, qubits, vector in rows]


def load(connection: sqlite3.Connection, number: int) -> Array | None:
    """One snapshot as `StoredRun.state` gives it; None if it is not there, or no state."""
    found = None
    if _has_table(connection):
        found = connection.execute(
            f"SELECT qubits, vector, data FROM states WHERE number = ? AND {_SOUND}",  # noqa: S608 - a constant
            (number,),
        ).fetchone()
    if found is None:
        return None
    qubits, vector, data = found
    numbers = np.frombuffer(data, "<c16").reshape((2**qubits,) if vector else (2**qubits, 2**qubits))
    try:
        with np.errstate(all="ignore"):
            return as_state(numbers, copy=True).data
    except ValueError:
        return None


def last_number(connection: sqlite3.Connection) -> int:
    """The number of the newest snapshot, 0 if there is none."""
    return int(connection.execute("SELECT max(number) FROM states").fetchone()[0] or 0)


def _stride(number: int, limit: int) -> int:
    """The smallest power of two that leaves room for the newest state, ``number``; 0 if there is room for no other."""
    return 1 << (max(number - 2, 0) // (limit - 1)).bit_length() if limit > 1 else 0


def _fits(number: int, stride: int) -> bool:
    return stride > 0 and (number - 1) % stride == 0


def _row(snapshot: _Snapshot) -> tuple[object, ...] | None:
    try:
        with np.errstate(all="ignore"):  # a process may have turned NumPy's warnings into errors
            known = as_state(snapshot.data)
    except ValueError:  # a matrix that the background refuses as well
        FAULTS.dropped("store", "states")
        return None
    data = _reversed_qubits(known) if snapshot.little_endian else known.data
    number, moment, step = snapshot.number, snapshot.time, snapshot.step
    return number, moment, step, known.n_qubits, int(known.is_vector), data.astype("<c16").tobytes()


def _reversed_qubits(state: State) -> Array:
    """The same state with its qubits in the opposite order."""
    axes = [*reversed(range(state.n_qubits))]
    if not state.is_vector:
        axes += [state.n_qubits + axis for axis in axes]
    turned: Array = state.data.reshape((2,) * len(axes)).transpose(axes).reshape(state.data.shape)
    return turned


def _require_room(directory: Path, snapshots: int) -> None:
    """The last of a disk belongs to the records: a write that fails leaves the log there as long as it got."""
    needed = 2 * snapshots * _BYTES_AT_MOST + _LEFT_TO_THE_RECORDS  # in the log, and then in the database
    if shutil.disk_usage(directory).free < needed:
        raise OSError(errno.ENOSPC, f"less than {needed:,} bytes of disk are left")


def _replace(connection: sqlite3.Connection, rows: list[tuple[object, ...]], newest: int, stride: int) -> None:
    """Write rows, and delete those before the newest that the stride leaves out; both or neither."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany("INSERT OR REPLACE INTO states VALUES (?,?,?,?,?,?)", rows)
        connection.execute(
            "DELETE FROM states WHERE number < ?1 AND NOT (?2 > 0 AND (number - 1) % ?2 = 0)", (newest, stride)
        )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _has_table(connection: sqlite3.Connection) -> bool:
    return (
        connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'states'").fetchone()
        is not None
    )
