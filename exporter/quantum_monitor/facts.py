"""Facts of the circuits that are executed: found at little cost, remembered by structure, within a budget.

A circuit is read into its outline, which is all that its facts depend on: the qubits of each gate, in order. What costs
most, the walk over those, is done once for each outline; new objects and new values of the parameters change nothing.
The outline is read anew every time, so that no change of a circuit can be missed. Two exceptions: a circuit of Cirq,
and a large one of PennyLane or Braket, is the same as before if it consists of the very same moments, operations or
instructions, which those frameworks never change once they are made; and one of Qiskit, whose instructions exist in
Rust only, if it has as many as before (a large one: of each name) and somebody tells of those that are replaced or
taken out (`changed`).

All of it happens in the thread that executes the circuit: a record carries the facts of its own circuit, and one that
waited for a background thread would either hold up its execution's record or be read after the program changed the
circuit. So a large circuit costs the training time. It gets its facts if such circuits took less than the budget of the
wall time lately; else only what can be counted without a walk, and the rest is dropped and counted, never guessed.
"""

from __future__ import annotations

import hashlib
import marshal
import threading
import time
import weakref
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import is_
from typing import Any, TypeAlias

from quantum_monitor.activity import CIRCUIT_FACTS
from quantum_monitor.faults import FAULTS
from quantum_monitor.physics.circuit_objects import Outline, known_reader, reader_of
from quantum_monitor.physics.circuits import CircuitFacts, circuit_facts, facts_of_outline

BUDGET = 0.05
"""Share of wall time that circuits of more than `HUGE` operations may take."""

HUGE = 20_000
"""Number of operations from which on the budget holds; up to here the facts take about ten milliseconds at most."""

_LARGE = 1_000  # operations from which on the same circuit is told by its parts
_OUTLINES_REMEMBERED = 256
_CIRCUITS_REMEMBERED = 64
_CONTENT_LENGTH = 10_000_000
_DIGEST_FROM = 1_000
_LETTERS_PER_GATE = 20

_Facts: TypeAlias = "Mapping[str, float]"
_Parts: TypeAlias = "tuple[Collection[Any], ...]"


def facts_of(circuit: Any) -> _Facts:
    """Return depth, two_qubit_depth, gates, two_qubit_gates and qubits of a circuit, as far as they are known.

    Args:
        circuit: what `quantum_monitor.physics.circuit_facts` takes.

    Returns:
        The facts by name, not to be changed, without those that are not known. Empty for a circuit that cannot be read,
        which is counted. Never raises.
    """
    try:
        unchanged = _unchanged.get(id(circuit))
        if unchanged is not None and unchanged.is_(circuit):
            return unchanged.facts
        reader = known_reader(type(circuit))
        return _facts_of_other(circuit) if reader is None else _facts_of_object(circuit, reader)
    except Exception as error:  # noqa: BLE001 - a foreign object may raise anything when it is read
        FAULTS.rejected("circuit_description", error)
        return {}


def _facts_of_other(circuit: Any) -> _Facts:
    """The facts of a description, a text, or an object of a class that none was of before."""
    kind = type(circuit)
    if kind is dict or kind is list or kind is str:
        return _facts_of_content(circuit)
    if isinstance(circuit, (CircuitFacts, Mapping, tuple)):
        return _named(circuit_facts(circuit))
    if type(source := getattr(circuit, "source", None)) is str:  # a program in OpenQASM
        return _facts_of_content(source)
    return _facts_of_object(circuit, reader_of(circuit))


def changed(circuit: object) -> None:
    """Take note that instructions of a circuit were replaced or taken out in place."""
    global _changes  # noqa: PLW0603 - counted over all circuits
    _changes += 1
    _same.pop(id(circuit), None)
    _unchanged.pop(id(circuit), None)


def some_changed() -> None:
    """Take note that some circuit, nobody knows which, was changed in place."""
    global _changes  # noqa: PLW0603 - counted over all circuits
    _changes += 1
    _same.clear()
    _unchanged.clear()


def changes_are_told(told: bool) -> None:
    """Say whether every change in place of Qiskit's circuits, but for appending, comes to `changed`; at first not."""
    global _told  # noqa: PLW0603 - one fact about this process
    _told = told
    some_changed()


def _facts_of_object(circuit: Any, reader: Any) -> _Facts:
    size = reader.size(circuit)
    if size <= _LARGE:
        return _facts_of_small(circuit, reader, size)
    parts = reader.parts(circuit) if reader.CHANGES_SHOW or _told else None
    same = _same.get(id(circuit))
    if same is not None and same.is_(circuit, parts):
        return same.facts
    if size <= HUGE:
        return _facts_of_large(circuit, reader, parts)
    if not _budget.allows():
        return _dropped(reader.counts(circuit))
    with _budget:
        return _facts_of_large(circuit, reader, parts)


def _facts_of_small(circuit: Any, reader: Any, size: int) -> _Facts:
    if reader.KNOWN_AGAIN_BY == "parts":
        return _facts_by_parts(circuit, reader)
    if reader.KNOWN_AGAIN_BY == "length" and _told:
        return _facts_until_told(circuit, reader, size)
    return _facts_of_outline(reader.read(circuit))


def _facts_by_parts(circuit: Any, reader: Any) -> _Facts:
    """The facts of a small circuit, which are those of another one, or of itself before, of the very same parts."""
    (parts,) = reader.parts(circuit)
    key = tuple(map(id, parts))
    known = _known_parts.get(key)
    if known is not None:
        return known[1]
    outline = reader.read(circuit)
    facts = _facts_of_outline(outline)
    held = tuple(parts)  # so that no other object comes to have the number of one
    if outline.is_plain and tuple(map(id, held)) == key:  # else another thread changed the circuit meanwhile
        if len(_known_parts) >= _OUTLINES_REMEMBERED:
            _known_parts.clear()
        _known_parts[key] = held, facts
    return facts


def _facts_until_told(circuit: Any, reader: Any, size: int) -> _Facts:
    """The facts of a small circuit of whose changes in place we are told, which are remembered until then."""
    number, changes = id(circuit), _changes
    data = circuit._data
    qubits = circuit.num_qubits
    outline = reader.read(circuit)
    facts = _facts_of_outline(outline)
    if outline.is_plain:
        reference = weakref.ref(circuit, lambda _: _unchanged.pop(number, None))
        if len(_unchanged) >= _OUTLINES_REMEMBERED:
            _unchanged.clear()
        _unchanged[number] = _Unchanged(reference, data, size, qubits, facts)
        if changes != _changes:  # another thread changed a circuit meanwhile
            _unchanged.pop(number, None)
    return facts


def _facts_of_large(circuit: Any, reader: Any, parts: _Parts | None) -> _Facts:
    changes = _changes
    quick = getattr(reader, "quick_facts", None)
    facts = quick(circuit) if quick is not None else None
    lasting = facts is not None
    if facts is None:
        outline = reader.read(circuit)
        facts = _named(facts_of_outline(outline))
        lasting = outline.is_plain
    if lasting and parts is not None:
        _remember(circuit, parts, facts)
        if changes != _changes:  # another thread changed a circuit meanwhile
            _same.pop(id(circuit), None)
    return facts


@lru_cache(maxsize=_OUTLINES_REMEMBERED)  # in C: no lock that a fork could find held, and the hash is taken once
def _facts_of_outline(outline: Outline) -> _Facts:
    return _named(facts_of_outline(outline))


def _facts_of_content(circuit: Any) -> _Facts:
    """The facts of a description or text; those of one that came before are remembered by its content."""
    content = _content(circuit)
    known = _known_contents.get(content) if content else None
    if known is not None:
        return known
    if _length(circuit) <= HUGE:
        facts = _named(circuit_facts(circuit))
    elif not _budget.allows():
        return _dropped({})
    else:
        with _budget:
            facts = _named(circuit_facts(circuit))
    if content:
        if len(_known_contents) >= _OUTLINES_REMEMBERED:
            _known_contents.clear()
        _known_contents[content] = facts
    return facts


def _content(circuit: Any) -> bytes | None:
    """All that a description says, as bytes: a tenth of the price of its depth. None for anything but plain data."""
    try:
        content = circuit.encode() if type(circuit) is str else marshal.dumps(circuit)
    except ValueError:  # NumPy integers, objects of a framework, half of a surrogate pair
        return None
    if len(content) > _CONTENT_LENGTH:
        return None
    return content if len(content) < _DIGEST_FROM else hashlib.blake2b(content, digest_size=16).digest()


def _length(circuit: Any) -> int:
    """About how many gates a description or text has."""
    if type(circuit) is str:
        return len(circuit) // _LETTERS_PER_GATE
    gates = circuit.get("gates") if type(circuit) is dict else circuit
    return len(gates) if isinstance(gates, (list, tuple)) else 0


def _named(facts: CircuitFacts) -> dict[str, float]:
    values = {name: getattr(facts, name) for name in CIRCUIT_FACTS}
    return {name: value for name, value in values.items() if value is not None}


def _dropped(known: _Facts) -> _Facts:
    FAULTS.dropped("circuit_facts", "budget")
    return known


@dataclass(frozen=True, slots=True)
class _Unchanged:
    """A small circuit that was read before, and of whose changes in place we are told.

    Attributes:
        circuit: the circuit, which this must not keep alive.
        data: what held its instructions.
        size: how many they were.
        qubits: how many there were.
        facts: its facts.
    """

    circuit: weakref.ref[Any]
    data: Any
    size: int
    qubits: int
    facts: _Facts

    def is_(self, circuit: Any) -> bool:
        """Tell whether this is the circuit, and it has become no longer; all that is executed again comes here."""
        known: Any = self.circuit()
        data = self.data
        return known is circuit and known._data is data and len(data) == self.size and data.num_qubits == self.qubits


@dataclass(frozen=True)
class _Same:
    """A large circuit that was read before.

    Attributes:
        circuit: the circuit, which this must not keep alive.
        parts: what it consisted of.
        facts: its facts.
    """

    circuit: weakref.ref[Any]
    parts: _Parts
    facts: _Facts

    def is_(self, circuit: Any, parts: _Parts | None) -> bool:
        """Tell whether this is the circuit, and of the very same parts still."""
        if parts is None or self.circuit() is not circuit:
            return False
        pairs = zip(parts, self.parts, strict=True)
        return all(len(now) == len(before) and all(map(is_, now, before)) for now, before in pairs)


def _remember(circuit: Any, parts: _Parts, facts: _Facts) -> None:
    number = id(circuit)
    try:
        reference = weakref.ref(circuit, lambda _: _same.pop(number, None))
    except TypeError:
        return
    if len(_same) >= _CIRCUITS_REMEMBERED:
        _same.clear()
    _same[number] = _Same(reference, tuple(map(tuple, parts)), facts)


class _Budget:
    """Lets huge circuits take their share of the time: after one, those to come wait until the share is paid back."""

    def __init__(self) -> None:
        self._resting_until = 0.0
        self._started = threading.local()

    def allows(self) -> bool:
        return time.perf_counter() >= self._resting_until

    def __enter__(self) -> None:
        self._started.at = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        now = time.perf_counter()
        self._resting_until = max(now, self._resting_until) + (now - self._started.at) * (1 / BUDGET - 1)


_budget = _Budget()
_known_contents: dict[bytes, _Facts] = {}
_unchanged: dict[int, _Unchanged] = {}
_known_parts: dict[tuple[int, ...], tuple[tuple[Any, ...], _Facts]] = {}
_same: dict[int, _Same] = {}  # the number of a circuit: the circuit
_told = False
_changes = 0  # how many we were told of
