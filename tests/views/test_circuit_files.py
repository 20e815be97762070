"""What a logged circuit becomes: which files, what they hold, and what is said of those that cannot be made."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum_monitor.physics import circuit_facts
from quantum_monitor.views.circuits import circuit_files

SVG = "{http://www.w3.org/2000/svg}"
BELL = {"gates": [{"type": "h", "qubit": 0}, {"type": "cx", "control": 0, "target": 1}]}


def facts_of(files: dict[str, str]) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(files["circuit.json"])
    return facts


def picture_of(drawing: str) -> ET.Element:
    return ET.fromstring(drawing)  # noqa: S314 - of our own making


def words_of(drawing: str) -> list[str]:
    return [each.text or "" for each in picture_of(drawing).iter(f"{SVG}text")]


def tips_of(drawing: str) -> list[str]:
    return [each.text or "" for each in picture_of(drawing).iter(f"{SVG}title")]


def test_a_description_becomes_four_files() -> None:
    files = circuit_files(BELL, name="Bell")
    assert set(files) == {"circuit.qasm", "circuit.txt", "circuit.svg", "circuit.json"}
    assert facts_of(files) == {
        "name": "Bell",
        "source": "description",
        "depth": 2,
        "two_qubit_depth": 1,
        "gates": 2,
        "two_qubit_gates": 1,
        "qubits": 2,
        "gate_counts": {"cx": 1, "h": 1},
        "parameters": 0,
        "left_out": {},
    }
    assert files["circuit.txt"] == "q[0]: ─[H]──●─\n            │\nq[1]: ──────⊕─\n"


def test_a_drawing_is_deterministic_and_names_every_gate() -> None:
    names = ["h", "cx", "swap", "my gate", "rzz", "ccx", "measure"]
    circuit = [
        {
            "type": name,
            "qubits": [0, 1, 2][: 1 if name in {"h", "measure"} else 3 if name == "ccx" else 2],
            "params": [0.5],
        }
        for name in names
    ]
    drawing = circuit_files(circuit)["circuit.svg"]
    assert drawing == circuit_files(circuit)["circuit.svg"]
    tips = tips_of(drawing)
    for name in names:
        assert any(tip.startswith(name) for tip in tips), name


HOSTILE = "<script>alert('x')</script>&\"\x00\ud800]]>"


@pytest.mark.parametrize("name", [HOSTILE, 'x" onload="alert(1)', "</title><a href='http://x'>", "\x1b[31m\u202e"])
def test_hostile_names_are_text(name: str) -> None:
    circuit = {"gates": [{"type": name, "qubits": [name, "b"], "params": [name]}, {"type": "h", "qubit": name}]}
    files = circuit_files(circuit, name=name)
    picture = picture_of(files["circuit.svg"])
    elements = {each.tag.removeprefix(SVG) for each in picture.iter()}
    assert elements <= {"svg", "title", "desc", "style", "rect", "g", "path", "text", "circle"}
    attributes = {key for each in picture.iter() for key in each.attrib}
    assert not {key for key in attributes if key.startswith("on") or "href" in key}
    assert "url(" not in files["circuit.svg"]
    assert "@import" not in files["circuit.svg"]
    for content in files.values():
        content.encode("utf-8")
    assert not any(letter in files["circuit.txt"] for letter in "\x00\x1b\u202e")


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_any_names_make_well_formed_xml_and_json(gate: str, qubit: str, name: str) -> None:
    files = circuit_files([{"type": gate, "qubits": [qubit, qubit + "2"]}], name=name)
    picture_of(files["circuit.svg"])
    assert facts_of(files)["name"] == name


def test_a_picture_says_what_it_shows_to_who_cannot_see_it() -> None:
    picture = picture_of(circuit_files(BELL, name="Bell")["circuit.svg"])
    assert picture.get("role") == "img"
    assert picture.findtext(f"{SVG}title") == "Quantum circuit Bell"
    assert picture.findtext(f"{SVG}desc") == "2 qubits, 2 gates, depth 2"
    assert "prefers-color-scheme:dark" in (picture.findtext(f"{SVG}style") or "")


def test_a_long_circuit_is_folded_and_says_what_it_leaves_out() -> None:
    circuit = [{"type": "rx", "qubit": at % 70, "params": [0.1]} for at in range(700)]
    files = circuit_files(circuit)
    note = "Drawn: the first 500 of 700 operations, the first 60 of 70 qubits; 70 operations on others are left out"
    assert words_of(files["circuit.svg"])[-1] == note
    assert files["circuit.txt"].endswith(f"\n{note}\n")
    assert len([tip for tip in tips_of(files["circuit.svg"]) if tip.startswith("rx(0.1)")]) == 430
    deep = circuit_files([{"type": "rx", "qubit": 0, "params": [0.1]} for _ in range(100)])
    assert float(picture_of(deep["circuit.svg"]).get("width", "0")) <= 1100
    assert max(map(len, deep["circuit.txt"].splitlines())) <= 120


def test_a_very_long_circuit_keeps_its_facts_and_a_drawing_of_its_beginning() -> None:
    files = circuit_files([{"type": "cx", "control": at % 2, "target": 1 - at % 2} for at in range(10_001)])
    facts = facts_of(files)
    assert set(files) == {"circuit.txt", "circuit.svg", "circuit.json"}
    assert (facts["depth"], facts["gates"], facts["gate_counts"]) == (10_001, 10_001, None)
    assert facts["left_out"] == dict.fromkeys(["gate_counts", "circuit.qasm"], "more than 10000 operations")
    assert "the first 500 of 10001 operations" in words_of(files["circuit.svg"])[-1]


def test_numbers_of_qubits_far_apart_need_no_more_room_than_others() -> None:
    files = circuit_files([{"type": "cx", "control": 10**12, "target": 3}])
    assert words_of(files["circuit.svg"])[:2] == ["q[3]", "q[1000000000000]"]
    assert "qubit[2] q;" in files["circuit.qasm"]


def test_totals_without_gates_are_facts_without_drawings() -> None:
    files = circuit_files({"depth": 5, "n_qubits": 4})
    assert list(files) == ["circuit.json"]
    assert facts_of(files)["depth"] == 5
    assert set(facts_of(files)["left_out"]) == {"circuit.qasm", "circuit.txt", "circuit.svg"}
    assert facts_of(circuit_files(circuit_facts(BELL)))["two_qubit_gates"] == 1


@pytest.mark.parametrize(
    ("circuit", "error"),
    [
        (7, "int is not understood"),
        ("hello world;", "'world' is not a qubit"),
        ("no circuit", "OpenQASM line 1"),
        ({"colour": "red"}, 'give "gates"'),
        ([{"type": "h", "qubit": -1}], r"gates\[0\].qubit is -1"),
        ([{"type": "h"}], "acts on no qubit"),
    ],
)
def test_what_is_no_circuit_is_refused(circuit: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        circuit_files(circuit)


def test_a_program_whose_length_only_the_run_tells_is_kept() -> None:
    text = 'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit q;\nbit c;\nwhile (c == 0) { h q; c = measure q; }\n'
    files = circuit_files(text)
    assert files["circuit.qasm"] == text
    assert "while loop" in facts_of(files)["left_out"]["depth"]
    assert "while loop" in facts_of(files)["left_out"]["circuit.svg"]


def test_openqasm_is_drawn_as_it_is_written() -> None:
    text = """OPENQASM 3.0; include "stdgates.inc"; qubit[2] a; qubit b; bit[2] c;
    gate mine(t) x, y { cx x, y; rz(t) y; }
    for int i in [0:1] { rz(i * pi) a[i]; }
    mine(pi / 2) a[0], b; negctrl @ x a[1], b; barrier a;
    c[0] = measure a[0]; if (c[0] == 1) { x b; } else { z b; } reset b; h $7; c = measure a;"""
    tips = tips_of(circuit_files(text)["circuit.svg"])[1:]
    assert sorted(tips) == sorted(
        [
            *("rz(0*pi) a[0]", "rz(1*pi) a[1]", "mine(pi/2) a[0], b", "h $7", "x a[1], b", "barrier a[0], a[1]"),
            *("measure a[0] to c[0]", "x b if c[0] == 1", "z b if not (c[0] == 1)", "reset b"),
            "measure a[0], a[1] to c[0], c[1]",
        ]
    )
    assert tips.index("measure a[0] to c[0]") < tips.index("x b if c[0] == 1") < tips.index("z b if not (c[0] == 1)")


def test_of_a_very_long_program_the_beginning_is_drawn() -> None:
    text = 'OPENQASM 3.0;\ninclude "stdgates.inc";\nqubit[2] q;\n' + "rz(0.12345678901234567) q[0];\n" * 20_000
    files = circuit_files(text)
    assert files["circuit.qasm"] == text
    assert facts_of(files)["gates"] == 20_000
    assert len([tip for tip in tips_of(files["circuit.svg"]) if tip == "rz(0.1235) q[0]"]) == 500
    assert "the first 500 of 20000 operations" in words_of(files["circuit.svg"])[-1]


def test_qiskits_controls_conditions_and_measurements_are_drawn() -> None:
    qiskit = pytest.importorskip("qiskit")
    circuit = qiskit.QuantumCircuit(3, 1)
    circuit.append(qiskit.circuit.library.XGate().control(2, ctrl_state=1), [0, 1, 2])
    circuit.rz(qiskit.circuit.Parameter("theta"), 0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.cregs[0], 1)):
        circuit.x(1)
    files = circuit_files(circuit)
    tips = tips_of(files["circuit.svg"])[1:]
    assert tips == [
        "ccx_o1 q[0], q[1], q[2]",
        "rz(theta) q[0]",
        "measure q[0] to c[0]",
        "x q[1] if c == 1",
    ]
    assert files["circuit.svg"].count('class="hollow" fill="#ffffff" stroke="#1b1f24" stroke-width="1.2" cx') == 2
    assert files["circuit.txt"].startswith("     ")
    assert facts_of(files)["gate_counts"] == {"ccx_o1": 1, "rz": 1, "x": 1}


def test_a_subroutine_under_a_condition_is_drawn_with_it_and_behind_the_measurement() -> None:
    text = """OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit c;
    def flip(qubit a) { x a; }
    c = measure q[0]; if (c) { flip(q[1]); }"""
    assert tips_of(circuit_files(text)["circuit.svg"])[1:] == ["measure q[0] to c", "flip q[1] if c"]


def test_writes_of_one_bit_are_drawn_in_their_order() -> None:
    text = """OPENQASM 3.0; include "stdgates.inc"; qubit[3] q; bit c;
    h q[0]; c = measure q[0]; c = measure q[1]; if (c) { x q[1]; } c = measure q[2];"""
    measured = ["measure q[0] to c", "measure q[1] to c", "x q[1] if c", "measure q[2] to c"]
    assert tips_of(circuit_files(text)["circuit.svg"])[1:] == ["h q[0]", *measured]
    text = "qubit[2] q; bit c; c = measure q[0]; h q[1]; h q[1]; if (c) { x q[1]; } c = measure q[0];"
    assert tips_of(circuit_files(text)["circuit.svg"])[-2:] == ["x q[1] if c", "measure q[0] to c"]
    apart = circuit_files("qubit[2] q; bit[2] c; c[0] = measure q[0]; c[1] = measure q[1];")
    assert apart["circuit.txt"].count("\n") == 3


@pytest.mark.parametrize("condition", ["c[0] == 1", ("c[0]", 1)])
def test_a_condition_in_a_description_is_drawn_and_never_lost_in_openqasm(condition: Any) -> None:
    files = circuit_files([{"type": "measure", "qubit": 0}, {"type": "x", "qubit": 1, "condition": condition}])
    assert tips_of(files["circuit.svg"])[1:] == ["measure q[0] to c[0]", f"x q[1] if {condition}"]
    assert "circuit.qasm" not in files
    assert f"x has the condition {condition}" in facts_of(files)["left_out"]["circuit.qasm"]


def unitary(n_qubits: int) -> Any:
    return np.linalg.qr(np.random.default_rng(1).normal(size=(2**n_qubits, 2**n_qubits)))[0]


def state(n_qubits: int) -> Any:
    amplitudes = np.random.default_rng(1).normal(size=2**n_qubits)
    return amplitudes / np.linalg.norm(amplitudes)


def qiskits(name: str, n_qubits: int) -> Any:
    qiskit = pytest.importorskip("qiskit")
    circuit = qiskit.QuantumCircuit(n_qubits, 1)
    if name == "state":
        circuit.initialize(state(n_qubits), range(n_qubits))
    elif name == "matrix":
        circuit.unitary(unitary(n_qubits), range(n_qubits))
    elif name == "gate":
        inner = qiskit.QuantumCircuit(n_qubits)
        inner.unitary(unitary(n_qubits), range(n_qubits))
        circuit.append(inner.to_gate(), range(n_qubits))
    else:
        with circuit.if_test((circuit.clbits[0], 1)):
            circuit.unitary(unitary(n_qubits), range(n_qubits))
    return circuit


def pennylanes(name: str, n_qubits: int) -> Any:
    qml = pytest.importorskip("pennylane")
    wires = range(n_qubits)
    made = {
        "state": lambda: qml.StatePrep(state(n_qubits), wires),
        "matrix": lambda: qml.QubitUnitary(unitary(n_qubits), wires),
        "adjoint": lambda: qml.adjoint(qml.QubitUnitary(unitary(n_qubits), wires)),
        "controlled": lambda: qml.ctrl(qml.QubitUnitary(unitary(3), wires[-3:]), wires[:-3]),
    }
    return qml.tape.QuantumScript([made[name]()])


def cirqs(_: str, n_qubits: int) -> Any:
    cirq = pytest.importorskip("cirq")
    gate = cirq.MatrixGate(unitary(2))(*cirq.LineQubit.range(2))
    return cirq.Circuit([gate] * 8 * n_qubits)


@pytest.mark.filterwarnings("ignore:OpenQASM 2.0 does not support global phase")  # says Cirq
@pytest.mark.parametrize(
    ("make", "name", "written", "left_out"),
    [
        (qiskits, "state", 0, 10),
        (qiskits, "matrix", 4, 5),
        (qiskits, "gate", 4, 5),
        (qiskits, "branch", 4, 5),
        (pennylanes, "state", 9, 10),
        (pennylanes, "matrix", 4, 5),
        (pennylanes, "adjoint", 4, 5),
        (pennylanes, "controlled", 4, 11),
        (cirqs, "matrices", 4, 5),
    ],
)
def test_large_matrices_and_states_are_not_made_into_gates(
    make: Callable[[str, int], Any], name: str, written: int, left_out: int
) -> None:
    if written:  # Qiskit's exporter refuses what initialises, of whatever size
        assert "circuit.qasm" in circuit_files(make(name, written))
    circuit = make(name, left_out)
    files = circuit_files(circuit)
    assert set(files) == {"circuit.txt", "circuit.svg", "circuit.json"}
    facts = facts_of(files)
    assert "takes too long" in facts["left_out"]["circuit.qasm"]
    assert sum(facts["gate_counts"].values()) == len(tips_of(files["circuit.svg"])) - 1
    if name == "state":
        assert facts["depth"] is None
        assert "takes too long" in facts["left_out"]["depth"]
        assert files["circuit.txt"].startswith(("q[0]: ", "0: "))  # ours: Qiskit's would write all amplitudes down
    else:
        assert facts["depth"] is not None


def test_parameters_of_layers_are_angles_and_no_matrices() -> None:
    qml = pytest.importorskip("pennylane")
    layers = [
        qml.StronglyEntanglingLayers(np.ones((30, 8, 3)), range(8)),
        qml.BasicEntanglerLayers(np.ones((80, 8)), range(8)),
    ]
    assert "circuit.qasm" in circuit_files(qml.tape.QuantumScript(layers))


def test_a_qiskit_while_loop_is_written_and_drawn_by_qiskit() -> None:
    qiskit = pytest.importorskip("qiskit")
    circuit = qiskit.QuantumCircuit(1, 1)
    with circuit.while_loop((circuit.clbits[0], 0)):
        circuit.h(0)
        circuit.measure(0, 0)
    files = circuit_files(circuit)
    assert "while (" in files["circuit.qasm"]
    assert facts_of(files)["depth"] is None
    assert "while_loop" in facts_of(files)["left_out"]["depth"]
    assert "while_loop q[0]" in tips_of(files["circuit.svg"])[1]


def test_a_qnode_without_arguments_is_drawn_and_never_executed() -> None:
    qml = pytest.importorskip("pennylane")
    device = qml.device("default.qubit", wires=2)

    @qml.qnode(device)
    def circuit(angle: float = 0.3) -> Any:
        qml.RX(angle, wires=0)
        qml.ctrl(qml.RY(0.2, wires=1), control=0, control_values=[0])
        return qml.expval(qml.Z(1))

    with qml.Tracker(device) as tracker:
        files = circuit_files(circuit)
    assert tracker.totals == {}
    assert tips_of(files["circuit.svg"])[1:] == ["RX(0.3) 0", "C(RY)(0.2) 0, 1", "expectation 1"]
    assert "rx(0.3) q[0];" in files["circuit.qasm"]


def test_a_qnode_that_needs_arguments_is_refused_with_the_mend() -> None:
    qml = pytest.importorskip("pennylane")

    @qml.qnode(qml.device("default.qubit", wires=1))
    def circuit(angle: float) -> Any:
        qml.RX(angle, wires=0)
        return qml.expval(qml.Z(0))

    with pytest.raises(ValueError, match="construct_tape"):
        circuit_files(circuit)


def test_operations_drawn_while_another_circuit_is_recorded_do_not_enter_it() -> None:
    qml = pytest.importorskip("pennylane")
    tape = qml.tape.QuantumScript([qml.QFT([0, 1]), qml.IsingXX(0.2, [0, 1])], [qml.expval(qml.Z(0))])
    with qml.queuing.AnnotatedQueue() as queue:
        files = circuit_files(tape)
    assert len(queue) == 0
    assert "circuit.qasm" in files


def test_a_framework_that_fails_costs_its_files_only() -> None:
    cirq = pytest.importorskip("cirq")

    class Odd(cirq.Gate):  # type: ignore[misc, name-defined]
        def _num_qubits_(self) -> int:
            return 1

        def __str__(self) -> str:
            return "odd"

    files = circuit_files(cirq.Circuit(Odd()(cirq.LineQubit(0)), cirq.rx(math.pi)(cirq.LineQubit(1))))
    assert set(files) == {"circuit.txt", "circuit.svg", "circuit.json"}
    assert facts_of(files)["left_out"]["circuit.qasm"].startswith("ValueError: ")
    assert "odd q(0)" in tips_of(files["circuit.svg"])


def test_brakets_controls_are_drawn() -> None:
    braket = pytest.importorskip("braket.circuits")
    circuit = braket.Circuit().x(2, control=[0, 1], control_state=[1, 0]).rx(5, 0.3).measure(0)
    tips = tips_of(circuit_files(circuit)["circuit.svg"])[1:]
    assert sorted(tips) == ["CCX q0, q1, q2", "Measure q0", "Rx(0.3) q5"]


def test_no_framework_is_imported() -> None:
    program = """
import sys
from quantum_monitor.views.circuits import circuit_files
circuit_files({"gates": [{"type": "h", "qubit": 0}]})
circuit_files('OPENQASM 2.0; include "qelib1.inc"; qreg q[1]; h q[0];')
print([name for name in ("qiskit", "pennylane", "cirq", "braket", "openqasm3", "numpy.testing") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
