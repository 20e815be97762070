"""What a report is made of, whatever it is written as: chapters of sentences, tables, curves, pictures, commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quantum_monitor.views.observed import Line
from quantum_monitor.views.words import Cell


@dataclass(frozen=True)
class Paragraph:
    """A sentence or a few; ``soft`` where they stand beside the matter."""

    sentence: str
    soft: bool = False


@dataclass(frozen=True)
class Pairs:
    """Names and values; those that are None were not told."""

    entries: Mapping[str, Cell]


@dataclass(frozen=True)
class Table:
    """A table; the first cell of a row is its heading, ``label`` says what it holds, ``totals`` end it."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    label: str
    totals: Sequence[Sequence[Cell]] = ()


@dataclass(frozen=True)
class Course:
    """A curve from one end to the other, at least one span long, with a sentence below it."""

    title: str
    line: Line
    ends: tuple[str, str]
    note: str = ""


@dataclass(frozen=True)
class Courses:
    """Curves side by side."""

    curves: Sequence[Course]


@dataclass(frozen=True)
class Figure:
    """A plotly figure, drawn where a page has scripts, or the source of an SVG drawing."""

    title: str
    figure: Any
    note: str = ""


@dataclass(frozen=True)
class Figures:
    """Figures side by side."""

    figures: Sequence[Figure]


@dataclass(frozen=True)
class Picture:
    """An SVG drawing, and the same as lines of text; one of them may be empty."""

    title: str
    svg: str
    drawing: str = ""


@dataclass(frozen=True)
class Command:
    """Lines to copy, and what they do; ``language`` is ``sh`` or ``python``."""

    what: str
    lines: str
    language: str = "sh"


Block = Paragraph | Pairs | Table | Courses | Figures | Picture | Command


@dataclass(frozen=True)
class Chapter:
    """A chapter; one without blocks has nothing to say and is left out."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Heading:
    """Which run a report is about: its name, its status, what that means, and the facts below it."""

    name: str
    status: str
    told: str
    facts: Pairs


@dataclass(frozen=True)
class Report:
    """A report."""

    title: str
    heading: Heading
    chapters: Sequence[Chapter]


def chapter(title: str, *blocks: Block | None) -> Chapter:
    """A chapter of those blocks that hold something."""
    return Chapter(title, tuple(block for block in blocks if block is not None and _holds_something(block)))


def _holds_something(block: Block) -> bool:
    match block:
        case Table():
            return bool(block.rows)
        case Pairs():
            return any(value is not None for value in block.entries.values())
        case Courses():
            return bool(block.curves)
        case Figures():
            return bool(block.figures)
        case _:
            return True
