"""Circuits drawn as SVG: one self-contained file without scripts, links or fonts, readable on light and dark pages.

Attributes carry the light colours, so that a viewer that strips the style sheet still shows a legible picture. What a
thing is shows in its shape, never in its colour alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from quantum_monitor.views.circuit_gates import Gate, GateList, shortened
from quantum_monitor.views.circuit_layout import (
    BOX,
    CHARACTER,
    MARGIN,
    ROW,
    WIDTH,
    box_width,
    center,
    condition,
    folded,
    inscription,
    is_boxed,
    is_dots,
    names_of_wires,
    placed,
    told,
)

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


def draw_svg(circuit: GateList, gates: Sequence[Gate], wires: int, *, title: str, description: str, note: str) -> str:
    """Return a drawing of these gates on the first ``wires`` qubits; ``note`` stands below it."""
    labels, start = names_of_wires(circuit, wires)
    rows = folded(gates, WIDTH - start - MARGIN, wires)
    width = max([row.end(start) for row in rows], default=start) + MARGIN
    width = max(width, 2 * MARGIN + len(note) * CHARACTER, 240.0)
    height = (rows[-1].top + wires * ROW if rows else 0.0) + (20.0 if note else 0.0) + MARGIN
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
        parts += [_wire(label, center(row.top, at), start, row.end(start)) for at, label in enumerate(labels)]
    for gate, x, top in placed(rows, start):
        parts += [f"<g><title>{_xml(told(gate, circuit))}</title>", *_drawn(gate, x, top), "</g>"]
    if note:
        parts.append(f'<text {_INK} x="{MARGIN}" y="{height - MARGIN:.0f}">{_xml(note)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


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
            y = center(top, wire)
            yield f'<path {_LINE} stroke-dasharray="4 3" d="M{x:.1f} {y - ROW / 2:.1f}V{y + ROW / 2:.1f}"/>'
        return
    if gate.controls or gate.base == "swap":
        yield f'<path {_LINE} d="M{x:.1f} {center(top, low):.1f}V{center(top, high):.1f}"/>'
    for wire in gate.controls:
        yield _dot(x, center(top, wire), hollow=wire in gate.zeros)
    yield from _targets(gate, x, top)
    if gate.condition:
        below = center(top, high) + BOX / 2 + 10
        yield f'<text {_small()} x="{x:.1f}" y="{below:.1f}" text-anchor="middle">{_xml(condition(gate))}</text>'


def _targets(gate: Gate, x: float, top: float) -> Iterator[str]:
    width = box_width(gate)
    if gate.is_joined and is_boxed(gate):
        yield from _joined_box(gate, x, top)
        for number, wire in enumerate(gate.targets):
            y = center(top, wire) + 3.5
            yield f'<text {_small()} x="{x - width / 2 + 3:.1f}" y="{y:.1f}">{number}</text>'
        return
    for number, wire in enumerate(gate.targets):
        y = center(top, wire)
        if gate.base == "measure":
            yield from _meter(gate, number, x, y)
        elif is_dots(gate):
            yield _dot(x, y, hollow=False)
        elif gate.base == "swap":
            yield f'<path {_LINE} d="M{x - 6:.1f} {y - 6:.1f}l12 12m0 -12l-12 12"/>'
        elif is_boxed(gate):
            yield _box(gate, x, y, y) + _name(gate, x, y)
        else:
            yield f'<circle class="hollow" fill="#ffffff" {_BOXED} cx="{x:.1f}" cy="{y:.1f}" r="10"/>'
            yield f'<path {_LINE} d="M{x - 10:.1f} {y:.1f}h20m-10 -10v20"/>'


def _joined_box(gate: Gate, x: float, top: float) -> Iterator[str]:
    """Yield one box over all targets, and the wires of the qubits between them, which it does not touch."""
    low, high = min(gate.targets), max(gate.targets)
    width, middle = box_width(gate), (low + high) / 2
    yield _box(gate, x, center(top, low), center(top, high))
    passed = [wire for wire in range(low, high + 1) if wire not in gate.targets]
    for wire in passed:
        yield f'<path {_WIRE} stroke-dasharray="3 3" d="M{x - width / 2:.1f} {center(top, wire):.1f}h{width:.1f}"/>'
    yield _name(gate, x, center(top, low) + (middle - low - (0.5 if middle in passed else 0.0)) * ROW)


def _box(gate: Gate, x: float, first: float, last: float) -> str:
    fill = 'class="box angle" fill="#cfe8fa"' if gate.parameters else 'class="box" fill="#eef1f4"'
    dashes = ' stroke-dasharray="4 2"' if gate.condition else ""
    width = box_width(gate)
    return (
        f'<rect {fill} {_BOXED}{dashes} rx="3" x="{x - width / 2:.1f}" y="{first - BOX / 2:.1f}" '
        f'width="{width:.1f}" height="{last - first + BOX:.1f}"/>'
    )


def _name(gate: Gate, x: float, y: float) -> str:
    return f'<text {_INK} x="{x:.1f}" y="{y + 4:.1f}" text-anchor="middle">{_xml(inscription(gate))}</text>'


def _meter(gate: Gate, number: int, x: float, y: float) -> Iterator[str]:
    yield (
        f'<rect class="box" fill="#eef1f4" {_BOXED} rx="3" x="{x - BOX / 2:.1f}" y="{y - BOX / 2:.1f}" '
        f'width="{BOX:.0f}" height="{BOX:.0f}"/>'
    )
    yield f'<path {_LINE} d="M{x - 9:.1f} {y + 6:.1f}a9 9 0 0 1 18 0m-9 0l7 -13"/>'
    if number < len(gate.clbits):
        into = shortened(gate.clbits[number], 12)
        yield f'<text {_small()} x="{x:.1f}" y="{y + BOX / 2 + 9:.1f}" text-anchor="middle">{_xml(into)}</text>'


def _dot(x: float, y: float, *, hollow: bool) -> str:
    if hollow:
        return f'<circle class="hollow" fill="#ffffff" {_BOXED} cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'
    return f'<circle {_INK} cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'


def _small() -> str:
    return 'class="ink small" fill="#1b1f24" font-size="10"'


def _xml(words: str) -> str:
    """Escape a text, and show what XML cannot carry as a backslash escape."""
    allowed = [letter if letter.isprintable() else ascii(letter)[1:-1] for letter in words]
    return escape("".join(allowed), {'"': "&quot;"})
