"""Circuit objects of Qiskit, PennyLane, Cirq and Braket, read by their attributes: no framework is imported.

Each reader gives the qubits of one gate after another. What a framework builds from smaller gates (templates,
subcircuits, loops) is expanded until its elementary gates; how far is said at each reader, and is chosen so that the
same circuit has the same depth in each of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import nullcontext
from itertools import chain, repeat
from typing import Any, TypeAlias

Wires: TypeAlias = "tuple[Hashable, ...]"
_Expansion: TypeAlias = "tuple[Any, ...] | Iterable[Any] | None"
"""What one operation is: a gate on these qubits (a tuple), other operations (any other iterable), or no gate."""

EXPANSION_LIMIT = 1_000_000
NESTING_LIMIT = 64

_NO_GATES = frozenset(
    ["barrier", "delay", "wait", "reset", "snapshot", "wirecut", "gphase", "global_phase", "globalphase", "nop"]
)
_NO_GATE_PREFIXES = ("measure", "save_")
_LEAF_MODULES = "pennylane.ops."


def is_gate(name: str) -> bool:
    """Tell whether an operation of this name is a gate: not a measurement, barrier, reset, delay or global phase."""
    lowered = name.lower()
    return lowered not in _NO_GATES and not lowered.startswith(_NO_GATE_PREFIXES)


def read_object(circuit: Any) -> tuple[Iterable[Wires], int | None]:
    """Return the qubits of each gate of a circuit object, lazily, and the number of its qubits.

    Raises:
        ValueError: no known circuit object; while reading, one whose length is known only when it runs.
    """
    if callable(getattr(circuit, "all_operations", None)):
        return _expanded(circuit.all_operations(), _cirq_operation), len(circuit.all_qubits())
    if hasattr(circuit, "operations") and hasattr(circuit, "measurements"):
        return _expanded(circuit.operations, _pennylane_operation), len(circuit.wires)
    if hasattr(circuit, "data") and hasattr(circuit, "num_qubits") and hasattr(circuit, "qubits"):
        return _expanded(_qiskit_items(circuit, None), _qiskit_operation), circuit.num_qubits
    if hasattr(circuit, "instructions") and hasattr(circuit, "qubit_count"):
        return _expanded(circuit.instructions, _braket_instruction), circuit.qubit_count
    if isinstance(circuit, (list, tuple)):
        return _expanded(circuit, _pennylane_operation), None
    raise ValueError(
        f"circuit: {type(circuit).__name__} is not understood; pass a description dict, a list of gates, OpenQASM, "
        "or a circuit of Qiskit, PennyLane (a tape: qml.workflow.construct_tape(qnode)(...)), Cirq or Braket"
    )


def _expanded(operations: Iterable[Any], expand: Callable[[Any], _Expansion]) -> Iterator[Wires]:
    """Walk operations depth first with a stack of our own, so that no nesting can exhaust Python's."""
    stack = [iter(operations)]
    steps = 0
    while stack:
        for operation in stack[-1]:
            steps += 1
            if steps > EXPANSION_LIMIT:
                raise ValueError(f"circuit: expands to more than {EXPANSION_LIMIT} operations")
            inner = expand(operation)
            if isinstance(inner, tuple):
                if inner:
                    yield inner
            elif inner is not None:
                if len(stack) >= NESTING_LIMIT:
                    raise ValueError(f"circuit: operations nested more than {NESTING_LIMIT} deep")
                stack.append(iter(inner))
                break
        else:
            stack.pop()


# Qiskit: everything with a definition is expanded but the gates of its standard library, their controlled versions
# (with any number of controls), and unitaries given as matrices.


def _qiskit_items(circuit: Any, outer: Wires | None) -> Iterator[tuple[Any, Wires]]:
    """Yield operation and qubits of each instruction; None for the operation of a standard gate saves building it."""
    names = {bit: (index if outer is None else outer[index]) for index, bit in enumerate(circuit.qubits)}
    for item in circuit.data:
        wires = tuple([names[bit] for bit in item.qubits])
        standard = getattr(item, "is_standard_gate", None)
        yield (None if standard is not None and standard() else item.operation), wires


def _qiskit_operation(item: tuple[Any, Wires]) -> _Expansion:
    operation, wires = item
    if operation is None:
        return wires
    if blocks := getattr(operation, "blocks", None):
        return _qiskit_control_flow(operation, blocks, wires)
    if operation.name in {"break_loop", "continue_loop"}:
        raise ValueError(f"circuit: {operation.name} ends a loop at run time, which cannot be counted")
    if getattr(operation, "_directive", False) or not is_gate(operation.name):
        return None
    if _is_qiskit_leaf(operation) or (definition := getattr(operation, "definition", None)) is None:
        return wires
    return _qiskit_items(definition, wires)


def _qiskit_control_flow(operation: Any, blocks: Any, wires: Wires) -> _Expansion:
    """Count a branch once (of several the one with the most instructions), and a loop as often as its range is long."""
    if operation.name == "while_loop":
        raise ValueError("circuit: how often a while_loop runs is known only at run time; it cannot be counted")
    times = len(operation.params[0]) if operation.name == "for_loop" else 1
    block = max(blocks, key=lambda branch: len(branch.data))
    return chain.from_iterable(_qiskit_items(block, wires) for _ in range(times))


def _is_qiskit_leaf(operation: Any) -> bool:
    while (base := getattr(operation, "base_gate", None)) is not None:
        operation = base
    module = getattr(operation, "base_class", type(operation)).__module__ or ""
    return operation.name == "unitary" or module.startswith("qiskit.circuit.library.standard_gates")


# PennyLane: the operators of pennylane.ops are gates, also adjoint, to a power or controlled; templates, products,
# state preparations and operations of one's own that have a decomposition are expanded.


def _pennylane_operation(operation: Any) -> _Expansion:
    families = {family.__name__ for family in type(operation).__mro__}
    name = getattr(operation, "name", type(operation).__name__)
    if families & {"Channel", "MidMeasure", "MeasurementProcess"} or not is_gate(name):
        return None
    if "Conditional" in families:
        return [operation.base]
    if "Prod" in families:
        return list(reversed(operation.operands))  # a product of operators applies its last factor first
    if _is_pennylane_leaf(operation, families) or not getattr(operation, "has_decomposition", False):
        return tuple(operation.wires)
    pennylane = sys.modules.get("pennylane")
    with nullcontext() if pennylane is None else pennylane.QueuingManager.stop_recording():
        return list(operation.decomposition())


def _is_pennylane_leaf(operation: Any, families: set[str]) -> bool:
    while "SymbolicOp" in families and (base := getattr(operation, "base", None)) is not None:
        operation = base
        families = {family.__name__ for family in type(operation).__mro__}
    return type(operation).__module__.startswith(_LEAF_MODULES) and not families & {"StatePrepBase", "Prod"}


# Cirq: its own gates are gates but the Fourier transform, parallel gates and products of Paulis; those, subcircuits,
# and gates of one's own that can be decomposed are expanded.


def _cirq_operation(operation: Any) -> _Expansion:
    if isinstance(operation, (list, tuple)) or not hasattr(operation, "qubits"):  # a tree of operations, as Cirq allows
        return list(operation)
    operation = operation.without_classical_controls().untagged
    if hasattr(operation, "mapped_circuit"):
        return _cirq_subcircuit(operation)
    gate = operation.gate if operation.gate is not None else operation
    module, name = type(gate).__module__, type(gate).__name__
    if (
        module.endswith((".common_channels", ".kraus_channel", ".mixed_unitary_channel", ".wait_gate"))
        or "Measure" in name
    ):
        return None
    composite = name in {"QuantumFourierTransformGate", "ParallelGate", "DensePauliString", "PauliString"}
    if composite or not module.startswith("cirq"):
        parts = sys.modules["cirq"].decompose_once(operation, None)  # where there is a Cirq circuit, Cirq is loaded
        if parts is not None:
            return list(parts)
    return tuple(operation.qubits)


def _cirq_subcircuit(operation: Any) -> _Expansion:
    if getattr(operation, "repeat_until", None) is not None:
        raise ValueError("circuit: how often a repeat_until runs is known only at run time; it cannot be counted")
    times = operation.repetitions
    if not hasattr(times, "__index__"):  # a symbol
        raise ValueError(f"circuit: a subcircuit repeated {times} times; resolve its parameters first")
    once = operation.replace(repetitions=1, repetition_ids=None, use_repetition_ids=False).mapped_circuit()
    return chain.from_iterable(moment.operations for circuit in repeat(once, abs(times)) for moment in circuit)


# Braket: a circuit is flat.


def _braket_instruction(instruction: Any) -> _Expansion:
    families = {family.__name__ for family in type(instruction.operator).__mro__}
    if "Gate" not in families or not is_gate(type(instruction.operator).__name__):
        return None
    controls = getattr(instruction, "control", ())
    return tuple(int(qubit) for qubit in (*controls, *instruction.target))
