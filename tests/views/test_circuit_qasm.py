"""The OpenQASM that is written: it parses, and means the circuit it was written from."""

from __future__ import annotations

import importlib.util
import json
import math
import random
import warnings
from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantum_monitor.views.circuit_qasm import as_qasm3, write_qasm
from quantum_monitor.views.circuits import circuit_files

N_QUBITS = 3

_I, _X, _Y, _Z = np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])
_SX = np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]]) / 2


def rotation(generator: Any, angle: float) -> Any:
    """exp(-i angle/2 G) of a G that is its own inverse."""
    return math.cos(angle / 2) * np.eye(len(generator)) - 1j * math.sin(angle / 2) * generator


def u3(theta: float, phi: float, lam: float) -> Any:
    c, s = math.cos(theta / 2), math.sin(theta / 2)
    return np.array([[c, -np.exp(1j * lam) * s], [np.exp(1j * phi) * s, np.exp(1j * (phi + lam)) * c]])


def controlled(matrix: Any, n_controls: int = 1) -> Any:
    size = len(matrix) << n_controls
    whole = np.eye(size, dtype=complex)
    whole[-len(matrix) :, -len(matrix) :] = matrix
    return whole


_SWAP = np.eye(4)[[0, 2, 1, 3]]
MATRICES: Mapping[str, Callable[..., Any]] = {  # first qubit is the most significant bit
    "id": lambda: _I,
    "x": lambda: _X,
    "y": lambda: _Y,
    "z": lambda: _Z,
    "h": lambda: (_X + _Z) / math.sqrt(2),
    "s": lambda: np.diag([1, 1j]),
    "sdg": lambda: np.diag([1, -1j]),
    "t": lambda: np.diag([1, np.exp(1j * math.pi / 4)]),
    "tdg": lambda: np.diag([1, np.exp(-1j * math.pi / 4)]),
    "sx": lambda: _SX,
    "sxdg": lambda: _SX.conj().T,
    "p": lambda a: np.diag([1, np.exp(1j * a)]),
    "rx": lambda a: rotation(_X, a),
    "ry": lambda a: rotation(_Y, a),
    "rz": lambda a: rotation(_Z, a),
    "u": u3,
    "u2": lambda a, b: u3(math.pi / 2, a, b),
    "rot": lambda a, b, c: rotation(_Z, c) @ rotation(_Y, b) @ rotation(_Z, a),
    "swap": lambda: _SWAP,
    "iswap": lambda: np.array([[1, 0, 0, 0], [0, 0, 1j, 0], [0, 1j, 0, 0], [0, 0, 0, 1]]),
    "dcx": lambda: np.eye(4)[[0, 3, 1, 2]].T,
    "ecr": lambda: (np.kron(_X, _I) - np.kron(_Y, _X)) @ np.eye(4) / math.sqrt(2),
    "rxx": lambda a: rotation(np.kron(_X, _X), a),
    "ryy": lambda a: rotation(np.kron(_Y, _Y), a),
    "rzz": lambda a: rotation(np.kron(_Z, _Z), a),
    "rzx": lambda a: rotation(np.kron(_Z, _X), a),
    "cu": lambda a, b, c, d: controlled(np.exp(1j * d) * u3(a, b, c)),
}
N_PARAMETERS = {"p": 1, "rx": 1, "ry": 1, "rz": 1, "u": 3, "u2": 2, "rot": 3, "cu": 4}
N_PARAMETERS |= dict.fromkeys(["rxx", "ryy", "rzz", "rzx"], 1)
PAIRS = ("swap", "iswap", "dcx", "ecr", "rxx", "ryy", "rzz", "rzx", "cu")
STANDARD: Mapping[str, tuple[str, int]] = {  # what stdgates.inc has beside those above: the base and its controls
    "cx": ("x", 1),
    "cy": ("y", 1),
    "cz": ("z", 1),
    "ch": ("h", 1),
    "cp": ("p", 1),
    "ccx": ("x", 2),
    "crx": ("rx", 1),
    "cry": ("ry", 1),
    "crz": ("rz", 1),
    "cswap": ("swap", 1),
}
IN_STDGATES = {
    *["id", "x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx", "p", "rx", "ry", "rz", "u2", "swap", "cu"],
    *STANDARD,
}


def on(matrix: Any, qubits: tuple[int, ...], n_qubits: int) -> Any:
    """The matrix on these of all qubits: as a tensor, by its definition."""
    k = len(qubits)
    tensor = np.asarray(matrix, dtype=complex).reshape((2,) * (2 * k))
    whole = np.eye(2**n_qubits, dtype=complex).reshape((2,) * (2 * n_qubits))
    applied = np.tensordot(tensor, whole, axes=(list(range(k, 2 * k)), list(qubits)))
    return np.moveaxis(applied, list(range(k)), list(qubits)).reshape(2**n_qubits, 2**n_qubits)


def simulated(program: str) -> Any:  # noqa: C901 - one case a kind of statement
    """The unitary of an OpenQASM 3 program, by the reference parser and what stdgates.inc says in matrices."""
    openqasm3 = pytest.importorskip("openqasm3")
    ast = openqasm3.ast
    definitions: dict[str, Any] = {}
    places: dict[str, int] = {}
    steps: list[tuple[Any, tuple[int, ...]]] = []

    def number(node: Any, names: Mapping[str, float]) -> float:
        if isinstance(node, ast.UnaryExpression):
            return -number(node.expression, names)
        if isinstance(node, ast.BinaryExpression):
            left, right = number(node.lhs, names), number(node.rhs, names)
            return {"*": lambda: left * right, "/": lambda: left / right}[node.op.name]()
        if isinstance(node, ast.Identifier):
            return {"pi": math.pi, "tau": math.tau, **names}[node.name]
        return float(node.value)

    def place(node: Any, names: Mapping[str, int]) -> int:
        if isinstance(node, ast.Identifier):
            return names[node.name]
        return places[node.name.name] + int(node.indices[0][0].value)

    def matrix_of(gate: Any, names: Mapping[str, float]) -> Any:
        angles = [number(argument, names) for argument in gate.arguments]
        name = gate.name.name
        if name == "U":
            matrix = u3(*angles)
        elif name in IN_STDGATES:
            base, controls = STANDARD.get(name, (name, 0))
            matrix = controlled(MATRICES[base](*angles), controls)
        else:
            made = definitions[name]
            inner = dict(zip((each.name for each in made.arguments), angles, strict=True))
            wires = {each.name: at for at, each in enumerate(made.qubits)}
            matrix = np.eye(2 ** len(wires), dtype=complex)
            for part in made.body:
                where = tuple(place(qubit, wires) for qubit in part.qubits)
                matrix = on(matrix_of(part, inner), where, len(wires)) @ matrix
        for modifier in gate.modifiers:
            assert modifier.modifier.name == "ctrl"
            matrix = controlled(matrix, int(modifier.argument.value) if modifier.argument else 1)
        return matrix

    for statement in openqasm3.parse(program).statements:
        if isinstance(statement, ast.QubitDeclaration):
            places[statement.qubit.name] = sum(places.values())  # there is one register
            n_qubits = int(statement.size.value)
        elif isinstance(statement, ast.QuantumGateDefinition):
            definitions[statement.name.name] = statement
        elif isinstance(statement, ast.QuantumGate):
            steps.append((matrix_of(statement, {}), tuple(place(qubit, {}) for qubit in statement.qubits)))
        else:
            assert isinstance(statement, (ast.Include, ast.ClassicalDeclaration)), statement
    return reduce(lambda whole, step: on(step[0], step[1], n_qubits) @ whole, steps, np.eye(2**n_qubits))


def same_up_to_phase(a: Any, b: Any) -> bool:
    return math.isclose(abs(np.trace(a.conj().T @ b)), len(a), rel_tol=1e-9)


angles = st.floats(-7, 7).map(lambda angle: round(angle, 6))


@st.composite
def gates(draw: Any) -> tuple[dict[str, Any], Any]:
    """A gate as a description has it, and its matrix on all qubits."""
    name = draw(st.sampled_from(sorted(MATRICES)))
    n_targets = 2 if name in PAIRS else 1
    qubits = tuple(draw(st.permutations(range(N_QUBITS))))
    n_controls = draw(st.integers(0, N_QUBITS - n_targets))
    values = [draw(angles) for _ in range(N_PARAMETERS.get(name, 0))]
    targets, controls = qubits[:n_targets], qubits[n_targets : n_targets + n_controls]
    described: dict[str, Any] = {"type": name, "targets": list(targets)}
    described |= {"params": values} if values else {}
    described |= {"controls": list(controls)} if controls else {}
    matrix = controlled(MATRICES[name](*values), n_controls)
    return described, on(matrix, controls + targets, N_QUBITS)


@given(st.lists(gates(), min_size=1, max_size=8))
@settings(max_examples=150)
def test_a_description_becomes_a_program_of_the_same_unitary(circuit: list[tuple[dict[str, Any], Any]]) -> None:
    program = circuit_files({"gates": [each for each, _ in circuit], "n_qubits": N_QUBITS})["circuit.qasm"]
    expected = reduce(lambda whole, step: step[1] @ whole, circuit, np.eye(2**N_QUBITS))
    assert same_up_to_phase(simulated(program), expected), program


@pytest.mark.skipif(importlib.util.find_spec("qiskit_qasm3_import") is None, reason="Qiskit's importer is apart")
@given(st.lists(gates(), min_size=1, max_size=5))
@settings(max_examples=40)
def test_qiskit_reads_the_program_of_a_description_as_the_same_unitary(
    circuit: list[tuple[dict[str, Any], Any]],
) -> None:
    from qiskit import qasm3
    from qiskit.quantum_info import Operator

    program = circuit_files({"gates": [each for each, _ in circuit], "n_qubits": N_QUBITS})["circuit.qasm"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = qasm3.loads(program)
    expected = reduce(lambda whole, step: step[1] @ whole, circuit, np.eye(2**N_QUBITS))
    assert same_up_to_phase(Operator(read.reverse_bits()).data, expected), program


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ({"type": "CNOT", "control": 2, "target": 0}, on(controlled(_X), (2, 0), 3)),
        ({"name": "Toffoli", "wires": [0, 1, 2]}, controlled(_X, 2)),
        ({"gate": "Hadamard", "wires": 1}, on(MATRICES["h"](), (1,), 3)),
        ({"type": "mcx", "controls": [0, 1], "target": 2}, controlled(_X, 2)),
        ({"type": "RX", "qubit": 2, "angle": 0.3}, on(rotation(_X, 0.3), (2,), 3)),
        ({"type": "rx", "qubit": 2, "params": [np.float32(0.5)]}, on(rotation(_X, 0.5), (2,), 3)),
        ({"type": "p", "qubit": 2, "params": ["-pi/2"]}, on(np.diag([1, -1j]), (2,), 3)),
        ({"type": "h", "qubits": [0, 2]}, on(MATRICES["h"](), (0,), 3) @ on(MATRICES["h"](), (2,), 3)),
        ({"type": "IsingXX", "wires": [0, 2], "parameters": 0.4}, on(rotation(np.kron(_X, _X), 0.4), (0, 2), 3)),
    ],
    ids=lambda value: str(value.get("type", value)) if isinstance(value, dict) else "",
)
def test_names_of_all_frameworks_are_understood(written: dict[str, Any], means: Any) -> None:
    program = circuit_files({"gates": [written], "n_qubits": 3})["circuit.qasm"]
    assert same_up_to_phase(simulated(program), means), program


def parsed(program: str) -> Any:
    return pytest.importorskip("openqasm3").parse(program)


hostile = st.text(max_size=20) | st.sampled_from(
    ["gate", "U", "qubit", "cx", "rzz", "q", "c", "pi", "*/ //", "x\ny;", "\u2028}", "0x", "__a", "\ud800"]
)


@given(st.lists(st.tuples(hostile, hostile, st.lists(hostile | st.floats(-1, 1), max_size=2)), min_size=1, max_size=5))
def test_any_names_become_a_program_that_parses(circuit: list[tuple[str, str, list[Any]]]) -> None:
    described = [
        {"type": name, "qubits": [qubit, "other " + qubit], "params": values} for name, qubit, values in circuit
    ]
    files = circuit_files(described, name=circuit[0][0])
    assert "circuit.qasm" in files, json.loads(files["circuit.json"])["left_out"]
    assert parsed(files["circuit.qasm"]).version == "3.0"
    files["circuit.qasm"].encode("ascii")


def test_a_gate_known_by_name_only_says_so() -> None:
    program = circuit_files([{"type": "my gate", "qubits": [0, 1], "params": [0.5]}])["circuit.qasm"]
    assert "// 'my gate' is known by its name only: this body is empty\ngate my_gate(p0) a0, a1 { }" in program
    assert "my_gate(0.5) q[0], q[1];" in program


def test_measurements_barriers_and_resets_of_a_description_are_written() -> None:
    circuit = [
        {"type": "h", "qubit": 0},
        {"type": "barrier", "qubits": [0, 1]},
        {"type": "measure", "qubit": 1},
        {"type": "reset", "qubit": 1},
    ]
    program = circuit_files(circuit)["circuit.qasm"]
    assert program.endswith("qubit[2] q;\nbit[1] c;\nh q[0];\nbarrier q[0], q[1];\nc[0] = measure q[1];\nreset q[1];\n")


def test_an_angle_that_is_no_number_leaves_the_program_out_and_says_why() -> None:
    files = circuit_files([{"type": "rx", "qubit": 0, "params": [math.nan]}])
    assert "circuit.qasm" not in files
    assert "finite" in json.loads(files["circuit.json"])["left_out"]["circuit.qasm"]


def random_gates(seed: int) -> list[tuple[str, tuple[int, ...], list[float]]]:
    source = random.Random(seed)
    kinds = [
        ("h", 1, 0),
        ("s", 1, 0),
        ("rx", 1, 1),
        ("rz", 1, 1),
        ("cx", 2, 0),
        ("cz", 2, 0),
        ("swap", 2, 0),
        ("ccx", 3, 0),
    ]
    picked = [source.choice(kinds) for _ in range(15)] + kinds
    return [
        (name, tuple(source.sample(range(N_QUBITS), arity)), [round(source.uniform(-3, 3), 6) for _ in range(n)])
        for name, arity, n in picked
    ]


def by_qiskit(circuit: list[tuple[str, tuple[int, ...], list[float]]]) -> Any:
    made = pytest.importorskip("qiskit").QuantumCircuit(N_QUBITS)
    for name, qubits, values in circuit:
        getattr(made, name)(*values, *qubits)
    return made


def by_pennylane(circuit: list[tuple[str, tuple[int, ...], list[float]]]) -> Any:
    qml = pytest.importorskip("pennylane")
    kinds = {"h": qml.Hadamard, "s": qml.S, "rx": qml.RX, "rz": qml.RZ}
    kinds |= {"cx": qml.CNOT, "cz": qml.CZ, "swap": qml.SWAP, "ccx": qml.Toffoli}
    return qml.tape.QuantumScript([kinds[name](*values, wires=qubits) for name, qubits, values in circuit])


def by_cirq(circuit: list[tuple[str, tuple[int, ...], list[float]]]) -> Any:
    cirq = pytest.importorskip("cirq")
    line = cirq.LineQubit.range(N_QUBITS)
    kinds = {"h": cirq.H, "s": cirq.S, "cx": cirq.CNOT, "cz": cirq.CZ, "swap": cirq.SWAP, "ccx": cirq.CCX}
    kinds |= {"rx": cirq.rx, "rz": cirq.rz}
    return cirq.Circuit(
        (kinds[name](*values) if values else kinds[name])(*(line[at] for at in qubits))
        for name, qubits, values in circuit
    )


def by_braket(circuit: list[tuple[str, tuple[int, ...], list[float]]]) -> Any:
    made = pytest.importorskip("braket.circuits").Circuit()
    for name, qubits, values in circuit:
        getattr(made, {"cx": "cnot", "ccx": "ccnot"}.get(name, name))(*qubits, *values)
    return made


@pytest.mark.parametrize("framework", [by_qiskit, by_pennylane, by_cirq, by_braket])
@pytest.mark.parametrize("seed", range(3))
def test_a_frameworks_own_program_parses_and_its_facts_are_those_of_the_circuit(
    framework: Callable[[Any], Any], seed: int
) -> None:
    circuit = random_gates(seed)
    files = circuit_files(framework(circuit), name="random")
    assert set(files) == {"circuit.qasm", "circuit.txt", "circuit.svg", "circuit.json"}
    assert parsed(files["circuit.qasm"]).version == "3.0"
    facts = json.loads(files["circuit.json"])
    assert facts["source"].split()[0] == framework.__name__.removeprefix("by_")
    assert facts["source"].split()[1][0].isdigit()
    described = json.loads(
        circuit_files([{"type": name, "qubits": list(qubits), "params": values} for name, qubits, values in circuit])[
            "circuit.json"
        ]
    )
    for fact in ("depth", "two_qubit_depth", "gates", "two_qubit_gates", "qubits", "parameters"):
        assert facts[fact] == described[fact], fact
    assert sum(facts["gate_counts"].values()) == len(circuit)


def unitary_of(circuit: list[tuple[str, tuple[int, ...], list[float]]]) -> Any:
    whole = np.eye(2**N_QUBITS)
    for name, qubits, values in circuit:
        base, n_controls = STANDARD.get(name, (name, 0))
        whole = on(controlled(MATRICES[base](*values), n_controls), qubits, N_QUBITS) @ whole
    return whole


@pytest.mark.parametrize("seed", range(3))
def test_the_openqasm_2_of_pennylane_means_the_same_as_openqasm_3(seed: int) -> None:
    circuit = random_gates(seed)
    program = circuit_files(by_pennylane(circuit))["circuit.qasm"].replace("qreg q[3]", "qubit[3] q")
    lines = [line for line in program.splitlines() if not line.startswith(("creg", "measure"))]
    assert same_up_to_phase(simulated("\n".join(lines)), unitary_of(circuit))


def test_openqasm_2_is_rewritten_with_the_gates_that_openqasm_3_lacks() -> None:
    text = 'OPENQASM 2.0; // two\ninclude "qelib1.inc";\nqreg u[2];\ncreg c[2];\nrzz(2^2) u[0],u[1];\nmeasure u -> c;\n'
    program = circuit_files(text)["circuit.qasm"]
    assert program.startswith('OPENQASM 3.0; // two\ninclude "stdgates.inc";\ngate rzz(x) a, b {')
    assert "rzz(2**2) u[0],u[1];" in program
    assert "gate u(" not in program  # `u` is a register here
    parsed(program)


@pytest.mark.parametrize(
    ("program", "rewritten"),
    [
        (
            "qreg input[2]; h input[0]; cx input[0],input[1];",
            "qreg input_2[2]; h input_2[0]; cx input_2[0],input_2[1];",
        ),
        ("qreg q[1]; creg bit[1]; measure q[0] -> bit[0];", "qreg q[1]; creg bit_2[1]; measure q[0] -> bit_2[0];"),
        (
            "gate phase(x) a { u1(x) a; } qreg phase_2[1]; phase(0.3) phase_2[0];",
            "gate phase_3(x) a { u1(x) a; } qreg phase_2[1]; phase_3(0.3) phase_2[0];",
        ),
        ("gate cphase(x) a,b { crz(x) a,b; } qreg q[2];", "gate cphase_2(x) a,b { crz(x) a,b; } qreg q[2];"),
        (
            "gate mine(angle) let { rz(angle) let; } qreg q[1];",
            "gate mine(angle_2) let_2 { rz(angle_2) let_2; } qreg q[1];",
        ),
        ("gate mine(p) x { rz(p) x; } qreg q[1];", "gate mine(p) x { rz(p) x; } qreg q[1];"),
        ("qreg q[1]; gphase(0.1) ; // input", "qreg q[1]; gphase(0.1) ; // input"),
    ],
)
def test_names_that_openqasm_3_took_for_itself_are_changed_everywhere(program: str, rewritten: str) -> None:
    head = 'OPENQASM 2.0; include "qelib1.inc"; '
    made = as_qasm3(head + program)
    assert made == 'OPENQASM 3.0; include "stdgates.inc"; ' + rewritten
    if "gphase" not in program:
        parsed(made)


def test_a_program_that_defines_all_its_gates_keeps_their_names_but_for_the_one_it_needs() -> None:
    assert as_qasm3("OPENQASM 2.0; gate x a { U(pi,0,pi) a; }") == "OPENQASM 3.0; gate x a { U(pi,0,pi) a; }"
    made = as_qasm3("OPENQASM 2.0;\ngate cx a,b { CX a,b; }\nqreg q[2];\ncx q[0],q[1];\n")
    assert made.startswith('OPENQASM 3.0;\ninclude "stdgates.inc";\ngate cx_2 a,b { CX a,b; }')
    parsed(made)


def test_openqasm_3_goes_through_as_it_is() -> None:
    text = "// OPENQASM 2.0;\nOPENQASM 3;\nqubit q;\nU(0, 0, 1) q;\n"
    assert circuit_files(text)["circuit.qasm"] == text
    assert as_qasm3(text) is text


def test_an_opaque_gate_has_no_counterpart_and_says_so() -> None:
    files = circuit_files("OPENQASM 2.0;\nopaque magic a;\nqreg q[1];\nmagic q[0];\n")
    assert "opaque" in json.loads(files["circuit.json"])["left_out"]["circuit.qasm"]
    assert "magic" in files["circuit.svg"]


def test_the_writer_is_deterministic() -> None:
    from quantum_monitor.views.circuit_gates import read_description

    circuit = [{"type": f"g{at}", "qubits": [at % 3, "a"], "params": ["s", "t"]} for at in range(20)]
    first, second = (write_qasm(read_description(circuit, None, 100)) for _ in range(2))
    assert first == second
