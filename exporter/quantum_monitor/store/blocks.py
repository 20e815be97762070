"""Records as blocks of numbers: all records of one shape become rows of one array of doubles.

A row is ``(sequence, time, step or NaN, *values)``, little-endian. The sequence number counts the records of a run from
1 and gives their order back, whatever the shape. ``docs/adr/0002-records-in-blocks.md`` says why rows were not enough.
"""

from __future__ import annotations

import json
import math
import sqlite3
import sys
from array import array
from collections import deque
from typing import NamedTuple

import numpy as np

from quantum_monitor.faults import FAULTS
from quantum_monitor.record import NO_LABELS, Record

LEADING_COLUMNS = 3
_RECORDS_IN_A_BATCH = 20_000
_SHAPES_REMEMBERED = 10_000
# A batch is one statement of five parameters a block; before 3.32 SQLite took no more than 999 parameters.
_BLOCKS_IN_A_BATCH = 1_000 if sqlite3.sqlite_version_info >= (3, 32) else 190


class Shape(NamedTuple):
    """What the records of a block have in common.

    Attributes:
        kind: the kind of the records.
        labels: their labels, name and value.
        fields: the names of their values, in the order of the columns.
    """

    kind: str
    labels: tuple[tuple[str, str], ...]
    fields: tuple[str, ...]

    @property
    def width(self) -> int:
        """The number of columns of a block of this shape."""
        return LEADING_COLUMNS + len(self.fields)


class Batch(NamedTuple):
    """What one flush writes, ready to be bound to two statements; writing it twice is harmless.

    Attributes:
        taken: how many records it holds, those that could not be read included.
        size: about how many bytes it needs.
        shapes: rows for the table ``shapes``: id, kind, labels and fields as JSON.
        blocks: rows for the table ``blocks``: first sequence of the block, first and last sequence of the batch,
            shape id, data.
    """

    taken: int
    size: int
    shapes: list[tuple[int, str, str, str]]
    blocks: list[tuple[int, int, int, int, bytes]]


class Packer:
    """Takes records off a queue, numbers them and packs them into batches."""

    def __init__(self, *, next_sequence: int = 1, next_shape: int = 1) -> None:
        self.next_sequence = next_sequence
        self._next_shape = next_shape
        self._shapes: dict[Shape, int] = {}

    @property
    def forgetful(self) -> bool:
        """Whether the next batch begins by forgetting the known shapes, which keeps their memory bounded.

        A shape that comes again after that is written again under a new number; readers treat equal shapes alike.
        """
        return len(self._shapes) >= _SHAPES_REMEMBERED

    def pack(self, queue: deque[Record], at_most: int) -> Batch:
        """Take up to ``at_most`` records (and no more than one statement can hold) off the queue's left end."""
        if self.forgetful:
            self._shapes.clear()
        begin = self.next_sequence
        numbers = self._numbers(queue, at_most)
        shapes: list[tuple[int, str, str, str]] = []
        packed: list[tuple[int, int, bytes]] = []
        for shape, flat in numbers.items():
            data = _bytes(flat, shape.width)
            if data:
                packed.append((_first(data), self._number_of(shape, shapes), data))
        packed.sort()
        last = self.next_sequence - 1
        blocks = [(first, begin, last, number, data) for first, number, data in packed]
        size = sum(len(data) + 64 for _, _, data in packed) + sum(len(row[2]) + len(row[3]) + 64 for row in shapes)
        return Batch(last + 1 - begin, size, shapes, blocks)

    def _numbers(self, queue: deque[Record], at_most: int) -> dict[Shape, list[float]]:
        numbers: dict[Shape, list[float]] = {}
        take = queue.popleft
        for _ in range(min(at_most, len(queue), _RECORDS_IN_A_BATCH)):
            if len(numbers) >= _BLOCKS_IN_A_BATCH:
                break
            kind, time, step, fields, labels = take()
            sequence = self.next_sequence
            self.next_sequence += 1
            try:
                # Paid for every record beside the training thread: a plain tuple finds its equal `Shape` at a third
                # of the price of making one.
                key = (kind, tuple(labels.items()) if labels else (), (*fields,))
                flat = numbers.get(key)  # type: ignore[call-overload]
                if flat is None:
                    flat = numbers[Shape(*key)] = []
                flat += (sequence, time, math.nan if step is None else step, *fields.values())
            except Exception:  # noqa: BLE001 - one record that is none must not cost the others
                FAULTS.dropped("store", "unreadable")
        return numbers

    def _number_of(self, shape: Shape, new: list[tuple[int, str, str, str]]) -> int:
        number = self._shapes.get(shape)
        if number is None:
            number = self._shapes[shape] = self._next_shape
            self._next_shape += 1
            labels = json.dumps(dict(shape.labels), default=str)
            new.append((number, str(shape.kind), labels, json.dumps(shape.fields)))
        return number


def write(connection: sqlite3.Connection, batch: Batch) -> None:
    """Write a batch: its new shapes by one statement, then all of its blocks by another.

    Each statement is a transaction of its own. A shape without blocks is harmless, and readers see all blocks of a
    batch or none.
    """
    if batch.shapes:
        values = ",".join(["(?,?,?,?)"] * len(batch.shapes))
        connection.execute(f"INSERT OR IGNORE INTO shapes VALUES {values}", [v for row in batch.shapes for v in row])  # noqa: S608 - placeholders only
    if batch.blocks:
        values = ",".join(["(?,?,?,?,?)"] * len(batch.blocks))
        connection.execute(f"INSERT OR IGNORE INTO blocks VALUES {values}", [v for row in batch.blocks for v in row])  # noqa: S608 - placeholders only


def rows(shape: Shape, data: bytes) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """The numbers of one or several joined blocks, shape (records, columns), read-only."""
    return np.frombuffer(data, "<f8").reshape(-1, shape.width)


def records(shape: Shape, data: bytes) -> list[tuple[int, Record]]:
    """The records of a block, each with its sequence number, in their order."""
    kind, fields = shape.kind, shape.fields
    labels = dict(shape.labels) or NO_LABELS
    found = []
    for sequence, time, number, *values in rows(shape, data).tolist():
        step = int(number) if math.isfinite(number) else None
        found.append((int(sequence), Record(kind, time, step, dict(zip(fields, values, strict=True)), labels)))
    return found


def _bytes(flat: list[float], width: int) -> bytes:
    try:
        numbers = array("d", flat)
    except (TypeError, ValueError, OverflowError):
        numbers = array("d")
        for start in range(0, len(flat), width):
            try:
                numbers.extend(array("d", flat[start : start + width]))
            except (TypeError, ValueError, OverflowError):
                FAULTS.dropped("store", "unreadable")
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers.tobytes()


def _first(data: bytes) -> int:
    return int(np.frombuffer(data, "<f8", count=1)[0])
