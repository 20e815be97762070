"""The circuit diagram as a plotly figure, from the same gates and in the same places as the SVG file of a circuit."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, NamedTuple

from quantum_monitor.names import text
from quantum_monitor.views import theme as look
from quantum_monitor.views.circuit_gates import Gate, shortened
from quantum_monitor.views.circuit_layout import (
    BOX,
    CHARACTER,
    MARGIN,
    ROW,
    WIDTH,
    Row,
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
from quantum_monitor.views.circuits import Drawing, drawing_of, in_words

_TALLEST = 6_000.0  # pixels; a PNG has twice as many, and browsers draw no image of more than 16,384
_NARROWEST = 480.0
_TITLE = 48
_LINE = 20.0
_FONT = "ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
_SIZE, _SMALL = 12, 10

_Points = list[tuple[float, float]]


class _Word(NamedTuple):
    x: float
    y: float
    words: str
    position: str = "middle center"
    size: int = _SIZE


class _Signs(NamedTuple):
    """Everything drawn, by how it is drawn: lines and outlines as points, signs as their middles."""

    wires: list[_Points]
    joints: list[_Points]
    barriers: list[_Points]
    boxes: list[_Points]
    conditioned: list[_Points]
    angles: list[_Points]
    passed: list[_Points]
    strokes: list[_Points]
    dots: _Points
    hollow: _Points
    plus: _Points
    words: list[_Word]


def circuit_figure(circuit: Any, *, name: str = "", theme: look.Theme = "light") -> Any:
    """Draw a circuit as a figure whose gates tell under the pointer what they are.

    Up to 500 operations on up to 60 qubits are drawn, and as many rows as fit into 6,000 pixels; what is left out is
    said below the drawing. Of a circuit that is known by its totals, and of one that cannot be read, the figure says
    so and what is known. The figure has a width and a height of its own, in which its texts fit.

    Args:
        circuit: a description, OpenQASM text, or a circuit object, as `quantum_monitor.physics.circuit_facts` takes
            them; also a PennyLane QNode without arguments.
        name: what the person calls it; any text.
        theme: ``light`` or ``dark``.

    Returns:
        A plotly figure.

    Raises:
        ValueError: no circuit at all, or no theme, with the field, the value and the mend.
        MissingExtraError: plotly is not installed.
    """
    go = look.graph_objects()
    template = look.template(theme)
    facts, drawn = drawing_of(circuit)
    lines = [", ".join(in_words(asdict(facts)))]
    signs, width, height = _Signs(*[[] for _ in _Signs._fields]), _NARROWEST, MARGIN
    tips: list[tuple[float, float, str]] = []
    if isinstance(drawn, Drawing):
        names, start = names_of_wires(drawn.circuit, drawn.wires)
        rows, note = _fitting(drawn, start)
        lines.append(note)
        width = max([row.end(start) + MARGIN for row in rows] + [_NARROWEST])
        height = rows[-1].top + drawn.wires * ROW
        for row in rows:
            for wire, label in enumerate(names):
                y = center(row.top, wire)
                signs.wires.append([(start, y), (row.end(start), y)])
                signs.words.append(_Word(start - 4, y, label, "middle left"))
        for gate, x, top in placed(rows, start):
            _draw(signs, gate, x, top)
            tip = told(gate, drawn.circuit)
            tips += [(x, center(top, wire), tip) for wire in gate.qubits]
    else:
        lines.append(drawn)
    for line in lines:
        for piece in textwrap.wrap(line, int((width - 2 * MARGIN) / CHARACTER)):
            height += _LINE
            signs.words.append(_Word(MARGIN, height - _LINE / 2, piece, "middle right"))
    figure = go.Figure(_traces(go, signs, tips, theme, template), {"template": template})
    return figure.update_layout(
        title={"text": look.label(f"Quantum circuit {text(name)}".strip(), 80), "x": MARGIN / width},
        width=math.ceil(width),
        height=math.ceil(height + MARGIN) + _TITLE,
        autosize=False,
        margin={"l": 0, "r": 0, "t": _TITLE, "b": 0},
        xaxis={
            "visible": False,
            "range": [0, math.ceil(width)],
            "fixedrange": True,
            "scaleanchor": "y",  # in a wider box nothing is drawn out
            "constrain": "domain",
            "constraintoward": "left",
        },
        yaxis={"visible": False, "range": [math.ceil(height + MARGIN), 0], "fixedrange": True},
        showlegend=False,
        hovermode="closest",
        dragmode=False,
    )


def _fitting(drawn: Drawing, start: float) -> tuple[list[Row], str]:
    """The rows that are not too tall together, and the note of what is left out."""
    rows = folded(drawn.gates, WIDTH - start - MARGIN, drawn.wires)
    fitting = [row for row in rows if row.top + drawn.wires * ROW <= _TALLEST]
    n_gates = sum(len(column.gates) for row in fitting for column in row.columns)
    if len(fitting) == len(rows):
        return rows, drawn.note
    said = f"of these {len(drawn.gates)}" if drawn.note else f"Drawn: of {len(drawn.gates)} operations"
    return fitting, "; ".join(filter(None, [drawn.note, f"{said} the first {n_gates}, as many as a figure takes"]))


def _draw(signs: _Signs, gate: Gate, x: float, top: float) -> None:
    low, high = center(top, min(gate.qubits)), center(top, max(gate.qubits))
    if gate.base == "barrier":
        signs.barriers.extend(
            [(x, center(top, wire) - ROW / 2), (x, center(top, wire) + ROW / 2)] for wire in gate.targets
        )
        return
    if gate.controls or gate.base == "swap":
        signs.joints.append([(x, low), (x, high)])
    for wire in gate.controls:
        (signs.hollow if wire in gate.zeros else signs.dots).append((x, center(top, wire)))
    if gate.is_joined and is_boxed(gate):
        _draw_joined(signs, gate, x, top)
    else:
        for number, wire in enumerate(gate.targets):
            _draw_target(signs, gate, number, x, center(top, wire))
    if gate.condition:
        signs.words.append(_Word(x, high + BOX / 2 + 8, condition(gate), size=_SMALL))


def _draw_joined(signs: _Signs, gate: Gate, x: float, top: float) -> None:
    """One box from the first of the targets to the last; wires between that have no part in it are dashed."""
    low, high, half = min(gate.targets), max(gate.targets), box_width(gate) / 2
    _draw_box(signs, gate, x, center(top, low), center(top, high))
    passed = [wire for wire in range(low, high + 1) if wire not in gate.targets]
    signs.passed.extend([(x - half, center(top, wire)), (x + half, center(top, wire))] for wire in passed)
    middle = (low + high) / 2
    signs.words.append(_Word(x, center(top, low) + (middle - low - 0.5 * (middle in passed)) * ROW, inscription(gate)))
    for number, wire in enumerate(gate.targets):
        signs.words.append(_Word(x - half + 1, center(top, wire), str(number), "middle right", _SMALL))


def _draw_target(signs: _Signs, gate: Gate, number: int, x: float, y: float) -> None:
    if gate.base == "measure":
        _draw_box(signs, gate, x, y, y)
        arc = [(x - 9 * math.cos(at * math.pi / 12), y + 6 - 9 * math.sin(at * math.pi / 12)) for at in range(13)]
        signs.strokes.extend([arc, [(x, y + 6), (x + 7, y - 7)]])
        if number < len(gate.clbits):
            signs.words.append(_Word(x, y + BOX / 2 + 8, shortened(gate.clbits[number], 12), size=_SMALL))
    elif is_dots(gate):
        signs.dots.append((x, y))
    elif gate.base == "swap":
        signs.strokes.extend([[(x - 6, y - 6), (x + 6, y + 6)], [(x - 6, y + 6), (x + 6, y - 6)]])
    elif is_boxed(gate):
        _draw_box(signs, gate, x, y, y)
        signs.words.append(_Word(x, y, inscription(gate)))
    else:
        signs.plus.append((x, y))


def _draw_box(signs: _Signs, gate: Gate, x: float, first: float, last: float) -> None:
    half, top, foot = box_width(gate) / 2, first - BOX / 2, last + BOX / 2
    box = [(x - half, top), (x + half, top), (x + half, foot), (x - half, foot), (x - half, top)]
    (signs.conditioned if gate.condition else signs.boxes).append(box)
    if gate.parameters and gate.base != "measure":
        signs.angles.append(box)


def _traces(
    go: Any, signs: _Signs, tips: list[tuple[float, float, str]], theme: look.Theme, template: Any
) -> list[Any]:
    """The traces of the figure, what lies below first."""
    ink, paper, tint = look.ink(theme), look.paper(theme), template.layout.colorway[0]

    def lines(name: str, points: list[_Points], width: float = 1.5, dash: str = "solid", **others: Any) -> Any:
        x, y = _joined(points)
        style = {"color": ink, "width": width, "dash": dash} | others.pop("line", {})
        return go.Scatter(x=x, y=y, name=name, mode="lines", line=style, hoverinfo="skip", **others)

    def marks(name: str, points: _Points, symbol: str, size: int, colour: str) -> Any:
        x, y = [point[0] for point in points], [point[1] for point in points]
        marker = {"symbol": symbol, "size": size, "color": colour, "line": {"color": ink, "width": 1.5}}
        return go.Scatter(x=x, y=y, name=name, mode="markers", marker=marker, hoverinfo="skip", cliponaxis=False)

    filled = {"fill": "toself", "fillcolor": paper}
    traces = [
        lines("wires", signs.wires, 1, line={"color": template.layout.xaxis.linecolor}),
        lines("joints", signs.joints),
        lines("barriers", signs.barriers, dash="4px,3px"),
        lines("boxes", signs.boxes, 1.2, **filled),
        lines("conditioned boxes", signs.conditioned, 1.2, "4px,2px", **filled),
        lines("boxes with parameters", signs.angles, 0, fill="toself", fillcolor=tint, opacity=0.25),
        lines("wires passed", signs.passed, 1, "3px,3px"),
        lines("signs", signs.strokes),
        marks("controls", signs.dots, "circle", 8, ink),
        marks("controls at 0", signs.hollow, "circle", 8, paper),
        marks("targets", signs.plus, "circle", 18, paper),
        marks("targets of X", signs.plus, "circle-cross-open", 18, ink),
        _words(go, signs.words, ink),
        _tips(go, tips, ink),
    ]
    return [trace for trace in traces if trace.x]


def _words(go: Any, words: list[_Word], ink: str) -> Any:
    return go.Scatter(
        x=[word.x for word in words],
        y=[word.y for word in words],
        name="texts",
        mode="text",
        text=[look.label(word.words, 160) for word in words],
        textposition=[word.position for word in words],
        textfont={"family": _FONT, "color": ink, "size": [word.size for word in words]},
        hoverinfo="skip",
        cliponaxis=False,
    )


def _tips(go: Any, tips: list[tuple[float, float, str]], ink: str) -> Any:
    """What the pointer tells: a sentence at each qubit of each gate, and nothing to see."""
    return go.Scatter(
        x=[tip[0] for tip in tips],
        y=[tip[1] for tip in tips],
        name="gates",
        mode="markers",
        marker={"symbol": "square", "size": BOX, "color": ink, "opacity": 0},
        hovertext=[look.label(tip[2], 160) for tip in tips],
        hoverinfo="text",
    )


def _joined(points: Iterable[_Points]) -> tuple[list[float | None], list[float | None]]:
    """Lines one after the other, with a gap after each."""
    x: list[float | None] = []
    y: list[float | None] = []
    for line in points:
        x += [*[round(place[0], 1) for place in line], None]
        y += [*[round(place[1], 1) for place in line], None]
    return x, y
