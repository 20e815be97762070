"""OpenQASM 2 and 3 text gives the facts of the circuit it describes, and hostile text gives an error in time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantum_monitor.physics import CircuitFacts, circuit_depth, circuit_facts

THREE = "OPENQASM 3.0;\nqubit[4] q;\nbit[4] c;\n"


def gates(text: str) -> int | None:
    return circuit_facts(text).gates


@pytest.mark.parametrize(
    ("body", "depth", "count"),
    [
        ("h q;", 1, 4),
        ("cx q[0], q[1]; cx q[1], q[2];", 2, 2),
        ("qubit[4] r; cx q, r;", 1, 4),
        ("qubit r; cx r, q;", 4, 4),
        ("h q[0:2];", 1, 3),
        ("h q[0:2:3];", 1, 2),
        ("h q[{0, 3}];", 1, 2),
        ("h q[-1]; h q[3];", 2, 2),
        ("h q[1:];  h q[:1];", 2, 5),
        ("const int n = 2; h q[n + 1]; h q[(n - 1) * 2];", 1, 2),
        ("let pair = q[0:0] ++ q[3]; h pair; h pair[1];", 2, 3),
        ("h $0; cx $0, $7;", 2, 2),
        ("U(0, pi/2, -(pi)) q[0]; gphase(pi); rx(2*(1+3)) q[0];", 2, 2),
        ("barrier q; measure q -> c; c = measure q; reset q; delay[100ns] q[0]; c[0] = measure q[0];", 0, 0),
        ("h q[0]; // h q[0];\n/* h q[0];\n */ h q[0];", 2, 2),
        ("pragma something h q;\n#pragma x\n@annotation h q\nh q[0];", 1, 1),
        ("if (c == 1) x q[0];", 1, 1),
        ("if (c[0]) { x q[0]; } else { x q[0]; h q[0]; }", 2, 2),
        ("if (c[0]) x q[0]; else if (c[1]) { y q[0]; } else z q[0];", 1, 1),
        ("switch (n) { case 0 { } case 1, 2 { h q; } default { x q[0]; } }", 1, 4),
        ("for int i in [0:2] { cx q[i], q[i + 1]; }", 3, 3),
        ("for uint[8] i in {0, 2} h q[i];", 1, 2),
        ("for int i in [3:-1:0] for int j in [0:1] { x q[i]; }", 2, 8),
        ("for int i in [1:0] { x q[i]; }", 0, 0),
        ("box [1us] { h q[0]; } { h q[0]; }", 2, 2),
        ("gate bell a, b { h a; cx a, b; } bell q[0], q[1]; bell q[1], q[2];", 4, 4),
        ("gate two(t) a { rx(t) a; rx(-t) a; } gate four(t) a { two(t) a; two(t/2) a; } four(0.1) q;", 4, 16),
        ("ctrl @ x q[0], q[1]; negctrl(2) @ inv @ h q[0], q[1], q[2]; pow(0.5) @ x q[0];", 3, 3),
        ("gate bell a, b { h a; cx a, b; } ctrl @ bell q[0], q[1], q[2];", 2, 2),
        ("gate bell a, b { h a; cx a, b; } pow(3) @ bell q[0], q[1];", 6, 6),
        ("gate bell a, b { h a; cx a, b; } inv @ bell q[0], q[1]; h q[1];", 2, 3),
        ("gate cx a, b { U(0,0,0) a; U(0,0,0) b; CX a, b; } cx q[0], q[1];", 1, 1),
        (
            """def f(qubit a, int k, bit b) -> bit { for int i in [1:k] { h a; } return measure a; }
            f(q[0], 2, c[0]); c[1] = f(q[0], 1, c[0]);""",
            3,
            3,
        ),
        ("def g(qubit[2] r) { cx r[0], r[1]; } g(q[2:3]);", 1, 1),
        ("defcal x $0 { play(drive($0), a); } cal { float x = 1; } x q[0];", 1, 1),
        ("input angle t; output bit r; float[64] f = 1.5e-3; int k = 1; rx(t) q[k];", 1, 1),
    ],
)
def test_statements_count_as_documented(body: str, depth: int, count: int) -> None:
    facts = circuit_facts(THREE + body)
    assert (facts.depth, facts.gates) == (depth, count)


def test_version_two_is_read() -> None:
    text = """OPENQASM 2.0;
include "qelib1.inc";
gate majority a,b,c { cx c,b; cx c,a; ccx a,b,c; }
opaque magic a,b;
qreg a[2]; qreg b[2]; creg m[2];
h a;
majority a[0],b[0],b[1];
magic a[1],b[1];
if(m==3) cx a,b;
measure a -> m;
"""
    assert circuit_facts(text) == CircuitFacts(depth=5, two_qubit_depth=4, gates=8, two_qubit_gates=5, qubits=4)


def test_what_qiskit_writes_has_the_facts_of_its_circuit() -> None:
    qiskit = pytest.importorskip("qiskit")
    circuit = qiskit.circuit.random.random_circuit(4, 12, max_operands=2, seed=5, measure=True)
    for text in (qiskit.qasm2.dumps(circuit), qiskit.qasm3.dumps(circuit)):
        assert circuit_facts(text) == circuit_facts(circuit)


def test_what_qiskit_writes_of_control_flow_has_the_facts_of_its_circuit() -> None:
    qiskit = pytest.importorskip("qiskit")
    circuit = qiskit.QuantumCircuit(2, 2)
    with circuit.for_loop(range(3)):
        circuit.rzz(0.1, 0, 1)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.sx(1)
    assert circuit_facts(qiskit.qasm3.dumps(circuit)) == circuit_facts(circuit)


def test_what_pennylane_cirq_and_braket_write_is_read() -> None:
    qml, cirq = pytest.importorskip("pennylane"), pytest.importorskip("cirq")
    braket, ir = pytest.importorskip("braket.circuits"), pytest.importorskip("braket.circuits.serialization")
    tape = qml.tape.QuantumScript([qml.Hadamard(0), qml.CNOT([0, 1]), qml.RZ(0.2, 1)], [qml.probs()])
    a, b = cirq.LineQubit.range(2)
    circuit = braket.Circuit().h(0).cnot(0, 1).rz(1, 0.2)
    texts: list[Any] = [
        qml.to_openqasm(tape),
        cirq.Circuit(cirq.H(a), cirq.CNOT(a, b), cirq.rz(0.2)(b)).to_qasm(),
        circuit.to_ir(ir.IRType.OPENQASM).source,
    ]
    for text in texts:
        assert circuit_facts(text) == CircuitFacts(3, 1, 3, 1, 2)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("garbage", "line 1: expected ';'"),
        ("qreg q[2];\nh r;", "line 2: 'r' is not a qubit"),
        ("qreg q[2];\n\nh q[2];", r"line 3: q\[2\] is outside 0 to 1"),
        ("qreg q[2];\ncx q[0],q[0];", "line 2: cx names a qubit twice"),
        ("qreg q[2]; h q[0] cx q[0],q[1];", "expected an index"),
        ("qreg q[2]; qreg r[3]; cx q, r;", "different"),
        ("qreg q[2]; x q[0],;", "missing a qubit"),
        ("qreg q[2]; x;", "acts on no qubit"),
        ("qreg q[0];", "size 0"),
        ("qubit[n] q;", "'n' is not a constant"),
        ("qubit[1/0] q;", "division by zero"),
        ("qubit[2**64] q;", "outside 0 to 63"),
        ("qubit[1.5] q;", "not a whole number"),
        ("h q; \u00a7", "unexpected character"),
        ("/* never", "comment is never closed"),
        ("gate g a { h a;", "never closed"),
        ("gate g a, b { h a; } qubit q; g q;", "acts on 2 qubits, 1 are given"),
        ("def f(qubit a) { h a; } f();", "takes 1 arguments"),
        ("qubit q; foo @ x q;", "before @ stands"),
        ("qubit[4] q; h q[0:0:3];", "step 0"),
        ("qubit q; while (true) { h q; }", "while loop depends on the run"),
        ("qubit[2] q; int i = 0; i += 1; h q[i];", "'i' is not a constant"),
        ("qubit q; for int i in [0:2] { break; }", "break"),
        ("qubit q; bit[4] c; for bit b in c { h q; }", "a loop over c"),
        ("if (", r"this \( is never closed"),
        ("}", "expected a statement"),
        ("1;", "expected a statement"),
    ],
)
def test_malformed_text_is_refused_with_the_line(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        circuit_facts(text)
    assert "line" in str(caught.value)


DOUBLING = "gate g0 a { h a; }\n" + "".join(f"gate g{k} a {{ g{k - 1} a; g{k - 1} a; }}\n" for k in range(1, 60))


@pytest.mark.parametrize(
    "text",
    [
        DOUBLING + "qubit q; g59 q;",
        "gate g a { g a; } qubit q; g q;",
        "def f(qubit a) { f(a); } qubit q; f(q);",
        "qubit[2**62] q; h q;",
        "qubit[2**62] q; let a = q ++ q;",
        "qubit q; for int i in [0:10**18] { }",
        "gate e a { } qubit q; pow(10**18) @ e q;",
        "{" * 100_000,
        "(" * 100_000,
        "qubit[" + "(" * 50_000 + "1" + ")" * 50_000 + "] q;",
        "qubit[" + "+".join("1" * 50_000) + "] q;",
        "qubit[9**9**9**9] q;",
        "qubit q; x q" + "[0]" * 50_000 + ";",
        "/*" * 50_000,
        "x " + "q" * 1_000_000,
        "if (1) " * 100_000,
    ],
    ids=lambda text: text[:24].strip(),
)
def test_hostile_text_ends_in_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="OpenQASM line"):
        circuit_facts(text)


VOCABULARY = """
qubit qreg q r [ ] { } ( ) ; , : 0 1 2 @ ctrl inv pow gate def for in if else while let = -> h cx ++ - ** int $0
"""
WORDS = st.sampled_from(VOCABULARY.split())


@given(words=st.lists(WORDS, max_size=30))
@settings(max_examples=300, deadline=None)
def test_any_words_are_counted_or_refused(words: list[str]) -> None:
    try:
        assert circuit_depth(" ".join(words)) >= 0
    except ValueError as error:
        assert "OpenQASM line" in str(error)  # noqa: PT017 - either outcome is right


@given(text=st.text(max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_is_counted_or_refused(text: str) -> None:
    try:
        assert circuit_depth(text) >= 0
    except ValueError as error:
        assert "OpenQASM line" in str(error)  # noqa: PT017 - either outcome is right
