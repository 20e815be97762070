"""A comparison as lines for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from quantum_monitor.comparison import words
from quantum_monitor.comparison.result import Comparison

_LONGEST_NAME = 40
_LONGEST_VALUES = 60
_SETTINGS_AT_MOST = 20


def text(comparison: Comparison) -> str:
    """What a comparison says; names are in one line each and hold nothing that a terminal obeys."""
    lines = ["Comparison of two groups of runs; differences are B - A", ""]
    lines += [f"  {words.heading(side, comparison)}" for side in "AB"]
    lines += [f"  {comparison.pairing}", "", words.answer(comparison), ""]
    if comparison.differences:
        rows: list[tuple[str, ...]] = [
            (
                d.metric.key[:_LONGEST_NAME],
                words.summary(d.a, ranks=words.by_ranks(d)),
                words.summary(d.b, ranks=words.by_ranks(d)),
                d.metric.unit,
                d.verdict,
                words.effect(d),
            )
            for d in comparison.differences
        ]
        lines += _table(("metric", "A", "B", "unit", "B is", "effect"), rows)
        lines += ["", "mean ± standard deviation; median (quartiles) where ranks are compared", ""]
        lines += [f"{d.metric.key[:_LONGEST_NAME]}: {words.sentence(d, comparison)}" for d in comparison.differences]
    if comparison.settings:
        rows = [
            (s.name, *(words.values_of(side)[:_LONGEST_VALUES] for side in (s.a, s.b))) for s in comparison.settings
        ]
        lines += ["", *_table(("parameter", "A", "B"), rows[:_SETTINGS_AT_MOST])]
        if len(rows) > _SETTINGS_AT_MOST:
            lines.append(f"and {len(rows) - _SETTINGS_AT_MOST} more that differ")
    lines += ["", *comparison.notes] if comparison.notes else []
    return "\n".join(_shown(line) for line in lines) + "\n"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    table = [tuple(_shown(cell) for cell in row) for row in (columns, *rows)]
    widths = [max(len(row[place]) for row in table) for place in range(len(columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def _shown(line: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in line)
