"""What a circuit becomes when it is logged: OpenQASM, drawings and facts, as texts for files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict
from itertools import islice
from typing import Any, NamedTuple

from quantum_monitor.names import text
from quantum_monitor.physics import CircuitFacts, circuit_facts
from quantum_monitor.physics.qasm_parser import parse
from quantum_monitor.physics.qasm_syntax import Register
from quantum_monitor.views.circuit_bulk import bulk
from quantum_monitor.views.circuit_frameworks import as_circuit, framework_of
from quantum_monitor.views.circuit_gates import Gate, GateList, read_description
from quantum_monitor.views.circuit_program import read_program
from quantum_monitor.views.circuit_qasm import as_qasm3, is_qasm2, write_qasm
from quantum_monitor.views.circuit_svg import draw_svg
from quantum_monitor.views.circuit_text import draw_text, folded

_DRAWN_FILES = ("circuit.qasm", "circuit.txt", "circuit.svg")
LIMIT = 10_000
"""Operations up to which OpenQASM is written and gates are counted by name."""

DRAWN_GATES = 500
DRAWN_QUBITS = 60


class _Circuit(NamedTuple):
    """A circuit and who can say what of it.

    Attributes:
        source: ``qiskit 2.6.2``, ``OpenQASM 3``, ``description``.
        facts: what is known of it.
        unknown: why facts are missing; empty if they are not.
        read: its first gates, up to a number; None of a circuit that is known by its totals only.
        qasm: its OpenQASM, from its gates.
        draw: the text drawing of its framework; None of texts and descriptions, and where it takes long.
        unwritten: why its framework is not asked for OpenQASM; empty if it is.
    """

    source: str
    facts: CircuitFacts
    unknown: str
    read: Callable[[int], GateList] | None
    qasm: Callable[[GateList], str]
    draw: Callable[[], str] | None = None
    unwritten: str = ""


def circuit_files(circuit: Any, *, name: str = "") -> dict[str, str]:
    """Return the files that show a circuit, file name to text.

    Args:
        circuit: a description, OpenQASM text, or a circuit object, as `quantum_monitor.physics.circuit_facts` takes
            them; also a PennyLane QNode without arguments.
        name: what the person calls it; any text.

    Returns:
        ``circuit.qasm`` (OpenQASM 3; of a framework's object by its own exporter), ``circuit.txt`` and ``circuit.svg``
        (drawings), and always ``circuit.json``: ``name``, ``source``, ``qubits``, ``depth``, ``two_qubit_depth``,
        ``gates`` and ``two_qubit_gates`` as `circuit_facts` has them (None is not known), ``gate_counts`` and
        ``parameters`` (gates by name, and how many parameters they have, as written: what is defined elsewhere is one
        gate), and ``left_out``: file or fact to the reason why it is missing. What takes a framework long is left
        out: OpenQASM of more than 512 elements of matrices and state vectors (a unitary on 5 qubits, say), and of that
        many of state vectors the counts of gates, too.

    Raises:
        ValueError: no circuit at all, with the field, the value and the mend.
    """
    known = _known(as_circuit(circuit))
    left_out = {"depth": known.unknown} if known.unknown else {}
    facts: dict[str, Any] = {"name": text(name), "source": known.source, **asdict(known.facts)}
    facts |= {"gate_counts": None, "parameters": None}
    files: dict[str, str] = {}
    if known.read is None:
        left_out |= dict.fromkeys(_DRAWN_FILES, "only totals were given, no gates")
    else:
        _show(known, known.read, facts, files, left_out)
    files["circuit.json"] = json.dumps({**facts, "left_out": left_out}, indent=1) + "\n"
    return {file: content.encode("utf-8", "backslashreplace").decode() for file, content in files.items()}


def _known(circuit: Any) -> _Circuit:
    if isinstance(circuit, str):
        return _known_text(circuit)
    framework = framework_of(circuit)
    if framework is not None:
        held = bulk(framework.name, circuit)
        unknown = held.too_much_to_count()
        facts, unknown = (CircuitFacts(), unknown) if unknown else _facts(circuit)
        read, qasm, draw = framework.read, framework.qasm, framework.draw
        return _Circuit(
            framework.source(),
            facts,
            unknown,
            lambda _: read(circuit),
            lambda _: qasm(circuit),
            None if held.too_much_to_count() else lambda: draw(circuit),
            held.too_much(),
        )
    facts = circuit_facts(circuit)
    described = isinstance(circuit, (list, tuple)) or (isinstance(circuit, Mapping) and "gates" in circuit)
    if not described or (isinstance(circuit, Mapping) and not isinstance(circuit["gates"], (list, tuple))):
        return _Circuit("description", facts, "", None, write_qasm)
    declared = facts.qubits if isinstance(circuit, Mapping) else None
    return _Circuit("description", facts, "", lambda limit: read_description(circuit, declared, limit), write_qasm)


def _known_text(program: str) -> _Circuit:
    try:
        facts, unknown = circuit_facts(program), ""
    except ValueError as error:
        if not any(isinstance(statement, Register) for statement in parse(program)):
            raise
        facts, unknown = CircuitFacts(), str(error)
    version = "OpenQASM 2" if is_qasm2(program) else "OpenQASM 3"
    return _Circuit(version, facts, unknown, lambda limit: read_program(program, limit), lambda _: as_qasm3(program))


def drawing_of(circuit: Any) -> tuple[CircuitFacts, Drawing | str]:
    """What is known of a circuit, and what of it is drawn or, in words, why nothing is.

    Raises:
        ValueError: no circuit at all, with the field, the value and the mend.
    """
    known = _known(as_circuit(circuit))
    if known.read is None:
        return known.facts, "Only totals were given, no gates."
    try:
        read, gates = _read(known, known.read)
    except Exception as error:  # noqa: BLE001 - a foreign object is read here
        return known.facts, _reason(error)
    return known.facts, _drawing(known, read, gates, long=(known.facts.gates or 0) > LIMIT or len(gates) > LIMIT)


def _read(known: _Circuit, read: Callable[[int], GateList]) -> tuple[GateList, list[Gate]]:
    """The circuit and as many of its gates as are looked at, one more than are counted or drawn."""
    limit = 1 + (DRAWN_GATES if (known.facts.gates or 0) > LIMIT else LIMIT)
    circuit = read(limit)
    return circuit, list(islice(circuit.gates, limit))


def _facts(circuit: Any) -> tuple[CircuitFacts, str]:
    """What is known of a framework's circuit, and why it is not more."""
    try:
        return circuit_facts(circuit), ""
    except Exception as error:  # noqa: BLE001 - a foreign object is read here
        return CircuitFacts(), _reason(error)


def _show(
    known: _Circuit,
    read: Callable[[int], GateList],
    facts: dict[str, Any],
    files: dict[str, str],
    left_out: dict[str, str],
) -> None:
    """Make the files of a circuit whose gates can be read; what cannot be made goes to ``left_out`` with its reason."""
    long = (known.facts.gates or 0) > LIMIT
    try:
        circuit, gates = _read(known, read)
    except Exception as error:  # noqa: BLE001 - a foreign object is read here
        reason = _reason(error)
        left_out |= dict.fromkeys(["circuit.txt", "circuit.svg", "gate_counts"], reason)
        circuit, gates, readable = GateList(0, str, []), [], False
    else:
        readable = True
    long = long or len(gates) > LIMIT
    too_long = f"more than {LIMIT} operations"
    if long:
        left_out |= {"gate_counts": too_long}
    elif readable:
        counted = Counter(gate.name for gate in gates if gate.counts)
        facts["gate_counts"] = dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))
        facts["parameters"] = sum(len(gate.parameters) for gate in gates if gate.counts)
    makers: dict[str, Callable[[], str]] = {}
    if known.unwritten:
        left_out["circuit.qasm"] = known.unwritten
    elif long and not known.source.startswith("OpenQASM"):
        left_out["circuit.qasm"] = too_long
    else:
        makers["circuit.qasm"] = lambda: known.qasm(circuit._replace(gates=gates))
    if readable:
        drawing = _drawing(known, circuit, gates, long=long)
        small = len(gates) <= DRAWN_GATES and circuit.qubits <= DRAWN_QUBITS
        own = known.draw
        makers["circuit.txt"] = (lambda: folded(own())) if own is not None and small else drawing.text
        makers["circuit.svg"] = lambda: drawing.svg(facts)
    for file, make in makers.items():
        try:
            files[file] = make()
        except Exception as error:  # noqa: BLE001 - exporters and drawers of the frameworks raise what they like
            left_out[file] = _reason(error)


class Drawing(NamedTuple):
    """What is drawn of a circuit, and a note of what is not."""

    circuit: GateList
    gates: list[Gate]
    wires: int
    note: str

    def text(self) -> str:
        """In characters."""
        drawn = draw_text(self.circuit, self.gates, self.wires)
        return "".join([letter if letter.isprintable() or letter == "\n" else "?" for letter in drawn]) + (
            f"\n{self.note}\n" if self.note else ""
        )

    def svg(self, facts: Mapping[str, Any]) -> str:
        """As SVG; the facts are those of `circuit_files`."""
        title = f"Quantum circuit {facts['name']}".strip()
        return draw_svg(
            self.circuit,
            self.gates,
            self.wires,
            title=title,
            description=", ".join([*in_words(facts), *filter(None, [self.note])]),
            note=self.note,
        )


def in_words(facts: Mapping[str, Any]) -> list[str]:
    """What is known of the size of a circuit: ``2 qubits``, ``depth 2``."""
    counts = [(facts[key], key) for key in ("qubits", "gates") if facts[key] is not None]
    said = [f"{count} {key if count != 1 else key[:-1]}" for count, key in counts]
    return said + ([f"depth {facts['depth']}"] if facts["depth"] is not None else [])


def _drawing(known: _Circuit, circuit: GateList, gates: list[Gate], *, long: bool) -> Drawing:
    wires = min(circuit.qubits, DRAWN_QUBITS)
    first = gates[:DRAWN_GATES]
    drawn = [gate for gate in first if gate.qubits and max(gate.qubits) < wires]
    notes = []
    if len(gates) > DRAWN_GATES:
        total = (
            "more than " + str(LIMIT)
            if long and known.facts.gates is None
            else str(known.facts.gates if long else len(gates))
        )
        notes.append(f"the first {DRAWN_GATES} of {total} operations")
    if circuit.qubits > wires:
        elsewhere = sum(1 for gate in first if gate.qubits) - len(drawn)
        notes.append(f"the first {wires} of {circuit.qubits} qubits; {elsewhere} operations on others are left out")
    return Drawing(circuit, drawn, wires, "Drawn: " + ", ".join(notes) if notes else "")


def _reason(error: Exception) -> str:
    words = " ".join(text(error).split())
    return f"{type(error).__name__}: {words[:300]}"
