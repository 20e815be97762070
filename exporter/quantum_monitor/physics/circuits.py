"""Facts of a circuit: depth, gates and qubits, whatever describes it.

What counts, in every format: a gate is an operation that does something to qubits. Measurements, barriers, resets,
delays, snapshots, noise and global phases are no gates and do not change the depth; the identity is a gate, as in
Qiskit and Cirq. Templates are expanded first. Depth is the length of the longest chain of gates through shared
qubits; classical bits make no dependency.
"""

from __future__ import annotations

import reprlib
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, NoReturn, TypeAlias

from quantum_monitor.physics.circuit_objects import Outline, Wires, is_gate, read_object

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
            - a Qiskit ``QuantumCircuit``, a PennyLane tape or list of operations, a Cirq or a Braket ``Circuit``, a
              Braket program (OpenQASM or JAQCD);
            - facts computed before, which are returned as they are.

    Raises:
        ValueError: what is wrong, with the index and the field of the gate or the line of the text; or a circuit whose
            length is known only when it runs (a while loop).

    Example:
        >>> circuit_facts([{"type": "h", "qubit": 0}, {"type": "cx", "control": 0, "target": 1}])
        CircuitFacts(depth=2, two_qubit_depth=1, gates=2, two_qubit_gates=1, qubits=2)
    """
    if isinstance(circuit, CircuitFacts):
        return circuit
    if not isinstance(circuit, str) and isinstance(source := getattr(circuit, "source", None), str):
        circuit = source
    if isinstance(circuit, str):
        from quantum_monitor.physics.qasm import read_qasm  # its tokenizer is a tenth of the import of all of ours

        return _facts(*read_qasm(circuit))
    if isinstance(circuit, Mapping):
        gates, declared = circuit.get("gates"), _declared(circuit)
        if not isinstance(gates, (list, tuple)):
            totals = _totals(circuit)
            if circuit and totals == CircuitFacts():
                raise ValueError(
                    f'circuit: {sorted(map(str, circuit))[:5]} tell nothing; give "gates" (a list) or "depth"'
                )
            return totals
    elif isinstance(circuit, (list, tuple)) and not all(hasattr(gate, "wires") for gate in circuit):
        gates, declared = circuit, None
    else:
        return facts_of_outline(read_object(circuit))
    return _facts_of_pairs(gates, declared) or _facts(_described(gates, declared), declared)


def circuit_depth(circuit: CircuitLike) -> int:
    """Return the depth of a circuit in layers of gates; what is accepted is described at `circuit_facts`.

    Raises:
        ValueError: as `circuit_facts`, or a description with neither gates nor a depth.
    """
    depth = circuit_facts(circuit).depth
    if depth is None:
        raise ValueError('circuit: has neither "gates" (a list) nor "depth"; give one of them')
    return depth


def facts_of_outline(outline: Outline) -> CircuitFacts:
    """Return the facts that an outline determines."""
    qubits = outline.qubits
    if qubits is None:
        qubits = len(set().union(*outline.gates, *outline.others))
    return _facts(outline.gates, qubits)


def _facts(circuit: Iterable[Wires], declared: int | None) -> CircuitFacts:
    levels: defaultdict[Hashable, list[int]] = defaultdict(lambda: [0, 0])  # qubit: depth, two-qubit depth so far
    gates = pairs = 0
    for gates, gate in enumerate(circuit, start=1):  # noqa: B007 - its last value is how many there are
        if len(gate) == 1:
            levels[gate[0]][0] += 1
        elif len(gate) == 2:
            pairs += 1
            one, other = levels[gate[0]], levels[gate[1]]
            level = one[0] if one[0] > other[0] else other[0]  # noqa: FURB136 - max() takes twice as long
            one[0] = other[0] = level + 1
            level = one[1] if one[1] > other[1] else other[1]  # noqa: FURB136 - max() takes twice as long
            one[1] = other[1] = level + 1
        else:
            several = [levels[qubit] for qubit in gate]
            reached = max([level for level, _ in several]) + 1, max([level for _, level in several])
            for one in several:
                one[:] = reached
    depth, pair_depth = map(max, zip(*levels.values(), strict=True)) if levels else (0, 0)
    return CircuitFacts(
        depth=depth,
        two_qubit_depth=pair_depth,
        gates=gates,
        two_qubit_gates=pairs,
        qubits=len(levels) if declared is None else declared,
    )


def _facts_of_pairs(gates: Sequence[Any], n_qubits: int | None) -> CircuitFacts | None:
    """Return the facts of a list of plain two-qubit gates in one pass, or None where there are others or an error.

    Written for speed: long lists are mostly such, and a training loop waits for this.
    """
    levels: defaultdict[Hashable, int] = defaultdict(int)
    try:
        for gate in gates:
            a = gate["control"]
            b = gate["target"]
            if a == b:
                return None
            level = levels[a]
            if level < levels[b]:  # noqa: PLR1730 - as an `if`, this takes half as long as max()
                level = levels[b]
            levels[a] = levels[b] = level + 1
        names = set(map(itemgetter("type"), gates))
        nothing_else = sum(map(len, gates)) == 3 * len(gates)
    except (KeyError, TypeError):
        return None
    named = all(type(name) is str and is_gate(name) for name in names)
    numbered = all(type(qubit) is int and _in_range(qubit, n_qubits) for qubit in levels)
    if not (nothing_else and named and numbered):
        return None
    depth, qubits = max(levels.values(), default=0), len(levels) if n_qubits is None else n_qubits
    return CircuitFacts(depth, depth, len(gates), len(gates), qubits)


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


def _described(gates: Sequence[Any], n_qubits: int | None) -> Iterator[Wires]:
    """Yield the qubits of each gate of a list of dicts."""
    layouts: dict[tuple[Any, ...], tuple[str, list[str]]] = {}
    verdicts: dict[str, bool] = {}
    checked: set[Wires] = set()
    for index, gate in enumerate(gates):
        if type(gate) is not dict and not isinstance(gate, Mapping):
            _wrong(index, "", gate, "expected a dict with a type and qubits")
        keys = tuple(gate)
        if keys not in layouts:
            layouts[keys] = _layout(gate)
        kind, places = layouts[keys]
        name = gate.get(kind)
        if not isinstance(name, str):
            _wrong(index, kind, name, "expected the name of a gate")
        if name not in verdicts:
            verdicts[name] = is_gate(name)
        if not verdicts[name]:
            continue
        qubits = tuple([gate[place] for place in places])
        try:
            known = qubits in checked  # most circuits name the same few groups of qubits again and again
        except TypeError:  # a list among them
            known = False
        if not known:
            qubits = _gate_qubits(gate, places, index, n_qubits)
            checked.add(qubits)
        yield qubits


def _layout(gate: Mapping[str, Any]) -> tuple[str, list[str]]:
    """Return the key of a gate's name and the keys of its qubits."""
    return next((key for key in _KIND_KEYS if key in gate), _KIND_KEYS[0]), [key for key in _QUBIT_KEYS if key in gate]


def _gate_qubits(gate: Mapping[str, Any], places: list[str], index: int, n_qubits: int | None) -> Wires:
    qubits: list[Hashable] = []
    for key in places:
        value = gate[key]
        for given in value if isinstance(value, (list, tuple)) else (value,):
            qubit = given if type(given) is int else _qubit(given, index, key)
            if type(qubit) is int and not _in_range(qubit, n_qubits):
                mend = f"qubits are 0 to {n_qubits - 1}" if n_qubits else "a qubit's number is 0 or more"
                _wrong(index, key, given, mend)
            if qubit in qubits:
                _wrong(index, key, given, "the gate names this qubit twice")
            qubits.append(qubit)
    if not qubits:
        _wrong(index, "qubits", None, "the gate acts on no qubit; name them under qubit, qubits, or control and target")
    return tuple(qubits)


def _qubit(given: Any, index: int, key: str) -> int | str:
    if isinstance(given, str):
        return given
    if isinstance(given, bool) or not hasattr(given, "__index__"):
        _wrong(index, key, given, "a qubit is a number or a name")
    return int(given.__index__())


def _in_range(qubit: int, n_qubits: int | None) -> bool:
    return qubit >= 0 and (n_qubits is None or qubit < n_qubits)


def _wrong(index: int, field: str, value: object, mend: str) -> NoReturn:
    raise ValueError(f"circuit: gates[{index}]{field and '.' + field} is {reprlib.repr(value)}; {mend}")
