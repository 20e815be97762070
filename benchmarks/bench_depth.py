"""Depth of 100,000 two-qubit gates on 20 qubits: a description dict beside Qiskit's own."""

from __future__ import annotations

import random
from collections.abc import Callable

from benchmarks._report import duration, measure, table, write
from quantum_monitor.physics import circuit_depth, circuit_facts

GATES, QUBITS = 100_000, 20


def main() -> None:
    """Measure and write ``results/depth.md``."""
    from qiskit import QuantumCircuit

    source = random.Random(1)
    pairs = [source.sample(range(QUBITS), 2) for _ in range(GATES)]
    circuit = QuantumCircuit(QUBITS)
    for control, target in pairs:
        circuit.cx(control, target)
    gates: list[dict[str, object]] = [{"type": "cx", "control": a, "target": b} for a, b in pairs]
    described = {"gates": gates, "n_qubits": QUBITS}
    mixed = [gate if k % 2 else {"type": "h", "qubit": gate["control"]} for k, gate in enumerate(gates)]
    if circuit_depth(described) != circuit.depth() or circuit_depth(circuit) != circuit.depth():
        raise SystemExit("the depths differ: nothing to compare")
    functions: dict[str, Callable[[], object]] = {
        "Qiskit: QuantumCircuit.depth()": circuit.depth,
        "circuit_depth(description dict)": lambda: circuit_depth(described),
        "circuit_facts(description dict)": lambda: circuit_facts(described),
        "circuit_facts(description dict, half of the gates on one qubit)": lambda: circuit_facts({"gates": mixed}),
        "circuit_facts(QuantumCircuit)": lambda: circuit_facts(circuit),
    }
    times = measure(functions, repeats=11)
    floor = times["Qiskit: QuantumCircuit.depth()"]
    rows = [("", "time", "of Qiskit's")]
    rows += [(name, duration(seconds), f"{seconds / floor:.3f}") for name, seconds in times.items()]
    text = f"{GATES:,} gates on {QUBITS} qubits. The limit for the description dict is 0.1.\n\n{table(rows)}"
    write("depth", "Depth of a large circuit", text, packages=["qiskit"])


if __name__ == "__main__":
    main()
