"""Facts of a circuit that is executed: the first time and again, beside the depth that its framework finds."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from benchmarks._report import duration, measure, table, write
from quantum_monitor import facts
from quantum_monitor.facts import facts_of

SMALL, LARGE = (4, 20), (100, 100_000)
"""Qubits and gates."""

Gate = tuple[tuple[int, ...], float]
Case = tuple[str, Any, Any, Callable[[], object]]


def main() -> None:
    """Measure and write ``results/circuit_facts.md``."""
    from quantum_monitor.frameworks import qiskit_changes
    from quantum_monitor.frameworks.patches import Patches

    patches = Patches()
    qiskit_changes.install(patches)
    rows: list[tuple[str, ...]] = [
        ("", "gates", "framework's depth", "facts, first", "of its depth", "again", "of first")
    ]
    for size, repeats in ((SMALL, 15), (LARGE, 3)):
        for name, circuit, alike, depth in _cases(*size):
            _first(circuit)
            assert facts_of(circuit)["gates"] == size[1]
            assert facts_of(circuit)["depth"] == facts_of(alike)["depth"]
            first, again = partial(_first, circuit), partial(facts_of, alike)
            times = measure({"depth": depth, "first": first, "again": again}, repeats=repeats)
            of_depth = f"{times['first'] / times['depth']:.2f}" if depth is not _none else ""
            shown = duration(times["depth"]) if depth is not _none else "kept"
            of_first = f"{times['again'] / times['first']:.3f}"
            found = duration(times["first"]), of_depth, duration(times["again"]), of_first
            rows.append((name, f"{size[1]:,}", shown, *found))
    patches.undo()
    text = (
        "Half of the gates act on two qubits. Again: of 20 gates, another circuit of the same structure with other "
        "parameters, which of Qiskit and Cirq came before, too; of 100,000, the same circuit. Cirq and Braket know the "
        "depth from building the circuit, so there is nothing to compare with.\n\n"
        "The limits: under 0.5 of Qiskit's depth the first time, under 0.05 of that again, and under 10 microseconds "
        f"for 20 gates.\n\n{table(rows)}"
    )
    write(
        "circuit_facts",
        "Facts of executed circuits",
        text,
        packages=["qiskit", "pennylane", "cirq-core", "amazon-braket-sdk"],
    )


def _first(circuit: Any) -> None:
    facts._facts_of_outline.cache_clear()
    for remembered in (facts._same, facts._unchanged, facts._known_parts):
        remembered.clear()
    facts._budget._resting_until = 0.0
    facts_of(circuit)


def _cases(qubits: int, gates: int) -> Iterator[Case]:
    makers: list[tuple[str, Callable[[int, list[Gate]], Any], Callable[[Any], Callable[[], object]]]] = [
        ("Qiskit", _qiskit, lambda circuit: circuit.depth),
        ("PennyLane", _pennylane, lambda tape: partial(_graph_depth, tape)),
        ("Cirq", _cirq, lambda _: _none),
        ("Braket", _braket, lambda _: _none),
    ]
    for name, make, depth in makers:
        circuit = make(qubits, _gates(qubits, gates, angle=0.1))
        alike = make(qubits, _gates(qubits, gates, angle=0.2)) if gates == SMALL[1] else circuit
        yield name, circuit, alike, depth(circuit)


def _graph_depth(tape: Any) -> int:
    depth: int = tape.copy(copy_operations=True).graph.get_depth()  # of a copy: the tape itself keeps its graph
    return depth


def _none() -> None:
    """Stand for a depth that a framework only looks up."""


def _gates(qubits: int, count: int, angle: float) -> list[Gate]:
    source = random.Random(1)
    return [(tuple(source.sample(range(qubits), 1 + k % 2)), angle) for k in range(count)]


def _qiskit(qubits: int, gates: list[Gate]) -> Any:
    from qiskit import QuantumCircuit

    circuit = QuantumCircuit(qubits)
    for wires, angle in gates:
        circuit.rz(angle, *wires) if len(wires) == 1 else circuit.cz(*wires)
    return circuit


def _pennylane(_: int, gates: list[Gate]) -> Any:
    import pennylane as qml

    operations = [qml.RZ(angle, wires) if len(wires) == 1 else qml.CZ(wires) for wires, angle in gates]
    return qml.tape.QuantumScript(operations, [qml.expval(qml.Z(0))])


def _cirq(qubits: int, gates: list[Gate]) -> Any:
    import cirq

    line = cirq.LineQubit.range(qubits)
    return cirq.Circuit(
        cirq.rz(angle)(line[wires[0]]) if len(wires) == 1 else cirq.CZ(line[wires[0]], line[wires[1]])
        for wires, angle in gates
    )


def _braket(_: int, gates: list[Gate]) -> Any:
    from braket.circuits import Circuit

    circuit = Circuit()
    for wires, angle in gates:
        circuit.rz(*wires, angle) if len(wires) == 1 else circuit.cz(*wires)
    return circuit


if __name__ == "__main__":
    main()
