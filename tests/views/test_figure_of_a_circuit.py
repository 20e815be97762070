"""The circuit figure: the gates of the SVG file, told under the pointer and legible, and words where none is drawn."""

from __future__ import annotations

import html
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quantum_monitor.views import theme
from quantum_monitor.views.circuits import circuit_files
from quantum_monitor.views.export import save_figure
from quantum_monitor.views.figure_circuit import circuit_figure
from tests.browser import page_of

pytest.importorskip("plotly")
HOSTILE = "<img src=x onerror=alert(1)>"


def trace(figure: Any, name: str) -> Any:
    (found,) = [each for each in figure.data if each.name == name]
    return found


def traces(figure: Any) -> set[str]:
    return {each.name for each in figure.data}


def told(figure: Any) -> list[str]:
    """What the pointer tells, each gate once for each of its qubits."""
    return [html.unescape(words) for words in trace(figure, "gates").hovertext]


def words(figure: Any) -> list[str]:
    return [html.unescape(each) for each in trace(figure, "texts").text]


def in_the_file(circuit: Any) -> list[str]:
    """The gates that the SVG file of the same circuit tells."""
    picture = ET.fromstring(circuit_files(circuit)["circuit.svg"])  # noqa: S314 - of our own making
    return [each.text or "" for each in picture.iter("{http://www.w3.org/2000/svg}title")][1:]


def description() -> Any:
    return {
        "gates": [
            {"type": "h", "qubit": 0},
            {"type": "rx", "qubit": 1, "params": [0.5]},
            {"type": "cx", "qubits": [0, 1]},
        ]
    }


def openqasm() -> Any:
    return (
        'OPENQASM 3.0; include "stdgates.inc"; qubit[3] q; bit[3] c;'
        "h q[0]; rzz(0.3) q[0], q[2]; negctrl @ x q[0], q[1]; barrier q; c = measure q; if (c[0]) x q[1];"
    )


def from_qiskit() -> Any:
    qiskit = pytest.importorskip("qiskit")
    circuit = qiskit.QuantumCircuit(3, 1)
    circuit.h(0)
    circuit.rz(qiskit.circuit.Parameter("theta"), 0)
    circuit.ccx(0, 1, 2)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.cregs[0], 1)):
        circuit.x(1)
    return circuit


def pennylane_operations(qml: Any) -> None:
    qml.Hadamard("a")
    qml.CRX(0.25, wires=["a", "b"])
    qml.SWAP(wires=["a", "b"])


def pennylane_tape() -> Any:
    qml = pytest.importorskip("pennylane")
    with qml.queuing.AnnotatedQueue() as queue:
        pennylane_operations(qml)
    return qml.tape.QuantumScript.from_queue(queue)


def pennylane_qnode() -> Any:
    qml = pytest.importorskip("pennylane")

    @qml.qnode(qml.device("default.qubit", wires=["a", "b"]))
    def node() -> Any:
        pennylane_operations(qml)
        return qml.expval(qml.PauliZ("a"))

    return node


def from_cirq() -> Any:
    cirq = pytest.importorskip("cirq")
    first, second = cirq.LineQubit.range(2)
    return cirq.Circuit(cirq.H(first), cirq.CNOT(first, second), cirq.rx(0.5)(second), cirq.measure(first, key="m"))


def from_braket() -> Any:
    circuits = pytest.importorskip("braket.circuits")
    return circuits.Circuit().h(0).cnot(0, 1).rz(1, 0.5).measure(0)


SOURCES = [description, openqasm, from_qiskit, pennylane_tape, pennylane_qnode, from_cirq, from_braket]


@pytest.mark.parametrize("make", SOURCES, ids=lambda make: make.__name__)
def test_the_pointer_tells_each_gate_of_the_file_at_each_of_its_qubits(make: Callable[[], Any]) -> None:
    circuit = make()
    figure = circuit_figure(circuit)
    gates = in_the_file(circuit)
    assert list(dict.fromkeys(told(figure))) == list(dict.fromkeys(gates))
    for gate in set(gates):
        qubits = re.sub(r"\(.*?\)| (to|if) .*", "", gate).split(",")
        assert told(figure).count(gate) == gates.count(gate) * len(qubits), gate
    assert len(trace(figure, "wires").x) == 3 * json.loads(circuit_files(circuit)["circuit.json"])["qubits"]


def test_each_gate_is_drawn_by_its_sign_on_its_wires() -> None:
    gates = [
        {"type": "h", "qubit": 0},
        {"type": "cx", "control": 0, "target": 1},
        {"type": "cz", "control": 0, "target": 2},
        {"type": "swap", "qubits": [1, 2]},
        {"type": "rzz", "qubits": [0, 2], "params": [0.5]},
        {"type": "barrier", "qubits": [0, 1]},
        {"type": "measure", "qubit": 1},
        {"type": "x", "qubit": 2, "condition": "c == 1"},
    ]
    figure = circuit_figure(gates)
    wires = trace(figure, "wires").y[::3]
    assert wires == tuple(sorted(wires))
    assert trace(figure, "controls").y == (wires[0], wires[0], wires[2])
    assert trace(figure, "targets of X").y == (wires[1],)
    assert trace(figure, "joints").y == (*wires[:2], None, wires[0], wires[2], None, *wires[1:], None)
    boxes = list(zip(trace(figure, "boxes").y[::6], trace(figure, "boxes").y[2::6], strict=True))
    assert [(top < wire < foot) for top, foot in boxes for wire in wires] == [
        *(True, False, False),  # h
        *(True, True, True),  # rzz
        *(False, True, False),  # measure
    ]
    assert len(trace(figure, "boxes with parameters").x) == 6
    assert len(trace(figure, "conditioned boxes").x) == 6
    assert set(trace(figure, "wires passed").y) == {wires[1], None}
    assert len(trace(figure, "barriers").x) == 2 * 3
    assert len(trace(figure, "signs").x) == 2 * 2 * 3 + 14 + 3  # two crosses; the meter's arc and needle
    assert [
        (word, place) for word, place in zip(words(figure), trace(figure, "texts").y, strict=True) if word == "H"
    ] == [("H", wires[0])]
    assert {"q[0]", "q[1]", "q[2]", "Rzz(0.5)", "c[1]", "if c == 1", "3 qubits, 6 gates, depth 6"} <= set(words(figure))


def test_a_control_at_0_is_hollow() -> None:
    figure = circuit_figure('OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; negctrl @ x q[1], q[0];')
    assert trace(figure, "controls at 0").y == trace(figure, "wires").y[3:4]
    assert trace(figure, "controls at 0").marker.color == theme.paper("light")
    assert "controls" not in traces(figure)


def test_one_gate_makes_a_small_figure() -> None:
    figure = circuit_figure([{"type": "h", "qubit": 0}], name="one")
    assert told(figure) == ["h q[0]"]
    assert (figure.layout.title.text, figure.layout.width) == ("Quantum circuit one", 480)
    assert figure.layout.height < 200
    assert words(figure) == ["q[0]", "H", "1 qubit, 1 gate, depth 1"]


def test_a_long_circuit_is_folded_and_says_what_it_leaves_out() -> None:
    figure = circuit_figure([{"type": "rx", "qubit": at % 70, "params": [0.1]} for at in range(700)])
    assert len(told(figure)) == 430
    assert " ".join(words(figure)[-3:]) == (
        "70 qubits, 700 gates, depth 10 Drawn: the first 500 of 700 operations, the first 60 of 70 qubits; "
        "70 operations on others are left out"
    )
    folded = circuit_figure([{"type": "rx", "qubit": 0, "params": [0.1]} for _ in range(100)])
    assert len(told(folded)) == 100
    assert folded.layout.width <= 1100
    assert len(set(trace(folded, "gates").y)) == 9  # rows


@pytest.mark.parametrize(
    ("operations", "note"),
    [
        (501, "Drawn: the first 500 of 501 operations; of these 500 the first 44, as many as a figure takes"),
        (490, "Drawn: of 490 operations the first 44, as many as a figure takes"),
    ],
)
def test_a_circuit_higher_than_an_image_can_be_is_cut_and_says_so(operations: int, note: str) -> None:
    figure = circuit_figure([{"type": "cx", "control": at % 2 * 59, "target": 30} for at in range(operations)])
    assert figure.layout.height < 6200
    assert len(told(figure)) == 2 * 44
    assert words(figure)[-1] == note


def test_totals_without_gates_are_told_in_words() -> None:
    figure = circuit_figure({"depth": 5, "n_qubits": 4}, name="vqe")
    assert words(figure) == ["4 qubits, depth 5", "Only totals were given, no gates."]
    assert traces(figure) == {"texts"}


def test_what_cannot_be_read_is_told_in_words() -> None:
    figure = circuit_figure("OPENQASM 3.0; qubit q; bit c; while (c == 0) { h q; c = measure q; }")
    assert "a while loop depends on the run and cannot be drawn" in " ".join(words(figure))


def test_what_is_no_circuit_and_no_theme_is_refused() -> None:
    with pytest.raises(ValueError, match="int is not understood"):
        circuit_figure(7)
    with pytest.raises(ValueError, match="theme: 'blue' is neither"):
        circuit_figure(description(), theme="blue")  # type: ignore[arg-type]


def test_the_themes_differ_in_colours_only() -> None:
    light, dark = (circuit_figure(description(), theme=name) for name in ("light", "dark"))
    assert words(light) == words(dark)
    assert told(light) == told(dark)
    for name, figure in (("light", light), ("dark", dark)):
        assert trace(figure, "texts").textfont.color == theme.ink(name)  # type: ignore[arg-type]
        assert trace(figure, "boxes").fillcolor == theme.paper(name)  # type: ignore[arg-type]


def test_hostile_names_are_text_everywhere() -> None:
    circuit = [{"type": HOSTILE, "qubits": [HOSTILE, "%{x}", "$a$"], "params": [HOSTILE]}]
    figure = circuit_figure(circuit, name=HOSTILE)
    texts = [*trace(figure, "gates").hovertext, *trace(figure, "texts").text]
    assert not [each for each in texts if "<" in each or "$" in each]
    assert figure.layout.title.text == "Quantum circuit &lt;img src=x onerror=alert(1)&gt;"
    assert told(figure) == in_the_file(circuit) * 3
    assert all(each.hovertemplate is None and each.texttemplate is None for each in figure.data)


_TEXTS = """() => [...document.querySelectorAll('.textpoint text')].map((each) => {
  const {left, right, top, bottom} = each.getBoundingClientRect();
  return {words: each.textContent, left, right, top, bottom};
})"""


def test_in_a_browser_no_text_covers_another_and_the_pointer_tells_the_gate(chromium: Any, tmp_path: Path) -> None:
    circuit = [
        {
            "type": ["h", "rx", "cx", "rzz", "measure", "my own gate"][at % 6],
            "qubits": [at % 5, (at + 2) % 5][: 1 + (at % 6 in {2, 3})],
            "params": [0.125] * (at % 2),
        }
        for at in range(60)
    ]
    file = save_figure(circuit_figure(circuit, name=HOSTILE), tmp_path / "a.html")
    with page_of(chromium, file.as_uri(), width=1600) as watched:
        watched.page.wait_for_selector(".textpoint text")
        texts = watched.page.evaluate(_TEXTS)
        assert {"q[0]", "H", "Rzz(0.125)", "my own gate(0.125)"} <= {text["words"] for text in texts}
        covered = [
            (one["words"], other["words"])
            for at, one in enumerate(texts)
            for other in texts[:at]
            if min(one["right"], other["right"]) > max(one["left"], other["left"])
            and min(one["bottom"], other["bottom"]) > max(one["top"], other["top"]) + 1
        ]
        assert not covered
        box = next(text for text in texts if text["words"] == "Rx(0.125)")
        watched.page.mouse.move((box["left"] + box["right"]) / 2, (box["top"] + box["bottom"]) / 2)
        watched.page.wait_for_selector(".hoverlayer .hovertext")
        assert watched.page.text_content(".hoverlayer .hovertext text") == "rx(0.125) q[1]"
        assert HOSTILE in watched.page.inner_text("body")
        assert not watched.complaints
