"""Circuit objects of Qiskit, PennyLane, Cirq and Braket: their gates as written, and what the framework makes of them.

No framework is imported that the process has not imported: an object's framework is there with it.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from quantum_monitor.names import text
from quantum_monitor.views.circuit_gates import Gate, GateList, gate, parameter
from quantum_monitor.views.circuit_qasm import as_qasm3, with_definitions
from quantum_monitor.views.circuit_text import WIDTH


class Framework(NamedTuple):
    """What to ask of one framework's circuits.

    Attributes:
        name: as a person writes it.
        package: its distribution, for the version where the module does not tell.
        read: the gates of a circuit, lazily.
        qasm: OpenQASM 3 by its own exporter.
        draw: its own text drawing, of any width.
    """

    name: str
    package: str
    read: Callable[[Any], GateList]
    qasm: Callable[[Any], str]
    draw: Callable[[Any], str]

    def source(self) -> str:
        """Name and version, such as ``qiskit 2.6.2``."""
        version = getattr(sys.modules.get(self.name), "__version__", "")
        if not version:
            from importlib.metadata import version as installed

            version = installed(self.package)
        return f"{self.name} {version}"


def framework_of(circuit: Any) -> Framework | None:
    """Return the framework an object belongs to; also of classes that somebody derived from the framework's."""
    for family in type(circuit).__mro__:
        root = family.__module__.partition(".")[0]
        if root in _FRAMEWORKS and root in sys.modules:
            return _FRAMEWORKS[root]
    return None


def as_circuit(circuit: Any) -> Any:
    """Return the circuit of a QNode that takes no arguments, and a tape of a list of operations; others as they are.

    Raises:
        ValueError: a QNode that needs arguments.
    """
    pennylane = sys.modules.get("pennylane")
    if pennylane is None:
        return circuit
    if isinstance(circuit, pennylane.QNode):
        try:
            inspect.signature(circuit.func).bind()
        except TypeError:
            raise ValueError(
                "circuit: this QNode needs arguments; pass its tape, qml.workflow.construct_tape(qnode)(*arguments)"
            ) from None
        with pennylane.QueuingManager.stop_recording():
            return pennylane.workflow.construct_tape(circuit)()
    if isinstance(circuit, (list, tuple)) and circuit and all(hasattr(each, "wires") for each in circuit):
        return pennylane.tape.QuantumScript(circuit)
    return circuit


def _qiskit_gates(circuit: Any) -> GateList:
    names = [_register_name(circuit, qubit, at) for at, qubit in enumerate(circuit.qubits)]
    places = {qubit: at for at, qubit in enumerate(circuit.qubits)}
    return GateList(len(names), names.__getitem__, _qiskit_items(circuit, places, circuit, ""))


def _qiskit_items(circuit: Any, places: dict[Any, int], outermost: Any, condition: str) -> Iterator[Gate]:
    for item in circuit.data:
        operation, wires = item.operation, [places[qubit] for qubit in item.qubits]
        if operation.name == "if_else":
            given = _qiskit_condition(operation.condition)
            for block, when in zip(operation.blocks, (given, f"not {given}"), strict=False):
                inner = dict(zip(block.qubits, wires, strict=True))
                yield from _qiskit_items(block, inner, outermost, f"{condition} and {when}" if condition else when)
            continue
        blocks = getattr(operation, "blocks", ())
        clbits = tuple([_register_name(circuit, bit, at) for at, bit in enumerate(item.clbits)])
        if blocks or operation.name in {"barrier", "measure", "reset"}:
            yield Gate(operation.name, operation.name, (), (), tuple(wires), (), clbits, condition)
            continue
        n_controls = getattr(operation, "num_ctrl_qubits", 0)
        base = operation.base_gate.name if n_controls else ""
        made = gate(operation.name, wires, operation.params, controls=n_controls, base=base)
        state = getattr(operation, "ctrl_state", None)
        zeros = [wire for at, wire in enumerate(made.controls) if state is not None and not state >> at & 1]
        old = getattr(operation, "condition", None)  # of Qiskit 1: x.c_if(...)
        yield made._replace(zeros=tuple(zeros), condition=_qiskit_condition(old) if old is not None else condition)


def _qiskit_condition(condition: Any) -> str:
    if isinstance(condition, tuple) and len(condition) == 2:
        return f"{getattr(condition[0], 'name', None) or 'bit'} == {int(condition[1])}"
    return text(condition)


def _register_name(circuit: Any, bit: Any, at: int) -> str:
    registers = circuit.find_bit(bit).registers
    return f"{registers[0][0].name}[{registers[0][1]}]" if registers else f"[{at}]"


def _qiskit_qasm(circuit: Any) -> str:
    return str(importlib.import_module("qiskit.qasm3").dumps(circuit))


def _qiskit_text(circuit: Any) -> str:
    return str(circuit.draw("text", fold=WIDTH).single_string())


def _pennylane_gates(tape: Any) -> GateList:
    wires = _pennylane_wires(tape)
    places = {wire: place for place, wire in enumerate(wires)}
    return GateList(len(wires), lambda place: text(wires[place]), _pennylane_items(tape, places))


def _pennylane_wires(tape: Any) -> list[Any]:
    wires = list(tape.wires)
    return sorted(wires) if all(type(wire) is int for wire in wires) else wires


def _pennylane_items(tape: Any, places: dict[Any, int]) -> Iterator[Gate]:
    for operation in tape.operations:
        families = {family.__name__ for family in type(operation).__mro__}
        targets = [places[wire] for wire in operation.wires]
        condition, name = "", operation.name
        if "Conditional" in families:
            condition, operation = text(operation.meas_val), operation.base  # noqa: PLW2901 - what is drawn is the gate
            name = operation.name
        if name.startswith("MidMeasure"):
            yield Gate(name, "measure", targets=tuple(targets), clbits=("reset",) if operation.reset else ())
        elif name == "Barrier":
            yield Gate(name, "barrier", targets=tuple(targets))
        else:
            controls = list(getattr(operation, "control_wires", ()))
            base = getattr(getattr(operation, "base", None), "name", "") if controls else ""
            made = gate(name, targets, operation.parameters, controls=len(controls), base=base)
            values = getattr(operation, "control_values", None) or [True] * len(controls)
            zeros = tuple([wire for wire, value in zip(made.controls, values, strict=False) if not value])
            yield made._replace(zeros=zeros, condition=condition)
    for measured in tape.measurements:
        name = type(measured).__name__.removesuffix("MP").lower()
        yield Gate(name, "measure", targets=tuple([places[wire] for wire in measured.wires]) or tuple(places.values()))


def _pennylane_qasm(tape: Any) -> str:
    pennylane = sys.modules["pennylane"]
    with pennylane.QueuingManager.stop_recording():
        exported = pennylane.to_openqasm(tape, wires=_pennylane_wires(tape), rotations=False, measure_all=False)
    return as_qasm3(str(exported))


def _pennylane_text(tape: Any) -> str:
    return str(sys.modules["pennylane"].drawer.tape_text(tape, decimals=3, max_length=WIDTH))


_CIRQ_NAMES = {
    "CXPowGate": "cx",
    "CZPowGate": "cz",
    "CCXPowGate": "ccx",
    "CCZPowGate": "ccz",
    "CSwapGate": "cswap",
    "SwapPowGate": "swap",
    "ISwapPowGate": "iswap",
    "HPowGate": "h",
    "XPowGate": "x",
    "YPowGate": "y",
    "ZPowGate": "z",
    "IdentityGate": "id",
}


def _cirq_gates(circuit: Any) -> GateList:
    qubits = sorted(circuit.all_qubits())
    places = {qubit: place for place, qubit in enumerate(qubits)}
    return GateList(len(qubits), lambda place: text(qubits[place]), _cirq_items(circuit, places))


def _cirq_items(circuit: Any, places: dict[Any, int]) -> Iterator[Gate]:
    for whole in circuit.all_operations():
        operation = whole.without_classical_controls().untagged
        condition = " and ".join(map(text, whole.classical_controls))
        wires = [places[qubit] for qubit in operation.qubits]
        kind = operation.gate
        if type(kind).__name__ == "MeasurementGate":
            made = Gate("measure", "measure", targets=tuple(wires), clbits=(text(kind.key),) * len(wires))
        elif type(kind).__name__ == "ResetChannel":
            made = Gate("reset", "reset", targets=tuple(wires))
        else:
            made = _cirq_gate(operation, kind, wires)
        yield made._replace(condition=condition)


def _cirq_gate(operation: Any, kind: Any, wires: list[int]) -> Gate:
    controls = list(getattr(operation, "controls", ()))
    if controls:  # a gate that somebody controlled; what it controls names it
        inner = operation.sub_operation
        name, values = _cirq_name(inner, inner.gate)
        made = gate("C" * len(controls) + name, wires, values, controls=len(controls), base=name)
        allowed = operation.control_values.expand()
        first = next(iter(allowed), ())
        return made._replace(zeros=tuple([wire for wire, value in zip(wires, first, strict=False) if not value]))
    name, values = _cirq_name(operation, kind)
    n_controls = {"CXPowGate": 1, "CZPowGate": 1, "CCXPowGate": 2, "CCZPowGate": 2}.get(type(kind).__name__, 0)
    return gate(name, wires, values, controls=n_controls)


def _cirq_name(operation: Any, kind: Any) -> tuple[str, list[Any]]:
    family = type(kind).__name__
    if family in {"Rx", "Ry", "Rz"}:
        return family.lower(), [kind._rads]
    if family in _CIRQ_NAMES and getattr(kind, "exponent", 1) == 1:
        return _CIRQ_NAMES[family], []
    named = text(operation if kind is None else kind)
    return (named, []) if len(named) <= 40 and "\n" not in named else (type(kind or operation).__name__, [])


def _cirq_qasm(circuit: Any) -> str:
    return with_definitions(str(circuit.to_qasm(version="3.0")))


def _cirq_text(circuit: Any) -> str:
    return str(circuit.to_text_diagram())


def _braket_gates(circuit: Any) -> GateList:
    qubits = sorted(int(qubit) for qubit in circuit.qubits)
    places = {qubit: place for place, qubit in enumerate(qubits)}
    return GateList(len(qubits), lambda place: f"q{qubits[place]}", _braket_items(circuit.instructions, places))


def _braket_items(instructions: Iterable[Any], places: dict[int, int]) -> Iterator[Gate]:
    for instruction in instructions:
        operator = instruction.operator
        targets = [places[int(qubit)] for qubit in instruction.target]
        if operator.name in {"Measure", "Reset", "Barrier"}:
            yield Gate(operator.name, operator.name.lower(), targets=tuple(targets) or tuple(places.values()))
            continue
        controls = [places[int(qubit)] for qubit in instruction.control]
        values = [parameter(value) for value in getattr(operator, "parameters", None) or ()]
        name = operator.name if instruction.power == 1 else f"{operator.name}^{instruction.power:g}"
        if not controls:
            yield gate(name, targets, values)
            continue
        made = gate("C" * len(controls) + name, controls + targets, values, controls=len(controls), base=name)
        zeros = [wire for wire, value in zip(controls, instruction.control_state, strict=False) if not value]
        yield made._replace(zeros=tuple(zeros))


def _braket_qasm(circuit: Any) -> str:
    kinds = importlib.import_module("braket.circuits.serialization")
    return str(circuit.to_ir(kinds.IRType.OPENQASM).source)


_FRAMEWORKS = {
    "qiskit": Framework("qiskit", "qiskit", _qiskit_gates, _qiskit_qasm, _qiskit_text),
    "pennylane": Framework("pennylane", "pennylane", _pennylane_gates, _pennylane_qasm, _pennylane_text),
    "cirq": Framework("cirq", "cirq-core", _cirq_gates, _cirq_qasm, _cirq_text),
    "braket": Framework("braket", "amazon-braket-sdk", _braket_gates, _braket_qasm, str),
}
