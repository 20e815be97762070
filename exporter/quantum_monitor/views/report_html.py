"""The HTML that a report is made of: escaped text, numbers, tables, lines, and the page around them."""

from __future__ import annotations

import base64
import hashlib
import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from quantum_monitor import masking
from quantum_monitor.views.observed import Line
from quantum_monitor.views.words import Cell, Code, in_full, number


class Markup(str):
    """Text that is HTML already; any other text gets escaped."""

    __slots__ = ()


_TEXT_LENGTH = 300
_READ_LENGTH = 3_000
_SHORT = 28
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
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
figure > svg { display: block; width: 100%; height: 7rem; margin: .25rem 0 }
figcaption { font-size: .8rem; overflow-wrap: anywhere } figure p { font-size: .8rem; margin: .25rem 0 0 }
figure strong { font-weight: 600; color: var(--ink) }
.ends { display: flex; justify-content: space-between; gap: 1rem; font-size: .8rem; font-variant-numeric: tabular-nums }
.curve { fill: none; stroke: var(--curve); stroke-width: 1.5; stroke-linejoin: round; stroke-linecap: round }
.broken { stroke: var(--bad); stroke-width: 2 }
code { font: .85em/1.4 ui-monospace, monospace; overflow-wrap: anywhere }
.command { margin: 1rem 0 } .command p { margin: 0 0 .25rem }
pre { margin: 0; padding: .5rem .75rem; background: var(--band); border-radius: .4rem }
pre code { user-select: all; overflow-wrap: normal } .scroll img { display: block } section > figure { margin: 1rem 0 }
.scroll + .figures { margin-top: 1rem } .image { background: #fff; color: #1b1f24 } .image strong { color: #1b1f24 }
.image img { display: block; max-width: 100%; height: auto; margin: .25rem auto }
@media print { :root { color-scheme: light; --ink: #000; --soft: #444; --line: #bbb; --back: #fff; --band: #fff;
  --curve: #000; --bad: #000; --good: #000; --warn: #000 }
  main { max-width: none; padding: 0 } .scroll { overflow: visible }
  figure, tr { break-inside: avoid } h2 { break-after: avoid }
  table { font-size: .65rem } th, td { padding-right: .5rem } thead .number { white-space: normal }
  .short, .long { white-space: normal; min-width: 4.5rem } pre code { white-space: pre-wrap } }
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
{scripts}</body>
</html>
"""


def page(title: str, parts: Iterable[str], *, style: str = "", scripts: Sequence[str] = (), allowed: str = "") -> str:
    """A page that needs and loads nothing else: its policy allows no script, no image and no style but its own.

    Args:
        title: of the page.
        parts: the HTML in it, in order; empty ones are left out.
        style: more style sheet, after the one of every page.
        scripts: scripts that run when the page is there, in this order.
        allowed: more that the policy allows, as directives that each end in ``;``.
    """
    style = _STYLE + style
    policy = f"default-src 'none'; style-src {_source(style)}; {allowed}base-uri 'none'; form-action 'none'"
    if scripts:
        policy += f"; script-src {' '.join(map(_source, scripts))}"
    body = "\n".join(part for part in parts if part)
    programs = "".join(f"<script>{script}</script>\n" for script in scripts)
    return _PAGE.format(policy=policy, title=text(title), style=style, body=body, scripts=programs)


def _source(content: str) -> str:
    """How a policy names a script or a style that is in the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


def text(value: object) -> Markup:
    """Any text, escaped, without secrets and control characters, and cut at 300 characters."""
    if isinstance(value, Markup):
        return value
    told = masking.text(str(value)[:_READ_LENGTH])
    told = told if len(told) <= _TEXT_LENGTH else f"{told[: _TEXT_LENGTH - 1]}…"
    return Markup(html.escape(CONTROLS.sub("\N{REPLACEMENT CHARACTER}", told)))


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
        kind = "short" if len(value) <= _SHORT and not isinstance(value, (Markup, Code)) else "long"
        return f' class="{kind}"', Markup(f"<code>{text(value)}</code>") if isinstance(value, Code) else text(value)
    return _NUMBER, text(in_full(value))


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
