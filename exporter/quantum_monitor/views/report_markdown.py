"""A report as GitHub-flavoured Markdown, in which every name stays text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from quantum_monitor import masking
from quantum_monitor.views.observed import Line
from quantum_monitor.views.report_model import (
    Block,
    Command,
    Course,
    Courses,
    Figures,
    Heading,
    Pairs,
    Paragraph,
    Picture,
    Report,
    Table,
)
from quantum_monitor.views.words import Cell, Code, in_full, number

_TEXT_LENGTH = 300
_READ_LENGTH = 3_000
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_MARKS = re.compile(r"[\\`*\[\]<>#|~$!&]|(?<![^\W_])_+|_+(?![^\W_])")
# What GitHub makes a link of wherever it stands as text: addresses, names of people, numbers of issues.
_LINKED = re.compile(r"@|#\d|://|\bwww\.|\bGH-\d|\bmailto:|\bxmpp:", re.IGNORECASE)
_BEGINS_A_BLOCK = re.compile(r"[-+=:]|\d{1,9}[.)](?=\s|$)")
_SPARKS = "▁▂▃▄▅▆▇█"
_CROSS = "\N{MULTIPLICATION SIGN}"
_SPARKS_AT_MOST = 48


def as_markdown(report: Report) -> str:
    """The text of a report: curves as a line of bars, circuits as lines of characters, no figures."""
    return "\n\n".join(_parts(report)) + "\n"


def told(value: object, *, in_cell: bool = False) -> str:
    """Any text as one line that shows it: without secrets and control characters, cut at 300 characters."""
    shown = _CONTROLS.sub(" ", masking.text(str(value)[:_READ_LENGTH])).strip()
    shown = shown if len(shown) <= _TEXT_LENGTH else f"{shown[: _TEXT_LENGTH - 1]}…"
    if _LINKED.search(shown):
        return _code(shown, in_cell=in_cell)
    escaped = _MARKS.sub(lambda marks: "".join(f"\\{mark}" for mark in marks[0]), shown)
    begin = _BEGINS_A_BLOCK.match(escaped)
    return escaped if begin is None else f"{escaped[: begin.end() - 1]}\\{escaped[begin.end() - 1 :]}"


def _code(shown: str, *, in_cell: bool) -> str:
    """A span of code; in a cell of a table, and only there, a pipe has a backslash in front even so."""
    fence = "`" * (max(map(len, re.findall("`+", shown)), default=0) + 1)
    space = " " if shown.startswith("`") or shown.endswith("`") else ""
    span = f"{fence}{space}{shown}{space}{fence}"
    return span.replace("|", "\\|") if in_cell else span


def _parts(report: Report) -> Iterator[str]:
    yield _heading(report.heading)
    for chapter in report.chapters:
        if chapter.blocks:
            yield f"## {told(chapter.title)}"
            yield from filter(None, map(_block, chapter.blocks))


def _heading(heading: Heading) -> str:
    status = f"**{told(heading.status.capitalize())}.** {told(heading.told)}".rstrip()
    return f"# {told(heading.name)}\n\n{status}\n\n{_pairs(heading.facts)}"


def _block(block: Block) -> str:  # noqa: PLR0911 - one for each kind of block
    match block:
        case Paragraph(sentence):
            return told(sentence)
        case Pairs():
            return _pairs(block)
        case Table():
            return _table(block)
        case Courses(curves):
            return "\n".join(map(_course, curves))
        case Figures():
            return ""
        case Picture(title, _, drawing):
            return f"{told(title)}:\n\n{_fenced(drawing, 'text')}" if drawing else ""
        case Command(what, lines, language):
            return f"{told(what)}\n\n{_fenced(lines, language)}"


def _pairs(pairs: Pairs) -> str:
    return "\n".join(
        f"- {told(name)}: {_value(value, in_cell=False)}" for name, value in pairs.entries.items() if value is not None
    )


def _table(table: Table) -> str:
    numeric = [any(isinstance(row[at], (int, float)) for row in table.rows) for at in range(len(table.columns))]
    rows = [
        _row([told(column, in_cell=True) for column in table.columns]),
        _row(["---:" if right else "---" for right in numeric]),
        *(_row([_value(value) for value in row]) for row in table.rows),
        *(_row([f"**{_value(value)}**" for value in row]) for row in table.totals),
    ]
    return "\n".join(rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _value(value: Cell, *, in_cell: bool = True) -> str:
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, Code):
        return _code(_CONTROLS.sub(" ", value), in_cell=in_cell)
    return told(value, in_cell=in_cell) if isinstance(value, str) else in_full(value)


def _course(course: Course) -> str:
    line = course.line
    finite = line.low <= line.high
    extremes = "no finite value"
    if finite.any():
        extremes = f"lowest {number(float(line.low[finite].min()))}, highest {number(float(line.high[finite].max()))}"
    note = course.note
    return (
        f"- {told(course.title)}, {told(course.ends[0])} to {told(course.ends[1])}, {extremes}: "
        f"`{_sparks(line)}`{note and f' {told(note)}'}"
    )


def _sparks(line: Line) -> str:
    """The highest value of each part of a curve as a bar; a cross where it has a NaN or an infinity."""
    begins = np.unique(np.linspace(0, len(line.x), min(len(line.x), _SPARKS_AT_MOST), endpoint=False).astype(int))
    high, broken = np.maximum.reduceat(line.high, begins), np.logical_or.reduceat(line.broken, begins)
    shown = high[~broken & np.isfinite(high)]
    if not len(shown):
        return _CROSS * len(begins)
    low, scale = float(shown.min()), max(float(np.abs(shown).max()), 1e-300)
    span = max(float(shown.max()) / scale - low / scale, 1e-12)  # scaled: the widest range of doubles stays finite
    places = np.clip((high / scale - low / scale) / span * (len(_SPARKS) - 1), 0, len(_SPARKS) - 1)
    return "".join(
        _CROSS if cross or not np.isfinite(place) else _SPARKS[round(place)]
        for place, cross in zip(places.tolist(), broken.tolist(), strict=True)
    )


def _fenced(lines: str, language: str) -> str:
    fence = "`" * max(3, max(map(len, re.findall("`+", lines)), default=0) + 1)
    kept = "".join(letter if letter == "\n" or not _CONTROLS.match(letter) else "?" for letter in lines)
    return f"{fence}{language}\n{kept}\n{fence}"
