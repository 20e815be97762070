"""StoredRun: a run's directory, read by anybody while it is written or afterwards."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from quantum_monitor.physics.states import Array
from quantum_monitor.record import Record
from quantum_monitor.store import blocks, runfile, states
from quantum_monitor.store.blocks import LEADING_COLUMNS, Shape
from quantum_monitor.store.database import reading, reading_as_it_is
from quantum_monitor.store.layout import DATABASE, DESCRIPTION
from quantum_monitor.store.states import KeptState

_BYTES_AT_ONCE = 4 * 2**20
_HIGHEST_SEQUENCE = 2**53  # sequence numbers are doubles in the blocks

Numbers = np.ndarray[tuple[int], np.dtype[np.float64]]


class Series(NamedTuple):
    """The values of one field in the order they were logged; three arrays of one length.

    Attributes:
        time: Unix time in seconds.
        step: training step, NaN where the record had none.
        value: the values, NaN where NaN was measured.
    """

    time: Numbers
    step: Numbers
    value: Numbers


class Table(NamedTuple):
    """Records of one kind, with the same labels and fields.

    Attributes:
        kind: their kind.
        labels: their labels, name and value.
        fields: the names of their values.
        rows: a row a record: sequence number, Unix time, step or NaN, and the values; read-only.
    """

    kind: str
    labels: tuple[tuple[str, str], ...]
    fields: tuple[str, ...]
    rows: np.ndarray[tuple[int, int], np.dtype[np.float64]]


class FieldSeries(NamedTuple):
    """The series of one field under one kind and one set of labels."""

    field: str
    kind: str
    labels: Mapping[str, str]
    series: Series


class StoredRun:
    """One run as its directory tells it. Safe to use from several threads; opens the files anew for each question.

    Args:
        directory: the run's directory.
        address: where the records are instead, if they are kept in memory; see ``RunStore.reader``.
        info: gives the description that goes with them.

    Raises:
        FileNotFoundError: the directory holds no run.

    Example:
        >>> loss = StoredRun("quantum_monitoring/h2/3f2a").series("loss")  # doctest: +SKIP
        >>> loss.value.min()  # doctest: +SKIP
    """

    def __init__(
        self, directory: str | Path, *, address: str | None = None, info: Callable[[], Mapping[str, Any]] | None = None
    ) -> None:
        self.directory = Path(directory)
        self._source: Path | str = address or self.directory / DATABASE
        self._info = info
        if address is None and not (self.directory / DESCRIPTION).is_file():
            message = f"{self.directory} holds no {DESCRIPTION}: give the directory of a run, STORAGE/EXPERIMENT/RUN_ID"
            raise FileNotFoundError(message)

    @property
    def info(self) -> dict[str, Any]:
        """What ``run.json`` says at this moment."""
        return runfile.read(self.directory / DESCRIPTION) if self._info is None else dict(self._info())

    @property
    def status(self) -> str:
        """``running``, ``completed``, ``failed``, ``stopped``; ``killed`` when the writer is gone without an end.

        A writer on another host is believed to run.
        """
        info = self.info
        status = str(info.get("status", "running"))
        return "killed" if status == "running" and runfile.writer_state(info) == "gone" else status

    @property
    def last_sequence(self) -> int:
        """The sequence number of the last record written, 0 if there is none."""
        with reading(self._source) as connection:
            row = connection.execute("SELECT last FROM blocks ORDER BY first DESC LIMIT 1").fetchone()
        return row[0] if row else 0

    def records(self, *, after: int = 0, kinds: Collection[str] | None = None) -> Iterator[tuple[int, Record]]:
        """All records in the order they were logged, each with its sequence number.

        Reads some megabytes at a time and holds nothing open in the database between them, so a slow consumer
        does not hinder the writer. Ends with what is written when it gets there.

        Args:
            after: skip the records up to this sequence number: the cursor of whoever reads on later.
            kinds: only records of these kinds.
        """
        with reading(self._source) as connection:
            shapes: dict[int, Shape] = {}
            begin = _first_batch(connection, after)
            while page := _page(connection, begin):
                shapes.update(_shapes(connection, above=max(shapes, default=0)))
                for last, batch in page:
                    found: list[tuple[int, Record]] = []
                    for number, data in batch:
                        shape = shapes.get(number)  # in memory, the oldest may go at any moment
                        if shape and (kinds is None or shape.kind in kinds):
                            found += _records(shape, data)
                    found.sort(key=_sequence)
                    yield from found if begin > after else (item for item in found if item[0] > after)
                    begin = last + 1

    def tables(self, *, after: int = 0) -> Iterator[list[Table]]:
        """All records as numbers, several megabytes at a time: a list of tables for each stretch of the run.

        The records of the tables of one list interleave; all of them come before those of the next list. Otherwise
        like `records`, at a hundredth of its price.

        Args:
            after: skip the records up to this sequence number: the cursor of whoever reads on later.
        """
        with reading(self._source) as connection:
            shapes: dict[int, Shape] = {}
            begin = _first_batch(connection, after)
            while page := _page(connection, begin):
                shapes.update(_shapes(connection, above=max(shapes, default=0)))
                parts: dict[int, list[bytes]] = {}
                for _, batch in page:
                    for number, data in batch:
                        parts.setdefault(number, []).append(data)
                tables = []
                for number, found in parts.items():
                    if number in shapes:  # in memory, the oldest may go at any moment
                        rows = _rows(shapes[number], found)
                        rows = rows if begin > after else rows[rows[:, 0] > after]
                        if len(rows):
                            tables.append(Table(*shapes[number], rows))
                yield tables
                begin = page[-1][0] + 1

    def series(self, field: str, *, kind: str | None = None, labels: Mapping[str, str] | None = None) -> Series:
        """One field as arrays, over all records that have it.

        Args:
            field: the field's name.
            kind: only records of this kind.
            labels: only records that carry at least these labels.

        Returns:
            The series, empty if nothing matches.
        """
        wanted = set((labels or {}).items())
        with reading(self._source) as connection:
            columns = [
                (number, shape)
                for number, shape in _shapes(connection, containing=field).items()
                if field in shape.fields and kind in {None, shape.kind} and wanted <= set(shape.labels)
            ]
            return _series(connection, field, columns)

    def all_series(self) -> Iterator[FieldSeries]:
        """Every field under every kind and set of labels, one after the other; those of one field together."""
        with reading(self._source) as connection:
            found: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], list[tuple[int, Shape]]]] = {}
            for number, shape in _shapes(connection).items():
                for field in shape.fields:
                    key = (shape.kind, tuple(sorted(shape.labels)))
                    found.setdefault(field, {}).setdefault(key, []).append((number, shape))
            for field, groups in found.items():
                for (kind, labels), columns in groups.items():
                    series = _series(connection, field, columns)
                    if len(series.time):
                        yield FieldSeries(field, kind, dict(labels), series)

    def fields(self) -> list[str]:
        """The names of all fields, in the order of their first appearance."""
        with reading(self._source) as connection:
            shapes = _shapes(connection).values()
        return list(dict.fromkeys(field for shape in shapes for field in shape.fields))

    def states(self, after: int = 0) -> list[KeptState]:
        """The snapshots that are kept of the logged states, oldest first: evenly spread ones, the first, the newest.

        While the run goes on, what is listed now may be thinned out a second later. Empty where none was kept:
        ``keep_states=0``, states of more than 12 qubits (matrices of more than 6), a run of an older version.

        Args:
            after: skip the states up to this number.
        """
        with reading_as_it_is(self._source) as connection:
            return states.kept(connection, after=after)

    def state(self, number: int) -> Array:
        """One of the snapshots that `states` lists, normalised, qubit 0 most significant, whatever it was logged as.

        Returns:
            Amplitudes, shape (2^n,), or a density matrix, shape (2^n, 2^n); complex128, the caller's own.

        Raises:
            KeyError: there is no such snapshot, or no longer.
        """
        with reading_as_it_is(self._source) as connection:
            found = states.load(connection, number)
        if found is None:
            raise KeyError(f"{self.directory} keeps no state of number {number!r}: take one that states() lists now")
        return found


def _sequence(item: tuple[int, Record]) -> int:
    return item[0]


def _shapes(connection: sqlite3.Connection, *, above: int = 0, containing: str = "") -> dict[int, Shape]:
    rows = connection.execute(
        "SELECT id, kind, labels, fields FROM shapes WHERE id > ? AND instr(fields, ?) ORDER BY id",
        (above, json.dumps(containing) if containing else "["),
    )
    return {number: _shape(kind, labels, fields) for number, kind, labels, fields in rows}


# A database may come from a stranger: one that makes no sense is an error like any damage, and no endless loop.


def _damaged(what: str) -> sqlite3.DatabaseError:
    return sqlite3.DatabaseError(f"the database of the run is damaged: {what}; restore it from a copy")


def _shape(kind: str, labels: str, fields: str) -> Shape:
    try:
        named = tuple((name, str(value)) for name, value in json.loads(labels).items())
        return Shape(str(kind), named, tuple(map(str, json.loads(fields))))
    except (AttributeError, RecursionError, TypeError, ValueError) as error:
        raise _damaged("labels or fields of its records are none") from error


def _rows(shape: Shape, data: list[bytes]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    try:
        rows = blocks.rows(shape, b"".join(data))
    except (TypeError, ValueError) as error:
        raise _damaged(f"records of the kind {shape.kind!r} are cut off") from error
    if not np.isfinite(rows[:, 0]).all():
        raise _damaged(f"records of the kind {shape.kind!r} have no number")
    return rows


def _records(shape: Shape, data: bytes) -> list[tuple[int, Record]]:
    _rows(shape, [data])
    return blocks.records(shape, data)


def _first_batch(connection: sqlite3.Connection, after: int) -> int:
    """Where the batch begins that holds the first record after a sequence number."""
    row = connection.execute(
        "SELECT batch FROM blocks WHERE first <= ? ORDER BY first DESC LIMIT 1", (after + 1,)
    ).fetchone()
    return row[0] if row else 0


def _page(connection: sqlite3.Connection, begin: int) -> list[tuple[int, list[tuple[int, bytes]]]]:
    """Whole batches from sequence number ``begin`` on: the last sequence number of each, and its blocks."""
    cursor = connection.execute("SELECT batch, last, shape, data FROM blocks WHERE first >= ? ORDER BY first", (begin,))
    page: list[tuple[int, list[tuple[int, bytes]]]] = []
    size = 0
    for (_, last), rows in groupby(cursor, key=lambda row: (row[0], row[1])):
        if not isinstance(last, int) or not begin <= last < _HIGHEST_SEQUENCE:
            raise _damaged(f"its records do not go on after number {begin - 1}")
        batch = [(shape, data) for _, _, shape, data in rows]
        page.append((last, batch))
        size += sum(len(data) for _, data in batch)
        if size >= _BYTES_AT_ONCE:
            break
    cursor.close()
    return page


def _series(connection: sqlite3.Connection, field: str, columns: list[tuple[int, Shape]]) -> Series:
    parts = []
    for number, shape in columns:
        found = connection.execute("SELECT data FROM blocks WHERE shape = ? ORDER BY first", (number,))
        numbers = _rows(shape, [data for (data,) in found])
        parts.append(numbers[:, (0, 1, 2, LEADING_COLUMNS + shape.fields.index(field))])
    if not parts:
        return Series(np.empty(0), np.empty(0), np.empty(0))
    joined = np.concatenate(parts)
    if len(parts) > 1:
        joined = joined[np.argsort(joined[:, 0], kind="stable")]
    _, time, step, value = (np.ascontiguousarray(column) for column in joined.T)
    return Series(time, step, value)
