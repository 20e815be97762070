"""Facts of a circuit: depth, gates and qubits, whatever describes it.

What counts, in every format: a gate is an operation that does something to qubits. Measurements, barriers, resets,
delays, snapshots, noise and global phases are no gates and do not change the depth; the identity is a gate, as in
Qiskit and Cirq. Templates are expanded first. Depth is the length of the longest chain of gates through shared
qubits; classical bits make no dependency.
"""

from __future__ import annotations

import reprlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NoReturn, TypeAlias

from quantum_monitor.physics.circuit_objects import Wires, is_gate, read_object
from quantum_monitor.physics.qasm import read_qasm

CircuitLike: TypeAlias = Any
"""Anything `circuit_facts` understands; the frameworks that make these objects are never imported here."""

_KIND_KEYS = ("type", "name", "gate")
_QUBIT_KEYS = ("control", "controls", "target", "targets", "qubit", "qubits", "wire", "wires")
_TOTALS = {  # fact: the keys under which a description may give it
    "depth": ("depth",),
    "two_qubit_depth": ("two_qubit_depth",),
    "gates": ("gates", "n_gates", "num_gates", "gate_count"),
    "two_qubit_gates": ("two_qubit_gates",),
    "qubits": ("n_qubits", "num_qubits", "qubits", "n_wires", "num_wires", "wires"),
}


@dataclass(frozen=True)
class CircuitFacts:
    """What is known of a circuit; None is not known.

    Attributes:
        depth: layers of gates, each gate as early as its qubits allow.
        two_qubit_depth: layers of gates on exactly two qubits; other gates take no layer but still keep the order.
        gates: number of gates.
        two_qubit_gates: number of gates on exactly two qubits.
        qubits: number of qubits declared, or else named.
    """

    depth: int | None = None
    two_qubit_depth: int | None = None
    gates: int | None = None
    two_qubit_gates: int | None = None
    qubits: int | None = None


def circuit_facts(circuit: CircuitLike) -> CircuitFacts:
    """Return depth, gate counts and qubits of a circuit.

    Args:
        circuit: one of

            - a description: ``{"gates": [...], "n_qubits": 4}``, a list of gates, or totals without gates such as
              ``{"depth": 5, "n_qubits": 4}``. A gate is a dict with its name under ``type`` (or ``name``, ``gate``),
              any name, and its qubits under ``qubit``, ``qubits``, ``control`` and ``target`` (one, or a list);
            - OpenQASM 2 or 3 as text;
            - a Qiskit ``QuantumCircuit``, a PennyLane tape or list of operations, a Cirq or a Braket ``Circuit``.

    Raises:
        ValueError: what is wrong, with the index and the field of the gate or the line of the text; or a circuit whose
            length is known only when it runs (a while loop).

    Example:
        >>> circuit_facts([{"type": "h", "qubit": 0}, {"type": "cx", "control": 0, "target": 1}])
        CircuitFacts(depth=2, two_qubit_depth=1, gates=2, two_qubit_gates=1, qubits=2)
    """
    if isinstance(circuit, Mapping) and not isinstance(circuit.get("gates"), (list, tuple)):
        return _totals(circuit)
    wires, declared = _read(circuit)
    return _facts(wires, declared)


def circuit_depth(circuit: CircuitLike) -> int:
    """Return the depth of a circuit in layers of gates; what is accepted is described at `circuit_facts`.

    Raises:
        ValueError: as `circuit_facts`, or a description with neither gates nor a depth.
    """
    if isinstance(circuit, Mapping) and not isinstance(circuit.get("gates"), (list, tuple)):
        depth = _totals(circuit).depth
        if depth is None:
            raise ValueError('circuit: has neither "gates" (a list) nor "depth"; give one of them')
        return depth
    return _depth(_read(circuit)[0])


def _read(circuit: CircuitLike) -> tuple[Iterable[Wires], int | None]:
    """Return the qubits of each gate in order, and how many qubits the circuit declares."""
    if isinstance(circuit, str):
        return read_qasm(circuit)
    if isinstance(circuit, Mapping):
        declared = _declared(circuit)
        return _described(circuit["gates"], declared), declared
    if isinstance(circuit, (list, tuple)) and not all(hasattr(gate, "wires") for gate in circuit):
        return _described(circuit, None), None
    return read_object(circuit)


def _depth(circuit: Iterable[Wires]) -> int:
    levels: defaultdict[Hashable, int] = defaultdict(int)
    for gate in circuit:
        if len(gate) == 2:  # most gates, and most of the time
            a, b = gate
            level = levels[a]
            other = levels[b]
            levels[a] = levels[b] = (level if level > other else other) + 1  # noqa: FURB136 - max() takes twice as long
        else:
            level = max([levels[qubit] for qubit in gate]) + 1
            for qubit in gate:
                levels[qubit] = level
    return max(levels.values(), default=0)


def _facts(circuit: Iterable[Wires], declared: int | None) -> CircuitFacts:
    levels: defaultdict[Hashable, int] = defaultdict(int)
    pair_levels: defaultdict[Hashable, int] = defaultdict(int)
    gates = pairs = 0
    for gate in circuit:
        gates += 1
        pair = len(gate) == 2
        pairs += pair
        level = max([levels[qubit] for qubit in gate]) + 1
        pair_level = max([pair_levels[qubit] for qubit in gate]) + pair
        for qubit in gate:
            levels[qubit] = level
            pair_levels[qubit] = pair_level
    return CircuitFacts(
        depth=max(levels.values(), default=0),
        two_qubit_depth=max(pair_levels.values(), default=0),
        gates=gates,
        two_qubit_gates=pairs,
        qubits=len(levels) if declared is None else declared,
    )


def _totals(description: Mapping[str, Any]) -> CircuitFacts:
    found: dict[str, int] = {}
    for fact, keys in _TOTALS.items():
        for key in keys:
            value = description.get(key)
            if value is None:
                continue
            if fact == "qubits" and isinstance(value, (list, tuple)):
                value = len(value)
            found.setdefault(fact, _count(value, key))
    return CircuitFacts(**found)


def _declared(description: Mapping[str, Any]) -> int | None:
    return _totals({key: description[key] for key in _TOTALS["qubits"] if key in description}).qubits


def _count(value: Any, key: str) -> int:
    if hasattr(value, "__index__") and not isinstance(value, bool) and value.__index__() >= 0:
        return int(value.__index__())
    raise ValueError(f"circuit: {key} is {value!r}; expected a count, 0 or more")


def _described(gates: list[Any] | tuple[Any, ...], n_qubits: int | None) -> list[Wires]:
    """Read a list of gate dicts; one of plain two-qubit gates is read column by column, in a fraction of the time."""
    try:
        wires: list[Wires] = list(map(itemgetter("control", "target"), gates))
        names = set(map(itemgetter("type"), gates))
        controls, targets = set(map(itemgetter(0), wires)), set(map(itemgetter(1), wires))
    except (KeyError, TypeError):
        return _described_one_by_one(gates, n_qubits)
    plain = (
        all(type(name) is str and is_gate(name) for name in names)
        and all(type(qubit) is int and _in_range(qubit, n_qubits) for qubit in controls | targets)
        and not any(control == target for control, target in wires)
        and all(len(gate) == 3 for gate in gates)
    )
    return wires if plain else _described_one_by_one(gates, n_qubits)


def _described_one_by_one(gates: list[Any] | tuple[Any, ...], n_qubits: int | None) -> list[Wires]:
    verdicts: dict[Any, bool] = {}
    wires: list[Wires] = []
    for index, gate in enumerate(gates):
        if not isinstance(gate, Mapping):
            _wrong(index, "", gate, "expected a dict with a type and qubits")
        name = next((gate[key] for key in _KIND_KEYS if key in gate), None)
        if not isinstance(name, str):
            _wrong(index, "type", name, "expected the name of a gate")
        if name not in verdicts:
            verdicts[name] = is_gate(name)
        if verdicts[name]:
            wires.append(_gate_qubits(gate, index, n_qubits))
    return wires


def _gate_qubits(gate: Mapping[str, Any], index: int, n_qubits: int | None) -> Wires:
    qubits: list[Hashable] = []
    for key in _QUBIT_KEYS:
        if key not in gate:
            continue
        value = gate[key]
        for qubit in value if isinstance(value, (list, tuple)) else (value,):
            if type(qubit) is not int and not isinstance(qubit, str):
                if isinstance(qubit, bool) or not hasattr(qubit, "__index__"):
                    _wrong(index, key, qubit, "a qubit is a number or a name")
                qubit = qubit.__index__()  # noqa: PLW2901 - the same qubit, as a plain int
            if isinstance(qubit, int) and not _in_range(qubit, n_qubits):
                _wrong(
                    index,
                    key,
                    qubit,
                    f"qubits are 0 to {n_qubits - 1}" if n_qubits else "a qubit's number is 0 or more",
                )
            if qubit in qubits:
                _wrong(index, key, qubit, "the gate names this qubit twice")
            qubits.append(qubit)
    if not qubits:
        _wrong(index, "qubits", None, "the gate acts on no qubit; name them under qubit, qubits, or control and target")
    return tuple(qubits)


def _in_range(qubit: int, n_qubits: int | None) -> bool:
    return qubit >= 0 and (n_qubits is None or qubit < n_qubits)


def _wrong(index: int, field: str, value: object, mend: str) -> NoReturn:
    raise ValueError(f"circuit: gates[{index}]{field and '.' + field} is {reprlib.repr(value)}; {mend}")
