"""OpenQASM 3 of our own: what is written for descriptions, and what OpenQASM 2 becomes."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator

from quantum_monitor.views.circuit_gates import SHAPES, Gate, GateList, Parameter

_INCLUDE = 'include "stdgates.inc";'
_HEADER = f"OPENQASM 3.0;\n{_INCLUDE}\n"
_STANDARD = frozenset(
    """
    p x y z h s sdg t tdg sx rx ry rz cx cy cz cp crx cry crz ch swap ccx cswap cu CX phase cphase id u1 u2 u3 U gphase
    """.split()  # noqa: SIM905 - a table of names reads better than quoted strings
)
_WORDS_OF_2 = frozenset(
    """
    OPENQASM include gate opaque qreg creg measure reset barrier if pi sin cos tan exp ln sqrt U CX
    """.split()  # noqa: SIM905 - as above
)
_NEW_WORDS = frozenset(  # of OpenQASM 3: names like any other in OpenQASM 2
    """
    defcalgrammar def cal defcal extern box let break continue else end return for while in switch case default pragma
    input output const readonly mutable qubit bool bit int uint float angle complex array void duration stretch inv pow
    ctrl negctrl durationof delay true false nop tau euler im arcsin arccos arctan log ceiling floor mod popcount rotl
    rotr sizeof real imag
    """.split()  # noqa: SIM905 - as above
)
_RESERVED = _STANDARD | _WORDS_OF_2 | _NEW_WORDS | {"q", "c"}
_DEFINITIONS = {  # gates that stdgates.inc lacks, exact up to a global phase that no control can see
    "sxdg": "gate sxdg a { h a; sdg a; h a; }",
    "rot": "gate rot(x, y, z) a { rz(x) a; ry(y) a; rz(z) a; }",
    "cs": "gate cs a, b { cp(pi / 2) a, b; }",
    "csdg": "gate csdg a, b { cp(-pi / 2) a, b; }",
    "csx": "gate csx a, b { h b; cp(pi / 2) a, b; h b; }",
    "rzz": "gate rzz(x) a, b { cx a, b; rz(x) b; cx a, b; }",
    "rxx": "gate rxx(x) a, b { h a; h b; cx a, b; rz(x) b; cx a, b; h a; h b; }",
    "ryy": "gate ryy(x) a, b { sdg a; sdg b; h a; h b; cx a, b; rz(x) b; cx a, b; h a; h b; s a; s b; }",
    "rzx": "gate rzx(x) a, b { h b; cx a, b; rz(x) b; cx a, b; h b; }",
    "iswap": "gate iswap a, b { s a; s b; h a; cx a, b; cx b, a; h b; }",
    "dcx": "gate dcx a, b { cx a, b; cx b, a; }",
    "ecr": "gate ecr a, b { h b; cx a, b; rz(pi / 4) b; cx a, b; x a; cx a, b; rz(-pi / 4) b; cx a, b; h b; }",
    "cu1": "gate cu1(x) a, b { cp(x) a, b; }",
    "cu3": "gate cu3(x, y, z) a, b { cu(x, y, z, 0) a, b; }",
    "u0": "gate u0(x) a { }",
    "u": "gate u(x, y, z) a { U(x, y, z) a; }",
    "ccz": "gate ccz a, b, c { h c; ccx a, b, c; h c; }",
    "c3x": "gate c3x a, b, c, d { ctrl(3) @ x a, b, c, d; }",
    "c4x": "gate c4x a, b, c, d, e { ctrl(4) @ x a, b, c, d, e; }",
    "c3sqrtx": "gate c3sqrtx a, b, c, d { ctrl(3) @ sx a, b, c, d; }",
    "rccx": "gate rccx a, b, c { u2(0, pi) c; p(pi / 4) c; cx b, c; p(-pi / 4) c; cx a, c; p(pi / 4) c; cx b, c; "
    "p(-pi / 4) c; u2(0, pi) c; }",
}
_CONTROLLED = {  # one gate with controls, by name
    ("x", 1): "cx",
    ("y", 1): "cy",
    ("z", 1): "cz",
    ("h", 1): "ch",
    ("p", 1): "cp",
    ("swap", 1): "cswap",
    ("rx", 1): "crx",
    ("ry", 1): "cry",
    ("rz", 1): "crz",
    ("x", 2): "ccx",
    ("s", 1): "cs",
    ("sdg", 1): "csdg",
    ("sx", 1): "csx",
}
_DECLARES = frozenset(["gate", "def", "let", "qreg", "creg", "qubit", "bit", "]"])  # before a name that is no gate's
_WORDS = re.compile(r"//[^\n]*|/\*.*?\*/|\"[^\"\n]*\"|[^\W\d]\w*|\^|\s+|.", re.DOTALL)
_FACTOR = r"(?:\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|pi|tau)"
_EXPRESSION = re.compile(rf"-?\s*{_FACTOR}(?:\s*[*/]\s*{_FACTOR})*")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def write_qasm(circuit: GateList) -> str:
    """Return a program of standard gates; others are declared with an empty body, and a comment that says so.

    Raises:
        ValueError: a parameter that is no finite number, or a gate with a condition.
    """
    writer = _Writer(circuit)
    lines = [line for gate in circuit.gates for line in writer.lines(gate)]
    head = [_DEFINITIONS[name] for name in _DEFINITIONS if name in writer.used] + writer.declarations
    head += [f"input float[64] {name};" for name in writer.inputs.values()]
    if writer.comments:
        head += ["// qubits: " + ", ".join(writer.comments)]
    head += [f"qubit[{circuit.qubits}] q;"] if circuit.qubits else []
    head += [f"bit[{len(writer.clbits)}] c;"] if writer.clbits else []
    return _HEADER + "\n".join(head + lines) + "\n"


class _Writer:
    """What the lines written so far have used."""

    def __init__(self, circuit: GateList) -> None:
        self.n_qubits = circuit.qubits
        labels = [circuit.label(wire) for wire in range(min(circuit.qubits, 1_000))]
        numbered = all(label == f"q[{wire}]" for wire, label in enumerate(labels))
        self.comments = [] if numbered else [f"q[{wire}] is {label!a}" for wire, label in enumerate(labels)]
        self.used: set[str] = set()
        self.unknown: dict[tuple[str, int, int], str] = {}
        self.declarations: list[str] = []
        self.inputs: dict[str, str] = {}
        self.clbits: dict[str, int] = {}

    def lines(self, gate: Gate) -> Iterator[str]:
        wires = [f"q[{wire}]" for wire in gate.qubits]
        if gate.condition:
            raise ValueError(
                f"{gate.name} has the condition {gate.condition}, which a description cannot say in OpenQASM; "
                "log OpenQASM text or a circuit object"
            )
        if gate.base == "measure":
            for wire, clbit in zip(wires, gate.clbits, strict=False):
                yield f"c[{self.clbits.setdefault(clbit, len(self.clbits))}] = measure {wire};"
        elif gate.base in {"barrier", "reset"}:
            apart = [", ".join(wires)] if gate.base == "barrier" else wires
            yield from [f"{gate.base} {operand};".replace(" ;", ";") for operand in apart]
        elif gate.counts and wires:
            yield from self.applied(gate, wires)
        else:
            yield f"// {gate.name!a}: not a gate, left out"

    def applied(self, gate: Gate, wires: list[str]) -> Iterator[str]:
        values = [self.value(value) for value in gate.parameters]
        known = gate.base in SHAPES
        word = self.standard(gate, values) if known else self.declared(gate)
        angles = f"({', '.join(values)})" if values else ""
        each = known and SHAPES[gate.base][0] == 1 and not gate.controls
        for operands in wires if each else [", ".join(wires)]:
            yield f"{word}{angles} {operands};"

    def standard(self, gate: Gate, values: list[str]) -> str:
        """Return the word for a gate that has a meaning; ``values`` may change with it."""
        base, controls = gate.base, len(gate.controls)
        if (
            base in {"u", "u2"} and controls
        ):  # the phase of a controlled U differs between dialects, that of cu does not
            values[:] = [*(["pi / 2"] if base == "u2" else []), *values, "0"]
            base, controls = "cu", controls - 1
        elif base == "u":
            return "U"
        if controls == 0 or (base, controls) in _CONTROLLED:
            base = _CONTROLLED.get((base, controls), base)
            self.used.add(base)
            return base
        self.used.add(base)
        return f"ctrl({controls}) @ {base}" if controls > 1 else f"ctrl @ {base}"

    def declared(self, gate: Gate) -> str:
        key = (gate.name, len(gate.parameters), len(gate.qubits))
        if key not in self.unknown:
            word = self.unknown[key] = _free_word(gate.name, {*self.unknown.values(), *self.inputs.values()})
            angles = f"({', '.join(f'p{at}' for at in range(key[1]))})" if key[1] else ""
            qubits = ", ".join(f"a{at}" for at in range(key[2]))
            self.declarations.append(f"// {gate.name!a} is known by its name only: this body is empty")
            self.declarations.append(f"gate {word}{angles} {qubits} {{ }}")
        return self.unknown[key]

    def value(self, value: Parameter) -> str:
        if isinstance(value, float):
            if not math.isfinite(value):
                raise ValueError(f"a parameter is {value}, which OpenQASM cannot write; expected a finite number")
            return repr(value)
        if len(value) <= 200 and _EXPRESSION.fullmatch(value.strip()):
            return value.strip()
        if value not in self.inputs:
            self.inputs[value] = _free_word(value, {*self.inputs.values(), *self.unknown.values()})
        return self.inputs[value]


def _free_word(name: str, taken: Iterable[str]) -> str:
    """Return an identifier that looks like a name and is not in use."""
    word = re.sub(r"\W", "_", name, flags=re.ASCII)[:40]
    word = word if _IDENTIFIER.fullmatch(word) and not word.startswith("__") else f"g_{word}"
    taken = set(taken) | _RESERVED | set(_DEFINITIONS)
    number, free = 2, word
    while free in taken:
        free, number = f"{word}_{number}", number + 1
    return free


def is_qasm2(text: str) -> bool:
    """Tell whether a program says that it is OpenQASM 2."""
    words = (match.group() for match in _WORDS.finditer(text))
    first = (word for word in words if not word.isspace() and not word.startswith(("//", "/*")))
    return next(first, "") == "OPENQASM" and next(first, "") == "2"


def as_qasm3(text: str) -> str:
    """Return an OpenQASM 2 program in the words of OpenQASM 3, line by line; one of OpenQASM 3 as it is.

    Names of its own that mean something else in OpenQASM 3, such as ``input``, get a number.

    Raises:
        ValueError: what has no counterpart: opaque gates.
    """
    if not is_qasm2(text):
        return text
    words = [match.group() for match in _WORDS.finditer(text)]
    if "opaque" in words:
        raise ValueError("an opaque gate has no counterpart in OpenQASM 3")
    is_included = '"qelib1.inc"' in words
    needs_gates = is_included or "CX" in words
    changed = {"^": "**", "ln": "log", '"qelib1.inc"': '"stdgates.inc"'}
    clashes = _declared(words) & (_NEW_WORDS | _STANDARD if needs_gates else _NEW_WORDS)
    for word in sorted(clashes | _formal(words) & _NEW_WORDS):
        changed[word] = _free_word(word, {*words, *changed.values()})
    body = "".join([changed.get(word, word) for word in words])
    head = "OPENQASM 3.0;" if is_included or not needs_gates else f"OPENQASM 3.0;\n{_INCLUDE}"
    return with_definitions(re.sub(r"OPENQASM\s+2(\.0)?\s*;", head, body, count=1))


def _declared(words: Iterable[str]) -> set[str]:
    """Return the names of gates and registers that a program declares."""
    meant = [word for word in words if not word.isspace() and not word.startswith(("//", "/*"))]
    return {word for before, word in itertools.pairwise(meant) if before in _DECLARES}


def _formal(words: Iterable[str]) -> set[str]:
    """Return what the gates that a program declares call their angles and qubits."""
    names: set[str] = set()
    is_head = False
    for word in words:
        is_head = word == "gate" or (is_head and word != "{")
        names |= {word} if is_head else set()
    return names


def with_definitions(text: str) -> str:
    """Return a program with the definitions of the gates it uses that ``stdgates.inc`` lacks."""
    words = [match.group() for match in _WORDS.finditer(text)]
    needed = _DEFINITIONS.keys() & set(words) - _declared(words)
    definitions = [_DEFINITIONS[name] for name in _DEFINITIONS if name in needed]
    return text.replace(_INCLUDE, "\n".join([_INCLUDE, *definitions]), 1)
