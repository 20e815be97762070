"""The blocks of a report as Dash components: the browser builds the elements, and no text can become one."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from dash import html

from quantum_monitor import masking
from quantum_monitor.views.live import graphs
from quantum_monitor.views.report_model import Block, Chapter, Command, Figures, Pairs, Paragraph, Picture, Table
from quantum_monitor.views.theme import Theme
from quantum_monitor.views.words import Cell, Code, in_full

_ROWS_AT_MOST = 500
_SHORT = 28


def chapter(found: Chapter, theme: Theme = "light") -> list[Any]:
    """A chapter with its heading; nothing where it has no content."""
    blocks = [component for block in found.blocks if (component := _block(block, theme)) is not None]
    return [html.Section([html.H2(found.title), *blocks])] if blocks else []


def sentence(text: str, kind: str = "soft") -> Any:
    """A paragraph."""
    return html.P(text, className=kind)


def table(
    columns: Sequence[Any], rows: Sequence[Sequence[Any]], label: str, totals: Sequence[Sequence[Any]] = ()
) -> Any:
    """A table that scrolls inside its own box; the first cell of a row is its heading."""
    shown = rows[:_ROWS_AT_MOST]
    right = [any(isinstance(row[place], (int, float)) for row in rows) for place in range(len(columns))]
    head = [
        html.Th(name, scope="col", className="number" if numeric else None)
        for name, numeric in zip(columns, right, strict=True)
    ]
    parts = [html.Thead(html.Tr(head)), html.Tbody([_row(row) for row in shown])]
    if totals:
        parts.append(html.Tfoot([_row(row) for row in totals]))
    box = html.Div(html.Table(parts), className="scroll", tabIndex="0", role="region", **{"aria-label": label})
    left = len(rows) - len(shown)
    return html.Div([box, sentence(f"{left:,} more rows are not shown.")]) if left else box


def picture(svg: str, title: str) -> Any:
    """An SVG drawing, as an image: no script in it runs, and it loads nothing."""
    data = base64.b64encode(svg.encode("utf-8", "replace")).decode()
    return html.Img(src=f"data:image/svg+xml;base64,{data}", alt=title, className="picture")


def _block(block: Block, theme: Theme) -> Any | None:  # noqa: PLR0911 - one line for each kind of block
    match block:
        case Paragraph(sentence_, soft):
            return html.P(masking.text(sentence_), className="soft" if soft else None)
        case Pairs(entries):
            told = {name: value for name, value in entries.items() if value is not None}
            return html.Dl([html.Div([html.Dt(name), html.Dd(_told(value))]) for name, value in told.items()])
        case Table(columns, rows, label, totals):
            return table(columns, rows, label, totals)
        case Command(what, lines):
            return html.Div([html.P(what), html.Pre(lines, tabIndex="0")])
        case Picture(title, svg):
            return picture(svg, title)
        case Figures(figures):
            drawn = [graphs.themed(f.figure, theme, revision=f.title) for f in figures]
            cards = [
                graphs.card(f.title, graphs.graph({"type": "figure", "name": f.title}, told, f.title))
                for f, told in zip(figures, drawn, strict=True)
            ]
            return html.Div(cards, className="cards")
        case _:
            return None  # curves: the page has them as panels


def _row(cells: Sequence[Any]) -> Any:
    heading, *others = cells
    first = html.Th(_told(heading), scope="row", className=_class(heading))
    return html.Tr([first, *(html.Td(_told(cell), className=_class(cell)) for cell in others)])


def _class(cell: Any) -> str | None:
    if isinstance(cell, (int, float)):
        return "number"
    return "short" if isinstance(cell, str) and len(cell) <= _SHORT else None


def _told(value: Cell | Any) -> Any:
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, Code):
        return html.Code(masking.text(str(value)))
    if isinstance(value, (int, float)):
        return in_full(value)
    return masking.text(value) if isinstance(value, str) else value
