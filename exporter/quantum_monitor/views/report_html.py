"""The HTML that a report is made of: escaped text, numbers, tables, lines, and the page around them."""

from __future__ import annotations

import base64
import hashlib
import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone

import numpy as np

from quantum_monitor.views.report_data import Line


class Markup(str):
    """Text that is HTML already; any other text gets escaped."""

    __slots__ = ()


class Exact(float):
    """A number that is shown with twelve digits: the cents of large sums count."""

    __slots__ = ()


Cell = str | float | int | None
"""A cell of a table: text, a number, or None for what was not measured."""

_TEXT_LENGTH = 300
_SHORT = 28
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_WIDTH, _HEIGHT, _MARGIN = 600.0, 100.0, 3.0

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --line: #d5dae0; --back: #fff; --band: #f4f6f8;
  --curve: #0b62c4; --bad: #b3261e; --good: #1a7438; --warn: #8a5a00 }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --soft: #9da7b1; --line: #3a424b; --back: #14181d;
  --band: #1d232a; --curve: #6cb0ff; --bad: #ff8d85; --good: #6fd08c; --warn: #e8b455 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--back); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif }
main { max-width: 84rem; margin: 0 auto; padding: 1rem 1rem 3rem }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 1rem 0 .25rem }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line) }
h1, h2, p, td, th, dt, dd { overflow-wrap: anywhere; unicode-bidi: isolate }
p { margin: .5rem 0; max-width: 48rem }
.soft, dt, figcaption, .ends { color: var(--soft) }
.completed { color: var(--good) } .failed, .killed { color: var(--bad) } .stopped { color: var(--warn) }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17.5rem), 1fr)); gap: .5rem 1.5rem;
  margin: 0 }
dl > div { min-width: 0 }
dt { font-size: .8rem } dd { margin: 0 }
.scroll { overflow-x: auto; max-width: 100% } .scroll + .scroll { margin-top: 1rem }
table { border-collapse: collapse; font-size: .9rem; min-width: min(100%, 24rem) }
th, td { text-align: left; vertical-align: top; padding: .3rem 1.25rem .3rem 0; border-bottom: 1px solid var(--line) }
thead th { font-weight: 600; white-space: nowrap; overflow-wrap: normal }
tbody th { font-weight: normal } .short { white-space: nowrap } .long { min-width: 10rem; max-width: 32rem }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
tfoot th, tfoot td { font-weight: 600; border-bottom: 0 }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); gap: 1rem }
figure { margin: 0; min-width: 0; background: var(--band); border-radius: .4rem; padding: .75rem }
figure svg { display: block; width: 100%; height: 7rem; margin: .25rem 0 }
figcaption { font-size: .8rem; overflow-wrap: anywhere } figure p { font-size: .8rem; margin: .25rem 0 0 }
figure strong { font-weight: 600; color: var(--ink) }
.ends { display: flex; justify-content: space-between; gap: 1rem; font-size: .8rem; font-variant-numeric: tabular-nums }
.curve { fill: none; stroke: var(--curve); stroke-width: 1.5; stroke-linejoin: round; stroke-linecap: round }
.broken { stroke: var(--bad); stroke-width: 2 }
code { font: .85em/1.4 ui-monospace, monospace; overflow-wrap: anywhere }
@media print { :root { color-scheme: light; --ink: #000; --soft: #444; --line: #bbb; --back: #fff; --band: #fff;
  --curve: #000; --bad: #000; --good: #000; --warn: #000 }
  main { max-width: none; padding: 0 } .scroll { overflow: visible }
  figure, tr { break-inside: avoid } h2 { break-after: avoid }
  table { font-size: .65rem } th, td { padding-right: .5rem } thead .number { white-space: normal }
  .short, .long { white-space: normal; min-width: 4.5rem } }
"""

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def _policy() -> str:
    digest = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def page(title: str, parts: Iterable[str]) -> str:
    """A page that needs and loads nothing else: its policy allows no script, no image and no style but its own."""
    body = "\n".join(part for part in parts if part)
    return _PAGE.format(policy=_policy(), title=text(title), style=_STYLE, body=body)


def text(value: object) -> Markup:
    """Any text, escaped, without control characters, and cut at 300 characters."""
    if isinstance(value, Markup):
        return value
    told = str(value)
    told = told if len(told) <= _TEXT_LENGTH else f"{told[: _TEXT_LENGTH - 1]}…"
    return Markup(html.escape(_CONTROLS.sub("\N{REPLACEMENT CHARACTER}", told)))


def number(value: float, digits: int = 6) -> str:
    """A number as people read it: whole ones in full, others with six digits."""
    if math.isnan(value):
        return "NaN"
    if isinstance(value, int) or (abs(value) < 1e12 and math.isclose(value, round(value), rel_tol=1e-12)):
        return f"{round(value):,}"  # the mean of ones may be off one by rounding
    return f"{value:.{digits}g}"


def moment(seconds: float) -> str:
    """Unix time as ISO 8601 in UTC, to the second."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (ValueError, OverflowError, OSError):  # what a clock never says
        return number(seconds)


def duration(seconds: float) -> str:
    """A time span in the units that suit it."""
    if not 60 <= seconds < 1e9:
        return f"{number(seconds, 4)} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = ((days, "d"), (hours, "h"), (minutes, "min"), (rest, "s"))
    return " ".join(f"{amount} {unit}" for amount, unit in units if amount)


def section(title: str, *parts: str) -> str:
    """A chapter of the report; nothing where it has no content."""
    content = [part for part in parts if part]
    return "\n".join((f"<section>\n<h2>{text(title)}</h2>", *content, "</section>")) if content else ""


def paragraph(sentence: str, kind: str = "") -> str:
    """A paragraph, ``soft`` for what stands beside the matter."""
    return f'<p class="{kind}">{text(sentence)}</p>' if kind else f"<p>{text(sentence)}</p>"


def pairs(entries: Mapping[str, Cell]) -> str:
    """Names and values side by side; without those that are None."""
    rows = [f"<div><dt>{text(name)}</dt><dd>{_cell(v)[1]}</dd></div>" for name, v in entries.items() if v is not None]
    return "<dl>\n" + "\n".join(rows) + "\n</dl>" if rows else ""


def table(
    columns: Sequence[str], rows: Sequence[Sequence[Cell]], *, label: str, totals: Sequence[Sequence[Cell]] = ()
) -> str:
    """A table that scrolls inside its own box; nothing without rows. The first cell of a row is its heading."""
    if not rows:
        return ""
    numeric = [any(isinstance(row[place], (int, float)) for row in rows) for place in range(len(columns))]
    head = "".join(
        f'<th scope="col"{_NUMBER if right else ""}>{text(name)}</th>'
        for name, right in zip(columns, numeric, strict=True)
    )
    foot = "\n<tfoot>\n" + "\n".join(map(_row, totals)) + "\n</tfoot>" if totals else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{text(label)}">\n<table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n"
        + "\n".join(map(_row, rows))
        + f"\n</tbody>{foot}\n</table>\n</div>"
    )


_NUMBER = ' class="number"'


def _row(cells: Sequence[Cell]) -> str:
    (kind, heading), *others = map(_cell, cells)
    return f'<tr><th scope="row"{kind}>{heading}</th>{"".join(f"<td{kind}>{told}</td>" for kind, told in others)}</tr>'


def _cell(value: Cell) -> tuple[str, Markup]:
    """The class of a cell, and what it shows."""
    if value is None:
        return "", Markup("&ndash;")
    if isinstance(value, str):
        kind = "short" if len(value) <= _SHORT and not isinstance(value, Markup) else "long"
        return f' class="{kind}"', text(value)
    return _NUMBER, text(number(value, 12 if isinstance(value, Exact) else 6))


def chart(title: str, line: Line, *, ends: tuple[str, str], note: str = "") -> str:
    """A line from its lowest to its highest value; where it is not finite it has a gap, and a red mark at the foot.

    Args:
        title: what is drawn.
        line: at least one span.
        ends: what stands below the two ends of the axis.
        note: a sentence below it.
    """
    finite = line.low <= line.high
    low = float(line.low[finite].min()) if finite.any() else math.nan
    high = float(line.high[finite].max()) if finite.any() else math.nan
    told = f"lowest {number(low)}, highest {number(high)}" if finite.any() else "no finite value"
    x = _spread(line.x, float(line.x[0]), float(line.x[-1]), _WIDTH)
    path = _path(
        x, _HEIGHT - _spread(line.low, low, high, _HEIGHT), _HEIGHT - _spread(line.high, low, high, _HEIGHT), finite
    )
    marks = "".join(f"M{place:.1f} {_HEIGHT - 8:.0f}v8" for place in x[line.broken])
    shape = '<path class="{}" vector-effect="non-scaling-stroke" d="{}"/>'
    box = f"{-_MARGIN:g} {-_MARGIN:g} {_WIDTH + 2 * _MARGIN:g} {_HEIGHT + 2 * _MARGIN:g}"
    drawing = "".join(shape.format(kind, d) for kind, d in (("curve", path), ("broken", marks)) if d)
    caption = f"{title}, from {ends[0]} to {ends[1]}: {told}"
    return (
        f"<figure>\n<figcaption><strong>{text(title)}</strong> {text(told)}</figcaption>\n"
        f'<svg viewBox="{box}" preserveAspectRatio="none" role="img" aria-label="{text(caption)}">{drawing}</svg>\n'
        f'<div class="ends"><span>{text(ends[0])}</span><span>{text(ends[1])}</span></div>\n'
        + (f"{paragraph(note, 'soft')}\n" if note else "")
        + "</figure>"
    )


_Floats = np.ndarray[tuple[int], np.dtype[np.float64]]


def _spread(values: _Floats, low: float, high: float, size: float) -> _Floats:
    """Values between ``low`` and ``high`` as places from 0 to ``size``; the middle where all are the same."""
    scale = max(abs(low), abs(high)) or 1.0  # so that the widest range of doubles stays finite
    span = high / scale - low / scale
    if not span > 0:
        return np.full(len(values), size / 2)
    with np.errstate(invalid="ignore", over="ignore"):
        places: _Floats = (values / scale - low / scale) / span * size
    return places


def _path(x: _Floats, low: _Floats, high: _Floats, finite: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> str:
    """Through the lowest and the highest value of each span, in turns, so that neighbours join at near ends."""
    pieces = []
    pen, upwards = "M", True
    for place, bottom, top, shown in zip(x.tolist(), low.tolist(), high.tolist(), finite.tolist(), strict=True):
        if not shown:
            pen = "M"
            continue
        first, second = (bottom, top) if upwards else (top, bottom)
        pieces.append(f"{pen}{place:.1f} {first:.1f}")
        if first != second or pen == "M":  # a line of no length is a dot
            pieces.append(f"L{place:.1f} {second:.1f}")
        pen, upwards = "L", not upwards
    return "".join(pieces)
