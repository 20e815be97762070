"""One neutral list of gates for every source of circuits, and the gates that descriptions name.

Drawings and our own OpenQASM are made from this list. Names of gates are those of ``stdgates.inc`` where a gate is one
of those, whatever the source calls it (``CNOT``, ``cx`` and ``X`` with a control are the same); any other name stays.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from quantum_monitor.names import text
from quantum_monitor.physics.circuit_objects import is_gate

Parameter: TypeAlias = "float | str"
"""A number, or the text of what has none yet: a symbol, an expression, ``[2x2]`` of a matrix."""

SHAPES: dict[str, tuple[int, int]] = {  # gate: how many qubits and parameters it has, controls not counted
    **dict.fromkeys(["id", "x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx", "sxdg"], (1, 0)),
    **dict.fromkeys(["p", "rx", "ry", "rz"], (1, 1)),
    "u2": (1, 2),
    "u": (1, 3),
    "rot": (1, 3),
    "cu": (2, 4),
    **dict.fromkeys(["swap", "iswap", "dcx", "ecr"], (2, 0)),
    **dict.fromkeys(["rxx", "ryy", "rzz", "rzx"], (2, 1)),
}
_ALIASES = {  # other names of them, lower case: the gate, and how many of its first qubits are controls
    **{name: (name, 0) for name in SHAPES},
    "i": ("id", 0),
    "identity": ("id", 0),
    "hadamard": ("h", 0),
    "not": ("x", 0),
    "paulix": ("x", 0),
    "pauliy": ("y", 0),
    "pauliz": ("z", 0),
    "si": ("sdg", 0),
    "ti": ("tdg", 0),
    "v": ("sx", 0),
    "vi": ("sxdg", 0),
    "adjoint(s)": ("sdg", 0),
    "adjoint(t)": ("tdg", 0),
    "adjoint(sx)": ("sxdg", 0),
    "s**-1": ("sdg", 0),
    "t**-1": ("tdg", 0),
    "x**0.5": ("sx", 0),
    "x**-0.5": ("sxdg", 0),
    "phase": ("p", 0),
    "phaseshift": ("p", 0),
    "u1": ("p", 0),
    "u3": ("u", 0),
    "isingxx": ("rxx", 0),
    "isingyy": ("ryy", 0),
    "isingzz": ("rzz", 0),
    "xx": ("rxx", 0),
    "yy": ("ryy", 0),
    "zz": ("rzz", 0),
    "cnot": ("x", 1),
    "cx": ("x", 1),
    "cy": ("y", 1),
    "cz": ("z", 1),
    "ch": ("h", 1),
    "cs": ("s", 1),
    "csdg": ("sdg", 1),
    "csx": ("sx", 1),
    "cv": ("sx", 1),
    "crx": ("rx", 1),
    "cry": ("ry", 1),
    "crz": ("rz", 1),
    "cp": ("p", 1),
    "cphase": ("p", 1),
    "cphaseshift": ("p", 1),
    "controlledphaseshift": ("p", 1),
    "crot": ("rot", 1),
    "cu1": ("p", 1),
    "cu3": ("u", 1),
    "cswap": ("swap", 1),
    "fredkin": ("swap", 1),
    "ccx": ("x", 2),
    "ccnot": ("x", 2),
    "toffoli": ("x", 2),
    "ccz": ("z", 2),
    "c3x": ("x", 3),
    "mcx": ("x", -1),
    "multicontrolledx": ("x", -1),
    "mcz": ("z", -1),
    "mcphase": ("p", -1),
}
_PARAMETER_KEYS = ("params", "parameters", "param", "angle", "angles", "theta")
_CONTROL_KEYS = ("control", "controls")
_TARGET_KEYS = ("target", "targets", "qubit", "qubits", "wire", "wires")


class Gate(NamedTuple):
    """An operation as it was written.

    Attributes:
        name: what its source calls it; any text.
        base: what acts on the targets: a key of `SHAPES`, ``measure``, ``barrier`` or ``reset``, or any other name.
        parameters: its angles and the like.
        controls: the qubits that decide whether it acts.
        targets: the qubits it acts on; numbers from 0, as the controls.
        zeros: those of the controls that must be 0.
        clbits: where a measurement goes.
        condition: on which classical values it acts; empty for always.
    """

    name: str
    base: str
    parameters: tuple[Parameter, ...] = ()
    controls: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()
    zeros: tuple[int, ...] = ()
    clbits: tuple[str, ...] = ()
    condition: str = ""

    @property
    def qubits(self) -> tuple[int, ...]:
        """Controls first."""
        return self.controls + self.targets

    @property
    def is_joined(self) -> bool:
        """Whether one box spans all targets; a one-qubit gate on several qubits is a box on each of them."""
        apart = SHAPES.get(self.base, (2, 0))[0] == 1 or self.base in {"measure", "barrier", "reset"}
        return len(self.targets) > 1 and not apart

    @property
    def counts(self) -> bool:
        """Whether it is a gate in the sense of `quantum_monitor.physics.circuits`."""
        return is_gate(self.base) and is_gate(self.name)


class GateList(NamedTuple):
    """A circuit for drawing and writing: how many qubits, what they are called, and its operations in order."""

    qubits: int
    label: Callable[[int], str]
    gates: Iterable[Gate]


def gate(
    name: str, qubits: Sequence[int], parameters: Iterable[Any] = (), *, controls: int = 0, base: str = ""
) -> Gate:
    """Return the gate of this name on these qubits, of which the first ``controls`` are known to be controls.

    ``base`` is the name of what they control, where the source knows it.
    """
    values = tuple([parameter(value) for value in parameters])
    known, own_controls = _ALIASES.get((base or name).lower(), ("", 0))
    if known:
        n_targets, n_parameters = SHAPES[known]
        n_controls = len(qubits) - n_targets
        fits = n_controls in (own_controls, controls) or own_controls < 0 < n_controls
        everywhere = n_targets == 1 and controls == own_controls == 0  # one-qubit gates on each of several qubits
        if len(values) == n_parameters and n_controls >= 0 and (fits or everywhere):
            first = 0 if everywhere else n_controls
            return Gate(name, known, values, tuple(qubits[:first]), tuple(qubits[first:]))
    return Gate(name, base or name, values, tuple(qubits[:controls]), tuple(qubits[controls:]))


def parameter(value: Any) -> Parameter:
    """A parameter as a number, or as a text if it is none."""
    if isinstance(value, str):
        return value
    shape = getattr(value, "shape", ())
    if shape:
        return f"[{'x'.join(map(str, shape))}]"
    try:
        return float(value)
    except Exception:  # noqa: BLE001 - a symbol, a tracer or a complex number: foreign objects raise what they like
        return text(value)


def shown(value: Parameter) -> str:
    """A parameter as drawings show it: rounded, and no longer than twelve characters."""
    if isinstance(value, str):
        return shortened(value, 12)
    return f"{value:.4g}" if math.isfinite(value) else str(value)


def shortened(words: str, length: int) -> str:
    """The text in one line and no longer than ``length``."""
    line = " ".join(words.split())
    return line if len(line) <= length else line[: length - 1] + "\N{HORIZONTAL ELLIPSIS}"


def caption(drawn: Gate) -> str:
    """What stands in the gate's box."""
    known = drawn.base in SHAPES
    name = _SYMBOLS.get(drawn.base, drawn.base.upper()) if known else drawn.base
    values = ", ".join(map(shown, drawn.parameters[:3])) + (", \N{HORIZONTAL ELLIPSIS}" * (len(drawn.parameters) > 3))
    return shortened(name, 18) + (f"({values})" if values else "")


_SYMBOLS = {
    "id": "I",
    "sdg": "S\N{DAGGER}",
    "tdg": "T\N{DAGGER}",
    "sx": "\N{SQUARE ROOT}X",
    "sxdg": "\N{SQUARE ROOT}X\N{DAGGER}",
    "iswap": "iSWAP",
    "rx": "Rx",
    "ry": "Ry",
    "rz": "Rz",
    "rxx": "Rxx",
    "ryy": "Ryy",
    "rzz": "Rzz",
    "rzx": "Rzx",
}


def columns(gates: Iterable[Gate]) -> list[int]:
    """The column of each gate: as early as the wires between its outermost qubits allow, and what it depends on."""
    front: dict[int, int] = {}
    written: dict[str, int] = {}
    measured = looked = 0
    places = []
    for each in gates:
        wires = range(min(each.qubits), max(each.qubits) + 1) if each.qubits else ()
        column = max([front.get(wire, 0) for wire in wires], default=0)
        if each.condition:
            column = max(column, measured)  # a condition looks at what was measured before
        if each.base == "measure":  # what it writes over was written before, and looked at
            column = max(column, looked, *[written.get(clbit, 0) for clbit in each.clbits])
            written.update(dict.fromkeys(each.clbits, column + 1))
            measured = max(measured, column + 1)
        if each.condition:
            looked = max(looked, column + 1)
        front.update(dict.fromkeys(wires, column + 1))
        places.append(column)
    return places


def read_description(circuit: Mapping[str, Any] | Sequence[Any], n_qubits: int | None, limit: int) -> GateList:
    """Return the first gates of a description that `quantum_monitor.physics.circuit_facts` has read without an error.

    Qubits that have names, and numbers far beyond their count, are numbered in the order in which they come.
    """
    operations: Sequence[Any] = (circuit["gates"] if isinstance(circuit, Mapping) else circuit)[:limit]
    named = [_named_qubits(operation) for operation in operations]
    everything = {qubit: None for controls, targets in named for qubit in controls + targets}
    numbers = [qubit for qubit in everything if isinstance(qubit, int)]
    if len(numbers) == len(everything) and max(numbers, default=0) < max(1_000, 4 * len(numbers)):
        places: Mapping[Any, int] = {qubit: qubit for qubit in numbers}
        n_wires = max(n_qubits or 0, max(numbers, default=-1) + 1)
        return GateList(n_wires, lambda wire: f"q[{wire}]", _described(operations, named, places))
    ordered = sorted(numbers) + [qubit for qubit in everything if not isinstance(qubit, int)]
    places = {qubit: place for place, qubit in enumerate(ordered)}
    labels = [f"q[{qubit}]" if isinstance(qubit, int) else text(qubit) for qubit in ordered]
    return GateList(len(labels), labels.__getitem__, _described(operations, named, places))


def _named_qubits(operation: Mapping[str, Any]) -> tuple[list[Any], list[Any]]:
    return _values(operation, _CONTROL_KEYS), _values(operation, _TARGET_KEYS)


def _values(operation: Mapping[str, Any], keys: Sequence[str]) -> list[Any]:
    found: list[Any] = []
    for key in keys:
        value = operation.get(key)
        if value is not None:
            found += value if isinstance(value, (list, tuple)) else [value]
    return [value.__index__() if hasattr(value, "__index__") else value for value in found]


def _described(
    operations: Sequence[Any], named: Sequence[tuple[list[Any], list[Any]]], places: Mapping[Any, int]
) -> Iterator[Gate]:
    for operation, (controls, targets) in zip(operations, named, strict=True):
        name = text(next(operation[key] for key in ("type", "name", "gate") if key in operation))
        values = next((operation[key] for key in _PARAMETER_KEYS if operation.get(key) is not None), ())
        given = values if isinstance(values, (list, tuple)) or getattr(values, "ndim", 0) == 1 else [values]
        qubits = [places[qubit] for qubit in controls + targets]
        if name.lower().startswith("measure"):
            clbits = _values(operation, ("clbit", "clbits")) or [f"c[{qubit}]" for qubit in qubits]
            written = [f"c[{bit}]" if isinstance(bit, int) else text(bit) for bit in clbits]
            made = Gate(name, "measure", targets=tuple(qubits), clbits=tuple(written))
        elif is_gate(name):
            made = gate(name, qubits, given, controls=len(controls))
        else:
            made = Gate(name, name.lower(), tuple([parameter(value) for value in given]), targets=tuple(qubits))
        condition = operation.get("condition")
        yield made if condition is None else made._replace(condition=text(condition))
