"""Circuits drawn in characters."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from quantum_monitor.views.circuit_gates import Gate, GateList, caption, columns, shortened

WIDTH = 120
"""Characters in a line."""


def draw_text(circuit: GateList, gates: Sequence[Gate], wires: int) -> str:
    """Return a drawing of these gates on the first ``wires`` qubits, folded into blocks of `WIDTH` characters."""
    labels = [shortened(circuit.label(wire), 16) + ": " for wire in range(wires)]
    width = max(map(len, labels), default=0)
    rows = [label.rjust(width) for label in labels for _ in range(2)]
    rows[1::2] = [" " * width] * wires
    blocks = []
    for cells in _columns(gates, wires):
        if rows and len(rows[0]) > width and len(rows[0]) + len(cells[0]) > WIDTH:
            blocks.append(_joined(rows))
            rows = [label.rjust(width) if at % 2 == 0 else " " * width for label in labels for at in range(2)]
        rows = [row + cell for row, cell in zip(rows, cells, strict=True)]
    return "\n\n".join([*blocks, _joined(rows)]) + "\n"


def folded(drawing: str) -> str:
    """Return a drawing of another maker in blocks of `WIDTH` characters."""
    lines = drawing.splitlines()
    width = max(map(len, lines), default=0)
    blocks = [_joined([line[start : start + WIDTH] for line in lines]) for start in range(0, max(width, 1), WIDTH)]
    return "\n\n".join(blocks) + "\n"


def _joined(rows: Sequence[str]) -> str:
    return "\n".join([row.rstrip() for row in rows]).rstrip()


def _columns(gates: Sequence[Gate], wires: int) -> list[list[str]]:
    """The cells of each column: two rows a qubit, its wire and the space below it."""
    placed = sorted(zip(columns(gates), gates, strict=True), key=lambda pair: pair[0])
    return [_cells([gate for _, gate in group], wires) for _, group in groupby(placed, key=lambda pair: pair[0])]


def _cells(gates: Sequence[Gate], wires: int) -> list[str]:
    marks = ["\N{BOX DRAWINGS LIGHT HORIZONTAL}", " "] * wires
    for gate in gates:
        low, high = min(gate.qubits, default=0), max(gate.qubits, default=-1)
        for wire in range(low, high + 1) if gate.controls or gate.is_joined else ():
            marks[2 * wire] = "\N{BOX DRAWINGS LIGHT VERTICAL AND HORIZONTAL}"
            if wire < high:
                marks[2 * wire + 1] = "\N{BOX DRAWINGS LIGHT VERTICAL}"
        for wire in gate.controls:
            marks[2 * wire] = "\N{WHITE CIRCLE}" if wire in gate.zeros else "\N{BLACK CIRCLE}"
        for place, wire in enumerate(gate.targets):
            marks[2 * wire] = _mark(gate, place)
    width = max(map(len, marks)) + 2
    fill = ("\N{BOX DRAWINGS LIGHT HORIZONTAL}", " ")
    return [mark.center(width, fill[at % 2]) for at, mark in enumerate(marks)]


def _mark(gate: Gate, place: int) -> str:
    if gate.base == "barrier":
        return "\N{LIGHT SHADE}"
    if gate.base == "measure":
        words = f"M {gate.clbits[place]}" if place < len(gate.clbits) else "M"
    elif gate.controls and gate.base == "x" and not gate.condition:
        return "\N{CIRCLED PLUS}"
    elif gate.base == "swap" and not gate.condition:
        return "\N{MULTIPLICATION SIGN}"
    else:
        words = caption(gate)
    return f"[{shortened(words, 32)}{' if ' + shortened(gate.condition, 24) if gate.condition else ''}]"
