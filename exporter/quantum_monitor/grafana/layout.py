"""Where panels stand: lines that fill the 24 columns of Grafana's grid, under the titles of rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import attr
from grafanalib.core import GridPos, Panel, RowPanel

COLUMNS = 24
_ROW_HEIGHT = 1
_LARGEST_ID = 2**31


@dataclass(frozen=True)
class Line:
    """Panels side by side.

    Attributes:
        panels: from left to right; one with a ``span`` is that many columns wide, the others share the rest.
        height: of all of them, in Grafana's units of 38 pixels.
    """

    panels: tuple[Any, ...]
    height: int


@dataclass(frozen=True)
class Section:
    """Lines of panels under a title."""

    title: str
    lines: tuple[Line, ...]


def line(*panels: Any, height: int = 8) -> Line:
    """Panels side by side, 8 units of 38 pixels high unless told otherwise.

    Raises:
        TypeError: one of them is no panel, such as a tuple that a comma too many makes.
    """
    for panel in panels:
        if not isinstance(panel, Panel):
            raise TypeError(
                f"a panel is a call of timeseries(...) or a function beside it, not a {type(panel).__name__}; "
                "a tuple comes of a comma before a closing parenthesis"
            )
    return Line(panels, height)


def section(title: str, *lines: Line) -> Section:
    """Lines of panels under a title."""
    return Section(title, lines)


def widths(panels: tuple[Any, ...]) -> list[int]:
    """How many columns each panel of a line takes.

    Raises:
        ValueError: they do not fill the 24 columns, or not evenly.
    """
    given = [panel.span for panel in panels]
    rest, free = COLUMNS - sum(span or 0 for span in given), given.count(None)
    titles = ", ".join(panel.title for panel in panels)
    if free == 0 and rest != 0:
        raise ValueError(f"the line of {titles} is {COLUMNS - rest} columns wide; make the spans add up to {COLUMNS}")
    if free and (rest <= 0 or rest % free):
        raise ValueError(f"{rest} columns do not part evenly among {free} panels in the line of {titles}; give spans")
    return [span or rest // free for span in given]


def arranged(sections: tuple[Section, ...], uid: str) -> list[Any]:
    """Every row and panel with its place and id, from top to bottom.

    The id comes from the title, so links to a panel outlive a change of the layout.

    Raises:
        ValueError: two panels of the dashboard have the same title.
    """
    placed = list(_placed(sections))
    names = [_name(panel) for panel in placed]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise ValueError(f"two of {uid} are called {double[0]!r}; rename one: its id comes from its title")
    return [attr.evolve(panel, id=crc32(f"{uid}/{_name(panel)}".encode()) % _LARGEST_ID) for panel in placed]


def _name(panel: Any) -> str:
    return f"row {panel.title}" if isinstance(panel, RowPanel) else str(panel.title)


def _placed(sections: tuple[Section, ...]) -> Iterator[Any]:
    y = 0
    for part in sections:
        yield RowPanel(title=part.title, gridPos=GridPos(h=_ROW_HEIGHT, w=COLUMNS, x=0, y=y))
        y += _ROW_HEIGHT
        for row in part.lines:
            x = 0
            for panel, width in zip(row.panels, widths(row.panels), strict=True):
                yield attr.evolve(panel, gridPos=GridPos(h=row.height, w=width, x=x, y=y))
                x += width
            y += row.height
