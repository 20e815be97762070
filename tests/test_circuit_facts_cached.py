"""Facts of executed circuits: remembered by structure, right after every change of a circuit, within a budget."""

from __future__ import annotations

import gc
import random
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from quantum_monitor import facts
from quantum_monitor.facts import facts_of
from quantum_monitor.faults import FAULTS
from quantum_monitor.physics import circuit_facts

Gate = tuple[str, tuple[int, ...]]
N_QUBITS = 4
GATES = [("h", 1), ("s", 1), ("rx", 1), ("cx", 2), ("cz", 2), ("swap", 2), ("ccx", 3)]


@pytest.fixture(autouse=True)
def _nothing_known() -> Iterator[None]:
    yield
    facts._same.clear()
    facts._budget._resting_until = 0.0
    facts.changes_are_told(False)


@pytest.fixture(params=["small", "large"])
def any_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The circuits of a test, taken once as small ones, and once as large ones, which are told by their parts."""
    if request.param == "large":
        monkeypatch.setattr(facts, "_LARGE", 3)


def random_gate(source: random.Random, most: int = 3) -> Gate:
    name, arity = source.choice([gate for gate in GATES if gate[1] <= most])
    return name, tuple(source.sample(range(N_QUBITS), arity))


def expected(gates: list[Gate], qubits: int = N_QUBITS) -> dict[str, float]:
    """The plain definition, layer by layer."""
    layers: dict[bool, dict[int, int]] = {True: {}, False: {}}
    for only_pairs, layer_of in layers.items():
        for _, wires in gates:
            counted = 1 if not only_pairs or len(wires) == 2 else 0
            layer_of.update(dict.fromkeys(wires, max(layer_of.get(wire, 0) for wire in wires) + counted))
    return {
        "depth": max(layers[False].values(), default=0),
        "two_qubit_depth": max(layers[True].values(), default=0),
        "gates": len(gates),
        "two_qubit_gates": sum(len(wires) == 2 for _, wires in gates),
        "qubits": qubits,
    }


def changes(seed: int, most: int = 3) -> Iterator[tuple[str, int, Gate]]:
    """A random sequence of what to do to a circuit, where, and with which gate."""
    source = random.Random(seed)
    for _ in range(40):
        action = source.choice(["append", "append", "insert", "replace", "replace", "move", "remove", "exchange"])
        yield action, source.randrange(1_000_000), random_gate(source, most)


def change(gates: list[Gate], action: str, place: int, gate: Gate) -> Gate:
    """Change the model; the gate that now stands there."""
    if action in {"append", "insert"} or not gates:
        gates.insert(len(gates) if action == "append" else place % (len(gates) + 1), gate)
        return gate
    place %= len(gates)
    if action == "move":  # the same gate, its qubits in another order or others
        name, wires = gates[place]
        gate = name, tuple((wire + 1) % N_QUBITS for wire in wires)
    if action == "exchange":
        gates[place], gates[-1] = gates[-1], gates[place]
    elif action == "remove":
        del gates[place]
    else:
        gates[place] = gate
    return gate


def apply(sequence: Any, make: Callable[[Gate], Any], before: int, step: tuple[str, int, Gate], now: Gate) -> None:
    """Do to a framework's own list, in place, what `change` did to the model."""
    action, place, _ = step
    if action in {"append", "insert"} or not before:
        sequence.insert(before if action == "append" else place % (before + 1), make(now))
        return
    place %= before
    if action == "exchange":
        sequence[place], sequence[before - 1] = sequence[before - 1], sequence[place]
    elif action == "remove":
        del sequence[place]
    else:
        sequence[place] = make(now)


@pytest.mark.usefixtures("any_size")
@pytest.mark.parametrize("seed", range(4))
def test_no_change_of_a_qiskit_circuit_is_missed(seed: int) -> None:
    qiskit = pytest.importorskip("qiskit")
    circuit = qiskit.QuantumCircuit(N_QUBITS, 1)
    angles = random.Random(seed)

    def instruction(gate: Gate) -> Any:
        alone = qiskit.QuantumCircuit(N_QUBITS)
        name, wires = gate
        getattr(alone, name)(*([angles.random()] if name == "rx" else []), *wires)
        operation = alone.data[0].operation
        return qiskit.circuit.CircuitInstruction(operation, [circuit.qubits[wire] for wire in wires])

    gates: list[Gate] = []
    most = 2 + seed % 2  # without a gate on three qubits, Qiskit itself counts
    for step in changes(seed, most):
        before = len(gates)
        now = change(gates, *step)
        apply(circuit.data, instruction, before, step, now)
        assert facts_of(circuit) == expected(gates) == vars(circuit_facts(circuit))
        assert facts_of(circuit)["depth"] == circuit.depth()
        assert facts_of(circuit)["two_qubit_depth"] == circuit.depth(lambda item: len(item.qubits) == 2)
    circuit.barrier()
    circuit.measure(0, 0)
    circuit.global_phase = 0.1
    circuit.append(qiskit.circuit.library.GlobalPhaseGate(0.1))
    assert facts_of(circuit) == expected(gates)
    with circuit.if_test((0, 1)) as otherwise:
        circuit.cx(0, 1)
    assert facts_of(circuit) == expected([*gates, ("cx", (0, 1))])
    with otherwise:
        circuit.h(0)
        circuit.h(1)
    assert facts_of(circuit) == expected([*gates, ("h", (0,)), ("h", (1,))])
    circuit.clear()
    assert facts_of(circuit) == expected([])


@pytest.mark.usefixtures("any_size")
@pytest.mark.parametrize("seed", range(3))
def test_no_change_of_a_pennylane_tape_is_missed(seed: int) -> None:
    qml = pytest.importorskip("pennylane")
    kinds = {"h": qml.Hadamard, "s": qml.S, "cx": qml.CNOT, "cz": qml.CZ, "swap": qml.SWAP, "ccx": qml.Toffoli}
    angles = random.Random(seed)

    def operation(gate: Gate) -> Any:
        name, wires = gate
        return qml.RX(angles.random(), wires=wires) if name == "rx" else kinds[name](wires=wires)

    tape = qml.tape.QuantumScript([], [qml.probs(wires=range(N_QUBITS))])
    gates: list[Gate] = []
    for step in changes(seed):
        before = len(gates)
        now = change(gates, *step)
        apply(tape.operations, operation, before, step, now)
        assert facts_of(tape) == expected(gates) == vars(circuit_facts(tape))
        assert facts_of(tape.operations)["depth"] == expected(gates)["depth"]
        new = qml.tape.QuantumScript([operation(gate) for gate in gates], tape.measurements, shots=7)
        assert facts_of(new) == expected(gates)
        assert facts_of(new)["depth"] == new.graph.get_depth()
    tape.measurements.append(qml.expval(qml.Z(N_QUBITS)))
    assert facts_of(tape) == expected(gates, N_QUBITS + 1)
    tape.operations.append(qml.StronglyEntanglingLayers(np.zeros((1, 2, 3)), wires=[0, 1]))
    layer: list[Gate] = [("rot", (0,)), ("rot", (1,)), ("cx", (0, 1)), ("cx", (1, 0))]
    assert facts_of(tape)["depth"] == expected([*gates, *layer])["depth"]


@pytest.mark.usefixtures("any_size")
@pytest.mark.parametrize("seed", range(3))
def test_no_change_of_a_cirq_circuit_is_missed(seed: int) -> None:
    cirq = pytest.importorskip("cirq")
    kinds = {"h": cirq.H, "s": cirq.S, "cx": cirq.CNOT, "cz": cirq.CZ, "swap": cirq.SWAP, "ccx": cirq.CCX}
    line = cirq.LineQubit.range(N_QUBITS)
    angles = random.Random(seed)

    def moment(gate: Gate) -> Any:
        name, wires = gate
        kind = cirq.rx(angles.random()) if name == "rx" else kinds[name]
        return cirq.Moment(kind(*(line[wire] for wire in wires)))

    class Moments:
        """A circuit of one gate a moment, as a list."""

        def __setitem__(self, place: int, value: Any) -> None:
            circuit[place] = value

        def __getitem__(self, place: int) -> Any:
            return circuit[place]

        def __delitem__(self, place: int) -> None:
            del circuit[place]

        def insert(self, place: int, value: Any) -> None:
            circuit.insert(place, value)

    circuit = cirq.Circuit(cirq.measure(*line))
    gates: list[Gate] = []
    for step in changes(seed):
        before = len(gates)
        now = change(gates, *step)
        apply(Moments(), moment, before, step, now)
        assert facts_of(circuit) == expected(gates) == vars(circuit_facts(circuit))
        assert facts_of(circuit.freeze()) == facts_of(circuit)
        tight = cirq.Circuit(circuit[: len(gates)].all_operations(), strategy=cirq.InsertStrategy.EARLIEST)
        assert len(tight) == facts_of(tight)["depth"] == facts_of(circuit)["depth"]
    block = cirq.CircuitOperation(cirq.FrozenCircuit(moment(("cx", (0, 1)))), repetitions=2)
    circuit.append(block)
    assert facts_of(circuit) == expected([*gates, ("cx", (0, 1)), ("cx", (0, 1))])
    circuit[-1] = cirq.Moment(block.repeat(3))
    assert facts_of(circuit) == expected([*gates, *[("cx", (0, 1))] * 6])


@pytest.mark.usefixtures("any_size")
@pytest.mark.parametrize("seed", range(3))
def test_no_change_of_a_braket_circuit_is_missed(seed: int) -> None:
    braket = pytest.importorskip("braket.circuits")
    names = {"cx": "cnot", "ccx": "ccnot"}
    source = random.Random(seed)
    circuit = braket.Circuit()
    for wire in range(N_QUBITS):
        circuit.i(wire)
    gates: list[Gate] = [("i", (wire,)) for wire in range(N_QUBITS)]
    for _ in range(40):
        name, wires = random_gate(source)
        getattr(circuit, names.get(name, name))(*wires, *([source.random()] if name == "rx" else []))
        gates.append((name, wires))
        assert facts_of(circuit) == expected(gates) == vars(circuit_facts(circuit))
        assert facts_of(circuit)["depth"] == circuit.depth
        assert facts_of(circuit.copy()) == facts_of(circuit)
    circuit.x(0, control=1)
    gates.append(("cx", (1, 0)))
    assert facts_of(circuit) == expected(gates)
    circuit.apply_gate_noise(braket.Noise.Depolarizing(0.1), target_gates=braket.Gate.H)
    circuit.apply_readout_noise(braket.Noise.BitFlip(0.1), target_qubits=0)
    assert list(circuit.instructions)  # which sorts them
    assert facts_of(circuit) == expected(gates)
    circuit.expectation(braket.Observable.Z(), target=N_QUBITS)
    assert facts_of(circuit) == expected(gates, N_QUBITS + 1)


def test_new_values_of_the_parameters_are_no_new_structure() -> None:
    qml, qiskit = pytest.importorskip("pennylane"), pytest.importorskip("qiskit")

    def tape(angle: float, wire: int = 0) -> Any:
        return qml.tape.QuantumScript([qml.RX(angle, wire), qml.CNOT([0, 1])], [qml.expval(qml.Z(1))])

    theta = qiskit.circuit.Parameter("theta")
    ansatz = qiskit.QuantumCircuit(2)
    ansatz.rx(theta, 0)
    ansatz.cx(0, 1)
    first = facts_of(tape(0.1)), facts_of(ansatz.assign_parameters([0.1]))
    walked = facts._facts_of_outline.cache_info().misses
    assert (facts_of(tape(0.2)), facts_of(ansatz.assign_parameters([0.2]))) == first
    assert facts._facts_of_outline.cache_info().misses == walked
    assert facts_of(tape(0.2, wire=2))["depth"] == 1
    assert facts._facts_of_outline.cache_info().misses == walked + 1


def test_a_description_is_known_by_its_content_and_a_changed_one_is_read_again() -> None:
    description: dict[str, Any] = {"gates": [{"type": "h", "qubit": 0}], "n_qubits": 2}
    assert facts_of(description) == expected([("h", (0,))], 2)
    known = facts_of({"gates": [{"type": "h", "qubit": 0}], "n_qubits": 2})
    assert known is facts_of(description)
    description["gates"][0]["type"] = "barrier"
    assert facts_of(description) == expected([], 2)
    description["gates"] += [{"type": "cx", "control": np.int64(0), "target": np.int64(1)}]
    assert facts_of(description) == expected([("cx", (0, 1))], 2)
    assert facts_of({"depth": 3}) == facts_of(circuit_facts({"depth": 3})) == {"depth": 3}
    text = "OPENQASM 2.0;\nqreg q[4];\n" + "cx q[0],q[1];\n" * 100
    assert facts_of(text) == expected([("cx", (0, 1))] * 100)
    assert facts_of(text) is facts_of(text + "")
    assert facts_of(text + "h q[2];\n") == expected([("cx", (0, 1))] * 100 + [("h", (2,))])


@pytest.mark.filterwarnings("ignore:The JAQCD action type is deprecated")
def test_programs_of_braket_are_read() -> None:
    braket, ir = pytest.importorskip("braket.circuits"), pytest.importorskip("braket.circuits.serialization")
    circuit = braket.Circuit().h(0).cnot(0, 1).ccnot(0, 1, 2).cswap(0, 1, 2).depolarizing(0, 0.1).rx(1, 0.2)
    for kind in (ir.IRType.JAQCD, ir.IRType.OPENQASM):
        program = circuit.to_ir(ir_type=kind)
        assert facts_of(program) == facts_of(circuit) == vars(circuit_facts(program)), kind
        assert facts_of(program)["gates"] == 5


def test_a_pennylane_operation_that_changes_its_decomposition_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    qml = pytest.importorskip("pennylane")
    monkeypatch.setattr(facts, "_LARGE", 1)

    class Repeated(qml.operation.Operation):  # type: ignore[name-defined, misc]
        num_wires = 1
        times = 2

        def decomposition(self) -> list[Any]:
            return [qml.X(self.wires)] * self.times

        has_decomposition = True

    repeated = Repeated(wires=0)
    tape = qml.tape.QuantumScript([repeated, qml.X(0)], [])
    assert facts_of(tape)["depth"] == 3
    repeated.times = 5
    assert facts_of(tape)["depth"] == 6


def test_pennylane_templates_of_other_shapes_and_options_are_other_circuits() -> None:
    qml = pytest.importorskip("pennylane")

    def layers(*, count: int = 1, wires: int = 3, **options: Any) -> Any:
        return qml.StronglyEntanglingLayers(np.ones((count, wires, 3)), wires=range(wires), **options)

    templates = [
        layers(),
        layers(count=2),
        layers(wires=2),
        layers(ranges=[2]),
        layers(imprimitive=qml.ISWAP),
        layers(imprimitive=qml.CZ),
        qml.BasicEntanglerLayers(np.ones((2, 3)), wires=range(3)),
        qml.BasicEntanglerLayers(np.ones((3, 3)), wires=range(3)),
        qml.SimplifiedTwoDesign(np.ones(3), np.ones((2, 2, 2)), wires=range(3)),
        qml.SimplifiedTwoDesign(np.ones(3), np.ones((1, 2, 2)), wires=range(3)),
        qml.QFT(range(3)),
        qml.QFT([0, 2]),
        qml.GroverOperator(range(4)),
        qml.GroverOperator(range(3), work_wires=[5]),
    ]
    for template in [*templates, *templates]:
        tape = qml.tape.QuantumScript([template], [])
        decomposed = qml.tape.QuantumScript(template.decomposition(), [qml.probs(wires=template.wires)])
        assert facts_of(tape) == facts_of(decomposed), template


def test_a_pennylane_trotter_product_has_the_rotations_that_pennylane_makes_of_it() -> None:
    qml = pytest.importorskip("pennylane")
    x, y, z = qml.X, qml.Y, qml.Z
    terms = [z(0), z(0) @ z(1), x(0) @ y(1) @ z(2), y(2), x(1) @ x(3), z(1) @ qml.I(2), 0.5 * x(0) @ x(1)]
    product = qml.TrotterProduct(qml.dot(np.arange(1.0, 8.0), terms), time=0.1, n=2, order=2)
    rotations: list[Any] = []
    for exponential in product.decomposition():
        rotations += exponential.decomposition()
    assert {type(rotation).__name__ for rotation in rotations} >= {"RZ", "IsingZZ", "PauliRot", "IsingXX"}
    assert facts_of(qml.tape.QuantumScript([product], [])) == facts_of(qml.tape.QuantumScript(rotations, []))


@pytest.mark.parametrize("circuit", [object(), 7, {"depth": -1}, "OPENQASM 3;\nwhile (true) { h $0; }", [7], b"cx"])
def test_what_cannot_be_read_is_counted_and_has_no_facts(circuit: object) -> None:
    before = FAULTS.errors["circuit_description"]
    assert facts_of(circuit) == {}
    assert FAULTS.errors["circuit_description"] == before + 1


def test_an_object_that_raises_when_it_is_read_harms_nobody() -> None:
    class Broken:
        measurements = ()

        @property
        def operations(self) -> object:
            raise RuntimeError("not now")

    before = FAULTS.errors["circuit_description"]
    assert facts_of(Broken()) == {}
    assert FAULTS.errors["circuit_description"] == before + 1


def huge_circuits(count: int) -> list[Any]:
    qiskit = pytest.importorskip("qiskit")
    circuits = []
    for seed in range(count):
        source = random.Random(seed)
        circuit = qiskit.QuantumCircuit(N_QUBITS)
        for _ in range(60):
            circuit.cz(*source.sample(range(N_QUBITS), 2))
        circuit.measure_all()
        circuits.append(circuit)
    return circuits


def test_huge_circuits_beyond_the_budget_get_exact_counts_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "_LARGE", 10)
    monkeypatch.setattr(facts, "HUGE", 50)
    monkeypatch.setattr(facts, "BUDGET", 1e-9)
    one, other, third = huge_circuits(3)
    dropped = FAULTS.drops["circuit_facts", "budget"]
    complete = facts_of(one)
    assert complete["depth"] == one.remove_final_measurements(inplace=False).depth()
    assert facts_of(other) == {"gates": 60, "two_qubit_gates": 60, "qubits": N_QUBITS}
    assert FAULTS.drops["circuit_facts", "budget"] == dropped + 1
    third.append(_swap_gate(), [0, 1])
    assert facts_of(third) == {"qubits": N_QUBITS}
    assert facts_of([{"type": "h", "qubit": 0}] * 60) == {}
    monkeypatch.setattr(facts, "BUDGET", 1.0)
    facts._budget._resting_until = 0.0
    assert facts_of(other)["depth"] == other.remove_final_measurements(inplace=False).depth()
    assert facts_of(third)["depth"] == circuit_facts(third).depth
    assert FAULTS.drops["circuit_facts", "budget"] == dropped + 3


def _swap_gate() -> Any:
    qiskit = pytest.importorskip("qiskit")
    inner = qiskit.QuantumCircuit(2)
    inner.cx(0, 1)
    inner.cx(1, 0)
    return inner.to_gate(label="mine")


def test_a_known_large_circuit_costs_no_budget_and_is_not_kept_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    qml = pytest.importorskip("pennylane")
    monkeypatch.setattr(facts, "_LARGE", 10)
    monkeypatch.setattr(facts, "HUGE", 50)
    monkeypatch.setattr(facts, "BUDGET", 1e-9)
    tape = qml.tape.QuantumScript([qml.CZ([0, 1]) for _ in range(60)], [qml.expval(qml.Z(0))])
    assert facts_of(tape)["depth"] == 60
    assert facts_of(tape)["depth"] == 60
    tape.operations[7] = qml.CZ([2, 3])
    assert "depth" not in facts_of(tape)
    reference = weakref.ref(tape)
    del tape
    gc.collect()
    assert reference() is None
    assert not facts._same


def test_a_large_qiskit_circuit_is_known_again_where_changes_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "_LARGE", 10)
    monkeypatch.setattr(facts, "HUGE", 50)
    monkeypatch.setattr(facts, "BUDGET", 1e-9)
    (circuit,) = huge_circuits(1)
    patches = patched()
    complete = facts_of(circuit)
    assert facts_of(circuit) is complete
    circuit.cz(0, 1)  # what is appended shows by itself
    assert facts_of(circuit)["gates"] == 61
    patches.undo()
    facts._budget._resting_until = 0.0
    facts_of(circuit)
    assert facts_of(circuit) == {"gates": 61, "two_qubit_gates": 61, "qubits": N_QUBITS}


def patched() -> Any:
    pytest.importorskip("qiskit")
    from quantum_monitor.frameworks import qiskit_changes
    from quantum_monitor.frameworks.patches import Patches

    patches = Patches()
    qiskit_changes.install(patches)
    return patches


def _exchange(circuit: Any) -> None:
    circuit.data[0], circuit.data[3] = circuit.data[3], circuit.data[0]


def _again(circuit: Any, length: int) -> None:
    """Bring a circuit to its length again: that it grew or shrank must not be all that shows."""
    while len(circuit.data) < length:
        circuit.cz(0, 3)
    while len(circuit.data) > length:
        circuit.data.pop()


def _without_measurements(circuit: Any) -> None:
    circuit.remove_final_measurements()


def _in_another_branch(circuit: Any) -> None:
    """Qiskit takes the ``if`` out of the circuit when the ``else`` begins."""
    with circuit.if_test((circuit.clbits[0], 1)) as otherwise:
        circuit.cz(0, 1)
    with otherwise:
        circuit.cz(0, 1)
        circuit.cz(1, 2)
    del circuit.data[0]


def _in_front(circuit: Any) -> None:
    other = circuit.copy_empty_like()
    other.cz(0, 1)
    circuit.compose(other, front=True, inplace=True)


def _inverted(circuit: Any) -> None:
    """What the circuit returned when the gate was appended changes it later, by another one of other gates."""
    circuit.metadata["swapped"].inverse()


_CHANGES: list[Callable[[Any], object]] = [
    lambda circuit: circuit.data.__setitem__(0, circuit.data[1]),
    _exchange,
    lambda circuit: circuit.data.append(circuit.data.pop(0)),
    lambda circuit: circuit.data.insert(0, circuit.data.pop(3)),
    lambda circuit: circuit.data.remove(circuit.data[1]),
    lambda circuit: circuit.data.extend([circuit.data.pop(2), circuit.data.pop(1)]),
    lambda circuit: circuit.data.__delitem__(1),
    lambda circuit: circuit.data.__delitem__(slice(0, 2)),
    lambda circuit: circuit.data.sort(key=lambda item: circuit.qubits.index(item.qubits[0])),
    lambda circuit: circuit.data.clear(),
    lambda circuit: setattr(circuit, "data", [*circuit.data[1:], circuit.data[0]]),
    lambda circuit: circuit.clear(),
    lambda circuit: circuit.assign_parameters([0.2], inplace=True) or circuit.data.pop(0),
    lambda circuit: circuit.add_bits([type(circuit.qubits[0])()]),
    lambda circuit: circuit.measure_all() or circuit.data.pop(0),
    _without_measurements,
    _in_another_branch,
    _in_front,
    _inverted,
]


@pytest.mark.usefixtures("any_size")
@pytest.mark.parametrize("change", _CHANGES)
def test_every_way_to_change_a_qiskit_circuit_is_told(change: Callable[[Any], object]) -> None:
    qiskit = pytest.importorskip("qiskit")
    patches = patched()
    try:
        circuit = qiskit.QuantumCircuit(N_QUBITS, 1)
        for wires in [(0, 1), (2, 3), (1, 2), (0, 3), (0, 1), (0, 1)]:
            circuit.cz(*wires)
        circuit.rx(qiskit.circuit.Parameter("x"), 0)
        circuit.metadata = {"swapped": circuit.iswap(0, 2)}
        circuit.measure(0, 0)
        before, length = facts_of(circuit), len(circuit.data)
        assert facts_of(circuit) is before
        change(circuit)
        _again(circuit, length)
        after = facts_of(circuit)
        assert after == vars(circuit_facts(circuit))
        assert after != before
    finally:
        patches.undo()
    assert "quantum_monitor" not in qiskit.QuantumCircuit.data.fset.__module__


def test_a_circuit_of_qiskits_library_is_read_as_it_is_built() -> None:
    library = pytest.importorskip("qiskit.circuit.library")
    patches = patched()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Qiskit would have them made by functions
            circuits = [library.RealAmplitudes(N_QUBITS, entanglement="linear", reps=reps) for reps in (1, 2)]
        for reps, circuit in enumerate(circuits, start=1):
            assert facts_of(circuit)["two_qubit_gates"] == 3 * reps
        circuit.entanglement = "full"
        assert facts_of(circuit)["two_qubit_gates"] == 12
    finally:
        patches.undo()


def test_a_circuit_that_changes_while_it_is_read_is_not_remembered_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    qiskit = pytest.importorskip("qiskit")
    cirq = pytest.importorskip("cirq")
    from quantum_monitor.physics import circuits_cirq, circuits_qiskit

    patches = patched()
    line = cirq.LineQubit.range(N_QUBITS)
    moments = [cirq.Moment(cirq.CZ(*line[:2])), cirq.Moment(cirq.CZ(*line[2:]))]

    def of_qiskit() -> tuple[Any, Callable[[], object]]:
        circuit = qiskit.QuantumCircuit(N_QUBITS)
        circuit.cz([0, 0], [1, 1])
        other = qiskit.QuantumCircuit(N_QUBITS)
        other.cz(2, 3)
        return circuit, lambda: circuit.data.__setitem__(0, other.data[0].replace(qubits=circuit.qubits[2:]))

    def of_cirq() -> tuple[Any, Callable[[], object]]:
        circuit = cirq.Circuit(moments[:1] * 2)
        return circuit, lambda: circuit.__setitem__(0, moments[1])

    try:
        for reader, make in ((circuits_qiskit, of_qiskit), (circuits_cirq, of_cirq)):
            circuit, change = make()
            read = reader.read
            facts_of(circuit)
            facts._unchanged.clear()
            facts._known_parts.clear()

            def read_and_change(circuit: Any, read: Any = read, change: Any = change) -> Any:
                outline = read(circuit)
                thread = threading.Thread(target=change)
                thread.start()
                thread.join()
                return outline

            monkeypatch.setattr(reader, "read", read_and_change)
            assert facts_of(circuit)["depth"] == 2
            monkeypatch.undo()
            assert all(key == tuple(map(id, held)) for key, (held, _) in facts._known_parts.items())
            assert facts_of(circuit)["depth"] == vars(circuit_facts(circuit))["depth"] == 1
    finally:
        patches.undo()


@pytest.mark.parametrize("seed", range(4))
def test_qiskits_own_walk_and_ours_agree(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    qiskit, library = pytest.importorskip("qiskit"), pytest.importorskip("qiskit.circuit.library")
    source = random.Random(seed)
    circuit = qiskit.QuantumCircuit(N_QUBITS, N_QUBITS)
    for _ in range(60):
        name, wires = random_gate(source, most=2)
        getattr(circuit, name)(*([0.1] if name == "rx" else []), *wires)
        others: list[Callable[[], object]] = [
            circuit.barrier, lambda: circuit.measure(0, 0), lambda: circuit.reset(1), lambda: circuit.delay(10, 2),
            lambda: circuit.append(library.GlobalPhaseGate(0.1)), lambda: circuit.id(3),
        ]  # fmt: skip
        source.choice(others)()
    ours = facts_of(circuit)
    monkeypatch.setattr(facts, "_LARGE", 10)
    assert facts_of(circuit) == ours == vars(circuit_facts(circuit))
    for strange in (qiskit.circuit.Gate("rx", 2, []), library.UnitaryGate(np.eye(4)), _swap_gate()):
        facts_before = facts_of(circuit)
        circuit.append(strange, [0, 1])
        assert facts_of(circuit) == vars(circuit_facts(circuit)) != facts_before


def test_facts_are_right_from_many_threads() -> None:
    circuits = [[{"type": "cx", "control": k % 3, "target": 3}] * (k + 1) for k in range(600)]
    wrong: list[int] = []

    def read() -> None:
        wrong.extend(k for k, circuit in enumerate(circuits) if facts_of(circuit)["depth"] != k + 1)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
