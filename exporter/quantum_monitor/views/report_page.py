"""A report as one HTML page."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator

from quantum_monitor.views.report_html import CONTROLS, Markup, chart, page, pairs, paragraph, section, table, text
from quantum_monitor.views.report_model import (
    Block,
    Command,
    Courses,
    Figure,
    Figures,
    Heading,
    Pairs,
    Paragraph,
    Picture,
    Report,
    Table,
)


def as_page(report: Report, *, plain: bool) -> str:
    """The page of a report, which loads nothing.

    Args:
        report: the report.
        plain: whether it has neither figures nor pictures, and so needs no script and no more than a small policy.
    """
    if plain:
        return page(report.title, _parts(report))
    from quantum_monitor.views.pages import interactive_page

    return interactive_page(report.title, _parts(report))


def _parts(report: Report) -> Iterator[str]:
    yield _heading(report.heading)
    for chapter in report.chapters:
        yield section(chapter.title, *map(_block, chapter.blocks))


def _heading(heading: Heading) -> str:
    known = f' class="{heading.status}"' if heading.told else ""
    return (
        f"<header>\n<h1>{text(heading.name)}</h1>\n"
        f"<p><strong{known}>{text(heading.status.capitalize())}.</strong> {text(heading.told)}</p>\n"
        f"{pairs(heading.facts.entries)}\n</header>"
    )


def _block(block: Block) -> str:  # noqa: PLR0911 - one for each kind of block
    match block:
        case Paragraph(sentence, soft):
            return paragraph(sentence, "soft" if soft else "")
        case Pairs(entries):
            return pairs(entries)
        case Table(columns, rows, label, totals):
            return table(columns, rows, label=label, totals=totals)
        case Courses(curves):
            drawn = (chart(curve.title, curve.line, ends=curve.ends, note=curve.note) for curve in curves)
            return '<div class="charts">\n' + "\n".join(drawn) + "\n</div>"
        case Figures():
            return _figures(block)
        case Picture():
            return _picture(block)
        case Command():
            return _command(block)


def _figures(block: Figures) -> str:
    boxes = "\n".join(map(_box, block.figures))
    return f'<div class="figures">\n{boxes}\n</div>'


def _box(figure: Figure) -> str:
    from quantum_monitor.views.pages import figure_box

    if isinstance(figure.figure, str):
        title = text(figure.title)
        return (
            f'<figure class="image">\n<figcaption><strong>{title}</strong></figcaption>\n'
            f"{_image(figure.figure, title)}\n</figure>"
        )
    return figure_box(figure.figure, title=figure.title, note=figure.note)


def _picture(picture: Picture) -> str:
    title = text(picture.title)
    if not picture.svg:
        return (
            f"<figure>\n<figcaption><strong>{title}</strong></figcaption>\n{_lines(picture.drawing, title)}\n</figure>"
        )
    return (
        f"<figure>\n<figcaption><strong>{title}</strong></figcaption>\n"
        f'<div class="scroll" tabindex="0" role="region" aria-label="{title}">'
        f"{_image(picture.svg, title)}</div>\n</figure>"
    )


def _image(svg: str, title: Markup) -> str:
    """An image, never an element of the page: a browser runs no script of an image and follows none of its links."""
    data = base64.b64encode(svg.encode("utf-8", "backslashreplace")).decode()
    return f'<img src="data:image/svg+xml;base64,{data}" alt="{title}">'


def _command(command: Command) -> str:
    return f'<div class="command">\n{paragraph(command.what)}\n{_lines(command.lines, text(command.what))}\n</div>'


def _lines(lines: str, label: Markup) -> str:
    """Lines in full: a command that is cut does something else."""
    shown = html.escape(CONTROLS.sub("\N{REPLACEMENT CHARACTER}", lines))
    return f'<pre class="scroll" tabindex="0" role="region" aria-label="{label}"><code>{shown}</code></pre>'
