"""Where the gates of a drawn circuit stand, in pixels: what SVG files and figures share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from quantum_monitor.views.circuit_gates import Gate, GateList, caption, columns, shortened, shown

ROW = 48.0
BOX = 30.0
GAP = 14.0
CHARACTER = 7.4
WIDTH = 1_060.0
MARGIN = 16.0


class Column(NamedTuple):
    """Gates that stand one below the other."""

    gates: list[Gate]
    width: float


class Row(NamedTuple):
    """A line of the folded drawing: its columns and the height of its upper edge."""

    columns: list[Column]
    top: float

    def end(self, start: float) -> float:
        """Where its wires end that begin at ``start``."""
        return start + sum(column.width for column in self.columns) + GAP


def folded(gates: Sequence[Gate], room: float, wires: int) -> list[Row]:
    """Put columns into rows, each as full as the room allows."""
    ordered = sorted(zip(columns(gates), gates, strict=True), key=lambda pair: pair[0])
    rows: list[list[Column]] = [[]]
    left = room
    for _, group in groupby(ordered, key=lambda pair: pair[0]):
        together = [gate for _, gate in group]
        column = Column(together, max(map(room_of, together)) + GAP)
        if column.width > left and rows[-1]:
            rows.append([])
            left = room
        rows[-1].append(column)
        left -= column.width
    return [Row(row, MARGIN + at * (wires * ROW + 18)) for at, row in enumerate(rows)]


def placed(rows: Sequence[Row], start: float) -> Iterator[tuple[Gate, float, float]]:
    """Each gate with the middle of its column and the upper edge of its row, where wires begin at ``start``."""
    for row in rows:
        left = start + GAP / 2
        for column in row.columns:
            for gate in column.gates:
                yield gate, left + column.width / 2, row.top
            left += column.width


def names_of_wires(circuit: GateList, wires: int) -> tuple[list[str], float]:
    """What stands before the wires, and where these begin."""
    names = [shortened(circuit.label(wire), 16) for wire in range(wires)]
    return names, MARGIN + max(map(len, names), default=0) * CHARACTER + 12


def room_of(gate: Gate) -> float:
    """The room that a gate needs with all that is written at it."""
    if gate.base == "barrier":
        return 6.0
    words = [condition(gate), *[shortened(clbit, 12) for clbit in gate.clbits]]
    return max(box_width(gate), max(map(len, words)) * CHARACTER)


def box_width(gate: Gate) -> float:
    """The width of its box, or of the sign that stands in its place."""
    inset = 36.0 if gate.is_joined else 12.0
    return max(BOX, len(inscription(gate)) * CHARACTER + inset) if is_boxed(gate) else BOX


def is_boxed(gate: Gate) -> bool:
    """Whether a box with a name stands on the targets; else they have signs of their own."""
    plain_sign = (gate.base == "x" and gate.controls) or gate.base == "swap"
    return not (plain_sign or gate.base in {"measure", "barrier"} or is_dots(gate))


def is_dots(gate: Gate) -> bool:
    """Whether it is a controlled Z, which makes no difference between its qubits."""
    return gate.base == "z" and bool(gate.controls)


def inscription(gate: Gate) -> str:
    """What stands in its box."""
    return "|0\N{MATHEMATICAL RIGHT ANGLE BRACKET}" if gate.base == "reset" else caption(gate)


def condition(gate: Gate) -> str:
    """What stands below it; nothing where it always acts."""
    return f"if {shortened(gate.condition, 24)}" if gate.condition else ""


def center(top: float, wire: int) -> float:
    """The height of a wire in a row."""
    return top + (wire + 0.5) * ROW


def told(gate: Gate, circuit: GateList) -> str:
    """The gate in words, which a pointer over it shows."""
    values = f"({', '.join(map(shown, gate.parameters[:8]))})" if gate.parameters else ""
    qubits = ", ".join([circuit.label(wire) for wire in gate.qubits[:16]])
    into = f" to {', '.join(gate.clbits[:16])}" if gate.clbits else ""
    return f"{gate.name}{values} {qubits}{into}{' ' + condition(gate) if gate.condition else ''}"
