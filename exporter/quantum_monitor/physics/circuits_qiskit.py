"""Circuits of Qiskit.

Everything with a definition is expanded but the gates of its standard library, their controlled versions (with any
number of controls), and unitaries given as matrices.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection, Hashable, Iterator
from itertools import chain
from typing import Any

from quantum_monitor.physics.circuit_objects import Expansion, Outline, Wires, expanded, is_gate

CHANGES_SHOW = False  # an instruction is made anew whenever somebody looks at it
KNOWN_AGAIN_BY = "length"  # where changes in place are told

_NAMES_REMEMBERED = 256
_verdicts: dict[str, bool] = {}  # name of an operation: whether it is a gate

_Item = tuple[Any, Wires]


def read(circuit: Any) -> Outline:
    """Return the outline of a ``QuantumCircuit``."""
    expansions: list[list[Wires]] = []
    gates = [
        wires
        for item in _instructions(circuit)
        if (wires := item.qubits if item.is_standard_gate() else _strange(item, expansions))
    ]
    if expansions:
        gates = [wires for found in gates for wires in (found if type(found) is list else (found,))]
    return Outline(tuple(gates), qubits=circuit.num_qubits, is_plain=not expansions)


def parts(circuit: Any) -> tuple[Collection[Any], ...]:
    """Return the object that holds the instructions, and how many qubits and instructions of each name there are."""
    amounts = (circuit.num_qubits, sorted(circuit.count_ops().items()))
    return ((getattr(circuit, "_data", None), sys.intern(repr(amounts))),)  # interned: equal ones are the same object


def counts(circuit: Any) -> dict[str, int]:
    """Return what Qiskit counts without walking the circuit in Python: the qubits, and gates if all are standard."""
    sizes = _sizes(circuit)
    if sizes is None:
        return {"qubits": circuit.num_qubits}
    return {"gates": sum(sizes.values()), "two_qubit_gates": sizes[2], "qubits": circuit.num_qubits}


def quick_facts(circuit: Any) -> dict[str, int] | None:
    """Return the facts by Qiskit's own walk in Rust, a third of the time of ours; None where it cannot tell them.

    It can where every gate is a standard one, and none has more than two qubits: those on one qubit can then be taken
    out without changing which gate on two comes before which.
    """
    sizes = _sizes(circuit)
    if sizes is None or max(sizes, default=0) > 2:
        return None
    from qiskit.converters import circuit_to_dag

    dag = circuit_to_dag(circuit, copy_operations=False)
    names = circuit.count_ops()
    for name in names:
        if not is_gate(name):
            dag.remove_all_ops_named(name)
    depth = pair_depth = dag.depth()
    if sizes[1]:
        for name in names:
            if _standard_size(name) == 1:
                dag.remove_all_ops_named(name)
        pair_depth = dag.depth()
    return {
        "depth": depth,
        "two_qubit_depth": pair_depth,
        "gates": sizes[1] + sizes[2],
        "two_qubit_gates": sizes[2],
        "qubits": circuit.num_qubits,
    }


def _sizes(circuit: Any) -> Counter[int] | None:
    """Number of gates by their number of qubits; None where some are not of the standard library, or not of Qiskit 2.

    Before, a gate could depend on classical bits, which Qiskit's depth takes into account.
    """
    data: Any = getattr(circuit, "_data", None)
    if not hasattr(data, "map_nonstandard_ops") or int(sys.modules["qiskit"].__version__.partition(".")[0]) < 2:
        return None
    strange: list[str] = []

    def see(operation: Any) -> Any:
        if is_gate(operation.name):
            strange.append(operation.name)
        return operation

    data.copy().map_nonstandard_ops(see)
    if strange:
        return None
    sizes: Counter[int] = Counter()
    for name, count in circuit.count_ops().items():
        if is_gate(name):
            if (qubits := _standard_size(name)) is None:
                return None
            sizes[qubits] += count
    return sizes


def _standard_size(name: str) -> int | None:
    from qiskit.circuit.library import get_standard_gate_name_mapping

    gate = get_standard_gate_name_mapping().get(name)
    return None if gate is None or not is_gate(name) else int(gate.num_qubits)


def size(circuit: Any) -> int:
    """Return the number of instructions, of which a block or a gate with a definition is one."""
    return len(_instructions(circuit))


def _instructions(circuit: Any) -> Any:
    # Of one of the library that is not built yet there is nothing so far; whoever asks for its data has it built.
    return getattr(circuit, "_data", None) or circuit.data


def _strange(item: Any, expansions: list[list[Wires]]) -> Any:
    """Return what an instruction is that is no standard gate: none, or a list of gates, noted in `expansions`."""
    name = item.name
    verdict = _verdicts.get(name)
    if verdict is None:
        if len(_verdicts) >= _NAMES_REMEMBERED:
            _verdicts.clear()
        verdict = _verdicts[name] = is_gate(name)
    if not verdict:  # building the operation, to ask it more, takes a microsecond
        return ()
    expansions.append(list(expanded([(item.operation, item.qubits)], _expand)))
    return expansions[-1]


def _items(circuit: Any, outer: Wires) -> Iterator[_Item]:
    """Yield operation and qubits of each instruction; None for the operation of a standard gate saves building it."""
    names: dict[Hashable, Hashable] = dict(zip(circuit.qubits, outer, strict=True))
    for item in circuit.data:
        wires = tuple([names[bit] for bit in item.qubits])
        yield (None if item.is_standard_gate() else item.operation), wires


def _expand(item: _Item) -> Expansion:
    operation, wires = item
    if operation is None:
        return wires
    if blocks := getattr(operation, "blocks", None):
        return _control_flow(operation, blocks, wires)
    if operation.name in {"break_loop", "continue_loop"}:
        raise ValueError(f"circuit: {operation.name} ends a loop at run time, which cannot be counted")
    if getattr(operation, "_directive", False) or not is_gate(operation.name):
        return None
    if _is_leaf(operation) or (definition := getattr(operation, "definition", None)) is None:
        return wires
    return _items(definition, wires)


def _control_flow(operation: Any, blocks: Any, wires: Wires) -> Expansion:
    """Count a branch once (of several the one with the most instructions), and a loop as often as its range is long."""
    if operation.name == "while_loop":
        raise ValueError("circuit: how often a while_loop runs is known only at run time; it cannot be counted")
    times = len(operation.params[0]) if operation.name == "for_loop" else 1
    block = max(blocks, key=lambda branch: len(branch.data))
    return chain.from_iterable(_items(block, wires) for _ in range(times))


def _is_leaf(operation: Any) -> bool:
    while (base := getattr(operation, "base_gate", None)) is not None:
        operation = base
    module = getattr(operation, "base_class", type(operation)).__module__ or ""
    return operation.name == "unitary" or module.startswith("qiskit.circuit.library.standard_gates")
