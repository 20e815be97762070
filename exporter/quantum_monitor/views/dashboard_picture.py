"""The static dashboard as one picture: every figure drawn by itself, then set side by side."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from quantum_monitor import masking
from quantum_monitor.views import theme
from quantum_monitor.views.export import ImageFormat, images
from quantum_monitor.views.report_html import CONTROLS
from quantum_monitor.views.report_model import Heading
from quantum_monitor.views.words import in_full

_COLUMNS, _CELL, _GAP, _HEAD = 3, 520, 16, 32
_WIDTH = _COLUMNS * _CELL + (_COLUMNS + 1) * _GAP
_FACT_COLUMNS, _FACT_ROW = 4, 44
_FONT = "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, sans-serif"


class Cell(NamedTuple):
    """A figure in the picture: plotly's, or the source of an SVG drawing."""

    title: str
    figure: Any


def picture(heading: Heading, cells: Iterable[Cell], format: ImageFormat) -> bytes:  # noqa: A002 - the word of the callers
    """All of them under the heading, as the content of a file.

    Raises:
        MissingExtraError: kaleido is not installed.
        ImageError: there is no browser that could draw them.
    """
    drawn = list(_drawn(list(cells)))
    svg, height = _stitched(heading, drawn)
    if format == "svg":
        return svg.encode("utf-8", "backslashreplace")
    source = f"data:image/svg+xml;base64,{base64.b64encode(svg.encode('utf-8', 'backslashreplace')).decode()}"
    whole = {"x": 0, "y": 1, "sizex": 1, "sizey": 1, "xref": "paper", "yref": "paper", "sizing": "stretch"}
    margin = dict.fromkeys("lrtb", 0)
    hidden = {"visible": False}
    figure = theme.graph_objects().Figure(
        layout={"images": [whole | {"source": source}], "margin": margin, "xaxis": hidden, "yaxis": hidden}
    )
    (content,) = images([figure], "png", [(_WIDTH, height)])
    return content


class _Drawn(NamedTuple):
    svg: str
    height: int


def _drawn(cells: list[Cell]) -> Iterator[_Drawn]:
    figures, sizes = [], []
    for cell in cells:
        if not isinstance(cell.figure, str):
            figure = theme.graph_objects().Figure(cell.figure)
            figure.layout.title = None
            figure.layout.margin.t = 28 if figure.layout.margin.t is None else figure.layout.margin.t
            figures.append(figure)
            sizes.append((_CELL, int(figure.layout.height or 340)))
    by_plotly = iter(zip(images(figures, "svg", list(sizes)), sizes, strict=True))
    for cell in cells:
        if isinstance(cell.figure, str):
            # Somebody's drawing, as an image: nothing in it is run.
            data = base64.b64encode(cell.figure.encode("utf-8", "backslashreplace")).decode()
            width, height = _CELL, _CELL * 3 // 4
            svg = f'<image width="{width}" height="{height}" href="data:image/svg+xml;base64,{data}"/>'
        else:
            content, (_, height) = next(by_plotly)
            svg = content.decode()
            svg = svg[svg.index("<svg") :]
        title = _text(8, 24, cell.title, size=16)
        yield _Drawn(f'{title}<g transform="translate(0 {_HEAD})">{svg}</g>', height + _HEAD)


def _stitched(heading: Heading, drawn: list[_Drawn]) -> tuple[str, int]:
    """One drawing from all, and its height."""
    parts, y = _head(heading)
    for begin in range(0, len(drawn), _COLUMNS):
        row = drawn[begin : begin + _COLUMNS]
        for column, one in enumerate(row):
            parts.append(f'<g transform="translate({_GAP + column * (_CELL + _GAP)} {y})">{one.svg}</g>')
        y += max(one.height for one in row) + _GAP
    opening = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" width="{_WIDTH}" '
        f'height="{y}" viewBox="0 0 {_WIDTH} {y}"><rect width="100%" height="100%" fill="{theme.paper("light")}"/>'
    )
    return "\n".join((opening, *parts, "</svg>")), y


def _head(heading: Heading) -> tuple[list[str], int]:
    """The name of the run, its status and the facts, and where the figures begin."""
    parts = [_text(_GAP, 44, heading.name, size=26, longest=90)]
    parts.append(_text(_GAP, 74, f"{heading.status.capitalize()}. {heading.told}", size=15, longest=160))
    told = [
        (name, value if isinstance(value, str) else in_full(value))
        for name, value in heading.facts.entries.items()
        if value is not None
    ]
    for place, (name, value) in enumerate(told):
        row, column = divmod(place, _FACT_COLUMNS)
        x, y = _GAP + column * (_WIDTH - _GAP) // _FACT_COLUMNS, 104 + row * _FACT_ROW
        parts += [_text(x, y, name, size=12), _text(x, y + 18, value, size=15, longest=46)]
    return parts, 104 + -(-len(told) // _FACT_COLUMNS) * _FACT_ROW + _GAP


def _text(x: int, y: int, told: str, *, size: int, longest: int = 60) -> str:
    told = CONTROLS.sub("\N{REPLACEMENT CHARACTER}", masking.text(told))
    told = told if len(told) <= longest else f"{told[: longest - 1]}…"
    return (
        f'<text x="{x}" y="{y}" font-family="{_FONT}" font-size="{size}" fill="{theme.ink("light")}">'
        f"{html.escape(told)}</text>"
    )
