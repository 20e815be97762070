"""Facts of circuits: descriptions by hand, and the same circuit in every framework."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantum_monitor.physics import CircuitFacts, circuit_depth, circuit_facts

Gate = tuple[str, tuple[int, ...]]
N_QUBITS = 4


def random_gates(seed: int, count: int = 40, n_qubits: int = N_QUBITS) -> list[Gate]:
    source = random.Random(seed)
    gates: list[Gate] = [("h", (qubit,)) for qubit in range(n_qubits)]
    for _ in range(count):
        name, arity = source.choice([("h", 1), ("s", 1), ("rx", 1), ("cx", 2), ("cz", 2), ("swap", 2), ("ccx", 3)])
        gates.append((name, tuple(source.sample(range(n_qubits), arity))))
    return gates


def described(gates: list[Gate]) -> dict[str, Any]:
    return {"gates": [{"type": name, "qubits": list(qubits)} for name, qubits in gates], "n_qubits": N_QUBITS}


def by_qiskit(gates: list[Gate]) -> Any:
    qiskit = pytest.importorskip("qiskit")
    circuit = qiskit.QuantumCircuit(N_QUBITS, N_QUBITS)
    for name, qubits in gates:
        getattr(circuit, name)(*([0.1] if name == "rx" else []), *qubits)
    circuit.barrier()
    circuit.measure(range(N_QUBITS), range(N_QUBITS))
    return circuit


def by_pennylane(gates: list[Gate]) -> Any:
    qml = pytest.importorskip("pennylane")
    kinds = {"h": qml.Hadamard, "s": qml.S, "cx": qml.CNOT, "cz": qml.CZ, "swap": qml.SWAP, "ccx": qml.Toffoli}
    operations = [qml.RX(0.1, wires=qubits) if name == "rx" else kinds[name](wires=qubits) for name, qubits in gates]
    return qml.tape.QuantumScript([*operations, qml.Barrier(range(N_QUBITS))], [qml.probs(wires=range(N_QUBITS))])


def by_cirq(gates: list[Gate]) -> Any:
    cirq = pytest.importorskip("cirq")
    kinds = {"h": cirq.H, "s": cirq.S, "cx": cirq.CNOT, "cz": cirq.CZ, "swap": cirq.SWAP, "ccx": cirq.CCX}
    line = cirq.LineQubit.range(N_QUBITS)
    operations = [kinds.get(name, cirq.rx(0.1))(*(line[qubit] for qubit in qubits)) for name, qubits in gates]
    return cirq.Circuit(operations, cirq.measure(*line), strategy=cirq.InsertStrategy.NEW)


def by_braket(gates: list[Gate]) -> Any:
    braket = pytest.importorskip("braket.circuits")
    circuit = braket.Circuit()
    names = {"cx": "cnot", "ccx": "ccnot"}
    for name, qubits in gates:
        getattr(circuit, names.get(name, name))(*qubits, *([0.1] if name == "rx" else []))
    circuit.measure(range(N_QUBITS))
    return circuit


def by_qasm(gates: list[Gate]) -> str:
    lines = [
        f"{name}{'(pi/2)' if name == 'rx' else ''} {','.join(f'q[{qubit}]' for qubit in qubits)};"
        for name, qubits in gates
    ]
    header = f'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[{N_QUBITS}];\ncreg c[{N_QUBITS}];\n'
    return header + "\n".join(lines) + "\nbarrier q;\nmeasure q -> c;\n"


def slow_depth(gates: list[Gate], *, only_pairs: bool = False) -> int:
    """Longest chain, layer by layer: the plain definition."""
    layer_of: dict[int, int] = {}
    for _, qubits in gates:
        counted = 1 if not only_pairs or len(qubits) == 2 else 0
        layer = max(layer_of.get(qubit, 0) for qubit in qubits) + counted
        layer_of.update(dict.fromkeys(qubits, layer))
    return max(layer_of.values(), default=0)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("build", [described, by_qiskit, by_pennylane, by_cirq, by_braket, by_qasm])
def test_the_same_circuit_has_the_same_facts_everywhere(build: Callable[[list[Gate]], Any], seed: int) -> None:
    gates = random_gates(seed)
    assert circuit_facts(build(gates)) == CircuitFacts(
        depth=slow_depth(gates),
        two_qubit_depth=slow_depth(gates, only_pairs=True),
        gates=len(gates),
        two_qubit_gates=sum(len(qubits) == 2 for _, qubits in gates),
        qubits=N_QUBITS,
    )


@given(seed=st.integers(0, 10_000), pairs=st.booleans())
@settings(max_examples=30, deadline=None)
def test_depth_agrees_with_qiskit(seed: int, pairs: bool) -> None:
    gates = [gate for gate in random_gates(seed) if not pairs or len(gate[1]) == 2]
    circuit = by_qiskit(gates).remove_final_measurements(inplace=False)
    facts = circuit_facts(described(gates))
    assert facts.depth == circuit_depth(described(gates)) == circuit.depth()
    assert facts.two_qubit_depth == circuit.depth(lambda instruction: len(instruction.qubits) == 2)


@pytest.mark.parametrize("name", ["ccx", "s", "my_gate", "iswap", "U3", "quantum volume"])
def test_every_gate_counts_whatever_its_name(name: str) -> None:
    """Earlier monitors gave depth 0 for every gate that was not on their list."""
    assert circuit_depth({"gates": [{"type": name, "qubits": [0, 1, 2]}], "n_qubits": 3}) == 1


@pytest.mark.parametrize(
    "gate",
    [
        {"type": "cx", "control": 0, "target": 1},
        {"name": "cx", "controls": [0], "targets": [1]},
        {"gate": "cx", "qubits": (0, 1)},
        {"type": "cx", "wires": ["a", "b"]},
        {"type": "cx", "control": np.int64(0), "target": np.int32(1), "parameters": [0.1]},
    ],
)
def test_every_way_to_write_a_two_qubit_gate_is_read(gate: dict[str, Any]) -> None:
    assert circuit_facts([gate]) == CircuitFacts(1, 1, 1, 1, 2)
    assert circuit_facts({"gates": [gate, gate]}) == CircuitFacts(2, 2, 2, 2, 2)


def test_what_is_no_gate_changes_nothing() -> None:
    gates = [{"type": "h", "qubit": 0}, {"type": "cx", "control": 0, "target": 1}]
    others = [
        {"type": "Barrier"},
        {"type": "barrier", "qubits": [0, 1]},
        {"type": "measure", "qubit": 0},
        {"type": "MEASURE_ALL"},
        {"type": "reset", "qubit": 0},
        {"type": "delay", "qubit": 1},
        {"type": "gphase"},
    ]
    assert circuit_facts([others[0], gates[0], *others, gates[1], *others]) == circuit_facts(gates)
    assert circuit_facts([{"type": "id", "qubit": 0}]).depth == 1


def test_totals_are_what_is_known_and_the_rest_stays_unknown() -> None:
    assert circuit_facts({"depth": 5, "n_qubits": 4}) == CircuitFacts(depth=5, qubits=4)
    assert circuit_facts({"gates": 12, "num_qubits": 3}) == CircuitFacts(gates=12, qubits=3)
    assert circuit_facts({}) == CircuitFacts()
    assert circuit_depth({"depth": np.int64(7)}) == 7
    with pytest.raises(ValueError, match="neither"):
        circuit_depth({"n_qubits": 2})


def test_no_gates_is_depth_zero() -> None:
    assert circuit_facts([]) == CircuitFacts(0, 0, 0, 0, 0)
    assert circuit_facts({"gates": [], "n_qubits": 3}) == CircuitFacts(0, 0, 0, 0, 3)


@pytest.mark.parametrize(
    ("circuit", "reason"),
    [
        ([{"type": "h", "qubit": 0}, {"type": "cx", "control": 1, "target": 1}], r"gates\[1\]\.target is 1; .*twice"),
        ([{"type": "h", "qubit": -1}], r"gates\[0\]\.qubit is -1"),
        ([{"type": "h", "qubit": 1.5}], r"gates\[0\]\.qubit is 1.5"),
        ([{"type": "h", "qubit": True}], r"gates\[0\]\.qubit is True"),
        ([{"type": "cx", "control": 0, "target": None}], r"gates\[0\]\.target is None"),
        ([{"type": "h"}], r"gates\[0\]\.qubits"),
        ([{"qubit": 0}], r"gates\[0\]\.type is None"),
        ([{"type": 7, "control": 0, "target": 1}], r"gates\[0\]\.type is 7"),
        ([{"type": "h", "qubit": 0}, "h"], r"gates\[1\] is 'h'"),
        ({"gates": [{"type": "cx", "control": 0, "target": 4}], "n_qubits": 4}, r"target is 4; qubits are 0 to 3"),
        ({"gates": "many"}, "gates is 'many'"),
        ({"depth": -1}, "depth is -1"),
        ({"depth": 1.5}, "depth is 1.5"),
        ({"n_qubits": True}, "n_qubits is True"),
        (7, "int is not understood"),
        (None, "NoneType is not understood"),
    ],
)
def test_a_wrong_description_is_refused_with_index_and_field(circuit: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        circuit_facts(circuit)


def test_qiskit_templates_are_expanded_to_standard_gates() -> None:
    library = pytest.importorskip("qiskit.circuit.library")
    qiskit = pytest.importorskip("qiskit")
    ansatz = library.efficient_su2(4, reps=2)
    wrapped = qiskit.QuantumCircuit(5)
    wrapped.append(ansatz.to_instruction(), [4, 3, 2, 1])
    assert wrapped.depth() == 1
    assert circuit_depth(wrapped) == circuit_depth(ansatz) == ansatz.depth()
    assert circuit_facts(wrapped).qubits == 5


def test_qiskit_gates_under_controls_and_matrices_are_one_gate() -> None:
    qiskit = pytest.importorskip("qiskit")
    library = pytest.importorskip("qiskit.circuit.library")
    circuit = qiskit.QuantumCircuit(4)
    circuit.append(library.HGate().control(3, annotated=False), range(4))
    circuit.append(library.UnitaryGate(np.eye(4)), [0, 1])
    circuit.append(library.MCXGate(3), range(4))
    circuit.append(qiskit.circuit.Gate("opaque", 2, []), [0, 1])
    circuit.append(library.GlobalPhaseGate(0.1))
    assert circuit_facts(circuit) == CircuitFacts(4, 2, 4, 2, 4)


def test_qiskit_control_flow_counts_loops_and_the_longer_branch() -> None:
    qiskit = pytest.importorskip("qiskit")
    circuit = qiskit.QuantumCircuit(2, 1)
    with circuit.for_loop(range(3)):
        circuit.h(1)
    with circuit.if_test((0, 1)) as otherwise:
        circuit.x(0)
    with otherwise:
        circuit.h(0)
        circuit.cx(0, 1)
    assert circuit_facts(circuit) == CircuitFacts(4, 1, 5, 1, 2)
    with circuit.while_loop((0, 1)):
        circuit.h(0)
    with pytest.raises(ValueError, match="while_loop"):
        circuit_facts(circuit)


def test_pennylane_templates_products_and_symbolic_operations_are_read() -> None:
    qml = pytest.importorskip("pennylane")
    layers = qml.StronglyEntanglingLayers(np.zeros((2, 3, 3)), wires=range(3))
    assert circuit_facts([layers]) == circuit_facts(layers.decomposition())
    assert circuit_depth([layers]) > 1
    assert circuit_facts([qml.X(0) @ qml.Y(1)]) == CircuitFacts(1, 0, 2, 0, 2)
    single = [qml.adjoint(qml.S(0)), qml.ctrl(qml.S(0), 1), qml.pow(qml.T(0), 3), qml.Identity(0)]
    assert circuit_facts(single) == CircuitFacts(4, 1, 4, 1, 2)
    assert circuit_facts([qml.adjoint(qml.QFT([0, 1]))]) == circuit_facts([qml.QFT([0, 1])])
    assert circuit_facts([qml.GlobalPhase(0.1), qml.DepolarizingChannel(0.1, 0), qml.Snapshot()]).gates == 0


def test_reading_a_pennylane_template_records_nothing_in_a_circuit_under_construction() -> None:
    qml = pytest.importorskip("pennylane")
    template = qml.QFT([0, 1])
    with qml.queuing.AnnotatedQueue() as queue:
        circuit_facts([template])
    assert len(queue) == 0


def test_a_pennylane_tape_with_a_mid_circuit_measurement_is_read() -> None:
    qml = pytest.importorskip("pennylane")
    with qml.queuing.AnnotatedQueue() as queue:
        qml.Hadamard(0)
        qml.cond(qml.measure(0), qml.X)(1)
        qml.expval(qml.Z(1))
    assert circuit_facts(qml.tape.QuantumScript.from_queue(queue)) == CircuitFacts(1, 0, 2, 0, 2)


def test_cirq_subcircuits_noise_and_classical_control_are_read() -> None:
    cirq = pytest.importorskip("cirq")
    a, b = cirq.LineQubit.range(2)
    block = cirq.CircuitOperation(cirq.FrozenCircuit(cirq.H(a), cirq.CNOT(a, b)))
    circuit = cirq.Circuit(
        block.repeat(3), cirq.depolarize(0.1)(a), cirq.measure(a, key="m"), cirq.X(b).with_classical_controls("m")
    )
    assert circuit_facts(circuit) == CircuitFacts(7, 3, 7, 3, 2)
    padded = cirq.Circuit([cirq.Moment(), cirq.Moment(cirq.H(a)), cirq.Moment()])
    assert circuit_depth(padded) == 1
    assert circuit_facts(cirq.Circuit(cirq.X(a).with_tags("t"), cirq.X(b))).gates == 2


def test_braket_controls_noise_and_directives_are_read() -> None:
    braket = pytest.importorskip("braket.circuits")
    circuit = braket.Circuit().h(0, control=[1, 2]).depolarizing(0, 0.1).cnot(0, 1).gphase(0.1)
    assert circuit_facts(circuit) == CircuitFacts(2, 1, 2, 1, 3)


def test_the_quantum_fourier_transform_is_expanded_in_every_framework() -> None:
    cirq, qml = pytest.importorskip("cirq"), pytest.importorskip("pennylane")
    library, qiskit = pytest.importorskip("qiskit.circuit.library"), pytest.importorskip("qiskit")
    circuit = qiskit.QuantumCircuit(3)
    circuit.append(library.QFTGate(3), range(3))
    assert circuit_facts(circuit) == circuit_facts([qml.QFT(range(3))]) == CircuitFacts(6, 4, 7, 4, 3)
    # Cirq's own recipe has one phase gradient on three qubits in place of two controlled phases.
    assert circuit_depth(cirq.Circuit(cirq.qft(*cirq.LineQubit.range(3)))) == 6


def test_an_operation_that_decomposes_into_itself_is_refused() -> None:
    qml = pytest.importorskip("pennylane")

    class Mirror(qml.operation.Operation):  # type: ignore[name-defined, misc]
        num_wires = 1

        @staticmethod
        def compute_decomposition(wires: object) -> list[object]:
            return [Mirror(wires)]

    with pytest.raises(ValueError, match="nested more than"):
        circuit_facts([Mirror(0)])
