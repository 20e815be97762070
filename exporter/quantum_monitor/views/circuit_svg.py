"""Circuits drawn as SVG: one self-contained file without scripts, links or fonts, readable on light and dark pages.

Attributes carry the light colours, so that a viewer that strips the style sheet still shows a legible picture. What a
thing is shows in its shape, never in its colour alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple
from xml.sax.saxutils import escape

from quantum_monitor.views.circuit_gates import Gate, GateList, caption, columns, shortened, shown

_ROW = 48.0
_BOX = 30.0
_GAP = 14.0
_CHARACTER = 7.4
_WIDTH = 1_060.0
_MARGIN = 16.0
_STYLE = """
.qm-circuit{font:12px ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace}
.qm-circuit .small{font-size:10px}
@media (prefers-color-scheme:dark){
.qm-circuit .page{fill:#15181d}
.qm-circuit .ink{fill:#e8eaed}
.qm-circuit .line{stroke:#e8eaed}
.qm-circuit .wire{stroke:#7d8590}
.qm-circuit .box{fill:#263445;stroke:#e8eaed}
.qm-circuit .angle{fill:#0b4f7d}
.qm-circuit .hollow{fill:#15181d;stroke:#e8eaed}
}"""
_INK = 'class="ink" fill="#1b1f24"'
_LINE = 'class="line" stroke="#1b1f24" fill="none" stroke-width="1.5"'
_WIRE = 'class="wire" stroke="#8c959f" fill="none"'
_BOXED = 'stroke="#1b1f24" stroke-width="1.2"'


class _Column(NamedTuple):
    gates: list[Gate]
    width: float


class _Row(NamedTuple):
    """A line of the folded drawing: its columns and the height of its upper edge."""

    columns: list[_Column]
    top: float


def draw_svg(circuit: GateList, gates: Sequence[Gate], wires: int, *, title: str, description: str, note: str) -> str:
    """Return a drawing of these gates on the first ``wires`` qubits; ``note`` stands below it."""
    labels = [shortened(circuit.label(wire), 16) for wire in range(wires)]
    start = _MARGIN + max(map(len, labels), default=0) * _CHARACTER + 12
    rows = _folded(gates, _WIDTH - start - _MARGIN, wires)
    width = max([start + sum(column.width for column in row.columns) + _GAP for row in rows], default=start) + _MARGIN
    width = max(width, 2 * _MARGIN + len(note) * _CHARACTER, 240.0)
    height = (rows[-1].top + wires * _ROW if rows else 0.0) + (20.0 if note else 0.0) + _MARGIN
    parts = [
        (
            '<svg xmlns="http://www.w3.org/2000/svg" class="qm-circuit" role="img" '
            f'width="{width:.0f}" height="{height:.0f}" '
            f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="monospace" font-size="12">'
        ),
        f"<title>{_xml(title)}</title><desc>{_xml(description)}</desc><style>{_STYLE}</style>",
        '<rect class="page" width="100%" height="100%" fill="#ffffff"/>',
    ]
    for row in rows:
        right = start + sum(column.width for column in row.columns) + _GAP
        parts += [_wire(label, _center(row.top, at), start, right) for at, label in enumerate(labels)]
        left = start + _GAP / 2
        for column in row.columns:
            for gate in column.gates:
                parts.append(f"<g><title>{_xml(_told(gate, circuit))}</title>")
                parts += _drawn(gate, left + column.width / 2, row.top)
                parts.append("</g>")
            left += column.width
    if note:
        parts.append(f'<text {_INK} x="{_MARGIN}" y="{height - _MARGIN:.0f}">{_xml(note)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _folded(gates: Sequence[Gate], room: float, wires: int) -> list[_Row]:
    """Put columns into rows, each as full as the room allows."""
    placed = sorted(zip(columns(gates), gates, strict=True), key=lambda pair: pair[0])
    rows: list[list[_Column]] = [[]]
    left = room
    for _, group in groupby(placed, key=lambda pair: pair[0]):
        together = [gate for _, gate in group]
        column = _Column(together, max(map(_width, together)) + _GAP)
        if column.width > left and rows[-1]:
            rows.append([])
            left = room
        rows[-1].append(column)
        left -= column.width
    return [_Row(row, _MARGIN + at * (wires * _ROW + 18)) for at, row in enumerate(rows)]


def _width(gate: Gate) -> float:
    """The room that a gate needs with all that is written at it."""
    if gate.base == "barrier":
        return 6.0
    words = [_condition(gate), *[shortened(clbit, 12) for clbit in gate.clbits]]
    return max(_box_width(gate), max(map(len, words)) * _CHARACTER)


def _box_width(gate: Gate) -> float:
    inset = 36.0 if gate.is_joined else 12.0
    return max(_BOX, len(_label(gate)) * _CHARACTER + inset) if _is_boxed(gate) else _BOX


def _is_boxed(gate: Gate) -> bool:
    """Whether a box with a name stands on the targets; else they have signs of their own."""
    plain_sign = (gate.base == "x" and gate.controls) or gate.base == "swap"
    return not (plain_sign or gate.base in {"measure", "barrier"} or _is_dots(gate))


def _is_dots(gate: Gate) -> bool:
    return gate.base == "z" and bool(gate.controls)


def _label(gate: Gate) -> str:
    return "|0\N{MATHEMATICAL RIGHT ANGLE BRACKET}" if gate.base == "reset" else caption(gate)


def _condition(gate: Gate) -> str:
    return f"if {shortened(gate.condition, 24)}" if gate.condition else ""


def _center(top: float, wire: int) -> float:
    return top + (wire + 0.5) * _ROW


def _wire(label: str, y: float, start: float, right: float) -> str:
    return (
        f'<text {_INK} x="{start - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{_xml(label)}</text>'
        f'<path {_WIRE} d="M{start:.1f} {y:.1f}H{right:.1f}"/>'
    )


def _drawn(gate: Gate, x: float, top: float) -> Iterator[str]:
    """Yield the shapes of one gate: the line between its qubits first, as everything else stands on it."""
    low, high = min(gate.qubits), max(gate.qubits)
    if gate.base == "barrier":
        for wire in gate.targets:
            y = _center(top, wire)
            yield f'<path {_LINE} stroke-dasharray="4 3" d="M{x:.1f} {y - _ROW / 2:.1f}V{y + _ROW / 2:.1f}"/>'
        return
    if gate.controls or gate.base == "swap":
        yield f'<path {_LINE} d="M{x:.1f} {_center(top, low):.1f}V{_center(top, high):.1f}"/>'
    for wire in gate.controls:
        yield _dot(x, _center(top, wire), hollow=wire in gate.zeros)
    yield from _targets(gate, x, top)
    if gate.condition:
        below = _center(top, high) + _BOX / 2 + 10
        yield f'<text {_small()} x="{x:.1f}" y="{below:.1f}" text-anchor="middle">{_xml(_condition(gate))}</text>'


def _targets(gate: Gate, x: float, top: float) -> Iterator[str]:
    width = _box_width(gate)
    if gate.is_joined and _is_boxed(gate):
        yield from _joined_box(gate, x, top)
        for number, wire in enumerate(gate.targets):
            y = _center(top, wire) + 3.5
            yield f'<text {_small()} x="{x - width / 2 + 3:.1f}" y="{y:.1f}">{number}</text>'
        return
    for number, wire in enumerate(gate.targets):
        y = _center(top, wire)
        if gate.base == "measure":
            yield from _meter(gate, number, x, y)
        elif _is_dots(gate):
            yield _dot(x, y, hollow=False)
        elif gate.base == "swap":
            yield f'<path {_LINE} d="M{x - 6:.1f} {y - 6:.1f}l12 12m0 -12l-12 12"/>'
        elif _is_boxed(gate):
            yield _box(gate, x, y, y) + _name(gate, x, y)
        else:
            yield f'<circle class="hollow" fill="#ffffff" {_BOXED} cx="{x:.1f}" cy="{y:.1f}" r="10"/>'
            yield f'<path {_LINE} d="M{x - 10:.1f} {y:.1f}h20m-10 -10v20"/>'


def _joined_box(gate: Gate, x: float, top: float) -> Iterator[str]:
    """Yield one box over all targets, and the wires of the qubits between them, which it does not touch."""
    low, high = min(gate.targets), max(gate.targets)
    width, middle = _box_width(gate), (low + high) / 2
    yield _box(gate, x, _center(top, low), _center(top, high))
    passed = [wire for wire in range(low, high + 1) if wire not in gate.targets]
    for wire in passed:
        yield f'<path {_WIRE} stroke-dasharray="3 3" d="M{x - width / 2:.1f} {_center(top, wire):.1f}h{width:.1f}"/>'
    yield _name(gate, x, _center(top, low) + (middle - low - (0.5 if middle in passed else 0.0)) * _ROW)


def _box(gate: Gate, x: float, first: float, last: float) -> str:
    fill = 'class="box angle" fill="#cfe8fa"' if gate.parameters else 'class="box" fill="#eef1f4"'
    dashes = ' stroke-dasharray="4 2"' if gate.condition else ""
    width = _box_width(gate)
    return (
        f'<rect {fill} {_BOXED}{dashes} rx="3" x="{x - width / 2:.1f}" y="{first - _BOX / 2:.1f}" '
        f'width="{width:.1f}" height="{last - first + _BOX:.1f}"/>'
    )


def _name(gate: Gate, x: float, y: float) -> str:
    return f'<text {_INK} x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle">{_xml(_label(gate))}</text>'


def _meter(gate: Gate, number: int, x: float, y: float) -> Iterator[str]:
    yield (
        f'<rect class="box" fill="#eef1f4" {_BOXED} rx="3" x="{x - _BOX / 2:.1f}" y="{y - _BOX / 2:.1f}" '
        f'width="{_BOX:.0f}" height="{_BOX:.0f}"/>'
    )
    yield f'<path {_LINE} d="M{x - 9:.1f} {y + 6:.1f}a9 9 0 0 1 18 0m-9 0l7 -13"/>'
    if number < len(gate.clbits):
        into = shortened(gate.clbits[number], 12)
        yield f'<text {_small()} x="{x:.1f}" y="{y + _BOX / 2 + 9:.1f}" text-anchor="middle">{_xml(into)}</text>'


def _dot(x: float, y: float, *, hollow: bool) -> str:
    if hollow:
        return f'<circle class="hollow" fill="#ffffff" {_BOXED} cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
    return f'<circle {_INK} cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'


def _small() -> str:
    return 'class="ink small" fill="#1b1f24" font-size="10"'


def _told(gate: Gate, circuit: GateList) -> str:
    """The gate in words, which a pointer over it shows."""
    values = f"({', '.join(map(shown, gate.parameters[:8]))})" if gate.parameters else ""
    qubits = ", ".join([circuit.label(wire) for wire in gate.qubits[:16]])
    into = f" to {', '.join(gate.clbits[:16])}" if gate.clbits else ""
    return f"{gate.name}{values} {qubits}{into}{' ' + _condition(gate) if gate.condition else ''}"


def _xml(words: str) -> str:
    """Escape a text, and show what XML cannot carry as a backslash escape."""
    allowed = [letter if letter.isprintable() else ascii(letter)[1:-1] for letter in words]
    return escape("".join(allowed), {'"': "&quot;"})
